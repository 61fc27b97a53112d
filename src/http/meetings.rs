//! Meetings: made, listed, changed, started, ended; tokens and invitations to them; their log.

use super::caller::Caller;
use super::reads::{Paging, body, digest, list, once, stored};
use super::{Edge, Problem};
use crate::auth::{JOIN_TTL_S_MAX, Mint};
use crate::projections::InvitationRow;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use convoke_actors::node::Done;
use convoke_actors::ports::{EventRow, MeetingKey};
use convoke_domain::command::{Create, NewInvitation, Nothing};
use convoke_domain::shapes::{Role, Settings, SettingsPatch};
use convoke_domain::{By, Code, Command, InvitationId, MeetingId, Rejection, Seq, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

const TTL_S: u64 = 3_600;
const INVITATIONS_AT_ONCE: usize = 100;
const EVENTS_PAGE: u32 = 500;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMeeting {
    pub title: String,
    /// Unix milliseconds, UTC.
    pub scheduled_at: Option<u64>,
    /// An iCalendar RRULE, kept and shown back.
    pub recurrence: Option<String>,
    #[schema(value_type = Object)]
    pub settings: Option<SettingsPatch>,
}

/// Makes a meeting.
#[utoipa::path(post, path = "/api/v1/meetings", tag = "meetings", request_body = NewMeeting,
    responses((status = 201, description = "the meeting")))]
pub async fn create(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?.clone();
    let new: NewMeeting = body(&bytes)?;
    let edge = &edge;
    once(edge, &caller, &request, &bytes, |id| async move {
        let key = MeetingKey { tenant: tenant.clone(), meeting: MeetingId(id) };
        let create = Create {
            tenant,
            id: MeetingId(id),
            title: new.title,
            scheduled_at: new.scheduled_at,
            recurrence: new.recurrence,
            settings: Settings::default().patched(&new.settings.unwrap_or_default()),
        };
        match edge.node.create(create).await {
            Ok(_) => {}
            // The same key once more, after a crash between the effect and its answer.
            Err(rejection) if rejection.code == Code::Conflict => {}
            Err(rejection) => return Err(rejection.into()),
        }
        edge.projections.catch_up(&key).await.map_err(stored)?;
        let meeting = edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
        Ok((StatusCode::CREATED, serde_json::from_str(meeting.get()).unwrap_or_default()))
    })
    .await
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// `scheduled`, `live`, `ended` or `cancelled`.
    pub status: Option<String>,
    /// Part of the title.
    pub q: Option<String>,
}

/// The tenant's meetings, newest first.
#[utoipa::path(get, path = "/api/v1/meetings", tag = "meetings", params(Filter, Paging),
    responses((status = 200, description = "a page of meetings")))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    filter: Query<Filter>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    if filter.status.as_ref().is_some_and(|s| !["scheduled", "live", "ended", "cancelled"].contains(&s.as_str())) {
        return Err(Problem::wrong_data("there is no such status"));
    }
    let page = edge
        .projections
        .meetings(tenant, filter.status.as_deref(), filter.q.as_deref(), paging.uuid()?, paging.limit()?)
        .await
        .map_err(stored)?;
    Ok(list(page, |(_, meeting)| meeting))
}

/// One meeting.
#[utoipa::path(get, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)),
    responses((status = 200, description = "the meeting"), (status = 404, description = "unknown, or another tenant's")))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let meeting = edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(meeting))
}

/// Runs a command and answers with the meeting as it is then.
async fn run(edge: &Edge, key: &MeetingKey, by: By, command: Command) -> Result<Done, Problem> {
    let done = edge.node.command(key, by, command).await?;
    edge.projections.catch_up(key).await.map_err(stored)?;
    Ok(done)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    pub title: Option<String>,
    pub scheduled_at: Option<u64>,
    #[schema(value_type = Object)]
    pub settings: Option<SettingsPatch>,
}

/// Changes a meeting.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)), request_body = Changes,
    responses((status = 200, description = "the meeting")))]
pub async fn update(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    caller.tenant()?;
    let key = caller.meeting(&id)?;
    let Changes { title, scheduled_at, settings } = body(&bytes)?;
    let done = run(&edge, &key, caller.by(), Command::UpdateMeeting { title, settings, scheduled_at }).await?;
    Ok(HttpResponse::Ok().json(done.meeting))
}

/// Cancels a meeting that has not started.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)),
    responses((status = 204, description = "cancelled"), (status = 409, description = "it has started")))]
pub async fn cancel(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    caller.tenant()?;
    run(&edge, &caller.meeting(&id)?, caller.by(), Command::CancelMeeting).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Starts a meeting.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/start", tag = "meetings", params(("id" = String, Path)), request_body = (),
    responses((status = 200, description = "the meeting, live"), (status = 409, description = "it is not scheduled")))]
pub async fn start(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    command(&edge, &caller, &request, &bytes, &id, Command::StartMeeting(Nothing {})).await
}

/// Ends a meeting for everybody.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/end", tag = "meetings", params(("id" = String, Path)), request_body = (),
    responses((status = 200, description = "the meeting, ended"), (status = 409, description = "it is over already")))]
pub async fn end(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    command(&edge, &caller, &request, &bytes, &id, Command::EndMeeting(Nothing {})).await
}

async fn command(
    edge: &Edge,
    caller: &Caller,
    request: &HttpRequest,
    bytes: &Bytes,
    id: &str,
    command: Command,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(id)?;
    once(edge, caller, request, bytes, |_| async {
        let done = run(edge, &key, caller.by(), command).await?;
        Ok((StatusCode::OK, json!(done.meeting)))
    })
    .await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Absent: a guest.
    pub user: Option<String>,
    pub name: String,
    #[schema(value_type = String)]
    pub role: Role,
    /// At most 86400.
    pub ttl_s: Option<u64>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Token {
    pub token: String,
    pub expires_at: u64,
    pub join_url: String,
}

fn base_url(edge: &Edge, request: &HttpRequest) -> String {
    edge.public_url.clone().map_or_else(
        || {
            let info = request.connection_info();
            format!("{}://{}", info.scheme(), info.host())
        },
        |url| url.trim_end_matches('/').to_owned(),
    )
}

/// A join token for somebody.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/tokens", tag = "meetings", params(("id" = String, Path)), request_body = NewToken,
    responses((status = 200, description = "the token", body = Token)))]
pub async fn token(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?.clone();
    let key = caller.meeting(&id)?;
    let new: NewToken = body(&bytes)?;
    let ttl_s = new.ttl_s.unwrap_or(TTL_S);
    if ttl_s == 0 || ttl_s > JOIN_TTL_S_MAX {
        return Err(Problem::wrong_data(format!("ttl_s is from 1 to {JOIN_TTL_S_MAX}")));
    }
    if new.name.trim().is_empty() || new.name.chars().count() > 128 {
        return Err(Problem::wrong_data("name is from 1 to 128 characters"));
    }
    edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    once(&edge, &caller, &request, &bytes, |_| async {
        let mint =
            Mint { meeting: key.meeting, user: new.user.map(UserId), name: Some(new.name), role: new.role, ttl_s };
        Ok((StatusCode::OK, json!(minted(&edge, &request, &tenant, mint)?)))
    })
    .await
}

fn minted(edge: &Edge, request: &HttpRequest, tenant: &convoke_domain::TenantId, mint: Mint) -> Result<Token, Problem> {
    let (token, expires_at) = edge.keyring.mint_join(tenant, mint).ok_or_else(Problem::not_found)?;
    // Behind the `#` it reaches no server and no log.
    let join_url = format!("{}/join#token={token}", base_url(edge, request));
    Ok(Token { token, expires_at, join_url })
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitations {
    pub emails: Vec<String>,
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
}

/// Invites people: each is given a code of their own, which is told once and only here.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/invitations", tag = "invitations", params(("id" = String, Path)),
    request_body = NewInvitations, responses((status = 201, description = "the invitations, with their codes")))]
pub async fn invite(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let NewInvitations { emails, role } = body(&bytes)?;
    let role = role.unwrap_or(Role::Participant);
    if emails.is_empty() || emails.len() > INVITATIONS_AT_ONCE {
        return Err(Problem::wrong_data(format!("emails has from 1 to {INVITATIONS_AT_ONCE} entries")));
    }
    if let Some(wrong) = emails.iter().position(|email| !looks_like_email(email)) {
        return Err(Problem::wrong_data(format!("emails[{wrong}] is not an address")));
    }
    if role.is_service() || (role == Role::Host && !matches!(caller, Caller::Api(_))) {
        return Err(Problem::from(Rejection::not_permitted("an invitation cannot give this role")));
    }
    once(&edge, &caller, &request, &bytes, |_| async {
        let mut shown = Vec::new();
        let mut invitations = Vec::new();
        for email in emails {
            let code = format!("{:032x}", rand::random::<u128>());
            let id = InvitationId(Uuid::now_v7());
            let url = format!("{}/invite#code={code}", base_url(&edge, &request));
            shown.push(json!({ "id": id, "email": email, "role": role, "code": code, "url": url }));
            invitations.push(NewInvitation { id, email, role, code_digest: digest(code.as_bytes()) });
        }
        run(&edge, &key, caller.by(), Command::Invite { invitations }).await?;
        Ok((StatusCode::CREATED, json!({ "items": shown })))
    })
    .await
}

fn looks_like_email(text: &str) -> bool {
    text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The meeting's invitations, without their codes.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/invitations", tag = "invitations", params(("id" = String, Path), Paging),
    responses((status = 200, description = "a page of invitations", body = [InvitationRow])))]
pub async fn invitations(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    if let Caller::Join(claims) = &caller
        && !claims.role.leads()
    {
        return Err(Problem::from(Rejection::not_permitted("only hosts see the invitations")));
    }
    edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    let page = edge.projections.invitations(&key, paging.uuid()?, paging.limit()?).await.map_err(stored)?;
    Ok(list(page, |row| row))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct Accept {
    pub name: String,
}

/// Accepts an invitation: a join token for whoever holds its code.
#[utoipa::path(post, path = "/api/v1/invitations/{code}/accept", tag = "invitations", params(("code" = String, Path)),
    request_body = Accept, responses((status = 200, description = "the token", body = Token), (status = 404, description = "no such code")))]
pub async fn accept(
    edge: Data<Edge>,
    request: HttpRequest,
    code: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Accept { name } = body(&bytes)?;
    let found = edge.projections.invitation(&digest(code.as_bytes())).await.map_err(stored)?;
    let Some((key, id, role)) = found else {
        edge.limits.fail(super::caller::address(&request, &edge.proxies)).map_err(Problem::too_many)?;
        return Err(Problem::not_found());
    };
    // The invited person is known by their invitation, whatever name they give.
    let user = Some(UserId(format!("invite:{id}")));
    let mint = Mint { meeting: key.meeting, user, name: Some(name), role, ttl_s: TTL_S };
    Ok(HttpResponse::Ok().json(minted(&edge, &request, &key.tenant, mint)?))
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct After {
    /// Only events after this seq.
    pub after: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: Seq,
    at: u64,
    #[serde(rename = "type")]
    kind: &'a str,
    data: &'a serde_json::value::RawValue,
    audience: &'a serde_json::value::RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<convoke_domain::Cause>,
}

fn line(row: &EventRow) -> Option<String> {
    let line = Line {
        seq: row.seq,
        at: row.at,
        kind: &row.kind,
        data: serde_json::from_str(&row.data).ok()?,
        audience: serde_json::from_str(&row.audience).ok()?,
        cause: row.cause,
    };
    Some(format!("{}\n", serde_json::to_string(&line).ok()?))
}

/// The meeting's log as NDJSON, one event a line, from the store page by page.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/events", tag = "meetings", params(("id" = String, Path), After),
    responses((status = 200, description = "NDJSON: {seq, at, type, data, audience, cause?} a line", content_type = "application/x-ndjson")))]
pub async fn events(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    after: Query<After>,
) -> Result<HttpResponse, Problem> {
    caller.tenant()?;
    let key = caller.meeting(&id)?;
    edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    let node = edge.node.clone();
    let pages = futures_util::stream::try_unfold(Some(Seq(after.after.unwrap_or(0))), move |cursor| {
        let (node, key) = (node.clone(), key.clone());
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let rows = node.events(&key, cursor, EVENTS_PAGE).await.map_err(Problem::from)?;
            let Some(last) = rows.last().map(|row| row.seq) else { return Ok(None) };
            let text: String = rows.iter().filter_map(line).collect();
            Ok::<_, Problem>(Some((Bytes::from(text), Some(last))))
        }
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(pages))
}
