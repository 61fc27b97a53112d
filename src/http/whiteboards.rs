//! Whiteboards over REST: listed, made, renamed, opened to some and closed to others, copied and deleted. The
//! meeting decides about all of that, as it does about what comes over a socket. To read, a join token's person
//! leads the meeting, or is where the board is; what somebody may not see looks as if it were not there.

pub mod files;
mod sending;
pub mod snapshots;

use super::caller::Caller;
use super::caused::caused;
use super::meetings::run;
use super::people::{InRoom, known, reader};
use super::post::Post;
use super::reads::{List, Paging, body, in_room, list, stored};
use super::{Edge, Problem};
use crate::projections::{Board, Reader};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_actors::ports::MeetingKey;
use convoke_domain::whiteboard::{CreateWhiteboard, Whiteboard, WhiteboardAccess};
use convoke_domain::{Command, RoomId, Seq, WhiteboardId};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

/// How all of these refuse: problem documents with a `code`.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // its variants stand in the OpenAPI document alone
pub enum Refusals {
    #[response(status = 401, description = "`unauthenticated`: no valid bearer token")]
    Unauthenticated,
    #[response(
        status = 403,
        description = "`not_permitted`: the role or the meeting's settings do not allow it, or a join token of \
                       somebody who was never inside"
    )]
    NotPermitted,
    #[response(
        status = 404,
        description = "`not_found`: an unknown meeting, room or whiteboard, another tenant's, or one that the join \
                       token's person does not see"
    )]
    Unknown,
    #[response(
        status = 409,
        description = "`wrong_state`: the meeting is over, the person is not inside, or the room is closing or closed; \
                       `capacity`: too many whiteboards; `conflict`: an Idempotency-Key with another body"
    )]
    WrongState,
    #[response(status = 413, description = "`too_large`: a body, or a name of more than 128 characters")]
    TooLarge,
    #[response(status = 422, description = "`bad_request`: wrong data")]
    WrongData,
}

/// A board of the caller's, and how far it was drawn.
pub struct Found {
    pub key: MeetingKey,
    pub board: Board,
    pub number: u64,
}

/// A board of the caller's tenant, or of the one meeting that a join token is for. Whether its person sees it
/// is another question.
async fn found(edge: &Edge, caller: &Caller, id: &str) -> Result<Found, Problem> {
    let id: WhiteboardId = id.parse().map_err(|_| Problem::not_found())?;
    let tenant = caller.of().clone();
    // The board's own log is there from the board's first moment on, when the read models may not be so far.
    let drawn = edge.projections.drawn(&tenant, id).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    if matches!(caller, Caller::Join(claims) if claims.meeting != drawn.meeting) {
        return Err(Problem::not_found());
    }
    let key = MeetingKey { tenant, meeting: drawn.meeting };
    edge.projections.catch_up(&key).await.map_err(stored)?;
    let board = shown(edge, &key, id).await?;
    Ok(Found { key, board, number: drawn.number })
}

async fn shown(edge: &Edge, key: &MeetingKey, id: WhiteboardId) -> Result<Board, Problem> {
    edge.projections.whiteboard(key, id).await.map_err(stored)?.ok_or_else(Problem::not_found)
}

/// A board that the caller may look at. Whoever leads looks at it always; others, as long as they could open it.
pub async fn readable(edge: &Edge, caller: &Caller, id: &str) -> Result<Found, Problem> {
    let found = found(edge, caller, id).await?;
    if let Reader::Participant(_) = reader(edge, caller, &found.key).await? {
        let open = Command::OpenWhiteboard { whiteboard: found.board.id };
        edge.node.command(&found.key, caller.by(), open).await?;
    }
    Ok(found)
}

/// The boards that a request made, in the order in which it did.
async fn made_by(edge: &Edge, key: &MeetingKey, request: Uuid, up_to: Seq) -> Result<Vec<Board>, Problem> {
    #[derive(Deserialize)]
    struct Made {
        whiteboard: Whiteboard,
    }
    let rows = caused(edge, key, "whiteboard.created", request, up_to, usize::MAX).await?;
    let mut boards = Vec::new();
    for row in rows.iter().rev() {
        if let Ok(Made { whiteboard }) = serde_json::from_str(&row.data) {
            boards.push(shown(edge, key, whiteboard.id).await?);
        }
    }
    Ok(boards)
}

/// The whiteboards of a meeting, in the order in which they were made. A join token lists those of the room
/// that its person is in; hosts and cohosts list all. Boards of a room that was merged into another are in that
/// `room`.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/whiteboards", tag = "whiteboards",
    params(("id" = String, Path), InRoom, Paging),
    responses((status = 200, description = "a page of whiteboards", body = List<Board>), Refusals))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    room: Query<InRoom>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let room = in_room(room.room.as_deref())?;
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    let page = edge.projections.whiteboards(&key, room, reader, paging.uuid()?, paging.limit()?).await;
    Ok(list(page.map_err(stored)?, |board| board))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWhiteboard {
    /// 1 to 128 characters.
    pub name: String,
    /// `main`, or a breakout room's id. Absent: with a join token the room that its person is in, otherwise
    /// the main room.
    #[schema(value_type = Option<String>)]
    pub room: Option<RoomId>,
    /// It begins with what is on that whiteboard, of the same meeting.
    #[schema(value_type = Option<String>)]
    pub copy_of: Option<WhiteboardId>,
    /// Who draws on it: `everyone` (if absent), `hosts` or `nobody`.
    #[schema(value_type = Option<String>)]
    pub access: Option<WhiteboardAccess>,
}

/// Makes a whiteboard.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/whiteboards", tag = "whiteboards", params(("id" = String, Path)),
    request_body = NewWhiteboard,
    responses((status = 201, description = "the whiteboard", body = Board),
        (status = 400, description = "`bad_request`: the body is not JSON"), Refusals))]
pub async fn create(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let NewWhiteboard { name, room, copy_of, access } = post.body()?;
    let (post, key) = (&post, &post.caller.meeting(&id)?);
    post.once(|request| async move {
        let wanted = CreateWhiteboard { name, room, copy_of, access };
        let done = post.run(key, request, Command::CreateWhiteboard(wanted)).await?;
        let board = made_by(&post.edge, key, request, done.seq).await?.into_iter().next();
        Ok((StatusCode::CREATED, json!(board.ok_or_else(Problem::not_found)?)))
    })
    .await
}

/// One whiteboard.
#[utoipa::path(get, path = "/api/v1/whiteboards/{id}", tag = "whiteboards", params(("id" = String, Path)),
    responses((status = 200, description = "the whiteboard", body = Board), Refusals))]
pub async fn show(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(readable(&edge, &caller, &id).await?.board))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhiteboardPatch {
    /// 1 to 128 characters.
    pub name: Option<String>,
    /// Who draws on it: `everyone`, `hosts` or `nobody`. Hosts and cohosts say this.
    #[schema(value_type = Option<String>)]
    pub access: Option<WhiteboardAccess>,
}

/// Renames a whiteboard, or says who draws on it: hosts and cohosts, and where everyone makes whiteboards, whoever
/// made it.
#[utoipa::path(patch, path = "/api/v1/whiteboards/{id}", tag = "whiteboards", params(("id" = String, Path)),
    request_body = WhiteboardPatch,
    responses((status = 200, description = "the whiteboard", body = Board),
        (status = 400, description = "`bad_request`: the body is not JSON"), Refusals))]
pub async fn update(edge: Data<Edge>, caller: Caller, id: Path<String>, bytes: Bytes) -> Result<HttpResponse, Problem> {
    let WhiteboardPatch { name, access } = body(&bytes)?;
    let Found { key, board, .. } = found(&edge, &caller, &id).await?;
    let change = Command::UpdateWhiteboard { whiteboard: board.id, name, access };
    run(&edge, &key, caller.by(), change).await?;
    Ok(HttpResponse::Ok().json(shown(&edge, &key, board.id).await?))
}

/// Deletes a whiteboard, with what was drawn on it and with its snapshots, as it may be renamed; an API token
/// does it also when the meeting is over.
#[utoipa::path(delete, path = "/api/v1/whiteboards/{id}", tag = "whiteboards", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), Refusals))]
pub async fn remove(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Found { key, board, .. } = found(&edge, &caller, &id).await?;
    run(&edge, &key, caller.by(), Command::DeleteWhiteboard { whiteboard: board.id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhiteboardCopies {
    /// `main`, or breakout rooms' ids. Absent: every other breakout room that is open.
    #[schema(value_type = Option<Vec<String>>)]
    pub rooms: Option<Vec<RoomId>>,
}

/// Makes a copy of a whiteboard in each of these rooms, as it is at this moment: all of them, or none.
#[utoipa::path(post, path = "/api/v1/whiteboards/{id}/copy", tag = "whiteboards", params(("id" = String, Path)),
    request_body = WhiteboardCopies,
    responses((status = 201, description = "the copies", body = List<Board>),
        (status = 400, description = "`bad_request`: the body is not JSON"), Refusals))]
pub async fn copy(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let WhiteboardCopies { rooms } = post.body()?;
    let Found { key, board, .. } = &found(&post.edge, &post.caller, &id).await?;
    let post = &post;
    post.once(|request| async move {
        let copy = Command::CopyWhiteboard { whiteboard: board.id, rooms };
        let done = post.run(key, request, copy).await?;
        let items = made_by(&post.edge, key, request, done.seq).await?;
        Ok((StatusCode::CREATED, json!({ "items": items })))
    })
    .await
}
