//! The report of a meeting: what is counted for whom and where, and what a large one holds.

use super::key;
use super::read_models::{Story, dump, each, follow, projections};
use convoke::projections::{Attendee, Bounds, Reader, Totals};
use convoke_actors::ports::Commit;
use convoke_domain::shapes::Role;
use convoke_domain::{Input, UserId};
use serde_json::{Value, json};

fn told(person: &Attendee) -> (&str, Option<&str>, &str, usize, Totals) {
    (&person.name, person.user.as_deref(), &person.role, person.stays.len(), person.totals)
}

fn totals(inside_s: u64, hands: u64, messages: u64, captions: u64) -> Totals {
    Totals { inside_ms: inside_s * 1_000, hands, messages, captions, ..Totals::default() }
}

#[tokio::test]
async fn each_person_and_each_room_is_told_what_was_theirs() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (mallory, mallory_id) = story.join("mallory", Role::Participant);
        let (ear, _) = story.join("ear", Role::Agent);
        let joined = story.state.at;
        let at = |who, text: &str, at: u64| {
            json!({ "participant": who, "lang": "en", "text": text,
            "start_at": at, "end_at": at + 1, "final": true })
        };
        let caption = |who, text: &str| at(who, text, 1);
        story.say(ear, "caption.publish", caption(ada_id, "aloud"));
        story.say(ear, "caption.publish", caption(bob_id, "aloud too"));
        story.say(ear, "caption.publish", caption(mallory_id, "unforgettable"));
        story.say(bob, "hand.raise", json!({}));
        story.say(bob, "hand.lower", json!({}));
        story.say(bob, "hand.raise", json!({}));
        story.say(bob, "hand.raise", json!({}));
        story.say(mallory, "hand.raise", json!({}));
        story.say(mallory, "chat.post", json!({ "to": "room", "text": "unforgettable" }));
        story.say(bob, "chat.post", json!({ "to": "room", "text": "in main" }));
        story.say(bob, "chat.post", json!({ "to": ada_id, "text": "in private" }));
        story.say(ada, "chat.post", json!({ "to": "everyone", "text": "to all, regretted" }));
        let regretted = story.last_said();
        story.say(ada, "chat.delete", json!({ "message": regretted }));
        let one = json!({ "name": "One", "participants": [bob_id] });
        story.say(ada, "breakout.open", json!({ "rooms": [one] }));
        let moved = story.state.at;
        let first = story.state.set_rooms().next().unwrap().id;
        story.say(bob, "chat.post", json!({ "to": "room", "text": "in one" }));
        story.say(bob, "caption.publish", at(bob_id, "in one, aloud", moved));
        story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
        story.say(ada, "breakout.close", json!({ "now": true }));
        // Another set takes the place of the first.
        story.say(ada, "breakout.open", json!({ "rooms": [{ "name": "Another" }] }));
        story.play(Input::Erase(UserId("mallory".into())));
        let erased = story.state.at;
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 2, &[asked.clone(), projections(&opened)]).await;
        let now = story.state.at + 5_000;
        let report = asked.report(&key, Reader::Tenant, now, Bounds::default()).await.unwrap();
        let people: Vec<_> = report.participants.iter().map(told).collect();
        let ada_in = (now - story.state.member(ada_id).unwrap().participant.joined_at) / 1_000;
        let expected = [
            ("ada", Some("ada"), "host", 1, totals(ada_in, 0, 0, 1)),
            ("Robert", Some("bob"), "participant", 3, totals(ada_in - 1, 2, 3, 2)),
            ("Erased", None, "participant", 1, totals((erased - joined) / 1_000 + 1, 1, 0, 0)),
        ];
        assert_eq!(people, expected, "{name}");
        let stays = &report.participants[1].stays;
        assert_eq!((stays[1].room.clone(), stays[1].joined_at), (first.to_string(), moved), "{name}");
        assert!(stays[2].left_at.is_none() && stays[2].duration_ms.is_none(), "{name}");
        assert_eq!(stays[0].duration_ms, Some(stays[1].joined_at - stays[0].joined_at), "{name}");
        let rooms: Vec<_> = report
            .rooms
            .iter()
            .map(|room| (room.name.as_deref().unwrap(), room.people, room.messages, room.captions))
            .collect();
        assert_eq!(rooms, [("Main", 3, 2, 2), ("One", 1, 1, 1), ("Another", 0, 0, 0)], "{name}");
        assert!(report.cut.is_empty(), "{name}");
        // The set that REST shows is the latest one.
        let present = asked.breakout(&key).await.unwrap();
        assert_eq!(present.rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Another"], "{name}");
        asked.rebuild().await.unwrap();
        assert_eq!(asked.report(&key, Reader::Tenant, now, Bounds::default()).await.unwrap(), report, "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_thousand_people_with_five_stays_each_are_one_report() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        for number in 0..999 {
            story.join(&format!("user {number}"), Role::Participant);
        }
        let rooms: Vec<Value> = (0..20).map(|number| json!({ "name": format!("Room {number}") })).collect();
        for _ in 0..2 {
            story.say(ada, "breakout.open", json!({ "rooms": rooms, "assign": "automatic" }));
            story.say(ada, "breakout.close", json!({ "now": true }));
        }
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 500, std::slice::from_ref(&asked)).await;
        let report = asked.report(&key, Reader::Tenant, story.state.at, Bounds::default()).await.unwrap();
        assert_eq!((report.participants.len(), report.rooms.len(), report.cut.len()), (1_000, 41, 0), "{name}");
        for (number, person) in report.participants.iter().skip(1).enumerate() {
            assert_eq!((person.name.as_str(), person.stays.len()), (format!("user {number}").as_str(), 5), "{name}");
            let inside = story.state.at - person.stays[0].joined_at;
            assert_eq!(person.totals.inside_ms, inside, "nobody is ever between two rooms, {name}");
            assert!(person.stays.is_sorted_by_key(|stay| stay.joined_at), "{name}");
        }
        assert!(report.rooms.iter().all(|room| room.people > 0 && room.name.is_some()), "{name}");

        let bounds = Bounds { people: 10, stays: 1_001, ..Bounds::default() };
        let part = asked.report(&key, Reader::Tenant, story.state.at, bounds).await.unwrap();
        assert_eq!((part.participants.len(), part.cut.clone()), (10, vec!["participants", "stays"]), "{name}");
        for (person, whole) in part.participants.iter().zip(&report.participants) {
            assert_eq!(person.totals, whole.totals, "what is left out is counted all the same, {name}");
        }
        let all = Bounds { people: 1_000, stays: 4_996, rooms: 40, ..Bounds::default() };
        assert_eq!(asked.report(&key, Reader::Tenant, story.state.at, all).await.unwrap().cut, ["rooms"], "{name}");
    })
    .await;
}

/// Hands that the read models had passed before they counted any.
#[tokio::test]
async fn hands_of_before_are_counted_by_the_migration() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, _) = story.join("bob", Role::Participant);
        for who in [ada, bob, bob] {
            story.say(who, "hand.raise", json!({}));
            story.say(who, "hand.lower", json!({}));
        }
        // The last hand is in the log, and the read models have not come to it.
        let read = story.rows.iter().rposition(|row| row.kind == "hand.raised").unwrap();
        follow(&opened, &key, &story.rows[..read], 100, &[projections(&opened)]).await;
        let life = opened.store.boot("a", super::LEASE).await.unwrap();
        let term = opened.store.take(&key, &life).await.unwrap().term;
        let after = story.rows[read - 1].seq;
        let events = story.rows[read..].to_vec();
        let commit =
            Commit { key: key.clone(), term, after, events, wake_at: None, outbox: Vec::new(), boards: Vec::new() };
        opened.store.commit(&[commit], &[]).await.unwrap();
        let counted = dump(&opened.db).await;
        assert_eq!(counted.iter().filter(|row| row.starts_with("hands_view")).count(), 2, "{name}");
        let folder = if name == "postgres" { "postgres" } else { "sqlite" };
        let file = format!("{}/migrations/{folder}/0008_captions.sql", env!("CARGO_MANIFEST_DIR"));
        let sql = std::fs::read_to_string(file).unwrap();
        let from = sql.find("INSERT INTO hands_view").unwrap();
        let insert = sql[from..].split_once(';').unwrap().0;
        super::rebuilding::on_database(&opened.db, "DELETE FROM hands_view").await;
        assert_ne!(dump(&opened.db).await, counted, "{name}");
        super::rebuilding::on_database(&opened.db, insert).await;
        assert_eq!(dump(&opened.db).await, counted, "{name}");
    })
    .await;
}

/// What was done by name is told and counted; what was anonymous is told, and is nobody's.
#[tokio::test]
async fn questions_and_polls_name_nobody_who_was_anonymous() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (eve, _) = story.join("eve", Role::Participant);
        let last = |story: &Story, kind: &str, what: &str| -> Value {
            let row = story.rows.iter().rev().find(|row| row.kind == kind).unwrap();
            serde_json::from_str::<Value>(&row.data).unwrap()[what]["id"].clone()
        };
        story.say(bob, "question.ask", json!({ "text": "By name?", "anonymous": false }));
        let named = last(&story, "question.asked", "question");
        story.say(eve, "question.vote", json!({ "question": named, "up": true }));
        story.say(ada, "question.answer", json!({ "question": named, "text": "Yes" }));
        story.say(bob, "question.ask", json!({ "text": "Anonymously?", "anonymous": true }));
        for (question, anonymous, results) in
            [("Named", false, "live"), ("Veiled", true, "live"), ("Later", false, "closed")]
        {
            let poll = json!({ "question": question, "options": ["One", "Two"], "anonymous": anonymous,
                "results": results });
            story.say(ada, "poll.open", poll);
            let poll = last(&story, "poll.opened", "poll");
            story.say(bob, "poll.vote", json!({ "poll": poll, "choices": [1] }));
            story.say(eve, "poll.vote", json!({ "poll": poll, "choices": [0] }));
            story.say(eve, "poll.vote", json!({ "poll": poll, "choices": [1] }));
            if question != "Later" {
                story.say(ada, "poll.close", json!({ "poll": poll }));
            }
        }
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 3, std::slice::from_ref(&asked)).await;
        let report = asked.report(&key, Reader::Tenant, story.state.at, Bounds::default()).await.unwrap();
        let counted: Vec<_> = report.participants.iter().map(|p| (p.totals.questions, p.totals.polls)).collect();
        assert_eq!(counted, [(0, 0), (1, 2), (0, 2)], "{name}");
        let questions: Vec<_> = report
            .questions
            .iter()
            .map(|q| (q.text.as_str(), q.by, q.name.as_deref(), q.votes, q.state, q.answer.as_deref()))
            .collect();
        let expected = [
            ("By name?", Some(bob_id), Some("bob"), 1, "answered", Some("Yes")),
            ("Anonymously?", None, None, 0, "open", None),
        ];
        assert_eq!(questions, expected, "{name}");
        let polls: Vec<_> = report
            .polls
            .iter()
            .map(|poll| {
                (poll.question.as_str(), poll.anonymous, poll.state, poll.options[0].votes, poll.options[1].votes)
            })
            .collect();
        let expected = [
            ("Named", false, "closed", Some(0), Some(2)),
            ("Veiled", true, "closed", Some(0), Some(2)),
            ("Later", false, "open", None, None),
        ];
        assert_eq!(polls, expected, "{name}");
        let text = serde_json::to_string(&(&report.questions, &report.polls)).unwrap();
        assert_eq!(text.matches(&bob_id.to_string()).count(), 1, "{name}: {text}");
        let bounds = Bounds { questions: 1, polls: 2, ..Bounds::default() };
        let part = asked.report(&key, Reader::Tenant, story.state.at, bounds).await.unwrap();
        assert_eq!((part.cut, part.questions.len(), part.polls.len()), (vec!["questions", "polls"], 1, 2), "{name}");
    })
    .await;
}
