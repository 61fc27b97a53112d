//! Meetings: made, listed, changed, started, ended.

use super::breakout::NewBreakout;
use super::caller::Caller;
use super::post::Post;
use super::reads::{List, Paging, body, list, stored};
use super::{Edge, Problem};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_actors::node::Done;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::command::{Create, Nothing};
use convoke_domain::shapes::{MeetingInfo, Settings, SettingsPatch};
use convoke_domain::{By, Code, Command, MeetingId};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMeeting {
    pub title: String,
    /// Unix milliseconds, UTC.
    pub scheduled_at: Option<u64>,
    /// An iCalendar RRULE, kept and shown back.
    pub recurrence: Option<String>,
    #[schema(value_type = Object)]
    pub settings: Option<SettingsPatch>,
    /// Breakout rooms to be opened later, as `PUT /meetings/{id}/breakout/plan` takes them.
    pub breakout: Option<NewBreakout>,
}

/// Makes a meeting, with what is planned for it or not at all.
#[utoipa::path(post, path = "/api/v1/meetings", tag = "meetings", request_body = NewMeeting,
    responses((status = 201, description = "the meeting")))]
pub async fn create(post: Post) -> Result<HttpResponse, Problem> {
    let tenant = post.caller.tenant()?.clone();
    let new: NewMeeting = post.body()?;
    let edge = &post.edge;
    post.once(|id| async move {
        let key = MeetingKey { tenant: tenant.clone(), meeting: MeetingId(id) };
        let create = Create {
            tenant,
            id: MeetingId(id),
            title: new.title,
            scheduled_at: new.scheduled_at,
            recurrence: new.recurrence,
            settings: Settings::default().patched(&new.settings.unwrap_or_default()),
            breakout: new.breakout.map(NewBreakout::into),
        };
        match edge.node.create(create).await {
            Ok(_) => {}
            // The same key once more, after a crash between the effect and its answer.
            Err(rejection) if rejection.code == Code::Conflict => {}
            Err(rejection) => return Err(rejection.into()),
        }
        edge.projections.catch_up(&key).await.map_err(stored)?;
        let meeting = edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
        Ok((StatusCode::CREATED, serde_json::from_str(meeting.get()).unwrap_or_default()))
    })
    .await
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// `scheduled`, `live`, `ended` or `cancelled`.
    pub status: Option<String>,
    /// Part of the title.
    pub q: Option<String>,
}

/// The tenant's meetings, newest first.
#[utoipa::path(get, path = "/api/v1/meetings", tag = "meetings", params(Filter, Paging),
    responses((status = 200, description = "a page of meetings", body = List<serde_json::Value>)))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    filter: Query<Filter>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    if filter.status.as_ref().is_some_and(|s| !["scheduled", "live", "ended", "cancelled"].contains(&s.as_str())) {
        return Err(Problem::wrong_data("there is no such status"));
    }
    let page = edge
        .projections
        .meetings(tenant, filter.status.as_deref(), filter.q.as_deref(), paging.uuid()?, paging.limit()?)
        .await
        .map_err(stored)?;
    Ok(list(page, |(_, meeting)| meeting))
}

/// One meeting.
#[utoipa::path(get, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)),
    responses((status = 200, description = "the meeting"), (status = 404, description = "unknown, or another tenant's")))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let meeting = edge.projections.meeting(&key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(meeting))
}

/// One meeting, to work with.
pub async fn info(edge: &Edge, key: &MeetingKey) -> Result<MeetingInfo, Problem> {
    let meeting = edge.projections.meeting(key).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    serde_json::from_str(meeting.get()).map_err(|error| stored(StoreError::Corrupt(error.to_string())))
}

/// Runs a command and answers with the meeting as it is then.
pub async fn run(edge: &Edge, key: &MeetingKey, by: By, command: Command) -> Result<Done, Problem> {
    let done = edge.node.command(key, by, command).await?;
    edge.projections.catch_up(key).await.map_err(stored)?;
    Ok(done)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    pub title: Option<String>,
    pub scheduled_at: Option<u64>,
    #[schema(value_type = Object)]
    pub settings: Option<SettingsPatch>,
}

/// Changes a meeting.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)), request_body = Changes,
    responses((status = 200, description = "the meeting")))]
pub async fn update(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    caller.tenant()?;
    let key = caller.meeting(&id)?;
    let Changes { title, scheduled_at, settings } = body(&bytes)?;
    let done = run(&edge, &key, caller.by(), Command::UpdateMeeting { title, settings, scheduled_at }).await?;
    Ok(HttpResponse::Ok().json(done.meeting))
}

/// Cancels a meeting that has not started.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}", tag = "meetings", params(("id" = String, Path)),
    responses((status = 204, description = "cancelled"), (status = 409, description = "it has started")))]
pub async fn cancel(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    caller.tenant()?;
    run(&edge, &caller.meeting(&id)?, caller.by(), Command::CancelMeeting).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Starts a meeting.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/start", tag = "meetings", params(("id" = String, Path)), request_body = (),
    responses((status = 200, description = "the meeting, live"), (status = 409, description = "it is not scheduled")))]
pub async fn start(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    command(&post, &id, Command::StartMeeting(Nothing {})).await
}

/// Ends a meeting for everybody.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/end", tag = "meetings", params(("id" = String, Path)), request_body = (),
    responses((status = 200, description = "the meeting, ended"), (status = 409, description = "it is over already")))]
pub async fn end(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    command(&post, &id, Command::EndMeeting(Nothing {})).await
}

async fn command(post: &Post, id: &str, command: Command) -> Result<HttpResponse, Problem> {
    let key = &post.caller.meeting(id)?;
    post.once(|request| async move {
        let done = post.run(key, request, command).await?;
        Ok((StatusCode::OK, json!(done.meeting)))
    })
    .await
}
