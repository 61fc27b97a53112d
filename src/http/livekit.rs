//! Where LiveKit's webhooks come in. The guard of the API does not stand here: a webhook has no token of a
//! tenant, but LiveKit's own signature, and forged ones are counted by address, apart from failed
//! authentications. The head is checked before the body is read, and the body before it is parsed.

use super::caller::address;
use super::{Edge, Problem};
use crate::news::{BODY_BYTES_MAX, Inlet, Refusal};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use actix_web::web::{BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use convoke_actors::supervisor::Meetings;
use convoke_domain::{Code, Rejection};
use futures_util::StreamExt;
use std::time::Duration;

/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);

fn problem(refusal: Refusal) -> Problem {
    let (status, code, detail) = match refusal {
        Refusal::Forged => (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "LiveKit has not signed this"),
        Refusal::Expired => {
            (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "the signature is over, or not valid yet")
        }
        Refusal::Altered => (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "the signature is not of this body"),
        Refusal::Oversized => (StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, "the body is too large"),
        Refusal::Slow => (StatusCode::REQUEST_TIMEOUT, Code::BadRequest, "the body did not come"),
        Refusal::Malformed => (StatusCode::BAD_REQUEST, Code::BadRequest, "the body is not a webhook"),
        Refusal::Stale => (StatusCode::BAD_REQUEST, Code::BadRequest, "it happened too long ago, or in the future"),
    };
    Problem::new(status, code, detail)
}

/// What LiveKit says happened in a room, or to an egress. Signed by LiveKit with its API secret: a JWT in
/// `Authorization`, without a scheme, whose `sha256` is the body's. Answered at once; one that comes again
/// under its id, or is of an unknown room, is answered like any other and has no effect.
#[utoipa::path(post, path = "/api/v1/webhooks/livekit", tag = "media",
    request_body(content = String, content_type = "application/webhook+json", description = "a WebhookEvent of LiveKit"),
    responses(
        (status = 200, description = "taken"),
        (status = 400, description = "not a webhook, or of another time"),
        (status = 401, description = "not signed by LiveKit, or not this body"),
        (status = 404, description = "there is no LiveKit"),
        (status = 413, description = "the body is too large"),
        (status = 429, description = "too many that were not signed, from this address"),
        (status = 503, description = "the node stops; another takes it"),
    ))]
pub async fn webhook(
    request: HttpRequest,
    inlet: Option<Data<Inlet>>,
    edge: Data<Edge>,
    meetings: Data<Meetings>,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let inlet = inlet.ok_or_else(Problem::not_found)?;
    if meetings.is_stopping() {
        return Err(Rejection::unavailable("the node stops").into());
    }
    match receive(&request, &inlet, body).await {
        Ok(()) => Ok(HttpResponse::Ok().finish()),
        Err(refusal) => {
            if matches!(refusal.count(), Refusal::Forged | Refusal::Expired | Refusal::Altered) {
                let from = address(&request, &edge.proxies);
                edge.limits.forge(from).await.map_err(Problem::too_many)?;
            }
            Err(problem(refusal))
        }
    }
}

async fn receive(request: &HttpRequest, inlet: &Inlet, body: Payload) -> Result<(), Refusal> {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let seal = inlet.admit(token.ok_or(Refusal::Forged)?)?;
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(Refusal::Oversized);
    }
    let body = tokio::time::timeout(BODY, read(body)).await.map_err(|_| Refusal::Slow)??;
    inlet.take(&seal, &body)
}

/// Reads no more than may be there, whatever was declared.
async fn read(mut body: Payload) -> Result<BytesMut, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Refusal::Slow)?;
        if whole.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(Refusal::Oversized);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}
