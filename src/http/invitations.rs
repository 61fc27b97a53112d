//! Invitations: made, listed, accepted.

use super::caller::Caller;
use super::post::Post;
use super::reads::{List, Paging, body, digest, list, stored};
use super::tokens::{TTL_S, Token, base_url, minted};
use super::{Edge, Problem};
use crate::auth::Mint;
use crate::projections::InvitationRow;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use convoke_domain::command::NewInvitation;
use convoke_domain::shapes::Role;
use convoke_domain::{Command, InvitationId, Rejection, UserId};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

const AT_ONCE_MAX: usize = 100;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitations {
    pub emails: Vec<String>,
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
}

/// Invites people: each is given a code of their own, which is told here, and mailed to them where a
/// mail server is configured.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/invitations", tag = "invitations", params(("id" = String, Path)),
    request_body = NewInvitations, responses((status = 201, description = "the invitations, with their codes")))]
pub async fn invite(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let key = post.caller.meeting(&id)?;
    let NewInvitations { emails, role } = post.body()?;
    let role = role.unwrap_or(Role::Participant);
    if emails.is_empty() || emails.len() > AT_ONCE_MAX {
        return Err(Problem::wrong_data(format!("emails has from 1 to {AT_ONCE_MAX} entries")));
    }
    if let Some(wrong) = emails.iter().position(|email| !looks_like_email(email)) {
        return Err(Problem::wrong_data(format!("emails[{wrong}] is not an address")));
    }
    if role.is_service() || (role == Role::Host && !matches!(post.caller, Caller::Api(_))) {
        return Err(Problem::from(Rejection::not_permitted("an invitation cannot give this role")));
    }
    let (post, edge, key) = (&post, &post.edge, &key);
    post.once(|resource| async move {
        let mut shown = Vec::new();
        let mut invitations = Vec::new();
        for (id, email) in ids_from(resource).zip(emails) {
            let code = edge.codes.code(&key.tenant, id).ok_or_else(Problem::not_found)?;
            let url = format!("{}/invite#code={code}", base_url(edge, &post.request));
            shown.push(json!({ "id": id, "email": email, "role": role, "code": code, "url": url }));
            invitations.push(NewInvitation { id, email, role, code_digest: digest(code.as_bytes()) });
        }
        post.run(key, resource, Command::Invite { invitations }).await?;
        Ok((StatusCode::CREATED, json!({ "items": shown })))
    })
    .await
}

/// The ids of invitations made together: the reserved one, and those after it.
fn ids_from(first: Uuid) -> impl Iterator<Item = InvitationId> {
    (0..).map(move |number: u128| InvitationId(Uuid::from_u128(first.as_u128().wrapping_add(number))))
}

fn looks_like_email(text: &str) -> bool {
    text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The meeting's invitations, without their codes.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/invitations", tag = "invitations", params(("id" = String, Path), Paging),
    responses((status = 200, description = "a page of invitations", body = List<InvitationRow>),
        (status = 404, description = "an unknown meeting")))]
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
        let from = super::caller::address(&request, &edge.proxies);
        edge.limits.fail(from).await.map_err(Problem::too_many)?;
        return Err(Problem::not_found());
    };
    // The invited person is known by their invitation, whatever name they give.
    let user = Some(UserId(format!("invite:{id}")));
    let mint = Mint { meeting: key.meeting, user, name: Some(name), role, ttl_s: TTL_S };
    Ok(HttpResponse::Ok().json(minted(&edge, &request, &key.tenant, mint)?))
}
