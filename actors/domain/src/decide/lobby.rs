//! The lobby: who waits, and how they come in. Whoever waits sees nothing of the meeting. Waiting
//! for a host and waiting to be admitted are two reasons; a host's arrival ends only the first.

use super::{lifecycle, moderation, presence, roles};
use crate::command::OneOrAll;
use crate::effect::{CloseCode, Effect};
use crate::event::{Event, LeaveReason};
use crate::ids::ParticipantId;
use crate::rejection::Rejection;
use crate::shapes::{LobbyPolicy, Role};
use crate::state::{Member, Standing, entry_of};
use crate::turn::{Caller, Reply, Turn};

/// Whether the lobby holds this person until somebody admits them.
pub fn is_for(turn: &Turn<'_>, role: Role, is_guest: bool, known: Option<&Member>) -> bool {
    if known.is_some_and(|member| member.must_wait) {
        return true;
    }
    if role.leads() || role.is_service() || known.is_some_and(|member| member.admitted) {
        return false;
    }
    match turn.state.info.settings.lobby {
        LobbyPolicy::Off => false,
        LobbyPolicy::Everyone => true,
        LobbyPolicy::Guests => is_guest,
    }
}

/// Whether somebody with this role has to wait for a host to arrive.
pub fn awaits_host(turn: &Turn<'_>, role: Role) -> bool {
    let settings = &turn.state.info.settings;
    !settings.join_before_host && turn.state.leads.is_empty() && !role.leads() && !role.is_service()
}

pub fn check_seats(turn: &Turn<'_>) -> Result<(), Rejection> {
    let most = usize::try_from(turn.limits.lobby_max).unwrap_or(usize::MAX);
    if turn.state.waiting.len() >= most {
        return Err(Rejection::capacity("the lobby is full"));
    }
    Ok(())
}

/// Puts somebody into the lobby.
pub fn enter(turn: &mut Turn<'_>, id: ParticipantId, awaits_host: bool, by: Option<ParticipantId>) {
    let Some(member) = turn.state.member(id) else { return };
    let entry = entry_of(member, turn.now.at);
    turn.emit(Event::LobbyEntered { participant: id, entry, awaits_host, by });
}

fn waiting(turn: &Turn<'_>, whom: &OneOrAll) -> Result<Vec<ParticipantId>, Rejection> {
    match (whom.participant, whom.all) {
        (None, true) => Ok(turn.state.lobby().iter().map(|entry| entry.participant).collect()),
        (Some(id), false) => match turn.state.member(id) {
            Some(member) if member.is_waiting() => Ok(vec![id]),
            _ => Err(Rejection::not_found("nobody of that id is waiting")),
        },
        _ => Err(Rejection::bad_request("name one participant, or all")),
    }
}

pub fn admit(turn: &mut Turn<'_>, caller: &Caller, whom: &OneOrAll) -> Result<Reply, Rejection> {
    let chosen = waiting(turn, whom)?;
    let mut seats = seats_left(turn);
    let wanted = chosen.len();
    let admitted: Vec<ParticipantId> = chosen
        .into_iter()
        .filter(|id| {
            let Some(member) = turn.state.member(*id) else { return false };
            let is_service = member.is_service();
            let fits = seats > 0 || is_service || member.original_host || member.participant.role.leads();
            // A host needs no free seat, but takes one where there is.
            seats = seats.saturating_sub(usize::from(fits && !is_service));
            fits
        })
        .collect();
    if admitted.is_empty() && wanted > 0 {
        return Err(Rejection::capacity("the meeting is full"));
    }
    for id in admitted {
        let_in(turn, id, false, caller.participant);
    }
    Ok(Reply::Done)
}

fn seats_left(turn: &Turn<'_>) -> usize {
    let most = turn.state.info.settings.max_participants.min(turn.limits.participants_max);
    usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(turn.state.people_inside())
}

fn let_in(turn: &mut Turn<'_>, id: ParticipantId, with_host: bool, by: Option<ParticipantId>) {
    let Some(role) = turn.state.member(id).map(|member| member.participant.role) else { return };
    lifecycle::go_live_for(turn, role);
    turn.emit(Event::LobbyAdmitted { participant: id, with_host, by });
    turn.enter(id);
    // Somebody admitted while their socket was away is inside, and as absent as before.
    presence::disconnect(turn, id);
    turn.tell_after(Effect::Admitted(id));
    roles::arrived(turn, id);
}

/// Lets in those who waited for a host and for nothing else, if that is over: a host or cohost is
/// here, or the meeting does not wait for one any more. A locked meeting lets nobody in by itself.
pub fn release(turn: &mut Turn<'_>) {
    if turn.state.info.settings.locked {
        return;
    }
    let entries = turn.state.lobby();
    for entry in entries {
        let Some(member) = turn.state.member(entry.participant) else { continue };
        let for_host = matches!(member.standing, Standing::Waiting { awaits_host: true, .. });
        let role = member.participant.role;
        if !for_host
            || awaits_host(turn, role)
            || is_for(turn, role, member.participant.user.is_none(), Some(member))
            || presence::check_seats(turn, role).is_err()
        {
            continue;
        }
        let_in(turn, entry.participant, true, None);
    }
}

pub fn deny(turn: &mut Turn<'_>, caller: &Caller, whom: &OneOrAll) -> Result<Reply, Rejection> {
    for id in waiting(turn, whom)? {
        let sessions = turn.member(id)?.sessions.iter().copied().collect();
        turn.emit(Event::LobbyDenied { participant: id, by: caller.participant });
        turn.tell_after(Effect::Close { sessions, code: CloseCode::Denied });
    }
    Ok(Reply::Done)
}

pub fn message(turn: &mut Turn<'_>, caller: &Caller, text: String) -> Result<Reply, Rejection> {
    let text = super::checked(&text, "text", turn.limits.chat_chars_max)?;
    let to = turn.state.waiting.iter().copied().collect();
    turn.tell(Effect::LobbyMessage { to, from: caller.participant, text });
    Ok(Reply::Done)
}

/// Sends somebody who is inside back to the lobby; their sockets stay open.
pub fn send_back(turn: &mut Turn<'_>, caller: &Caller, id: ParticipantId) -> Result<Reply, Rejection> {
    turn.inside(id)?;
    if caller.participant == Some(id) {
        return Err(Rejection::conflict("leave, rather than send yourself to the lobby"));
    }
    roles::check_rank(turn, caller, id)?;
    check_seats(turn)?;
    let mut participant = turn.shape(id)?;
    if let Some(before) = turn.member(id)?.acting_from {
        participant.role = before;
    }
    let room = participant.room;
    turn.emit(Event::ParticipantLeft { participant, reason: LeaveReason::ToLobby, by: caller.participant });
    moderation::shut_out(turn, room);
    enter(turn, id, false, caller.participant);
    turn.tell_after(Effect::Waiting(id));
    roles::succeed(turn);
    Ok(Reply::Done)
}
