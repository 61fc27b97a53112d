//! What moves and merges leave in the read models: who was in which room, what was said where, and
//! who may read it afterwards.

use super::key;
use super::questions::texts;
use super::read_models::{Story, dump, each, follow, projections};
use convoke::projections::{Attendance, Place, Projections, Reader};
use convoke_actors::ports::MeetingKey;
use convoke_domain::breakout::{OpenRooms, PlannedRoom};
use convoke_domain::shapes::Role;
use convoke_domain::{Command, Input, Limits, Now, ParticipantId, RoomId, Seq, SessionId, UserId, turn};
use serde_json::{Value, json};
use uuid::Uuid;

fn rooms(story: &Story) -> Vec<RoomId> {
    story.state.set_rooms().map(|room| room.id).collect()
}

fn post(story: &mut Story, who: SessionId, text: &str) {
    story.say(who, "chat.post", json!({ "to": "room", "text": text }));
}

fn relocate(story: &mut Story, by: SessionId, moves: &[(ParticipantId, RoomId)]) {
    let moves: Vec<Value> = moves.iter().map(|(who, room)| json!({ "participant": who, "room": room })).collect();
    story.say(by, "breakout.move", json!({ "moves": moves }));
}

async fn stays(asked: &Projections, key: &MeetingKey, limit: usize) -> Vec<Attendance> {
    let (mut all, mut place) = (Vec::new(), Place::START);
    loop {
        let page = asked.attendances(key, place, limit).await.unwrap();
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        place = next.parse().unwrap();
    }
}

/// A set of three rooms with one person in each, hosts in main.
struct Cast {
    story: Story,
    ada: SessionId,
    ada_id: ParticipantId,
    people: Vec<(SessionId, ParticipantId)>,
    rooms: Vec<RoomId>,
}

fn cast(key: &MeetingKey) -> Cast {
    let mut story = Story::begin(key);
    let (ada, ada_id) = story.join("ada", Role::Host);
    let people: Vec<_> = ["bob", "eve", "dan"].iter().map(|name| story.join(name, Role::Participant)).collect();
    let listed: Vec<Value> =
        people.iter().map(|(_, id)| json!({ "name": format!("Room of {id}"), "participants": [id] })).collect();
    story.say(ada, "breakout.open", json!({ "rooms": listed, "duration_s": 600, "grace_s": 5 }));
    let rooms = rooms(&story);
    Cast { story, ada, ada_id, people, rooms }
}

#[tokio::test]
async fn a_thousand_people_move_at_once_and_attendance_tells_each_of_them() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        for number in 0..999 {
            story.join(&format!("user {number}"), Role::Participant);
        }
        story.join("ear", Role::Agent);
        let listed: Vec<Value> = (0..100).map(|number| json!({ "name": format!("Room {number}") })).collect();
        story.say(ada, "breakout.open", json!({ "rooms": listed, "assign": "automatic" }));
        let opened_at = story.state.at;
        story.say(ada, "breakout.close", json!({ "now": true }));
        let closed_at = story.state.at;
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 500, std::slice::from_ref(&asked)).await;
        let all = stays(&asked, &key, 200).await;
        assert_eq!(all.len(), 1_001 + 999 + 999, "{name}");
        for limit in [1, 7, 999] {
            assert_eq!(stays(&asked, &key, limit).await, all, "pages of {limit} hold all of it, in {name}");
        }
        let apart: Vec<_> = all.iter().filter(|stay| stay.room != "main").collect();
        assert_eq!(apart.len(), 999, "{name}");
        for stay in &apart {
            assert_eq!((stay.joined_at, stay.left_at), (opened_at, Some(closed_at)), "{name}");
            assert_eq!(stay.duration_ms, Some(closed_at - opened_at), "{name}");
            assert!(stay.name.starts_with("user ") && stay.user.as_deref() == Some(&stay.name), "{name}");
            assert_eq!(stay.role, "participant", "{name}");
        }
        let open = all.iter().filter(|stay| stay.left_at.is_none());
        assert!(open.clone().all(|stay| stay.room == "main"), "{name}");
        assert_eq!(open.count(), 1_001, "one present stay each, in {name}");
        assert_eq!(asked.presence(&key).await.unwrap().len(), 1_000, "services are not shown, in {name}");
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_stay_keeps_its_room_its_name_and_its_length() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, people, rooms, .. } = cast(&key);
        let (bob, bob_id) = people[0];
        story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
        relocate(&mut story, ada, &[(bob_id, rooms[1])]);
        story.say(ada, "participant.set_role", json!({ "participant": bob_id, "role": "cohost" }));
        story.say(bob, "leave", json!({}));
        story.pass(10_000);
        // Back in the room that they left, by the door and not by a move.
        story.join("bob", Role::Participant);
        story.say(ada, "meeting.end", json!({}));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 2, std::slice::from_ref(&asked)).await;
        let told = asked.attendances_of(&key, bob_id).await.unwrap();
        let shown: Vec<_> = told.iter().map(|s| (s.name.as_str(), s.role.as_str(), s.room.clone())).collect();
        let expected = [
            ("bob", "participant", RoomId::Main),
            ("Robert", "participant", rooms[0]),
            ("Robert", "cohost", rooms[1]),
            ("Robert", "cohost", rooms[1]),
        ];
        assert_eq!(shown, expected.map(|(name, role, room)| (name, role, room.to_string())), "{name}");
        assert_eq!(told[0].left_at, Some(told[1].joined_at), "nobody is ever between two rooms, {name}");
        assert_eq!(told[1].left_at, Some(told[2].joined_at), "{name}");
        assert!(told.iter().all(|stay| stay.left_at.is_some()), "{name}");
        let present = asked.breakout(&key).await.unwrap();
        assert!(present.breakout.is_none() && present.rooms.iter().all(|room| room.state == "closed"), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_was_said_in_a_room_is_read_by_those_who_were_there_and_by_hosts() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, ada_id, people, rooms } = cast(&key);
        let [(bob, bob_id), (eve, eve_id), (dan, dan_id)] = people[..] else { panic!() };
        post(&mut story, bob, "in one");
        post(&mut story, eve, "in two");
        story.say(eve, "chat.post", json!({ "to": ada_id, "text": "to ada" }));
        story.say(eve, "chat.post", json!({ "to": bob_id, "text": "to bob" }));
        post(&mut story, ada, "in main");
        relocate(&mut story, ada, &[(dan_id, rooms[0])]);
        story.say(ada, "breakout.close", json!({ "now": true }));
        post(&mut story, dan, "again in main");
        // A cohost who came late was in none of the rooms.
        let (_, late_id) = story.join("late", Role::Cohost);
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 3, std::slice::from_ref(&asked)).await;
        let read = async |id| texts(&asked, &key, asked.reader(&key, id).await.unwrap().unwrap()).await;
        assert_eq!(read(bob_id).await, ["in one", "to bob", "in main", "again in main"], "{name}");
        assert_eq!(read(eve_id).await, ["in two", "to ada", "to bob", "in main", "again in main"], "{name}");
        assert_eq!(read(dan_id).await, ["in one", "in main", "again in main"], "{name}");
        assert_eq!(read(ada_id).await, ["in one", "in two", "to ada", "in main", "again in main"], "{name}");
        assert_eq!(read(late_id).await, ["in one", "in two", "in main", "again in main"], "{name}");
        assert_eq!(texts(&asked, &key, Reader::Tenant).await.len(), 6, "{name}");
        assert!(asked.reader(&key, ParticipantId(Uuid::now_v7())).await.unwrap().is_none(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_no_host_any_more_does_not_read_as_one() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, ada_id, people, .. } = cast(&key);
        let [(bob, bob_id), (eve, eve_id), (dan, dan_id)] = people[..] else { panic!() };
        post(&mut story, bob, "in one");
        let ways = ["gone", "demoted", "removed", "sent to the lobby"].map(|way| story.join(way, Role::Cohost));
        let [(gone, gone_id), (_, demoted_id), (_, removed_id), (_, sent_id)] = ways;
        story.say(gone, "leave", json!({}));
        story.say(ada, "participant.set_role", json!({ "participant": demoted_id, "role": "participant" }));
        story.say(ada, "participant.remove", json!({ "participant": removed_id }));
        story.say(ada, "participant.to_lobby", json!({ "participant": sent_id }));
        // The only host goes, somebody stands in and goes too, and the next one stands in.
        story.say(ada, "leave", json!({}));
        story.pass(60_000);
        story.play(Input::Tick);
        let is_host = |story: &Story, id| story.state.member(id).unwrap().participant.role == Role::Host;
        let stand_in = people.iter().find(|(_, id)| is_host(&story, *id));
        let (first, first_id) = *stand_in.unwrap();
        story.say(first, "leave", json!({}));
        story.pass(60_000);
        story.play(Input::Tick);
        let second_id = *[bob_id, eve_id, dan_id].iter().find(|id| is_host(&story, **id)).unwrap();
        let _ = (eve, dan);
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 3, std::slice::from_ref(&asked)).await;
        for (who, leads) in [
            (ada_id, Some(true)),
            (gone_id, Some(true)),
            (demoted_id, Some(false)),
            // Whoever was sent away reads nothing until they are let in.
            (removed_id, None),
            (sent_id, None),
            // Whoever stands in reads as what they were.
            (first_id, Some(false)),
            (second_id, Some(false)),
        ] {
            let reader = asked.reader(&key, who).await.unwrap();
            let is_lead = reader.map(|reader| matches!(reader, Reader::Lead(_)));
            assert_eq!(is_lead, leads, "{who:?} in {name}");
        }
    })
    .await;
}

#[tokio::test]
async fn merged_rooms_keep_every_word_its_origin_and_its_readers() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, people, rooms, .. } = cast(&key);
        let [(bob, bob_id), (eve, eve_id), (dan, dan_id)] = people[..] else { panic!() };
        post(&mut story, bob, "first, in one");
        post(&mut story, eve, "second, in two");
        post(&mut story, bob, "third, in one");
        story.say(bob, "chat.post", json!({ "to": "everyone", "text": "fourth, to all" }));
        post(&mut story, dan, "fifth, in three");
        // Somebody passes through the second room between the merges, and is in main afterwards.
        story.say(ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] }));
        let (_, fay_id) = story.join("fay", Role::Participant);
        relocate(&mut story, ada, &[(fay_id, rooms[1])]);
        relocate(&mut story, ada, &[(fay_id, RoomId::Main)]);
        post(&mut story, bob, "sixth, in two");
        let edited = story.last_said();
        story.say(ada, "breakout.merge", json!({ "from": [rooms[1]], "into": rooms[2] }));
        story.say(bob, "chat.edit", json!({ "message": edited, "text": "sixth, in two!" }));
        let (_, gil_id) = story.join("gil", Role::Participant);
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 2, std::slice::from_ref(&asked)).await;

        let page = asked.messages(&key, Some(&rooms[2].to_string()), Reader::Tenant, 0, 100).await.unwrap();
        let shown: Vec<Value> = page.items.iter().map(|(_, data)| serde_json::from_str(data.get()).unwrap()).collect();
        let told: Vec<_> = shown.iter().map(|m| (m["text"].as_str().unwrap(), m.get("origin").cloned())).collect();
        let from = |number: usize| Some(json!(rooms[number]));
        let expected = [
            ("first, in one", from(0)),
            ("second, in two", from(1)),
            ("third, in one", from(0)),
            ("fourth, to all", from(0)),
            ("fifth, in three", None),
            ("sixth, in two!", from(1)),
        ];
        assert_eq!(told, expected, "{name}");
        assert!(shown.iter().all(|message| message["room"] == json!(rooms[2])), "{name}: {shown:#?}");
        assert!(shown.is_sorted_by_key(|message| message["at"].as_u64()), "{name}");
        let emptied = asked.messages(&key, Some(&rooms[0].to_string()), Reader::Tenant, 0, 100).await.unwrap();
        assert!(emptied.items.is_empty(), "{name}");

        let read = async |id| texts(&asked, &key, Reader::Participant(id)).await.len();
        for id in [bob_id, eve_id, dan_id] {
            assert_eq!(read(id).await, 6, "{name}");
        }
        // The fifth was said in a room that fay was never in; gil was in none.
        assert_eq!((read(fay_id).await, read(gil_id).await), (5, 1), "{name}");
        let own = asked.messages_by(&key, bob_id).await.unwrap();
        assert!(own[0].get().contains("origin"), "{name}");

        let present = asked.breakout(&key).await.unwrap();
        let states: Vec<_> = present.rooms.iter().map(|room| room.state.as_str()).collect();
        assert_eq!(states, ["closed", "closed", "open"], "{name}");
        assert_eq!(present.breakout.unwrap()["state"], "open", "{name}");
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn the_set_is_shown_as_it_is() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, people, rooms, .. } = cast(&key);
        let asked = projections(&opened);
        let ends_at = story.state.breakout.as_ref().unwrap().shown.ends_at;
        story.say(ada, "breakout.add", json!({ "name": "Fourth" }));
        story.say(ada, "breakout.rename", json!({ "room": rooms[0], "name": "First" }));
        let first = story.rows.len();
        story.say(ada, "breakout.close", json!({ "room": rooms[0], "now": true }));
        follow(&opened, &key, &story.rows[..first], 50, std::slice::from_ref(&asked)).await;
        let present = asked.breakout(&key).await.unwrap();
        let told: Vec<_> = present.rooms.iter().map(|room| (room.name.as_str(), room.state.as_str())).collect();
        assert_eq!((told[0], told[3]), (("First", "open"), ("Fourth", "open")), "{name}");
        assert!(present.rooms.iter().all(|room| room.ends_at == ends_at), "{name}");
        assert_eq!(present.breakout.unwrap()["ends_at"], json!(ends_at), "{name}");
        let there = asked.presence(&key).await.unwrap();
        let of = |id| there.iter().find(|one| one.participant == id).unwrap().room.clone();
        assert_eq!(of(people[2].1), rooms[2].to_string(), "{name}");
        assert_eq!(there.len(), 4, "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_is_a_message_and_can_be_forgotten_like_any_other() {
    each(async |name, opened| {
        let key = key();
        let Cast { mut story, ada, people, .. } = cast(&key);
        let said = |story: &Story| {
            let row = story.rows.iter().rev().find(|row| row.kind == "breakout.broadcast").unwrap();
            serde_json::from_str::<Value>(&row.data).unwrap()["message"]["id"].clone()
        };
        story.operator(Command::Broadcast { text: "from the backend".into() });
        story.say(ada, "breakout.broadcast", json!({ "text": "a slip of the tongue" }));
        let deleted = said(&story);
        story.say(ada, "breakout.broadcast", json!({ "text": "words of ada" }));
        story.say(ada, "chat.delete", json!({ "message": deleted }));
        let asked = projections(&opened);
        let before = story.rows.len();
        story.play(Input::Erase(UserId("ada".into())));
        follow(&opened, &key, &story.rows, before - 1, std::slice::from_ref(&asked)).await;
        let read = texts(&asked, &key, Reader::Participant(people[0].1)).await;
        assert_eq!(read, ["from the backend"], "{name}");
        let log = opened.store.events(&key, Seq(0), 1_000).await.unwrap();
        for gone in ["slip of the tongue", "words of ada"] {
            assert!(!log.iter().any(|row| row.data.contains(gone)), "{gone} is still in the log of {name}");
        }
    })
    .await;
}

/// People are listed by what the tenant calls them, before the meeting has met them.
#[tokio::test]
async fn an_erased_person_is_on_no_list_any_more() {
    each(async |name, opened| {
        let key = key();
        let planned = |users: &[&str]| OpenRooms {
            rooms: vec![PlannedRoom {
                name: "One".into(),
                participants: Vec::new(),
                users: users.iter().map(|user| UserId((*user).to_owned())).collect(),
            }],
            ..OpenRooms::default()
        };
        let mut story = Story::begin_with(&key, Some(planned(&["mallory", "bob"])));
        let (ada, _) = story.join("ada", Role::Host);
        story.say(ada, "breakout.plan", json!(planned(&["bob", "mallory"])));
        let (mallory, _) = story.join("mallory", Role::Participant);
        story.say(mallory, "leave", json!({}));
        story.say(ada, "breakout.open", json!({ "from": "plan" }));
        story.play(Input::Erase(UserId("mallory".into())));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 100, std::slice::from_ref(&asked)).await;
        for _ in 0..2 {
            let log = opened.store.events(&key, Seq(0), 1_000).await.unwrap();
            assert!(!log.iter().any(|row| row.data.contains("mallory")), "{name}: {log:#?}");
            assert!(log.iter().filter(|row| row.data.contains("bob")).count() >= 3, "others stay on it, {name}");
            assert!(!serde_json::to_string(&story.state).unwrap().contains("mallory"), "{name}");
            // The log as it is now gives the state as it is now.
            let mut read = log.iter().map(|row| convoke_actors::meeting::decode(row).unwrap());
            let mut state = convoke_domain::apply::create(&read.next().unwrap()).unwrap();
            read.for_each(|recorded| convoke_domain::apply::apply(&mut state, &recorded, &Limits::default()));
            assert_eq!(state, story.state, "{name}");
            asked.rebuild().await.unwrap();
        }
        let now = Now { at: story.state.at + 1, entropy: 1 };
        let bob = convoke_domain::command::Join {
            session: SessionId(Uuid::now_v7()),
            user: Some(UserId("bob".into())),
            name: "bob".into(),
            role: Role::Participant,
        };
        turn::execute(&mut story.state, Input::Join(bob), now, &Limits::default()).reply.unwrap();
        let bob = story.state.member(story.state.users[&UserId("bob".into())]).unwrap();
        assert_eq!(bob.participant.room, rooms(&story)[0], "{name}");
    })
    .await;
}
