//! Whiteboards as files, for whoever may look at them. What people drew is theirs: a picture that a browser
//! opens runs nothing and fetches nothing.

use super::sending::Sending;
use super::{Found, Refusals, readable};
use crate::http::caller::Caller;
use crate::http::reads::{digest, stored};
use crate::http::{Edge, Problem};
use crate::objects::paths;
use crate::whiteboards::{Failure, File, Format, Made};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use convoke_actors::ports::{BoardLog, MeetingKey, StoreError};
use convoke_domain::{Code, Rejection};
use serde::Deserialize;
use std::fmt::Display;

/// When whoever finds too many exports under way may come again.
const LATER_MS: u64 = 5_000;
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

#[derive(Deserialize, utoipa::IntoParams)]
pub struct AsFile {
    /// `json` (a file of Excalidraw; if absent), `svg` or `png`.
    pub format: Option<String>,
}

impl AsFile {
    pub fn format(&self) -> Result<Format, Problem> {
        Format::of(self.format.as_deref()).ok_or_else(|| Problem::wrong_data("the format is json, svg or png"))
    }
}

/// What is on a whiteboard, as a file; also when its meeting is over. A board that is too large for a picture
/// is still a file of the format `json`.
#[utoipa::path(get, path = "/api/v1/whiteboards/{id}/export", tag = "whiteboards", params(("id" = String, Path), AsFile),
    responses((status = 200, description = "the file",
            content((Object = "application/json"), (String = "image/svg+xml"), (String = "image/png"))),
        (status = 304, description = "it is as it was by `If-None-Match`"),
        (status = 503, description = "`unavailable`: too many exports are under way; `Retry-After` says when to come again"),
        Refusals))]
pub async fn export(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    wanted: Query<AsFile>,
) -> Result<HttpResponse, Problem> {
    let format = wanted.format()?;
    let Found { key, board, number } = readable(&edge, &caller, &id).await?;
    if let Some(unchanged) = unchanged(&request, &tag(number, &board.name), format) {
        return Ok(unchanged);
    }
    let (store, id) = (edge.node.meetings().env().store.clone(), board.id);
    let of = key.clone();
    let read = async move { store.board(&of, id).await };
    let Made { file, number } = made(&edge, &key, &board.name, format, read).await?;
    Ok(sent(&tag(number, &board.name), format, &board.name, file))
}

/// A file of what is read. What it takes too much work to paint is refused, and so is more work than is done.
pub async fn made<R>(edge: &Edge, key: &MeetingKey, name: &str, format: Format, read: R) -> Result<Made, Problem>
where
    R: Future<Output = Result<BoardLog, StoreError>> + Send + 'static,
{
    let made = edge.exporter.export(key, name.to_owned(), format, read).await;
    let outcome = match &made {
        Ok(_) => "made",
        Err(Failure::Busy) => "busy",
        Err(Failure::Picture(_)) => "refused",
        Err(Failure::Store(_) | Failure::Broken(_)) => "failed",
    };
    metrics::counter!("convoke_whiteboard_exports_total", "outcome" => outcome).increment(1);
    made.map_err(|failure| match failure {
        Failure::Busy => {
            let later = Rejection::unavailable("too many exports are under way");
            Rejection { retry_after_ms: Some(LATER_MS), ..later }.into()
        }
        Failure::Store(error) => stored(error),
        Failure::Picture(error) if error.code() == Code::TooLarge.as_str() => {
            Rejection::too_large(error.to_string()).into()
        }
        failure @ (Failure::Picture(_) | Failure::Broken(_)) => {
            tracing::error!(%failure, "a board could not be made into a file");
            Rejection::new(Code::Internal, "the file could not be made").into()
        }
    })
}

/// What tells states of a file apart: what it shows, and its name, which stands in it.
pub fn tag(state: impl Display, name: &str) -> String {
    format!("\"{state}-{}\"", digest(name.as_bytes()).get(..8).unwrap_or_default())
}

/// The answer to a client that has the file already.
pub fn unchanged(request: &HttpRequest, tag: &str, format: Format) -> Option<HttpResponse> {
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    // A proxy that compresses makes a weak tag of ours.
    let is_ours = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag;
    let has_it = known.flat_map(|tags| tags.split(',')).map(str::trim).any(is_ours);
    has_it.then(|| head(tag, format).status(StatusCode::NOT_MODIFIED).finish())
}

fn head(tag: &str, format: Format) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, "private, no-cache"));
    if format == Format::Svg {
        response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    }
    response
}

pub fn sent(tag: &str, format: Format, name: &str, file: File) -> HttpResponse {
    let name = paths::cleaned(name);
    let name = if name.is_empty() { "Whiteboard" } else { &name };
    let name = format!("{name}.{}", format.ending());
    head(tag, format)
        .insert_header((CONTENT_TYPE, format.content_type()))
        .insert_header((CONTENT_DISPOSITION, paths::disposition(&name)))
        .body(Sending::new(file))
}
