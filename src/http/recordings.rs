//! Recordings over REST: found, shown, named, held, deleted, and linked to. A join token does this for its
//! own meeting where its person is a host or cohost of it, by the role that the meeting records; everybody
//! else who was recorded, or was there, asks one of those. They begin and end in `recorder`.

use super::caller::Caller;
use super::people::reader;
use super::post::Post;
use super::reads::{List, Paging, body, list, stored};
use super::tokens::base_url;
use super::{Edge, Problem};
use crate::objects::{Grant, KeepError, Named, NewLine, ObjectPath, Subject, Verdict, choose, ledger_subject, paths};
use crate::projections::{Consent, File, Kept, Listed, Reader};
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use convoke_actors::ports::MeetingKey;
use convoke_domain::recording::RecordingStatus;
use convoke_domain::{MeetingId, RecordingId, Rejection, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

pub const NAME_CHARS_MAX: usize = 200;
const QUERY_CHARS_MAX: usize = 200;
/// What a picture is asked for with.
pub const THUMBNAIL: &str = "thumbnail";
const LINK_TTL_S: u64 = 3_600;

/// Who asks, where they may.
pub struct Asking {
    pub tenant: TenantId,
    /// The one meeting that a join token is for.
    meeting: Option<MeetingId>,
    /// As the audit names them.
    who: String,
}

/// The tenant, or a host or cohost of the token's meeting.
pub async fn asking(edge: &Edge, caller: &Caller) -> Result<Asking, Problem> {
    match caller {
        Caller::Api(tenant) => Ok(Asking { tenant: tenant.clone(), meeting: None, who: "api".to_owned() }),
        Caller::Join(claims) => {
            let key = MeetingKey { tenant: claims.tenant.clone(), meeting: claims.meeting };
            super::people::known(edge, &key).await?;
            let Reader::Lead(id) = reader(edge, caller, &key).await? else {
                return Err(Rejection::not_permitted("only hosts and cohosts have a part in recordings").into());
            };
            Ok(Asking { tenant: key.tenant, meeting: Some(key.meeting), who: format!("participant:{id}") })
        }
    }
}

impl Asking {
    /// A recording, as of now. An unknown one, another meeting's and a deleted one look the same.
    pub async fn recording(&self, edge: &Edge, id: &str) -> Result<Kept, Problem> {
        let id: RecordingId = id.parse().map_err(|_| Problem::not_found())?;
        let find = async || edge.projections.recording(&self.tenant, id).await.map_err(stored);
        let kept = find().await?.ok_or_else(Problem::not_found)?;
        if self.meeting.is_some_and(|meeting| meeting != kept.meeting) {
            return Err(Problem::not_found());
        }
        // Whoever was answered a moment ago reads what they did.
        edge.projections.catch_up(&kept.key(&self.tenant)).await.map_err(stored)?;
        find().await?.ok_or_else(Problem::not_found)
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// A meeting's id. A join token lists its own.
    pub meeting: Option<String>,
    /// `pending`, `recording`, `stopping`, `processing`, `completed` or `failed`.
    pub status: Option<String>,
    /// Part of a recording's name, or of its meeting's title.
    pub q: Option<String>,
}

const STATUSES: [RecordingStatus; 6] = [
    RecordingStatus::Pending,
    RecordingStatus::Recording,
    RecordingStatus::Stopping,
    RecordingStatus::Processing,
    RecordingStatus::Completed,
    RecordingStatus::Failed,
];

/// Recordings, newest first: the tenant's, or, with a host's or cohost's join token, those of its meeting.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "recordings", params(Filter, Paging),
    responses((status = 200, description = "a page of recordings", body = List<Kept>),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "an unknown meeting"), (status = 422, description = "a filter that cannot be")))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    filter: Query<Filter>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let asking = asking(&edge, &caller).await?;
    let Filter { meeting, status, q } = filter.into_inner();
    let is_status = |status: &String| STATUSES.iter().any(|known| known.as_str() == status);
    if status.as_ref().is_some_and(|status| !is_status(status)) {
        return Err(Problem::wrong_data("there is no such status"));
    }
    if q.as_ref().is_some_and(|q| q.chars().count() > QUERY_CHARS_MAX) {
        return Err(Problem::wrong_data("q is up to 200 characters"));
    }
    let meeting = match meeting {
        Some(id) => {
            let key = caller.meeting(&id)?;
            super::people::known(&edge, &key).await?;
            Some(key.meeting)
        }
        None => asking.meeting,
    };
    let listed = Listed { meeting, status, text: q, before: paging.uuid()? };
    let page = edge.projections.recordings(&asking.tenant, &listed, paging.limit()?).await.map_err(stored)?;
    Ok(list(page, |kept| kept))
}

/// A recording with its files.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RecordingWithFiles)]
pub struct Whole {
    #[serde(flatten)]
    pub recording: Kept,
    pub files: Vec<File>,
    /// Who said what, where consent was asked for.
    pub consents: Vec<Consent>,
}

async fn whole(edge: &Edge, tenant: &TenantId, recording: Kept) -> Result<Whole, Problem> {
    let id = recording.recording.id;
    let files = edge.projections.files(tenant, id).await.map_err(stored)?;
    let consents = edge.projections.consents(tenant, id).await.map_err(stored)?;
    Ok(Whole { recording, files, consents })
}

/// One recording, with its files and the consents to it.
#[utoipa::path(get, path = "/api/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, description = "the recording", body = Whole),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "unknown, deleted, or of another meeting")))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let asking = asking(&edge, &caller).await?;
    let kept = asking.recording(&edge, &id).await?;
    Ok(HttpResponse::Ok().json(whole(&edge, &asking.tenant, kept).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingPatch {
    /// 1 to 200 characters. The files keep their names; what is downloaded bears this one.
    pub name: Option<String>,
    /// With an API token only: while it holds, nothing deletes the recording.
    pub legal_hold: Option<bool>,
}

/// Renames a recording, or puts it under a legal hold or ends that.
#[utoipa::path(patch, path = "/api/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)), request_body = RecordingPatch,
    responses((status = 200, description = "the recording", body = Whole),
        (status = 403, description = "a join token of neither a host nor a cohost, or one that asks for a hold"),
        (status = 404, description = "unknown, deleted, or of another meeting"),
        (status = 409, description = "`wrong_state`: it is being deleted"), (status = 422, description = "a name that cannot be")))]
pub async fn update(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    let RecordingPatch { name, legal_hold } = body(&bytes)?;
    let asking = asking(&edge, &caller).await?;
    if legal_hold.is_some() {
        caller.tenant()?;
    }
    let name = name.map(|name| name.trim().to_owned());
    let is_name =
        |name: &String| (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if name.as_ref().is_some_and(|name| !is_name(name)) {
        return Err(Problem::wrong_data("a name is from 1 to 200 characters"));
    }
    let kept = asking.recording(&edge, &id).await?;
    let named = Named::new(kept.key(&asking.tenant), kept.recording.id);
    let ledger = edge.keeper.ledger();
    if let Some(held) = legal_hold {
        let action = if held { "recording.held" } else { "recording.released" };
        let line = NewLine::new(&asking.who, action, named.recording, format!("meeting {}", kept.meeting));
        if !ledger.hold(&named, held, &line).await.map_err(stored)? {
            return Err(Rejection::wrong_state("the recording is being deleted").into());
        }
    }
    if let Some(name) = name {
        ledger.rename(&named, &name).await.map_err(stored)?;
    }
    let kept = asking.recording(&edge, &id).await?;
    Ok(HttpResponse::Ok().json(whole(&edge, &asking.tenant, kept).await?))
}

/// What storage could not do is tried again; until then nothing says that it was done.
pub fn kept_back(error: KeepError) -> Problem {
    match error {
        KeepError::Store(error) => stored(error),
        KeepError::Busy => Rejection::unavailable("the orphans are being looked for already").into(),
        KeepError::Behind => Rejection::unavailable("the read models are being built").into(),
        KeepError::Objects(error) => {
            tracing::warn!(%error, "the objects did not answer");
            Rejection::unavailable("the objects are out of reach").into()
        }
    }
}

/// As policies see it.
fn subject(kept: &Kept) -> Subject {
    let since = kept.recording.ended_at.unwrap_or(kept.recording.asked_at);
    ledger_subject(&kept.recording, kept.meeting, since, kept.legal_hold, kept.tier.clone())
}

/// Deletes a recording: its files, and then what is known of it here; the log keeps that it was made. Where
/// the files are out of reach (503), it is gone on with by itself.
#[utoipa::path(delete, path = "/api/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "unknown, deleted, or of another meeting"),
        (status = 409, description = "`wrong_state`: it is not over, or under a hold of its own or of a policy"),
        (status = 503, description = "not all of it is gone yet")))]
pub async fn remove(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let asking = asking(&edge, &caller).await?;
    let kept = asking.recording(&edge, &id).await?;
    if !kept.recording.status.is_over() {
        return Err(Rejection::wrong_state("the recording is not over").into());
    }
    let held = || Problem::from(Rejection::wrong_state("the recording is under a legal hold"));
    let policies = edge.keeper.ledger().policies(&asking.tenant).await.map_err(stored)?;
    if choose(&policies, &subject(&kept), 0) == Verdict::Held {
        return Err(held());
    }
    let named = Named::new(kept.key(&asking.tenant), kept.recording.id);
    match edge.keeper.delete(&named, &asking.who).await.map_err(kept_back)? {
        true => Ok(HttpResponse::NoContent().finish()),
        // A hold came in between; or somebody else was faster, and then it is gone as was asked.
        false => match edge.projections.recording(&asking.tenant, named.recording).await.map_err(stored)? {
            Some(_) => Err(held()),
            None => Ok(HttpResponse::NoContent().finish()),
        },
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// A file's id, or `thumbnail`. Absent: the file of the whole room that came first, or else the first.
    pub file: Option<String>,
    /// How long the link holds: 1 to 86,400 seconds, or what the server allows; 3,600 if absent.
    pub ttl_s: Option<u64>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Link {
    pub url: String,
    pub expires_at: u64,
}

/// A file that can be read, and what it is to be called.
pub struct Readable {
    pub path: ObjectPath,
    pub name: String,
}

/// One of a recording's files, or its picture, where it is there to be read.
pub fn readable(kept: &Kept, tenant: &TenantId, files: &[File], wanted: &str) -> Option<Readable> {
    let name = &kept.recording.name;
    if wanted == THUMBNAIL {
        let path = ObjectPath::parse(kept.picture.as_ref()?).ok()?;
        return Some(Readable { name: paths::file_name(name, None, &path), path });
    }
    let file = files.iter().find(|file| file.id == wanted && file.is_complete())?;
    let path = match &file.location {
        Some(location) => ObjectPath::parse(location).ok()?,
        None => paths::of_take(&kept.key(tenant), kept.recording.id, &file.path)?,
    };
    let part = (files.len() > 1).then_some(file.part.as_str());
    Some(Readable { name: paths::file_name(name, part, &path), path })
}

/// A link to a file, which a browser can open until it expires, without any other token. Whoever has it
/// can read the file: it is a secret.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/link", tag = "recordings", params(("id" = String, Path)), request_body = NewLink,
    responses((status = 200, description = "the link, and until when it holds", body = Link),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "an unknown recording or file, or one that is gone"),
        (status = 409, description = "`wrong_state`: there is no finished file yet"),
        (status = 422, description = "a time that cannot be")))]
pub async fn link(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let new: NewLink = post.body()?;
    let (edge, request) = (&post.edge, &post.request);
    let asking = asking(edge, &post.caller).await?;
    let ttl_s = new.ttl_s.unwrap_or(LINK_TTL_S.min(edge.link_ttl_s_max));
    if !(1..=edge.link_ttl_s_max).contains(&ttl_s) {
        return Err(Problem::wrong_data(format!("ttl_s is from 1 to {}", edge.link_ttl_s_max)));
    }
    let kept = asking.recording(edge, &id).await?;
    let files = edge.projections.files(&asking.tenant, kept.recording.id).await.map_err(stored)?;
    let file = match new.file {
        Some(file) => file,
        None => {
            let first = files.iter().find(|file| file.is_complete());
            let none = || Problem::from(Rejection::wrong_state("there is no finished file"));
            first.map(|file| file.id.clone()).ok_or_else(none)?
        }
    };
    if files.iter().any(|other| other.id == file && !other.is_complete() && other.state != "erased") {
        return Err(Rejection::wrong_state("the file is not finished").into());
    }
    let readable = readable(&kept, &asking.tenant, &files, &file).ok_or_else(Problem::not_found)?;
    post.once(|_| async move {
        let link = make(edge, request, &asking.tenant, &kept, file, &readable, ttl_s).await?;
        Ok((StatusCode::OK, json!(link)))
    })
    .await
}

async fn make(
    edge: &Edge,
    request: &HttpRequest,
    tenant: &TenantId,
    kept: &Kept,
    file: String,
    readable: &Readable,
    ttl_s: u64,
) -> Result<Link, Problem> {
    let objects = edge.keeper.objects();
    let there = objects.meta(&readable.path).await.map_err(|error| kept_back(error.into()))?;
    there.ok_or_else(Problem::not_found)?;
    let expires_at = edge.node.meetings().env().clock.now().saturating_add(ttl_s.saturating_mul(1_000));
    let (disposition, kind) = (paths::disposition(&readable.name), paths::content_type(&readable.path));
    let ttl = Duration::from_secs(ttl_s);
    let presigned = objects.presigned(&readable.path, ttl, &disposition, kind).await;
    if let Some(url) = presigned.map_err(|error| kept_back(error.into()))? {
        return Ok(Link { url, expires_at });
    }
    let grant = Grant { tenant: tenant.clone(), recording: kept.recording.id, file, expires_at };
    let unsigned = || Problem::from(Rejection::unavailable("the link cannot be made now"));
    let path = edge.links.link(&grant).ok_or_else(unsigned)?;
    Ok(Link { url: format!("{}{path}", base_url(edge, request)), expires_at })
}
