//! What people's clients see of what the meeting asks: they come in with their credentials, are muted
//! and unmute, lose what they may publish, are moved, and are removed.

use super::rooms::{opened_on, seen};
use super::{ALL, AUDIO, Livekit, NOTHING, Opened, Sdk, a_room, person, server};
use convoke_actors::ports::{Guest, MediaRequest, MediaRoom};
use convoke_domain::RoomId;
use convoke_domain::shapes::{Media as Sources, Role};
use livekit_api::services::room::RoomClient;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// A person with a client that is in.
struct Person {
    sdk: Sdk,
    request: MediaRequest,
    id: String,
}

fn credentials(opened: &Opened, request: &MediaRequest) -> Value {
    serde_json::from_str(&opened.media.credentials(request)).unwrap()
}

/// None, said aloud: there is no SDK.
async fn comes_in(opened: &Opened, room: &MediaRoom, role: Role, may: Sources) -> Option<Person> {
    let mut sdk = Sdk::start()?;
    let request = person(room, role, may);
    sdk.connect(&credentials(opened, &request)).await;
    let id = request.session.to_string();
    Some(Person { sdk, request, id })
}

/// What the server has of somebody, when it has come to be like this.
async fn until(opened: &Opened, person: &MediaRequest, what: &str, is_so: impl Fn(&Option<Guest>) -> bool) {
    for _ in 0..600 {
        // A call that a busy machine did not answer in time is made again.
        let there = opened.rooms.present(&person.room).await;
        if there.is_ok_and(|there| is_so(&there.unwrap().remove(&person.session))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come about: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_in_with_their_credentials_and_hear_each_other_and_services_stay_hidden() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    opened.rooms.ensure(&room).await.unwrap();
    let Some(mut ann) = comes_in(&opened, &room, Role::Host, ALL).await else { return };
    let agent = comes_in(&opened, &room, Role::Agent, NOTHING).await.unwrap();
    let mut bob = comes_in(&opened, &room, Role::Participant, ALL).await.unwrap();
    for source in ["audio", "video", "screen"] {
        ann.sdk.publish(source).await;
        bob.sdk.until_of("heard", &ann.id, source).await;
    }
    ann.sdk.until("joined", |line| line["who"] == bob.id.as_str()).await;
    assert!(!ann.sdk.has_said("joined", |line| line["who"] == agent.id.as_str()), "the agent came before Bob");

    let there = opened.rooms.present(&room).await.unwrap().unwrap();
    let mut sessions = vec![ann.request.session, bob.request.session, agent.request.session];
    sessions.sort();
    assert_eq!(there.keys().copied().collect::<Vec<_>>(), sessions, "the meeting knows of its services");
    let guest = &there[&ann.request.session];
    assert_eq!((guest.may, guest.publishes(), guest.tracks.len()), (ALL, ALL, 3));
    assert_eq!(there[&bob.request.session].publishes(), NOTHING);
    until_counted(&opened, &room, 2).await;
}

/// The listing tells of people a moment after they came.
async fn until_counted(opened: &Opened, room: &MediaRoom, devices: u32) {
    let mut counted = None;
    for _ in 0..600 {
        counted = seen(opened, room).await;
        if counted == Some(devices) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("there are to be {devices} devices: {counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_may_unmute_and_a_track_that_is_gone_is_muted() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(mut ann) = comes_in(&opened, &room, Role::Participant, ALL).await else { return };
    let mut bob = comes_in(&opened, &room, Role::Participant, ALL).await.unwrap();
    let track = ann.sdk.publish("audio").await;
    bob.sdk.until_of("heard", &ann.id, "audio").await;

    opened.rooms.mute(&room, ann.request.session, &track).await.unwrap();
    ann.sdk.until_of("muted", &ann.id, "audio").await;
    bob.sdk.until_of("muted", &ann.id, "audio").await;
    until(&opened, &ann.request, "muted", |guest| guest.as_ref().is_some_and(|guest| guest.tracks[0].is_muted)).await;

    ann.sdk.tell(&serde_json::json!({ "do": "unmute", "source": "audio" }));
    bob.sdk.until_of("unmuted", &ann.id, "audio").await;
    until(&opened, &ann.request, "unmuted", |guest| guest.as_ref().is_some_and(|guest| guest.publishes().audio)).await;

    opened.rooms.mute(&room, ann.request.session, "TR_gone").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_published_any_more_is_taken_down_and_comes_back_when_it_may() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(mut ann) = comes_in(&opened, &room, Role::Participant, ALL).await else { return };
    let mut bob = comes_in(&opened, &room, Role::Participant, ALL).await.unwrap();
    ann.sdk.publish("audio").await;
    ann.sdk.publish("video").await;
    bob.sdk.until_of("heard", &ann.id, "audio").await;
    bob.sdk.until_of("heard", &ann.id, "video").await;

    opened.rooms.permit(&room, ann.request.session, AUDIO).await.unwrap();
    let may = |line: &Value| line["can_publish"] == true && line["may"] == serde_json::json!(["audio"]);
    ann.sdk.until("permitted", may).await;
    bob.sdk.until_of("unpublished", &ann.id, "video").await;
    let is_audio = |guest: &Option<Guest>| guest.as_ref().is_some_and(|g| g.may == AUDIO && g.publishes() == AUDIO);
    until(&opened, &ann.request, "audio alone", is_audio).await;

    opened.rooms.permit(&room, ann.request.session, NOTHING).await.unwrap();
    ann.sdk.until("permitted", |line| line["can_publish"] == false).await;
    bob.sdk.until_of("unpublished", &ann.id, "audio").await;
    let is_nothing = |guest: &Option<Guest>| guest.as_ref().is_some_and(|g| g.may == NOTHING && g.tracks.is_empty());
    until(&opened, &ann.request, "nothing", is_nothing).await;

    opened.rooms.permit(&room, ann.request.session, ALL).await.unwrap();
    ann.sdk.until("permitted", |line| line["can_publish"] == true).await;
    ann.sdk.publish("audio").await;
    bob.sdk.until_of("heard", &ann.id, "audio").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_publish_other_things_stays_hidden_if_they_were() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(recorder) = comes_in(&opened, &room, Role::Recorder, NOTHING).await else { return };
    opened.rooms.permit(&room, recorder.request.session, AUDIO).await.unwrap();
    let is_audio = |guest: &Option<Guest>| guest.as_ref().is_some_and(|guest| guest.may == AUDIO);
    until(&opened, &recorder.request, "audio", is_audio).await;
    let direct = RoomClient::with_api_key(&format!("http://127.0.0.1:{}", livekit.port), server::KEY, server::SECRET);
    let name = credentials(&opened, &recorder.request)["room"].as_str().unwrap().to_owned();
    let permission = direct.get_participant(&name, &recorder.id).await.unwrap().permission.unwrap();
    assert!(permission.hidden && permission.can_subscribe && permission.can_publish && permission.can_publish_data);
    #[allow(deprecated)]
    let is_recorder = permission.recorder;
    assert!(is_recorder && !permission.can_update_metadata);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_moved_is_in_the_other_room_and_comes_back() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(mut ann) = comes_in(&opened, &room, Role::Participant, ALL).await else { return };
    let mut bob = comes_in(&opened, &room, Role::Participant, ALL).await.unwrap();
    ann.sdk.until("joined", |line| line["who"] == bob.id.as_str()).await;
    let breakout = MediaRoom { room: RoomId::Breakout(Uuid::now_v7()), ..room.clone() };
    let moved = MediaRequest { room: breakout, ..bob.request.clone() };

    assert!(bob.sdk.connect(&credentials(&opened, &moved)).await.is_empty());
    ann.sdk.until("left", |line| line["who"] == bob.id.as_str()).await;
    until(&opened, &moved, "in the breakout room", Option::is_some).await;
    until(&opened, &bob.request, "not in the main room", Option::is_none).await;

    // Sent away there, and let in here at once: the new credentials are as good as the first.
    opened.rooms.remove(&moved.room, moved.session).await.unwrap();
    bob.sdk.until("disconnected", |line| line["reason"] == "PARTICIPANT_REMOVED").await;
    assert_eq!(bob.sdk.connect(&credentials(&opened, &bob.request)).await, [ann.id.as_str()]);
    ann.sdk.until("joined", |line| line["who"] == bob.id.as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_finds_nobody_when_the_room_is_another() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(mut ann) = comes_in(&opened, &room, Role::Participant, ALL).await else { return };
    let mut bob = comes_in(&opened, &room, Role::Participant, ALL).await.unwrap();
    let old = credentials(&opened, &bob.request);
    ann.sdk.until("joined", |line| line["who"] == bob.id.as_str()).await;
    opened.rooms.remove(&room, bob.request.session).await.unwrap();
    bob.sdk.until("disconnected", |line| line["reason"] == "PARTICIPANT_REMOVED").await;
    ann.sdk.until("left", |line| line["who"] == bob.id.as_str()).await;
    until(&opened, &bob.request, "gone", Option::is_none).await;

    let next = MediaRoom { generation: 1, ..room.clone() };
    opened.rooms.ensure(&next).await.unwrap();
    ann.sdk.connect(&credentials(&opened, &MediaRequest { room: next.clone(), ..ann.request.clone() })).await;
    opened.rooms.delete(&room).await.unwrap();
    // The old credentials may still open the old room's door; behind it nobody is.
    bob.sdk.tell(&serde_json::json!({ "do": "connect", "url": old["url"], "token": old["token"] }));
    let came = bob.sdk.until_any(&["connected", "refused"]).await;
    assert!(came["event"] == "refused" || came["there"] == serde_json::json!([]), "{came}");
    let there = opened.rooms.present(&next).await.unwrap().unwrap();
    assert_eq!(there.into_keys().collect::<Vec<_>>(), [ann.request.session]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_deleted_has_nobody_in_it() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (opened, room) = (opened_on(&livekit), a_room());
    let Some(mut ann) = comes_in(&opened, &room, Role::Participant, ALL).await else { return };
    opened.rooms.delete(&room).await.unwrap();
    ann.sdk.until("disconnected", |line| line["reason"] == "ROOM_DELETED").await;
    assert!(seen(&opened, &room).await.is_none());
}
