//! A meeting's own life: made, started, changed, ended, cancelled. It starts with the first person
//! inside or on a host's word, and ends on a host's word or by one of its deadlines.

use super::{breakout, checked, lobby, person, polls, questions, recordings, roles};
use crate::command::{Create, NewInvitation};
use crate::effect::{CloseCode, Effect};
use crate::event::{EndReason, Event};
use crate::ids::{ParticipantId, RoomId};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::shapes::{Invitation, MeetingInfo, Role, Settings, SettingsPatch, Status};
use crate::turn::{Caller, Now, Reply, Turn};

/// A week: no meeting's duration or host's absence is set beyond it.
const DURATION_S_MAX: u32 = 7 * 24 * 3_600;
const AUTO_RECORD_PEOPLE_MAX: u32 = 10_000;
const RECURRENCE_CHARS_MAX: usize = 500;

pub fn create(create: Create, now: Now, limits: &Limits) -> Result<Event, Rejection> {
    let title = checked(&create.title, "title", limits.title_chars_max)?;
    let mut settings = create.settings;
    if settings.max_participants == Settings::default().max_participants {
        settings.max_participants = settings.max_participants.min(limits.participants_max);
    }
    check_settings(&settings, None, limits)?;
    if create.recurrence.as_ref().is_some_and(|rule| rule.chars().count() > RECURRENCE_CHARS_MAX) {
        return Err(Rejection::too_large("the recurrence rule is too long"));
    }
    let plan = create.breakout.map(|plan| breakout::open::planned(plan, limits));
    let breakout = plan.transpose()?.flatten();
    let meeting = MeetingInfo {
        id: create.id,
        title,
        status: Status::Scheduled,
        created_at: now.at,
        scheduled_at: create.scheduled_at,
        recurrence: create.recurrence,
        started_at: None,
        ended_at: None,
        ends_at: None,
        settings,
    };
    Ok(Event::MeetingCreated { tenant: create.tenant, meeting, breakout })
}

/// Seats that were granted before a server's limit was lowered are no hindrance to other changes.
fn check_settings(settings: &Settings, before: Option<&Settings>, limits: &Limits) -> Result<(), Rejection> {
    let is_new = before.is_none_or(|before| before.max_participants != settings.max_participants);
    let in_range = (1..=limits.participants_max).contains(&settings.max_participants);
    if is_new && !in_range {
        let most = limits.participants_max;
        return Err(Rejection::bad_request(format!("max_participants is from 1 to {most}")));
    }
    if !(1..=AUTO_RECORD_PEOPLE_MAX).contains(&settings.auto_record_min_participants) {
        let most = AUTO_RECORD_PEOPLE_MAX;
        return Err(Rejection::bad_request(format!("auto_record_min_participants is from 1 to {most}")));
    }
    for (name, value) in
        [("max_duration_s", settings.max_duration_s), ("host_absent_end_s", settings.host_absent_end_s)]
    {
        if value.is_some_and(|s| s == 0 || s > DURATION_S_MAX) {
            return Err(Rejection::bad_request(format!("{name} is from 1 to {DURATION_S_MAX}")));
        }
    }
    Ok(())
}

/// Makes a scheduled meeting live as its first person comes in. A service is not company: were a
/// recorder that came early to start the meeting, it would end as an empty one.
pub fn go_live_for(turn: &mut Turn<'_>, role: Role) {
    if !role.is_service() {
        go_live(turn, None);
    }
}

/// Makes a scheduled meeting live; a live one is left as it is.
pub fn go_live(turn: &mut Turn<'_>, by: Option<ParticipantId>) {
    if turn.state.info.status != Status::Scheduled {
        return;
    }
    let mut meeting = turn.state.info.clone();
    meeting.status = Status::Live;
    meeting.started_at = Some(turn.now.at);
    meeting.ends_at = ends_at(&meeting);
    turn.emit(Event::MeetingStarted { meeting, by });
}

fn ends_at(meeting: &MeetingInfo) -> Option<u64> {
    let duration_ms = u64::from(meeting.settings.max_duration_s?).saturating_mul(1_000);
    Some(meeting.started_at?.saturating_add(duration_ms))
}

pub fn start(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    if turn.state.info.status != Status::Scheduled {
        return Err(Rejection::wrong_state("the meeting has started already"));
    }
    go_live(turn, caller.participant);
    Ok(Reply::Done)
}

pub fn end_by(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    end(turn, EndReason::Ended, caller.participant);
    Ok(Reply::Done)
}

/// Ends the meeting for everybody, those who wait included; nothing of it lives on.
pub fn end(turn: &mut Turn<'_>, reason: EndReason, by: Option<ParticipantId>) {
    let mut meeting = turn.state.info.clone();
    meeting.status = Status::Ended;
    meeting.ended_at = Some(turn.now.at);
    meeting.started_at = meeting.started_at.or(Some(turn.now.at));
    let rooms: Vec<RoomId> = turn.state.rooms.keys().copied().collect();
    polls::finish_in(turn, &rooms, by);
    recordings::stop_in(turn, &rooms, by);
    questions::finish_all(turn);
    turn.emit(Event::MeetingEnded { meeting, reason, by });
    turn.tell_after(Effect::CloseAll(CloseCode::MeetingEnded));
}

pub fn cancel(turn: &mut Turn<'_>) -> Result<Reply, Rejection> {
    if turn.state.info.status != Status::Scheduled {
        return Err(Rejection::wrong_state("only a meeting that has not started can be cancelled"));
    }
    let mut meeting = turn.state.info.clone();
    meeting.status = Status::Cancelled;
    meeting.ended_at = Some(turn.now.at);
    turn.emit(Event::MeetingCancelled { meeting });
    turn.tell_after(Effect::CloseAll(CloseCode::MeetingEnded));
    Ok(Reply::Done)
}

pub fn update(
    turn: &mut Turn<'_>,
    caller: &Caller,
    title: Option<String>,
    settings: Option<SettingsPatch>,
    scheduled_at: Option<u64>,
) -> Result<Reply, Rejection> {
    let mut meeting = turn.state.info.clone();
    if let Some(title) = title {
        meeting.title = checked(&title, "title", turn.limits.title_chars_max)?;
    }
    if let Some(patch) = settings {
        meeting.settings = meeting.settings.patched(&patch);
        check_settings(&meeting.settings, Some(&turn.state.info.settings), turn.limits)?;
        meeting.ends_at = ends_at(&meeting);
        // Ending a meeting is a command of its own, which fewer may give.
        if meeting.ends_at != turn.state.info.ends_at && meeting.ends_at.is_some_and(|at| at <= turn.now.at) {
            return Err(Rejection::conflict("the meeting has lasted longer than max_duration_s already"));
        }
    }
    if let Some(at) = scheduled_at {
        if meeting.status != Status::Scheduled {
            return Err(Rejection::wrong_state("the meeting has started already"));
        }
        meeting.scheduled_at = Some(at);
    }
    if meeting != turn.state.info {
        turn.emit(Event::MeetingUpdated { meeting, by: caller.participant });
        breakout::closing::hold_to_meeting(turn, caller.participant);
        // Without a set end for want of a host, somebody may step in; and whoever waited for a
        // host alone may not have to any more.
        roles::succeed(turn);
        lobby::release(turn);
    }
    Ok(Reply::Done)
}

/// After an owner's death: whoever was absent, was absent because of us, and begins anew; so does what
/// the recorder is given to begin, to stop or to finish.
pub fn recovered(turn: &mut Turn<'_>) -> Result<Reply, Rejection> {
    let state = &turn.state;
    let is_absent = !state.lost.is_empty() || state.empty_since.is_some() || state.leaderless_since.is_some();
    // Recordings are followed after the meeting's end too.
    if (is_absent && !state.info.status.is_over()) || !state.unfinished.is_empty() {
        turn.emit(Event::MeetingRecovered {});
    }
    Ok(Reply::Done)
}

pub fn invite(turn: &mut Turn<'_>, invitations: Vec<NewInvitation>) -> Result<Reply, Rejection> {
    let known = usize::try_from(turn.state.invitations).unwrap_or(usize::MAX);
    if known.saturating_add(invitations.len()) > turn.limits.invitations_max {
        return Err(Rejection::capacity("the meeting has no room for more invitations"));
    }
    for new in invitations {
        let invitation = Invitation {
            id: new.id,
            email: new.email,
            role: new.role,
            code_digest: new.code_digest,
            created_at: turn.now.at,
        };
        turn.emit(Event::InvitationCreated { invitation });
    }
    Ok(Reply::Done)
}

/// The caller as the author of an event; a backend's deeds name nobody.
pub fn author(caller: &Caller) -> Result<Option<ParticipantId>, Rejection> {
    if caller.is_operator { Ok(None) } else { person(caller).map(Some) }
}
