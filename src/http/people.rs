//! People: attendance, what was said, and the right to be given or to be forgotten.

use super::caller::Caller;
use super::reads::{List, Paging, in_room, list, stored};
use super::{Edge, Problem};
use crate::projections::{Attendance, Reader};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use convoke_actors::ports::MeetingKey;
use convoke_domain::{MeetingId, Rejection, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a request waits for the files of somebody who is erased.
const ERASING: Duration = Duration::from_secs(10);

/// There is such a meeting, and what happened in it until now can be read.
pub async fn known(edge: &Edge, key: &MeetingKey) -> Result<(), Problem> {
    edge.projections.meeting(key).await.map_err(stored)?.map(|_| ()).ok_or_else(Problem::not_found)?;
    // Whoever was answered a moment ago reads what they did.
    edge.projections.catch_up(key).await.map_err(stored)
}

/// Attendance: who was in which room, when, for how long.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/participants", tag = "people", params(("id" = String, Path), Paging),
    responses((status = 200, description = "a page of stays", body = List<Attendance>),
        (status = 403, description = "a join token of somebody who was never inside"),
        (status = 404, description = "an unknown meeting")))]
pub async fn attendance(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    known(&edge, &key).await?;
    // Whoever waits in the lobby sees nothing of the meeting, by this door either.
    reader(&edge, &caller, &key).await?;
    let page = edge.projections.attendances(&key, paging.place()?, paging.limit()?).await.map_err(stored)?;
    Ok(list(page, |row| row))
}

/// As whom a caller reads: a join token reads as the person that it stands for, once they have been
/// inside, with the role that the meeting records.
pub async fn reader(edge: &Edge, caller: &Caller, key: &MeetingKey) -> Result<Reader, Problem> {
    let Caller::Join(claims) = caller else { return Ok(Reader::Tenant) };
    let outside = || Problem::from(Rejection::not_permitted("only people who have been in the meeting can read it"));
    let user = claims.user.as_ref().ok_or_else(outside)?;
    let id = edge.projections.participant_of(key, user).await.map_err(stored)?.ok_or_else(outside)?;
    edge.projections.reader(key, id).await.map_err(stored)?.ok_or_else(outside)
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct InRoom {
    /// `main`, or a breakout room's id.
    pub room: Option<String>,
}

/// The chat history, oldest first. A join token reads what was said to everyone, to or by its person,
/// and in the rooms that person has been in; hosts and cohosts read what was said in any room. What was
/// said in a room that was merged into another stands in that `room`, with its `origin`.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/messages", tag = "people", params(("id" = String, Path), InRoom, Paging),
    responses((status = 200, description = "a page of messages", body = List<Value>),
        (status = 403, description = "a join token of somebody who was never inside"),
        (status = 404, description = "an unknown meeting"), (status = 422, description = "a filter that cannot be")))]
pub async fn messages(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    room: Query<InRoom>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let room = in_room(room.room.as_deref())?.map(|room| room.to_string());
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    let page = edge
        .projections
        .messages(&key, room.as_deref(), reader, paging.position()?, paging.limit()?)
        .await
        .map_err(stored)?;
    Ok(list(page, |(_, message)| message))
}

/// Erases a person: name, user and words, in every meeting of the tenant, in the log too; and the files of
/// recordings that are of them alone, with what was transcribed of those. Files of a whole room stay, as do files under a legal hold, until that ends.
#[utoipa::path(delete, path = "/api/v1/users/{user}", tag = "people", params(("user" = String, Path)),
    responses((status = 200, description = "how many meetings it concerned, and how many tracks of theirs are deleted, now or when that may be"), (status = 404, description = "an unknown user")))]
pub async fn erase(edge: Data<Edge>, caller: Caller, user: Path<String>) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    let user = UserId(user.into_inner());
    let known = edge.projections.meetings_of(tenant, &user).await.map_err(stored)?;
    let listed = edge.projections.meetings_listing(tenant, &user).await.map_err(stored)?;
    let meetings: BTreeSet<&MeetingKey> = known.iter().map(|(key, _)| key).chain(&listed).collect();
    if meetings.is_empty() {
        return Err(Problem::not_found());
    }
    let mut tracks = 0_u64;
    for key in &meetings {
        let ids = || known.iter().filter(|(other, _)| other == *key).map(|(_, id)| *id);
        // What is wanted of storage is written down while it is known who they are: what breaks off behind
        // this is gone on with.
        for id in ids() {
            edge.projections.catch_up(key).await.map_err(stored)?;
            edge.keeper.ledger().want_erased(key, id).await.map_err(stored)?;
        }
        let done = edge.node.erase(key, user.clone()).await?;
        edge.projections.catch_up(key).await.map_err(stored)?;
        // They may have been recorded until now.
        for id in ids() {
            let wanted = edge.keeper.ledger().want_erased(key, id).await.map_err(stored)?;
            tracks = tracks.saturating_add(wanted);
        }
        if listed.contains(key) {
            edge.projections.unlist(key, done.seq, &user).await.map_err(stored)?;
        }
    }
    if tracks > 0 {
        // What cannot be deleted now is so later: it is over then, or its hold is, or storage answers.
        let until = Instant::now() + ERASING;
        for (key, id) in &known {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Err(error) = edge.keeper.erase_of(key, *id, left).await {
                tracing::warn!(%error, "the tracks of an erased person are deleted later");
                break;
            }
        }
    }
    let done = match tracks {
        0 => json!({ "meetings": meetings.len() }),
        tracks => json!({ "meetings": meetings.len(), "tracks": tracks }),
    };
    Ok(HttpResponse::Ok().json(done))
}

/// All that is known of a person. What they asked or voted anonymously is not among it: nobody knows whose it is.
#[utoipa::path(get, path = "/api/v1/users/{user}/export", tag = "people", params(("user" = String, Path)),
    responses((status = 200, description = "their meetings, stays, messages, captions, questions, answers in writing and votes, how often they raised a hand, whiteboards that they made or named, snapshots that they made of those, recordings of them alone, and what was transcribed of those"), (status = 404, description = "an unknown user")))]
pub async fn export(edge: Data<Edge>, caller: Caller, user: Path<String>) -> Result<HttpResponse, Problem> {
    let tenant = caller.tenant()?;
    let user = UserId(user.into_inner());
    let known = edge.projections.meetings_of(tenant, &user).await.map_err(stored)?;
    let listed = edge.projections.meetings_listing(tenant, &user).await.map_err(stored)?;
    if known.is_empty() && listed.is_empty() {
        return Err(Problem::not_found());
    }
    let mut meetings = Vec::new();
    for (key, participant) in known {
        let attendance = edge.projections.attendances_of(&key, participant).await.map_err(stored)?;
        let messages = edge.projections.messages_by(&key, participant).await.map_err(stored)?;
        let captions = edge.projections.captions_by(&key, participant).await.map_err(stored)?;
        let questions = edge.projections.questions_by(&key, participant).await.map_err(stored)?;
        let answers = edge.projections.answers_by(&key, participant).await.map_err(stored)?;
        let votes = edge.projections.votes_by(&key, participant).await.map_err(stored)?;
        let hands = edge.projections.hands_by(&key, participant).await.map_err(stored)?;
        let meeting = edge.projections.meeting(&key).await.map_err(stored)?;
        let transcribed = edge.transcripts.jobs.said_by(&key, participant).await.map_err(stored)?;
        let whiteboards = edge.projections.whiteboards_by(&key, participant).await.map_err(stored)?;
        let snapshots = edge.projections.snapshots_by(&key, participant).await.map_err(stored)?;
        let tracks = edge.projections.tracks_of(&key, participant).await.map_err(stored)?;
        let tracks: Vec<Value> =
            tracks.into_iter().map(|(recording, file)| json!({ "recording": recording, "file": file })).collect();
        meetings.push(json!({
            "meeting": meeting, "participant": participant, "attendance": attendance, "messages": messages,
            "captions": captions, "questions": questions, "answers": answers, "votes": votes, "hands": hands,
            "whiteboards": whiteboards, "whiteboard_snapshots": snapshots, "recorded": tracks, "transcribed": transcribed,
        }));
    }
    // Where a room was kept for them, or is.
    let listed: Vec<MeetingId> = listed.into_iter().map(|key| key.meeting).collect();
    Ok(HttpResponse::Ok().json(json!({ "user": user, "meetings": meetings, "listed": listed })))
}
