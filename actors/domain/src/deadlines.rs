//! What happens by itself, at an absolute time that the state holds: the end of a grace period, of
//! breakout rooms, of a poll, of the timer, of an empty meeting, of one whose hosts are gone, of one
//! that has lasted its time; and the counts of what many do to one thing. Each deadline takes effect once, because firing it changes the
//! state that it was computed from.

use crate::breakout::BreakoutState;
use crate::decide::{attention, breakout::closing, lifecycle, polls, presence, questions, recordings, roles};
use crate::event::{EndReason, Event};
use crate::ids::{MessageId, Millis, PollId, QuestionId, RecordingId, SessionId};
use crate::limits::Limits;
use crate::shapes::{RoomState, Status};
use crate::state::Meeting;
use crate::turn::Turn;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deadline {
    Count(Uuid),
    PollDue(PollId),
    TimerDue,
    GraceOver(SessionId),
    RoomsWarned,
    RoomsDue,
    RoomsShut,
    RecordingDue(RecordingId),
    RecordingAgain,
    End(EndCause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndCause {
    MaxDuration,
    HostAbsent,
    Empty,
}

/// When the meeting next has something to do by itself.
pub fn next_at(state: &Meeting, limits: &Limits) -> Option<Millis> {
    next(state, limits).map(|(at, _)| at)
}

fn next(state: &Meeting, limits: &Limits) -> Option<(Millis, Deadline)> {
    let recordings = recordings::next_due(state, limits).map(|(at, id)| (at, Deadline::RecordingDue(id)));
    if state.info.status.is_over() {
        return recordings;
    }
    let counts = state.counts_due.iter().map(|(id, at)| (*at, Deadline::Count(*id)));
    let graces = state.lost.iter().map(|(id, at)| (at.saturating_add(limits.grace_ms), Deadline::GraceOver(*id)));
    let mut found = counts.chain(graces).chain(recordings).min();
    let mut consider = |at: Option<Millis>, deadline: Deadline| {
        if let Some(at) = at {
            let this = (at, deadline);
            found = Some(found.map_or(this, |other| other.min(this)));
        }
    };
    let polls = state.polls.values().filter(|live| live.is_open());
    if let Some((at, id)) = polls.filter_map(|live| Some((live.poll.ends_at?, live.poll.id))).min() {
        consider(Some(at), Deadline::PollDue(id));
    }
    consider(state.timer.as_ref().map(|timer| timer.ends_at), Deadline::TimerDue);
    if let Some(set) = &state.breakout {
        consider(set.warnings.keys().next().copied(), Deadline::RoomsWarned);
        let is_open = set.shown.state == BreakoutState::Open;
        consider(set.shown.ends_at.filter(|_| is_open), Deadline::RoomsDue);
        let closing = state.set_rooms().filter(|room| room.state == RoomState::Closing);
        consider(closing.filter_map(|room| room.ends_at).min(), Deadline::RoomsShut);
    }
    consider(recordings::again_at(state, limits), Deadline::RecordingAgain);
    if state.info.status == Status::Live {
        consider(state.info.ends_at, Deadline::End(EndCause::MaxDuration));
        let empty = state.empty_since.map(|since| since.saturating_add(limits.empty_ms));
        consider(empty, Deadline::End(EndCause::Empty));
        let absent = state.info.settings.host_absent_end_s.zip(state.leaderless_since);
        consider(
            absent.map(|(s, since)| since.saturating_add(u64::from(s).saturating_mul(1_000))),
            Deadline::End(EndCause::HostAbsent),
        );
    }
    found
}

/// Fires everything that is due, earliest first.
pub fn fire_due(turn: &mut Turn<'_>) {
    while let Some((at, deadline)) = next(turn.state, turn.limits) {
        if at > turn.now.at {
            return;
        }
        match deadline {
            Deadline::Count(of) => tell_count(turn, of),
            Deadline::PollDue(id) => polls::deadline(turn, id),
            Deadline::TimerDue => attention::end_timer(turn, None),
            Deadline::GraceOver(session) => {
                presence::grace_over(turn, session);
                roles::succeed(turn);
            }
            Deadline::RoomsWarned => closing::warn(turn),
            Deadline::RoomsDue => closing::deadline(turn),
            Deadline::RoomsShut => closing::grace_over(turn),
            Deadline::RecordingDue(id) => recordings::deadline(turn, id),
            Deadline::RecordingAgain => recordings::keep(turn),
            Deadline::End(cause) => {
                let reason = match cause {
                    EndCause::MaxDuration => EndReason::MaxDuration,
                    EndCause::HostAbsent => EndReason::HostAbsent,
                    EndCause::Empty => EndReason::Empty,
                };
                lifecycle::end(turn, reason, None);
            }
        }
    }
}

fn tell_count(turn: &mut Turn<'_>, of: Uuid) {
    if turn.state.questions.contains_key(&QuestionId(of)) {
        questions::tell_count(turn, QuestionId(of));
    } else if turn.state.polls.contains_key(&PollId(of)) {
        polls::tell_count(turn, PollId(of));
    } else {
        tell_reactions(turn, MessageId(of));
    }
}

fn tell_reactions(turn: &mut Turn<'_>, id: MessageId) {
    let Some(live) = turn.state.messages.get(&id) else {
        turn.state.counts_due.remove(&id.0);
        return;
    };
    let mut message = live.message.clone();
    message.reactions = live
        .reactors
        .iter()
        .map(|(emoji, who)| (emoji.clone(), u32::try_from(who.len()).unwrap_or(u32::MAX)))
        .collect();
    turn.emit(Event::ChatReacted { message });
}
