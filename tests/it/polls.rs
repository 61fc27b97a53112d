//! Polls and questions over REST: who is told what, and that nobody is told who voted anonymously.

use crate::breakout::{as_bearer, postgres};
use crate::whole::{everything, holds};
use crate::{id_of, joined, meeting, ok, server};
use convoke::adapters::store::Db;
use convoke_loadtest::client::Client;
use convoke_loadtest::rest::{Key, Response};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A database file that the test can look into.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-polls-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn url(&self) -> String {
        format!("sqlite://{}/a.db", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the database says, past the server.
async fn looked_into(url: &str) -> Vec<String> {
    let db = if url.starts_with("sqlite:") {
        let pool = sqlx::SqlitePool::connect(url).await.unwrap();
        Db::Sqlite { write: pool.clone().into(), read: pool }
    } else {
        Db::Postgres(sqlx::PgPool::connect(url).await.unwrap())
    };
    let all = everything(&db).await;
    db.close().await;
    all
}

async fn get(server: &Server, path: &str) -> Response {
    server.rest.api("GET", path, None).await.unwrap()
}

/// Opens a poll, and gives its id.
async fn open(host: &Client, data: Value) -> String {
    let seq = ok(host, "poll.open", data).await["seq"].as_u64().unwrap();
    let is_it = |heard: &&convoke_loadtest::client::Heard| heard.kind == "poll.opened" && heard.seq <= seq;
    let opened = host.until("the poll", |record| {
        (record.cursor >= seq).then(|| record.heard.iter().rev().find(is_it).cloned()).flatten()
    });
    opened.await.unwrap().data["poll"]["id"].as_str().unwrap().to_owned()
}

async fn vote(client: &Client, poll: &str, choices: &[u32]) -> Value {
    ok(client, "poll.vote", json!({ "poll": poll, "choices": choices })).await
}

fn of_kind<'a>(log: &'a [Value], kind: &str) -> Vec<&'a Value> {
    log.iter().filter(|event| event["type"] == kind).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The log, once this is true of it: it is overwritten within a second.
async fn log_when(server: &Server, id: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = server.rest.log(id).await.unwrap();
        if is_so(&log) {
            return log;
        }
        assert!(Instant::now() < deadline, "{log:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nobody_is_told_who_voted_what_in_an_anonymous_poll() {
    let file = File::new();
    for url in [Some(file.url()), postgres().await].into_iter().flatten() {
        let mut server = server(&[("CONVOKE_DATABASE_URL", &url)]).await;
        let id = meeting(&server, json!({})).await;
        let ada = joined(&server, &id, "ada", "host").await;
        let voters = [
            joined(&server, &id, "bob-user", "participant").await,
            joined(&server, &id, "eve-user", "participant").await,
            joined(&server, &id, "dan-user", "participant").await,
        ];
        let poll = json!({ "question": "Shall we?", "options": ["Yes", "No", "Perhaps"], "anonymous": true, "results": "live" });
        let poll = open(&ada, poll).await;
        for (voter, choice) in voters.iter().zip([0, 1, 1]) {
            assert!(vote(voter, &poll, &[choice]).await["seq"].is_null(), "an answer would tell where the vote is");
        }

        // Whoever could be told by: people, their sessions, their users.
        let log = server.rest.log(&id).await.unwrap();
        let opened = of_kind(&log, "session.opened");
        let sessions: Vec<String> = opened.iter().map(|event| text(&event["data"]["session"])).collect();
        let ids: Vec<String> = voters.iter().map(id_of).collect();
        assert_eq!(sessions.len(), 4);
        let people =
            || ids.iter().chain(&sessions).cloned().chain(["bob-user", "eve-user", "dan-user"].map(String::from));
        let names_nobody = |text: &str| people().all(|who| !holds(text, &who));

        let check = async |log: &[Value]| {
            for kind in ["poll.voted", "poll.opened", "poll.counted", "anonymity.begun"] {
                for event in of_kind(log, kind) {
                    // That ada opened it is no secret.
                    let told = json!([event["data"]["voter"], event["data"]["poll"], event["data"]["key"]]);
                    assert!(names_nobody(&told.to_string()), "{event}");
                    assert!(kind == "poll.opened" || names_nobody(&event["cause"].to_string()), "{event}");
                }
            }
            assert_eq!(of_kind(log, "anonymity.begun")[0]["data"], json!({}), "the key is for nobody");
            for path in ["polls", "polls?format=csv", "questions"] {
                let shown = get(&server, &format!("/meetings/{id}/{path}")).await;
                assert_eq!(shown.status, 200, "{path}");
                assert!(names_nobody(&shown.body), "{path}: {}", shown.body);
            }
            for path in ["votes", "votes?format=csv"] {
                let refused = get(&server, &format!("/meetings/{id}/polls/{poll}/{path}")).await;
                assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("wrong_state")), "{path}");
            }
            for user in ["bob-user", "eve-user", "dan-user"] {
                let export = get(&server, &format!("/users/{user}/export")).await.json();
                assert_eq!(export["meetings"][0]["votes"], json!([]));
            }
            let all = looked_into(&url).await;
            for row in all.iter().filter(|row| holds(row, &poll) && !row.starts_with("snapshots")) {
                // That a host opened and closed it is no secret, and the end names everybody alike.
                let is_frame = ["poll.opened", "poll.closed", "anonymity.ended"].iter().any(|kind| row.contains(kind));
                assert!(is_frame || names_nobody(row), "{url}: {row}");
            }
            all
        };
        let open_log = server.rest.log(&id).await.unwrap();
        let voted = of_kind(&open_log, "poll.voted");
        let pseudonyms: Vec<String> = voted.iter().map(|event| text(&event["data"]["voter"])).collect();
        assert_eq!((pseudonyms.len(), voted.iter().filter(|event| event["cause"].is_null()).count()), (3, 3));
        // Between the numbers of what is done by name, those that are missing would tell who voted.
        assert!(open_log.iter().all(|event| event["cause"]["id"].is_null()));
        let held = check(&open_log).await;
        let begun = held.iter().find(|row| row.contains("anonymity.begun")).unwrap();
        // Quotes stand there once or twice, as the database writes them.
        let key = begun.replace('"', "").split("key:").nth(1).unwrap().split('}').next().unwrap().to_owned();
        assert_eq!(key.len(), 36, "{begun}");

        ok(&ada, "poll.close", json!({ "poll": poll })).await;
        let is_blank = |event: &&Value| event["data"]["choices"] == json!([]);
        let closed_log = log_when(&server, &id, |log| of_kind(log, "poll.voted").iter().all(is_blank)).await;
        assert_eq!(closed_log.len(), server.rest.log(&id).await.unwrap().len(), "every place stays");
        let held = check(&closed_log).await;
        let gone = || pseudonyms.iter().chain([&key]);
        for row in closed_log.iter().map(Value::to_string).chain(held) {
            assert!(gone().all(|secret| !holds(&row, secret)), "{url}: {row}");
        }
        let list = get(&server, &format!("/meetings/{id}/polls")).await.json();
        assert_eq!((&list["items"][0]["counts"], &list["items"][0]["voters"]), (&json!([1, 2, 0]), &json!(3)));

        // It is the same after a restart, and what is asked again has no second effect.
        server.terminate().unwrap();
        if url.starts_with("sqlite:") {
            let bytes = std::fs::read(file.0.join("a.db")).unwrap();
            let bytes = String::from_utf8_lossy(&bytes);
            assert!(bytes.contains("Shall we?") && gone().all(|secret| !holds(&bytes, secret)), "in the file itself");
        }
        server.run().await.unwrap();
        ok(&voters[0], "chat.post", json!({ "to": "room", "text": "after" })).await;
        assert_eq!(get(&server, &format!("/meetings/{id}/polls")).await.json(), list);
        assert_eq!(voters[0].record().violations, Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_votes_of_a_poll_by_name_are_listed_for_those_who_lead() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "=eve", "participant").await;
    let options = ["Tea, or \"chai\"", "=cmd()", "Water"];
    let poll = json!({ "question": "-What to drink?", "options": options, "multiple": true, "results": "hosts" });
    let poll = open(&ada, poll).await;
    vote(&bob, &poll, &[2]).await;
    vote(&bob, &poll, &[0, 2]).await;
    vote(&eve, &poll, &[1]).await;
    let path = format!("/meetings/{id}/polls/{poll}/votes");
    let votes = get(&server, &path).await.json();
    let expected = json!([
        { "participant": id_of(&bob), "user": "bob", "name": "bob", "choices": [0, 2] },
        { "participant": id_of(&eve), "user": "=eve", "name": "=eve", "choices": [1] },
    ]);
    assert_eq!(votes, json!({ "items": expected }));
    let first = get(&server, &format!("{path}?limit=1")).await.json();
    assert_eq!(first["items"], json!([expected[0]]));
    let rest = get(&server, &format!("{path}?limit=1&cursor={}", text(&first["next"]))).await.json();
    assert_eq!(rest, json!({ "items": [expected[1]] }));

    let table = get(&server, &format!("{path}?format=csv&limit=1")).await;
    assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
    let (of_bob, of_eve) = (id_of(&bob), id_of(&eve));
    let lines = [
        r#""participant","user","name","choices""#.to_owned(),
        format!(r#""{of_bob}","bob","bob","Tea, or ""chai""; Water""#),
        format!(r#""{of_eve}","'=eve","'=eve","'=cmd()""#),
    ];
    assert_eq!(table.body.lines().collect::<Vec<_>>(), lines);
    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    let table = get(&server, &format!("/meetings/{id}/polls?format=csv")).await;
    let start = format!(r#""{poll}","main","'-What to drink?","false","closed""#);
    let lines = [
        r#""poll","room","question","anonymous","state","option","votes","voters""#.to_owned(),
        format!(r#"{start},"Tea, or ""chai""","1","2""#),
        format!(r#"{start},"'=cmd()","1","2""#),
        format!(r#"{start},"Water","1","2""#),
    ];
    assert_eq!(table.body.lines().collect::<Vec<_>>(), lines);
    let export = get(&server, "/users/bob/export").await.json();
    let own =
        json!([{ "poll": poll, "question": "-What to drink?", "choices": [0, 2], "chosen": [options[0], "Water"] }]);
    assert_eq!(export["meetings"][0]["votes"], own);

    let token = |user: &str| server.rest.key.join_token(&id, Some(user), user, "host");
    for (user, status) in [("ada", 200), ("bob", 403), ("stranger", 403)] {
        for path in [path.clone(), format!("{path}?format=csv"), format!("/meetings/{id}/polls?format=csv")] {
            assert_eq!(as_bearer(&server, &token(user), "GET", &path, None).await.0, status, "{user} {path}");
        }
    }
    let (_, as_bob) = as_bearer(&server, &token("bob"), "GET", &format!("/meetings/{id}/polls"), None).await;
    assert!(as_bob["items"][0]["counts"].is_null() && as_bob["items"][0]["voters"].is_null(), "{as_bob}");
    let (_, as_ada) = as_bearer(&server, &token("ada"), "GET", &format!("/meetings/{id}/polls"), None).await;
    assert_eq!(as_ada["items"][0]["counts"], json!([1, 1, 1]));
}

/// More than is read at a time: nothing is twice, and nothing is missing.
#[tokio::test]
async fn a_table_of_many_polls_is_whole() {
    let all = [("CONVOKE_COMMANDS_PER_S", "100000"), ("CONVOKE_COMMANDS_BURST", "100000")];
    let flood = [("CONVOKE_FLOOD_PER_S", "100000"), ("CONVOKE_FLOOD_BURST", "100000")];
    let server = server(&[all, flood].concat()).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    const POLLS: usize = 201;
    for number in 0..POLLS {
        let poll = json!({ "question": format!("number {number}"), "options": ["Yes", "No"], "results": "live" });
        let poll = open(&ada, poll).await;
        ok(&ada, "poll.close", json!({ "poll": poll })).await;
    }
    let table = get(&server, &format!("/meetings/{id}/polls?format=csv")).await.body;
    let questions: Vec<&str> =
        table.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().trim_matches('"')).collect();
    let expected: Vec<String> = (0..POLLS * 2).map(|row| format!("number {}", row / 2)).collect();
    assert_eq!(questions, expected);
}

#[tokio::test]
async fn questions_and_polls_are_read_by_those_of_the_room() {
    let keys = format!("acme/load:{},other/other:{}", "a".repeat(32), "b".repeat(32));
    let mut server = server(&[("CONVOKE_API_KEYS", &keys)]).await;
    server.rest.key = Key::parse(&format!("load:{}", "a".repeat(32))).unwrap();
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    ok(&bob, "question.ask", json!({ "text": "asked by bob in main" })).await;
    ok(&eve, "question.ask", json!({ "text": "asked in main", "anonymous": true })).await;
    let listed = json!([{ "name": "One", "participants": [id_of(&bob)] }, { "name": "Two" }]);
    let rooms = crate::breakout::open(&ada, json!({ "rooms": listed, "grace_s": 0 })).await;
    crate::breakout::entered(&bob, &rooms[0]).await;
    ok(&bob, "question.ask", json!({ "text": "asked in one" })).await;
    let poll = open(&ada, json!({ "question": "In main?", "options": ["Yes", "No"], "results": "closed" })).await;
    vote(&eve, &poll, &[1]).await;

    let base = format!("/meetings/{id}");
    let token = |user: &str| server.rest.key.join_token(&id, Some(user), user, "participant");
    let texts = async |user: &str, query: &str| -> Vec<String> {
        let (status, page) = as_bearer(&server, &token(user), "GET", &format!("{base}/questions{query}"), None).await;
        assert_eq!(status, 200, "{user}: {page}");
        page["items"].as_array().unwrap().iter().map(|question| text(&question["text"])).collect()
    };
    assert_eq!(texts("bob", "").await, ["asked by bob in main", "asked in main", "asked in one"]);
    assert_eq!(texts("eve", "").await, ["asked by bob in main", "asked in main"]);
    assert_eq!(texts("ada", "").await.len(), 3, "hosts read every room");
    assert_eq!(texts("ada", &format!("?room={}", rooms[0])).await, ["asked in one"]);
    assert_eq!(texts("eve", &format!("?room={}", rooms[0])).await, Vec::<String>::new());
    let all = get(&server, &format!("{base}/questions")).await.json();
    assert_eq!((&all["items"][0]["by"], &all["items"][1]["by"]), (&json!(id_of(&bob)), &Value::Null));
    let question = &all["items"][0]["id"];
    ok(&ada, "question.answer", json!({ "question": question, "text": "Because." })).await;
    for _ in 0..2 {
        ok(&ada, "hand.raise", json!({})).await;
        ok(&ada, "hand.lower", json!({})).await;
    }
    assert_eq!(texts("eve", "?state=answered").await, ["asked by bob in main"]);
    let export = get(&server, "/users/ada/export").await.json();
    let answers = json!([{ "question": question, "room": "main", "answer": "Because." }]);
    assert_eq!((&export["meetings"][0]["answers"], &export["meetings"][0]["hands"]), (&answers, &json!(2)));
    let export = get(&server, "/users/eve/export").await.json();
    assert_eq!((&export["meetings"][0]["answers"], &export["meetings"][0]["hands"]), (&json!([]), &json!(0)));
    let (_, page) = as_bearer(&server, &token("eve"), "GET", &format!("{base}/questions?limit=1"), None).await;
    assert_eq!((&page["items"][0]["answer"], &page["items"][0]["state"]), (&json!("Because."), &json!("answered")));
    let next = format!("?limit=1&cursor={}", text(&page["next"]));
    assert_eq!(texts("eve", &next).await, ["asked in main"]);

    // What was asked in a room that is merged is read where it went.
    ok(&ada, "breakout.merge", json!({ "from": [rooms[0]], "into": "main" })).await;
    assert_eq!(texts("eve", "?room=main").await.len(), 3);
    let export = get(&server, "/users/bob/export").await.json();
    let own = export["meetings"][0]["questions"].as_array().unwrap();
    assert_eq!(own.iter().map(|own| text(&own["text"])).collect::<Vec<_>>(), ["asked by bob in main", "asked in one"]);
    let of_eve = get(&server, "/users/eve/export").await.json();
    assert_eq!(of_eve["meetings"][0]["questions"], json!([]), "an anonymous question is nobody's");

    // Counts that the rules hide until the close, until the close.
    for (state, counts) in [("open", Value::Null), ("closed", json!([0, 1]))] {
        if state == "closed" {
            ok(&ada, "poll.close", json!({ "poll": poll })).await;
        }
        for user in ["ada", "eve", "bob"] {
            let path = format!("{base}/polls?state={state}");
            let (_, page) = as_bearer(&server, &token(user), "GET", &path, None).await;
            let shown = page["items"].get(0).map(|poll| poll["counts"].clone());
            assert_eq!(shown, Some(counts.clone()), "{user} {state}");
        }
        // Nor do the votes add up to them, for whoever is in the meeting.
        for path in ["votes", "votes?format=csv"] {
            let path = format!("{base}/polls/{poll}/{path}");
            let (status, answer) = as_bearer(&server, &token("ada"), "GET", &path, None).await;
            match state {
                "open" => assert_eq!((status, &answer["code"]), (409, &json!("wrong_state")), "{path}"),
                _ => assert_eq!(status, 200, "{path}"),
            }
            let read = get(&server, &path).await;
            assert!(read.status == 200 && read.body.contains(&id_of(&eve)), "{path} for the tenant: {}", read.body);
        }
    }

    // An erased person's words are gone, and nobody else's.
    assert_eq!(server.rest.api("DELETE", "/users/bob", None).await.unwrap().status, 200);
    let all = get(&server, &format!("{base}/questions")).await.json();
    let texts: Vec<String> = all["items"].as_array().unwrap().iter().map(|question| text(&question["text"])).collect();
    assert_eq!(texts, ["", "asked in main", ""]);

    let unknown = uuid::Uuid::now_v7();
    for (path, status, code) in [
        (format!("{base}/polls?state=answered"), 422, "bad_request"),
        (format!("{base}/questions?state=closed"), 422, "bad_request"),
        (format!("{base}/polls?room=nonsense"), 422, "bad_request"),
        (format!("{base}/questions?room=nonsense"), 422, "bad_request"),
        (format!("{base}/messages?room=nonsense"), 422, "bad_request"),
        (format!("{base}/polls?format=xml"), 422, "bad_request"),
        (format!("{base}/polls/{poll}/votes?format=xml"), 422, "bad_request"),
        (format!("{base}/polls/{poll}/votes?cursor=nonsense"), 422, "bad_request"),
        (format!("{base}/polls/{unknown}/votes"), 404, "not_found"),
        (format!("{base}/polls/nonsense/votes"), 404, "not_found"),
        (format!("/meetings/{unknown}/polls"), 404, "not_found"),
        (format!("/meetings/{unknown}/questions"), 404, "not_found"),
    ] {
        let refused = get(&server, &path).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{path}");
    }
    let mut other = server.rest.clone();
    other.key = Key::parse(&format!("other:{}", "b".repeat(32))).unwrap();
    for path in ["polls".to_owned(), "questions".to_owned(), format!("polls/{poll}/votes")] {
        assert_eq!(other.api("GET", &format!("{base}/{path}"), None).await.unwrap().status, 404, "{path}");
    }
    let stranger = as_bearer(&server, &token("stranger"), "GET", &format!("{base}/questions"), None).await;
    assert_eq!((stranger.0, &stranger.1["code"]), (403, &json!("not_permitted")));
}
