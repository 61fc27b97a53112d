//! Webhooks as an integrator sees them: a receiver on loopback, the real server, its REST.

use crate::hooks::{Hooks, Manner};
use crate::recordings::Place;
use crate::{joined, meeting, server};
use convoke_loadtest::rest::{Key, Response, Rest};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::time::Instant;
use uuid::Uuid;

const PATH: &str = "/admin/webhooks";

/// A server that may call this machine, and tries again at once.
async fn calling(more: &[(&str, &str)]) -> Server {
    let mut settings = vec![("CONVOKE_WEBHOOK_ALLOW_PRIVATE", "yes"), ("CONVOKE_WEBHOOK_WAIT_MS", "20")];
    settings.extend(more);
    server(&settings).await
}

struct Made {
    path: String,
    secret: String,
}

async fn made(rest: &Rest, url: &str, types: &[&str]) -> Made {
    let made = rest.api("POST", PATH, Some(json!({ "url": url, "types": types }))).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, secret) = (made.json()["id"].clone(), made.json()["secret"].clone());
    Made { path: format!("{PATH}/{}", id.as_str().unwrap()), secret: secret.as_str().unwrap().to_owned() }
}

async fn code(rest: &Rest, method: &str, path: &str, body: Value) -> (u16, String) {
    let response = rest.api(method, path, Some(body)).await.unwrap();
    (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the endpoint's deliveries are as they should be, and stay.
async fn deliveries(rest: &Rest, endpoint: &Made, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let listed = rest.api("GET", &format!("{}/deliveries", endpoint.path), None).await.unwrap().json();
        let items = listed["items"].as_array().unwrap().clone();
        if are(&items) {
            return items;
        }
        assert!(began.elapsed().as_secs() < 120, "the deliveries went on being {items:?}");
        tokio::task::yield_now().await;
    }
}

fn with_key<'a>(bearer: &'a str, key: &'a str) -> [(&'a str, &'a str); 2] {
    [("authorization", bearer), ("idempotency-key", key)]
}

#[tokio::test]
async fn webhooks_tell_a_meetings_life_with_a_signature_that_verifies() {
    let hooks = Hooks::start(&[]).await;
    let server = calling(&[("CONVOKE_LOG_LEVEL", "debug")]).await;
    let rest = &server.rest;
    let endpoint = made(rest, &format!("{}?token=hidden", hooks.url), &[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    joined(&server, &id, "robot", "agent").await;
    crate::ok(&ada, "meeting.end", json!({})).await;
    let mut received = hooks.has_received(3).await;
    received.sort_by_key(|one| one.json()["data"]["seq"].as_u64());
    let kinds: Vec<String> = received.iter().map(|one| one.kind()).collect();
    assert_eq!(kinds, ["meeting.started", "participant.joined", "meeting.ended"]);
    for one in &received {
        assert!(one.verifies(&endpoint.secret), "{one:?}");
        assert_eq!(one.path, "/hook?token=hidden");
        assert_eq!(
            (&one.json()["data"]["meeting_id"], &one.json()["data"]["title"]),
            (&json!(id), &json!("A meeting"))
        );
        let log = rest.log(&id).await.unwrap();
        let seq = one.json()["data"]["seq"].as_u64().unwrap();
        let event = log.iter().find(|event| event["seq"] == json!(seq)).unwrap();
        for (name, value) in event["data"].as_object().unwrap() {
            assert_eq!(&one.json()["data"][name], value, "the log's own words");
        }
    }
    // A test goes the same way.
    let asked = rest.api("POST", &format!("{}/test", endpoint.path), None).await.unwrap();
    assert_eq!(asked.status, 202);
    let tested = hooks.has_received(4).await.pop().unwrap();
    assert_eq!((tested.kind().as_str(), json!(tested.id())), ("webhook.test", asked.json()["id"].clone()));
    // Another secret: for a while both sign.
    let bearer = format!("Bearer {}", rest.key.api_token());
    let rotate = format!("/api/v1{}/rotate", endpoint.path);
    let rotated = rest.send("POST", &rotate, &with_key(&bearer, "rotate"), None).await.unwrap();
    let repeated = rest.send("POST", &rotate, &with_key(&bearer, "rotate"), None).await.unwrap();
    assert_eq!((rotated.status, rotated.json()), (200, repeated.json()), "once a key");
    let secret = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_ne!(secret, endpoint.secret);
    rest.api("POST", &format!("{}/test", endpoint.path), None).await.unwrap();
    let both = hooks.has_received(5).await.pop().unwrap();
    assert!(both.verifies(&secret) && both.verifies(&endpoint.secret));
    // Pages of what was sent, the latest first.
    let all =
        deliveries(rest, &endpoint, |all| all.len() == 5 && all.iter().all(|one| one["status"] == "delivered")).await;
    assert!(all.iter().all(|one| one["last_status"] == 204 && one["attempts"] == 1), "{all:?}");
    let mut paged = Vec::new();
    let mut path = format!("{}/deliveries?limit=2", endpoint.path);
    loop {
        let page = rest.api("GET", &path, None).await.unwrap().json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{}/deliveries?limit=2&cursor={next}", endpoint.path);
    }
    assert_eq!(paged, all);
    // Secrets are in the answers that made them, and in nothing else.
    for path in [PATH, &endpoint.path] {
        let shown = rest.api("GET", path, None).await.unwrap().body;
        assert!(shown.contains("hidden") && !shown.contains("whsec_") && !shown.contains("secret"), "{shown}");
    }
    let metrics = rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    assert!(metrics.contains("convoke_webhooks_delivered_total 5"), "{metrics}");
    let log = server.log();
    assert!(log.contains("answered"), "the log tells of requests");
    for secret in [&endpoint.secret, &secret] {
        assert!(!log.contains(secret.trim_start_matches("whsec_")));
    }
    assert!(!log.contains("token=hidden"), "nor does it hold what an endpoint's URL may");
}

#[tokio::test]
async fn webhooks_keep_their_id_over_failures_and_kill_9() {
    let elsewhere = Hooks::start(&[]).await;
    let manners = [Manner::Answer(500), Manner::Redirect(elsewhere.url.clone()), Manner::Endless];
    let hooks = Hooks::start(&manners).await;
    let place = Place::new();
    let database = format!("sqlite://{}/convoke.db", place.0.display());
    // Nothing is tried again before the test wants it.
    let mut server = calling(&[("CONVOKE_WEBHOOK_WAIT_MS", "3600000"), ("CONVOKE_DATABASE_URL", &database)]).await;
    let endpoint = made(&server.rest, &hooks.url, &["meeting.started"]).await;
    let id = meeting(&server, json!({})).await;
    server.rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap();
    let tried =
        deliveries(&server.rest, &endpoint, |all| all.first().is_some_and(|one| one["last_status"] == 500)).await;
    assert_eq!((&tried[0]["status"], &tried[0]["attempts"]), (&json!("pending"), &json!(1)));
    assert_eq!(tried[0]["error"], "the endpoint answered 500", "not in its own words");
    assert!(tried[0]["next_attempt_at"].is_u64());
    server.kill().unwrap();
    let mut rows = SqliteConnection::connect(&database).await.unwrap();
    let due = sqlx::query("UPDATE outbox SET next_attempt_at = 0 WHERE next_attempt_at = $1 AND done_at IS NULL")
        .bind(tried[0]["next_attempt_at"].as_i64());
    assert_eq!(due.execute(&mut rows).await.unwrap().rows_affected(), 1, "when it is due outlasts the node");
    rows.close().await.unwrap();
    server.set("CONVOKE_WEBHOOK_WAIT_MS", "20");
    server.run().await.unwrap();
    let done = deliveries(&server.rest, &endpoint, |all| all.iter().all(|one| one["status"] == "delivered")).await;
    let received = hooks.received();
    assert!(elsewhere.received().is_empty(), "no redirect is followed");
    let attempts = (done.len(), &done[0]["attempts"], received.len());
    assert_eq!(attempts, (1, &json!(3), 3), "an answer without an end is one");
    for one in &received {
        assert_eq!((one.id(), one.verifies(&endpoint.secret)), (received[0].id(), true));
    }
    assert_eq!(json!(received[0].id()), done[0]["id"]);
}

#[tokio::test]
async fn webhooks_end_where_an_endpoint_is_gone_and_can_be_sent_again() {
    let hooks = Hooks::start(&[Manner::Answer(410)]).await;
    let server = calling(&[]).await;
    let rest = &server.rest;
    let (gone, other) = (made(rest, &hooks.url, &["meeting.started", "meeting.ended"]).await, Hooks::start(&[]).await);
    made(rest, &other.url, &["meeting.ended"]).await;
    let id = meeting(&server, json!({})).await;
    rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap();
    let failed = deliveries(rest, &gone, |all| all.first().is_some_and(|one| one["status"] == "failed")).await;
    assert_eq!((&failed[0]["last_status"], &failed[0]["attempts"]), (&json!(410), &json!(1)), "it is not tried again");
    let shown = rest.api("GET", &gone.path, None).await.unwrap().json();
    assert_eq!(
        (&shown["disabled"], &shown["disabled_reason"]),
        (&json!(true), &json!("the endpoint answered 410 Gone"))
    );
    for action in ["test", "replay"] {
        let refused = code(rest, "POST", &format!("{}/{action}", gone.path), json!({ "since_at": 0 })).await;
        assert_eq!(refused, (409, "wrong_state".to_owned()), "{action}");
    }
    // What it misses meanwhile is kept; others are told.
    rest.api("POST", &format!("/meetings/{id}/end"), None).await.unwrap();
    other.has_received(1).await;
    deliveries(rest, &gone, |all| all.len() == 2).await;
    assert_eq!(hooks.received().len(), 1);
    let enabled = rest.api("PATCH", &gone.path, Some(json!({ "disabled": false }))).await.unwrap().json();
    assert_eq!((&enabled["disabled"], enabled.get("disabled_reason")), (&json!(false), None));
    let bearer = format!("Bearer {}", rest.key.api_token());
    let path = format!("/api/v1{}/replay", gone.path);
    let replay = async |key: &str, body: Value| {
        rest.send("POST", &path, &with_key(&bearer, key), Some(&body.to_string())).await.unwrap()
    };
    let first = replay("once", json!({ "since_at": 0 })).await;
    assert_eq!((first.status, first.json()), (202, json!({ "count": 2 })));
    let received = hooks.has_received(3).await;
    assert_eq!(received[1..].iter().filter(|one| one.id() == received[0].id()).count(), 1, "the same message again");
    deliveries(rest, &gone, |all| all.iter().all(|one| one["status"] == "delivered")).await;
    assert_eq!(
        replay("once", json!({ "since_at": 0 })).await.json(),
        json!({ "count": 2 }),
        "the answer of the first time"
    );
    assert_eq!(replay("none", json!({ "since_at": 0 })).await.json(), json!({ "count": 0 }), "nothing failed");
    assert_eq!(replay("all", json!({ "since_at": 0, "all": true })).await.json(), json!({ "count": 2 }));
    assert_eq!(hooks.has_received(5).await.len(), 5, "and the repetition sent nothing");
}

#[tokio::test]
async fn webhooks_one_slow_endpoint_holds_up_no_other() {
    let slow = Hooks::start(&vec![Manner::Silent; 100]).await;
    let hooks = Hooks::start(&[]).await;
    let server = calling(&[]).await;
    let (slow_one, _) = (made(&server.rest, &slow.url, &[]).await, made(&server.rest, &hooks.url, &[]).await);
    for _ in 0..5 {
        let id = meeting(&server, json!({})).await;
        server.rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap();
        server.rest.api("POST", &format!("/meetings/{id}/end"), None).await.unwrap();
    }
    assert_eq!(hooks.has_received(10).await.len(), 10);
    let waiting = deliveries(&server.rest, &slow_one, |all| all.len() == 10).await;
    assert!(waiting.iter().all(|one| one["status"] == "pending"), "{waiting:?}");
    assert!(slow.received().len() <= 4, "and is not given more than it may have at a time");
}

#[tokio::test]
async fn webhooks_do_not_lead_into_the_network_by_default() {
    let hooks = Hooks::start(&[]).await;
    let server = server(&[]).await;
    let rest = &server.rest;
    for url in [
        hooks.url.as_str(),
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0x7f000001/",
        "https://user:password@hooks.example/",
        "ftp://hooks.example/",
        "nonsense",
        "",
    ] {
        let refused = code(rest, "POST", PATH, json!({ "url": url })).await;
        assert_eq!(refused, (422, "bad_request".to_owned()), "{url}");
    }
    let good = made(rest, "https://hooks.invalid/", &[]).await;
    let changed = code(rest, "PATCH", &good.path, json!({ "url": hooks.url })).await;
    assert_eq!(changed, (422, "bad_request".to_owned()));
    assert_eq!(rest.api("GET", &good.path, None).await.unwrap().json()["url"], "https://hooks.invalid/");
    assert!(hooks.received().is_empty());
}

#[tokio::test]
async fn webhooks_made_while_it_was_allowed_are_not_called_when_it_is_not_any_more() {
    let hooks = Hooks::start(&[]).await;
    let mut server = calling(&[]).await;
    let literal = made(&server.rest, &hooks.url, &[]).await;
    let named = made(&server.rest, &hooks.url.replace("http://127.0.0.1", "https://localhost"), &[]).await;
    server.set("CONVOKE_WEBHOOK_ALLOW_PRIVATE", "no");
    server.kill().unwrap();
    server.run().await.unwrap();
    for (endpoint, why) in [(&literal, "the url must be https"), (&named, "the endpoint's address is not public")] {
        server.rest.api("POST", &format!("{}/test", endpoint.path), None).await.unwrap();
        let tried =
            deliveries(&server.rest, endpoint, |all| all[0]["attempts"] != 0 && all[0]["error"].is_string()).await;
        assert_eq!(tried[0]["error"], why);
    }
    assert!(hooks.received().is_empty());
}

#[tokio::test]
async fn webhooks_have_limits_and_each_says_which() {
    let server = calling(&[]).await;
    let rest = &server.rest;
    let url = |chars: usize| format!("https://h.invalid/{}", "x".repeat(chars - 18));
    for (body, status) in [
        (json!({}), 422),
        (json!({ "url": 7 }), 422),
        (json!({ "url": url(2_049) }), 422),
        (json!({ "url": url(20), "types": ["chat.posted"] }), 422),
        (json!({ "url": url(20), "types": vec!["meeting.ended"; 33] }), 422),
        (json!({ "url": url(20), "description": "x".repeat(501) }), 422),
        (json!({ "url": url(20), "secret": "mine" }), 422),
        (json!({ "url": url(2_048), "types": vec!["meeting.ended"; 32], "description": "x".repeat(500) }), 201),
    ] {
        assert_eq!(rest.api("POST", PATH, Some(body.clone())).await.unwrap().status, status, "{body}");
    }
    let listed = rest.api("GET", PATH, None).await.unwrap().json();
    assert_eq!(listed["items"][0]["types"], json!(["meeting.ended"]));
    let path = format!("{PATH}/{}", listed["items"][0]["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PATCH", path.clone(), json!({ "types": ["nonsense"] })),
        ("PATCH", path.clone(), json!({ "description": "x".repeat(501) })),
        ("PATCH", path.clone(), json!({ "tenant": "other" })),
        ("POST", format!("{path}/replay"), json!({})),
        ("POST", format!("{path}/replay"), json!({ "since_at": 5, "until_at": 5 })),
        ("GET", format!("{path}/deliveries?cursor=nonsense"), json!({})),
        ("GET", format!("{path}/deliveries?limit=201"), json!({})),
    ] {
        let refused = code(rest, method, &path, body.clone()).await;
        assert_eq!(refused, (422, "bad_request".to_owned()), "{method} {path} {body}");
    }
    // The same request again makes no second one, and is told the same secret.
    let bearer = format!("Bearer {}", rest.key.api_token());
    let body = json!({ "url": url(30) }).to_string();
    let make = || rest.send("POST", "/api/v1/admin/webhooks", &[], None);
    assert_eq!(make().await.unwrap().status, 401);
    let api = "/api/v1/admin/webhooks";
    let once = async || -> Response { rest.send("POST", api, &with_key(&bearer, "make"), Some(&body)).await.unwrap() };
    assert_eq!(once().await.json(), once().await.json());
    for _ in 2..20 {
        made(rest, &url(20), &[]).await;
    }
    let full = code(rest, "POST", PATH, json!({ "url": url(20) })).await;
    assert_eq!(full, (409, "capacity".to_owned()));
    assert_eq!(rest.api("DELETE", &path, None).await.unwrap().status, 204);
    assert_eq!(rest.api("DELETE", &path, None).await.unwrap().status, 404);
    made(rest, &url(20), &[]).await;
}

#[tokio::test]
async fn webhooks_of_one_tenant_are_nothing_to_another_or_to_a_join_token() {
    let hooks = Hooks::start(&[]).await;
    let keys = format!("acme/load:{},other/other:{}", "a".repeat(32), "b".repeat(32));
    let mut server = calling(&[("CONVOKE_API_KEYS", &keys)]).await;
    server.rest.key = Key::parse(&format!("load:{}", "a".repeat(32))).unwrap();
    let mut other = server.rest.clone();
    other.key = Key::parse(&format!("other:{}", "b".repeat(32))).unwrap();
    let mine = made(&server.rest, &hooks.url, &[]).await;
    let theirs = made(&other, &hooks.url, &[]).await;
    assert_eq!(other.api("GET", PATH, None).await.unwrap().json()["items"].as_array().unwrap().len(), 1);
    let all = |path: &str| {
        [
            ("GET", path.to_owned()),
            ("PATCH", path.to_owned()),
            ("DELETE", path.to_owned()),
            ("POST", format!("{path}/rotate")),
            ("POST", format!("{path}/test")),
            ("GET", format!("{path}/deliveries")),
            ("POST", format!("{path}/replay")),
        ]
    };
    let unknown = format!("{PATH}/{}", Uuid::now_v7());
    for (method, path) in [all(&mine.path), all(&unknown), all(&format!("{PATH}/nonsense"))].concat() {
        let refused = code(&other, method, &path, json!({ "since_at": 0 })).await;
        assert_eq!(refused, (404, "not_found".to_owned()), "{method} {path}");
    }
    let id = meeting(&server, json!({})).await;
    let token = format!("Bearer {}", server.rest.key.join_token(&id, Some("ada"), "Ada", "host"));
    for (method, path) in [all(&mine.path).to_vec(), vec![("GET", PATH.to_owned()), ("POST", PATH.to_owned())]].concat()
    {
        let headers = [("authorization", token.as_str())];
        let refused = server.rest.send(method, &format!("/api/v1{path}"), &headers, None).await.unwrap();
        assert_eq!(refused.status, 403, "{method} {path}");
    }
    // What happens at one tenant is told to its own endpoints alone.
    server.rest.api("POST", &format!("/meetings/{id}/start"), None).await.unwrap();
    let received = hooks.has_received(1).await;
    assert!(received[0].verifies(&mine.secret) && !received[0].verifies(&theirs.secret));
    deliveries(&server.rest, &mine, |all| all.len() == 1).await;
    assert!(deliveries(&other, &theirs, |_| true).await.is_empty());
}
