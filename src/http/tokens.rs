//! Join tokens: the way into a meeting.

use super::post::Post;
use super::reads::stored;
use super::{Edge, Problem};
use crate::auth::{JOIN_TTL_S_MAX, Mint};
use actix_web::http::StatusCode;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use convoke_domain::shapes::Role;
use convoke_domain::{TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub const TTL_S: u64 = 3_600;
const NAME_CHARS_MAX: usize = 128;

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

pub fn base_url(edge: &Edge, request: &HttpRequest) -> String {
    base_of(edge.public_url.as_deref(), request)
}

/// What clients reach this server by.
pub fn base_of(public_url: Option<&str>, request: &HttpRequest) -> String {
    public_url.map_or_else(
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
pub async fn token(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let tenant = post.caller.tenant()?.clone();
    let key = post.caller.meeting(&id)?;
    let new: NewToken = post.body()?;
    let ttl_s = new.ttl_s.unwrap_or(TTL_S);
    if ttl_s == 0 || ttl_s > JOIN_TTL_S_MAX {
        return Err(Problem::wrong_data(format!("ttl_s is from 1 to {JOIN_TTL_S_MAX}")));
    }
    if new.name.trim().is_empty() || new.name.chars().count() > NAME_CHARS_MAX {
        return Err(Problem::wrong_data("name is from 1 to 128 characters"));
    }
    post.edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    post.once(|_| async {
        let mint =
            Mint { meeting: key.meeting, user: new.user.map(UserId), name: Some(new.name), role: new.role, ttl_s };
        Ok((StatusCode::OK, json!(minted(&post.edge, &post.request, &tenant, mint)?)))
    })
    .await
}

pub fn minted(edge: &Edge, request: &HttpRequest, tenant: &TenantId, mint: Mint) -> Result<Token, Problem> {
    let (token, expires_at) = edge.keyring.mint_join(tenant, mint).ok_or_else(Problem::not_found)?;
    // Behind the `#` it reaches no server and no log.
    let join_url = format!("{}/join#token={token}", base_url(edge, request));
    Ok(Token { token, expires_at, join_url })
}
