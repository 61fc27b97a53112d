//! Who calls: the bearer token of a request, checked and limited before a handler runs. A failed
//! authentication counts against its address, a good one against its key.

use super::limits::{Budget, Who};
use super::{Edge, Problem, problem};
use crate::auth::{Bearer, JoinClaims};
use crate::config::Proxies;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use convoke_actors::ports::MeetingKey;
use convoke_domain::{By, MeetingId, TenantId};
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr};

/// Somebody with a valid token.
#[derive(Clone, Debug)]
pub enum Caller {
    Api(TenantId),
    Join(JoinClaims),
}

impl Caller {
    /// Only the tenant's backend.
    pub fn tenant(&self) -> Result<&TenantId, Problem> {
        match self {
            Self::Api(tenant) => Ok(tenant),
            Self::Join(_) => Err(Problem::from(convoke_domain::Rejection::not_permitted("an API token is needed"))),
        }
    }

    /// Whose caller it is.
    pub fn of(&self) -> &TenantId {
        match self {
            Self::Api(tenant) => tenant,
            Self::Join(claims) => &claims.tenant,
        }
    }

    /// The meeting of this id, if it is the caller's: an unknown one and another's look the same.
    pub fn meeting(&self, id: &str) -> Result<MeetingKey, Problem> {
        let meeting: MeetingId = id.parse().map_err(|_| Problem::not_found())?;
        match self {
            Self::Api(tenant) => Ok(MeetingKey { tenant: tenant.clone(), meeting }),
            Self::Join(claims) if claims.meeting == meeting => {
                Ok(MeetingKey { tenant: claims.tenant.clone(), meeting })
            }
            Self::Join(_) => Err(Problem::not_found()),
        }
    }

    pub fn by(&self) -> By {
        match self {
            Self::Api(_) => By::Operator,
            Self::Join(claims) => By::Token { user: claims.user.clone(), role: claims.role },
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(Problem::unauthenticated))
    }
}

/// The address that a request comes from. Proxies are believed where they are trusted.
pub fn address(request: &HttpRequest, proxies: &Proxies) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded: Vec<&str> =
        request.headers().get_all("x-forwarded-for").filter_map(|line| line.to_str().ok()).collect();
    proxies.client(peer, forwarded.into_iter())
}

fn bearer(request: &ServiceRequest) -> Option<String> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The guard of everything under `/api/v1`.
pub async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let (budget, mut response) = match admit(&mut request).await {
        Ok(budget) => (Some(budget), next.call(request).await?.map_into_boxed_body()),
        Err((budget, problem)) => (budget, request.into_response(problem.error_response()).map_into_boxed_body()),
    };
    if is_the_frameworks(response.response()) {
        let error = response.response().error();
        let is_query = error.is_some_and(|error| error.as_error::<QueryPayloadError>().is_some());
        let status = if is_query { StatusCode::UNPROCESSABLE_ENTITY } else { response.status() };
        let detail = error.map(ToString::to_string).unwrap_or_default();
        let problem = Problem::of_status(status, detail).error_response();
        response = response.into_response(problem).map_into_boxed_body();
    }
    if let Some(budget) = budget {
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(budget.limit));
        headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(budget.remaining));
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(budget.reset_s));
    }
    Ok(response)
}

/// A refusal of the framework's own, before a handler was asked: a body that is too large, a query
/// that cannot be read. It is not a problem document yet.
fn is_the_frameworks<B>(response: &HttpResponse<B>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    response.status().is_client_error() && kind.is_none_or(|kind| kind != problem::CONTENT_TYPE)
}

/// Err with what is left of the caller's budget, where it is known whose it is.
async fn admit(request: &mut ServiceRequest) -> Result<Budget, (Option<Budget>, Problem)> {
    let edge = request.app_data::<Data<Edge>>().cloned().ok_or_else(|| (None, Problem::not_found()))?;
    let from = address(request.request(), &edge.proxies);
    let (caller, who) = match bearer(request).map(|token| edge.keyring.verify(&token)) {
        Some(Ok(Bearer::Api { tenant, key })) => {
            let who = Who::Key { tenant: tenant.clone(), key };
            (Some(Caller::Api(tenant)), who)
        }
        Some(Ok(Bearer::Join(claims))) => {
            let who = Who::Key { tenant: claims.tenant.clone(), key: claims.key.clone() };
            (Some(Caller::Join(claims)), who)
        }
        // Accepting an invitation needs no token; its code is one. Guesses count as failures.
        None if request.path().ends_with("/accept") => (None, Who::Address(from)),
        _ => {
            edge.limits.fail(from).await.map_err(|wait| (None, Problem::too_many(wait)))?;
            return Err((None, Problem::unauthenticated()));
        }
    };
    let budget = edge.limits.take(&who).await.map_err(|spent| (Some(spent), Problem::too_many(spent.reset_s)))?;
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    Ok(budget)
}
