//! The report through the front door, as JSON and as a page.

use crate::breakout::{as_bearer, entered, open, postgres};
use crate::{client, id_of, joined, meeting, ok, server};
use serde_json::{Value, json};

async fn reports(settings: &[(&str, &str)]) {
    let server = server(settings).await;
    let rest = &server.rest;
    let made = rest.api("POST", "/meetings", Some(json!({ "title": "<h1>Weekly & more" }))).await.unwrap();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = client(&server, &id, Some("bob"), "<script>alert(1)</script>", "participant");
    bob.joined().await.unwrap();
    let ear = joined(&server, &id, "ear", "agent").await;
    let (ada_id, bob_id) = (id_of(&ada), id_of(&bob));
    ok(&bob, "hand.raise", json!({})).await;
    ok(&bob, "hand.lower", json!({})).await;
    ok(&bob, "hand.raise", json!({})).await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "aloud" })).await;
    ok(&bob, "chat.post", json!({ "to": ada_id, "text": "a private word" })).await;
    let now = crate::breakout::now_ms();
    let caption = json!({ "participant": bob_id, "lang": "en", "text": "spoken", "start_at": now, "end_at": now,
        "final": true });
    ok(&ear, "caption.publish", caption).await;
    ok(&bob, "question.ask", json!({ "text": "By <b>name</b>?", "anonymous": false })).await;
    ok(&bob, "question.ask", json!({ "text": "By nobody?", "anonymous": true })).await;
    for (question, anonymous) in [("Named", false), ("Veiled", true)] {
        let poll =
            json!({ "question": question, "options": ["One", "Two"], "anonymous": anonymous, "results": "live" });
        ok(&ada, "poll.open", poll).await;
        let opened = |record: &convoke_loadtest::client::Record| {
            let mut all = record.heard.iter().filter(|heard| heard.kind == "poll.opened");
            all.find(|heard| heard.data["poll"]["question"] == json!(question)).cloned()
        };
        let poll = bob.until("the poll", opened).await.unwrap().data["poll"]["id"].clone();
        ok(&bob, "poll.vote", json!({ "poll": poll, "choices": [1] })).await;
        ok(&ada, "poll.close", json!({ "poll": poll })).await;
    }
    let rooms = open(&ada, json!({ "rooms": [{ "name": "Room & One", "participants": [bob_id] }] })).await;
    entered(&bob, &rooms[0]).await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "in one" })).await;
    let path = format!("/meetings/{id}/report");
    let host = rest.key.join_token(&id, Some("ada"), "ada", "host");
    let (status, live) = as_bearer(&server, &host, "GET", &path, None).await;
    assert_eq!((status, &live["meeting"]["status"]), (200, &json!("live")));
    assert!(live["meeting"]["duration_ms"].is_u64() && live["meeting"]["ended_at"].is_null(), "{live}");
    assert!(live["participants"][1]["stays"][1]["left_at"].is_null(), "{live}");
    let guest = rest.key.join_token(&id, Some("bob"), "bob", "host");
    assert_eq!(as_bearer(&server, &guest, "GET", &path, None).await.0, 403, "who was a participant");
    let service = rest.key.join_token(&id, Some("ear"), "ear", "agent");
    assert_eq!(as_bearer(&server, &service, "GET", &path, None).await.0, 403, "a service");

    assert_eq!(rest.api("POST", &format!("/meetings/{id}/end"), None).await.unwrap().status, 200);
    let answer = rest.api("GET", &path, None).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let report = answer.json();
    let meeting = &report["meeting"];
    let times = ["started_at", "ended_at", "duration_ms"].map(|time| meeting[time].as_u64().unwrap());
    assert_eq!(times[1] - times[0], times[2]);
    assert_eq!((&meeting["title"], &meeting["status"]), (&json!("<h1>Weekly & more"), &json!("ended")));
    let people = report["participants"].as_array().unwrap();
    let told: Vec<_> = people.iter().map(|one| (&one["participant"], one["user"].as_str().unwrap())).collect();
    assert_eq!(told, [(&json!(ada_id), "ada"), (&json!(bob_id), "bob")]);
    let mut totals = people[1]["totals"].clone();
    let inside = totals.as_object_mut().unwrap().remove("inside_ms").unwrap().as_u64().unwrap();
    let counted = json!({ "hands": 2, "messages": 3, "questions": 1, "polls": 1, "captions": 1 });
    assert_eq!(totals, counted, "nothing that was anonymous is counted for anybody");
    let stays = people[1]["stays"].as_array().unwrap();
    assert_eq!((&stays[0]["room"], &stays[1]["room"], stays.len()), (&json!("main"), &json!(rooms[0]), 2));
    let length: u64 = stays.iter().map(|stay| stay["duration_ms"].as_u64().unwrap()).sum();
    assert_eq!(inside, length);
    let shown = |room: &Value| json!([room["name"], room["people"], room["messages"], room["captions"]]);
    let told: Vec<Value> = report["rooms"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(told, [json!(["Main", 2, 2, 1]), json!(["Room & One", 1, 1, 0])]);
    let shown = |question: &Value| json!([question["text"], question["by"], question["votes"], question["state"]]);
    let told: Vec<Value> = report["questions"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(told, [json!(["By <b>name</b>?", bob_id, 0, "open"]), json!(["By nobody?", null, 0, "open"])]);
    let options = json!([{ "text": "One", "votes": 0 }, { "text": "Two", "votes": 1 }]);
    for (number, anonymous) in [false, true].into_iter().enumerate() {
        let poll = &report["polls"][number];
        assert_eq!((&poll["options"], &poll["voters"], &poll["anonymous"]), (&options, &json!(1), &json!(anonymous)));
    }
    assert_eq!(report["cut"], json!([]));
    assert!(!answer.body.contains("private word"), "private words are counted and never shown");

    let page = rest.api("GET", &format!("{path}?format=html"), None).await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy");
    let expected = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
        form-action 'none'";
    assert_eq!(policy, Some(expected));
    for there in [
        "<!DOCTYPE html><html lang=\"en\">",
        "&lt;h1&gt;Weekly &amp; more",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "By &lt;b&gt;name&lt;/b&gt;?",
        "Room &amp; One",
        "Veiled",
    ] {
        assert!(page.body.contains(there), "{there} is not in {}", page.body);
    }
    for gone in ["<script", "<b>", "<h1>Weekly", "private word", "http", " src=", "url("] {
        assert!(!page.body.contains(gone), "{gone} is in {}", page.body);
    }
    let refused = rest.api("GET", &format!("{path}?format=pdf"), None).await.unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (422, Some("bad_request")));

    assert_eq!(rest.api("DELETE", "/users/bob", None).await.unwrap().status, 200);
    let after = rest.api("GET", &path, None).await.unwrap();
    assert!(!after.body.contains("bob") && !after.body.contains("script"), "{}", after.body);
    let erased = &after.json()["participants"][1];
    assert_eq!((&erased["name"], &erased["user"]), (&json!("Erased"), &Value::Null));
}

#[tokio::test]
async fn a_report_says_who_was_there_and_what_they_did() {
    reports(&[]).await;
}

#[tokio::test]
async fn on_postgres_a_report_is_the_same() {
    if let Some(url) = postgres().await {
        reports(&[("CONVOKE_DATABASE_URL", &url)]).await;
    }
}

#[tokio::test]
async fn a_meeting_that_was_never_held_has_an_empty_report() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let report = server.rest.api("GET", &format!("/meetings/{id}/report"), None).await.unwrap().json();
    assert_eq!((&report["participants"], &report["meeting"]["status"]), (&json!([]), &json!("scheduled")));
    assert!(report["meeting"]["started_at"].is_null() && report["meeting"]["duration_ms"].is_null());
    let page = server.rest.api("GET", &format!("/meetings/{id}/report?format=html"), None).await.unwrap();
    assert!(page.status == 200 && page.body.contains("scheduled"));
    let unknown = format!("/meetings/{}/report", uuid::Uuid::now_v7());
    assert_eq!(server.rest.api("GET", &unknown, None).await.unwrap().status, 404);
}
