//! Breakout rooms over REST: a join token acts for its person with the role that the meeting
//! records, an API token as a host would. Each POST answers with the set as it is then. The same
//! paths stand under `/rooms/{id}` as under `/meetings/{id}`. What is asked for here is decided by
//! the meeting, as what comes over a socket is; here are only the shapes of the bodies.

use super::caller::Caller;
use super::meetings::run;
use super::people::{known, reader};
use super::reads::{body, once, stored};
use super::{Edge, Problem};
use crate::projections::{Presence, Present};
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use convoke_domain::breakout::{Assign, Destination, Layout, OpenRooms, PlannedRoom};
use convoke_domain::{Command, Millis, ParticipantId, RoomId, Seq, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// 1 to 128 characters.
    pub name: String,
    /// Ids of people who belong here. Whoever is in the meeting is moved, others come here when they come.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(value_type = Vec<String>)]
    pub participants: Vec<ParticipantId>,
    /// The same by the `sub` of their tokens, also people whom the meeting has not met yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub users: Vec<String>,
}

/// Rooms to be opened, now or later.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBreakout {
    /// At most 100.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rooms: Vec<NewRoom>,
    /// `manual` (the default: as listed, and as the hosts say), `automatic` (everybody who is not listed is
    /// spread evenly, hosts and cohosts excepted) or `self` (everybody chooses).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub assign: Option<Assign>,
    /// From 1 to 604800 seconds; without it the rooms stay open until they are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// How many seconds before the end people are told of it; 60 and 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<u32>>)]
    pub warn_s: Option<BTreeSet<u32>>,
    /// How long the rooms are `closing` before they are closed, from 0 to 600 seconds; 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    /// Whether people may return to the main room by themselves; true where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_return: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
    /// In place of `rooms`: `plan` (what was stored beforehand) or `last` (the set before). Not in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Layout>,
}

impl From<NewBreakout> for OpenRooms {
    fn from(new: NewBreakout) -> Self {
        let NewBreakout { rooms, assign, duration_s, warn_s, grace_s, allow_return, record, from } = new;
        let room = |room: NewRoom| PlannedRoom {
            name: room.name,
            participants: room.participants,
            users: room.users.into_iter().map(UserId).collect(),
        };
        let rooms = rooms.into_iter().map(room).collect();
        Self { rooms, assign, duration_s, warn_s, grace_s, allow_return, record, from }
    }
}

/// The set after what was asked for.
#[derive(Serialize, utoipa::ToSchema)]
pub struct After {
    /// The position in the meeting's log at which it was done.
    #[schema(value_type = u64)]
    pub seq: Seq,
    #[serde(flatten)]
    pub present: Present,
}

/// The set as it is, and who is where.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Shown {
    #[serde(flatten)]
    pub present: Present,
    pub participants: Vec<Presence>,
}

/// How all of these refuse: problem documents with a `code`.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // its variants stand in the OpenAPI document alone
pub enum Refusals {
    #[response(status = 400, description = "`bad_request`: the body is not JSON")]
    NotJson,
    #[response(status = 401, description = "`unauthenticated`: no valid bearer token")]
    Unauthenticated,
    #[response(status = 403, description = "`not_permitted`: the role, or the set's rules, do not allow it")]
    NotPermitted,
    #[response(
        status = 404,
        description = "`not_found`: an unknown meeting, or another tenant's; an unknown room or participant"
    )]
    Unknown,
    #[response(
        status = 409,
        description = "`wrong_state`: no set is open, or one is already, or the room is closing or closed; \
                       `capacity`: more than 100 rooms; `conflict`: an Idempotency-Key with another body, or a \
                       deadline behind the meeting's own end"
    )]
    WrongState,
    #[response(
        status = 413,
        description = "`too_large`: a body, a name of more than 128 or a text of more than 4000 characters"
    )]
    TooLarge,
    #[response(status = 422, description = "`bad_request`: wrong data, such as a person or a room listed twice")]
    WrongData,
    #[response(status = 429, description = "`rate_limited`: see `Retry-After`")]
    TooMany,
    #[response(status = 503, description = "`unavailable`: a retry is safe")]
    Unavailable,
}

/// One request, on its way to the meeting.
struct Asked<'a> {
    edge: &'a Edge,
    caller: &'a Caller,
    request: &'a HttpRequest,
    bytes: &'a Bytes,
    id: &'a str,
}

impl Asked<'_> {
    async fn run(self, status: StatusCode, command: Command) -> Result<HttpResponse, Problem> {
        let Self { edge, caller, request, bytes, id } = self;
        let key = caller.meeting(id)?;
        once(edge, caller, request, bytes, |_| async {
            let done = run(edge, &key, caller.by(), command).await?;
            let present = edge.projections.breakout(&key).await.map_err(stored)?;
            Ok((status, json!(After { seq: done.seq, present })))
        })
        .await
    }
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
pub async fn open(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let new: NewBreakout = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::CREATED, Command::OpenBreakout(new.into())).await
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
pub async fn add(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let RoomName { name } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::CREATED, Command::AddRoom { name }).await
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
pub async fn join(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let (id, room) = path.into_inner();
    let room = room_of(&room)?;
    let Whom { participant } = body(&bytes)?;
    let command = match (&caller, participant) {
        (Caller::Join(_), None) => Command::JoinRoom { room },
        (Caller::Join(_), Some(_)) => {
            return Err(Problem::wrong_data("a join token acts for its own person; leave participant out"));
        }
        (Caller::Api(_), Some(participant)) => Command::MovePeople { moves: vec![Destination { participant, room }] },
        (Caller::Api(_), None) => return Err(Problem::wrong_data("an API token names the participant")),
    };
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, command).await
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
pub async fn relocate(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Moves { moves } = body(&bytes)?;
    let moves = moves.into_iter().map(|OneMove { participant, room }| Destination { participant, room }).collect();
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::MovePeople { moves }).await
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
pub async fn merge(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Merge { from, into } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::MergeRooms { from, into }).await
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
pub async fn extend(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Extend { by_s, ends_at } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::ExtendBreakout { by_s, ends_at }).await
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
pub async fn broadcast(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Broadcast { text } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::Broadcast { text }).await
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
pub async fn close(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let (id, room) = path.into_inner();
    let room = Some(room_of(&room)?);
    let Close { now, .. } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::CloseRooms { room, now }).await
}

/// Closes all rooms.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/breakout/close", tag = "breakout", params(("id" = String, Path)),
    request_body = Close, responses((status = 200, description = "the set", body = After), Refusals))]
pub async fn close_all(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    bytes: Bytes,
) -> Result<HttpResponse, Problem> {
    let Close { now, .. } = body(&bytes)?;
    let asked = Asked { edge: &edge, caller: &caller, request: &request, bytes: &bytes, id: &id };
    asked.run(StatusCode::OK, Command::CloseRooms { room: None, now }).await
}
