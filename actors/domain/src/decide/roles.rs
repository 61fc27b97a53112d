//! Roles: given, taken, handed over. A meeting whose last host left is not without one for long: a
//! cohost steps in, else the participant who has been there longest, until the host is back. Where
//! the meeting is set to end for want of a host, only cohosts step in, or it would never end.

use super::{lobby, person};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::ParticipantId;
use crate::rejection::Rejection;
use crate::shapes::{Connection, Role, Status};
use crate::turn::{Caller, Reply, Turn};

pub fn set(turn: &mut Turn<'_>, caller: &Caller, id: ParticipantId, role: Role) -> Result<Reply, Rejection> {
    let present = turn.inside(id)?.participant.role;
    if role.is_service() {
        return Err(Rejection::bad_request("a participant cannot become a service"));
    }
    check_rank(turn, caller, id)?;
    if caller.role == Role::Cohost && role == Role::Host {
        return Err(Rejection::not_permitted("a cohost can give roles up to cohost"));
    }
    if present == role {
        return Ok(Reply::Done);
    }
    let is_last_host = present == Role::Host && hosts(turn).len() == 1;
    if is_last_host {
        return Err(Rejection::conflict("the meeting would have no host; make somebody else host first"));
    }
    change(turn, id, role, false, caller.participant);
    if role == Role::Host {
        turn.emit(Event::HostChanged { host: id, by: caller.participant });
    }
    if role.leads() {
        lobby::release(turn);
    }
    // Somebody who could not step in before may now.
    succeed(turn);
    Ok(Reply::Done)
}

fn hosts(turn: &Turn<'_>) -> Vec<ParticipantId> {
    let is_host = |id: &&ParticipantId| turn.state.member(**id).is_some_and(|m| m.participant.role == Role::Host);
    turn.state.leads.iter().filter(is_host).copied().collect()
}

/// Nobody acts against somebody of a higher rank: cohosts not against hosts, and nobody against an
/// original host but another one, themselves, or the tenant's backend.
pub fn check_rank(turn: &Turn<'_>, caller: &Caller, target: ParticipantId) -> Result<(), Rejection> {
    if caller.is_operator || caller.participant == Some(target) {
        return Ok(());
    }
    let target = turn.member(target)?;
    let is_original = caller.participant.and_then(|id| turn.state.member(id)).is_some_and(|m| m.original_host);
    if target.original_host && !is_original {
        return Err(Rejection::not_permitted("the meeting's own host cannot be acted against"));
    }
    if target.participant.role == Role::Host && caller.role != Role::Host {
        return Err(Rejection::not_permitted("a cohost cannot act against a host"));
    }
    Ok(())
}

fn change(turn: &mut Turn<'_>, id: ParticipantId, role: Role, acting: bool, by: Option<ParticipantId>) {
    let Ok(mut participant) = turn.shape(id) else { return };
    participant.role = role;
    if role == Role::Viewer {
        participant.media = crate::shapes::Media::default();
    }
    turn.emit(Event::RoleChanged { participant, acting, by });
    // Whoever comes in with this very turn sees it in the snapshot, and nothing before that.
    if !turn.is_shown_after(id) {
        turn.tell(Effect::Entered(id));
    }
}

pub fn check_transfer(turn: &Turn<'_>, caller: &Caller, to: ParticipantId) -> Result<(), Rejection> {
    // A host who was removed and waits to come back has nothing to hand over.
    if caller.role != Role::Host || !caller.is_inside {
        return Err(Rejection::not_permitted("only a host can hand the meeting over"));
    }
    if caller.participant == Some(to) {
        return Err(Rejection::bad_request("hand over to somebody else"));
    }
    turn.inside(to).map(|_| ())
}

/// Hands the meeting over. A stand-in hands over no more than they have: the next one stands in too.
pub fn transfer(turn: &mut Turn<'_>, from: ParticipantId, to: ParticipantId) {
    let acting = turn.state.member(from).is_some_and(|member| member.acting_from.is_some());
    if turn.state.member(to).is_some_and(|member| member.participant.role != Role::Host) {
        change(turn, to, Role::Host, acting, Some(from));
    }
    turn.emit(Event::HostChanged { host: to, by: Some(from) });
}

/// Somebody came in: a host ends the stand-in's time, and any lead opens the door to those who
/// waited for one.
pub fn arrived(turn: &mut Turn<'_>, id: ParticipantId) {
    let Some(member) = turn.state.member(id) else { return };
    let role = member.participant.role;
    if role == Role::Host {
        let acting: Vec<(ParticipantId, Role)> = turn
            .state
            .leads
            .iter()
            .filter_map(|other| turn.state.member(*other))
            .filter(|other| other.participant.id != id)
            .filter_map(|other| other.acting_from.map(|before| (other.participant.id, before)))
            .collect();
        let is_back = !acting.is_empty();
        for (other, before) in acting {
            change(turn, other, before, false, None);
        }
        if is_back {
            turn.emit(Event::HostChanged { host: id, by: None });
        }
    }
    succeed(turn);
    if role.leads() {
        lobby::release(turn);
    }
}

/// If the last host is gone, somebody steps in; if nobody can, whoever can first, later.
pub fn succeed(turn: &mut Turn<'_>) {
    let state = &turn.state;
    // A meeting that never had a host waits for its first one; nobody steps in for them.
    if state.info.status != Status::Live || state.has_host() {
        return;
    }
    if !state.members.values().any(|m| m.original_host || m.participant.role == Role::Host) {
        return;
    }
    let only_cohosts = state.info.settings.host_absent_end_s.is_some();
    let heir = state
        .people()
        .filter(|m| match m.participant.role {
            Role::Cohost => true,
            Role::Participant => !only_cohosts,
            _ => false,
        })
        .min_by_key(|m| {
            let p = &m.participant;
            (p.role != Role::Cohost, p.state == Connection::Disconnected, p.joined_at, p.id)
        })
        .map(|m| m.participant.id);
    let Some(id) = heir else { return };
    change(turn, id, Role::Host, true, None);
    turn.emit(Event::HostChanged { host: id, by: None });
    lobby::release(turn);
}

/// The caller themselves, or somebody a lead may act on.
pub fn self_or_lead(turn: &Turn<'_>, caller: &Caller, target: ParticipantId) -> Result<(), Rejection> {
    if caller.is_operator || person(caller)? == target {
        return Ok(());
    }
    if !caller.role.leads() {
        return Err(Rejection::not_permitted("only hosts can do this to others"));
    }
    check_rank(turn, caller, target)
}
