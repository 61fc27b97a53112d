//! States of a whiteboard that are kept: made, listed, read as files, and drawn again in the place of what is
//! there. The meeting says who may; the board does it, so that nothing which is being drawn is lost.

use super::files::{AsFile, made, sent, tag, unchanged};
use super::{Found, Refusals, found, readable, shown};
use crate::auth::JoinClaims;
use crate::http::caller::Caller;
use crate::http::post::Post;
use crate::http::reads::{List, list, stored};
use crate::http::{Edge, Problem};
use crate::projections::{Board, Page};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use convoke_actors::ports::{BoardLog, BoardSnapshot, StoreError};
use convoke_actors::whiteboard::words::AskBoard;
use convoke_domain::decide::checked;
use convoke_domain::{Command, Millis};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// A state of a whiteboard.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WhiteboardSnapshot)]
pub struct Snapshot {
    #[schema(value_type = String)]
    pub id: Uuid,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(value_type = Option<String>)]
    pub name: String,
    /// Unix milliseconds, UTC.
    pub at: Millis,
    pub bytes: u64,
}

impl From<BoardSnapshot> for Snapshot {
    fn from(BoardSnapshot { id, name, at, bytes, .. }: BoardSnapshot) -> Self {
        Self { id, name, at, bytes }
    }
}

async fn snapshots(edge: &Edge, found: &Found) -> Result<Vec<BoardSnapshot>, Problem> {
    let store = &edge.node.meetings().env().store;
    store.board_snapshots(&found.key, found.board.id).await.map_err(stored)
}

async fn snapshot(edge: &Edge, found: &Found, id: Uuid) -> Result<BoardSnapshot, Problem> {
    let kept = snapshots(edge, found).await?;
    kept.into_iter().find(|snapshot| snapshot.id == id).ok_or_else(Problem::not_found)
}

/// Has the meeting say whether whoever asks may, and the board do it.
async fn ask(post: &Post, found: &Found, ask: AskBoard) -> Result<(), Problem> {
    let (node, whiteboard) = (&post.edge.node, found.board.id);
    node.command(&found.key, post.caller.by(), Command::KeepWhiteboard { whiteboard }).await?;
    Ok(node.meetings().ask_board(&found.key, whiteboard, ask).await?)
}

/// The states of a whiteboard that are kept, newest first: 50 at most, the oldest give way.
#[utoipa::path(get, path = "/api/v1/whiteboards/{id}/snapshots", tag = "whiteboards", params(("id" = String, Path)),
    responses((status = 200, description = "the snapshots", body = List<Snapshot>), Refusals))]
pub async fn index(edge: Data<Edge>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let found = readable(&edge, &caller, &id).await?;
    let items = snapshots(&edge, &found).await?;
    Ok(list(Page { items, next: None }, Snapshot::from))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWhiteboardSnapshot {
    /// 1 to 128 characters.
    pub name: Option<String>,
}

/// Keeps what is on a whiteboard now: whoever may rename it, while the meeting is not over.
#[utoipa::path(post, path = "/api/v1/whiteboards/{id}/snapshots", tag = "whiteboards", params(("id" = String, Path)),
    request_body = NewWhiteboardSnapshot,
    responses((status = 201, description = "the snapshot", body = Snapshot),
        (status = 400, description = "`bad_request`: the body is not JSON"),
        (status = 503, description = "`unavailable`: too many snapshots of the whiteboard are being made; `Retry-After` says when to come again"),
        Refusals))]
pub async fn create(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let NewWhiteboardSnapshot { name } = post.body()?;
    let limits = &post.edge.node.meetings().env().limits;
    let name = name.map(|name| checked(&name, "name", limits.name_chars_max)).transpose()?;
    let found = &found(&post.edge, &post.caller, &id).await?;
    let (post, name) = (&post, name.unwrap_or_default());
    post.once(|request| async move {
        let by = match &post.caller {
            Caller::Join(JoinClaims { user: Some(user), .. }) => {
                post.edge.projections.participant_of(&found.key, user).await.map_err(stored)?
            }
            Caller::Join(_) | Caller::Api(_) => None,
        };
        ask(post, found, AskBoard::Keep { id: request, name, by }).await?;
        let kept = snapshot(&post.edge, found, request).await?;
        Ok((StatusCode::CREATED, json!(Snapshot::from(kept))))
    })
    .await
}

/// A state of a whiteboard that was kept, as a file.
#[utoipa::path(get, path = "/api/v1/whiteboards/{id}/snapshots/{snapshot}/export", tag = "whiteboards",
    params(("id" = String, Path), ("snapshot" = String, Path), AsFile),
    responses((status = 200, description = "the file",
            content((Object = "application/json"), (String = "image/svg+xml"), (String = "image/png"))),
        (status = 304, description = "it is as it was by `If-None-Match`"),
        (status = 503, description = "`unavailable`: too many exports are under way; `Retry-After` says when to come again"),
        Refusals))]
pub async fn export(
    edge: Data<Edge>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    file: Query<AsFile>,
) -> Result<HttpResponse, Problem> {
    let format = file.format()?;
    let (id, wanted) = path.into_inner();
    let found = readable(&edge, &caller, &id).await?;
    let wanted: Uuid = wanted.parse().map_err(|_| Problem::not_found())?;
    let kept = snapshot(&edge, &found, wanted).await?;
    // What is kept never changes; the name of the board may.
    let name = if kept.name.is_empty() { &found.board.name } else { &kept.name };
    let tag = tag(wanted, name);
    if let Some(unchanged) = unchanged(&request, &tag, format) {
        return Ok(unchanged);
    }
    let (store, key, board) = (edge.node.meetings().env().store.clone(), found.key.clone(), found.board.id);
    let read = async move {
        let state = store.board_snapshot(&key, board, wanted).await?.ok_or(StoreError::NotFound)?;
        Ok(BoardLog { state: Some((1, state.into())), ..BoardLog::default() })
    };
    let made = made(&edge, &found.key, name, format, read).await?;
    Ok(sent(&tag, format, name, made.file))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhiteboardRestore {
    #[schema(value_type = String)]
    pub snapshot: Uuid,
}

/// Draws a state that was kept in the place of what is on the whiteboard, before the eyes of all who are at it:
/// whoever may rename it, while the meeting is not over. What was there is kept nowhere, unless a
/// snapshot was made of it.
#[utoipa::path(post, path = "/api/v1/whiteboards/{id}/restore", tag = "whiteboards", params(("id" = String, Path)),
    request_body = WhiteboardRestore,
    responses((status = 200, description = "the whiteboard", body = Board),
        (status = 400, description = "`bad_request`: the body is not JSON"), Refusals))]
pub async fn restore(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let WhiteboardRestore { snapshot } = post.body()?;
    let found = &found(&post.edge, &post.caller, &id).await?;
    let post = &post;
    post.once(|request| async move {
        ask(post, found, AskBoard::Restore { request, snapshot }).await?;
        Ok((StatusCode::OK, json!(shown(&post.edge, &found.key, found.board.id).await?)))
    })
    .await
}
