//! The report of a meeting: who was there and what happened, as JSON or as a page to print.

mod page;
mod tables;

use super::caller::Caller;
use super::meetings::info;
use super::people::{known, reader};
use super::reads::stored;
use super::{Edge, Problem};
use crate::projections::{Bounds, Reader, Report};
use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::{Data, Path, Query, block};
use convoke_domain::shapes::MeetingInfo;
use convoke_domain::{MeetingId, Millis, Rejection};
use serde::{Deserialize, Serialize};

/// The page needs nothing from anywhere, runs nothing, and stands in no other page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(Deserialize, utoipa::IntoParams)]
pub struct As {
    /// `json` (the default) or `html`.
    pub format: Option<String>,
}

/// What stands at the top of a report.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Heading {
    #[schema(value_type = String)]
    pub id: MeetingId,
    pub title: String,
    /// `scheduled`, `live`, `ended` or `cancelled`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// How long it lasted, or has lasted until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When the report was made.
    pub as_of: Millis,
}

impl Heading {
    fn new(info: MeetingInfo, as_of: Millis) -> Self {
        let lasted = |started: Millis| info.ended_at.unwrap_or(as_of).saturating_sub(started);
        Self {
            id: info.id,
            status: info.status.as_str(),
            scheduled_at: info.scheduled_at,
            started_at: info.started_at,
            ended_at: info.ended_at,
            duration_ms: info.started_at.map(lasted),
            title: info.title,
            as_of,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MeetingReport)]
pub struct Whole {
    pub meeting: Heading,
    #[serde(flatten)]
    pub report: Report,
}

/// Who was there, when and for how long, and what was done in the meeting: for the tenant's backend, and
/// for hosts and cohosts with a join token. Nobody is named by what they did anonymously, nor is it
/// counted as theirs. `cut` names lists that are not whole.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/report", tag = "people", params(("id" = String, Path), As),
    responses((status = 200, description = "the report", content((Whole = "application/json"), (String = "text/html"))),
        (status = 403, description = "neither a host nor a cohost"), (status = 404, description = "an unknown meeting"),
        (status = 422, description = "an unknown format")))]
pub async fn report(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    shown: Query<As>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    if let Reader::Participant(_) = reader {
        return Err(Rejection::not_permitted("only hosts and cohosts read the report").into());
    }
    let is_page = match shown.format.as_deref() {
        None | Some("json") => false,
        Some("html") => true,
        Some(_) => return Err(Problem::wrong_data("the format is json or html")),
    };
    let now = edge.node.meetings().env().clock.now();
    let meeting = Heading::new(info(&edge, &key).await?, now);
    let report = edge.projections.report(&key, reader, now, Bounds::default()).await.map_err(stored)?;
    let whole = Whole { meeting, report };
    // A large one takes a while, and this thread has sockets to serve.
    let write = move || match is_page {
        true => Ok(page::page(&whole)),
        false => serde_json::to_string(&whole),
    };
    let written = block(write).await.map_err(|_| Rejection::unavailable("the report was not made"))?;
    let text = written.map_err(|_| Rejection::unavailable("the report was not made"))?;
    let mut response = HttpResponse::Ok();
    match is_page {
        true => response.content_type("text/html; charset=utf-8").insert_header((CONTENT_SECURITY_POLICY, POLICY)),
        false => response.content_type("application/json"),
    };
    Ok(response.body(text))
}
