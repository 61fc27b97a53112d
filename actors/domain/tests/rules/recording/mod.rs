//! RC, MD9, MD10: recordings, from what is asked for to what is left of them, and what is seen of the
//! media. The recorder here is the test itself: it tells the meeting of takes, in whatever order.

mod asking;
mod automatic;
mod consent;
mod interruption;
mod life;
mod limits;
mod log;
mod media;
mod takes;

use crate::breakout::{Two, named, to};
use crate::common::*;
use convoke_domain::breakout::OpenRooms;
use convoke_domain::command::Nothing;
use convoke_domain::recording::{
    LiveRecording, Observation, Part, RecordingKind, RecordingStatus, StartRecording, Take, TakeState, path_of,
};
use convoke_domain::shapes::{Media, Role, SettingsPatch, Source};
use convoke_domain::*;
use std::collections::BTreeSet;

pub const END: Command = Command::EndMeeting(Nothing {});
pub const STOP_ALL: Command = Command::StopRecording { recording: None };

pub fn record(wanted: StartRecording) -> Command {
    Command::StartRecording(wanted)
}

pub fn of_kind(kind: RecordingKind) -> StartRecording {
    StartRecording { kind, ..StartRecording::default() }
}

pub fn in_room(room: RoomId) -> StartRecording {
    StartRecording { room: Some(room), ..StartRecording::default() }
}

pub fn stop(recording: RecordingId) -> Command {
    Command::StopRecording { recording: Some(recording) }
}

pub fn consent(recording: RecordingId, given: bool) -> Command {
    Command::ConsentToRecording { recording, given }
}

/// Starts a recording and answers its id.
pub fn starts(scene: &mut Scene, host: &Device, wanted: StartRecording) -> RecordingId {
    scene.does(host, record(wanted));
    begun(scene)
}

/// The recording that the last turn began.
pub fn begun(scene: &Scene) -> RecordingId {
    let begun = scene.recorded.iter().find_map(|recorded| match &recorded.event {
        Event::RecordingChanged { recording, .. } if recording.status == RecordingStatus::Pending => Some(recording.id),
        _ => None,
    });
    begun.expect("a recording that begins")
}

/// What the last turn told of a recording's status.
pub fn told(scene: &Scene, id: RecordingId) -> Vec<RecordingStatus> {
    told_by(&scene.recorded, id)
}

pub fn told_by(log: &[Recorded], id: RecordingId) -> Vec<RecordingStatus> {
    let status = |recorded: &Recorded| match &recorded.event {
        Event::RecordingChanged { recording, .. } if recording.id == id => Some(recording.status),
        _ => None,
    };
    log.iter().filter_map(status).collect()
}

pub fn live(scene: &Scene, id: RecordingId) -> &LiveRecording {
    &scene.state.recordings[&id]
}

pub fn status(scene: &Scene, id: RecordingId) -> RecordingStatus {
    live(scene, id).recording.status
}

pub fn error(scene: &Scene, id: RecordingId) -> String {
    live(scene, id).recording.error.clone().unwrap_or_default()
}

/// The recordings of a room that are wanted to go on.
pub fn running(scene: &Scene, room: RoomId) -> Vec<RecordingId> {
    let there = |live: &&LiveRecording| live.is_running() && live.recording.room == room;
    scene.state.unfinished().filter(there).map(|live| live.recording.id).collect()
}

/// A run of the recorder as it would say it.
pub fn take(scene: &Scene, recording: RecordingId, id: &str, part: &Part, state: TakeState) -> Take {
    let name = &live(scene, recording).recording.name;
    let file = format!("out/{}.mp4", path_of(&scene.state.tenant, scene.state.info.id, name, part));
    Take { state, ..Take::of(id.to_owned(), part, file) }
}

/// The recorder says this of the room's picture, in a generation.
pub fn seen_in(scene: &mut Scene, recording: RecordingId, generation: u32, id: &str, state: TakeState) {
    let take = take(scene, recording, id, &Part::Composite(generation), state);
    takes(scene, recording, vec![take]);
}

/// The recorder says this of the first run of a recording.
pub fn seen(scene: &mut Scene, recording: RecordingId, state: TakeState) {
    seen_in(scene, recording, 0, "run-1", state);
}

pub fn takes(scene: &mut Scene, recording: RecordingId, takes: Vec<Take>) {
    scene.take(Input::Seen(Observation::Takes { recording, takes })).expect("what is seen is never refused");
}

pub fn missing(scene: &mut Scene, recording: RecordingId, takes: &[&str]) {
    let takes: BTreeSet<String> = takes.iter().map(|id| (*id).to_owned()).collect();
    scene.take(Input::Seen(Observation::Missing { recording, takes })).expect("what is seen is never refused");
}

pub fn unreachable(scene: &mut Scene, room: RoomId) {
    scene.take(Input::Seen(Observation::Unreachable { room })).expect("what is seen is never refused");
}

pub fn publishing(scene: &mut Scene, device: &Device, media: Media) {
    let participant = scene.id(device);
    scene.take(Input::Seen(Observation::Publishing { participant, media })).expect("what is seen is never refused");
}

pub const SILENT: Media = Media { audio: false, video: false, screen: false };
pub const TALKS: Media = Media { audio: true, video: false, screen: false };
pub const ALL: Media = Media { audio: true, video: true, screen: true };

pub fn set_media(media: Media) -> Command {
    Command::SetMedia { audio: media.audio, video: media.video, screen: media.screen }
}

pub fn media(scene: &Scene, device: &Device) -> Media {
    scene.member(device).participant.media
}

/// Who is given credentials for the media when the turn is done.
pub fn granted(scene: &Scene) -> BTreeSet<ParticipantId> {
    let grants = scene.after.iter().filter_map(|effect| match effect {
        Effect::GrantMedia(id) => Some(*id),
        _ => None,
    });
    grants.collect()
}

/// What the room was told of people's media.
pub fn shown_media(scene: &Scene) -> Vec<(RoomId, ParticipantId, Media)> {
    let states = scene.effects.iter().filter_map(|effect| match effect {
        Effect::Signal { room, signal: effect::Signal::MediaStates { participant, media } } => {
            Some((*room, *participant, *media))
        }
        _ => None,
    });
    states.collect()
}

/// Ann hosts and Bob takes part.
pub fn pair() -> (Scene, Device, Device) {
    pair_with(|_| {})
}

pub fn pair_with(change: impl FnOnce(&mut shapes::Settings)) -> (Scene, Device, Device) {
    let mut scene = Scene::with(change);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    (scene, ann, bob)
}

/// A recording that is being recorded.
pub fn recorded() -> (Scene, Device, Device, RecordingId) {
    let (mut scene, ann, bob) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen(&mut scene, id, TakeState::Active);
    assert_eq!(status(&scene, id), RecordingStatus::Recording);
    (scene, ann, bob, id)
}
