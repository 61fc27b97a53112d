//! Random meetings, followed live and read again from the beginning; and passes that fail half-way.

use super::read_models::{Story, TABLES, dump, each, follow, projections, story};
use super::{Database, key, ready};
use convoke::adapters::store::{Db, Opened};
use convoke::projections::{Board, Reader, Stretch};
use convoke_actors::ports::{Commit, MeetingKey};
use convoke_domain::command::Join;
use convoke_domain::shapes::Role;
use convoke_domain::whiteboard::Whiteboard;
use convoke_domain::{Input, MeetingId, Seq, SessionId, UserId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::runtime::Runtime;
use uuid::Uuid;

const USERS: u8 = 5;

/// What may happen; people are named by numbers.
#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Lose(u8),
    /// A command of somebody's, about somebody.
    Ask(u8, u8, Deed),
    Invite,
    Erase(u8),
    Pass(u64),
    /// The read models catch up.
    Follow(bool),
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Leave,
    Say,
    Whisper,
    Edit,
    Delete,
    React,
    Rename,
    Role(&'static str),
    Remove,
    ToLobby,
    Admit,
    Retitle,
    Plan,
    Open,
    Move(bool),
    Merge(bool),
    Close(bool),
    Broadcast,
    Caption,
    Hand,
    Wonder(bool),
    Second(bool),
    Answer,
    Poll(&'static str, bool),
    Vote,
    ClosePoll,
    Board,
    Reboard(bool),
    Unboard,
    End,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Say),
        3 => Just(Deed::Whisper),
        4 => Just(Deed::Edit),
        3 => Just(Deed::Delete),
        4 => Just(Deed::React),
        2 => Just(Deed::Leave),
        2 => Just(Deed::Rename),
        3 => prop_oneof![Just("host"), Just("cohost"), Just("viewer")].prop_map(Deed::Role),
        1 => Just(Deed::Remove),
        1 => Just(Deed::ToLobby),
        2 => Just(Deed::Admit),
        1 => Just(Deed::Retitle),
        1 => Just(Deed::Plan),
        4 => Just(Deed::Open),
        6 => any::<bool>().prop_map(Deed::Move),
        2 => any::<bool>().prop_map(Deed::Merge),
        2 => any::<bool>().prop_map(Deed::Close),
        1 => Just(Deed::Broadcast),
        4 => Just(Deed::Caption),
        2 => Just(Deed::Hand),
        3 => any::<bool>().prop_map(Deed::Wonder),
        3 => any::<bool>().prop_map(Deed::Second),
        2 => Just(Deed::Answer),
        3 => (prop_oneof![Just("live"), Just("closed"), Just("hosts")], any::<bool>())
            .prop_map(|(results, anonymous)| Deed::Poll(results, anonymous)),
        5 => Just(Deed::Vote),
        2 => Just(Deed::ClosePoll),
        4 => Just(Deed::Board),
        3 => any::<bool>().prop_map(Deed::Reboard),
        1 => Just(Deed::Unboard),
        1 => Just(Deed::End),
    ]
}

fn plan() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..USERS).prop_map(Step::Join),
        1 => (0..USERS).prop_map(Step::Lose),
        16 => (0..USERS, 0..USERS, deed()).prop_map(|(who, whom, deed)| Step::Ask(who, whom, deed)),
        1 => Just(Step::Invite),
        2 => (0..USERS).prop_map(Step::Erase),
        1 => (0_u64..60_000).prop_map(Step::Pass),
        4 => any::<bool>().prop_map(Step::Follow),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a person's name, identity and words have in them, and nothing else has, in any meeting.
fn mark(meeting: MeetingId, user: u8) -> String {
    format!("{}-{user}-", meeting.0.simple())
}

fn device(user: u8) -> SessionId {
    SessionId(Uuid::from_u128(u128::from(user) + 1))
}

fn ask(story: &mut Story, who: u8, whom: u8, deed: Deed) {
    let meeting = story.state.info.id;
    let mark = |user| mark(meeting, user);
    let user = UserId(mark(whom));
    let target = story.state.users.get(&user).map(|id| json!(id)).unwrap_or(json!(Uuid::nil()));
    let message = story.state.messages.keys().nth(usize::from(whom)).map_or(json!(Uuid::nil()), |id| json!(id));
    let words = format!("words {}", mark(who));
    let is_met = story.state.users.contains_key(&user);
    let planned =
        json!([{ "name": "One", "users": if is_met { vec![mark(whom)] } else { vec![] } }, { "name": "Two" }]);
    let rooms: Vec<Value> = story.state.set_rooms().map(|room| json!(room.id)).collect();
    let room = |number: usize| rooms.get(number % rooms.len().max(1)).cloned().unwrap_or(json!("main"));
    let (one, other) = (room(usize::from(who)), room(usize::from(whom) + 1));
    let question = story.state.questions.keys().nth(usize::from(whom) % 2).map_or(json!(Uuid::nil()), |id| json!(id));
    let poll = story.state.polls.keys().nth(usize::from(whom) % 2).map_or(json!(Uuid::nil()), |id| json!(id));
    let board = story.state.whiteboards.keys().nth(usize::from(whom) % 2).map_or(json!(Uuid::nil()), |id| json!(id));
    let at = story.state.at;
    let (kind, data) = match deed {
        Deed::Leave => ("leave", json!({})),
        Deed::Say => ("chat.post", json!({ "to": "room", "text": words })),
        Deed::Whisper => ("chat.post", json!({ "to": target, "text": words })),
        Deed::Edit => ("chat.edit", json!({ "message": message, "text": words })),
        Deed::Delete => ("chat.delete", json!({ "message": message })),
        Deed::React => ("chat.react", json!({ "message": message, "emoji": "👍", "on": true })),
        Deed::Rename => ("participant.rename", json!({ "participant": target, "name": mark(whom) })),
        Deed::Role(role) => ("participant.set_role", json!({ "participant": target, "role": role })),
        Deed::Remove => ("participant.remove", json!({ "participant": target })),
        Deed::ToLobby => ("participant.to_lobby", json!({ "participant": target })),
        Deed::Admit => ("lobby.admit", json!({ "all": true })),
        Deed::Retitle => ("meeting.update", json!({ "title": format!("Title {whom}") })),
        Deed::Plan => ("breakout.plan", json!({ "rooms": planned })),
        Deed::Open => ("breakout.open", json!({ "rooms": planned, "assign": "automatic", "duration_s": 60 })),
        Deed::Move(true) => ("breakout.move", json!({ "moves": [{ "participant": target, "room": one }] })),
        Deed::Move(false) => ("breakout.join", json!({ "room": "main" })),
        Deed::Merge(true) => ("breakout.merge", json!({ "from": [one], "into": other })),
        Deed::Merge(false) => ("breakout.merge", json!({ "from": [one], "into": "main" })),
        Deed::Close(now) => ("breakout.close", json!({ "room": one, "now": now })),
        Deed::Broadcast => ("breakout.broadcast", json!({ "text": words })),
        Deed::Caption => (
            "caption.publish",
            json!({ "participant": target, "lang": "en", "text": words, "start_at": at, "end_at": at, "final": true }),
        ),
        Deed::Hand => (if whom.is_multiple_of(2) { "hand.raise" } else { "hand.lower" }, json!({})),
        // What was asked anonymously is nobody's, and stays.
        Deed::Wonder(true) => ("question.ask", json!({ "text": "words of nobody", "anonymous": true })),
        Deed::Wonder(false) => ("question.ask", json!({ "text": words, "anonymous": false })),
        Deed::Second(up) => ("question.vote", json!({ "question": question, "up": up })),
        Deed::Answer => ("question.answer", json!({ "question": question, "text": words })),
        Deed::Poll(results, anonymous) => {
            let options = ["One", "Two"];
            let poll = json!({ "question": "?", "options": options, "results": results, "anonymous": anonymous });
            ("poll.open", poll)
        }
        Deed::Vote => ("poll.vote", json!({ "poll": poll, "choices": [whom % 2] })),
        Deed::ClosePoll => ("poll.close", json!({ "poll": poll })),
        Deed::Board => ("whiteboard.create", json!({ "name": format!("Board {whom}"), "room": one })),
        Deed::Reboard(true) => {
            ("whiteboard.update", json!({ "whiteboard": board, "name": "Another", "access": "hosts" }))
        }
        Deed::Reboard(false) => ("whiteboard.copy", json!({ "whiteboard": board })),
        Deed::Unboard => ("whiteboard.delete", json!({ "whiteboard": board })),
        Deed::End => ("meeting.end", json!({})),
    };
    // Most plans ask for something that is refused at times.
    let _ = story.ask(device(who), kind, data);
}

async fn carry_out(opened: &Opened, plan: &[Step]) {
    // What an earlier, failed plan may have left half-read.
    projections(opened).rebuild().await.unwrap();
    let key = key();
    let mark = |user| mark(key.meeting, user);
    let mut story = Story::begin(&key);
    let life = opened.store.boot("a", super::LEASE).await.unwrap();
    assert!(opened.store.create(&key, &story.rows[0], None).await.unwrap());
    let term = opened.store.take(&key, &life).await.unwrap().term;
    let (mut written, mut invited, mut forgotten) = (1, 0, BTreeSet::new());
    let followers = [projections(opened), projections(opened)];
    for step in plan.iter().cloned().chain([Step::Follow(true)]) {
        match step {
            Step::Join(user) => {
                let role = if user < 2 { Role::Host } else { Role::Participant };
                let join = Join { session: device(user), user: Some(UserId(mark(user))), name: mark(user), role };
                if story.attempt(Input::Join(join)).is_ok() {
                    forgotten.remove(&user);
                }
            }
            Step::Lose(user) => drop(story.attempt(Input::SessionLost(device(user)))),
            Step::Ask(who, whom, deed) => ask(&mut story, who, whom, deed),
            Step::Invite if !story.state.info.status.is_over() => {
                invited += 1;
                story.invite("somebody@example.org", &format!("{}-{invited}", key.meeting));
            }
            Step::Invite => {}
            Step::Erase(user) => {
                story.play(Input::Erase(UserId(mark(user))));
                forgotten.insert(user);
            }
            Step::Pass(ms) => story.pass(ms),
            Step::Follow(first) => {
                let events = story.rows[written..].to_vec();
                let after = story.rows[written - 1].seq;
                written = story.rows.len();
                let commit = Commit {
                    key: key.clone(),
                    term,
                    after,
                    events,
                    wake_at: None,
                    outbox: Vec::new(),
                    boards: Vec::new(),
                };
                opened.store.commit(&[commit], &[]).await.unwrap();
                followers[usize::from(first)].catch_up(&key).await.unwrap();
            }
        }
    }
    let lived = dump(&opened.db).await;
    projections(opened).rebuild().await.unwrap();
    let rebuilt = dump(&opened.db).await;
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|row| !those.contains(row)).cloned().collect()
    };
    let (lost, new) = (only(&lived, &rebuilt), only(&rebuilt, &lived));
    assert!(lost.is_empty() && new.is_empty(), "read again from the log, rows are lost: {lost:#?} new: {new:#?}");
    let log = opened.store.events(&key, Seq(0), 10_000).await.unwrap();
    assert_eq!(log.len(), story.rows.len());
    let kept: Vec<&String> = lived.iter().filter(|row| row.starts_with("poll_votes_view")).collect();
    for poll in story.state.polls.values().filter(|live| live.poll.anonymous) {
        let is_there = kept.iter().any(|row| super::whole::holds(row, &poll.poll.id.to_string()));
        assert!(!is_there, "votes of an anonymous poll are in the read models");
    }
    let boards = projections(opened).whiteboards(&key, None, Reader::Tenant, None, 200).await.unwrap();
    let listed = boards.items.into_iter().map(|Board { id, room, name, access, by, named_by, .. }| Whiteboard {
        id,
        room,
        name,
        access,
        by,
        named_by,
    });
    assert_eq!(listed.collect::<Vec<_>>(), story.state.whiteboards.values().cloned().collect::<Vec<_>>());
    for user in forgotten {
        let is_named = |text: &str| text.contains(&mark(user));
        assert!(!lived.iter().any(|row| is_named(row)), "user {user} is still in the read models");
        assert!(!log.iter().any(|row| is_named(&row.data)), "user {user} is still in the log");
    }
}

fn holds_for_random_plans(runtime: &Runtime, cases: u32, open: impl Fn() -> Opened) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let held = TestRunner::new(config).run(&plan(), |plan| {
        runtime.block_on(carry_out(&open(), &plan));
        Ok(())
    });
    if let Err(failure) = held {
        panic!("{failure}");
    }
}

#[test]
fn any_meeting_read_again_gives_the_rows_that_following_it_gave() {
    let runtime = Runtime::new().unwrap();
    holds_for_random_plans(&runtime, 64, || runtime.block_on(ready("sqlite::memory:")));
    if let Some(database) = runtime.block_on(Database::new()) {
        let opened = runtime.block_on(ready(&database.url()));
        holds_for_random_plans(&runtime, 16, || Opened { store: Arc::clone(&opened.store), db: opened.db.clone() });
        runtime.block_on(database.drop());
    }
}

pub async fn on_database(db: &Db, sql: &str) {
    match db {
        Db::Sqlite { write, .. } => drop(sqlx::query(AssertSqlSafe(sql)).execute(&*write.turn()).await.unwrap()),
        Db::Postgres(pool) => drop(sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap()),
    }
}

#[tokio::test]
async fn a_pass_that_fails_half_way_writes_nothing_and_is_repeated() {
    each(async |name, opened| {
        let (key, other) = (key(), key());
        let (story, mut second) = (story(&key), Story::begin(&other));
        second.join("eve", Role::Host);
        let follower = projections(&opened);
        // The first piece of the log is read; then the table of messages is away.
        let half = story.rows.len() / 2;
        follow(&opened, &key, &story.rows[..half], half, std::slice::from_ref(&follower)).await;
        follow(&opened, &other, &second.rows, 100, std::slice::from_ref(&follower)).await;
        let before = dump(&opened.db).await;
        let life = opened.store.boot("a", super::LEASE).await.unwrap();
        let term = opened.store.take(&key, &life).await.unwrap().term;
        let after = story.rows[half - 1].seq;
        let events = story.rows[half..].to_vec();
        let commit =
            Commit { key: key.clone(), term, after, events, wake_at: None, outbox: Vec::new(), boards: Vec::new() };
        opened.store.commit(&[commit], &[]).await.unwrap();
        on_database(&opened.db, "ALTER TABLE messages_view RENAME TO messages_away").await;
        for _ in 0..2 {
            assert!(follower.catch_up(&key).await.is_err(), "{name}");
        }
        on_database(&opened.db, "ALTER TABLE messages_away RENAME TO messages_view").await;
        assert_eq!(dump(&opened.db).await, before, "nothing of it is there in {name}");
        follower.catch_up(&key).await.unwrap();
        let repeated = dump(&opened.db).await;
        assert_ne!(repeated, before, "{name}");
        follower.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, repeated, "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_node_that_follows_while_another_rebuilds_leaves_nothing_out() {
    each(async |name, opened| {
        let key = key();
        let story = story(&key);
        let (first, rest) = story.rows.split_at(story.rows.len() / 2);
        let follower = projections(&opened);
        follow(&opened, &key, first, first.len(), std::slice::from_ref(&follower)).await;
        // The other node has thrown the rows away and read nothing yet.
        for table in TABLES {
            on_database(&opened.db, &format!("DELETE FROM {table}")).await;
        }
        let life = opened.store.boot("a", super::LEASE).await.unwrap();
        let term = opened.store.take(&key, &life).await.unwrap().term;
        let after = first[first.len() - 1].seq;
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
        follower.catch_up(&key).await.unwrap();
        let followed = dump(&opened.db).await;
        follower.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, followed, "{name}");
    })
    .await;
}

/// There may be millions of meetings that nothing happens in: they are walked through by stretches.
#[tokio::test]
async fn what_is_behind_is_found_a_stretch_at_a_time_and_each_once() {
    each(async |name, opened| {
        let mut keys: Vec<MeetingKey> = (0..25).map(|_| key()).collect();
        for key in &keys {
            opened.store.create(key, &Story::begin(key).rows[0], None).await.unwrap();
        }
        let follower = projections(&opened);
        let walk = async |length| {
            let (mut found, mut stretches, mut from) = (Vec::new(), 0, None);
            loop {
                let Stretch { behind, next } = follower.behind(from.as_ref(), length).await.unwrap();
                found.extend(behind);
                stretches += 1;
                from = next;
                if from.is_none() {
                    return (found, stretches);
                }
            }
        };
        keys.sort();
        for (length, wanted) in [(10, 3), (25, 2), (100, 1), (1, 26)] {
            let (mut found, stretches) = walk(length).await;
            found.sort();
            assert_eq!((&found, stretches), (&keys, wanted), "{length} at a time in {name}");
        }
        follower.catch_up(&keys[12]).await.unwrap();
        let (found, _) = walk(10).await;
        assert!(found.len() == 24 && !found.contains(&keys[12]), "who was followed is not behind in {name}");
    })
    .await;
}
