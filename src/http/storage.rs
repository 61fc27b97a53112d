//! The tenant's storage: policies and what they do, orphans, and the audit. For API tokens alone.

use super::caller::Caller;
use super::post::Post;
use super::reads::{List, Paging, body, list, stored};
use super::recordings::kept_back;
use super::{Edge, Problem};
use crate::objects::{AuditLine, NewLine, Orphans, Policy, Scope, Verdict, paths};
use crate::projections::Page;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_domain::{Code, Rejection, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 128;
const DAYS_MAX: u64 = 36_500;
/// Of one tenant.
pub const POLICIES_MAX: usize = 100;
/// Recordings that one request does something to.
const APPLIED_MAX: usize = 500;

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// 1 to 128 characters.
    pub name: String,
    /// 0 to 36,500; not needed for a hold.
    #[serde(default)]
    pub days: Option<u64>,
    /// Up to 32 lowercase letters, digits and hyphens: files are moved below a folder of this name instead of
    /// being deleted.
    #[serde(default)]
    pub tier: Option<String>,
    /// Keeps what is in its scope, above all other policies.
    #[serde(default)]
    pub legal_hold: bool,
    #[serde(default)]
    pub scope: Scope,
    /// True if absent.
    #[serde(default)]
    pub enabled: Option<bool>,
}

impl NewPolicy {
    fn checked(self, id: Uuid, now: u64) -> Result<Policy, Problem> {
        let Self { name, days, tier, legal_hold, scope, enabled } = self;
        let name = name.trim().to_owned();
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Problem::wrong_data("a name is from 1 to 128 characters"));
        }
        let days = match days {
            Some(days @ 0..=DAYS_MAX) => days,
            None if legal_hold => 0,
            _ => return Err(Problem::wrong_data("days is from 0 to 36500")),
        };
        if tier.as_ref().is_some_and(|tier| !paths::is_tier(tier)) {
            return Err(Problem::wrong_data("a tier is up to 32 lowercase letters, digits and hyphens"));
        }
        let enabled = enabled.unwrap_or(true);
        Ok(Policy { id, name, days, tier, legal_hold, scope, enabled, created_at: now, updated_at: now })
    }
}

fn line(action: &'static str, policy: &Policy) -> NewLine {
    NewLine::new("api", action, policy.id, json!(policy).to_string())
}

async fn find(edge: &Edge, tenant: &TenantId, id: &str) -> Result<Policy, Problem> {
    let id: Uuid = id.parse().map_err(|_| Problem::not_found())?;
    let all = edge.keeper.ledger().policies(tenant).await.map_err(stored)?;
    all.into_iter().find(|policy| policy.id == id).ok_or_else(Problem::not_found)
}

/// Makes a policy. Of those that delete, the one with the narrowest scope decides over a recording (a meeting
/// before a kind of room before a kind of recording before all), of equal ones the one with more days; and so,
/// by themselves, of those that move. A hold, of a recording or of a policy, is above all of them.
#[utoipa::path(post, path = "/api/v1/admin/storage-policies", tag = "storage", request_body = NewPolicy,
    responses((status = 201, description = "the policy", body = Policy),
        (status = 409, description = "`capacity`: there are 100 already"), (status = 422, description = "a policy that cannot be")))]
pub async fn create(post: Post) -> Result<HttpResponse, Problem> {
    let tenant = post.caller.tenant()?.clone();
    let new: NewPolicy = post.body()?;
    let edge = &post.edge;
    post.once(|id| async move {
        let ledger = edge.keeper.ledger();
        let now = ledger.now().await.map_err(stored)?;
        let policy = new.checked(id, now)?;
        if ledger.policies(&tenant).await.map_err(stored)?.len() >= POLICIES_MAX {
            return Err(Rejection::new(Code::Capacity, "there are as many policies as there may be").into());
        }
        ledger.put_policy(&tenant, &policy, &line("policy.created", &policy)).await.map_err(stored)?;
        Ok((StatusCode::CREATED, json!(policy)))
    })
    .await
}

/// All policies, in the order in which they were made.
#[utoipa::path(get, path = "/api/v1/admin/storage-policies", tag = "storage",
    responses((status = 200, description = "all of them", body = List<Policy>)))]
pub async fn index(edge: Data<Edge>, caller: Caller) -> Result<HttpResponse, Problem> {
    let items = edge.keeper.ledger().policies(caller.tenant()?).await.map_err(stored)?;
    Ok(list(Page { items, next: None }, |policy| policy))
}

/// Puts another policy in the place of one.
#[utoipa::path(put, path = "/api/v1/admin/storage-policies/{id}", tag = "storage", params(("id" = String, Path)), request_body = NewPolicy,
    responses((status = 200, description = "the policy", body = Policy), (status = 404, description = "an unknown policy"),
        (status = 422, description = "a policy that cannot be")))]
pub async fn replace(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    let new: NewPolicy = body(&bytes)?;
    let former = find(&edge, tenant, &id).await?;
    let ledger = edge.keeper.ledger();
    let now = ledger.now().await.map_err(stored)?;
    let policy = Policy { created_at: former.created_at, ..new.checked(former.id, now)? };
    ledger.put_policy(tenant, &policy, &line("policy.changed", &policy)).await.map_err(stored)?;
    Ok(HttpResponse::Ok().json(policy))
}

/// Removes a policy. What it did stays done.
#[utoipa::path(delete, path = "/api/v1/admin/storage-policies/{id}", tag = "storage", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 404, description = "an unknown policy")))]
pub async fn remove(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    let policy = find(&edge, tenant, &id).await?;
    let line = line("policy.removed", &policy);
    match edge.keeper.ledger().remove_policy(tenant, policy.id, &line).await.map_err(stored)? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Problem::not_found()),
    }
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Apply {
    /// Only tells what would be done.
    pub dry_run: bool,
}

#[derive(Default, Serialize, utoipa::ToSchema)]
pub struct Applied {
    pub dry_run: bool,
    /// Recordings that were deleted, or would be.
    pub deleted: Vec<String>,
    /// Recordings that were moved, or would be.
    pub moved: Vec<String>,
    /// Recordings that could not be now: they are tried again on schedule.
    pub failed: Vec<String>,
    /// There are more: ask again.
    pub cut: bool,
}

/// Applies a policy now: to the recordings that it is the one to decide over.
#[utoipa::path(post, path = "/api/v1/admin/recordings/apply-policy/{id}", tag = "storage", params(("id" = String, Path)), request_body = Apply,
    responses((status = 200, description = "what was done, or would be", body = Applied), (status = 404, description = "an unknown policy"),
        (status = 409, description = "`wrong_state`: it is not enabled")))]
pub async fn apply(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let tenant = post.caller.tenant()?.clone();
    let Apply { dry_run } = post.body()?;
    let edge = &post.edge;
    let policy = find(edge, &tenant, &id).await?;
    if !policy.enabled {
        return Err(Rejection::wrong_state("the policy is not enabled").into());
    }
    post.once(|_| async move { Ok((StatusCode::OK, json!(applied(edge, &tenant, &policy, dry_run).await?))) }).await
}

async fn applied(edge: &Edge, tenant: &TenantId, policy: &Policy, dry_run: bool) -> Result<Applied, Problem> {
    let keeper = &edge.keeper;
    let policies = keeper.ledger().policies(tenant).await.map_err(stored)?;
    let now = keeper.ledger().now().await.map_err(stored)?;
    let mut applied = Applied { dry_run, ..Applied::default() };
    let mut after = Uuid::nil();
    loop {
        let judged = keeper.verdicts(tenant, &policies, now, after).await.map_err(stored)?;
        for (named, verdict) in judged.verdicts {
            let is_deleted = match &verdict {
                Verdict::Delete(by) if *by == policy.id => true,
                Verdict::Move(by, _) if *by == policy.id => false,
                _ => continue,
            };
            let done = applied.deleted.len().saturating_add(applied.moved.len()).saturating_add(applied.failed.len());
            if done >= APPLIED_MAX {
                applied.cut = true;
                return Ok(applied);
            }
            let recording = named.recording.to_string();
            match if dry_run { Ok(true) } else { keeper.carry_out(&named, &verdict, &policies).await } {
                Ok(true) if is_deleted => applied.deleted.push(recording),
                Ok(true) => applied.moved.push(recording),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, recording, "retention is tried again");
                    applied.failed.push(recording);
                }
            }
        }
        let Some(next) = judged.next else { return Ok(applied) };
        after = next;
    }
}

/// Objects without a recording, and files of recordings without an object: of the tenant's meetings, up to
/// 1,000 of each, and for half a minute. Nothing is deleted. Objects count from an hour on.
#[utoipa::path(get, path = "/api/v1/admin/recordings/orphans", tag = "storage",
    responses((status = 200, description = "both kinds", body = Orphans), (status = 503, description = "they are being looked for already")))]
pub async fn orphans(edge: Data<Edge>, caller: Caller) -> Result<HttpResponse, Problem> {
    let orphans = edge.keeper.orphans(caller.tenant()?).await.map_err(kept_back)?;
    Ok(HttpResponse::Ok().json(orphans))
}

/// Who deleted, held or moved which recording, and changed which policy; newest first.
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "storage", params(Paging),
    responses((status = 200, description = "a page of lines", body = List<AuditLine>)))]
pub async fn audit(edge: Data<Edge>, caller: Caller, paging: Query<Paging>) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    let (before, limit) = (paging.uuid()?, paging.limit()?);
    let lines = edge.keeper.ledger().audit(tenant, before, limit.saturating_add(1)).await.map_err(stored)?;
    Ok(list(Page::cut(lines, limit, |line: &AuditLine| line.id.to_string()), |line| line))
}
