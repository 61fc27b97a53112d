//! Who calls: the bearer token of a request, checked and limited before a handler runs. A failed
//! authentication counts against its address, a good one against its key.

use super::limits::Budget;
use super::{Edge, Problem};
use crate::auth::{Bearer, JoinClaims};
use crate::config::Proxies;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
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
    let budget = match admit(&mut request) {
        Ok(budget) => budget,
        Err(problem) => return Ok(request.into_response(problem.error_response()).map_into_boxed_body()),
    };
    let mut response = next.call(request).await?.map_into_boxed_body();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(budget.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(budget.remaining));
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(budget.reset_s));
    Ok(response)
}

fn admit(request: &mut ServiceRequest) -> Result<Budget, Problem> {
    let edge = request.app_data::<Data<Edge>>().cloned().ok_or_else(Problem::not_found)?;
    let from = address(request.request(), &edge.proxies);
    let (caller, key) = match bearer(request).map(|token| edge.keyring.verify(&token)) {
        Some(Ok(Bearer::Api { tenant, key })) => (Some(Caller::Api(tenant)), key),
        Some(Ok(Bearer::Join(claims))) => {
            let key = claims.key.clone();
            (Some(Caller::Join(claims)), key)
        }
        // Accepting an invitation needs no token; its code is one. Guesses count as failures.
        None if request.path().ends_with("/accept") => (None, format!("address {from}")),
        _ => {
            edge.limits.fail(from).map_err(Problem::too_many)?;
            return Err(Problem::unauthenticated());
        }
    };
    let budget = edge.limits.take(&key).map_err(Problem::too_many)?;
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    Ok(budget)
}
