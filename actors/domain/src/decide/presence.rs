//! Coming and going. A user is one participant with several sessions; a session is lost when its
//! socket is, comes back, or ends when its grace period runs out. Every door leads through
//! [`join`]: bans, the lock, the lobby, the host's absence and the number of seats are checked
//! there and nowhere else.

use super::{checked, close_sessions, lifecycle, lobby, roles};
use crate::command::{By, Join};
use crate::effect::{CloseCode, Effect};
use crate::event::{Event, LeaveReason, Person, SessionEnd};
use crate::ids::{ParticipantId, SessionId};
use crate::rejection::Rejection;
use crate::shapes::{Connection, Role};
use crate::state::{Member, Standing};
use crate::turn::{Caller, Reply, Turn};

pub fn join(turn: &mut Turn<'_>, join: Join) -> Result<Reply, Rejection> {
    if turn.state.info.status.is_over() {
        return Err(Rejection::wrong_state("the meeting is over").closing(CloseCode::MeetingEnded));
    }
    let name = checked(&join.name, "name", turn.limits.name_chars_max)?;
    let known = turn.state.find(join.user.as_ref(), join.session).cloned();
    let holder = turn.state.sessions.get(&join.session).map(|session| session.participant);
    if holder.is_some() && holder != known.as_ref().map(|member| member.participant.id) {
        return Err(Rejection::conflict("another participant uses this session id"));
    }
    match known {
        Some(member) if member.banned => {
            Err(Rejection::not_permitted("banned from this meeting").closing(CloseCode::Banned))
        }
        Some(member) if member.is_inside() => {
            let id = member.participant.id;
            open_session(turn, join.session, id, None)?;
            reconnect(turn, join.session);
            Ok(Reply::Inside(id))
        }
        Some(member) if member.is_waiting() => {
            let id = member.participant.id;
            open_session(turn, join.session, id, None)?;
            reconnect(turn, join.session);
            Ok(Reply::Waiting(id))
        }
        known => come_in(turn, &join, name, known),
    }
}

/// Somebody who is neither inside nor waiting: new, or back after having gone.
fn come_in(turn: &mut Turn<'_>, join: &Join, name: String, known: Option<Member>) -> Result<Reply, Rejection> {
    let role = match &known {
        Some(member) if member.original_host => Role::Host,
        Some(member) => member.participant.role,
        None => join.role,
    };
    let is_privileged = role.leads() || role.is_service();
    if turn.state.info.settings.locked && !is_privileged {
        return Err(Rejection::wrong_state("the meeting is locked").closing(CloseCode::Denied));
    }
    let must_wait = lobby::is_for(turn, role, join.user.is_none(), known.as_ref());
    let awaits_host = lobby::awaits_host(turn, role);
    if must_wait || awaits_host {
        lobby::check_seats(turn)?;
    } else {
        check_seats(turn, role)?;
    }
    let id = known.as_ref().map_or_else(|| ParticipantId(turn.id()), |member| member.participant.id);
    let person = match &known {
        Some(_) => None,
        None => Some(Person { user: join.user.clone(), name, role, erased: false }),
    };
    open_session(turn, join.session, id, person)?;
    if must_wait || awaits_host {
        lobby::enter(turn, id, !must_wait, None);
        return Ok(Reply::Waiting(id));
    }
    lifecycle::go_live_for(turn, role);
    turn.enter(id);
    roles::arrived(turn, id);
    Ok(Reply::Inside(id))
}

/// Hosts and services have a seat even in a full meeting.
pub fn check_seats(turn: &Turn<'_>, role: Role) -> Result<(), Rejection> {
    let most = turn.state.info.settings.max_participants.min(turn.limits.participants_max);
    let inside = u32::try_from(turn.state.people_inside()).unwrap_or(u32::MAX);
    if inside >= most && !role.leads() && !role.is_service() {
        return Err(Rejection::capacity("the meeting is full"));
    }
    Ok(())
}

/// Opens a session for a participant, unless it is open. One too many takes the place of the one
/// that has been without a socket longest; if none is, there is no place.
fn open_session(
    turn: &mut Turn<'_>,
    session: SessionId,
    participant: ParticipantId,
    person: Option<Person>,
) -> Result<(), Rejection> {
    if turn.state.sessions.contains_key(&session) {
        return Ok(());
    }
    if let Some(member) = turn.state.member(participant)
        && member.sessions.len() >= turn.limits.sessions_per_participant_max
    {
        let lost = |id: &SessionId| turn.state.lost.get(id).map(|at| (*at, *id));
        let Some((_, oldest)) = member.sessions.iter().filter_map(lost).min() else {
            return Err(Rejection::capacity("too many devices of this participant are connected"));
        };
        close_sessions(turn, vec![oldest], SessionEnd::Displaced, CloseCode::Replaced);
    }
    turn.emit(Event::SessionOpened { session, participant, person });
    Ok(())
}

fn reconnect(turn: &mut Turn<'_>, session: SessionId) {
    if turn.state.lost.contains_key(&session) {
        turn.emit(Event::SessionBack { session });
    }
    let Some(member) = turn.state.session_member(session) else { return };
    if member.is_inside() && member.participant.state == Connection::Disconnected {
        let mut participant = member.participant.clone();
        participant.state = Connection::Connected;
        turn.emit(Event::ParticipantReconnected { participant });
    }
}

pub fn back(turn: &mut Turn<'_>, session: SessionId) -> Result<Reply, Rejection> {
    let (id, is_waiting) = turn
        .state
        .session_member(session)
        .map(|member| (member.participant.id, member.is_waiting()))
        .ok_or_else(|| Rejection::wrong_state("the session has ended"))?;
    reconnect(turn, session);
    Ok(if is_waiting { Reply::Waiting(id) } else { Reply::Inside(id) })
}

pub fn lost(turn: &mut Turn<'_>, session: SessionId) -> Result<Reply, Rejection> {
    if !turn.state.sessions.contains_key(&session) || turn.state.lost.contains_key(&session) {
        return Ok(Reply::Done);
    }
    turn.emit(Event::SessionLost { session });
    if let Some(id) = turn.state.session_member(session).map(|member| member.participant.id) {
        disconnect(turn, id);
    }
    Ok(Reply::Done)
}

/// Writes down that somebody inside is disconnected, if none of their sessions has a socket.
pub fn disconnect(turn: &mut Turn<'_>, id: ParticipantId) {
    let Some(member) = turn.state.member(id) else { return };
    let is_away = member.sessions.iter().all(|session| turn.state.lost.contains_key(session));
    if is_away && member.is_inside() && member.participant.state == Connection::Connected {
        let mut participant = member.participant.clone();
        participant.state = Connection::Disconnected;
        turn.emit(Event::ParticipantDisconnected { participant });
    }
}

/// The grace period of a session ran out.
pub fn grace_over(turn: &mut Turn<'_>, session: SessionId) {
    let id = turn.state.session_member(session).map(|member| member.participant.id);
    close_sessions(turn, vec![session], SessionEnd::Lost, CloseCode::Unauthenticated);
    if let Some(id) = id {
        depart(turn, id, LeaveReason::Lost);
    }
}

/// Writes down that somebody is gone, if their last session is; or disconnected, if the sessions
/// that are left have no socket.
fn depart(turn: &mut Turn<'_>, id: ParticipantId, reason: LeaveReason) {
    let Some(member) = turn.state.member(id) else { return };
    if !member.sessions.is_empty() {
        return disconnect(turn, id);
    }
    match member.standing {
        Standing::Inside => {
            let mut participant = member.participant.clone();
            participant.state = Connection::Disconnected;
            // A stand-in host is one only while here.
            if let Some(before) = member.acting_from {
                participant.role = before;
            }
            turn.emit(Event::ParticipantLeft { participant, reason, by: None });
        }
        Standing::Waiting { .. } => turn.emit(Event::LobbyLeft { participant: id }),
        Standing::Gone { .. } | Standing::Removed { .. } => {}
    }
}

pub fn leave(
    turn: &mut Turn<'_>,
    by: &By,
    caller: &Caller,
    all: bool,
    transfer_to: Option<ParticipantId>,
) -> Result<Reply, Rejection> {
    let By::Session { session, .. } = by else {
        return Err(Rejection::not_permitted("only a session can leave"));
    };
    let id = super::person(caller)?;
    if let Some(to) = transfer_to {
        roles::check_transfer(turn, caller, to)?;
    }
    let sessions = turn.member(id)?.sessions.clone();
    if let Some(to) = transfer_to {
        roles::transfer(turn, id, to);
    }
    if all {
        let others: Vec<SessionId> = sessions.into_iter().filter(|other| other != session).collect();
        close_sessions(turn, others, SessionEnd::Left, CloseCode::Left);
    }
    close_sessions(turn, vec![*session], SessionEnd::Left, CloseCode::Left);
    depart(turn, id, LeaveReason::Left);
    roles::succeed(turn);
    turn.tell_after(Effect::Close { sessions: vec![*session], code: CloseCode::Left });
    Ok(Reply::Done)
}
