//! Folding one event into the state. Pure and total: whatever is in the log was decided once, so
//! `apply` never refuses; what it does not know it leaves alone. Nothing else writes to the state.

mod interaction;
mod recordings;
mod rooms;
mod whiteboards;

use crate::event::{Cause, Event, LeaveReason, Recorded, SessionEnd};
use crate::ids::{Millis, ParticipantId, Seq, SessionId};
use crate::limits::Limits;
use crate::shapes::{Connection, Media, Message, Participant, Role, Room, Source, Status};
use crate::state::{LiveMessage, Meeting, Member, Permits, Session, Standing, new_member};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The first event of a log makes the state; every other is folded into it.
pub fn create(recorded: &Recorded) -> Option<Meeting> {
    let Event::MeetingCreated { tenant, meeting, breakout } = &recorded.event else { return None };
    Some(Meeting {
        tenant: tenant.clone(),
        info: meeting.clone(),
        seq: recorded.seq,
        at: recorded.at,
        members: BTreeMap::new(),
        users: BTreeMap::new(),
        guests: BTreeMap::new(),
        sessions: BTreeMap::new(),
        closed: Vec::new(),
        lost: BTreeMap::new(),
        inside: BTreeSet::new(),
        waiting: BTreeSet::new(),
        leads: BTreeSet::new(),
        gone: Vec::new(),
        rooms: BTreeMap::from([(crate::ids::RoomId::Main, Room::main())]),
        hands: Vec::new(),
        messages: BTreeMap::new(),
        counts_due: BTreeMap::new(),
        questions: BTreeMap::new(),
        polls: BTreeMap::new(),
        veils: BTreeMap::new(),
        timer: None,
        spotlight: Vec::new(),
        screen_requests: Vec::new(),
        empty_since: None,
        leaderless_since: None,
        invitations: 0,
        requests: Vec::new(),
        breakout: None,
        breakout_plan: breakout.clone(),
        merged_into: BTreeMap::new(),
        last_layout: Vec::new(),
        recordings: BTreeMap::new(),
        unfinished: BTreeSet::new(),
        asking: BTreeSet::new(),
        automatic: BTreeMap::new(),
        generations: BTreeMap::new(),
        whiteboards: BTreeMap::new(),
    })
}

pub fn apply(state: &mut Meeting, recorded: &Recorded, limits: &Limits) {
    state.seq = recorded.seq;
    state.at = recorded.at;
    if let Some(cause) = recorded.cause
        && !interaction::note_veiled(state, recorded, cause, limits)
    {
        note(state, cause, recorded.seq, limits);
    }
    let was_led = !state.leads.is_empty();
    fold(state, recorded, limits);
    watch_presence(state, recorded.at, was_led);
    if recorded.event.moves_people() {
        recordings::watch(state, recorded.at);
    }
}

/// What was asked had an effect, and has no second one.
fn note(state: &mut Meeting, cause: Cause, seq: Seq, limits: &Limits) {
    if cause.id == 0 {
        note_request(state, cause.session.0, limits);
    } else if let Some(session) = state.sessions.get_mut(&cause.session) {
        session.last_id = session.last_id.max(cause.id);
        session.answers.insert(cause.id, seq);
        while session.answers.len() > limits.answers_kept_max {
            session.answers.pop_first();
        }
    }
}

fn note_request(state: &mut Meeting, request: Uuid, limits: &Limits) {
    if state.requests.last() != Some(&request) {
        state.requests.push(request);
        if state.requests.len() > limits.requests_kept_max {
            state.requests.remove(0);
        }
    }
}

fn fold(state: &mut Meeting, recorded: &Recorded, limits: &Limits) {
    let at = recorded.at;
    match &recorded.event {
        Event::MeetingCreated { .. } | Event::HostChanged { .. } => {}
        Event::MeetingStarted { meeting, .. } | Event::MeetingUpdated { meeting, .. } => {
            state.info = meeting.clone();
        }
        Event::MeetingEnded { meeting, .. } | Event::MeetingCancelled { meeting } => {
            state.info = meeting.clone();
            empty_out(state, at);
        }
        Event::MeetingRecovered {} => {
            for lost_at in state.lost.values_mut() {
                *lost_at = at;
            }
            let lost: Vec<SessionId> = state.lost.keys().copied().collect();
            for id in lost {
                if let Some(session) = state.sessions.get_mut(&id) {
                    session.lost_at = Some(at);
                }
            }
            state.empty_since = state.empty_since.map(|_| at);
            state.leaderless_since = state.leaderless_since.map(|_| at);
            recordings::recover(state, at);
        }
        Event::SessionOpened { session, participant, person } => {
            open_session(state, *session, *participant, person.as_ref(), at);
        }
        Event::SessionLost { session } => {
            if let Some(known) = state.sessions.get_mut(session) {
                known.lost_at = Some(at);
                state.lost.insert(*session, at);
            }
        }
        Event::SessionBack { session } => {
            state.lost.remove(session);
            if let Some(known) = state.sessions.get_mut(session) {
                known.lost_at = None;
            }
        }
        Event::SessionClosed { session, end } => close_session(state, *session, *end, limits),
        Event::LobbyEntered { entry, awaits_host, by, .. } => {
            let standing = Standing::Waiting { since_at: entry.since_at, awaits_host: *awaits_host };
            stand(state, entry.participant, standing, recorded, limits);
            if let Some(member) = state.members.get_mut(&entry.participant) {
                member.admitted = false;
                member.must_wait = member.must_wait || by.is_some();
            }
        }
        Event::LobbyLeft { participant } => {
            stand(state, *participant, Standing::Gone { at }, recorded, limits);
        }
        Event::LobbyAdmitted { participant, with_host, .. } => {
            if let Some(member) = state.members.get_mut(participant) {
                member.admitted = !with_host;
                member.must_wait = false;
            }
        }
        Event::LobbyDenied { participant, .. } => {
            drop_sessions(state, *participant);
            stand(state, *participant, Standing::Gone { at }, recorded, limits);
        }
        Event::ParticipantJoined { participant } => {
            put(state, participant);
            rooms::arrived(state, participant);
            stand(state, participant.id, Standing::Inside, recorded, limits);
        }
        Event::ParticipantLeft { participant, reason, .. } => {
            if *reason == LeaveReason::ToLobby {
                recordings::raise_generation(state, participant.room, at);
            }
            put(state, participant);
            state.hands.retain(|hand| hand.participant != participant.id);
            if let Some(member) = state.members.get_mut(&participant.id) {
                member.acting_from = None;
                member.participant.media = Media::default();
                member.participant.hand_at = None;
                member.room_permits = Permits::default();
                member.mutes.clear();
                if *reason == LeaveReason::ToLobby {
                    member.must_wait = true;
                }
            }
            rooms::left(state, participant.id);
            stand(state, participant.id, Standing::Gone { at }, recorded, limits);
        }
        Event::ParticipantDisconnected { participant }
        | Event::ParticipantReconnected { participant }
        | Event::Renamed { participant, .. } => put(state, participant),
        Event::RoleChanged { participant, acting, .. } => {
            change_role(state, participant, *acting);
            stand(state, participant.id, Standing::Inside, recorded, limits);
            rooms::shows_anew(state, participant.id, recorded.seq);
        }
        Event::ParticipantsMuted { participants, source, .. } => {
            each(state, participants, |member| {
                set_source(&mut member.participant.media, *source, false);
                member.mutes.insert(*source, recorded.seq);
            });
        }
        Event::ParticipantsPermitted { participants, source, allowed, all, .. } => {
            interaction::permitted(state, participants, *source);
            each(state, participants, |member| {
                // The last word holds; one to all is forgotten with the stay in the room.
                *member.permits.of(*source) = (!all).then_some(*allowed);
                *member.room_permits.of(*source) = all.then_some(*allowed);
                if !allowed {
                    set_source(&mut member.participant.media, *source, false);
                }
            });
        }
        Event::ParticipantRemoved { participant, banned, .. } => {
            if *banned && state.inside.contains(&participant.id) {
                recordings::raise_generation(state, participant.room, at);
            }
            drop_sessions(state, participant.id);
            state.hands.retain(|hand| hand.participant != participant.id);
            put(state, participant);
            if let Some(member) = state.members.get_mut(&participant.id) {
                member.must_wait = true;
                member.admitted = false;
                member.banned = member.banned || *banned;
                member.acting_from = None;
                member.participant.media = Media::default();
                member.participant.hand_at = None;
                member.room_permits = Permits::default();
                member.mutes.clear();
            }
            rooms::left(state, participant.id);
            stand(state, participant.id, Standing::Removed { at }, recorded, limits);
        }
        Event::MediaSet { participant, media } => {
            if let Some(member) = state.members.get_mut(participant) {
                member.participant.media = *media;
                member.mutes.retain(|source, _| !media.has(*source));
            }
        }
        Event::HandRaised { hand } => {
            state.hands.retain(|other| other.participant != hand.participant);
            state.hands.push(*hand);
            if let Some(member) = state.members.get_mut(&hand.participant) {
                member.participant.hand_at = Some(hand.at);
            }
        }
        Event::HandsLowered { hands, .. } => {
            state.hands.retain(|hand| !hands.contains(&hand.participant));
            for id in hands {
                if let Some(member) = state.members.get_mut(id) {
                    member.participant.hand_at = None;
                }
            }
        }
        Event::ChatPosted { message } => {
            keep_message(state, message, limits);
        }
        Event::ChatEdited { message } => {
            if let Some(live) = state.messages.get_mut(&message.id) {
                live.message = message.clone();
            }
        }
        Event::ChatDeleted { message, .. } => {
            forget_message(state, message);
        }
        Event::ReactionSet { message, participant, emoji, on } => {
            react(state, message, *participant, emoji, *on, at, limits);
        }
        Event::ChatReacted { message } => {
            state.counts_due.remove(&message.id.0);
            if let Some(live) = state.messages.get_mut(&message.id) {
                live.counted_at = at;
                live.message.reactions = message.reactions.clone();
            }
        }
        Event::BreakoutPlanned { .. }
        | Event::BreakoutOpened { .. }
        | Event::BreakoutAssigned { .. }
        | Event::ParticipantsMoved { .. }
        | Event::BreakoutChanged { .. }
        | Event::BreakoutEndingSoon { .. }
        | Event::BreakoutHelpRequested { .. }
        | Event::BreakoutMerged { .. }
        | Event::BreakoutClosed { .. } => rooms::fold(state, recorded, limits),
        Event::BreakoutBroadcast { message, .. } => keep_message(state, message, limits),
        Event::QuestionAsked { .. }
        | Event::QuestionVoteSet { .. }
        | Event::QuestionVoted { .. }
        | Event::QuestionAnswered { .. }
        | Event::QuestionDismissed { .. }
        | Event::PollOpened { .. }
        | Event::PollVoted { .. }
        | Event::PollCounted { .. }
        | Event::PollClosed { .. }
        | Event::AnonymityBegun { .. }
        | Event::AnonymityEnded { .. }
        | Event::TimerStarted { .. }
        | Event::TimerEnded { .. }
        | Event::SpotlightChanged { .. }
        | Event::ScreenAsked { .. } => interaction::fold(state, recorded, limits),
        Event::CaptionRecorded { .. } => {}
        Event::RecordingChanged { .. } | Event::TakeChanged { .. } | Event::RecordingConsented { .. } => {
            recordings::fold(state, &recorded.event, at, limits);
        }
        Event::WhiteboardCreated { .. } | Event::WhiteboardUpdated { .. } | Event::WhiteboardDeleted { .. } => {
            whiteboards::fold(state, &recorded.event);
        }
        Event::InvitationCreated { .. } => state.invitations = state.invitations.saturating_add(1),
        Event::PersonErased { participant } => erase(state, *participant),
    }
}

/// Takes over the participant's shape from the event and keeps the set of leads right.
fn put(state: &mut Meeting, participant: &Participant) {
    let at = state.at;
    if let Some(member) = state.members.get_mut(&participant.id) {
        member.is_in(participant.room, at);
        member.participant = participant.clone();
    }
}

/// Changes where somebody stands, and with it the sets that are derived from it.
fn stand(state: &mut Meeting, id: ParticipantId, standing: Standing, recorded: &Recorded, limits: &Limits) {
    let Some(member) = state.members.get_mut(&id) else { return };
    member.standing = standing;
    member.view_seq = recorded.seq;
    let leads = member.leads();
    set(&mut state.inside, id, standing == Standing::Inside);
    set(&mut state.waiting, id, matches!(standing, Standing::Waiting { .. }));
    set(&mut state.leads, id, leads);
    if standing != Standing::Inside {
        interaction::left(state, id);
    }
    state.gone.retain(|other| *other != id);
    if matches!(standing, Standing::Gone { .. } | Standing::Removed { .. }) {
        state.gone.push(id);
        forget_oldest(state, limits);
    }
}

fn set(set: &mut BTreeSet<ParticipantId>, id: ParticipantId, is_in: bool) {
    if is_in {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}

/// Forgets whoever has been gone longest, so that a meeting open for years does not grow; bans
/// are remembered up to a limit of their own. Whoever still has a session is on the way to the
/// lobby, and is not forgotten.
fn forget_oldest(state: &mut Meeting, limits: &Limits) {
    while state.gone.len() > limits.gone_max {
        let banned = |id: &ParticipantId| state.members.get(id).is_some_and(|m| m.banned);
        let is_away = |id: &ParticipantId| state.members.get(id).is_none_or(|m| m.sessions.is_empty());
        let bans = state.gone.iter().filter(|id| banned(id)).count();
        let spared = |id: &ParticipantId| bans <= limits.bans_max && banned(id);
        let mut positions = state.gone.iter().enumerate().filter(|(_, id)| is_away(id));
        let first = positions.clone().next();
        let Some((oldest, _)) = positions.find(|(_, id)| !spared(id)).or(first) else { return };
        let id = state.gone.remove(oldest);
        rooms::forget(state, id);
        if let Some(member) = state.members.remove(&id) {
            if let Some(user) = member.participant.user {
                state.users.remove(&user);
            }
            if let Some(guest) = member.guest {
                state.guests.remove(&guest);
            }
        }
    }
}

fn open_session(
    state: &mut Meeting,
    id: SessionId,
    participant: ParticipantId,
    person: Option<&crate::event::Person>,
    at: Millis,
) {
    if let Some(person) = person {
        let guest = (person.user.is_none() && !person.erased).then_some(id);
        if let Some(user) = &person.user {
            state.users.insert(user.clone(), participant);
            rooms::met(state, user, participant);
        }
        if let Some(session) = guest {
            state.guests.insert(session, participant);
        }
        let member = new_member(participant, person.name.clone(), person.user.clone(), person.role, at, guest);
        state.members.insert(participant, member);
    }
    let remembered = state.closed.iter().position(|(known, s)| *known == id && s.participant == participant);
    let mut session = match remembered {
        Some(position) => state.closed.remove(position).1,
        None => Session { participant, last_id: 0, answers: BTreeMap::new(), lost_at: None, untold: BTreeSet::new() },
    };
    session.lost_at = None;
    state.sessions.insert(id, session);
    if let Some(member) = state.members.get_mut(&participant) {
        member.sessions.insert(id);
    }
}

fn close_session(state: &mut Meeting, id: SessionId, end: SessionEnd, limits: &Limits) {
    state.lost.remove(&id);
    let Some(session) = state.sessions.remove(&id) else { return };
    if let Some(member) = state.members.get_mut(&session.participant) {
        member.sessions.remove(&id);
    }
    if end == SessionEnd::Left {
        interaction::forget_session(state, id);
    } else {
        state.closed.push((id, session));
        if state.closed.len() > limits.closed_sessions_max {
            state.closed.remove(0);
        }
    }
}

fn drop_sessions(state: &mut Meeting, participant: ParticipantId) {
    let Some(member) = state.members.get_mut(&participant) else { return };
    for session in std::mem::take(&mut member.sessions) {
        state.sessions.remove(&session);
        state.lost.remove(&session);
        interaction::forget_session(state, session);
    }
}

/// Everybody goes when the meeting ends; the record of who was there stays.
fn empty_out(state: &mut Meeting, at: Millis) {
    state.sessions.clear();
    state.lost.clear();
    state.closed.clear();
    state.hands.clear();
    state.counts_due.clear();
    state.leads.clear();
    rooms::end(state);
    interaction::end(state);
    let inside = std::mem::take(&mut state.inside);
    let waiting = std::mem::take(&mut state.waiting);
    for id in inside.into_iter().chain(waiting) {
        state.gone.push(id);
        if let Some(member) = state.members.get_mut(&id) {
            member.standing = Standing::Gone { at };
            member.sessions.clear();
            member.participant.state = Connection::Disconnected;
            member.participant.hand_at = None;
            member.participant.media = Media::default();
        }
    }
}

fn change_role(state: &mut Meeting, participant: &Participant, acting: bool) {
    let Some(member) = state.members.get_mut(&participant.id) else { return };
    let before = member.participant.role;
    member.participant = participant.clone();
    member.acting_from = if acting { Some(before) } else { None };
    // Whoever was demoted is not host again by leaving and coming back. (A stand-in who steps
    // back never was the meeting's own host.)
    if participant.role != Role::Host {
        member.original_host = false;
    }
}

fn each(state: &mut Meeting, participants: &BTreeSet<ParticipantId>, change: impl Fn(&mut Member)) {
    for id in participants {
        if let Some(member) = state.members.get_mut(id) {
            change(member);
        }
    }
}

fn set_source(media: &mut Media, source: Source, on: bool) {
    match source {
        Source::Audio => media.audio = on,
        Source::Video => media.video = on,
        Source::Screen => media.screen = on,
    }
}

fn keep_message(state: &mut Meeting, message: &Message, limits: &Limits) {
    let live = LiveMessage { message: message.clone(), reactors: BTreeMap::new(), counted_at: 0 };
    state.messages.insert(message.id, live);
    while state.messages.len() > limits.live_messages_max {
        if let Some((oldest, _)) = state.messages.pop_first() {
            state.counts_due.remove(&oldest.0);
        }
    }
}

fn forget_message(state: &mut Meeting, message: &Message) {
    state.counts_due.remove(&message.id.0);
    if let Some(live) = state.messages.get_mut(&message.id) {
        live.message = message.clone();
        live.reactors.clear();
    }
}

fn react(
    state: &mut Meeting,
    message: &crate::ids::MessageId,
    participant: ParticipantId,
    emoji: &str,
    on: bool,
    at: Millis,
    limits: &Limits,
) {
    let Some(live) = state.messages.get_mut(message) else { return };
    if on {
        live.reactors.entry(emoji.to_owned()).or_default().insert(participant);
    } else if let Some(reactors) = live.reactors.get_mut(emoji) {
        reactors.remove(&participant);
        if reactors.is_empty() {
            live.reactors.remove(emoji);
        }
    }
    let due = at.max(live.counted_at.saturating_add(limits.count_interval_ms));
    state.counts_due.entry(message.0).or_insert(due);
}

fn erase(state: &mut Meeting, id: ParticipantId) {
    let Some(member) = state.members.get_mut(&id) else { return };
    if let Some(user) = member.participant.user.take() {
        state.users.remove(&user);
        rooms::forget_user(&mut state.breakout, &mut state.breakout_plan, &user);
    }
    if let Some(guest) = member.guest.take() {
        state.guests.remove(&guest);
    }
    member.participant.name = crate::redact::ERASED_NAME.to_owned();
    rooms::forget(state, id);
    interaction::erase(state, id);
    for live in state.messages.values_mut().filter(|live| live.message.from == Some(id)) {
        crate::redact::blank(&mut live.message);
        live.reactors.clear();
        state.counts_due.remove(&live.message.id.0);
    }
}

/// Keeps the two clocks of absence: since when nobody, and since when no lead, has been inside.
fn watch_presence(state: &mut Meeting, at: Millis, was_led: bool) {
    let is_live = state.info.status == Status::Live;
    let is_empty = is_live && !state.inside.iter().any(|id| state.members.get(id).is_some_and(|m| !m.is_service()));
    state.empty_since = if is_empty { state.empty_since.or(Some(at)) } else { None };
    if !is_live || !state.leads.is_empty() {
        state.leaderless_since = None;
    } else if was_led {
        state.leaderless_since = Some(at);
    }
}
