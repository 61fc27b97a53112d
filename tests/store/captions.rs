//! What captions leave in the read models: a transcript in the order of speech, read by those who may,
//! with nothing in it of whoever was erased.

use super::key;
use super::read_models::{Story, dump, each, follow, projections};
use convoke::projections::{Line, Projections, Reader, Spoken, Wanted};
use convoke_actors::ports::MeetingKey;
use convoke_domain::shapes::Role;
use convoke_domain::{Input, ParticipantId, RoomId, Seq, SessionId, UserId};
use serde_json::{Value, json};

fn caption(story: &mut Story, by: SessionId, of: ParticipantId, lang: &str, text: &str, start_at: u64) {
    let said = json!({ "participant": of, "lang": lang, "text": text, "start_at": start_at,
        "end_at": start_at + 900, "final": true });
    story.say(by, "caption.publish", said);
}

/// The whole transcript, page by page.
async fn read(asked: &Projections, key: &MeetingKey, wanted: &Wanted, reader: Reader, limit: usize) -> Vec<Line> {
    let (mut all, mut place) = (Vec::new(), Spoken::START);
    loop {
        let page = asked.transcript(key, wanted, reader, place, limit).await.unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        place = next.parse().unwrap();
    }
}

async fn texts(asked: &Projections, key: &MeetingKey, wanted: &Wanted, reader: Reader) -> Vec<String> {
    read(asked, key, wanted, reader, 100).await.into_iter().map(|line| line.text).collect()
}

#[tokio::test]
async fn a_transcript_is_in_the_order_of_speech_with_the_latest_names() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (ear, _) = story.join("ear", Role::Agent);
        caption(&mut story, ear, ada_id, "en", "third", 3_000);
        caption(&mut story, ear, bob_id, "en-US", "second", 2_000);
        caption(&mut story, bob, bob_id, "EN-gb", "also third", 3_000);
        caption(&mut story, ear, ada_id, "eng", "first", 0);
        caption(&mut story, ear, ada_id, "pt-BR", "fourth", 4_000);
        // One that may still change is told, and not written down.
        let partial = json!({ "participant": ada_id, "lang": "en", "text": "thi", "start_at": 3_000,
            "end_at": 3_100, "final": false });
        story.say(ear, "caption.publish", partial);
        story.say(bob, "leave", json!({}));
        let (bob, _) = story.join("bob", Role::Participant);
        story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
        story.say(bob, "leave", json!({}));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 3, &[asked.clone(), projections(&opened)]).await;
        let all = read(&asked, &key, &Wanted::default(), Reader::Tenant, 100).await;
        let told: Vec<_> = all.iter().map(|line| (line.name.as_str(), line.text.as_str(), line.start_at)).collect();
        let expected = [
            ("ada", "first", 0),
            ("Robert", "second", 2_000),
            ("ada", "third", 3_000),
            ("Robert", "also third", 3_000),
            ("ada", "fourth", 4_000),
        ];
        assert_eq!(told, expected, "{name}");
        assert_eq!((all[1].participant, all[1].end_at, all[1].room.as_str()), (bob_id, 2_900, "main"), "{name}");
        for limit in [1, 2, 5] {
            let paged = read(&asked, &key, &Wanted::default(), Reader::Tenant, limit).await;
            assert_eq!(paged, all, "pages of {limit} hold all of it, in {name}");
        }
        for (language, expected) in [
            ("en", &["second", "third", "also third"][..]),
            ("en-us", &["second"]),
            ("en-gb", &["also third"]),
            ("pt", &["fourth"]),
            ("br", &[]),
        ] {
            let wanted = Wanted { language: Some(language.into()), room: None };
            assert_eq!(texts(&asked, &key, &wanted, Reader::Tenant).await, expected, "{language} in {name}");
        }
        let own = asked.captions_by(&key, bob_id).await.unwrap();
        assert_eq!(own.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["second", "also third"], "{name}");
        let lived = dump(&opened.db).await;
        assert_eq!(lived.iter().filter(|row| row.starts_with("captions_view")).count(), 5, "{name}");
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_was_spoken_in_a_room_is_read_by_those_who_were_there_and_by_hosts() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let people: Vec<_> = ["bob", "eve", "dan"].iter().map(|name| story.join(name, Role::Participant)).collect();
        let [(bob, bob_id), (eve, eve_id), (_, dan_id)] = people[..] else { panic!() };
        caption(&mut story, ada, ada_id, "en", "in main", 1);
        let listed: Vec<Value> =
            people.iter().map(|(_, id)| json!({ "name": format!("Room of {id}"), "participants": [id] })).collect();
        story.say(ada, "breakout.open", json!({ "rooms": listed }));
        let rooms: Vec<RoomId> = story.state.set_rooms().map(|room| room.id).collect();
        let moved = story.state.at;
        caption(&mut story, bob, bob_id, "en", "in one", moved);
        caption(&mut story, eve, eve_id, "en", "in two", moved + 1);
        // Somebody was in the first room, and is not when it is merged.
        let (_, gil_id) = story.join("gil", Role::Participant);
        for room in [rooms[0], RoomId::Main] {
            story.say(ada, "breakout.move", json!({ "moves": [{ "participant": gil_id, "room": room }] }));
        }
        let asked = projections(&opened);
        let (before, everything) = (story.rows.len(), Wanted::default());
        story.say(ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] }));
        let merged = story.state.at;
        caption(&mut story, bob, bob_id, "en", "in two by now", merged);
        // Somebody comes to the merged room afterwards.
        let (_, fay_id) = story.join("fay", Role::Participant);
        let moves = json!({ "moves": [{ "participant": fay_id, "room": rooms[1] }] });
        story.say(ada, "breakout.move", moves);
        let (_, late_id) = story.join("late", Role::Cohost);
        let mine = async |id| {
            let reader = asked.reader(&key, id).await.unwrap().unwrap();
            texts(&asked, &key, &everything, reader).await
        };
        // Everybody as of before the merge; then the rest of the log.
        follow(&opened, &key, &story.rows[..before], 2, std::slice::from_ref(&asked)).await;
        assert_eq!(mine(bob_id).await, ["in main", "in one"], "{name}");
        assert_eq!(mine(eve_id).await, ["in main", "in two"], "{name}");
        let life = opened.store.boot("a", super::LEASE).await.unwrap();
        let term = opened.store.take(&key, &life).await.unwrap().term;
        let commit = convoke_actors::ports::Commit {
            key: key.clone(),
            term,
            after: story.rows[before - 1].seq,
            events: story.rows[before..].to_vec(),
            wake_at: None,
            outbox: Vec::new(),
            boards: Vec::new(),
        };
        opened.store.commit(&[commit], &[]).await.unwrap();
        asked.catch_up(&key).await.unwrap();
        let all = ["in main", "in one", "in two", "in two by now"];
        for id in [ada_id, bob_id, eve_id, fay_id, late_id] {
            assert_eq!(mine(id).await, all, "{name}");
        }
        assert_eq!(mine(dan_id).await, ["in main"], "dan was in neither, {name}");
        assert_eq!(mine(gil_id).await, ["in main", "in one"], "gil was in the first only, {name}");
        let merged = Wanted { room: Some(rooms[1]), language: None };
        let lines = read(&asked, &key, &merged, Reader::Tenant, 2).await;
        let told: Vec<_> = lines.iter().map(|line| (line.text.as_str(), line.origin.clone())).collect();
        assert_eq!(told, [("in one", Some(rooms[0].to_string())), ("in two", None), ("in two by now", None)], "{name}");
        let emptied = Wanted { room: Some(rooms[0]), language: None };
        assert!(texts(&asked, &key, &emptied, Reader::Tenant).await.is_empty(), "{name}");
        for (room, is_known) in
            [(rooms[0], true), (RoomId::Main, true), (RoomId::Breakout(uuid::Uuid::now_v7()), false)]
        {
            assert_eq!(asked.knows_room(&key, room).await.unwrap(), is_known, "{room} in {name}");
        }
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_erased_has_said_nothing() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let (_, mallory_id) = story.join("mallory", Role::Participant);
        let (ear, _) = story.join("ear", Role::Agent);
        caption(&mut story, ear, mallory_id, "en", "unforgettable words", 1);
        caption(&mut story, ada, ada_id, "en", "other words", 2);
        let before = story.rows.len();
        story.play(Input::Erase(UserId("mallory".into())));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, before - 1, std::slice::from_ref(&asked)).await;
        for _ in 0..2 {
            let said = texts(&asked, &key, &Wanted::default(), Reader::Tenant).await;
            assert_eq!(said, ["other words"], "{name}");
            assert!(asked.captions_by(&key, mallory_id).await.unwrap().is_empty(), "{name}");
            let dump = dump(&opened.db).await;
            assert!(!dump.iter().any(|row| row.contains("unforgettable")), "{name}: {dump:#?}");
            let log = opened.store.events(&key, Seq(0), 1_000).await.unwrap();
            assert!(!log.iter().any(|row| row.data.contains("unforgettable")), "{name}");
            asked.rebuild().await.unwrap();
        }
    })
    .await;
}
