//! Somebody who does not read: closed at the bound, and nobody else notices.

use crate::{joined, meeting, ok, server};
use convoke_loadtest::client::connect;
use convoke_loadtest::verify::verify;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_stalled_client_is_dropped_and_a_healthy_one_misses_nothing() {
    let settings = [
        ("CONVOKE_PROGRESS_S", "5"),
        ("CONVOKE_COMMANDS_BURST", "1000"),
        ("CONVOKE_COMMANDS_PER_S", "1000"),
        ("CONVOKE_FLOOD_BURST", "100000"),
        ("CONVOKE_FLOOD_PER_S", "100000"),
    ];
    let server = server(&settings).await;
    let id = meeting(&server, json!({})).await;
    let mut stalled = connect(&server.rest.host).await.unwrap();
    let token = server.rest.key.join_token(&id, Some("stalled"), "Stalled", "participant");
    let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": uuid::Uuid::now_v7() } });
    stalled.send(Message::text(hello.to_string())).await.unwrap();
    stalled.next().await.unwrap().unwrap();
    // From here on this socket is never read again.
    let ada = joined(&server, &id, "ada", "host").await;
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
    assert_eq!(ada.record().reconnects, 0);
}
