//! A meeting's log, for its tenant.

use super::caller::Caller;
use super::reads::stored;
use super::{Edge, Problem};
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_actors::ports::EventRow;
use convoke_domain::{Seq, SessionId};
use serde::{Deserialize, Serialize};

const PAGE: u32 = 500;

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
    cause: Option<By>,
}

/// What whoever reads the log is told. Keys of pseudonyms are for nobody: whoever has one could try the
/// ids of all who were there. Nor are the numbers that stand in for what was forgotten: beside the causes
/// of everything else they might tell who took part.
fn told(row: &EventRow) -> &str {
    let is_secret = row.kind == "anonymity.begun" || row.kind == "anonymity.ended";
    if is_secret { "{}" } else { &row.data }
}

/// The session whose command an event came of. Not the command's number: between the numbers of all
/// that is done by name, those that are missing would tell who did what is anonymous.
#[derive(Serialize)]
struct By {
    session: SessionId,
}

fn by(row: &EventRow) -> Option<By> {
    let may_be_anonymous = ["poll.voted", "question.asked", "question.vote_set"].contains(&row.kind.as_str());
    row.cause.filter(|_| !may_be_anonymous).map(|cause| By { session: cause.session })
}

fn line(row: &EventRow) -> Option<String> {
    let line = Line {
        seq: row.seq,
        at: row.at,
        kind: &row.kind,
        data: serde_json::from_str(told(row)).ok()?,
        audience: serde_json::from_str(&row.audience).ok()?,
        cause: by(row),
    };
    Some(format!("{}\n", serde_json::to_string(&line).ok()?))
}

/// The meeting's log as NDJSON, one event a line, from the store page by page.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/events", tag = "meetings", params(("id" = String, Path), After),
    responses((status = 200, description = "NDJSON: {seq, at, type, data, audience, cause?: {session}} a line", content_type = "application/x-ndjson")))]
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
            let rows = node.events(&key, cursor, PAGE).await.map_err(Problem::from)?;
            let Some(last) = rows.last().map(|row| row.seq) else { return Ok(None) };
            let text: String = rows.iter().filter_map(line).collect();
            Ok::<_, Problem>(Some((Bytes::from(text), Some(last))))
        }
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(pages))
}
