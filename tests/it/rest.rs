//! REST by the contract: problem documents, pages, idempotency, limits, tenants, erasure.

mod edge;

use crate::{client, id_of, joined, meeting, ok, server};
use serde_json::{Value, json};
use std::time::Instant;

/// A database of one's own on the test server.
pub async fn fresh_database(url: &str) -> String {
    use sqlx::Connection;
    let name = format!("convoke_{}", uuid::Uuid::now_v7().simple());
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    let base = url.rsplit_once('/').unwrap().0;
    format!("{base}/{name}")
}

#[tokio::test]
async fn a_meetings_life_by_rest() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let made = rest.api("POST", "/meetings", Some(json!({ "title": "Weekly" }))).await.unwrap();
    assert_eq!(made.status, 201);
    assert!(made.header("x-request-id").is_some() && made.header("x-ratelimit-remaining").is_some());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let shown = rest.api("GET", &format!("/meetings/{id}"), None).await.unwrap();
    assert_eq!(shown.json(), made.json());
    let patched = rest.api("PATCH", &format!("/meetings/{id}"), Some(json!({ "title": "Monthly" }))).await.unwrap();
    assert_eq!(patched.json()["title"], "Monthly");
    assert_eq!(rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap().json()["status"], "live");
    assert_eq!(rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap().status, 409);
    assert_eq!(rest.api("DELETE", &format!("/meetings/{id}"), None).await.unwrap().status, 409);
    assert_eq!(rest.api("POST", &format!("/meetings/{id}/end"), None).await.unwrap().json()["status"], "ended");
    let other = meeting(&server, json!({})).await;
    assert_eq!(rest.api("DELETE", &format!("/meetings/{other}"), None).await.unwrap().status, 204);
    let list = rest.api("GET", "/meetings?status=cancelled", None).await.unwrap().json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let id = meeting(&server, json!({})).await;
    let unknown = uuid::Uuid::now_v7();
    for (method, path, body, status, code) in [
        ("GET", format!("/meetings/{unknown}"), None, 404, "not_found"),
        ("GET", "/meetings/nonsense".to_owned(), None, 404, "not_found"),
        ("GET", "/nowhere".to_owned(), None, 404, "not_found"),
        ("POST", "/meetings".to_owned(), Some(json!({})), 422, "bad_request"),
        ("POST", "/meetings".to_owned(), Some(json!({ "title": "" })), 422, "bad_request"),
        ("POST", "/meetings".to_owned(), Some(json!({ "title": "t", "colour": 1 })), 422, "bad_request"),
        ("GET", "/meetings?limit=0".to_owned(), None, 422, "bad_request"),
        ("GET", "/meetings?status=lost".to_owned(), None, 422, "bad_request"),
        ("POST", format!("/meetings/{id}/tokens"), Some(json!({ "name": "x", "role": "king" })), 422, "bad_request"),
        ("POST", "/invitations/guess/accept".to_owned(), Some(json!({ "name": "x" })), 404, "not_found"),
        ("GET", "/users/nobody/export".to_owned(), None, 404, "not_found"),
    ] {
        let response = rest.api(method, &path, body).await.unwrap();
        assert_eq!((response.status, response.json()["code"].as_str()), (status, Some(code)), "{method} {path}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{path}");
    }
    let bearer = format!("Bearer {}", rest.key.api_token());
    let not_json = rest.send("POST", "/api/v1/meetings", &[("authorization", &bearer)], Some("{nope")).await.unwrap();
    assert_eq!(not_json.status, 400);
    for headers in [vec![], vec![("authorization", "Bearer a.b.c")], vec![("authorization", "Basic x")]] {
        let response = rest.send("GET", "/api/v1/meetings", &headers, None).await.unwrap();
        assert_eq!((response.status, response.json()["code"].as_str()), (401, Some("unauthenticated")));
    }
}

#[tokio::test]
async fn guessing_is_limited_and_so_are_requests() {
    let server = server(&[("CONVOKE_REQUESTS_BURST", "5"), ("CONVOKE_REQUESTS_PER_MINUTE", "1")]).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let response = server.rest.api("GET", "/meetings", None).await.unwrap();
        assert!(response.status == 200 || response.header("retry-after").is_some());
        statuses.push(response.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    // Twenty guesses a minute: in the time that this takes, one comes back every three seconds.
    let (began, mut guesses) = (Instant::now(), 0);
    while server.rest.send("GET", "/api/v1/meetings", &[], None).await.unwrap().status != 429 {
        guesses += 1;
        assert!(guesses <= 20 + began.elapsed().as_secs() / 3 + 1, "so many guesses were let through");
    }
    assert!(guesses >= 20);
}

#[tokio::test]
async fn a_repeated_post_has_one_effect() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let bearer = format!("Bearer {}", rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "abc")];
    let send = |body: &'static str| rest.send("POST", "/api/v1/meetings", &headers, Some(body));
    let first = send(r#"{"title":"Once"}"#).await.unwrap();
    let second = send(r#"{"title":"Once"}"#).await.unwrap();
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.json(), second.json());
    assert_eq!(send(r#"{"title":"Other"}"#).await.unwrap().status, 409);
    let list = rest.api("GET", "/meetings", None).await.unwrap().json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_are_paged() {
    let server = server(&[]).await;
    for _ in 0..5 {
        meeting(&server, json!({})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/meetings?limit=2".to_owned();
    loop {
        let page = server.rest.api("GET", &path, None).await.unwrap().json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|m| m["id"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/meetings?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn one_tenant_does_not_see_another() {
    let keys = format!("acme/load:{},other/other:{}", "a".repeat(32), "b".repeat(32));
    let mut server = server(&[("CONVOKE_API_KEYS", &keys)]).await;
    server.rest.key = convoke_loadtest::rest::Key::parse(&format!("load:{}", "a".repeat(32))).unwrap();
    let id = meeting(&server, json!({})).await;
    joined(&server, &id, "ada", "host").await;
    let mut other = server.rest.clone();
    other.key = convoke_loadtest::rest::Key::parse(&format!("other:{}", "b".repeat(32))).unwrap();
    assert_eq!(other.api("GET", "/meetings", None).await.unwrap().json()["items"], json!([]));
    for (method, path) in [
        ("GET", format!("/meetings/{id}")),
        ("GET", format!("/meetings/{id}/events")),
        ("GET", format!("/meetings/{id}/messages")),
        ("GET", format!("/meetings/{id}/participants")),
        ("GET", format!("/meetings/{id}/questions")),
        ("GET", format!("/meetings/{id}/polls")),
        ("POST", format!("/meetings/{id}/end")),
        ("DELETE", "/users/ada".to_owned()),
    ] {
        assert_eq!(other.api(method, &path, None).await.unwrap().status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn an_invitation_is_a_way_in() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let id = meeting(&server, json!({ "lobby": "guests" })).await;
    let path = format!("/meetings/{id}/invitations");
    let made = rest.api("POST", &path, Some(json!({ "emails": ["a@example.org"], "role": "cohost" }))).await.unwrap();
    assert_eq!(made.status, 201);
    let code = made.json()["items"][0]["code"].as_str().unwrap().to_owned();
    let listed = rest.api("GET", &path, None).await.unwrap();
    assert!(!listed.body.contains(&code), "a code is told once");
    assert_eq!(listed.json()["items"][0]["email"], "a@example.org");
    let accept = format!("/api/v1/invitations/{code}/accept");
    let token = rest.send("POST", &accept, &[], Some(r#"{"name":"Anna"}"#)).await.unwrap().json();
    let options = convoke_loadtest::client::Options::new(&rest.host, token["token"].as_str().unwrap().to_owned());
    let anna = convoke_loadtest::client::Client::start(options);
    assert_eq!(anna.joined().await.unwrap()["self"]["participant"]["role"], "cohost");
}

#[tokio::test]
async fn a_person_is_exported_and_erased_also_from_the_log() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let id = meeting(&server, json!({})).await;
    let host = joined(&server, &id, "ada", "host").await;
    let bob = client(&server, &id, Some("bob-user"), "Bob Unforgettable", "participant");
    bob.joined().await.unwrap();
    ok(&bob, "chat.post", json!({ "to": "room", "text": "unforgettable words" })).await;
    let who = id_of(&bob);
    // Read models follow the log within a second: they are asked until they have.
    let mut export = rest.api("GET", "/users/bob-user/export", None).await.unwrap().json();
    while export["meetings"][0]["messages"][0].is_null() {
        export = rest.api("GET", "/users/bob-user/export", None).await.unwrap().json();
    }
    assert_eq!(export["meetings"][0]["messages"][0]["text"], "unforgettable words");
    assert_eq!(export["meetings"][0]["attendance"][0]["name"], "Bob Unforgettable");
    let before = rest.log(&id).await.unwrap();

    assert_eq!(rest.api("DELETE", "/users/bob-user", None).await.unwrap().status, 200);
    assert_eq!(bob.closed().await.unwrap(), 4502);
    let log = rest.log(&id).await.unwrap();
    let text = Value::from(log.clone()).to_string();
    assert!(!text.contains("nforgettable") && !text.contains("bob-user"), "{text}");
    assert!(text.contains(&who), "the place in the log stays");
    for (old, new) in before.iter().zip(&log) {
        assert_eq!((&old["seq"], &old["at"], &old["type"]), (&new["seq"], &new["at"], &new["type"]));
    }
    let attendance = rest.api("GET", &format!("/meetings/{id}/participants"), None).await.unwrap();
    assert!(!attendance.body.contains("nforgettable"));
    let messages = rest.api("GET", &format!("/meetings/{id}/messages"), None).await.unwrap();
    assert_eq!(messages.json()["items"], json!([]));
    ok(&host, "chat.post", json!({ "to": "room", "text": "life goes on" })).await;
}

#[tokio::test]
async fn deleted_words_leave_the_log_and_a_restart_replays_it() {
    let mut server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    ok(&ada, "chat.post", json!({ "to": "room", "text": "regretted" })).await;
    let message = ada.event("chat.posted").await.unwrap().data["message"]["id"].clone();
    ok(&ada, "chat.delete", json!({ "message": message })).await;
    // The projector carries it out within a second; the log is asked until it has.
    let mut log = server.rest.log(&id).await.unwrap();
    while Value::from(log.clone()).to_string().contains("regretted") {
        tokio::task::yield_now().await;
        log = server.rest.log(&id).await.unwrap();
    }
    server.kill().unwrap();
    server.run().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "and after" })).await;
    assert_eq!(ada.record().violations, Vec::<String>::new());
}

#[tokio::test]
async fn the_documents_are_served_offline() {
    let server = server(&[]).await;
    for (path, inside) in [
        ("/openapi.json", "/api/v1/meetings"),
        ("/asyncapi.json", "chat.post"),
        ("/docs/", "swagger"),
        ("/metrics", "convoke_"),
    ] {
        let response = server.rest.send("GET", path, &[], None).await.unwrap();
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body.contains(inside), "{path}");
    }
    let api = server.rest.send("GET", "/openapi.json", &[], None).await.unwrap().json();
    let meeting = "/api/v1/meetings/{id}";
    let answers = |path: &str| api["paths"][format!("{meeting}/{path}")]["get"]["responses"].clone();
    for (path, statuses) in [
        ("transcript", vec![200, 403, 404, 422]),
        ("report", vec![200, 403, 404, 422]),
        ("messages", vec![200, 403, 404, 422]),
        ("questions", vec![200, 403, 404, 422]),
        ("polls", vec![200, 403, 404, 422]),
        ("polls/{poll}/votes", vec![200, 403, 404, 409, 422]),
    ] {
        let told: Vec<u16> = answers(path).as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect();
        assert_eq!(told, statuses, "{path}");
        let content = answers(path)["200"]["content"].clone();
        assert_eq!(content.get("text/csv").is_some(), path.starts_with("polls"), "{path}");
        if path != "report" {
            let name = content["application/json"]["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let list = &api["components"]["schemas"][name];
            assert_eq!(list["required"], serde_json::json!(["items"]), "{path}: {list}");
            assert!(list["properties"]["next"].is_object(), "{path}: {list}");
        }
    }
    let docs = server.rest.send("GET", "/docs/", &[], None).await.unwrap().body;
    assert!(!docs.contains("https://"), "nothing is fetched from elsewhere");
}
