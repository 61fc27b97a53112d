//! People in the media, as the rooms' actors keep them: what they may publish, what was muted, who has
//! to go and who comes back; and credentials, which do not last.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, World, does, run, seconds, session};
use convoke_actors::meeting::ToMeeting;
use convoke_actors::ports::MediaNews;
use convoke_domain::shapes::{Media, Role, Source};
use convoke_domain::{CloseCode, RoomId};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Somebody who has joined and is connected to the media, where they publish everything.
async fn connected(world: &World, name: &str, role: Role) -> Socket {
    let socket = world.join(name, role).await;
    let id = session(&socket);
    world.rooms.enter(RoomId::Main, id);
    for source in [Source::Audio, Source::Video] {
        world.rooms.publish(id, source, &format!("TR_{name}_{}", source.as_str()));
    }
    socket
}

async fn changed(world: &World) {
    let rooms = [RoomId::Main].into();
    let news = ToMeeting::News(MediaNews { rooms, ..MediaNews::default() });
    world.meetings.find(&world.key).send(news).await.unwrap().unwrap();
}

fn publishes(world: &World, socket: &Socket) -> Media {
    world.rooms.with(session(socket), |guest| guest.publishes()).unwrap_or_default()
}

/// The media of somebody as the meeting shows it to whoever comes now.
async fn shown(world: &World, socket: &Socket) -> Value {
    let late = world.join("late", Role::Viewer).await;
    let snapshot = late.snapshot();
    let people = snapshot["participants"].as_array().unwrap();
    people.iter().find(|person| person["id"] == socket.id()).unwrap()["media"].clone()
}

#[test]
fn what_somebody_publishes_is_shown_though_they_never_said_it() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        changed(&world).await;
        seconds(10, [&mut ada]).await;
        assert_eq!(shown(&world, &ada).await, json!({ "audio": true, "video": true, "screen": false }));
        world.rooms.with(session(&ada), |guest| guest.tracks.clear());
        changed(&world).await;
        seconds(10, [&mut ada]).await;
        assert_eq!(shown(&world, &ada).await, json!({ "audio": false, "video": false, "screen": false }));
    });
}

/// Somebody turns a microphone on: they say so, and the track comes a moment later.
#[test]
fn what_is_on_its_way_does_not_flap() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = world.join("ada", Role::Host).await;
        world.rooms.enter(RoomId::Main, session(&ada));
        seconds(10, [&mut ada]).await;
        does(&mut ada, "participant.set_media", json!({ "audio": true, "video": false, "screen": false })).await;
        seconds(3, [&mut ada]).await;
        world.rooms.publish(session(&ada), Source::Audio, "TR_late");
        changed(&world).await;
        seconds(60, [&mut ada]).await;
        let states = ada.heard.iter().filter(|message| message["type"] == "media.states").count();
        assert_eq!(states, 1);
    });
}

#[test]
fn a_mute_is_carried_out_once_and_may_be_undone_by_whom_it_hit() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        let mut bob = connected(&world, "bob", Role::Participant).await;
        changed(&world).await;
        seconds(10, [&mut ada, &mut bob]).await;
        does(&mut ada, "participant.mute", json!({ "participant": bob.id(), "source": "audio" })).await;
        seconds(0, [&mut ada, &mut bob]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(publishes(&world, &bob), Media { audio: false, video: true, screen: false });
        assert!(publishes(&world, &ada).audio);
        // At once: a look that comes after the mute sees it as it is.
        let unmute = |guest: &mut convoke_actors::ports::Guest| {
            guest.tracks.iter_mut().for_each(|track| track.is_muted = false);
        };
        world.rooms.with(session(&bob), unmute);
        changed(&world).await;
        seconds(60, [&mut ada, &mut bob]).await;
        assert!(publishes(&world, &bob).audio, "it is theirs to turn on");
        assert_eq!(shown(&world, &bob).await["audio"], true);
        assert_eq!(world.rooms.count("mute", RoomId::Main), 1);
        // And again, though nothing but the number of the event is new.
        does(&mut ada, "participant.mute", json!({ "all": true, "source": "audio" })).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(!publishes(&world, &bob).audio && publishes(&world, &ada).audio);
    });
}

#[test]
fn whoever_is_muted_is_not_said_to_be_heard_because_they_were_just_now() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        let mut bob = connected(&world, "bob", Role::Participant).await;
        changed(&world).await;
        let is_heard = |message: &Value| message["data"]["states"][0]["participant"] == bob.id();
        while !ada.heard.iter().any(is_heard) {
            ada.listen(Duration::from_millis(100)).await;
        }
        does(&mut ada, "participant.mute", json!({ "participant": bob.id(), "source": "audio" })).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(!publishes(&world, &bob).audio);
        assert_eq!(shown(&world, &bob).await, json!({ "audio": false, "video": true, "screen": false }));
        seconds(20, [&mut ada, &mut bob]).await;
        assert!(!publishes(&world, &bob).audio);
    });
}

#[test]
fn what_is_forbidden_is_taken_down_and_stays_so_whatever_the_device_does() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        let mut bob = connected(&world, "bob", Role::Participant).await;
        seconds(1, [&mut ada, &mut bob]).await;
        changed(&world).await;
        seconds(1, [&mut ada, &mut bob]).await;
        let forbid = json!({ "participant": bob.id(), "source": "video", "allowed": false });
        does(&mut ada, "participant.permit", forbid).await;
        bob.event("media.granted").await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert_eq!(publishes(&world, &bob), Media { audio: true, video: false, screen: false });
        // Back with former credentials.
        world.rooms.enter(RoomId::Main, session(&bob));
        world.rooms.publish(session(&bob), Source::Video, "TR_again");
        changed(&world).await;
        seconds(2, [&mut ada, &mut bob]).await;
        assert!(!publishes(&world, &bob).video);
        let allow = json!({ "participant": bob.id(), "source": "video", "allowed": true });
        does(&mut ada, "participant.permit", allow).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(world.rooms.with(session(&bob), |guest| guest.may.video).unwrap());
    });
}

#[test]
fn whoever_was_removed_and_comes_back_with_old_credentials_is_removed_again() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        let mut bob = connected(&world, "bob", Role::Participant).await;
        let bobs = session(&bob);
        changed(&world).await;
        seconds(1, [&mut ada, &mut bob]).await;
        does(&mut ada, "participant.remove", json!({ "participant": bob.id() })).await;
        assert_eq!(bob.close().await, CloseCode::Removed);
        seconds(2, [&mut ada]).await;
        assert!(!world.rooms.people(RoomId::Main).contains(&bobs));
        for _ in 0..3 {
            seconds(120, [&mut ada]).await;
            world.rooms.enter(RoomId::Main, bobs);
            changed(&world).await;
            seconds(1, [&mut ada]).await;
            assert!(!world.rooms.people(RoomId::Main).contains(&bobs), "told of it: at once");
        }
        world.rooms.enter(RoomId::Main, bobs);
        seconds(34, [&mut ada]).await;
        assert!(!world.rooms.people(RoomId::Main).contains(&bobs), "and if nobody tells, by the listing");
    });
}

/// A recorder that does not answer, or is not there at all, is nothing to people.
#[test]
fn a_recorder_that_is_away_keeps_nobody_from_being_removed() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        world.recorder.is_away.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        for name in ["bob", "eve"] {
            let mut other = connected(&world, name, Role::Participant).await;
            let session = session(&other);
            changed(&world).await;
            seconds(60, [&mut ada, &mut other]).await;
            does(&mut ada, "participant.remove", json!({ "participant": other.id() })).await;
            seconds(2, [&mut ada]).await;
            assert!(!world.rooms.people(RoomId::Main).contains(&session), "at once");
            world.rooms.enter(RoomId::Main, session);
            seconds(34, [&mut ada]).await;
            assert!(!world.rooms.people(RoomId::Main).contains(&session), "by the listing");
            // And once more while something is to be recorded.
            does(&mut ada, "recording.start", json!({})).await;
        }
    });
}

#[test]
fn a_ban_takes_the_room_to_another_generation_and_everybody_along() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        let mut bob = connected(&world, "bob", Role::Participant).await;
        let mut eve = connected(&world, "eve", Role::Participant).await;
        seconds(1, [&mut ada, &mut bob, &mut eve]).await;
        assert_eq!(world.rooms.generations(RoomId::Main), [0]);
        does(&mut ada, "participant.remove", json!({ "participant": eve.id(), "ban": true })).await;
        for socket in [&mut ada, &mut bob] {
            socket.event("media.granted").await;
        }
        seconds(1, [&mut ada, &mut bob]).await;
        assert_eq!(world.rooms.generations(RoomId::Main), [1], "what the credentials were for is not there any more");
    });
}

#[test]
fn a_media_server_that_forgets_its_rooms_is_given_them_again() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        seconds(1, [&mut ada]).await;
        world.rooms.forget(None);
        seconds(34, [&mut ada]).await;
        assert!(world.rooms.exists(RoomId::Main));
    });
}

#[test]
fn who_is_there_is_asked_for_now_and_then_and_where_something_seems_to_have_changed() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = connected(&world, "ada", Role::Host).await;
        seconds(60, [&mut ada]).await;
        let so_far = world.rooms.count("present", RoomId::Main);
        seconds(300, [&mut ada]).await;
        let looks = world.rooms.count("present", RoomId::Main) - so_far;
        assert!((4..=5).contains(&looks), "now and then: {looks}");
        let so_far = world.rooms.count("present", RoomId::Main);
        for _ in 0..100 {
            changed(&world).await;
        }
        seconds(2, [&mut ada]).await;
        let looks = world.rooms.count("present", RoomId::Main) - so_far;
        assert!((1..=2).contains(&looks), "{looks}");
    });
}

#[test]
fn credentials_are_renewed_before_they_end_and_for_those_only_who_are_inside() {
    run(|world| async move {
        *world.media.lifetime.lock().unwrap() = Some(Duration::from_secs(600));
        let mut ada = world.join("ada", Role::Host).await;
        let granted =
            |socket: &Socket| socket.heard.iter().filter(|message| message["type"] == "media.granted").count();
        seconds(475, [&mut ada]).await;
        assert_eq!(granted(&ada), 0);
        seconds(10, [&mut ada]).await;
        assert_eq!(granted(&ada), 1);
        seconds(480, [&mut ada]).await;
        assert_eq!(granted(&ada), 2);
        // After a life of the meeting of which nobody knows when it gave what.
        let mut bob = world.join("bob", Role::Participant).await;
        does(&mut ada, "hand.raise", json!({})).await;
        world.media.panics.store(1, Ordering::SeqCst);
        does(&mut bob, "media.request", json!({})).await;
        let so_far = granted(&ada);
        seconds(61, [&mut ada, &mut bob]).await;
        assert_eq!(granted(&ada), so_far + 1);
        does(&mut ada, "participant.to_lobby", json!({ "participant": bob.id() })).await;
        bob.event("self.waiting").await;
        let so_far = granted(&bob);
        seconds(1_000, [&mut ada, &mut bob]).await;
        assert_eq!(granted(&bob), so_far);
    });
}
