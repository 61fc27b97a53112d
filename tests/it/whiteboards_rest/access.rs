//! What a join token may with whiteboards over REST: as its person may in the meeting.

use super::{api, id, make, names};
use crate::breakout::{as_bearer, entered};
use crate::{id_of, joined, meeting, ok, server};
use serde_json::json;

#[tokio::test]
async fn a_join_token_does_with_boards_what_its_person_may() {
    let server = server(&[]).await;
    let meeting = meeting(&server, json!({})).await;
    let path = format!("/meetings/{meeting}/whiteboards");
    let plan = make(&server, &meeting, json!({ "name": "Plan" })).await;
    let at = |rest: &str| format!("/whiteboards/{}{rest}", id(&plan));
    let token = |user: &str, role: &str| server.rest.key.join_token(&meeting, Some(user), user, role);
    let (host, one, viewer) = (token("ada", "host"), token("bob", "participant"), token("eve", "viewer"));
    assert_eq!(as_bearer(&server, &one, "GET", &at("/export"), None).await.0, 403, "nobody was inside yet");
    let ada = joined(&server, &meeting, "ada", "host").await;
    let bob = joined(&server, &meeting, "bob", "participant").await;
    let eve = joined(&server, &meeting, "eve", "viewer").await;
    for token in [&host, &one, &viewer] {
        for path in [path.clone(), at(""), at("/export"), at("/export?format=png"), at("/snapshots")] {
            assert_eq!(as_bearer(&server, token, "GET", &path, None).await.0, 200, "{path}");
        }
    }
    let guest = server.rest.key.join_token(&meeting, None, "Guest", "participant");
    assert_eq!(as_bearer(&server, &guest, "GET", &at("/export"), None).await.0, 403);

    // Theirs and others'.
    let (status, his) = as_bearer(&server, &one, "POST", &path, Some(json!({ "name": "His" }))).await;
    assert_eq!((status, &his["by"]), (201, &json!(id_of(&bob))), "{his}");
    let of_his = |rest: &str| format!("/whiteboards/{}{rest}", id(&his));
    let (status, kept) = as_bearer(&server, &one, "POST", &of_his("/snapshots"), Some(json!({}))).await;
    assert_eq!(status, 201, "{kept}");
    let back = json!({ "snapshot": kept["id"] });
    assert_eq!(as_bearer(&server, &one, "POST", &of_his("/restore"), Some(back.clone())).await.0, 200);
    assert_eq!(as_bearer(&server, &one, "PATCH", &of_his(""), Some(json!({ "name": "Bob's" }))).await.0, 200);
    for (token, method, path, body) in [
        (&viewer, "POST", path.clone(), json!({ "name": "Hers" })),
        (&one, "POST", path.clone(), json!({ "name": "Closed", "access": "hosts" })),
        (&one, "PATCH", of_his(""), json!({ "access": "nobody" })),
        (&one, "PATCH", at(""), json!({ "name": "Mine" })),
        (&one, "DELETE", at(""), json!({})),
        (&one, "POST", at("/snapshots"), json!({})),
        (&viewer, "POST", of_his("/restore"), back.clone()),
        (&one, "POST", at("/copy"), json!({ "rooms": ["main"] })),
    ] {
        let (status, refused) = as_bearer(&server, token, method, &path, Some(body)).await;
        assert_eq!((status, &refused["code"]), (403, &json!("not_permitted")), "{method} {path}: {refused}");
    }
    assert_eq!(as_bearer(&server, &host, "PATCH", &of_his(""), Some(json!({ "access": "nobody" }))).await.0, 200);

    // In another room there are other boards.
    let rooms =
        crate::breakout::open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&bob)] }] })).await;
    entered(&bob, &rooms[0]).await;
    let inner = make(&server, &meeting, json!({ "name": "Inner", "room": rooms[0] })).await;
    let of_inner = |rest: &str| format!("/whiteboards/{}{rest}", id(&inner));
    let (_, listed) = as_bearer(&server, &one, "GET", &path, None).await;
    assert_eq!(names(&listed), ["Inner"]);
    let (_, listed) = as_bearer(&server, &viewer, "GET", &path, None).await;
    assert_eq!(names(&listed), ["Plan", "Bob's"]);
    let (_, listed) = as_bearer(&server, &host, "GET", &path, None).await;
    assert_eq!(names(&listed), ["Plan", "Bob's", "Inner"]);
    for (token, path, status) in [
        (&one, of_inner("/export"), 200),
        (&one, at("/export"), 404),
        (&one, at(""), 404),
        (&one, of_his("/snapshots"), 404),
        (&viewer, of_inner("/export?format=svg"), 404),
        (&host, of_inner("/export"), 200),
        (&host, at("/export"), 200),
    ] {
        assert_eq!(as_bearer(&server, token, "GET", &path, None).await.0, status, "{path}");
    }
    assert_eq!(as_bearer(&server, &one, "DELETE", &of_his(""), None).await.0, 404);

    // Another meeting's host finds nothing here.
    let other = crate::meeting(&server, json!({})).await;
    let _zoe = joined(&server, &other, "zoe", "host").await;
    let stranger = server.rest.key.join_token(&other, Some("zoe"), "zoe", "host");
    for path in [path.clone(), at(""), at("/export"), at("/snapshots")] {
        assert_eq!(as_bearer(&server, &stranger, "GET", &path, None).await.0, 404, "{path}");
    }
    assert_eq!(as_bearer(&server, &stranger, "DELETE", &at(""), None).await.0, 404);

    // Who has left, or is sent away, sees no board; and when it is over, whoever led does.
    ok(&bob, "leave", json!({})).await;
    let (status, gone) = as_bearer(&server, &one, "GET", &of_inner("/export"), None).await;
    assert!(matches!(status, 404 | 409), "{gone}");
    ok(&ada, "participant.remove", json!({ "participant": id_of(&eve) })).await;
    assert_eq!(as_bearer(&server, &viewer, "GET", &at("/export"), None).await.0, 403);
    ok(&ada, "meeting.end", json!({})).await;
    assert_eq!(as_bearer(&server, &host, "GET", &of_inner("/export"), None).await.0, 200);
    assert_eq!(as_bearer(&server, &one, "GET", &of_inner("/export"), None).await.0, 409);
    let (_, listed) = as_bearer(&server, &one, "GET", &path, None).await;
    assert_eq!(names(&listed), Vec::<&str>::new());
    assert_eq!(api(&server, "GET", &of_inner("/export"), None).await.0, 200);
}

#[tokio::test]
async fn names_that_an_erased_person_gave_are_gone() {
    let server = server(&[]).await;
    let meeting = meeting(&server, json!({})).await;
    let path = format!("/meetings/{meeting}/whiteboards");
    let plan = make(&server, &meeting, json!({ "name": "Plan" })).await;
    let of_plan = |rest: &str| format!("/whiteboards/{}{rest}", id(&plan));
    let [ada, bob] = [("ada", "host"), ("bob", "cohost")]
        .map(|(user, role)| server.rest.key.join_token(&meeting, Some(user), user, role));
    let _there = [joined(&server, &meeting, "ada", "host").await, joined(&server, &meeting, "bob", "cohost").await];
    let (_, his) = as_bearer(&server, &bob, "POST", &path, Some(json!({ "name": "Robert's board" }))).await;
    let of_his = |rest: &str| format!("/whiteboards/{}{rest}", id(&his));
    for (token, method, path, body, expected) in [
        (&bob, "PATCH", of_plan(""), json!({ "name": "Robert's plan" }), 200),
        (&ada, "POST", of_his("/copy"), json!({ "rooms": ["main"] }), 201),
        (&bob, "POST", of_plan("/snapshots"), json!({ "name": "Robert's view" }), 201),
        (&ada, "POST", of_plan("/snapshots"), json!({ "name": "Ada's view" }), 201),
        (&ada, "POST", of_his("/snapshots"), json!({ "name": "Ada's, too" }), 201),
    ] {
        let (status, done) = as_bearer(&server, token, method, &path, Some(body)).await;
        assert_eq!(status, expected, "{method} {path}: {done}");
    }
    // Nobody knows who gave this one its name.
    assert_eq!(api(&server, "POST", &of_his("/snapshots"), Some(json!({ "name": "Robert's, too" }))).await.0, 201);
    let (_, export) = api(&server, "GET", "/users/bob/export", None).await;
    let told = &export["meetings"][0];
    let told = |list: &str| told[list].as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
    assert_eq!(told("whiteboards"), ["Robert's plan", "Robert's board", "Robert's board"], "{export}");
    assert_eq!(told("whiteboard_snapshots"), ["Robert's view"]);

    assert_eq!(api(&server, "DELETE", "/users/bob", None).await.0, 200);
    let (_, boards) = api(&server, "GET", &path, None).await;
    assert_eq!(names(&boards), ["Erased"; 3]);
    let (_, of_plan) = api(&server, "GET", &of_plan("/snapshots"), None).await;
    assert_eq!(names(&of_plan), ["Ada's view", "Erased"]);
    let (_, of_his) = api(&server, "GET", &of_his("/snapshots"), None).await;
    assert_eq!(names(&of_his), ["Erased", "Ada's, too"]);
}
