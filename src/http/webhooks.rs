//! The endpoints of a tenant's integrators: made, listed, changed, tried out, and what was sent to them.
//! All of it is for API tokens alone. A secret is in the answer that it was made for, and in no other.

use super::caller::Caller;
use super::post::Post;
use super::reads::{List, Paging, body, list, stored};
use super::{Edge, Problem};
use crate::projections::Page;
use crate::webhooks::{
    Change, DESCRIPTION_CHARS_MAX, Delivery, ENDPOINTS_MAX, Endpoint, Made, New, Replayed, TEST, TYPES_MAX, Window,
    check_host, check_url, kinds,
};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_domain::{Rejection, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::{HttpMethod, PathItem, PathsBuilder, Response};
use uuid::Uuid;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// An https URL that leads to the internet.
    pub url: String,
    /// What is sent to it; absent or empty: everything.
    #[serde(default)]
    pub types: Vec<String>,
    #[serde(default)]
    pub description: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointChanges {
    pub url: Option<String>,
    pub types: Option<Vec<String>>,
    pub description: Option<String>,
    pub disabled: Option<bool>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Unix milliseconds, UTC: what happened from then on,
    pub since_at: u64,
    /// and before this, is sent again.
    pub until_at: Option<u64>,
    /// What was delivered too, and not only what failed.
    #[serde(default)]
    pub all: bool,
}

async fn check_target(edge: &Edge, url: &str) -> Result<(), Problem> {
    let allow_private = edge.webhooks.allows_private();
    let url = check_url(url, allow_private).map_err(Problem::wrong_data)?;
    check_host(&url, allow_private).await.map_err(Problem::wrong_data)
}

/// A list of types without repetitions.
fn checked_types(mut types: Vec<String>) -> Result<Vec<String>, Problem> {
    if types.len() > TYPES_MAX {
        return Err(Problem::wrong_data(format!("types has at most {TYPES_MAX} entries")));
    }
    if let Some(wrong) = types.iter().position(|kind| !kinds::is_known(kind)) {
        return Err(Problem::wrong_data(format!("types[{wrong}] is not a type of message")));
    }
    types.sort();
    types.dedup();
    Ok(types)
}

fn check_description(description: &str) -> Result<(), Problem> {
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Problem::wrong_data(format!("description is at most {DESCRIPTION_CHARS_MAX} characters")));
    }
    Ok(())
}

/// The caller's tenant, and its endpoint: an unknown one and another tenant's look the same.
async fn owned<'a>(edge: &Edge, caller: &'a Caller, id: &str) -> Result<(&'a TenantId, Endpoint), Problem> {
    let tenant = caller.tenant()?;
    let id: Uuid = id.parse().map_err(|_| Problem::not_found())?;
    let found = edge.webhooks.endpoint(tenant, &id.to_string()).await.map_err(stored)?;
    Ok((tenant, found.ok_or_else(Problem::not_found)?))
}

/// Makes an endpoint. Its secret is in this answer, and never shown again.
#[utoipa::path(post, path = "/api/v1/admin/webhooks", tag = "webhooks", request_body = NewEndpoint,
    responses((status = 201, description = "the endpoint, with its `secret`", body = Endpoint),
        (status = 409, description = "`capacity`: the tenant has as many as it may"),
        (status = 422, description = "a URL, a type or a description that cannot be")))]
pub async fn create(post: Post) -> Result<HttpResponse, Problem> {
    let tenant = &post.caller.tenant()?.clone();
    let NewEndpoint { url, types, description } = post.body()?;
    check_target(&post.edge, &url).await?;
    check_description(&description)?;
    let types = checked_types(types)?;
    let webhooks = &post.edge.webhooks;
    post.once(|id| async move {
        let made = webhooks.make(tenant, &New { id, url, types, description }).await.map_err(stored)?;
        let Made::Endpoint(endpoint) = made else {
            let why = format!("a tenant has at most {ENDPOINTS_MAX} endpoints");
            return Err(Problem::new(StatusCode::CONFLICT, convoke_domain::Code::Capacity, why));
        };
        // The first secret is made from the endpoint's own id.
        let secret = webhooks.secrets().secret(tenant, &endpoint.id, &endpoint.id).ok_or_else(Problem::not_found)?;
        Ok((StatusCode::CREATED, with_secret(json!(endpoint), secret)))
    })
    .await
}

fn with_secret(mut shown: Value, secret: String) -> Value {
    if let Some(object) = shown.as_object_mut() {
        object.insert("secret".to_owned(), Value::String(secret));
    }
    shown
}

/// The tenant's endpoints, the oldest first.
#[utoipa::path(get, path = "/api/v1/admin/webhooks", tag = "webhooks",
    responses((status = 200, description = "all of them", body = List<Endpoint>)))]
pub async fn index(edge: Data<Edge>, caller: Caller) -> Result<HttpResponse, Problem> {
    let items = edge.webhooks.endpoints(caller.tenant()?).await.map_err(stored)?;
    Ok(list(Page { items, next: None }, |endpoint| endpoint))
}

/// One endpoint.
#[utoipa::path(get, path = "/api/v1/admin/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, description = "the endpoint", body = Endpoint), (status = 404, description = "unknown, or another tenant's")))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (_, endpoint) = owned(&edge, &caller, &id).await?;
    Ok(HttpResponse::Ok().json(endpoint))
}

/// Changes an endpoint, disables it, or enables it again.
#[utoipa::path(patch, path = "/api/v1/admin/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = EndpointChanges,
    responses((status = 200, description = "the endpoint", body = Endpoint), (status = 404, description = "unknown, or another tenant's"),
        (status = 422, description = "a URL, a type or a description that cannot be")))]
pub async fn update(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&edge, &caller, &id).await?;
    let EndpointChanges { url, types, description, disabled } = body(&bytes)?;
    if let Some(url) = &url {
        check_target(&edge, url).await?;
    }
    check_description(description.as_deref().unwrap_or_default())?;
    let types = types.map(checked_types).transpose()?;
    let change = Change { url, types, description, disabled };
    let changed = edge.webhooks.change(tenant, &endpoint.id, &change).await.map_err(stored)?;
    Ok(HttpResponse::Ok().json(changed.ok_or_else(Problem::not_found)?))
}

/// Removes an endpoint, and what was still to be sent to it.
#[utoipa::path(delete, path = "/api/v1/admin/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "unknown, or another tenant's")))]
pub async fn remove(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&edge, &caller, &id).await?;
    let removed = edge.webhooks.remove(tenant, &endpoint.id).await.map_err(stored)?;
    if removed { Ok(HttpResponse::NoContent().finish()) } else { Err(Problem::not_found()) }
}

/// Gives an endpoint another secret, which is in this answer and never shown again. For 24 hours the one
/// before signs as well, so that a receiver can be changed without missing a message.
#[utoipa::path(post, path = "/api/v1/admin/webhooks/{id}/rotate", tag = "webhooks", params(("id" = String, Path)), request_body = (),
    responses((status = 200, description = "`{id, secret}`"), (status = 404, description = "unknown, or another tenant's")))]
pub async fn rotate(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&post.edge, &post.caller, &id).await?;
    let (webhooks, id) = (&post.edge.webhooks, &endpoint.id);
    post.once(|key| async move {
        let secret = webhooks.rotate(tenant, id, key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
        Ok((StatusCode::OK, with_secret(json!({ "id": id }), secret)))
    })
    .await
}

/// Sends a `webhook.test` message to the endpoint, as any other is sent.
#[utoipa::path(post, path = "/api/v1/admin/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path)), request_body = (),
    responses((status = 202, description = "`{id}`: the message's"), (status = 404, description = "unknown, or another tenant's"),
        (status = 409, description = "`wrong_state`: the endpoint is disabled")))]
pub async fn test(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&post.edge, &post.caller, &id).await?;
    let (webhooks, endpoint) = (&post.edge.webhooks, &endpoint);
    post.once(|id| async move {
        if endpoint.disabled {
            return Err(Problem::from(Rejection::wrong_state("the endpoint is disabled")));
        }
        let message = webhooks.test(tenant, &endpoint.id, id).await.map_err(stored)?;
        Ok((StatusCode::ACCEPTED, json!({ "id": message })))
    })
    .await
}

/// What was sent to the endpoint, the latest first, as long as it is kept.
#[utoipa::path(get, path = "/api/v1/admin/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = String, Path), Paging),
    responses((status = 200, description = "a page of deliveries", body = List<Delivery>), (status = 404, description = "unknown, or another tenant's")))]
pub async fn deliveries(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&edge, &caller, &id).await?;
    let before = Some(paging.position()?).filter(|_| paging.cursor.is_some());
    let page = edge.webhooks.deliveries(tenant, &endpoint.id, before, paging.limit()?).await.map_err(stored)?;
    Ok(list(page, |delivery| delivery))
}

/// Sends again what failed, or everything, of what happened in a period and is still kept: under the
/// same ids, and at most 10,000 messages at once.
#[utoipa::path(post, path = "/api/v1/admin/webhooks/{id}/replay", tag = "webhooks", params(("id" = String, Path)), request_body = Replay,
    responses((status = 202, description = "how many are sent again", body = Replayed), (status = 404, description = "unknown, or another tenant's"),
        (status = 409, description = "`wrong_state`: the endpoint is disabled"), (status = 422, description = "a period that cannot be")))]
pub async fn replay(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (tenant, endpoint) = owned(&post.edge, &post.caller, &id).await?;
    let Replay { since_at, until_at, all } = post.body()?;
    if until_at.is_some_and(|until| until <= since_at) {
        return Err(Problem::wrong_data("until_at is after since_at"));
    }
    let (webhooks, endpoint) = (&post.edge.webhooks, &endpoint);
    post.once(|_| async move {
        if endpoint.disabled {
            return Err(Problem::from(Rejection::wrong_state("the endpoint is disabled")));
        }
        let window = Window { since_at, until_at, all };
        let replayed = webhooks.replay(tenant, &endpoint.id, window).await.map_err(stored)?;
        Ok((StatusCode::ACCEPTED, json!(replayed)))
    })
    .await
}

/// Puts the messages themselves into the description of the API.
pub struct Told;

impl utoipa::Modify for Told {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let test = (TEST, "somebody tries the endpoint out: `endpoint`");
        let all = kinds::KINDS.iter().map(|kind| (kind.name, kind.help)).chain([test]);
        let paths = all.fold(PathsBuilder::new(), |paths, (name, help)| {
            let operation = OperationBuilder::new()
                .tag("webhooks")
                .summary(Some(help))
                .description(Some("`{type, timestamp, data}`, signed by the Standard Webhooks specification."))
                .response("2XX", Response::new("taken"))
                .response("410", Response::new("the endpoint is disabled"));
            paths.path(name, PathItem::new(HttpMethod::Post, operation))
        });
        api.webhooks = Some(paths.build());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use utoipa::OpenApi;

    #[test]
    fn the_description_of_the_api_has_every_message() {
        let api = serde_json::to_value(crate::http::routes::Api::openapi()).unwrap();
        for kind in kinds::KINDS {
            assert_eq!(api["webhooks"][kind.name]["post"]["summary"], kind.help, "{}", kind.name);
        }
        assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "earlier versions know no webhooks");
    }

    #[test]
    fn lists_of_types_and_descriptions_have_an_end() {
        let types = |count: usize| checked_types(vec!["meeting.ended".to_owned(); count]);
        assert_eq!(types(TYPES_MAX).unwrap(), ["meeting.ended"]);
        assert_eq!(types(TYPES_MAX + 1).unwrap_err().status_code(), 422);
        assert_eq!(checked_types(vec!["chat.posted".to_owned()]).unwrap_err().status_code(), 422);
        assert!(check_description(&"ü".repeat(DESCRIPTION_CHARS_MAX)).is_ok());
        assert_eq!(check_description(&"x".repeat(DESCRIPTION_CHARS_MAX + 1)).unwrap_err().status_code(), 422);
    }
}
