//! LiveKit's webhooks, with a LiveKit that is not there: what is refused and counted, what is taken, and
//! that a storm of them is a few words to the meeting.

use crate::{joined, meeting, ok, server};
use convoke_loadtest::rest::{Response, now_s};
use convoke_loadtest::server::Server;
use convoke_loadtest::webhook::{LIVEKIT, LiveKit, PATH, main_room, of_room};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;

async fn with_livekit() -> Server {
    // Somebody talks all the while, as fast as they are answered.
    let talking = [("CONVOKE_COMMANDS_PER_S", "100000"), ("CONVOKE_COMMANDS_BURST", "100000")];
    let flood = [("CONVOKE_FLOOD_PER_S", "100000"), ("CONVOKE_FLOOD_BURST", "100000")];
    let settings: Vec<_> = LIVEKIT.settings().into_iter().chain(talking).chain(flood).collect();
    server(&settings).await
}

async fn send(server: &Server, body: &str, token: Option<&str>) -> Response {
    let headers: Vec<_> = token.iter().map(|token| ("authorization", *token)).collect();
    server.rest.send("POST", PATH, &headers, Some(body)).await.unwrap()
}

async fn send_signed(server: &Server, body: &Value) -> u16 {
    let body = body.to_string();
    send(server, &body, Some(&LIVEKIT.token(&body))).await.status
}

/// All that is said of webhooks in numbers.
async fn numbers(server: &Server) -> HashMap<String, f64> {
    let metrics = server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("convoke_livekit_webhooks_")?.rsplit_once(' '));
    lines.map(|(name, figure)| (name.to_owned(), figure.parse().unwrap())).collect()
}

async fn number(server: &Server, name: &str) -> f64 {
    numbers(server).await.get(name).copied().unwrap_or(0.0)
}

/// Waits until a figure is reached.
async fn until(server: &Server, name: &str, figure: f64) {
    let waiting = async { while number(server, name).await < figure {} };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{name}: {:?}", numbers(server).await);
}

/// The figures, once nothing is on its way any more.
async fn settled(server: &Server) -> HashMap<String, f64> {
    let waiting = async {
        loop {
            let numbers = numbers(server).await;
            if numbers["pending"] == 0.0 {
                return numbers;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.unwrap()
}

fn of(id: &str, meeting: &str) -> Value {
    of_room("participant_joined", id, meeting)
}

#[tokio::test]
async fn without_livekit_there_is_nothing() {
    let server = server(&[]).await;
    let body = of("EV_1", "x").to_string();
    let response = send(&server, &body, Some(&LIVEKIT.token(&body))).await;
    assert_eq!((response.status, response.json()["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn what_livekit_did_not_sign_is_refused_and_counted() {
    let mut settings = LIVEKIT.settings().to_vec();
    settings.push(("CONVOKE_AUTH_FAILURES_PER_MINUTE", "100"));
    let server = server(&settings).await;
    let body = of("EV_1", &meeting(&server, json!({})).await).to_string();
    let good = LIVEKIT.claims(&body);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        LIVEKIT.sign(&claims)
    };
    let other = LiveKit { secret: "another secret, as long as the first", ..LIVEKIT };
    let none = format!(".{}.", LIVEKIT.token(&body).split('.').nth(1).unwrap());
    let forged = [
        None,
        Some(String::new()),
        Some("nonsense".to_owned()),
        Some(other.token(&body)),
        Some(with("iss", json!("another key"))),
        Some(with("sha256", json!(""))),
        Some(format!("Bearer {}", LIVEKIT.token(&body))),
        Some(server.rest.key.api_token()),
        // {"alg":"none"}
        Some(format!("eyJhbGciOiJub25lIn0{none}")),
    ];
    for token in &forged {
        let refused = send(&server, &body, token.as_deref()).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("unauthenticated")), "{token:?}");
    }
    for (name, value) in [("exp", json!(now_s() - 120)), ("nbf", json!(now_s() + 120))] {
        let refused = send(&server, &body, Some(&with(name, value))).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("unauthenticated")), "{name}");
    }
    let altered = send(&server, &body.replace("EV_1", "EV_2"), Some(&LIVEKIT.token(&body))).await;
    assert_eq!((altered.status, altered.json()["code"].as_str()), (401, Some("unauthenticated")));
    let numbers = numbers(&server).await;
    let refused = |reason: &str| numbers.get(&format!("refused_total{{reason=\"{reason}\"}}")).copied();
    assert_eq!(refused("forged"), Some(9.0), "{numbers:?}");
    assert_eq!((refused("expired"), refused("altered")), (Some(2.0), Some(1.0)), "{numbers:?}");
    assert!(!numbers.keys().any(|name| name.starts_with("received")), "{numbers:?}");
}

#[tokio::test]
async fn whoever_forges_is_slowed_down_and_nobody_else() {
    let mut settings = LIVEKIT.settings().to_vec();
    settings.push(("CONVOKE_AUTH_FAILURES_PER_MINUTE", "2"));
    let server = server(&settings).await;
    let id = meeting(&server, json!({})).await;
    let body = of("EV_1", &id).to_string();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(&server, &body, Some("forged")).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
    // From the same address: what is signed, and somebody whose token is wrong for the first time.
    assert_eq!(send_signed(&server, &of("EV_1", &id)).await, 200);
    assert_eq!(server.rest.send("GET", "/api/v1/meetings", &[], None).await.unwrap().status, 401);
}

#[tokio::test]
async fn what_is_signed_and_cannot_be_taken_has_a_code_and_is_counted() {
    let server = with_livekit().await;
    let id = meeting(&server, json!({})).await;
    let at = |at: u64| {
        let mut body = of("EV_1", &id);
        body["createdAt"] = json!(at.to_string());
        body.to_string()
    };
    for (body, status, code) in [
        (at(now_s() - 700), 400, "bad_request"),
        (at(now_s() + 120), 400, "bad_request"),
        ("{".to_owned(), 400, "bad_request"),
        (String::new(), 400, "bad_request"),
        (format!("{}{}", of("EV_1", &id), " ".repeat(256 * 1_024)), 413, "too_large"),
    ] {
        let refused = send(&server, &body, Some(&LIVEKIT.token(&body))).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{body:.80}");
    }
    let numbers = numbers(&server).await;
    let refused = |reason: &str| numbers.get(&format!("refused_total{{reason=\"{reason}\"}}")).copied();
    assert_eq!((refused("stale"), refused("malformed")), (Some(2.0), Some(2.0)), "{numbers:?}");
    assert_eq!(refused("oversized"), Some(1.0), "{numbers:?}");
    assert!(!numbers.keys().any(|name| name.starts_with("received")), "{numbers:?}");
    // As large as it may be.
    let body = of("EV_1", &id).to_string();
    let body = format!("{body}{}", " ".repeat(256 * 1_024 - body.len()));
    assert_eq!(send(&server, &body, Some(&LIVEKIT.token(&body))).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_is_measured_as_it_comes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = with_livekit().await;
    let body = "x".repeat(512 * 1_024);
    let mut stream = tokio::net::TcpStream::connect(&server.rest.host).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        LIVEKIT.token(&body)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = async move {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4_096));
        // It is refused on the way: the rest need not be taken.
        while writing.write_all(chunk.as_bytes()).await.is_ok() {}
    };
    let reading = async move {
        let mut answer = [0; 16];
        reading.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::select! {
        // Once it is refused, what is sent may be cut off.
        biased;
        answer = reading => answer,
        () = sending => panic!("it was cut off without an answer"),
    };
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(number(&server, "refused_total{reason=\"oversized\"}").await, 1.0);
}

#[tokio::test]
async fn what_happens_in_a_room_reaches_the_meeting_once() {
    let server = with_livekit().await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    for _ in 0..3 {
        assert_eq!(send_signed(&server, &of("EV_1", &id)).await, 200);
    }
    until(&server, "delivered_total", 1.0).await;
    // What LiveKit says besides, and what it may say one day.
    for (number, event) in ["ingress_started", "agent_job_ended", "room_painted"].into_iter().enumerate() {
        assert_eq!(send_signed(&server, &of_room(event, &format!("EV_i{number}"), &id)).await, 200);
    }
    let mut of_others = of("EV_o", &id);
    of_others["room"]["name"] = json!("lobby");
    assert_eq!(send_signed(&server, &of_others).await, 200);
    let nobodys = uuid::Uuid::now_v7().to_string();
    assert_eq!(send_signed(&server, &of("EV_n", &nobodys)).await, 200);
    let asleep = meeting(&server, json!({})).await;
    assert_eq!(send_signed(&server, &of("EV_a", &asleep)).await, 200);
    until(&server, "dropped_total{reason=\"asleep\"}", 1.0).await;
    until(&server, "dropped_total{reason=\"unknown\"}", 1.0).await;
    let numbers = settled(&server).await;
    for (name, figure) in [
        ("received_total{event=\"participant_joined\"}", 6.0),
        ("received_total{event=\"ingress_started\"}", 1.0),
        ("received_total{event=\"other\"}", 1.0),
        ("refused_total{reason=\"duplicate\"}", 2.0),
        ("ignored_total", 3.0),
        ("dropped_total{reason=\"not_ours\"}", 1.0),
        ("delivered_total", 1.0),
        ("pending", 0.0),
        ("pending_bytes", 0.0),
    ] {
        assert_eq!(numbers.get(name), Some(&figure), "{name}: {numbers:?}");
    }
    ok(&ada, "chat.post", json!({ "to": "room", "text": "unharmed" })).await;
}

#[tokio::test]
async fn a_recording_wakes_its_meeting() {
    let server = with_livekit().await;
    let id = meeting(&server, json!({})).await;
    let file = format!("acme/{id}/2026-11-21-{}.mp4", uuid::Uuid::now_v7());
    let webhook = json!({
        "event": "egress_ended",
        "id": "EV_1",
        "createdAt": now_s().to_string(),
        "egressInfo": {
            "egressId": "EG_1",
            "roomName": main_room(&id),
            "status": "EGRESS_COMPLETE",
            "roomComposite": { "roomName": main_room(&id), "fileOutputs": [{ "filepath": file }] },
            "fileResults": [{ "filename": file, "size": "1000" }],
        },
    });
    let owned = async || {
        let metrics = server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
        metrics.contains("convoke_meetings_owned 1")
    };
    assert!(!owned().await, "nobody serves it");
    assert_eq!(send_signed(&server, &webhook).await, 200);
    until(&server, "delivered_total", 1.0).await;
    assert!(owned().await);
}

#[tokio::test]
async fn ten_thousand_at_once_are_absorbed() {
    let server = with_livekit().await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let before = number(&server, "delivered_total").await;
    let sending = async {
        let sent = futures_util::stream::iter(0..10_000_u32).map(|number| {
            let (server, id) = (&server, &id);
            async move {
                // Every other one of a meeting that nobody has.
                let strange = uuid::Uuid::now_v7().to_string();
                let at = if number % 2 == 0 { id } else { &strange };
                send_signed(server, &of(&format!("EV_{number}"), at)).await
            }
        });
        sent.buffer_unordered(32).filter(|status| std::future::ready(*status == 200)).count().await
    };
    let watching = async {
        let mut most = 0.0_f64;
        loop {
            let numbers = numbers(&server).await;
            let figure = |name: &str| numbers.get(name).copied().unwrap_or(0.0);
            most = most.max(figure("pending"));
            assert!(figure("pending") <= 4_096.0 && figure("pending_bytes") <= 8_388_608.0, "{numbers:?}");
            ok(&ada, "chat.post", json!({ "to": "room", "text": "all the while" })).await;
            if figure("received_total{event=\"participant_joined\"}") >= 10_000.0 && figure("pending") == 0.0 {
                return most;
            }
        }
    };
    let (taken, most) = tokio::join!(sending, watching);
    assert_eq!(taken, 10_000);
    assert!(most > 0.0, "nothing was ever seen to wait");
    let numbers = numbers(&server).await;
    let dropped: f64 = numbers.iter().filter(|(name, _)| name.starts_with("dropped")).map(|(_, figure)| figure).sum();
    assert_eq!(dropped, 5_000.0, "each meeting that nobody has: {numbers:?}");
    let told = numbers["delivered_total"] - before;
    assert!((1.0..=2_500.0).contains(&told), "five thousand were folded into {told}");
}
