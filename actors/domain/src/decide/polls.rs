//! Polls: opened by those who lead, in the room they are in; voted in by whoever is there, once a
//! person, however many devices they have and however often they come back; closed on a host's word,
//! by its deadline, or with its room. A vote can be changed until then.

use super::{checked, person};
use crate::event::Event;
use crate::ids::{Millis, ParticipantId, PollId, RoomId};
use crate::poll::{LivePoll, OpenPoll, Poll, PollState, Results};
use crate::rejection::Rejection;
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

const OPTIONS_MIN: usize = 2;
/// A day.
const DURATION_S_MAX: u32 = 24 * 3_600;

pub fn open(turn: &mut Turn<'_>, caller: &Caller, wanted: OpenPoll) -> Result<Reply, Rejection> {
    let limits = turn.limits;
    let room = turn.room_of_caller(caller);
    let question = checked(&wanted.question, "question", limits.question_chars_max)?;
    let options = options(turn, &wanted.options)?;
    let ends_at = match wanted.duration_s {
        Some(s) if s == 0 || s > DURATION_S_MAX => {
            return Err(Rejection::bad_request(format!("duration_s is from 1 to {DURATION_S_MAX}")));
        }
        Some(s) => Some(turn.now.at.saturating_add(Millis::from(s).saturating_mul(1_000))),
        None => None,
    };
    let open = turn.state.polls.values().filter(|live| live.is_open() && live.poll.room == room).count();
    if open >= limits.polls_open_max {
        return Err(Rejection::capacity(format!("a room has at most {} open polls", limits.polls_open_max)));
    }
    let poll = Poll {
        id: PollId(turn.id()),
        room,
        question,
        options,
        multiple: wanted.multiple,
        anonymous: wanted.anonymous,
        results: wanted.results,
        state: PollState::Open,
        ends_at,
        counts: None,
        voters: None,
    };
    if poll.anonymous {
        turn.emit(Event::AnonymityBegun { of: poll.id.0, key: turn.key() });
    }
    let nobody = LivePoll::new(poll).shown(false);
    turn.emit(Event::PollOpened { poll: nobody, by: caller.participant });
    Ok(Reply::Done)
}

fn options(turn: &Turn<'_>, wanted: &[String]) -> Result<Vec<String>, Rejection> {
    let most = turn.limits.poll_options_max;
    if !(OPTIONS_MIN..=most).contains(&wanted.len()) {
        return Err(Rejection::bad_request(format!("a poll has from {OPTIONS_MIN} to {most} options")));
    }
    let options: Result<Vec<String>, Rejection> =
        wanted.iter().map(|text| checked(text, "option", turn.limits.poll_option_chars_max)).collect();
    let options = options?;
    let different: BTreeSet<&String> = options.iter().collect();
    if different.len() != options.len() {
        return Err(Rejection::bad_request("an option is listed twice"));
    }
    Ok(options)
}

/// A poll that is open.
fn running<'a>(turn: &'a Turn<'_>, id: PollId) -> Result<&'a LivePoll, Rejection> {
    let live = turn.state.polls.get(&id).ok_or_else(|| Rejection::not_found("no such poll"))?;
    if !live.is_open() {
        return Err(Rejection::wrong_state("the poll is closed"));
    }
    Ok(live)
}

pub fn vote(turn: &mut Turn<'_>, caller: &Caller, id: PollId, mut choices: Vec<u32>) -> Result<Reply, Rejection> {
    let voter = person(caller)?;
    let room = turn.member(voter)?.participant.room;
    if turn.state.polls.get(&id).is_some_and(|live| live.poll.room != room) {
        return Err(Rejection::not_found("no such poll in your room"));
    }
    let live = running(turn, id)?;
    choices.sort_unstable();
    let different = choices.windows(2).all(|pair| pair.first() != pair.last());
    let options = u32::try_from(live.poll.options.len()).unwrap_or(u32::MAX);
    if choices.is_empty() {
        return Err(Rejection::bad_request("a vote has at least one choice"));
    }
    if !different {
        return Err(Rejection::bad_request("an option is chosen twice"));
    }
    if choices.iter().any(|choice| *choice >= options) {
        return Err(Rejection::bad_request("there is no such option"));
    }
    if choices.len() > 1 && !live.poll.multiple {
        return Err(Rejection::bad_request("this poll takes one choice"));
    }
    let voter = turn.state.known_as(id.0, voter);
    if live.votes.get(&voter) != Some(&choices) {
        turn.emit(Event::PollVoted { poll: id, voter, choices });
    }
    Ok(Reply::Done)
}

/// Those who lead close a poll from whatever room they are in.
pub fn close(turn: &mut Turn<'_>, caller: &Caller, id: PollId) -> Result<Reply, Rejection> {
    running(turn, id)?;
    finish(turn, &[id], caller.participant);
    Ok(Reply::Done)
}

/// A poll's deadline has come.
pub fn deadline(turn: &mut Turn<'_>, id: PollId) {
    finish(turn, &[id], None);
}

/// Polls end with the room they are in.
pub fn finish_in(turn: &mut Turn<'_>, rooms: &[RoomId], by: Option<ParticipantId>) {
    let is_there = |live: &&LivePoll| live.is_open() && rooms.contains(&live.poll.room);
    let there: Vec<PollId> = turn.state.polls.values().filter(is_there).map(|live| live.poll.id).collect();
    finish(turn, &there, by);
}

/// Closes polls with their exact counts, and destroys the keys of those that are anonymous.
pub fn finish(turn: &mut Turn<'_>, polls: &[PollId], by: Option<ParticipantId>) {
    let mut closed: Vec<LivePoll> = polls.iter().filter_map(|id| turn.state.polls.get(id)).cloned().collect();
    turn.unveil(closed.iter().filter(|live| live.poll.anonymous).map(|live| live.poll.id.0).collect());
    for live in &mut closed {
        live.poll.state = PollState::Closed;
        turn.emit(Event::PollClosed { poll: live.shown(false), by });
        if live.poll.results == Results::Hosts {
            turn.emit(Event::PollCounted { poll: live.shown(true) });
        }
    }
}

/// The counts of a poll that changed, for those who see them.
pub fn tell_count(turn: &mut Turn<'_>, id: PollId) {
    if let Some(live) = turn.state.polls.get(&id) {
        let poll = live.shown(live.poll.results == Results::Hosts);
        turn.emit(Event::PollCounted { poll });
    }
}
