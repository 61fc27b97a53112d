//! What was done anonymously is known by nobody once it is over: neither by the log, nor by a snapshot,
//! nor by anything else that the database holds.

use super::read_models::{Story, each, follow, projections};
use super::rebuilding::on_database;
use super::whole::{everything, holds};
use super::{LEASE, key};
use convoke::adapters::store::Opened;
use convoke_actors::meeting::decode;
use convoke_actors::ports::{Commit, EventRow, MeetingKey, Snapshot};
use convoke_domain::shapes::Role;
use convoke_domain::{Input, Limits, Meeting, Seq, apply};
use serde_json::{Value, json};
use uuid::Uuid;

fn data(row: &EventRow) -> Value {
    serde_json::from_str(&row.data).unwrap()
}

/// A meeting in which things are done anonymously, and what must not be found of it afterwards.
struct Secret {
    story: Story,
    /// The last row before the keys are destroyed.
    open: usize,
    keys: Vec<String>,
    /// The voters, their sessions and their users.
    people: Vec<String>,
    pseudonyms: Vec<String>,
    covered: Vec<String>,
}

impl Secret {
    fn of(key: &MeetingKey) -> Self {
        let mut story = Story::begin(key);
        let (ada, _) = story.join("ada", Role::Host);
        let people: Vec<_> = ["bob", "eve", "dan"].iter().map(|name| story.join(name, Role::Participant)).collect();
        let [(bob, _), (eve, _), (dan, _)] = people[..] else { panic!() };
        let options = json!(["Yes", "No", "Perhaps"]);
        story.say(
            ada,
            "poll.open",
            json!({ "question": "Shall we?", "options": options, "anonymous": true, "results": "live", "multiple": true }),
        );
        let poll = *story.state.polls.keys().next().unwrap();
        for (who, choices) in [(bob, vec![0]), (eve, vec![1]), (bob, vec![0, 2]), (dan, vec![2])] {
            story.say(who, "chat.post", json!({ "to": "room", "text": "hm" }));
            story.say(who, "poll.vote", json!({ "poll": poll, "choices": choices }));
        }
        story.say(eve, "question.ask", json!({ "text": "Who pays?", "anonymous": true }));
        let question = *story.state.questions.keys().next().unwrap();
        story.say(dan, "question.vote", json!({ "question": question, "up": true }));
        story.say(bob, "question.vote", json!({ "question": question, "up": true }));
        story.say(bob, "question.vote", json!({ "question": question, "up": false }));
        story.pass(2_000);
        story.play(Input::Tick);
        let open = story.rows.len();
        story.say(ada, "poll.close", json!({ "poll": poll }));
        story.say(ada, "question.answer", json!({ "question": question, "text": "All of us" }));
        story.say(bob, "chat.post", json!({ "to": "room", "text": "good" }));
        let of = |kind: &str, field: &str| -> Vec<String> {
            let rows = story.rows.iter().filter(|row| row.kind == kind);
            rows.map(|row| data(row)[field].as_str().unwrap().to_owned()).collect()
        };
        let pseudonyms = [of("poll.voted", "voter"), of("question.vote_set", "voter")].concat();
        let secret = ["poll.voted", "question.vote_set", "question.asked"];
        let covered = story.rows.iter().filter(|row| secret.contains(&row.kind.as_str()));
        let covered = covered.filter_map(|row| Some(row.cause?.session.0.to_string())).collect();
        let people = people.iter().flat_map(|(session, id)| [session.0.to_string(), id.0.to_string()]);
        let people = people.chain(["bob", "eve", "dan"].map(|user| format!("\"{user}\""))).collect();
        Self { keys: of("anonymity.begun", "key"), open, people, pseudonyms, covered, story }
    }
}

/// What the log folds to, as far as it is read.
fn folded(rows: &[EventRow]) -> Meeting {
    let mut read = rows.iter().map(|row| decode(row).unwrap());
    let mut state = apply::create(&read.next().unwrap()).unwrap();
    read.for_each(|recorded| apply::apply(&mut state, &recorded, &Limits::default()));
    state
}

async fn log(opened: &Opened, key: &MeetingKey) -> Vec<EventRow> {
    opened.store.events(key, Seq(0), 1_000).await.unwrap()
}

/// The rows that say what somebody did under a veil.
fn veiled(rows: &[EventRow]) -> Vec<&EventRow> {
    let kinds = ["poll.voted", "question.asked", "question.vote_set", "poll.counted", "question.voted"];
    rows.iter().filter(|row| kinds.contains(&row.kind.as_str())).collect()
}

/// Writes the rest of the log, behind a snapshot that holds the keys.
async fn append(opened: &Opened, key: &MeetingKey, secret: &Secret) {
    let (before, rest) = secret.story.rows.split_at(secret.open);
    let life = opened.store.boot("a", LEASE).await.unwrap();
    let term = opened.store.take(key, &life).await.unwrap().term;
    let after = before[before.len() - 1].seq;
    let state = serde_json::to_string(&folded(before)).unwrap();
    let snapshot = Snapshot { seq: after, version: 3, state };
    opened.store.save_snapshot(key, term, &snapshot).await.unwrap();
    let commit = Commit {
        key: key.clone(),
        term,
        after,
        events: rest.to_vec(),
        wake_at: None,
        outbox: Vec::new(),
        boards: Vec::new(),
    };
    opened.store.commit(&[commit], &[]).await.unwrap();
}

async fn check_forgotten(name: &str, opened: &Opened, key: &MeetingKey, secret: &Secret) {
    let now = log(opened, key).await;
    for row in veiled(&now) {
        assert!(row.cause.is_none(), "{name}: {row:?}");
        for id in secret.people.iter().chain(&secret.pseudonyms).chain(&secret.covered) {
            assert!(!holds(&row.data, id), "{id} in {name}: {row:?}");
        }
        if row.kind == "poll.voted" {
            assert_eq!((&data(row)["choices"], &data(row)["voter"]), (&json!([]), &json!(Uuid::nil())), "{name}");
        }
    }
    let secrets = || secret.keys.iter().chain(&secret.pseudonyms).chain(&secret.covered);
    for row in everything(&opened.db).await {
        for id in secrets() {
            assert!(!holds(&row, id), "{id} is still in {name}: {row}");
        }
    }
    for (old, new) in secret.story.rows.iter().zip(&now) {
        let kept = |row: &EventRow| (row.seq, row.at, row.kind.clone(), row.version, row.audience.clone());
        assert_eq!(kept(old), kept(new), "{name}");
    }
    let last = now.iter().rposition(|row| row.kind == "anonymity.ended").unwrap();
    for upto in last + 1..=now.len() {
        assert_eq!(folded(&now[..upto]), folded(&secret.story.rows[..upto]), "as far as {upto} in {name}");
    }
    assert_eq!(folded(&now), secret.story.state, "{name}");
    assert_eq!(opened.store.snapshot(key).await.unwrap(), None, "it held the keys, in {name}");
}

#[tokio::test]
async fn when_it_is_over_nothing_in_the_database_tells_who_it_was() {
    each(async |name, opened| {
        let key = key();
        let secret = Secret::of(&key);
        assert_eq!((secret.keys.len(), secret.pseudonyms.len(), secret.covered.len()), (2, 7, 8));
        let follower = projections(&opened);
        let open = &secret.story.rows[..secret.open];
        follow(&opened, &key, open, 3, std::slice::from_ref(&follower)).await;
        // As long as it is open, pseudonyms vote, and what they came of is covered.
        let now = log(&opened, &key).await;
        assert!(veiled(&now).len() >= 10, "{name}");
        for row in veiled(&now) {
            let cause = row.cause.map(|cause| cause.session.0.to_string()).unwrap_or_default();
            for id in &secret.people {
                assert!(!holds(&row.data, id) && *id != cause, "{id} in {name}: {row:?}");
            }
        }
        append(&opened, &key, &secret).await;
        follower.catch_up(&key).await.unwrap();
        check_forgotten(name, &opened, &key, &secret).await;
        // What is read again is forgotten already.
        follower.rebuild().await.unwrap();
        check_forgotten(name, &opened, &key, &secret).await;
    })
    .await;
}

#[tokio::test]
async fn forgetting_that_broke_off_has_changed_nothing_and_is_done_again() {
    each(async |name, opened| {
        let key = key();
        let secret = Secret::of(&key);
        let follower = projections(&opened);
        follow(&opened, &key, &secret.story.rows[..secret.open], 100, std::slice::from_ref(&follower)).await;
        append(&opened, &key, &secret).await;
        on_database(&opened.db, "ALTER TABLE snapshots RENAME TO snapshots_away").await;
        for _ in 0..2 {
            assert!(follower.catch_up(&key).await.is_err(), "{name}");
        }
        on_database(&opened.db, "ALTER TABLE snapshots_away RENAME TO snapshots").await;
        assert_eq!(log(&opened, &key).await, secret.story.rows, "half of it would be a vote without a key, in {name}");
        // The second thing to forget is not reached; the first one is done.
        projections(&opened).catch_up(&key).await.unwrap();
        check_forgotten(name, &opened, &key, &secret).await;
    })
    .await;
}

/// A busy room closes one question after the other: what cannot tell anything is not read for it, nor is
/// anything of before it began, nor what is overwritten already.
#[tokio::test]
async fn forgetting_reads_no_more_than_it_must() {
    each(async |name, opened| {
        let key = key();
        let secret = Secret::of(&key);
        let follower = projections(&opened);
        let (before, rows) = (&secret.story.rows[..secret.open], &secret.story.rows);
        follow(&opened, &key, before, 100, std::slice::from_ref(&follower)).await;
        append(&opened, &key, &secret).await;
        // Rows that cannot be read, should they be.
        let break_one = async |kind: &str| {
            let row = before.iter().find(|row| row.kind == kind).unwrap();
            let set = |data: &str| format!("UPDATE events SET data = '{data}' WHERE seq = {}", row.seq);
            on_database(&opened.db, &set("{}")).await;
            set(&row.data)
        };
        let mended = break_one("chat.posted").await;
        follower.catch_up(&key).await.unwrap();
        on_database(&opened.db, &mended).await;
        check_forgotten(name, &opened, &key, &secret).await;

        // Another node that reads the end again finds all of it done.
        let broken = log(&opened, &key).await.into_iter().find(|row| row.kind == "poll.voted").unwrap();
        let set = |data: &str| format!("UPDATE events SET data = '{data}' WHERE seq = {}", broken.seq);
        on_database(&opened.db, &set("{}")).await;
        let back = format!("UPDATE projection_cursors SET seq = {}", rows[secret.open - 1].seq);
        on_database(&opened.db, &back).await;
        projections(&opened).catch_up(&key).await.unwrap();
        on_database(&opened.db, &set(&broken.data)).await;
        check_forgotten(name, &opened, &key, &secret).await;
    })
    .await;
}

/// The read models do not know yet what began in the page that is being read; the page does.
#[tokio::test]
async fn what_began_and_ended_in_one_page_is_forgotten_from_there() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, _) = story.join("bob", Role::Participant);
        let poll = json!({ "question": "Shall we?", "options": ["Yes", "No"], "anonymous": true, "results": "live" });
        story.say(ada, "poll.open", poll);
        let poll = *story.state.polls.keys().next().unwrap();
        story.say(bob, "poll.vote", json!({ "poll": poll, "choices": [1] }));
        let open = story.rows.len();
        story.say(bob, "question.ask", json!({ "text": "Who pays?", "anonymous": true }));
        let question = *story.state.questions.keys().next().unwrap();
        story.say(ada, "question.answer", json!({ "question": question, "text": "All of us" }));
        let nothing = Vec::new;
        let secret =
            Secret { open, keys: nothing(), people: nothing(), pseudonyms: nothing(), covered: nothing(), story };
        let follower = projections(&opened);
        let before = &secret.story.rows[..open];
        follow(&opened, &key, before, 100, std::slice::from_ref(&follower)).await;
        append(&opened, &key, &secret).await;
        // The poll is open, and nothing of it is to be read.
        on_database(&opened.db, "UPDATE events SET data = '{}' WHERE kind = 'poll.voted'").await;
        follower.catch_up(&key).await.unwrap();
        let now = log(&opened, &key).await;
        let keys: Vec<Value> =
            now.iter().filter(|row| row.kind == "anonymity.begun").map(|row| data(row)["key"].clone()).collect();
        assert_eq!((keys.len(), keys[0] == json!(Uuid::nil()), &keys[1]), (2, false, &json!(Uuid::nil())), "{name}");
        let is_covered = |kind: &str| now.iter().find(|row| row.kind == kind).unwrap().cause.is_some();
        assert_eq!((is_covered("poll.voted"), is_covered("question.asked")), (true, false), "{name}");
    })
    .await;
}

/// What was overwritten does not stand in the file's unused parts.
#[tokio::test]
async fn the_file_itself_holds_no_key_any_more() {
    let folder = super::Folder::new();
    let opened = super::ready(&folder.url()).await;
    let key = key();
    let secret = Secret::of(&key);
    let follower = projections(&opened);
    follow(&opened, &key, &secret.story.rows[..secret.open], 100, std::slice::from_ref(&follower)).await;
    append(&opened, &key, &secret).await;
    let find = async || {
        // The write-ahead log is written into the file, and is empty then.
        on_database(&opened.db, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        let bytes = std::fs::read(folder.0.join("deeper/a.db")).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        secret.keys.iter().chain(&secret.pseudonyms).filter(|id| holds(&text, id)).count()
    };
    assert_eq!(find().await, 9, "they are found while they are there");
    follower.catch_up(&key).await.unwrap();
    assert_eq!(find().await, 0);
}
