//! Polls, with as much of their results as the caller may know, and the votes of those that are not
//! anonymous; as CSV too, for those who lead and for the tenant.

use super::caller::Caller;
use super::csv::{self, Format};
use super::people::{known, reader};
use super::reads::{List, Paging, in_room, list, stored};
use super::{Edge, Problem};
use crate::projections::{Reader, Vote, Which, chosen};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use convoke_domain::poll::{Poll, PollState, Results};
use convoke_domain::{PollId, Rejection};
use serde::Deserialize;
use serde_json::Value;

/// Polls, and votes, that are read and sent at a time.
const POLLS: usize = 100;
const VOTES: usize = 500;

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Polled {
    /// `main`, or a breakout room's id: what belongs to that room now.
    pub room: Option<String>,
    /// `open` or `closed`.
    pub state: Option<String>,
    /// `json`, or `csv` for all of them in one table.
    pub format: Option<String>,
}

/// Which of the things of rooms are asked for.
pub fn which(
    room: Option<&str>,
    state: Option<String>,
    states: &[&str],
    after: i64,
    limit: usize,
) -> Result<Which, Problem> {
    if state.as_deref().is_some_and(|state| !states.contains(&state)) {
        return Err(Problem::wrong_data(format!("state is one of {}", states.join(", "))));
    }
    let room = in_room(room)?.map(|room| room.to_string());
    Ok(Which { room, state, after, limit })
}

/// Tables and single votes are for those who lead, and for the tenant.
fn leading(reader: Reader) -> Result<(), Problem> {
    match reader {
        Reader::Tenant | Reader::Lead(_) => Ok(()),
        Reader::Participant(_) => Err(Rejection::not_permitted("only hosts and cohosts read this").into()),
    }
}

/// The polls of a meeting, in the order they were opened. Counts are absent where they are hidden: until the
/// close with `results: closed`, and with `hosts` from everybody but hosts and cohosts. A join token reads the
/// polls of the rooms that its person has been in; hosts and cohosts read all. A table has a row an option.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/polls", tag = "polls", params(("id" = String, Path), Polled, Paging),
    responses((status = 200, description = "a page of {id, room, question, options, multiple, anonymous, results, state, ends_at?, \
        counts?, voters?}; or CSV: poll, room, question, anonymous, state, option, votes, voters",
        content((List<Value> = "application/json"), (String = "text/csv"))),
        (status = 403, description = "CSV for somebody who does not lead, or a join token of somebody who was never inside"),
        (status = 404, description = "an unknown meeting"),
        (status = 422, description = "a filter that cannot be")))]
pub async fn index(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    polled: Query<Polled>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    let Polled { room, state, format } = polled.into_inner();
    let format = Format::of(format.as_deref())?;
    let states = [PollState::Open, PollState::Closed].map(PollState::as_str);
    let (after, limit) = match format {
        Format::Json => (paging.position()?, paging.limit()?),
        Format::Csv => (0, POLLS),
    };
    let which = which(room.as_deref(), state, &states, after, limit)?;
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    if format == Format::Json {
        let page = edge.projections.polls(&key, &which, reader).await.map_err(stored)?;
        return Ok(list(page, |(_, poll)| poll));
    }
    leading(reader)?;
    let header = ["poll", "room", "question", "anonymous", "state", "option", "votes", "voters"];
    Ok(csv::answer(header, after, move |after| {
        let (edge, key, which) = (edge.clone(), key.clone(), Which { after, ..which.clone() });
        async move {
            let page = edge.projections.polls(&key, &which, reader).await.map_err(stored)?;
            let rows = page.items.iter().flat_map(|(_, poll)| options(poll)).collect();
            Ok((rows, page.next.and_then(|next| next.parse().ok())))
        }
    }))
}

/// A row an option; what is hidden, or not known yet, is empty.
fn options(poll: &Poll) -> impl Iterator<Item = [String; 8]> {
    let number = |number: Option<&u32>| number.map(u32::to_string).unwrap_or_default();
    poll.options.iter().enumerate().map(move |(place, option)| {
        let votes = poll.counts.as_ref().and_then(|counts| counts.get(place));
        [
            poll.id.to_string(),
            poll.room.to_string(),
            poll.question.clone(),
            poll.anonymous.to_string(),
            poll.state.as_str().to_owned(),
            option.clone(),
            number(votes),
            number(poll.voters.as_ref()),
        ]
    })
}

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Formatted {
    /// `json`, or `csv` for all of them in one table.
    pub format: Option<String>,
}

/// Who voted what, also while the poll is open: for the tenant, hosts and cohosts. Votes add up to counts: while
/// those are hidden until the close (`results: closed`), only an API token reads them, and a join token is
/// answered `wrong_state`. Nobody is ever told who voted what in an anonymous poll: `wrong_state` too.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/polls/{poll}/votes", tag = "polls",
    params(("id" = String, Path), ("poll" = String, Path), Formatted, Paging),
    responses((status = 200, description = "a page of votes; or CSV: participant, user, name, choices",
        content((List<Vote> = "application/json"), (String = "text/csv"))),
        (status = 403, description = "for somebody who does not lead"),
        (status = 404, description = "an unknown meeting or poll"),
        (status = 422, description = "an unknown format, or a page that cannot be"),
        (status = 409, description = "`wrong_state`: the poll is anonymous, or its counts are hidden from a join token until it is closed")))]
pub async fn votes(
    edge: Data<Edge>,
    caller: Caller,
    path: Path<(String, String)>,
    formatted: Query<Formatted>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let (id, poll) = path.into_inner();
    let key = caller.meeting(&id)?;
    let poll: PollId = poll.parse().map_err(|_| Problem::not_found())?;
    let format = Format::of(formatted.format.as_deref())?;
    let (after, limit) = match format {
        Format::Json => (paging.uuid()?, paging.limit()?),
        Format::Csv => (None, VOTES),
    };
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    leading(reader)?;
    let poll = edge.projections.poll(&key, poll).await.map_err(stored)?.ok_or_else(Problem::not_found)?;
    if poll.anonymous {
        return Err(Rejection::wrong_state("the poll is anonymous: nobody can tell who voted what").into());
    }
    let is_hidden = poll.results == Results::Closed && poll.state == PollState::Open;
    if is_hidden && !matches!(reader, Reader::Tenant) {
        return Err(Rejection::wrong_state("the votes are hidden until the poll is closed").into());
    }
    if format == Format::Json {
        let page = edge.projections.votes(&key, poll.id, after, limit).await.map_err(stored)?;
        return Ok(list(page, |vote| vote));
    }
    Ok(csv::answer(["participant", "user", "name", "choices"], after, move |after| {
        let (edge, key, poll) = (edge.clone(), key.clone(), poll.clone());
        async move {
            let page = edge.projections.votes(&key, poll.id, after, limit).await.map_err(stored)?;
            let rows = page.items.into_iter().map(|vote| cast(&poll, vote)).collect();
            Ok((rows, page.next.and_then(|next| next.parse().ok()).map(Some)))
        }
    }))
}

/// A vote in words.
fn cast(poll: &Poll, vote: Vote) -> [String; 4] {
    let choices: Vec<&str> = chosen(poll, &vote.choices).collect();
    let choices = choices.join("; ");
    [vote.participant.to_string(), vote.user.unwrap_or_default(), vote.name, choices]
}
