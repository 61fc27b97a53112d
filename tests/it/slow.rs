//! Who does not read is closed at the bound, and nobody else notices; who reads slowly stays.

use crate::{greeted, greeted_on, hello, joined, meeting, ok, server};
use convoke_loadtest::client::Record;
use convoke_loadtest::server::usage;
use convoke_loadtest::verify::verify;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Senders in a hurry; and whoever does not read answers no ping either, which is another reason to go.
const UNLIMITED: [(&str, &str); 5] = [
    ("CONVOKE_HEARTBEAT_S", "600"),
    ("CONVOKE_COMMANDS_BURST", "100000"),
    ("CONVOKE_COMMANDS_PER_S", "100000"),
    ("CONVOKE_FLOOD_BURST", "100000"),
    ("CONVOKE_FLOOD_PER_S", "100000"),
];
const STALLED: usize = 40;
/// What one of them asks for: ten MiB and more.
const SNAPSHOTS: usize = 60;

#[tokio::test]
async fn a_stalled_client_is_dropped_and_a_healthy_one_misses_nothing() {
    let server = server(&[&UNLIMITED[..], &[("CONVOKE_PROGRESS_S", "5")]].concat()).await;
    let id = meeting(&server, json!({})).await;
    let token = server.rest.key.join_token(&id, Some("stalled"), "Stalled", "participant");
    // From here on this socket is never read again.
    let (_stalled, _) = greeted(&server, &[hello(&token)]).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let before = ada.record().reconnects;
    let text = "x".repeat(3_900);
    let metrics = || async { server.rest.send("GET", "/metrics", &[], None).await.unwrap().body };
    let mut number = 0;
    let began = std::time::Instant::now();
    while !metrics().await.contains("convoke_sockets_dropped_total{reason=\"slow_consumer\"} 1") {
        for _ in 0..50 {
            ok(&ada, "chat.post", json!({ "to": "room", "text": format!("{number} {text}") })).await;
            number += 1;
        }
        assert!(began.elapsed().as_secs() < 60, "the stalled socket was never dropped");
    }
    ok(&ada, "chat.post", json!({ "to": "room", "text": "all is well" })).await;
    let log = server.rest.log(&id).await.unwrap();
    assert_eq!(verify("ada", &ada.record(), &log), Vec::<String>::new());
    assert_eq!(ada.record().reconnects, before);
}

/// A socket whose own buffer is so small that what is not read waits in the server.
async fn narrow(host: &str) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(host.parse().unwrap()).await.unwrap();
    client_async(format!("ws://{host}/ws"), stream).await.unwrap().0
}

#[tokio::test]
async fn many_that_stall_cannot_grow_the_server() {
    let patient = [("CONVOKE_PROGRESS_S", "600"), ("CONVOKE_DROP_MS", "50")];
    let server = server(&[&UNLIMITED[..], &patient].concat()).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let reconnects = ada.record().reconnects;
    let text = "x".repeat(3_900);
    for number in 0..50 {
        ok(&ada, "chat.post", json!({ "to": "room", "text": format!("{number} {text}") })).await;
    }
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let user = format!("stalled{number}");
        let hello = hello(&server.rest.key.join_token(&id, Some(&user), &user, "participant"));
        let (socket, _) = greeted_on(async || narrow(&server.rest.host).await, std::slice::from_ref(&hello)).await;
        stalled.push((socket, hello));
    }
    let resident = || usage(server.pid().unwrap()).unwrap().1;
    let before = resident();
    // Each asks for its snapshot again and again, some hundreds of KiB each time, and reads none.
    for (socket, hello) in &mut stalled {
        for _ in 0..SNAPSHOTS {
            socket.feed(hello.clone()).await.unwrap();
        }
        socket.flush().await.unwrap();
    }
    let all = format!("convoke_sockets_dropped_total{{reason=\"slow_consumer\"}} {STALLED}");
    let began = std::time::Instant::now();
    let mut most = 0;
    while !server.rest.send("GET", "/metrics", &[], None).await.unwrap().body.contains(&all) {
        most = most.max(resident().saturating_sub(before));
        assert!(began.elapsed().as_secs() < 60, "they were never dropped; the server grew by {} MiB", most >> 20);
    }
    // Of each, one snapshot and one MiB may wait; the rest is what the allocator and caches vary by.
    assert!(most < u64::try_from(2 * STALLED + 32).unwrap() << 20, "the server grew by {} MiB", most >> 20);
    // Their ends of the sockets are still open; to the meeting they are gone.
    let gone = |record: &Record| record.heard.iter().filter(|heard| heard.kind == "participant.disconnected").count();
    ada.until("their absence", |record| (gone(record) == STALLED).then_some(())).await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "all is well" })).await;
    let log = server.rest.log(&id).await.unwrap();
    assert_eq!(verify("ada", &ada.record(), &log), Vec::<String>::new());
    assert_eq!(ada.record().reconnects, reconnects);
}

/// A small buffer threw slow but honest clients out in a loop.
#[tokio::test]
async fn whoever_is_slow_and_reads_is_not_thrown_out() {
    let server = server(&[&UNLIMITED[..], &[("CONVOKE_PROGRESS_S", "600")]].concat()).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let host = &server.rest.host;
    let wide =
        async || client_async(format!("ws://{host}/ws"), TcpStream::connect(host).await.unwrap()).await.unwrap().0;
    let token = server.rest.key.join_token(&id, Some("slow"), "Slow", "participant");
    let (mut slow, _) = greeted_on(wide, &[hello(&token)]).await;
    let text = "x".repeat(3_900);
    let mut read = Vec::new();
    // Never so far behind as is allowed, and in all ten times as much.
    for round in 0..50 {
        for number in 0..50 {
            ada.send("chat.post", json!({ "to": "room", "text": format!("{} {text}", round * 50 + number) }));
        }
        ok(&ada, "hand.lower", json!({})).await;
        while read.len() + 130 < (round + 1) * 50 {
            read.extend(posts(&mut slow).await);
        }
    }
    while read.len() < 2_500 {
        read.extend(posts(&mut slow).await);
    }
    assert_eq!(read, (0..2_500).collect::<Vec<usize>>());
}

/// And whoever was thrown out comes back once, for good.
#[tokio::test]
async fn whoever_stalled_resumes_and_stays() {
    let server = server(&[&UNLIMITED[..], &[("CONVOKE_PROGRESS_S", "5")]].concat()).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let token = server.rest.key.join_token(&id, Some("stalled"), "Stalled", "participant");
    let narrow = async || narrow(&server.rest.host).await;
    let (_stalled, snapshot) = greeted_on(narrow, &[hello(&token)]).await;
    let text = "x".repeat(3_900);
    let dropped = "convoke_sockets_dropped_total{reason=\"slow_consumer\"}";
    let metrics = || async { server.rest.send("GET", "/metrics", &[], None).await.unwrap().body };
    let mut number = 0;
    while !metrics().await.contains(&format!("{dropped} 1")) {
        for _ in 0..50 {
            ok(&ada, "chat.post", json!({ "to": "room", "text": format!("{number} {text}") })).await;
            number += 1;
        }
        assert!(number < 10_000, "it was never dropped");
    }
    let data = json!({ "resume_token": snapshot[0]["data"]["resume_token"], "seq": snapshot[0]["data"]["seq"] });
    let resume = Message::text(json!({ "id": 0, "type": "resume", "data": data }).to_string());
    // Far behind by now: what it is given at once may be more than may wait, and it reads it all.
    let (mut back, answer) = greeted_on(narrow, &[resume]).await;
    let shown = answer[0]["data"]["view"]["messages"].as_array();
    let last = shown.map_or_else(|| &answer[answer.len() - 1]["data"]["message"], |shown| &shown[49]);
    assert!(last["text"].as_str().unwrap().starts_with(&format!("{} ", number - 1)));
    ok(&ada, "chat.post", json!({ "to": "room", "text": format!("{number} and on") })).await;
    assert_eq!(posts(&mut back).await, [number]);
    assert!(metrics().await.contains(&format!("{dropped} 1")), "nobody was dropped again");
}

/// The numbers that the posts of the next frame with any begin with.
async fn posts(socket: &mut WebSocketStream<TcpStream>) -> Vec<usize> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), socket.next()).await;
        let next = next.unwrap().unwrap().unwrap();
        assert!(!next.is_close(), "{next:?}");
        let Message::Text(frame) = next else { continue };
        let messages: Vec<Value> = serde_json::from_str(&frame).unwrap();
        let posts = messages.iter().filter(|message| message["type"] == "chat.posted");
        let texts = posts.filter_map(|message| message["data"]["message"]["text"].as_str()?.split(' ').next());
        let numbers: Vec<usize> = texts.map(|number| number.parse().unwrap()).collect();
        if !numbers.is_empty() {
            return numbers;
        }
    }
}
