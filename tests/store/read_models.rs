//! The read models: what a log gives, whether it is followed event by event, in pieces, by two
//! nodes at once, or read again from its beginning.

use super::{Database, Folder, LEASE, key, ready};
use convoke::adapters::store::{Db, Opened};
use convoke::projections::{Place, Projections};
use convoke_actors::meeting::row_of;
use convoke_actors::ports::{Commit, EventRow, MeetingKey};
use convoke_domain::breakout::OpenRooms;
use convoke_domain::command::{Create, Join, NewInvitation};
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::{
    By, Command, Input, InvitationId, Limits, Meeting, Now, Output, ParticipantId, Rejection, Seq, SessionId, UserId,
    turn,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;
use uuid::Uuid;

pub const TABLES: [&str; 18] = [
    "meetings_view",
    "attendances",
    "messages_view",
    "captions_view",
    "hands_view",
    "rooms_view",
    "breakouts_view",
    "questions_view",
    "polls_view",
    "poll_votes_view",
    "invitations_view",
    "recording_jobs",
    "recording_tracks",
    "recording_consents",
    "whiteboards",
    "known_users",
    "listed_users",
    "projection_cursors",
];

/// A meeting that is played, and the log that it wrote.
pub struct Story {
    pub state: Meeting,
    pub rows: Vec<EventRow>,
    at: u64,
    numbers: u64,
}

impl Story {
    pub fn begin(key: &MeetingKey) -> Self {
        Self::begin_with(key, None)
    }

    /// A meeting with breakout rooms that are planned beforehand.
    pub fn begin_with(key: &MeetingKey, breakout: Option<OpenRooms>) -> Self {
        let create = Create {
            tenant: key.tenant.clone(),
            id: key.meeting,
            title: "Before".into(),
            scheduled_at: None,
            recurrence: None,
            settings: Settings::default(),
            breakout,
        };
        let (state, first) = turn::begin(create, Now { at: 1_000, entropy: 1 }, &Limits::default()).unwrap();
        Self { state, rows: vec![row_of(&first)], at: 1_000, numbers: 0 }
    }

    pub fn pass(&mut self, ms: u64) {
        self.at += ms;
    }

    pub fn play(&mut self, input: Input) {
        self.attempt(input).unwrap();
    }

    /// A refused input has no effect, but what was due by then has happened.
    pub fn attempt(&mut self, input: Input) -> Result<turn::Reply, Rejection> {
        self.pass(1_000);
        let now = Now { at: self.at, entropy: self.at.into() };
        let outcome = turn::execute(&mut self.state, input, now, &Limits::default());
        self.rows.extend(outcome.outputs.iter().filter_map(|output| match output {
            Output::Event(recorded) => Some(row_of(recorded)),
            Output::Effect(_) => None,
        }));
        outcome.reply
    }

    pub fn join(&mut self, user: &str, role: Role) -> (SessionId, ParticipantId) {
        let session = SessionId(Uuid::now_v7());
        self.play(Input::Join(Join { session, user: Some(UserId(user.into())), name: user.into(), role }));
        (session, self.state.sessions[&session].participant)
    }

    pub fn say(&mut self, session: SessionId, kind: &str, data: Value) {
        self.ask(session, kind, data).unwrap();
    }

    pub fn ask(&mut self, session: SessionId, kind: &str, data: Value) -> Result<turn::Reply, Rejection> {
        self.numbers += 1;
        let command: Command = serde_json::from_value(json!({ "type": kind, "data": data })).unwrap();
        self.attempt(Input::Command { by: By::Session { session, id: self.numbers }, command })
    }

    pub fn operator(&mut self, command: Command) {
        self.play(Input::Command { by: By::Operator, command });
    }

    /// Invites an address, with a code of this digest.
    pub fn invite(&mut self, email: &str, digest: &str) {
        let invitation = NewInvitation {
            id: InvitationId(Uuid::now_v7()),
            email: email.into(),
            role: Role::Cohost,
            code_digest: digest.into(),
        };
        self.operator(Command::Invite { invitations: vec![invitation] });
    }

    /// The id of the message that was said last.
    pub fn last_said(&self) -> String {
        let said = self.rows.iter().rev().find(|row| row.kind == "chat.posted").unwrap();
        serde_json::from_str::<Value>(&said.data).unwrap()["message"]["id"].as_str().unwrap().to_owned()
    }
}

/// Every kind of change: stays that begin and end, renaming, roles, messages that are edited, reacted
/// to and deleted, a person who is erased, an end.
pub fn story(key: &MeetingKey) -> Story {
    let mut story = Story::begin(key);
    let (ada, _) = story.join("ada", Role::Host);
    let (bob, bob_id) = story.join("bob", Role::Participant);
    let (mallory, mallory_id) = story.join("mallory", Role::Participant);
    for number in 0..40 {
        story.say(ada, "chat.post", json!({ "to": "room", "text": format!("number {number}") }));
    }
    let edited = story.last_said();
    story.say(ada, "chat.edit", json!({ "message": edited, "text": "edited" }));
    story.say(bob, "chat.react", json!({ "message": edited, "emoji": "👍", "on": true }));
    story.say(ada, "chat.edit", json!({ "message": edited, "text": "edited twice" }));
    for (who, id) in [(ada, story.state.sessions[&ada].participant), (mallory, mallory_id)] {
        story.say(who, "hand.raise", json!({}));
        let words = if who == ada { "aloud" } else { "a secret, aloud" };
        let at = story.state.at;
        let caption =
            json!({ "participant": id, "lang": "en", "text": words, "start_at": at, "end_at": at, "final": true });
        story.say(who, "caption.publish", caption);
    }
    story.say(ada, "chat.post", json!({ "to": "room", "text": "a slip of the tongue" }));
    let deleted = story.last_said();
    story.say(ada, "chat.delete", json!({ "message": deleted }));
    story.say(mallory, "chat.post", json!({ "to": bob_id, "text": "a secret" }));
    story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
    story.say(ada, "participant.set_role", json!({ "participant": bob_id, "role": "cohost" }));
    story.say(bob, "leave", json!({}));
    story.join("bob", Role::Participant);
    story.say(ada, "participant.remove", json!({ "participant": mallory_id }));
    story.say(ada, "meeting.update", json!({ "title": "After" }));
    story.play(Input::Erase(UserId("mallory".into())));
    story.say(ada, "meeting.end", json!({}));
    story
}

/// Every row of every read model, as text.
pub async fn dump(db: &Db) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        match db {
            Db::Sqlite { read, .. } => {
                let columns = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
                let names: Vec<String> = columns
                    .fetch_all(read)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| format!("quote({})", row.get::<String, _>(0)))
                    .collect();
                let sql = format!("SELECT '{table} ' || {} FROM {table} ORDER BY 1", names.join(" || ',' || "));
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(read).await.unwrap();
                all.extend(rows.iter().map(|row| row.get::<String, _>(0)));
            }
            Db::Postgres(pool) => {
                let sql = format!("SELECT '{table} ' || t::text FROM {table} t ORDER BY 1");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
                all.extend(rows.iter().map(|row| row.get::<String, _>(0)));
            }
        }
    }
    all
}

/// Writes the log piece by piece, and has each piece followed.
pub async fn follow(opened: &Opened, key: &MeetingKey, rows: &[EventRow], piece: usize, followers: &[Projections]) {
    let store = opened.store.as_ref();
    let life = store.boot("a", LEASE).await.unwrap();
    assert!(store.create(key, &rows[0], None).await.unwrap());
    let term = store.take(key, &life).await.unwrap().term;
    for events in rows[1..].chunks(piece) {
        let after = Seq(events[0].seq.0 - 1);
        let commit = Commit {
            key: key.clone(),
            term,
            after,
            events: events.to_vec(),
            wake_at: None,
            outbox: Vec::new(),
            boards: Vec::new(),
        };
        store.commit(&[commit], &[]).await.unwrap();
        let passes = followers.iter().map(|projections| projections.catch_up(key));
        for done in futures_util::future::join_all(passes).await {
            done.unwrap();
        }
    }
}

/// Writes more of a log that [`follow`] began, and has it followed.
pub async fn append(opened: &Opened, key: &MeetingKey, rows: &[EventRow], follower: &Projections) {
    let life = opened.store.boot("a", LEASE).await.unwrap();
    let term = opened.store.take(key, &life).await.unwrap().term;
    let after = Seq(rows[0].seq.0 - 1);
    let commit = Commit {
        key: key.clone(),
        term,
        after,
        events: rows.to_vec(),
        wake_at: None,
        outbox: Vec::new(),
        boards: Vec::new(),
    };
    opened.store.commit(&[commit], &[]).await.unwrap();
    follower.catch_up(key).await.unwrap();
}

pub async fn each(test: impl AsyncFn(&'static str, Opened)) {
    test("memory", ready("sqlite::memory:").await).await;
    let folder = Folder::new();
    test("file", ready(&folder.url()).await).await;
    if let Some(database) = Database::new().await {
        test("postgres", ready(&database.url()).await).await;
        database.drop().await;
    }
}

pub fn projections(opened: &Opened) -> Projections {
    Projections::new(Arc::clone(&opened.store), opened.db.clone())
}

#[tokio::test]
async fn the_read_models_say_what_the_log_says() {
    each(async |name, opened| {
        let key = key();
        let story = story(&key);
        follow(&opened, &key, &story.rows, 3, &[projections(&opened)]).await;
        let dump = dump(&opened.db).await;
        let of = |table: &str| dump.iter().filter(|row| row.starts_with(table)).collect::<Vec<_>>();
        assert_eq!(of("meetings_view").len(), 1, "{name}");
        assert!(of("meetings_view")[0].contains("After") && of("meetings_view")[0].contains("ended"), "{name}");
        assert_eq!(of("messages_view").len(), 40, "the deleted and the erased are gone from {name}");
        assert_eq!(of("messages_view").iter().filter(|row| row.contains("edited twice")).count(), 1, "{name}");
        assert_eq!(of("attendances").len(), 4, "one a stay, {name}");
        assert_eq!(of("attendances").iter().filter(|row| row.contains("Robert")).count(), 2, "{name}");
        assert_eq!(of("known_users").len(), 2, "{name}");
        for gone in ["mallory", "secret", "slip of the tongue"] {
            assert!(!dump.iter().any(|row| row.contains(gone)), "{gone} is still in {name}: {dump:#?}");
            let log = opened.store.events(&key, Seq(0), 1_000).await.unwrap();
            assert!(!log.iter().any(|row| row.data.contains(gone)), "{gone} is still in the log of {name}");
        }
        let stays = projections(&opened).attendances(&key, Place::START, 10).await.unwrap().items;
        assert!(stays.iter().all(|stay| stay.left_at.is_some()), "all stays end with the meeting: {stays:?}");
    })
    .await;
}

#[tokio::test]
async fn reading_the_log_again_gives_the_same_rows() {
    each(async |name, opened| {
        let (key, other) = (key(), key());
        let story = story(&key);
        let follower = projections(&opened);
        follow(&opened, &key, &story.rows, 1, std::slice::from_ref(&follower)).await;
        let mut second = Story::begin(&other);
        let (ada, _) = second.join("ada", Role::Host);
        second.say(ada, "chat.post", json!({ "to": "room", "text": "another meeting" }));
        follow(&opened, &other, &second.rows, 50, std::slice::from_ref(&follower)).await;
        let lived = dump(&opened.db).await;
        assert!(lived.len() > 45, "{name}");
        follower.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "rebuilt in {name}");
        // The erasure in the log is carried out a second time then, and changes nothing more.
        projections(&opened).rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "rebuilt twice in {name}");
        follower.catch_up(&key).await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "a remembered cursor does no harm in {name}");
    })
    .await;
}

#[tokio::test]
async fn two_nodes_that_follow_one_log_write_it_once() {
    each(async |name, opened| {
        let key = key();
        let story = story(&key);
        follow(&opened, &key, &story.rows, 4, &[projections(&opened), projections(&opened)]).await;
        let together = dump(&opened.db).await;
        projections(&opened).rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, together, "{name}");
    })
    .await;
}
