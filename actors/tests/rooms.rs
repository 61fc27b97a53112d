//! The rooms' actors: what is wanted reaches the media, whatever the media and they themselves do,
//! and nobody waits for it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, does, run, seconds, session};
use convoke_actors::meeting::ToMeeting;
use convoke_actors::ports::MediaNews;
use convoke_domain::shapes::Role;
use convoke_domain::{RoomId, SessionId};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Opens breakout rooms with these people in them; answers the rooms once they are told of.
async fn open(host: &mut Socket, people: &[Vec<Value>], more: Value) -> Vec<RoomId> {
    let rooms: Vec<Value> = people.iter().map(|ids| json!({ "name": "a room", "participants": ids })).collect();
    let mut data = json!({ "rooms": rooms });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = host.command("breakout.open", data).await;
    assert_eq!(host.answer(id).await["ok"], true);
    let opened = host.event("breakout.opened").await;
    let ids = opened["data"]["rooms"].as_array().unwrap().iter();
    ids.map(|room| serde_json::from_value(room["id"].clone()).unwrap()).collect()
}

/// Who is missing in a room, as a host was told last.
fn missing(host: &Socket, room: RoomId) -> Option<Value> {
    let told = |m: &&Value| m["type"] == "room.arrivals" && m["data"]["room"] == room.to_string();
    host.heard.iter().rfind(told).map(|message| message["data"]["missing"].clone())
}

/// What has come until now.
async fn catch_up(host: &mut Socket) {
    let post = host.post("so far").await;
    host.answer(post).await;
}

#[test]
fn the_media_follows_rooms_that_open_merge_and_close_and_people_who_move() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let media = &world.rooms;
        assert!(media.exists(RoomId::Main));
        let bobs = session(&bob);
        media.enter(RoomId::Main, bobs);
        let rooms = open(&mut ada, &[vec![bob.id()], vec![]], json!({})).await;
        bob.event("self.entered").await;
        assert!(media.exists(rooms[0]) && media.exists(rooms[1]), "asked for before anybody was sent there");
        seconds(2, [&mut ada, &mut bob]).await;
        assert!(media.people(RoomId::Main).is_empty(), "whoever does not go by themselves is removed");
        media.enter(rooms[0], bobs);
        seconds(60, [&mut ada, &mut bob]).await;
        assert_eq!(media.people(rooms[0]), [bobs].into(), "and stays where they are wanted");

        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": bob.id(), "room": rooms[1] }] })).await;
        media.enter(rooms[1], bobs);
        does(&mut ada, "breakout.merge", json!({ "from": [rooms[1]], "into": rooms[0] })).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(media.exists(rooms[0]) && !media.exists(rooms[1]));
        does(&mut ada, "breakout.close", json!({ "now": true })).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(!media.exists(rooms[0]) && media.exists(RoomId::Main));
        does(&mut ada, "meeting.end", json!({})).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(!media.exists(RoomId::Main));
        let so_far = media.calls.lock().unwrap().len();
        seconds(600, [&mut ada, &mut bob]).await;
        assert_eq!(media.calls.lock().unwrap().len(), so_far, "what is gone is left alone");
    });
}

#[test]
fn a_chat_message_asks_nothing_of_the_rooms() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        seconds(1, [&mut ada]).await;
        let so_far = world.rooms.calls.lock().unwrap().len();
        for _ in 0..20 {
            catch_up(&mut ada).await;
        }
        assert_eq!(world.rooms.calls.lock().unwrap().len(), so_far);
    });
}

#[test]
fn nobody_waits_for_a_media_server_that_is_away() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        world.rooms.is_away.store(true, Ordering::SeqCst);
        let rooms = open(&mut ada, &[vec![bob.id()]], json!({})).await;
        bob.event("self.entered").await;
        seconds(300, [&mut ada, &mut bob]).await;
        catch_up(&mut ada).await;
        let tried = world.rooms.count("ensure", rooms[0]);
        assert!((10..60).contains(&tried), "with growing waits: {tried}");
        world.rooms.is_away.store(false, Ordering::SeqCst);
        seconds(11, [&mut ada, &mut bob]).await;
        assert!(world.rooms.exists(rooms[0]));
    });
}

#[test]
fn a_media_server_that_does_not_answer_is_asked_again() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        world.rooms.is_stuck.store(true, Ordering::SeqCst);
        let rooms = open(&mut ada, &[vec![]], json!({})).await;
        seconds(60, [&mut ada]).await;
        let tried = world.rooms.count("ensure", rooms[0]);
        assert!((2..8).contains(&tried), "one call at a time, and others meanwhile: {tried}");
        world.rooms.is_stuck.store(false, Ordering::SeqCst);
        seconds(21, [&mut ada]).await;
        assert!(world.rooms.exists(rooms[0]));
    });
}

#[test]
fn without_a_lease_nothing_is_asked_of_the_media() {
    run(|world| async move {
        let _ada = world.join("ada", Role::Host).await;
        seconds(1, []).await;
        let so_far = world.rooms.calls.lock().unwrap().len();
        world.life.end();
        seconds(300, []).await;
        assert_eq!(world.rooms.calls.lock().unwrap().len(), so_far);
    });
}

#[test]
fn a_meeting_that_is_put_away_takes_its_rooms_along_and_another_life_makes_them_anew() {
    run(|world| async move {
        let held = Arc::strong_count(&world.rooms);
        let mut ada = world.join("ada", Role::Host).await;
        let rooms = open(&mut ada, &[vec![], vec![]], json!({})).await;
        does(&mut ada, "breakout.close", json!({ "room": rooms[1], "now": true })).await;
        ada.hang_up().await;
        seconds(100, []).await;
        assert_eq!(world.meetings.count(), 0);
        assert_eq!(Arc::strong_count(&world.rooms), held, "no actor is left behind");
        let so_far = world.rooms.calls.lock().unwrap().len();
        seconds(100, []).await;
        assert_eq!(world.rooms.calls.lock().unwrap().len(), so_far);
        world.rooms.forget(None);
        let mut bob = world.join("bob", Role::Participant).await;
        seconds(1, [&mut bob]).await;
        assert!(world.rooms.exists(RoomId::Main) && world.rooms.exists(rooms[0]));
        assert!(!world.rooms.exists(rooms[1]));
    });
}

#[test]
fn after_a_crash_of_the_meeting_each_room_has_one_actor_and_what_was_closed_is_put_away_again() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let rooms = open(&mut ada, &[vec![], vec![]], json!({})).await;
        does(&mut ada, "breakout.close", json!({ "room": rooms[1], "now": true })).await;
        // Who was just shown another view is only replayed what comes behind it.
        does(&mut ada, "hand.raise", json!({})).await;
        seconds(1, [&mut ada]).await;
        // As an owner leaves it behind that dies before it has deleted what it closed.
        world.rooms.enter(rooms[1], SessionId(Uuid::now_v7()));
        world.media.panics.store(1, Ordering::SeqCst);
        does(&mut ada, "media.request", json!({})).await;
        seconds(1, [&mut ada]).await;
        assert!(!world.rooms.exists(rooms[1]));
        let so_far = world.rooms.count("glance", RoomId::Main);
        seconds(300, [&mut ada]).await;
        let more = world.rooms.count("glance", RoomId::Main) - so_far;
        assert!((18..=20).contains(&more), "of two rooms: {more}");
    });
}

#[test]
fn a_room_that_crashes_harms_no_other_and_is_put_right_when_it_can_be() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let rooms = open(&mut ada, &[vec![bob.id()], vec![]], json!({})).await;
        seconds(1, [&mut ada, &mut bob]).await;
        let stranger = SessionId(Uuid::now_v7());
        world.rooms.enter(rooms[0], stranger);
        *world.rooms.cursed.lock().unwrap() = Some((rooms[0], 4));
        seconds(60, [&mut ada, &mut bob]).await;
        assert_eq!(world.rooms.cursed.lock().unwrap().unwrap().1, 0);
        assert!(world.rooms.people(rooms[0]).is_empty(), "a stranger is removed by the room's next life");
        assert_eq!(world.rooms.count("ensure", rooms[1]), 1);
        catch_up(&mut ada).await;
    });
}

#[test]
fn a_room_that_keeps_crashing_stays_down_until_it_changes_and_the_meeting_goes_on() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let rooms = open(&mut ada, &[vec![], vec![]], json!({})).await;
        seconds(1, [&mut ada, &mut bob]).await;
        *world.rooms.cursed.lock().unwrap() = Some((rooms[0], 100));
        let news = MediaNews { rooms: [rooms[0]].into(), ..MediaNews::default() };
        world.meetings.find(&world.key).send(ToMeeting::News(news)).await.unwrap().unwrap();
        seconds(120, [&mut ada, &mut bob]).await;
        assert_eq!(world.rooms.cursed.lock().unwrap().unwrap().1, 94, "five restarts, and the last crash");
        catch_up(&mut ada).await;
        // Changes of other rooms are carried out meanwhile, and do not wake it.
        let adas = ada.id();
        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": adas, "room": rooms[1] }] })).await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert_eq!(world.rooms.cursed.lock().unwrap().unwrap().1, 94);
        world.rooms.forget(Some(rooms[0]));
        *world.rooms.cursed.lock().unwrap() = None;
        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": bob.id(), "room": rooms[0] }] })).await;
        bob.event("self.entered").await;
        seconds(1, [&mut ada, &mut bob]).await;
        assert!(world.rooms.exists(rooms[0]));
        seconds(20, [&mut ada, &mut bob]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), None, "the room was told again who came");
    });
}

#[test]
fn a_room_that_comes_up_again_is_told_who_was_on_the_way_before() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let eve = world.join("eve", Role::Participant).await;
        let (bobs, eves) = (bob.id(), eve.id());
        eve.hang_up().await;
        ada.event("participant.disconnected").await;
        let rooms = open(&mut ada, &[vec![bobs.clone(), eves.clone()]], json!({})).await;
        seconds(1, [&mut ada, &mut bob]).await;
        *world.rooms.cursed.lock().unwrap() = Some((rooms[0], 6));
        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": bobs, "room": "main" }] })).await;
        seconds(3, [&mut ada, &mut bob]).await;
        assert_eq!(world.rooms.cursed.lock().unwrap().unwrap().1, 0, "it is down");
        does(&mut ada, "breakout.move", json!({ "moves": [{ "participant": bobs, "room": rooms[0] }] })).await;
        seconds(16, [&mut ada, &mut bob]).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([eves])));
    });
}

#[test]
fn whoever_was_moved_and_does_not_come_is_shown_to_those_who_lead_until_they_do() {
    let counted = Counted::default();
    let _counting = metrics::set_default_local_recorder(&counted);
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let eve = world.join("eve", Role::Participant).await;
        let eves = eve.id();
        eve.hang_up().await;
        ada.event("participant.disconnected").await;
        let rooms = open(&mut ada, &[vec![bob.id(), eves.clone()]], json!({})).await;
        seconds(14, [&mut ada, &mut bob]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), None);
        seconds(2, [&mut ada, &mut bob]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([eves])));
        let mut eve = world.resume(&eve).await;
        assert_eq!(eve.snapshot()["view"]["room"], json!(rooms[0]));
        seconds(1, [&mut ada, &mut bob, &mut eve]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([])));
        let told = |socket: &Socket| socket.heard.iter().any(|m| m["type"] == "room.arrivals");
        assert!(!told(&bob) && !told(&eve));
    });
    assert_eq!(counted.of("convoke_migrations_total", "missing"), 1);
    assert_eq!(counted.of("convoke_migrations_total", "arrived"), 2);
}

#[test]
fn somebody_missing_who_leaves_is_missed_no_longer() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let bob = world.join("bob", Role::Participant).await;
        bob.hang_up().await;
        ada.event("participant.disconnected").await;
        let rooms = open(&mut ada, &[vec![bob.id()]], json!({})).await;
        ada.event("room.arrivals").await;
        ada.event("participant.left").await;
        seconds(1, [&mut ada]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([])));
    });
}

#[test]
fn where_the_media_says_who_is_there_its_word_counts_and_not_the_socket() {
    run(|world| async move {
        world.rooms.reports_presence.store(true, Ordering::SeqCst);
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let mut eve = world.join("eve", Role::Participant).await;
        let rooms = open(&mut ada, &[vec![bob.id(), eve.id()]], json!({})).await;
        world.rooms.enter(rooms[0], session(&eve));
        seconds(16, [&mut ada, &mut bob, &mut eve]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([bob.id()])));
        // Connected here and not there: perhaps the credentials were of no use.
        bob.event("media.granted").await;
        world.rooms.enter(rooms[0], session(&bob));
        seconds(31, [&mut ada, &mut bob, &mut eve]).await;
        catch_up(&mut ada).await;
        assert_eq!(missing(&ada, rooms[0]), Some(json!([])));
    });
}

/// Counters, by name and outcome.
#[derive(Default)]
struct Counted(Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>);

impl Counted {
    fn of(&self, name: &str, outcome: &str) -> u64 {
        let key = (name.to_owned(), outcome.to_owned());
        self.0.lock().unwrap().get(&key).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let outcome = key.labels().find(|label| label.key() == "outcome").map_or("", |label| label.value());
        let key = (key.name().to_owned(), outcome.to_owned());
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(key).or_default()))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
