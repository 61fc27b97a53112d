//! What begins and ends a recording over REST: who may, what is refused, and what a repetition does.

use super::{Stage, is_told};
use crate::breakout::as_bearer;
use crate::{joined, meeting, ok, server};
use convoke_loadtest::rest::Response;
use convoke_loadtest::webhook::LIVEKIT;
use serde_json::{Value, json};
use uuid::Uuid;

const START: &str = "/recordings/start";
const STOP: &str = "/recordings/stop";

#[tokio::test]
async fn without_a_recorder_nothing_is_recorded() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let _ada = joined(&server, &id, "ada", "host").await;
    let refused = server.rest.api("POST", START, Some(json!({ "meeting_id": id }))).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("wrong_state")));
    assert!(refused.json()["detail"].as_str().unwrap().contains("no recorder"), "{}", refused.body);
    // There is nothing to stop, and that is no error.
    let stopped = server.rest.api("POST", STOP, Some(json!({ "meeting_id": id }))).await.unwrap();
    assert_eq!((stopped.status, &stopped.json()["recordings"]), (200, &json!([])), "{}", stopped.body);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused() {
    let server = server(&LIVEKIT.settings()).await;
    let id = meeting(&server, json!({})).await;
    let post = async |path: &str, body: Value| {
        let answer = server.rest.api("POST", path, Some(body)).await.unwrap();
        (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    let main = json!({ "meeting_id": id });
    assert_eq!(post(START, main.clone()).await, is(409, "wrong_state"), "it has not started");
    let ada = joined(&server, &id, "ada", "host").await;
    let _bob = joined(&server, &id, "bob", "participant").await;
    let room = Uuid::now_v7();
    for (path, body, refusal) in [
        (START, json!({ "meeting_id": id, "room": room }), is(404, "not_found")),
        (START, json!({ "meeting_id": Uuid::now_v7() }), is(404, "not_found")),
        (START, json!({ "meeting_id": "x" }), is(404, "not_found")),
        (STOP, json!({ "meeting_id": id, "recording_id": Uuid::now_v7() }), is(404, "not_found")),
        (STOP, json!({ "meeting_id": Uuid::now_v7() }), is(404, "not_found")),
        (START, json!({}), is(422, "bad_request")),
        (START, json!({ "meeting_id": id, "room": "lobby" }), is(422, "bad_request")),
        (START, json!({ "meeting_id": id, "colour": 1 }), is(422, "bad_request")),
        (START, json!({ "meeting_id": id, "options": { "format": "avi" } }), is(422, "bad_request")),
        (START, json!({ "meeting_id": id, "options": { "kind": "everything" } }), is(422, "bad_request")),
        (START, json!({ "meeting_id": id, "options": { "include_audio_tracks": 1 } }), is(422, "bad_request")),
        (STOP, json!({ "meeting_id": id, "recording_id": "x" }), is(422, "bad_request")),
    ] {
        assert_eq!(post(path, body.clone()).await, refusal, "{path} {body}");
    }
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    for path in [START, STOP] {
        let headers = [("authorization", bearer.as_str())];
        let refused = server.rest.send("POST", &format!("/api/v1{path}"), &headers, Some("{")).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("bad_request")));
        let refused = server.rest.send("POST", &format!("/api/v1{path}"), &[], Some("{}")).await.unwrap();
        assert_eq!(refused.status, 401);
    }
    // Who may: by the role that the meeting records, not by the token's; and not from outside.
    let token = |user: &str, role: &str| server.rest.key.join_token(&id, Some(user), user, role);
    for path in [START, STOP] {
        let (status, refused) = as_bearer(&server, &token("bob", "host"), "POST", path, Some(main.clone())).await;
        assert_eq!((status, &refused["code"]), (403, &json!("not_permitted")), "{path}");
        let (status, refused) = as_bearer(&server, &token("eve", "host"), "POST", path, Some(main.clone())).await;
        assert_eq!((status, &refused["code"]), (409, &json!("wrong_state")), "{path}");
        let other = json!({ "meeting_id": Uuid::now_v7() });
        assert_eq!(as_bearer(&server, &token("ada", "host"), "POST", path, Some(other)).await.0, 404);
    }
    let (status, begun) = as_bearer(&server, &token("ada", "host"), "POST", START, Some(main.clone())).await;
    assert_eq!((status, &begun["recording"]["status"]), (201, &json!("pending")), "{begun}");
    assert_eq!(post(START, main.clone()).await, is(409, "conflict"), "twice");
    // Of another kind it may be: what was asked for stands in the answer.
    let options = json!({ "kind": "tracks", "format": "webm", "include_screen_share": true });
    let tracks = json!({ "meeting_id": id, "room": "main", "options": options });
    let tracks = server.rest.api("POST", START, Some(tracks)).await.unwrap().json()["recording"].clone();
    assert_eq!((&tracks["kind"], &tracks["format"]), (&json!("tracks"), &json!("webm")));
    assert_eq!((&tracks["screen_share"], &tracks["room"]), (&json!(true), &json!("main")));
    // All of them, the newest first; and again, when none runs.
    let stopped = server.rest.api("POST", STOP, Some(main.clone())).await.unwrap().json()["recordings"].clone();
    let ids: Vec<&Value> = stopped.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&tracks["id"], &begun["recording"]["id"]]);
    assert!(stopped.as_array().unwrap().iter().all(|one| one["status"] == "stopping"), "{stopped}");
    ok(&ada, "meeting.end", json!({})).await;
    assert_eq!(post(START, main.clone()).await, is(409, "wrong_state"), "it is over");
}

#[tokio::test]
async fn a_post_that_comes_again_has_one_effect() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let bearer = format!("Bearer {}", stage.rest().key.api_token());
    let post = async |path: &str, key: &str, body: &Value| -> Response {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        stage.rest().send("POST", &format!("/api/v1{path}"), &headers, Some(&body.to_string())).await.unwrap()
    };
    let main = json!({ "meeting_id": id });
    let (first, again) = tokio::join!(post(START, "one", &main), post(START, "one", &main));
    assert_eq!((first.status, again.status), (201, 201), "{} {}", first.body, again.body);
    let recording = first.json()["recording"]["id"].as_str().unwrap().to_owned();
    assert_eq!(again.json()["recording"]["id"], json!(recording));
    let other = post(START, "one", &json!({ "meeting_id": id, "room": "main" })).await;
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("conflict")), "another body");
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    let stops = [post(STOP, "two", &main).await, post(STOP, "two", &main).await];
    for stopped in &stops {
        assert_eq!((stopped.status, &stopped.json()["recordings"][0]["id"]), (200, &json!(recording)));
    }
    assert_eq!(stops[0].json(), stops[1].json());
    stage.double.stopped(&egress).await;
    // The first key still stands for what it began, though that is over.
    assert_eq!(post(START, "one", &main).await.json(), first.json());
    let log = stage.rest().log(&id).await.unwrap();
    let pending = log.iter().filter(|event| event["data"]["recording"]["status"] == "pending");
    assert_eq!(pending.count(), 1);
    assert_eq!(stage.double.look(|state| state.egresses.len()), 1);
}
