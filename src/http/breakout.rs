//! Breakout rooms over REST: a join token acts for its person with the role that the meeting
//! records, an API token as a host would. Each POST answers with the set as it is then. The same
//! paths stand under `/rooms/{id}` as under `/meetings/{id}`. What is asked for here is decided by
//! the meeting, as what comes over a socket is; here are only the ways in.

mod shapes;

pub use shapes::{After, NewBreakout, NewRoom, Refusals, Shown};

use super::caller::Caller;
use super::meetings::run;
use super::people::{known, reader};
use super::post::Post;
use super::reads::{body, stored};
use super::{Edge, Problem};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use convoke_domain::breakout::Destination;
use convoke_domain::{Command, Millis, ParticipantId, RoomId};
use serde::Deserialize;
use serde_json::json;

/// Runs a command, and answers with the set as it is then.
async fn changed(post: &Post, id: &str, status: StatusCode, command: Command) -> Result<HttpResponse, Problem> {
    let key = &post.caller.meeting(id)?;
    post.once(|request| async move {
        let done = post.run(key, request, command).await?;
        let present = post.edge.projections.breakout(key).await.map_err(stored)?;
        Ok((status, json!(After { seq: done.seq, present })))
    })
    .await
}

fn room_of(id: &str) -> Result<RoomId, Problem> {
    id.parse().map_err(|_| Problem::not_found())
}

/// The latest set of breakout rooms, and who is in which room.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/breakout", tag = "breakout", params(("id" = String, Path)),
    responses((status = 200, description = "the rooms, closed ones too; the set while it lasts; who is inside", body = Shown), Refusals))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    known(&edge, &key).await?;
    reader(&edge, &caller, &key).await?;
    let present = edge.projections.breakout(&key).await.map_err(stored)?;
    let participants = edge.projections.presence(&key).await.map_err(stored)?;
    Ok(HttpResponse::Ok().json(Shown { present, participants }))
}

/// Opens breakout rooms, and moves people into them. All these paths stand under `/rooms/{id}/breakout` too.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout", tag = "breakout", params(("id" = String, Path)),
    request_body = NewBreakout, responses((status = 201, description = "the set that was opened", body = After), Refusals))]
pub async fn open(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let new: NewBreakout = post.body()?;
    changed(&post, &id, StatusCode::CREATED, Command::OpenBreakout(new.into())).await
}

/// Stores what is to be opened later, in place of what was stored before; no rooms take it back. It is
/// opened with `{"from":"plan"}`.
#[utoipa::path(put, path = "/api/v1/meetings/{id}/breakout/plan", tag = "breakout", params(("id" = String, Path)),
    request_body = NewBreakout, responses((status = 200, description = "the plan", body = NewBreakout), Refusals))]
pub async fn plan(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    let new: NewBreakout = body(&bytes)?;
    run(&edge, &caller.meeting(&id)?, caller.by(), Command::PlanBreakout(new.clone().into())).await?;
    Ok(HttpResponse::Ok().json(new))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomName {
    /// 1 to 128 characters.
    pub name: String,
}

/// Adds a room to the set.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/rooms", tag = "breakout", params(("id" = String, Path)),
    request_body = RoomName, responses((status = 201, description = "the set, with the new room at its end", body = After), Refusals))]
pub async fn add(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let RoomName { name } = post.body()?;
    changed(&post, &id, StatusCode::CREATED, Command::AddRoom { name }).await
}

/// Gives a room another name.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}/breakout/{room}", tag = "breakout",
    params(("id" = String, Path), ("room" = String, Path)),
    request_body = RoomName, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn rename(
    edge: Data<Edge>,
    caller: Caller,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let (id, room) = path.into_inner();
    let RoomName { name } = body(&bytes)?;
    let key = caller.meeting(&id)?;
    let done = run(&edge, &key, caller.by(), Command::RenameRoom { room: room_of(&room)?, name }).await?;
    let present = edge.projections.breakout(&key).await.map_err(stored)?;
    Ok(HttpResponse::Ok().json(After { seq: done.seq, present }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    /// Whom an API token moves. A join token acts for its own person, and leaves this out.
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
}

/// Goes to a room, `main` included: as the set allows with a join token; with an API token, a move.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/{room}/join", tag = "breakout",
    params(("id" = String, Path), ("room" = String, Path, description = "`main`, or a breakout room's id")),
    request_body = Whom, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn join(post: Post, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, room) = path.into_inner();
    let room = room_of(&room)?;
    let Whom { participant } = post.body()?;
    let command = match (&post.caller, participant) {
        (Caller::Join(_), None) => Command::JoinRoom { room },
        (Caller::Join(_), Some(_)) => {
            return Err(Problem::wrong_data("a join token acts for its own person; leave participant out"));
        }
        (Caller::Api(_), Some(participant)) => Command::MovePeople { moves: vec![Destination { participant, room }] },
        (Caller::Api(_), None) => return Err(Problem::wrong_data("an API token names the participant")),
    };
    changed(&post, &id, StatusCode::OK, command).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneMove {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// `main`, or a breakout room's id.
    #[schema(value_type = String)]
    pub room: RoomId,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Moves {
    pub moves: Vec<OneMove>,
}

/// Moves people: all of them, or nobody.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/move", tag = "breakout", params(("id" = String, Path)),
    request_body = Moves, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn relocate(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Moves { moves } = post.body()?;
    let moves = moves.into_iter().map(|OneMove { participant, room }| Destination { participant, room }).collect();
    changed(&post, &id, StatusCode::OK, Command::MovePeople { moves }).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    #[schema(value_type = Vec<String>)]
    pub from: Vec<RoomId>,
    /// `main`, or a breakout room's id.
    #[schema(value_type = String)]
    pub into: RoomId,
}

/// Merges rooms into another, with their people and what was said there.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/merge", tag = "breakout", params(("id" = String, Path)),
    request_body = Merge, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn merge(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Merge { from, into } = post.body()?;
    changed(&post, &id, StatusCode::OK, Command::MergeRooms { from, into }).await
}

/// Either of them.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// So many seconds more, at least 1.
    pub by_s: Option<u32>,
    /// Unix milliseconds, UTC, in the future.
    pub ends_at: Option<Millis>,
}

/// Gives the set another deadline.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/extend", tag = "breakout", params(("id" = String, Path)),
    request_body = Extend, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn extend(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Extend { by_s, ends_at } = post.body()?;
    changed(&post, &id, StatusCode::OK, Command::ExtendBreakout { by_s, ends_at }).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Broadcast {
    /// 1 to 4000 characters.
    pub text: String,
}

/// Says something in all rooms at once; it is kept with the messages.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/broadcast", tag = "breakout", params(("id" = String, Path)),
    request_body = Broadcast, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn broadcast(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Broadcast { text } = post.body()?;
    changed(&post, &id, StatusCode::OK, Command::Broadcast { text }).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// At once, without the grace period.
    #[serde(default)]
    pub now: bool,
    /// Taken from an API token as with `join`; closing concerns the whole room, so it changes nothing.
    #[serde(rename = "participant")]
    #[schema(value_type = Option<String>)]
    pub _participant: Option<ParticipantId>,
}

/// Closes one room; its people come back to the main room.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/{room}/close", tag = "breakout",
    params(("id" = String, Path), ("room" = String, Path)),
    request_body = Close, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn close(post: Post, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, room) = path.into_inner();
    let room = Some(room_of(&room)?);
    let Close { now, .. } = post.body()?;
    changed(&post, &id, StatusCode::OK, Command::CloseRooms { room, now }).await
}

/// Closes all rooms.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/close", tag = "breakout", params(("id" = String, Path)),
    request_body = Close, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn close_all(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Close { now, .. } = post.body()?;
    changed(&post, &id, StatusCode::OK, Command::CloseRooms { room: None, now }).await
}
