//! What hosts do to keep order, and what people do with their own media. The meeting records what
//! may be published; the media server is brought in line with it, never the other way round.

use super::{breakout, checked, person, questions, recordings, roles, whiteboards};
use crate::command::{By, OneOrAll};
use crate::effect::{CloseCode, Effect, Signal};
use crate::event::Event;
use crate::ids::{ParticipantId, RoomId, SessionId, UserId};
use crate::rejection::Rejection;
use crate::shapes::{Connection, LobbyPolicy, Media, Quality, Source};
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

/// What two peers of a mesh may tell each other at once: a session description fits.
const MESH_BYTES_MAX: usize = 32 * 1024;

pub fn rename(turn: &mut Turn<'_>, caller: &Caller, id: ParticipantId, name: &str) -> Result<Reply, Rejection> {
    let member = turn.member(id)?;
    if (!member.is_inside() && !member.is_waiting()) || member.is_service() {
        return Err(Rejection::not_found("no such participant in the meeting"));
    }
    roles::self_or_lead(turn, caller, id)?;
    if !caller.role.leads() && !turn.state.info.settings.allow_rename {
        return Err(Rejection::not_permitted("the hosts do not allow renaming"));
    }
    let mut participant = turn.shape(id)?;
    participant.name = checked(name, "name", turn.limits.name_chars_max)?;
    if participant.name != turn.member(id)?.participant.name {
        turn.emit(Event::Renamed { participant, by: caller.participant });
    }
    Ok(Reply::Done)
}

/// One who is inside, or everybody whom this caller may act against, the caller left out.
fn targets(turn: &Turn<'_>, caller: &Caller, whom: &OneOrAll) -> Result<BTreeSet<ParticipantId>, Rejection> {
    let own_room = caller.participant.and_then(|id| turn.state.member(id)).map(|m| m.participant.room);
    match (whom.participant, whom.all) {
        (Some(id), false) => {
            turn.inside(id)?;
            roles::check_rank(turn, caller, id)?;
            Ok([id].into())
        }
        (None, true) => Ok(turn
            .state
            .people()
            // A host means the room they are in; a backend, all of them.
            .filter(|m| own_room.is_none_or(|room| room == m.participant.room))
            .filter(|m| !m.participant.role.leads() && Some(m.participant.id) != caller.participant)
            .map(|m| m.participant.id)
            .collect()),
        _ => Err(Rejection::bad_request("name one participant, or all")),
    }
}

pub fn mute(turn: &mut Turn<'_>, caller: &Caller, whom: &OneOrAll, source: Source) -> Result<Reply, Rejection> {
    let participants = targets(turn, caller, whom)?;
    if !participants.is_empty() {
        turn.emit(Event::ParticipantsMuted { participants, source, by: caller.participant });
    }
    Ok(Reply::Done)
}

pub fn permit(
    turn: &mut Turn<'_>,
    caller: &Caller,
    whom: &OneOrAll,
    source: Source,
    allowed: bool,
) -> Result<Reply, Rejection> {
    let participants = targets(turn, caller, whom)?;
    if participants.is_empty() {
        return Ok(Reply::Done);
    }
    turn.emit(Event::ParticipantsPermitted {
        participants: participants.clone(),
        source,
        allowed,
        all: whom.all,
        by: caller.participant,
    });
    for id in participants {
        turn.tell_after(Effect::GrantMedia(id));
    }
    Ok(Reply::Done)
}

pub fn set_media(
    turn: &mut Turn<'_>,
    caller: &Caller,
    audio: bool,
    video: bool,
    screen: bool,
) -> Result<Reply, Rejection> {
    let id = person(caller)?;
    let member = turn.member(id)?;
    let was = member.participant.media;
    let wanted = [
        (audio && !was.audio, Source::Audio, "the hosts keep microphones muted"),
        (video && !was.video, Source::Video, "the hosts do not allow your camera"),
        (screen && !was.screen, Source::Screen, "the hosts do not allow you to share the screen"),
    ];
    if wanted.iter().any(|(is_new, ..)| *is_new) && turn.state.is_withheld(member) {
        return Err(Rejection::not_permitted("the room is recorded: consent first"));
    }
    for (is_new, source, why) in wanted {
        if is_new && !turn.state.may_publish(member, source) {
            return Err(Rejection::not_permitted(why));
        }
    }
    let media = Media { audio, video, screen };
    if media != was {
        let room = member.participant.room;
        let is_service = member.is_service();
        turn.emit(Event::MediaSet { participant: id, media });
        if !is_service {
            turn.tell(Effect::Signal { room, signal: Signal::MediaStates { participant: id, media } });
        }
    }
    Ok(Reply::Done)
}

/// Passes, like a reaction: what it was a moment ago concerns nobody.
pub fn set_quality(turn: &mut Turn<'_>, caller: &Caller, quality: Quality) -> Result<Reply, Rejection> {
    let participant = person(caller)?;
    let room = turn.member(participant)?.participant.room;
    turn.tell(Effect::Signal { room, signal: Signal::QualityShown { participant, quality } });
    Ok(Reply::Done)
}

pub fn remove(turn: &mut Turn<'_>, caller: &Caller, id: ParticipantId, ban: bool) -> Result<Reply, Rejection> {
    let member = turn.member(id)?;
    let is_here = member.is_inside() || member.is_waiting();
    // Banning reaches somebody who has just gone, so that leaving first is no way round it.
    if !is_here && !ban {
        return Err(Rejection::not_found("no such participant in the meeting"));
    }
    if caller.participant == Some(id) {
        return Err(Rejection::conflict("leave, rather than remove yourself"));
    }
    roles::check_rank(turn, caller, id)?;
    let member = turn.member(id)?;
    if member.banned {
        return Ok(Reply::Done);
    }
    // Somebody erased has no user either, and is banned by neither.
    let is_guest = member.guest.is_some();
    let code = if ban { CloseCode::Banned } else { CloseCode::Removed };
    throw_out(turn, id, ban, code, caller.participant)?;
    if ban && is_guest && turn.state.info.settings.lobby == LobbyPolicy::Off {
        let mut meeting = turn.state.info.clone();
        meeting.settings.lobby = LobbyPolicy::Guests;
        turn.emit(Event::MeetingUpdated { meeting, by: caller.participant });
    }
    roles::succeed(turn);
    Ok(Reply::Done)
}

/// Writes down that somebody is out, wherever they were, and closes their sockets.
fn throw_out(
    turn: &mut Turn<'_>,
    id: ParticipantId,
    banned: bool,
    code: CloseCode,
    by: Option<ParticipantId>,
) -> Result<(), Rejection> {
    let member = turn.member(id)?;
    let sessions: Vec<SessionId> = member.sessions.iter().copied().collect();
    let mut participant = member.participant.clone();
    participant.state = Connection::Disconnected;
    // A stand-in host is one only while here.
    if let Some(before) = member.acting_from {
        participant.role = before;
    }
    let (was_inside, room) = (member.is_inside(), participant.room);
    turn.emit(Event::ParticipantRemoved { participant, banned, by });
    if banned && was_inside {
        shut_out(turn, room);
    }
    turn.tell_after(Effect::Close { sessions, code });
    Ok(())
}

/// The room's media begins anew, so that former credentials let nobody in: whoever is there goes along.
pub fn shut_out(turn: &mut Turn<'_>, room: RoomId) {
    if turn.limits.has_media_server {
        recordings::grant_room(turn, room);
    }
}

pub fn request_media(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    turn.tell(Effect::GrantMedia(person(caller)?));
    Ok(Reply::Done)
}

pub fn mesh(turn: &mut Turn<'_>, by: &By, caller: &Caller, to: SessionId, data: String) -> Result<Reply, Rejection> {
    let By::Session { session: from, .. } = by else {
        return Err(Rejection::not_permitted("only a session can signal another"));
    };
    let own = turn.member(person(caller)?)?.participant.room;
    match turn.state.session_member(to) {
        Some(peer) if peer.is_inside() && peer.participant.room == own => {}
        _ => return Err(Rejection::not_found("no such session in your room")),
    }
    if data.len() > MESH_BYTES_MAX {
        return Err(Rejection::too_large("the signal is larger than 32 KiB"));
    }
    turn.tell(Effect::Mesh { to, from: *from, data });
    Ok(Reply::Done)
}

/// Forgets a person: name, user and words. Their place in the log stays.
pub fn erase(turn: &mut Turn<'_>, user: &UserId) -> Result<Reply, Rejection> {
    let Some(id) = turn.state.users.get(user).copied() else {
        breakout::unlist(turn, user);
        return Ok(Reply::Done);
    };
    let member = turn.member(id)?;
    if member.is_inside() || member.is_waiting() {
        throw_out(turn, id, false, CloseCode::Removed, None)?;
    }
    questions::withdraw(turn, id);
    whiteboards::disown(turn, id);
    turn.emit(Event::PersonErased { participant: id });
    roles::succeed(turn);
    Ok(Reply::Done)
}
