//! Recordings, as the rooms' actors bring them about: begun, followed, ended and told, whatever the
//! recorder, the meeting's actor and the answers between them do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, World, does, run, seconds};
use convoke_actors::meeting::ToMeeting;
use convoke_actors::ports::{MediaNews, MeetingKey};
use convoke_domain::RoomId;
use convoke_domain::recording::TakeState::{self, Active, Complete, Ending, Failed, Starting};
use convoke_domain::shapes::{Role, Settings, Source};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// The statuses of all recordings as they were told, in order.
fn told(socket: &Socket) -> Vec<&str> {
    let changed = socket.heard.iter().filter(|message| message["type"] == "recording.changed");
    changed.filter_map(|message| message["data"]["recording"]["status"].as_str()).collect()
}

async fn status(socket: &mut Socket, status: &str) -> Value {
    let is =
        |message: &Value| message["type"] == "recording.changed" && message["data"]["recording"]["status"] == status;
    socket.until(status, is).await["data"]["recording"].clone()
}

/// A meeting in which Ada has asked for a recording that runs.
async fn recorded(world: &World) -> Socket {
    let mut ada = world.join("ada", Role::Host).await;
    does(&mut ada, "recording.start", json!({})).await;
    status(&mut ada, "pending").await;
    seconds(1, [&mut ada]).await;
    world.recorder.all(Active);
    status(&mut ada, "recording").await;
    ada
}

#[test]
fn a_recording_is_shown_as_what_the_recorder_does_from_the_beginning_to_the_end() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        does(&mut ada, "recording.start", json!({})).await;
        seconds(20, [&mut ada]).await;
        assert_eq!(told(&ada), ["pending"], "the recorder has it, and has not begun");
        assert_eq!(world.recorder.states(), [(RoomId::Main, Starting)]);
        world.recorder.all(Active);
        let recording = status(&mut ada, "recording").await;
        assert!(recording["started_at"].is_u64());
        does(&mut ada, "recording.stop", json!({ "recording": recording["id"] })).await;
        seconds(5, [&mut ada]).await;
        assert_eq!(world.recorder.states(), [(RoomId::Main, Ending)]);
        world.recorder.all(Complete);
        status(&mut ada, "completed").await;
        assert_eq!(told(&ada), ["pending", "recording", "stopping", "processing", "completed"]);
        let begun = world.recorder.calls.lock().unwrap().iter().filter(|call| *call == "begin").count();
        assert_eq!(begun, 1);
    });
}

#[test]
fn rooms_are_recorded_while_somebody_is_there_and_a_while_longer() {
    run(|world| async move {
        let key = world.another(Settings { auto_record: true, ..Settings::default() }).await;
        let mut ada = world.join_in(&key, "ada", Role::Host).await;
        let mut bob = world.join_in(&key, "bob", Role::Participant).await;
        let data = json!({ "rooms": [{ "name": "a", "participants": [bob.id()] }, { "name": "b" }], "record": true });
        does(&mut ada, "breakout.open", data).await;
        let opened = ada.event("breakout.opened").await;
        let rooms: Vec<RoomId> =
            (0..2).map(|at| serde_json::from_value(opened["data"]["rooms"][at]["id"].clone()).unwrap()).collect();
        seconds(1, [&mut ada, &mut bob]).await;
        assert_eq!(world.recorder.alive(), [RoomId::Main, rooms[0]].into());
        world.recorder.all(Active);
        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": bob.id(), "room": rooms[1] }] })).await;
        seconds(29, [&mut ada, &mut bob]).await;
        assert_eq!(world.recorder.alive(), [RoomId::Main, rooms[0], rooms[1]].into());
        seconds(5, [&mut ada, &mut bob]).await;
        assert_eq!(world.recorder.alive(), [RoomId::Main, rooms[1]].into());
        does(&mut ada, "meeting.update", json!({ "settings": { "auto_record": false } })).await;
        seconds(5, [&mut ada, &mut bob]).await;
        assert_eq!(world.recorder.alive(), [rooms[1]].into());
        does(&mut ada, "breakout.close", json!({ "now": true })).await;
        seconds(5, [&mut ada, &mut bob]).await;
        assert_eq!(world.recorder.alive(), [].into());
    });
}

/// A light that nobody can answer for is worse than none.
#[test]
fn a_recorder_that_does_not_begin_leaves_no_light_on() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        world.recorder.is_away.store(true, Ordering::SeqCst);
        does(&mut ada, "recording.start", json!({})).await;
        status(&mut ada, "failed").await;
        assert!(!told(&ada).contains(&"recording"));
        world.recorder.is_away.store(false, Ordering::SeqCst);
        does(&mut ada, "recording.start", json!({})).await;
        seconds(15, [&mut ada]).await;
        world.recorder.all(Active);
        status(&mut ada, "recording").await;
    });
}

#[test]
fn one_that_begins_for_ever_fails_and_is_ended() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        does(&mut ada, "recording.start", json!({})).await;
        let failed = status(&mut ada, "failed").await;
        assert!(failed["error"].as_str().unwrap().contains("did not begin"), "{failed}");
        seconds(90, [&mut ada]).await;
        assert_eq!(world.recorder.states(), [(RoomId::Main, Ending)], "it would go on for nobody");
    });
}

#[test]
fn a_take_whose_beginning_nobody_heard_of_is_found_and_not_begun_twice() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        world.recorder.loses_answers.store(true, Ordering::SeqCst);
        does(&mut ada, "recording.start", json!({})).await;
        seconds(8, [&mut ada]).await;
        world.recorder.all(Active);
        status(&mut ada, "recording").await;
        seconds(120, [&mut ada]).await;
        assert_eq!(world.recorder.states(), [(RoomId::Main, Active)]);
    });
}

#[test]
fn a_recording_is_followed_beyond_the_end_of_its_meeting() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        does(&mut ada, "meeting.end", json!({})).await;
        seconds(10, []).await;
        assert_eq!(world.recorder.states(), [(RoomId::Main, Ending)]);
        assert!(!world.rooms.exists(RoomId::Main));
        seconds(600, []).await;
        assert_eq!(world.meetings.count(), 1, "somebody has to hear of the file");
        world.recorder.all(Complete);
        seconds(120, []).await;
        assert_eq!(world.meetings.count(), 0);
        assert_eq!(statuses(&world).await.last().map(String::as_str), Some("completed"));
    });
}

/// The statuses that the log has, in order.
async fn statuses(world: &World) -> Vec<String> {
    let store = world.meetings.env().store.clone();
    let rows = store.events(&world.key, convoke_domain::Seq(0), 10_000).await.unwrap();
    let status = |data: &str| {
        let data: Value = serde_json::from_str(data).unwrap();
        data["recording"]["status"].as_str().unwrap().to_owned()
    };
    rows.iter().filter(|row| row.kind == "recording.changed").map(|row| status(&row.data)).collect()
}

#[test]
fn one_that_ended_by_itself_is_over_and_an_automatic_one_begins_again() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        world.recorder.all(Failed);
        status(&mut ada, "failed").await;
        seconds(120, [&mut ada]).await;
        assert_eq!(world.recorder.states().len(), 1, "somebody asked for it once");
        does(&mut ada, "meeting.update", json!({ "settings": { "auto_record": true } })).await;
        seconds(2, [&mut ada]).await;
        world.recorder.all(Failed);
        seconds(10, [&mut ada]).await;
        assert_eq!(world.recorder.states().len(), 2);
        seconds(31, [&mut ada]).await;
        assert_eq!(world.recorder.states().len(), 3, "after a wait");
    });
}

#[test]
fn nobody_is_shown_as_recorded_while_the_recorder_is_away() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        world.recorder.is_away.store(true, Ordering::SeqCst);
        seconds(60, [&mut ada]).await;
        let (id, posted) = (ada.post("still here").await, told(&ada).join(" "));
        assert_eq!(ada.answer(id).await["ok"], true);
        assert_eq!(posted, "pending recording pending");
        world.recorder.is_away.store(false, Ordering::SeqCst);
        seconds(15, [&mut ada]).await;
        assert_eq!(told(&ada), ["pending", "recording", "pending", "recording"], "it was recorded all the time");

        world.recorder.is_away.store(true, Ordering::SeqCst);
        seconds(60, [&mut ada]).await;
        world.recorder.takes.lock().unwrap().clear();
        world.recorder.is_away.store(false, Ordering::SeqCst);
        let failed = status(&mut ada, "failed").await;
        assert!(failed["error"].as_str().unwrap().contains("does not know"), "{failed}");
        assert_eq!(told(&ada).iter().filter(|status| **status == "recording").count(), 2);
    });
}

#[test]
fn another_life_of_the_meeting_goes_on_with_what_runs() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        // Who was just shown another view is only replayed what comes behind it.
        does(&mut ada, "hand.raise", json!({})).await;
        world.media.panics.store(1, Ordering::SeqCst);
        does(&mut ada, "media.request", json!({})).await;
        seconds(120, [&mut ada]).await;
        assert_eq!(world.recorder.states(), [(RoomId::Main, Active)]);
        assert_eq!(told(&ada), ["pending", "recording"]);
    });
}

async fn news(world: &World, key: &MeetingKey, news: MediaNews) {
    world.meetings.find(key).send(ToMeeting::News(news)).await.unwrap().unwrap();
}

#[test]
fn the_word_of_the_media_server_is_faster_than_looking_and_may_come_in_any_order() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        let (_, recording, mut take) = world.recorder.takes.lock().unwrap()[0].clone();
        let calls = || world.recorder.calls.lock().unwrap().len();
        seconds(1, [&mut ada]).await;
        let so_far = calls();
        for state in [Complete, Ending, Starting, Complete, Failed, Active] {
            take.state = state;
            let takes = vec![(recording, take.clone())];
            news(&world, &world.key, MediaNews { takes, ..MediaNews::default() }).await;
            if told(&ada).len() == 2 {
                status(&mut ada, "completed").await;
                assert_eq!(calls(), so_far, "nobody had to look");
            }
        }
        seconds(5, [&mut ada]).await;
        assert_eq!(told(&ada), ["pending", "recording", "completed"], "each once");
    });
}

/// What was begun for a recording that nobody knows any more runs for nobody.
#[test]
fn a_take_without_a_recording_is_ended() {
    run(|world| async move {
        let mut ada = recorded(&world).await;
        let mut stray = world.recorder.takes.lock().unwrap()[0].clone();
        stray.1 = convoke_domain::RecordingId(uuid::Uuid::from_u128(9));
        stray.2.id = "EG_stray".into();
        stray.2.state = Active;
        world.recorder.takes.lock().unwrap().push(stray);
        seconds(120, [&mut ada]).await;
        let states: Vec<TakeState> = world.recorder.states().into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, [Active, Ending]);
    });
}

#[test]
fn each_track_is_a_take_of_its_own_and_those_that_come_later_too() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = world.join("ada", Role::Host).await;
        let session = common::session(&ada);
        world.rooms.enter(RoomId::Main, session);
        world.rooms.publish(session, Source::Audio, "TR_a");
        world.rooms.publish(session, Source::Video, "TR_v");
        does(&mut ada, "recording.start", json!({ "kind": "tracks" })).await;
        let rooms = [RoomId::Main].into();
        news(&world, &world.key, MediaNews { rooms, ..MediaNews::default() }).await;
        seconds(10, [&mut ada]).await;
        assert_eq!(world.recorder.states().len(), 2);
        world.rooms.publish(session, Source::Screen, "TR_s");
        let rooms = [RoomId::Main].into();
        news(&world, &world.key, MediaNews { rooms, ..MediaNews::default() }).await;
        seconds(10, [&mut ada]).await;
        let parts: Vec<String> =
            world.recorder.takes.lock().unwrap().iter().map(|(_, _, take)| take.part.clone()).collect();
        assert!(parts[2].ends_with("_screen_TR_s"), "{parts:?}");
    });
}
