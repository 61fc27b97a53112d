//! RC8: nobody is recorded who has not consented.

use super::*;

fn asking() -> (Scene, Device, Device) {
    pair_with(|settings| settings.recording_consent = true)
}

#[test]
fn rc8_nobody_publishes_before_they_consented() {
    let (mut scene, ann, bob) = asking();
    let cid = scene.enters("Cid", Role::Cohost);
    let [anns, bobs, cids] = [&ann, &bob, &cid].map(|device| scene.id(device));
    for device in [&ann, &bob, &cid] {
        scene.does(device, set_media(ALL));
    }
    let id = starts(&mut scene, &ann, StartRecording::default());
    assert!(live(&scene, id).recording.consent);
    assert_eq!((media(&scene, &bob), media(&scene, &cid)), (SILENT, SILENT), "from the moment it was asked for");
    assert_eq!(shown_media(&scene), [(RoomId::Main, bobs, SILENT), (RoomId::Main, cids, SILENT)], "others see it");
    assert_eq!(granted(&scene), [anns, bobs, cids].into());
    for device in [&bob, &cid] {
        scene.refused(device, set_media(TALKS), Code::NotPermitted);
        publishing(&mut scene, device, ALL);
        assert_eq!(media(&scene, device), SILENT, "whatever the media server says");
    }
    scene.does(&bob, set_media(SILENT));
    scene.does(&bob, consent(id, true));
    assert_eq!(granted(&scene), [bobs].into());
    scene.does(&bob, set_media(TALKS));
    scene.refused(&cid, set_media(TALKS), Code::NotPermitted);
}

#[test]
fn rc8_whoever_starts_it_consents() {
    let (mut scene, ann, _) = asking();
    scene.does(&ann, set_media(ALL));
    let id = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(media(&scene, &ann), ALL, "nothing is turned off in between");
    assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::Signal { .. })));
    let anns = scene.id(&ann);
    let given = Event::RecordingConsented { recording: id, participant: anns, given: true };
    assert_eq!(scene.event("recording.consented").event, given);
    let (mut scene, ann, _) = asking();
    scene.operator(record(StartRecording::default())).expect("the backend");
    scene.refused(&ann, set_media(TALKS), Code::NotPermitted);
}

#[test]
fn rc8_leads_hear_who_consented() {
    let (mut scene, ann, bob) = asking();
    let cid = scene.enters("Cid", Role::Participant);
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&bob, consent(id, true));
    let hear: BTreeSet<ParticipantId> = [scene.id(&ann), scene.id(&bob)].into();
    assert_eq!(scene.event("recording.consented").audience, Audience::Only(hear));
    scene.does(&bob, consent(id, true));
    assert!(scene.recorded.is_empty(), "once");
    scene.does(&cid, consent(id, false));
    assert_eq!(scene.kinds(), ["recording.consented"], "a no is heard too");
    scene.does(&cid, consent(id, false));
    assert!(scene.recorded.is_empty());
}

#[test]
fn rc8_consent_can_be_taken_back() {
    let (mut scene, ann, bob) = asking();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&bob, consent(id, true));
    scene.does(&bob, set_media(ALL));
    scene.does(&bob, consent(id, false));
    let bobs = scene.id(&bob);
    assert_eq!(media(&scene, &bob), SILENT, "at once");
    assert_eq!(shown_media(&scene), [(RoomId::Main, bobs, SILENT)]);
    assert_eq!(granted(&scene), [bobs].into());
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
    scene.does(&ann, consent(id, false));
    scene.refused(&ann, set_media(TALKS), Code::NotPermitted);
}

/// Case 53: consent was lost, or wrongly kept, across a reconnect.
#[test]
fn rc8_consent_belongs_to_the_person() {
    let (mut scene, ann, bob) = asking();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&bob, consent(id, true));
    let other = bob.other(1);
    scene.join(&other).expect("another device");
    scene.does(&other, set_media(TALKS));
    scene.lost(&bob);
    scene.lost(&other);
    scene.pass(30_000);
    assert!(!scene.is_inside(&bob));
    scene.join(&bob).expect("back");
    assert_eq!(media(&scene, &bob), SILENT);
    scene.does(&bob, set_media(TALKS));
    scene.does(&bob, leave());
    scene.join(&other).expect("back by another device");
    scene.does(&other, set_media(TALKS));
    let cid = scene.enters("Cid", Role::Participant);
    scene.refused(&cid, set_media(TALKS), Code::NotPermitted);
    scene.lost(&cid);
    scene.back(&cid).expect("back");
    scene.refused(&cid, set_media(TALKS), Code::NotPermitted);
}

#[test]
fn rc8_for_that_recording_only() {
    let (mut scene, ann, bob) = asking();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&bob, consent(id, true));
    scene.does(&bob, set_media(TALKS));
    let sound = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    assert_eq!(media(&scene, &bob), SILENT, "there is another now");
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
    scene.does(&bob, consent(sound, true));
    scene.does(&bob, set_media(TALKS));
}

/// What is said after "stop" is still in the file, as long as the recorder runs.
#[test]
fn rc8_nobody_is_free_before_the_recorder_was_seen_to_have_ended() {
    for ended in [TakeState::Ending, TakeState::Complete, TakeState::Failed] {
        let (mut scene, ann, bob) = asking();
        let id = starts(&mut scene, &ann, StartRecording::default());
        seen(&mut scene, id, TakeState::Active);
        scene.does(&ann, stop(id));
        scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
        assert!(granted(&scene).is_empty());
        let cid = scene.enters("Cid", Role::Participant);
        scene.refused(&cid, set_media(TALKS), Code::NotPermitted);
        scene.does(&cid, consent(id, true));
        scene.does(&cid, set_media(TALKS));
        seen(&mut scene, id, ended);
        assert!(granted(&scene).contains(&scene.id(&bob)), "credentials are given anew");
        scene.does(&bob, set_media(TALKS));
        scene.refused(&bob, consent(id, true), Code::WrongState);
    }
}

#[test]
fn rc8_a_recorder_that_never_ends_silences_nobody_for_ever() {
    let (mut scene, ann, bob) = asking();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.pass(60_000);
    assert_eq!(status(&scene, id), RecordingStatus::Failed);
    assert_eq!(granted(&scene), [scene.id(&ann), scene.id(&bob)].into());
    scene.does(&bob, set_media(TALKS));
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&ann, stop(id));
    scene.pass(300_000);
    assert_eq!(status(&scene, id), RecordingStatus::Failed);
    assert!(granted(&scene).contains(&scene.id(&bob)));
}

#[test]
fn rc8_wherever_it_is_recorded_and_only_there() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    scene.settings(&ann, SettingsPatch { recording_consent: Some(true), ..SettingsPatch::default() });
    scene.does(&bob, set_media(ALL));
    scene.does(&cid, set_media(ALL));
    let id = starts(&mut scene, &ann, in_room(first));
    assert_eq!((media(&scene, &bob), media(&scene, &cid)), (SILENT, ALL));
    let [bobs, cids] = [&bob, &cid].map(|device| scene.id(device));
    scene.does(&ann, crate::breakout::move_to(&[to(cids, first), to(bobs, second)]));
    assert_eq!(media(&scene, &cid), SILENT, "whoever comes there falls silent");
    assert_eq!(shown_media(&scene), [(first, cids, SILENT)], "and those there see it");
    scene.does(&bob, set_media(TALKS));
    scene.does(&bob, consent(id, true));
    scene.does(&ann, crate::breakout::move_to(&[to(bobs, first)]));
    assert_eq!(media(&scene, &bob), TALKS, "consented before coming");
    scene.does(&ann, Command::CloseRooms { room: None, now: true });
    scene.does(&cid, set_media(TALKS));
}

#[test]
fn rc8_a_recording_without_consent_asks_nobody() {
    let (mut scene, ann, bob) = pair();
    scene.does(&bob, set_media(ALL));
    let id = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(scene.kinds(), ["recording.changed"]);
    assert_eq!((media(&scene, &bob), granted(&scene)), (ALL, BTreeSet::new()));
    assert!(live(&scene, id).consents.is_empty());
    scene.refused(&bob, consent(id, true), Code::WrongState);
    // What is set later is for later recordings.
    scene.settings(&ann, SettingsPatch { recording_consent: Some(true), ..SettingsPatch::default() });
    scene.does(&bob, set_media(TALKS));
    let (mut scene, ann, bob) = asking();
    starts(&mut scene, &ann, StartRecording::default());
    scene.settings(&ann, SettingsPatch { recording_consent: Some(false), ..SettingsPatch::default() });
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
}

#[test]
fn rc8_only_people_consent() {
    let (mut scene, ann, bob) = asking();
    let rec = scene.enters("Rec", Role::Agent);
    let vic = scene.enters("Vic", Role::Viewer);
    scene.does(&rec, set_media(TALKS));
    let id = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(media(&scene, &rec), TALKS, "a service is nobody who is recorded without being asked");
    scene.refused(&rec, consent(id, true), Code::NotPermitted);
    assert_eq!(scene.operator(consent(id, true)).expect_err("no person").code, Code::NotPermitted);
    scene.does(&vic, consent(id, true));
    scene.refused(&vic, set_media(TALKS), Code::NotPermitted);
    scene.does(&ann, remove(scene.id(&bob)));
    let reply = scene.token(&bob, consent(id, true));
    assert_eq!(reply.expect_err("not inside").code, Code::WrongState);
}

#[test]
fn rc8_a_permission_is_no_consent() {
    let (mut scene, ann, bob) = asking();
    let id = starts(&mut scene, &ann, StartRecording::default());
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::Permit { whom: one(bobs), source: Source::Audio, allowed: true });
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
    scene.does(&ann, Command::Permit { whom: one(bobs), source: Source::Audio, allowed: false });
    scene.does(&bob, consent(id, true));
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
}

#[test]
fn rc8_an_automatic_recording_asks_everybody() {
    let (mut scene, ann, bob) = asking();
    scene.does(&bob, set_media(TALKS));
    scene.settings(&ann, SettingsPatch { auto_record: Some(true), ..SettingsPatch::default() });
    let id = begun(&scene);
    assert_eq!(media(&scene, &bob), SILENT);
    scene.refused(&ann, set_media(TALKS), Code::NotPermitted);
    assert!(live(&scene, id).consents.is_empty(), "whoever changed a setting has not consented");
}
