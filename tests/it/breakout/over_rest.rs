//! The same over REST: what each route answers, who may ask for what, and what was planned beforehand.

use super::{as_bearer, entered, now_ms, reads_at_last};
use crate::{client, id_of, joined, meeting, ok, server};
use convoke_loadtest::rest::{Key, Response};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};

async fn post(server: &Server, path: &str, body: Value) -> Response {
    server.rest.api("POST", path, Some(body)).await.unwrap()
}

/// What a POST that is done answers with.
async fn done(server: &Server, path: &str, body: Value) -> Value {
    let response = post(server, path, body).await;
    assert!([200, 201].contains(&response.status), "{path}: {} {}", response.status, response.body);
    response.json()
}

fn states(set: &Value) -> Vec<&str> {
    set["rooms"].as_array().unwrap().iter().map(|room| room["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_sets_life_over_rest() {
    lives(&[]).await;
}

#[tokio::test]
async fn on_postgres_a_sets_life_is_the_same() {
    if let Some(url) = super::postgres().await {
        lives(&[("CONVOKE_DATABASE_URL", &url)]).await;
    }
}

/// Whoever waits in the lobby sees nothing of the meeting, by no door.
#[tokio::test]
async fn whoever_was_sent_away_reads_nothing_until_they_are_let_in() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let token = server.rest.key.join_token(&id, Some("bob"), "bob", "participant");
    let bearer = format!("Bearer {token}");
    let reads = async || {
        let mut statuses = Vec::new();
        for what in ["messages", "participants", "breakout"] {
            let path = format!("/api/v1/meetings/{id}/{what}");
            let answer = server.rest.send("GET", &path, &[("authorization", &bearer)], None).await.unwrap();
            statuses.push(answer.status);
        }
        statuses
    };
    assert_eq!(reads().await, [200; 3]);
    ok(&ada, "participant.to_lobby", json!({ "participant": id_of(&bob) })).await;
    assert_eq!(reads().await, [403; 3], "sent to the lobby");
    ok(&ada, "lobby.admit", json!({ "participant": id_of(&bob) })).await;
    assert_eq!(reads().await, [200; 3], "let in again");
    ok(&ada, "participant.remove", json!({ "participant": id_of(&bob) })).await;
    assert_eq!(reads().await, [403; 3], "removed");
}

/// Erasure reaches those who were expected and never came.
#[tokio::test]
async fn whoever_never_came_is_erased_from_the_lists() {
    let server = server(&[]).await;
    let plan = json!({ "rooms": [{ "name": "One", "users": ["dan", "eve"] }] });
    let made = done(&server, "/meetings", json!({ "title": "Planned", "breakout": plan })).await;
    let id = made["id"].as_str().unwrap();
    let ada = joined(&server, id, "ada", "host").await;
    ok(&ada, "breakout.open", json!({ "from": "plan" })).await;
    let says =
        async |what: &str| server.rest.log(id).await.unwrap().iter().any(|event| event.to_string().contains(what));
    assert!(says("\"dan\"").await);
    let export = server.rest.api("GET", "/users/dan/export", None).await.unwrap();
    assert_eq!((export.status, &export.json()["listed"]), (200, &json!([id])));
    let erased = server.rest.api("DELETE", "/users/dan", None).await.unwrap();
    assert_eq!((erased.status, erased.json()), (200, json!({ "meetings": 1 })));
    assert!(!says("\"dan\"").await, "nowhere in the log");
    assert!(says("\"eve\"").await, "the others stay");
    assert_eq!(server.rest.api("DELETE", "/users/dan", None).await.unwrap().status, 404);
    let dan = joined(&server, id, "dan", "participant").await;
    assert_eq!(dan.record().snapshot.as_ref().unwrap()["view"]["room"], "main", "nobody expects them");
}

/// The two names of a path are one route, and a request that comes again by either has one effect.
#[tokio::test]
async fn a_request_that_comes_again_by_the_other_name_has_one_effect() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    ok(&ada, "breakout.open", json!({ "rooms": [{ "name": "One" }] })).await;
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "again")];
    for base in ["rooms", "meetings", "rooms"] {
        let path = format!("/api/v1/{base}/{id}/breakout/rooms");
        let answer = server.rest.send("POST", &path, &headers, Some(r#"{"name":"Two"}"#)).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.json()["rooms"].as_array().unwrap().len(), 2);
    }
}

async fn lives(settings: &[(&str, &str)]) {
    let server = server(settings).await;
    // Both names of the path lead to the same.
    for base in ["meetings", "rooms"] {
        let id = meeting(&server, json!({})).await;
        let path = format!("/{base}/{id}/breakout");
        assert_eq!(server.rest.api("GET", &path, None).await.unwrap().json()["rooms"], json!([]));
        let ada = joined(&server, &id, "ada", "host").await;
        let bob = joined(&server, &id, "bob", "participant").await;
        let eve = joined(&server, &id, "eve", "participant").await;
        let listed = json!([{ "name": " One ", "participants": [id_of(&bob)] }, { "name": "Two", "users": ["eve"] }]);
        let opened = post(&server, &path, json!({ "rooms": listed, "duration_s": 600, "grace_s": 5 })).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let set = opened.json();
        assert_eq!((&set["rooms"][0]["name"], &set["rooms"][0]["kind"]), (&json!("One"), &json!("breakout")));
        assert_eq!((&set["breakout"]["state"], &set["breakout"]["assign"]), (&json!("open"), &json!("manual")));
        let ends_at = set["breakout"]["ends_at"].as_u64().unwrap();
        assert!(ends_at > now_ms() && set["rooms"][1]["ends_at"] == json!(ends_at) && set["seq"].is_u64());
        let room = |number: usize| set["rooms"][number]["id"].as_str().unwrap().to_owned();
        entered(&bob, &room(0)).await;
        entered(&eve, &room(1)).await;
        let shown = server.rest.api("GET", &path, None).await.unwrap().json();
        assert_eq!((&shown["rooms"], &shown["breakout"]), (&set["rooms"], &set["breakout"]));
        let there = |who: &str, room: &str| json!({ "participant": who, "room": room });
        let people = shown["participants"].as_array().unwrap();
        for expected in [there(&id_of(&ada), "main"), there(&id_of(&bob), &room(0)), there(&id_of(&eve), &room(1))] {
            assert!(people.contains(&expected), "{shown}");
        }

        let extended = done(&server, &format!("{path}/extend"), json!({ "by_s": 60 })).await;
        assert_eq!(extended["breakout"]["ends_at"], json!(ends_at + 60_000));
        let extended = done(&server, &format!("{path}/extend"), json!({ "ends_at": ends_at })).await;
        assert_eq!(extended["breakout"]["ends_at"], json!(ends_at));
        done(&server, &format!("{path}/broadcast"), json!({ "text": "from the backend" })).await;
        let told = bob.event("breakout.broadcast").await.unwrap();
        assert_eq!((&told.data["text"], &told.data["message"]["from"]), (&json!("from the backend"), &Value::Null));
        let moves = json!([there(&id_of(&bob), &room(1)), there(&id_of(&eve), &room(0))]);
        done(&server, &format!("{path}/move"), json!({ "moves": moves })).await;
        entered(&eve, &room(0)).await;
        let whom = json!({ "participant": id_of(&eve) });
        done(&server, &format!("{path}/main/join"), whom.clone()).await;
        entered(&eve, "main").await;
        done(&server, &format!("{path}/{}/join", room(0)), whom).await;
        let added = post(&server, &format!("{path}/rooms"), json!({ "name": "Three" })).await;
        assert_eq!((added.status, added.json()["rooms"][2]["name"].as_str()), (201, Some("Three")));
        let renamed = server.rest.api("PATCH", &format!("{path}/{}", room(1)), Some(json!({ "name": "Second" }))).await;
        assert_eq!(renamed.unwrap().json()["rooms"][1]["name"], "Second");
        ok(&eve, "chat.post", json!({ "to": "room", "text": "said in one" })).await;
        let merged = done(&server, &format!("{path}/merge"), json!({ "from": [room(0)], "into": room(1) })).await;
        assert_eq!(states(&merged), ["closed", "open", "open"]);
        entered(&eve, &room(1)).await;
        reads_at_last(&server, &id, "bob", &["from the backend", "said in one"]).await;
        let closing = done(&server, &format!("{path}/{}/close", room(1)), json!({})).await;
        assert_eq!(states(&closing), ["closed", "closing", "open"]);
        let closed = done(&server, &format!("{path}/{}/close", room(1)), json!({ "now": true })).await;
        assert_eq!(states(&closed), ["closed", "closed", "open"]);
        entered(&bob, "main").await;
        let closed = done(&server, &format!("{path}/close"), json!({ "now": true })).await;
        assert_eq!((states(&closed), &closed["breakout"]), (vec!["closed"; 3], &Value::Null));
        assert_eq!(post(&server, &format!("{path}/close"), json!({})).await.status, 409);
    }
}

#[tokio::test]
async fn a_join_token_acts_for_its_own_person() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let path = format!("/meetings/{id}/breakout");
    let token = |user: &str, role: &str| server.rest.key.join_token(&id, Some(user), user, role);
    let two = json!({ "rooms": [{ "name": "One" }, { "name": "Two" }], "assign": "self" });
    let early = as_bearer(&server, &token("ada", "host"), "POST", &path, Some(two.clone())).await;
    assert_eq!((early.0, &early.1["code"]), (409, &json!("wrong_state")), "nobody opens rooms from outside");
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    // What the meeting records counts, not what the token says.
    let forged = as_bearer(&server, &token("bob", "host"), "POST", &path, Some(two.clone())).await;
    assert_eq!((forged.0, &forged.1["code"]), (403, &json!("not_permitted")));
    let (status, set) = as_bearer(&server, &token("ada", "host"), "POST", &path, Some(two)).await;
    assert_eq!(status, 201, "{set}");
    let room = |number: usize| set["rooms"][number]["id"].as_str().unwrap();
    let join = format!("{path}/{}/join", room(1));
    assert_eq!(as_bearer(&server, &token("bob", "participant"), "POST", &join, None).await.0, 200);
    entered(&bob, room(1)).await;
    let moved = ada.event("participants.moved").await.unwrap();
    assert_eq!(moved.data["by"], json!(id_of(&bob)));
    let other = Some(json!({ "participant": id_of(&ada) }));
    assert_eq!(as_bearer(&server, &token("bob", "participant"), "POST", &join, other).await.0, 422);
    let close = format!("{path}/{}/close", room(1));
    assert_eq!(as_bearer(&server, &token("bob", "participant"), "POST", &close, None).await.0, 403);
    assert_eq!(as_bearer(&server, &token("stranger", "participant"), "GET", &path, None).await.0, 403);
    let (status, shown) = as_bearer(&server, &token("bob", "participant"), "GET", &path, None).await;
    assert_eq!((status, &shown["rooms"]), (200, &set["rooms"]));
    assert_eq!(as_bearer(&server, &token("ada", "host"), "POST", &close, Some(json!({ "now": true }))).await.0, 200);
    entered(&bob, "main").await;
}

#[tokio::test]
async fn what_was_planned_is_opened_and_people_find_their_rooms() {
    let server = server(&[]).await;
    let planned = json!({ "rooms": [{ "name": "One", "users": ["bob"] }, { "name": "Two", "users": ["eve", "late"] }],
        "duration_s": 600 });
    let made = post(&server, "/meetings", json!({ "title": "Planned", "breakout": planned })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/rooms/{id}/breakout");
    let _ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let set = done(&server, &path, json!({ "from": "plan" })).await;
    entered(&bob, set["rooms"][0]["id"].as_str().unwrap()).await;
    let late = client(&server, &id, Some("late"), "Late", "participant");
    let snapshot = late.joined().await.unwrap();
    assert_eq!(snapshot["view"]["room"], set["rooms"][1]["id"], "they come in by their own room");
    done(&server, &format!("{path}/close"), json!({ "now": true })).await;
    let attendance = server.rest.api("GET", &format!("/meetings/{id}/participants"), None).await.unwrap().json();
    let stays = attendance["items"].as_array().unwrap();
    let of =
        |user: &str| stays.iter().filter(|stay| stay["user"] == user).map(|stay| &stay["room"]).collect::<Vec<_>>();
    assert_eq!(of("late"), [&set["rooms"][1]["id"], &json!("main")]);

    // Another plan takes the place of the first.
    let other = json!({ "rooms": [{ "name": "All of us", "users": ["bob", "late"] }], "grace_s": 0 });
    let put = server.rest.api("PUT", &format!("{path}/plan"), Some(other.clone())).await.unwrap();
    assert_eq!((put.status, put.json()), (200, other));
    let set = done(&server, &path, json!({ "from": "plan" })).await;
    assert_eq!((set["rooms"].as_array().unwrap().len(), &set["breakout"]["grace_s"]), (1, &json!(0)));
    entered(&late, set["rooms"][0]["id"].as_str().unwrap()).await;
    done(&server, &format!("{path}/close"), json!({})).await;
    assert_eq!(
        server.rest.api("PUT", &format!("{path}/plan"), Some(json!({ "rooms": [] }))).await.unwrap().status,
        200
    );
    assert_eq!(post(&server, &path, json!({ "from": "plan" })).await.status, 409);

    // An erased person is not on the lists any more, nor in the log of them.
    assert_eq!(server.rest.api("DELETE", "/users/late", None).await.unwrap().status, 200);
    assert!(!Value::from(server.rest.log(&id).await.unwrap()).to_string().contains("\"late\""));

    // A plan that cannot be makes no meeting either.
    for wrong in [
        json!({ "rooms": [{ "name": "" }] }),
        json!({ "rooms": [{ "name": "a", "users": ["x"] }, { "name": "b", "users": ["x"] }] }),
        json!({ "rooms": [{ "name": "a" }], "duration_s": 0 }),
        json!({ "from": "last" }),
    ] {
        let refused = post(&server, "/meetings", json!({ "title": "Not made", "breakout": wrong })).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
    let listed = server.rest.api("GET", "/meetings?q=not+made", None).await.unwrap().json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_repeated_opening_opens_once_and_another_tenant_finds_nothing() {
    let keys = format!("acme/load:{},other/other:{}", "a".repeat(32), "b".repeat(32));
    let mut server = server(&[("CONVOKE_API_KEYS", &keys)]).await;
    server.rest.key = Key::parse(&format!("load:{}", "a".repeat(32))).unwrap();
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let path = format!("/meetings/{id}/breakout");
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let route = format!("/api/v1{path}");
    let send = |body: &'static str| server.rest.send("POST", &route, &headers, Some(body));
    let first = send(r#"{"rooms":[{"name":"One"}]}"#).await.unwrap();
    let again = send(r#"{"rooms":[{"name":"One"}]}"#).await.unwrap();
    assert_eq!((first.status, &first.body), (201, &again.body), "the answer of the first time");
    assert_eq!(send(r#"{"rooms":[{"name":"Two"}]}"#).await.unwrap().status, 409);
    assert!(first.header("x-ratelimit-remaining").is_some());
    let room = first.json()["rooms"][0]["id"].as_str().unwrap().to_owned();

    let before = server.rest.log(&id).await.unwrap().len();
    let mut other = server.rest.clone();
    other.key = Key::parse(&format!("other:{}", "b".repeat(32))).unwrap();
    let who = json!({ "participant": id_of(&ada) });
    for base in ["meetings", "rooms"] {
        let path = format!("/{base}/{id}/breakout");
        for (method, path, body) in [
            ("GET", path.clone(), None),
            ("POST", path.clone(), Some(json!({ "rooms": [{ "name": "Mine" }] }))),
            ("PUT", format!("{path}/plan"), Some(json!({ "rooms": [{ "name": "Mine" }] }))),
            ("POST", format!("{path}/rooms"), Some(json!({ "name": "Mine" }))),
            ("PATCH", format!("{path}/{room}"), Some(json!({ "name": "Mine" }))),
            ("POST", format!("{path}/{room}/join"), Some(who.clone())),
            ("POST", format!("{path}/{room}/close"), None),
            ("POST", format!("{path}/move"), Some(json!({ "moves": [{ "participant": id_of(&ada), "room": room }] }))),
            ("POST", format!("{path}/merge"), Some(json!({ "from": [room], "into": "main" }))),
            ("POST", format!("{path}/extend"), Some(json!({ "by_s": 5 }))),
            ("POST", format!("{path}/broadcast"), Some(json!({ "text": "hello" }))),
            ("POST", format!("{path}/close"), None),
        ] {
            let response = other.api(method, &path, body).await.unwrap();
            assert_eq!(
                (response.status, response.json()["code"].as_str()),
                (404, Some("not_found")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(server.rest.log(&id).await.unwrap().len(), before);
}
