//! A POST, and how often it has an effect. With an `Idempotency-Key` it is done once, and a repetition is
//! given the first answer again; what is done bears an id that was reserved beforehand, so that a
//! crash between the effect and its answer leaves one effect, too.

use super::caller::Caller;
use super::reads::{body, digest, stored};
use super::{Edge, Problem};
use crate::projections::Reserved;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use convoke_actors::node::Done;
use convoke_actors::ports::MeetingKey;
use convoke_domain::{Code, Command};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;
use uuid::Uuid;

const KEY_CHARS_MAX: usize = 255;

/// Everything that came with it.
pub struct Post {
    pub edge: Data<Edge>,
    pub caller: Caller,
    pub request: HttpRequest,
    bytes: Bytes,
}

impl FromRequest for Post {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let parts = <(Data<Edge>, Caller, Bytes)>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let (edge, caller, bytes) = parts.await?;
            Ok(Self { edge, caller, request, bytes })
        })
    }
}

impl Post {
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        body(&self.bytes)
    }

    /// Does it, or gives the answer of the first time. The effect is handed the reserved id.
    pub async fn once<F>(&self, effect: impl FnOnce(Uuid) -> F) -> Result<HttpResponse, Problem>
    where
        F: Future<Output = Result<(StatusCode, serde_json::Value), Problem>>,
    {
        let Self { edge, caller, request, bytes } = self;
        let resource = Uuid::now_v7();
        let Some(key) = request.headers().get("idempotency-key") else {
            let (status, value) = effect(resource).await?;
            return Ok(HttpResponse::build(status).json(value));
        };
        let key = key.to_str().map_err(|_| Problem::wrong_data("the Idempotency-Key is not text"))?;
        if key.is_empty() || key.len() > KEY_CHARS_MAX {
            return Err(Problem::wrong_data("the Idempotency-Key is from 1 to 255 characters"));
        }
        let tenant = caller.of();
        let who = match caller {
            Caller::Api(_) => String::new(),
            Caller::Join(claims) => claims.user.as_ref().map(|user| user.0.clone()).unwrap_or_default(),
        };
        // Two paths to one thing are one route.
        let path = request.path().replacen("/api/v1/rooms/", "/api/v1/meetings/", 1);
        let route = format!("{path} {who}");
        let clock = edge.node.meetings().env().clock.now();
        let reserved = edge.projections.reserve(tenant, &route, key, &digest(bytes), resource, clock).await;
        match reserved.map_err(stored)? {
            Reserved::OtherBody => Err(Problem::new(
                StatusCode::CONFLICT,
                Code::Conflict,
                "this Idempotency-Key was used with another body",
            )),
            Reserved::Answered { status, response } => {
                let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                let status = status.unwrap_or(StatusCode::OK);
                Ok(HttpResponse::build(status).content_type("application/json").body(response))
            }
            Reserved::Do { resource, .. } => {
                let (status, value) = effect(resource).await?;
                let text = value.to_string();
                edge.projections.keep_answer(tenant, &route, key, status.as_u16(), &text).await.map_err(stored)?;
                Ok(HttpResponse::build(status).content_type("application/json").body(text))
            }
        }
    }

    /// Runs a command that has one effect under this id, and brings what is read up to it.
    pub async fn run(&self, key: &MeetingKey, id: Uuid, command: Command) -> Result<Done, Problem> {
        let done = self.edge.node.once(key, id, self.caller.by(), command).await?;
        self.edge.projections.catch_up(key).await.map_err(stored)?;
        Ok(done)
    }
}
