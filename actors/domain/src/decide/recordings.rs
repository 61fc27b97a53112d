//! Recordings: asked for by those who lead, by a backend or by the meeting's settings, and then followed
//! by what the recorder is seen to do. Nobody is told that something is recorded because it was asked
//! for, and nothing is over because it was to stop: the status is made from the takes. Every state but
//! the last two has a deadline, so no recording stays half-way for ever.

use super::{breakout, person};
use crate::effect::{Effect, Signal};
use crate::event::Event;
use crate::ids::{Millis, ParticipantId, RecordingId, RoomId};
use crate::limits::Limits;
use crate::recording::{
    LiveRecording, Observation, Recording, RecordingKind, RecordingStatus, StartRecording, Take, TakeState, name_of,
    owner_of,
};
use crate::rejection::Rejection;
use crate::shapes::{Media, Room, RoomKind, RoomState, Source, Status};
use crate::state::Meeting;
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

const ERROR_CHARS_MAX: usize = 300;
/// What the recorder calls a take, and where it puts the file; anything longer is none of its names.
const TAKE_ID_CHARS_MAX: usize = 200;
const TAKE_FILE_CHARS_MAX: usize = 1_000;
/// What begins by itself is of the kind that is asked for by default.
const AUTOMATIC_KIND: RecordingKind = RecordingKind::Composite;

pub fn start(turn: &mut Turn<'_>, caller: &Caller, wanted: StartRecording) -> Result<Reply, Rejection> {
    if turn.state.info.status != Status::Live {
        return Err(Rejection::wrong_state("the meeting has not started"));
    }
    if !turn.limits.has_recorder {
        return Err(Rejection::wrong_state("this server has no recorder: no LiveKit is configured"));
    }
    let room = wanted.room.unwrap_or_else(|| turn.room_of_caller(caller));
    breakout::check_open(turn, room)?;
    let is_same = |live: &LiveRecording| live.recording.room == room && live.recording.kind == wanted.kind;
    if turn.state.unfinished().any(|live| live.is_running() && is_same(live)) {
        return Err(Rejection::conflict("the room is being recorded so already"));
    }
    if turn.state.unfinished.len() >= turn.limits.recordings_at_once_max {
        return Err(Rejection::capacity("too many recordings of this meeting are under way"));
    }
    begin(turn, room, &wanted, false, caller.participant);
    Ok(Reply::Done)
}

fn begin(turn: &mut Turn<'_>, room: RoomId, wanted: &StartRecording, automatic: bool, by: Option<ParticipantId>) {
    let Some(shape) = turn.state.rooms.get(&room) else { return };
    let id = RecordingId(turn.id());
    let recording = Recording {
        id,
        room,
        status: RecordingStatus::Pending,
        kind: wanted.kind,
        format: wanted.format,
        audio_tracks: wanted.audio_tracks,
        screen_share: wanted.screen_share,
        consent: turn.state.info.settings.recording_consent,
        automatic,
        name: name_of(&turn.state.info, shape, id, turn.now.at),
        asked_at: turn.now.at,
        started_at: None,
        ended_at: None,
        interrupted: false,
        error: None,
    };
    let consent = recording.consent;
    let published = published_in(turn.state, room);
    turn.emit(Event::RecordingChanged { recording, held: false, by });
    if !consent {
        return;
    }
    // Those who lead hear of it like of any other consent.
    if let Some(participant) = by {
        turn.emit(Event::RecordingConsented { recording: id, participant, given: true });
    }
    tell_silenced(turn, &published);
    grant_room(turn, room);
}

/// What people in a room publish.
fn published_in(state: &Meeting, room: RoomId) -> Vec<(ParticipantId, Media)> {
    published(state, &state.inside_of(room))
}

/// What these people publish.
pub fn published(state: &Meeting, people: &[ParticipantId]) -> Vec<(ParticipantId, Media)> {
    people.iter().filter_map(|id| Some((*id, state.member(*id)?.participant.media))).collect()
}

/// Who published something and does not any more, for want of their consent: the others are told.
pub fn tell_silenced(turn: &mut Turn<'_>, before: &[(ParticipantId, Media)]) {
    for (id, was) in before {
        let Some(member) = turn.state.member(*id).filter(|member| !member.is_service()) else { continue };
        let (room, media) = (member.participant.room, member.participant.media);
        if media != *was {
            turn.tell(Effect::Signal { room, signal: Signal::MediaStates { participant: *id, media } });
        }
    }
}

/// What people there may publish is another now.
pub fn grant_room(turn: &mut Turn<'_>, room: RoomId) {
    for id in turn.state.inside_of(room) {
        turn.tell_after(Effect::GrantMedia(id));
    }
}

/// Stops one, or all of the meeting. One that is stopped already is no error.
pub fn stop(turn: &mut Turn<'_>, caller: &Caller, which: Option<RecordingId>) -> Result<Reply, Rejection> {
    if which.is_some_and(|id| !turn.state.recordings.contains_key(&id)) {
        return Err(Rejection::not_found("no such recording in the meeting"));
    }
    let is_meant = |live: &&LiveRecording| live.is_running() && which.is_none_or(|id| id == live.recording.id);
    let running: Vec<RecordingId> = turn.state.unfinished().filter(is_meant).map(|live| live.recording.id).collect();
    for id in running {
        halt(turn, id, None, true, caller.participant);
    }
    Ok(Reply::Done)
}

/// It is to stop. `held`: by somebody's wish, so none begins by itself in its place. What was not
/// consented to is not published before the recorder was seen to have ended.
fn halt(turn: &mut Turn<'_>, id: RecordingId, why: Option<&str>, held: bool, by: Option<ParticipantId>) {
    let now = turn.now.at;
    let Some(live) = turn.state.recordings.get(&id) else { return };
    let mut recording = live.recording.clone();
    let is_asked_for = turn.state.rooms.get(&recording.room).is_some_and(|room| people_for(turn.state, room).is_some());
    let held = held && (recording.automatic || (is_asked_for && recording.kind == AUTOMATIC_KIND));
    recording.status = RecordingStatus::Stopping;
    recording.ended_at = Some(now);
    recording.interrupted = false;
    recording.error = why.map(str::to_owned);
    turn.emit(Event::RecordingChanged { recording, held, by });
}

/// The rooms are closed, or the meeting is over.
pub fn stop_in(turn: &mut Turn<'_>, rooms: &[RoomId], by: Option<ParticipantId>) {
    let there = |live: &&LiveRecording| live.is_running() && rooms.contains(&live.recording.room);
    let running: Vec<RecordingId> = turn.state.unfinished().filter(there).map(|live| live.recording.id).collect();
    for id in running {
        halt(turn, id, None, false, by);
    }
}

pub fn consent(turn: &mut Turn<'_>, caller: &Caller, id: RecordingId, given: bool) -> Result<Reply, Rejection> {
    let participant = person(caller)?;
    let Some(live) = turn.state.recordings.get(&id) else {
        return Err(Rejection::not_found("no such recording in the meeting"));
    };
    if !live.recording.status.is_exposing() && !live.is_asking() {
        return Err(Rejection::wrong_state("the recording is over"));
    }
    if !live.recording.consent {
        return Err(Rejection::wrong_state("nobody is asked for their consent to this recording"));
    }
    if live.consents.get(&participant) == Some(&given) {
        return Ok(Reply::Done);
    }
    let published = published(turn.state, &[participant]);
    turn.emit(Event::RecordingConsented { recording: id, participant, given });
    tell_silenced(turn, &published);
    turn.tell_after(Effect::GrantMedia(participant));
    Ok(Reply::Done)
}

/// Begins what the settings ask for, where it does not run, and ends what they ask for no more.
pub fn keep(turn: &mut Turn<'_>) {
    let settings = &turn.state.info.settings;
    let is_unasked = |live: &&LiveRecording| {
        live.is_running() && live.recording.automatic && live.recording.room == RoomId::Main && !settings.auto_record
    };
    let unasked: Vec<RecordingId> = turn.state.unfinished().filter(is_unasked).map(|live| live.recording.id).collect();
    for id in unasked {
        halt(turn, id, None, false, None);
    }
    if !asks(turn.state) {
        return;
    }
    let is_due = |room: &&Room| automatic_at(turn.state, room, turn.limits).is_some_and(|at| at <= turn.now.at);
    let due: Vec<RoomId> = turn.state.rooms.values().filter(is_due).map(|room| room.id).collect();
    for room in due {
        // Each that begins leaves less for the others.
        if turn.state.unfinished.len() < turn.limits.recordings_at_once_max {
            begin(turn, room, &StartRecording::default(), true, None);
        }
    }
}

/// Whether the settings ask for anything to be recorded.
fn asks(state: &Meeting) -> bool {
    state.info.settings.auto_record || state.breakout.as_ref().is_some_and(|set| set.shown.record)
}

/// When automatic recordings are next to be tried again.
pub fn again_at(state: &Meeting, limits: &Limits) -> Option<Millis> {
    if state.automatic.is_empty() || !asks(state) {
        return None;
    }
    let waits = |id: &RoomId| state.automatic.get(id).is_some_and(|past| past.retry_at.is_some());
    let rooms = state.rooms.iter().filter(|(id, _)| waits(id)).map(|(_, room)| room);
    rooms.filter_map(|room| automatic_at(state, room, limits)).min()
}

/// From how many people on the settings ask for this room to be recorded, if they do.
fn people_for(state: &Meeting, room: &Room) -> Option<u32> {
    let settings = &state.info.settings;
    match room.kind {
        RoomKind::Main if settings.auto_record => Some(settings.auto_record_min_participants.max(1)),
        RoomKind::Breakout if state.breakout.as_ref().is_some_and(|set| set.shown.record) => Some(1),
        RoomKind::Main | RoomKind::Breakout => None,
    }
}

/// Since when, or from when, an automatic recording of this room is wanted that does not run. One that
/// somebody asked for does as well.
fn automatic_at(state: &Meeting, room: &Room, limits: &Limits) -> Option<Millis> {
    let people = people_for(state, room)?;
    let past = state.automatic.get(&room.id).copied().unwrap_or_default();
    let is_given_up = past.held || past.failures >= limits.recording_failures_max;
    let is_same = |live: &LiveRecording| live.recording.kind == AUTOMATIC_KIND && live.recording.room == room.id;
    let runs = |live: &LiveRecording| live.is_running() && is_same(live);
    let is_wanted = limits.has_recorder
        && state.info.status == Status::Live
        && room.state == RoomState::Open
        && !is_given_up
        && !state.unfinished().any(runs)
        && state.unfinished.len() < limits.recordings_at_once_max
        && state.counts_at_least(room.id, people);
    is_wanted.then(|| past.retry_at.unwrap_or_default())
}

pub fn observe(turn: &mut Turn<'_>, seen: Observation) -> Result<Reply, Rejection> {
    let of = match &seen {
        Observation::Takes { recording, .. } | Observation::Missing { recording, .. } => Some(*recording),
        Observation::Unreachable { .. } | Observation::Publishing { .. } => None,
    };
    let was_asking = of.is_some_and(|id| turn.state.asking.contains(&id));
    let room = of.and_then(|id| turn.state.recordings.get(&id)).filter(|live| live.recording.consent);
    let published = room.map(|live| published_in(turn.state, live.recording.room)).unwrap_or_default();
    match seen {
        Observation::Takes { recording, takes } => {
            if turn.state.recordings.contains_key(&recording) {
                for take in takes {
                    note(turn, recording, take);
                }
                settle(turn, recording);
            }
        }
        Observation::Missing { recording, takes } => miss(turn, recording, &takes),
        Observation::Unreachable { room } => doubt(turn, room),
        Observation::Publishing { participant, media } => publishing(turn, participant, media),
    }
    if let Some(id) = of {
        free(turn, id, was_asking);
        // One that was given up turns out to run.
        tell_silenced(turn, &published);
    }
    Ok(Reply::Done)
}

/// Writes down what is new of a take. What the recorder says of a file that is not this recording's is not
/// believed.
fn note(turn: &mut Turn<'_>, id: RecordingId, mut take: Take) {
    let Some(live) = turn.state.recordings.get(&id) else { return };
    let is_own = owner_of(&take.file).is_some_and(|(meeting, recording, part)| {
        meeting == turn.state.info.id && recording == id && part.to_string() == take.part
    });
    let is_news = match live.takes.get(&take.id) {
        None => live.takes.len() < turn.limits.takes_max,
        Some(known) => !known.state.is_over() && take.state > known.state,
    };
    let is_named =
        (1..=TAKE_ID_CHARS_MAX).contains(&take.id.chars().count()) && take.file.chars().count() <= TAKE_FILE_CHARS_MAX;
    if is_own && is_news && is_named {
        // What was known of it before is not forgotten by a later word that does not say it.
        take.started_at = take.started_at.or(live.takes.get(&take.id).and_then(|known| known.started_at));
        if let Some(error) = &mut take.error {
            *error = error.chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect();
        }
        turn.emit(Event::TakeChanged { recording: id, take });
    }
}

fn miss(turn: &mut Turn<'_>, id: RecordingId, takes: &BTreeSet<String>) {
    let Some(live) = turn.state.recordings.get(&id) else { return };
    if takes.is_empty() && live.takes.is_empty() && live.recording.status == RecordingStatus::Stopping {
        return fail(turn, id, "it was stopped before anything was recorded");
    }
    let is_lost = |take: &&Take| (takes.is_empty() || takes.contains(&take.id)) && !take.state.is_over();
    let lost: Vec<Take> = live.takes.values().filter(is_lost).cloned().collect();
    for mut take in lost {
        take.state = TakeState::Failed;
        take.ended_at = Some(turn.now.at);
        take.error = Some("the recorder does not know it any more".to_owned());
        turn.emit(Event::TakeChanged { recording: id, take });
    }
    settle(turn, id);
}

/// Nobody is shown as recorded of whom that cannot be told.
fn doubt(turn: &mut Turn<'_>, room: RoomId) {
    let sure =
        |live: &&LiveRecording| live.recording.room == room && live.recording.status == RecordingStatus::Recording;
    let doubted: Vec<Recording> = turn.state.unfinished().filter(sure).map(|live| live.recording.clone()).collect();
    for mut recording in doubted {
        recording.status = RecordingStatus::Pending;
        recording.interrupted = true;
        turn.emit(Event::RecordingChanged { recording, held: false, by: None });
    }
}

/// Brings the status in line with the takes.
fn settle(turn: &mut Turn<'_>, id: RecordingId) {
    let Some(live) = turn.state.recordings.get(&id) else { return };
    let generation = turn.state.generation(live.recording.room);
    let is_active = live.takes.values().any(|take| take.state == TakeState::Active);
    let has_died = live.recording.kind.is_continuous() && live.has_died(generation);
    let mut recording = live.recording.clone();
    match recording.status {
        RecordingStatus::Completed | RecordingStatus::Failed => return,
        RecordingStatus::Pending | RecordingStatus::Recording if has_died => end_of(&mut recording, live, turn.now.at),
        RecordingStatus::Pending | RecordingStatus::Recording => {
            // What was once told to run runs, until it is known not to.
            if is_active || recording.started_at.is_some() {
                recording.status = RecordingStatus::Recording;
                recording.started_at = recording.started_at.or(begun_at(live, turn.now.at)).or(Some(turn.now.at));
            }
            recording.interrupted = false;
        }
        RecordingStatus::Stopping | RecordingStatus::Processing if live.takes.is_empty() => {}
        RecordingStatus::Stopping | RecordingStatus::Processing => end_of(&mut recording, live, turn.now.at),
    }
    put(turn, recording);
}

/// When the first take began, as the recorder says; its clock may be wrong, and nothing began before it was
/// asked for or after it had ended.
fn begun_at(live: &LiveRecording, ended_at: Millis) -> Option<Millis> {
    let first = live.takes.values().filter_map(|take| take.started_at).min()?;
    Some(first.max(live.recording.asked_at).min(ended_at))
}

/// What follows of the takes where it goes on no longer.
fn end_of(recording: &mut Recording, live: &LiveRecording, now: Millis) {
    let any = |is: fn(&Take) -> bool| live.takes.values().any(is);
    let is_stopped = recording.status == RecordingStatus::Processing;
    recording.status = if any(|take| take.state.is_alive()) && !is_stopped {
        RecordingStatus::Stopping
    } else if any(|take| !take.state.is_over()) {
        RecordingStatus::Processing
    } else if any(|take| take.state == TakeState::Complete) {
        RecordingStatus::Completed
    } else {
        RecordingStatus::Failed
    };
    recording.interrupted = false;
    let ended_at = *recording.ended_at.get_or_insert(now);
    recording.started_at = recording.started_at.or(begun_at(live, ended_at));
    if recording.status == RecordingStatus::Failed {
        let why = live.takes.values().find_map(|take| take.error.clone());
        recording.error = Some(why.unwrap_or_else(|| "the recorder made nothing of it".to_owned()));
    }
}

fn fail(turn: &mut Turn<'_>, id: RecordingId, why: &str) {
    let Some(live) = turn.state.recordings.get(&id) else { return };
    let mut recording = live.recording.clone();
    let has_file = live.takes.values().any(|take| take.state == TakeState::Complete);
    recording.status = if has_file { RecordingStatus::Completed } else { RecordingStatus::Failed };
    recording.interrupted = false;
    recording.ended_at.get_or_insert(turn.now.at);
    recording.error = Some(why.to_owned());
    put(turn, recording);
}

/// Tells what became of it; what is only known better is told with what comes next.
fn put(turn: &mut Turn<'_>, recording: Recording) {
    let Some(live) = turn.state.recordings.get(&recording.id) else { return };
    let shown = |recording: &Recording| (recording.status, recording.interrupted);
    if shown(&live.recording) == shown(&recording) {
        return;
    }
    turn.emit(Event::RecordingChanged { recording, held: false, by: None });
}

/// Whoever was withheld for want of consent to this one is free now, if nothing more can be taken down.
fn free(turn: &mut Turn<'_>, id: RecordingId, was_asking: bool) {
    if was_asking && !turn.state.asking.contains(&id) {
        let room = turn.state.recordings.get(&id).map(|live| live.recording.room);
        room.into_iter().for_each(|room| grant_room(turn, room));
    }
}

/// The media server says what somebody publishes. What they may not is no fact: it is being taken down.
fn publishing(turn: &mut Turn<'_>, id: ParticipantId, media: Media) {
    let Some(member) = turn.state.member(id).filter(|member| member.is_inside()) else { return };
    let may = |on: bool, source| on && turn.state.may_publish(member, source);
    let media = Media {
        audio: may(media.audio, Source::Audio),
        video: may(media.video, Source::Video),
        screen: may(media.screen, Source::Screen),
    };
    if media != member.participant.media {
        let (room, is_service) = (member.participant.room, member.is_service());
        turn.emit(Event::MediaSet { participant: id, media });
        if !is_service {
            turn.tell(Effect::Signal { room, signal: Signal::MediaStates { participant: id, media } });
        }
    }
}

/// What becomes of a recording by itself.
enum Due {
    /// It is to stop, as it should or for this reason.
    Halt(Option<&'static str>),
    Fail(&'static str),
}

/// When something is due of a recording, whatever the recorder says or does not say, and what.
fn due(live: &LiveRecording, limits: &Limits) -> Option<(Millis, Due)> {
    let recording = &live.recording;
    let after = |since: Option<Millis>, wait: Millis, due: Due| Some((since?.saturating_add(wait), due));
    let since = |wait: Millis, why: &'static str| after(Some(live.since), wait, Due::Fail(why));
    let status = match recording.status {
        _ if recording.interrupted => since(limits.recording_away_ms, "the recorder could not be reached for too long"),
        RecordingStatus::Pending if recording.kind.is_continuous() => {
            since(limits.recording_start_ms, "the recorder did not begin in time")
        }
        RecordingStatus::Pending | RecordingStatus::Recording => None,
        RecordingStatus::Stopping => since(limits.recording_stop_ms, "the recorder did not stop in time"),
        RecordingStatus::Processing => {
            since(limits.recording_processing_ms, "the recorder did not finish the files in time")
        }
        RecordingStatus::Completed | RecordingStatus::Failed => None,
    };
    if !live.is_running() {
        return status;
    }
    let again = Due::Halt(Some("the recorder did not begin again in time"));
    let lapsed = after(live.lapsed_at, limits.recording_start_ms, again);
    let emptied = after(live.emptied_at, limits.recording_empty_ms, Due::Halt(None));
    let longest = after(Some(recording.asked_at), limits.recording_ms_max, Due::Halt(None));
    [status, lapsed, emptied, longest].into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// When something is due of a recording.
pub fn due_at(live: &LiveRecording, limits: &Limits) -> Option<Millis> {
    due(live, limits).map(|(at, _)| at)
}

/// Of the meeting's recordings, what is due next.
pub fn next_due(state: &Meeting, limits: &Limits) -> Option<(Millis, RecordingId)> {
    state.unfinished().filter_map(|live| Some((due_at(live, limits)?, live.recording.id))).min()
}

pub fn deadline(turn: &mut Turn<'_>, id: RecordingId) {
    let Some(live) = turn.state.recordings.get(&id) else { return };
    let was_asking = live.is_asking();
    match due(live, turn.limits) {
        Some((_, Due::Halt(why))) => halt(turn, id, why, false, None),
        Some((_, Due::Fail(why))) => fail(turn, id, why),
        None => {}
    }
    free(turn, id, was_asking);
}
