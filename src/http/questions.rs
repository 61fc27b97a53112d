//! Questions to whoever leads, as they stand.

use super::caller::Caller;
use super::people::{known, reader};
use super::polls::which;
use super::reads::{List, Paging, list, stored};
use super::{Edge, Problem};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use convoke_domain::question::QuestionState;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Asked {
    /// `main`, or a breakout room's id: what belongs to that room now.
    pub room: Option<String>,
    /// `open`, `answered` or `dismissed`.
    pub state: Option<String>,
}

/// The questions of a meeting, in the order they were asked. Who asked anonymously is known to nobody. A
/// join token reads those of the rooms that its person has been in; hosts and cohosts read all. A question
/// of a room that was merged into another stands in that `room`.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/questions", tag = "polls", params(("id" = String, Path), Asked, Paging),
    responses((status = 200, description = "a page of {id, room, text, by?, anonymous, votes, state, answer?, live?}", body = List<Value>),
        (status = 403, description = "a join token of somebody who was never inside"),
        (status = 404, description = "an unknown meeting"), (status = 422, description = "a filter that cannot be")))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    asked: Query<Asked>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let states = [QuestionState::Open, QuestionState::Answered, QuestionState::Dismissed].map(QuestionState::as_str);
    let Asked { room, state } = asked.into_inner();
    let which = which(room.as_deref(), state, &states, paging.position()?, paging.limit()?)?;
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    let page = edge.projections.questions(&key, &which, reader).await.map_err(stored)?;
    Ok(list(page, |(_, question)| question))
}
