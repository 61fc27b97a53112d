//! CM, LG: recordings in the log, and the numbers of the commands that they come of.

use super::*;
use convoke_domain::event::Cause;

fn numbered(scene: &mut Scene, device: &Device, id: u64, command: Command) -> Result<turn::Reply, Rejection> {
    scene.take(Input::Command { by: By::Session { session: device.session, id }, command })
}

#[test]
fn cm3_a_recording_is_started_once_by_a_number() {
    let (mut scene, ann, _) = pair();
    numbered(&mut scene, &ann, 1, record(StartRecording::default())).expect("started");
    assert_eq!(scene.event("recording.changed").cause, Some(Cause { session: ann.session, id: 1 }));
    let id = begun(&scene);
    numbered(&mut scene, &ann, 1, record(StartRecording::default())).expect("answered as before");
    assert!(scene.recorded.is_empty());
    numbered(&mut scene, &ann, 2, stop(id)).expect("stopped");
    assert_eq!(scene.event("recording.changed").cause, Some(Cause { session: ann.session, id: 2 }));
    numbered(&mut scene, &ann, 2, stop(id)).expect("answered as before");
    assert!(scene.recorded.is_empty());
    seen(&mut scene, id, TakeState::Failed);
    assert!(scene.recorded.iter().all(|recorded| recorded.cause.is_none()), "what is seen is nobody's command");
    let request = uuid::Uuid::from_u128(77);
    let once = |command| Input::Once { request, by: By::Operator, command };
    scene.take(once(record(StartRecording::default()))).expect("started");
    scene.take(once(record(StartRecording::default()))).expect("CM5: and not again");
    assert!(scene.recorded.is_empty());
}

/// What begins by itself is nobody's command, and takes nobody's number.
#[test]
fn cm1_an_automatic_recording_names_no_cause() {
    let (mut scene, ann, _) = pair();
    let patch = SettingsPatch { auto_record: Some(true), ..SettingsPatch::default() };
    numbered(&mut scene, &ann, 1, update(patch)).expect("set");
    assert_eq!(scene.kinds(), ["meeting.updated", "recording.changed"]);
    assert_eq!(scene.event("meeting.updated").cause, Some(Cause { session: ann.session, id: 1 }));
    assert_eq!(scene.event("recording.changed").cause, None);
    let answered = scene.state.sessions[&ann.session].answers[&1];
    assert_eq!(answered, scene.event("meeting.updated").seq, "the answer is of what was asked");
}

#[test]
fn cm3_a_refused_command_takes_no_number_though_a_recording_begins_at_its_turn() {
    let (mut scene, ann, _) = pair_with(|settings| settings.auto_record = true);
    let id = running(&scene, RoomId::Main)[0];
    seen(&mut scene, id, TakeState::Failed);
    scene.now += 30_000;
    numbered(&mut scene, &ann, 1, say("")).expect_err("refused");
    assert_eq!(scene.kinds(), ["recording.changed"]);
    assert_eq!(scene.event("recording.changed").cause, None);
    assert_eq!(scene.state.sessions[&ann.session].last_id, 0);
    let id = running(&scene, RoomId::Main)[0];
    seen(&mut scene, id, TakeState::Active);
    scene.now += scene.limits.recording_ms_max;
    numbered(&mut scene, &ann, 1, say("")).expect_err("refused");
    assert_eq!(scene.kinds(), ["recording.changed", "recording.changed"], "one is over, another begins");
    assert!(scene.recorded.iter().all(|recorded| recorded.cause.is_none()));
    assert_eq!(scene.state.sessions[&ann.session].last_id, 0);
    numbered(&mut scene, &ann, 1, say("hello")).expect("the number is free");
}

#[test]
fn lg2_a_snapshot_of_a_meeting_that_is_recorded() {
    let (mut scene, ann, bob) = pair_with(|settings| {
        settings.recording_consent = true;
        settings.auto_record = true;
    });
    let automatic = running(&scene, RoomId::Main)[0];
    scene.does(&bob, consent(automatic, true));
    let sound = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    seen(&mut scene, automatic, TakeState::Active);
    let cid = scene.enters("Cid", Role::Participant);
    scene.does(&ann, ban(scene.id(&cid)));
    let all = Take {
        participant: Some(scene.id(&bob)),
        started_at: Some(1),
        ended_at: Some(2),
        bytes: Some(3),
        duration_ms: Some(4),
        error: Some("odd".to_owned()),
        ..take(&scene, sound, "run-9", &Part::Audio(1), TakeState::Failed)
    };
    takes(&mut scene, sound, vec![all]);
    let text = serde_json::to_string(&scene.state).expect("written");
    let read: Meeting = serde_json::from_str(&text).expect("read");
    assert_eq!(read, scene.state);
    assert!(read.recordings[&automatic].lapsed_at.is_some());
}

/// What was written before there were recordings is read as a meeting without any.
#[test]
fn lg2_a_state_and_a_log_of_before_there_were_recordings() {
    let (mut scene, ann, _) = pair();
    scene.does(&ann, say("hello"));
    let mut state = serde_json::to_value(&scene.state).expect("written");
    let fields = state.as_object_mut().expect("fields");
    for field in ["recordings", "unfinished", "automatic", "generations"] {
        fields.remove(field).expect("a field");
    }
    let without = |value: &mut serde_json::Value| {
        let settings = value.as_object_mut().expect("fields");
        for field in ["auto_record", "auto_record_min_participants", "recording_consent"] {
            settings.remove(field).expect("a setting");
        }
    };
    without(&mut state["info"]["settings"]);
    let read: Meeting = serde_json::from_value(state).expect("read");
    assert_eq!(read, scene.state);
    let mut log = serde_json::to_value(&scene.log).expect("written");
    for recorded in log.as_array_mut().expect("events") {
        if recorded["data"].get("meeting").is_some() {
            without(&mut recorded["data"]["meeting"]["settings"]);
        }
    }
    let log: Vec<Recorded> = serde_json::from_value(log).expect("read");
    let mut folded = apply::create(&log[0]).expect("a meeting");
    for recorded in &log[1..] {
        apply::apply(&mut folded, recorded, &scene.limits);
    }
    assert_eq!(folded, scene.state);
}

/// The log is of people as little as it can be.
#[test]
fn lg7_a_recording_outlives_whoever_asked_for_it() {
    let (mut scene, ann, _) = pair();
    let cid = scene.enters("Cid", Role::Host);
    let id = starts(&mut scene, &cid, StartRecording::default());
    seen(&mut scene, id, TakeState::Active);
    scene.take(Input::Erase(cid.user.clone().expect("a user"))).expect("erased");
    assert_eq!(status(&scene, id), RecordingStatus::Recording);
    let row = serde_json::to_string(live(&scene, id)).expect("written");
    assert!(!row.contains("Cid"));
    scene.does(&ann, stop(id));
}
