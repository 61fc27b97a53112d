//! The edge itself, before any handler: sizes, queries, origins, budgets.

use crate::{meeting, server};
use convoke_loadtest::rest::Response;
use serde_json::json;

fn code(response: &Response) -> (u16, String) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{}", response.body);
    let document = response.json();
    assert_eq!(document["status"], json!(response.status));
    (response.status, document["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn cursors_and_limits_that_are_not_ours_are_problems_on_every_list() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    for list in [
        "/meetings".to_owned(),
        format!("/meetings/{id}/invitations"),
        format!("/meetings/{id}/participants"),
        format!("/meetings/{id}/messages"),
        format!("/meetings/{id}/questions"),
        format!("/meetings/{id}/polls"),
    ] {
        for query in ["cursor=nonsense", "limit=201", "limit=many"] {
            let response = server.rest.api("GET", &format!("{list}?{query}"), None).await.unwrap();
            assert_eq!(code(&response), (422, "bad_request".to_owned()), "{list}?{query}");
        }
    }
    let after = server.rest.api("GET", &format!("/meetings/{id}/events?after=-1"), None).await.unwrap();
    assert_eq!(code(&after), (422, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_problem() {
    let server = server(&[("CONVOKE_BODY_BYTES_MAX", "1024")]).await;
    let title = "x".repeat(2_000);
    let response = server.rest.api("POST", "/meetings", Some(json!({ "title": title }))).await.unwrap();
    assert_eq!(code(&response), (413, "too_large".to_owned()));
    assert!(response.header("x-ratelimit-remaining").is_some() && response.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_key_is_used_for_one_body_and_one_route() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let id = meeting(&server, json!({})).await;
    let bearer = format!("Bearer {}", rest.key.api_token());
    let send = async |path: String, key: &str, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        rest.send("POST", &format!("/api/v1{path}"), &headers, Some(body)).await.unwrap()
    };
    let tokens = format!("/meetings/{id}/tokens");
    let first = send(tokens.clone(), "k", r#"{"name":"Ada","role":"host"}"#).await;
    let again = send(tokens.clone(), "k", r#"{"name":"Ada","role":"host"}"#).await;
    assert_eq!((first.status, &first.body), (200, &again.body), "the answer of the first time");
    let other = send(tokens.clone(), "k", r#"{"name":"Bob","role":"host"}"#).await;
    assert_eq!(code(&other), (409, "conflict".to_owned()));
    assert_eq!(send(format!("/meetings/{id}/start"), "k", "").await.status, 200, "another route, another key");
    let long = send(tokens, &"k".repeat(256), r#"{"name":"Ada","role":"host"}"#).await;
    assert_eq!(code(&long), (422, "bad_request".to_owned()));
}

#[tokio::test]
async fn browsers_come_from_listed_origins() {
    let server = server(&[("CONVOKE_ALLOWED_ORIGINS", "https://app.example")]).await;
    let ask = async |method: &str, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,idempotency-key"),
        ];
        server.rest.send(method, "/api/v1/meetings", &headers, None).await.unwrap()
    };
    for allowed in ["https://app.example", "http://localhost:5173"] {
        let preflight = ask("OPTIONS", allowed).await;
        assert_eq!(preflight.header("access-control-allow-origin"), Some(allowed), "{}", preflight.status);
        let headers = preflight.header("access-control-allow-headers").unwrap().to_lowercase();
        assert!(headers.contains("idempotency-key") && headers.contains("authorization"), "{headers}");
        // A refusal can be read too, and so can what it says of time.
        let refused = ask("GET", allowed).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(allowed)));
        assert!(refused.header("access-control-expose-headers").unwrap().contains("retry-after"));
    }
    for foreign in ["https://evil.example", "null", "https://app.example.evil"] {
        for method in ["OPTIONS", "GET"] {
            let answer = ask(method, foreign).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {foreign}");
        }
    }
}

#[tokio::test]
async fn a_budget_shows_in_every_answer_and_so_does_its_end() {
    let server = server(&[("CONVOKE_REQUESTS_BURST", "3"), ("CONVOKE_REQUESTS_PER_MINUTE", "1")]).await;
    let number = |response: &Response, name: &str| -> u64 { response.header(name).unwrap().parse().unwrap() };
    for left in [2, 1, 0] {
        // Refusals cost as much as anything else.
        let response = server.rest.api("GET", "/meetings/nonsense", None).await.unwrap();
        assert_eq!(response.status, 404);
        assert_eq!((number(&response, "x-ratelimit-limit"), number(&response, "x-ratelimit-remaining")), (3, left));
        assert!(number(&response, "x-ratelimit-reset") > 0 && response.header("retry-after").is_none());
    }
    let spent = server.rest.api("GET", "/meetings", None).await.unwrap();
    assert_eq!(code(&spent), (429, "rate_limited".to_owned()));
    assert_eq!((number(&spent, "x-ratelimit-limit"), number(&spent, "x-ratelimit-remaining")), (3, 0));
    assert_eq!(number(&spent, "retry-after"), number(&spent, "x-ratelimit-reset"));
}
