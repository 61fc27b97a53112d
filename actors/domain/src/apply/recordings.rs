//! Folding recordings: their status, their takes, who consented, and how those that begin by themselves
//! fared. What nobody consented to takes down what people publish, with the same event.

use crate::event::Event;
use crate::ids::{Millis, ParticipantId, RecordingId, RoomId};
use crate::limits::Limits;
use crate::recording::{LiveRecording, Recording, RecordingStatus};
use crate::shapes::Media;
use crate::state::Meeting;
use std::collections::BTreeMap;

pub fn fold(state: &mut Meeting, event: &Event, at: Millis, limits: &Limits) {
    let (Event::RecordingChanged { recording: Recording { id, .. }, .. }
    | Event::TakeChanged { recording: id, .. }
    | Event::RecordingConsented { recording: id, .. }) = event
    else {
        return;
    };
    put(state, event, at, limits);
    let room = state.recordings.get(id).filter(|live| live.is_asking()).map(|live| live.recording.room);
    match room {
        None => drop(state.asking.remove(id)),
        Some(room) if state.asking.insert(*id) => {
            state.inside_of(room).into_iter().for_each(|id| hold_to_consent(state, id));
        }
        Some(_) => {}
    }
    if let Event::RecordingConsented { participant, .. } = event {
        hold_to_consent(state, *participant);
    }
}

fn put(state: &mut Meeting, event: &Event, at: Millis, limits: &Limits) {
    match event {
        Event::RecordingChanged { recording, held, by } => change(state, recording, *held, *by, at, limits),
        Event::TakeChanged { recording, take } => {
            if let Some(live) = state.recordings.get_mut(recording) {
                live.takes.insert(take.id.clone(), take.clone());
            }
            note_lapse(state, *recording, at);
        }
        Event::RecordingConsented { recording, participant, given } => {
            if let Some(live) = state.recordings.get_mut(recording) {
                live.consents.insert(*participant, *given);
            }
        }
        _ => {}
    }
}

fn change(
    state: &mut Meeting,
    recording: &Recording,
    held: bool,
    by: Option<ParticipantId>,
    at: Millis,
    limits: &Limits,
) {
    let before = state.recordings.get(&recording.id).map(|live| (live.recording.status, live.recording.interrupted));
    let live = state.recordings.entry(recording.id).or_insert_with(|| LiveRecording {
        recording: recording.clone(),
        since: at,
        takes: BTreeMap::new(),
        // Whoever asks for it need not be asked.
        consents: by.filter(|_| recording.consent).map(|id| (id, true)).into_iter().collect(),
        emptied_at: None,
        lapsed_at: None,
    });
    live.recording = recording.clone();
    if before != Some((recording.status, recording.interrupted)) {
        live.since = at;
    }
    note_lapse(state, recording.id, at);
    if recording.status.is_over() {
        state.unfinished.remove(&recording.id);
        forget_oldest(state, limits);
    } else {
        state.unfinished.insert(recording.id);
    }
    if recording.automatic || held {
        let ended_itself = before.is_some_and(|(status, _)| status.is_running());
        fare(state, recording, (held, ended_itself), at, limits);
    }
    if before.is_none() {
        watch(state, at);
    }
}

/// One that failed is tried again, after a wait that doubles; one that ended by itself, after a wait.
fn fare(state: &mut Meeting, recording: &Recording, (held, ended_itself): (bool, bool), at: Millis, limits: &Limits) {
    let past = state.automatic.entry(recording.room).or_default();
    past.held = past.held || held;
    match recording.status {
        RecordingStatus::Failed => {
            let doublings = past.failures.min(16);
            past.failures = past.failures.saturating_add(1);
            let wait = limits.recording_retry_ms.saturating_mul(1 << doublings);
            let is_given_up = past.failures >= limits.recording_failures_max;
            past.retry_at = (!is_given_up).then(|| at.saturating_add(wait));
        }
        RecordingStatus::Completed => {
            past.failures = 0;
            past.retry_at = ended_itself.then(|| at.saturating_add(limits.recording_retry_ms));
        }
        _ => past.retry_at = None,
    }
    forget_fares(state);
}

/// Nothing is held against a room that is empty.
fn forget_fares(state: &mut Meeting) {
    let rooms: Vec<RoomId> = state.automatic.keys().copied().collect();
    for room in rooms {
        if !state.counts_at_least(room, 1) {
            state.automatic.remove(&room);
        }
    }
}

/// Keeps since when it is shown as recorded and is not.
fn note_lapse(state: &mut Meeting, id: RecordingId, at: Millis) {
    let Some(room) = state.recordings.get(&id).map(|live| live.recording.room) else { return };
    let generation = state.generation(room);
    if let Some(live) = state.recordings.get_mut(&id) {
        live.lapsed_at = if live.lacks_take(generation) { live.lapsed_at.or(Some(at)) } else { None };
    }
}

/// The oldest that are over, and of those first the ones the recorder has nothing more to say of.
fn forget_oldest(state: &mut Meeting, limits: &Limits) {
    let excess = state.recordings.len().saturating_sub(limits.recordings_kept_max);
    let mut over: Vec<_> = state.recordings.values().filter(|live| live.is_over()).collect();
    over.sort_by_key(|live| live.is_open());
    let forgotten: Vec<_> = over.into_iter().take(excess).map(|live| live.recording.id).collect();
    state.recordings.retain(|id, _| !forgotten.contains(id));
    state.asking.retain(|id| !forgotten.contains(id));
}

/// Somebody without whose consent the room is recorded publishes nothing there.
pub fn hold_to_consent(state: &mut Meeting, id: ParticipantId) {
    let is_withheld = state.member(id).is_some_and(|member| state.is_withheld(member));
    if let Some(member) = state.members.get_mut(&id).filter(|_| is_withheld) {
        member.participant.media = Media::default();
    }
}

/// Keeps since when nobody has been in a recorded room. With its last person what was said of its automatic
/// recording is forgotten.
pub fn watch(state: &mut Meeting, at: Millis) {
    forget_fares(state);
    for id in state.unfinished.clone() {
        let Some(room) = state.recordings.get(&id).map(|live| live.recording.room) else { continue };
        let is_attended = state.counts_at_least(room, 1);
        if let Some(live) = state.recordings.get_mut(&id) {
            live.emptied_at = if is_attended { None } else { live.emptied_at.or(Some(at)) };
        }
    }
}

/// The server was away: its absence is nobody's.
pub fn recover(state: &mut Meeting, at: Millis) {
    for id in &state.unfinished {
        if let Some(live) = state.recordings.get_mut(id) {
            live.since = at;
            live.emptied_at = live.emptied_at.map(|_| at);
            live.lapsed_at = live.lapsed_at.map(|_| at);
        }
    }
}

/// Credentials that were given for the room let nobody in any more.
pub fn raise_generation(state: &mut Meeting, room: RoomId, at: Millis) {
    let generation = state.generations.entry(room).or_default();
    *generation = generation.saturating_add(1);
    for id in state.unfinished.clone() {
        note_lapse(state, id, at);
    }
}
