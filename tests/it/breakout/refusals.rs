//! What cannot be done with rooms: by socket and by REST the same code, and nothing has happened.

use super::{as_bearer, entered, now_ms, open};
use crate::{id_of, joined, meeting, ok, refused, server};
use serde_json::{Value, json};

/// A set with an open, a closing and a closed room; asked for what is wrong in every way there is.
#[tokio::test]
async fn what_is_wrong_is_refused_by_code_and_changes_nothing() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let listed =
        json!([{ "name": "Open", "participants": [id_of(&bob)] }, { "name": "Closing" }, { "name": "Closed" }]);
    let set = json!({ "rooms": listed, "duration_s": 3_600, "grace_s": 600, "allow_return": false });
    let rooms = open(&ada, set).await;
    entered(&bob, &rooms[0]).await;
    ok(&ada, "breakout.close", json!({ "room": rooms[1] })).await;
    ok(&ada, "breakout.close", json!({ "room": rooms[2], "now": true })).await;
    let path = format!("/meetings/{id}/breakout");
    let state = async || {
        let set = server.rest.api("GET", &path, None).await.unwrap().body;
        (server.rest.log(&id).await.unwrap().len(), set)
    };
    let before = state().await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let one = |participant: &str, room: &str| json!({ "participant": participant, "room": room });
    let (ada_id, bob_id) = (id_of(&ada), id_of(&bob));
    let moves = |moves: &[Value]| json!({ "moves": moves });
    for (kind, route, data, code, status) in [
        ("breakout.move", "move", moves(&[one(&nobody, &rooms[0])]), "not_found", 404),
        ("breakout.move", "move", moves(&[one(&ada_id, &rooms[0]), one(&nobody, &rooms[0])]), "not_found", 404),
        ("breakout.move", "move", moves(&[one(&ada_id, &nobody)]), "not_found", 404),
        ("breakout.move", "move", moves(&[one(&ada_id, &rooms[0]), one(&ada_id, "main")]), "bad_request", 422),
        ("breakout.move", "move", moves(&[one(&bob_id, "main"), one(&ada_id, &rooms[1])]), "wrong_state", 409),
        ("breakout.move", "move", moves(&[one(&ada_id, &rooms[2])]), "wrong_state", 409),
        ("breakout.move", "move", moves(&[]), "bad_request", 422),
        ("breakout.move", "move", moves(&[one(&ada_id, "somewhere")]), "bad_request", 422),
        ("breakout.move", "move", json!({}), "bad_request", 422),
        ("breakout.merge", "merge", json!({ "from": [rooms[0]], "into": rooms[0] }), "bad_request", 422),
        ("breakout.merge", "merge", json!({ "from": [rooms[0], rooms[0]], "into": "main" }), "bad_request", 422),
        ("breakout.merge", "merge", json!({ "from": [rooms[0]], "into": rooms[1] }), "wrong_state", 409),
        ("breakout.merge", "merge", json!({ "from": [rooms[2]], "into": rooms[0] }), "wrong_state", 409),
        ("breakout.merge", "merge", json!({ "from": [nobody], "into": rooms[0] }), "not_found", 404),
        ("breakout.merge", "merge", json!({ "from": ["main"], "into": rooms[0] }), "bad_request", 422),
        ("breakout.merge", "merge", json!({ "from": [], "into": rooms[0] }), "bad_request", 422),
        ("breakout.extend", "extend", json!({ "ends_at": now_ms() - 1_000 }), "bad_request", 422),
        ("breakout.extend", "extend", json!({ "by_s": 0 }), "bad_request", 422),
        ("breakout.extend", "extend", json!({ "by_s": -5 }), "bad_request", 422),
        ("breakout.extend", "extend", json!({}), "bad_request", 422),
        ("breakout.extend", "extend", json!({ "by_s": 5, "ends_at": now_ms() + 60_000 }), "bad_request", 422),
        ("breakout.broadcast", "broadcast", json!({ "text": " " }), "bad_request", 422),
        ("breakout.broadcast", "broadcast", json!({ "text": "x".repeat(4_001) }), "too_large", 413),
        ("breakout.add", "rooms", json!({ "name": "" }), "bad_request", 422),
        ("breakout.add", "rooms", json!({ "name": "n".repeat(129) }), "too_large", 413),
        ("breakout.open", "", json!({ "rooms": [{ "name": "A second set" }] }), "wrong_state", 409),
    ] {
        assert_eq!(refused(&ada, kind, data.clone()).await, code, "{kind} {data}");
        let route = format!("{path}/{route}");
        let response = server.rest.api("POST", route.trim_end_matches('/'), Some(data.clone())).await.unwrap();
        let told = (response.status, response.json()["code"].as_str().map(ToOwned::to_owned));
        assert_eq!(told, (status, Some(code.to_owned())), "{route} {data}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }
    for (kind, data, code) in [
        ("breakout.join", json!({ "room": nobody }), "not_found"),
        ("breakout.join", json!({ "room": rooms[1] }), "wrong_state"),
        ("breakout.join", json!({ "room": rooms[2] }), "wrong_state"),
        ("breakout.close", json!({ "room": rooms[2] }), "wrong_state"),
        ("breakout.close", json!({ "room": "main" }), "bad_request"),
        ("breakout.close", json!({ "room": nobody }), "not_found"),
        ("breakout.rename", json!({ "room": rooms[2], "name": "Gone" }), "wrong_state"),
        ("breakout.rename", json!({ "room": nobody, "name": "Nowhere" }), "not_found"),
        ("breakout.help", json!({}), "wrong_state"),
    ] {
        assert_eq!(refused(&ada, kind, data.clone()).await, code, "{kind} {data}");
    }
    let whom = Some(json!({ "participant": ada_id }));
    for (method, route, body, status) in [
        ("POST", format!("{nobody}/join"), whom.clone(), 404),
        ("POST", "somewhere/join".to_owned(), whom.clone(), 404),
        ("POST", format!("{}/join", rooms[1]), whom.clone(), 409),
        ("POST", format!("{}/join", rooms[0]), Some(json!({ "participant": nobody })), 404),
        ("POST", format!("{}/join", rooms[0]), None, 422),
        ("POST", format!("{}/close", rooms[2]), None, 409),
        ("POST", format!("{nobody}/close"), None, 404),
        ("POST", "main/close".to_owned(), None, 422),
        ("PATCH", rooms[2].clone(), Some(json!({ "name": "Gone" })), 409),
        ("PATCH", nobody.clone(), Some(json!({ "name": "Nowhere" })), 404),
        ("PATCH", rooms[0].clone(), Some(json!({ "name": "x", "colour": "red" })), 422),
        ("PUT", "plan".to_owned(), Some(json!({ "rooms": [{ "name": "x", "colour": "red" }] })), 422),
    ] {
        let response = server.rest.api(method, &format!("{path}/{route}"), body).await.unwrap();
        assert_eq!(response.status, status, "{method} {route}: {}", response.body);
    }
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let route = format!("/api/v1{path}/move");
    let not_json = server.rest.send("POST", &route, &[("authorization", &bearer)], Some("{nope")).await.unwrap();
    assert_eq!(not_json.status, 400);
    assert_eq!(server.rest.send("POST", &route, &[], Some("{}")).await.unwrap().status, 401);

    // A participant has a say over themselves alone, and here not even that.
    let token = server.rest.key.join_token(&id, Some("bob"), "Bob", "participant");
    for (kind, route, data) in [
        ("breakout.open", "", json!({ "rooms": [{ "name": "Mine" }] })),
        ("breakout.move", "move", moves(&[one(&bob_id, "main")])),
        ("breakout.merge", "merge", json!({ "from": [rooms[0]], "into": "main" })),
        ("breakout.extend", "extend", json!({ "by_s": 60 })),
        ("breakout.broadcast", "broadcast", json!({ "text": "hello all" })),
        ("breakout.add", "rooms", json!({ "name": "Mine" })),
        ("breakout.close", "close", json!({})),
        ("breakout.join", "main/join", json!({ "room": "main" })),
    ] {
        assert_eq!(refused(&bob, kind, data.clone()).await, "not_permitted", "{kind}");
        let body = (kind != "breakout.join").then_some(data);
        let route = format!("{path}/{route}");
        let (status, problem) = as_bearer(&server, &token, "POST", route.trim_end_matches('/'), body).await;
        assert_eq!((status, &problem["code"]), (403, &json!("not_permitted")), "{route}");
    }
    assert_eq!(state().await, before, "nothing has happened");
    let snapshot = joined(&server, &id, "late", "participant").await.record().snapshot.clone().unwrap();
    let told: Vec<_> = snapshot["rooms"].as_array().unwrap().iter().map(|room| &room["state"]).collect();
    assert_eq!(told, ["open", "open", "closing", "closed"], "the main room is the first of them");
    // Only what is closing lets its people go.
    ok(&ada, "breakout.close", json!({ "room": rooms[0] })).await;
    ok(&bob, "breakout.join", json!({ "room": "main" })).await;
    entered(&bob, "main").await;
}

#[tokio::test]
async fn a_set_that_cannot_be_is_not_opened() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let path = format!("/meetings/{id}/breakout");
    let rooms = |count: usize| (0..count).map(|number| json!({ "name": format!("Room {number}") })).collect::<Vec<_>>();
    let early = server.rest.api("POST", &path, Some(json!({ "rooms": rooms(1) }))).await.unwrap();
    assert_eq!((early.status, early.json()["code"].as_str()), (409, Some("wrong_state")), "nobody is there yet");
    let ada = joined(&server, &id, "ada", "host").await;
    let before = server.rest.log(&id).await.unwrap().len();
    let nobody = uuid::Uuid::now_v7();
    let ada_id = id_of(&ada);
    for (data, code, status) in [
        (json!({ "rooms": rooms(101) }), "capacity", 409),
        (json!({ "rooms": [] }), "bad_request", 422),
        (json!({}), "bad_request", 422),
        (json!({ "rooms": rooms(2), "duration_s": 0 }), "bad_request", 422),
        (json!({ "rooms": rooms(2), "duration_s": -1 }), "bad_request", 422),
        (json!({ "rooms": rooms(2), "duration_s": 10_000_000 }), "bad_request", 422),
        (json!({ "rooms": rooms(2), "grace_s": 601 }), "bad_request", 422),
        (json!({ "rooms": rooms(2), "warn_s": [0] }), "bad_request", 422),
        (json!({ "rooms": rooms(2), "assign": "by magic" }), "bad_request", 422),
        (json!({ "rooms": [{ "name": "n".repeat(129) }] }), "too_large", 413),
        (json!({ "rooms": [{ "name": " " }] }), "bad_request", 422),
        (json!({ "rooms": [{ "name": "One", "participants": [nobody] }] }), "not_found", 404),
        (json!({ "rooms": [{ "name": "One", "participants": [ada_id, ada_id] }] }), "bad_request", 422),
        (
            json!({ "rooms": [{ "name": "One", "participants": [ada_id] }, { "name": "Two", "users": ["ada"] }] }),
            "bad_request",
            422,
        ),
        (
            json!({ "rooms": [{ "name": "One", "users": ["ada"] }, { "name": "Two", "participants": [ada_id] }] }),
            "bad_request",
            422,
        ),
        (json!({ "from": "last" }), "wrong_state", 409),
        (json!({ "from": "plan" }), "wrong_state", 409),
        (json!({ "from": "last", "rooms": rooms(1) }), "bad_request", 422),
    ] {
        assert_eq!(refused(&ada, "breakout.open", data.clone()).await, code, "{data}");
        let response = server.rest.api("POST", &path, Some(data.clone())).await.unwrap();
        assert_eq!((response.status, response.json()["code"].as_str()), (status, Some(code)), "{data}");
    }
    for (kind, data) in [
        ("breakout.move", json!({ "moves": [{ "participant": ada_id, "room": "main" }] })),
        ("breakout.extend", json!({ "by_s": 5 })),
        ("breakout.add", json!({ "name": "One" })),
        ("breakout.broadcast", json!({ "text": "hello" })),
        ("breakout.close", json!({})),
    ] {
        assert_eq!(refused(&ada, kind, data).await, "wrong_state", "{kind}, and no rooms are open");
    }
    assert_eq!(server.rest.log(&id).await.unwrap().len(), before);
    assert_eq!(open(&ada, json!({ "rooms": rooms(100) })).await.len(), 100);
    assert_eq!(refused(&ada, "breakout.add", json!({ "name": "One more" })).await, "capacity");
}
