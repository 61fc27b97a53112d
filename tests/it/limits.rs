//! The limits that clients meet, each at its edge: what is just within is taken, what is beyond has
//! a stable answer, and nobody else is harmed.

use crate::{client, greeted, hello, joined, meeting, ok, server};
use convoke_loadtest::client::connect;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn next(socket: &mut (impl Stream<Item = Result<Message, Error>> + Unpin)) -> Message {
    let next = tokio::time::timeout(Duration::from_secs(60), socket.next()).await;
    next.unwrap().unwrap().unwrap()
}

/// So many answers, in the order in which they come.
async fn answers(socket: &mut (impl Stream<Item = Result<Message, Error>> + Unpin), many: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    while answers.len() < many {
        let Message::Text(text) = next(socket).await else { continue };
        let messages: Vec<Value> = serde_json::from_str(&text).unwrap();
        answers.extend(messages.into_iter().filter(|message| message["re"].is_u64()));
    }
    answers
}

/// The answer to the only command under way.
async fn answer(socket: &mut (impl Stream<Item = Result<Message, Error>> + Unpin), re: u64) -> Value {
    let answer = answers(socket, 1).await.remove(0);
    assert_eq!(answer["re"], re);
    answer
}

/// Reads to the end: the code that the socket is closed with.
async fn close_code(mut socket: impl Stream<Item = Result<Message, Error>> + Unpin) -> u16 {
    loop {
        if let Message::Close(Some(frame)) = next(&mut socket).await {
            return frame.code.into();
        }
    }
}

async fn say<S: Sink<Message, Error = Error> + Unpin>(socket: &mut S, id: u64, kind: &str, data: Value) {
    let frame = json!({ "id": id, "type": kind, "data": data });
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

#[tokio::test]
async fn a_full_meeting_takes_its_host_and_whoever_comes_when_there_is_room() {
    let server = server(&[("CONVOKE_PARTICIPANTS_MAX", "2")]).await;
    let id = meeting(&server, json!({})).await;
    let ann = joined(&server, &id, "ann", "participant").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let hello = hello(&server.rest.key.join_token(&id, Some("cid"), "Cid", "participant"));
    let (mut third, answered) = greeted(&server, std::slice::from_ref(&hello)).await;
    assert_eq!(answered[0]["error"]["code"], "capacity");
    joined(&server, &id, "ada", "host").await;
    joined(&server, &id, "rec", "recorder").await;
    client(&server, &id, Some("bob"), "Bob", "participant").joined().await.unwrap();
    for leaver in [ann, bob] {
        ok(&leaver, "leave", json!({ "all": true })).await;
    }
    // The socket that was refused has stayed, and tries again.
    third.send(hello).await.unwrap();
    assert_eq!(answer(&mut third, 0).await["ok"], true);
    let more = json!({ "title": "Too many", "settings": { "max_participants": 3 } });
    assert_eq!(server.rest.api("POST", "/meetings", Some(more)).await.unwrap().status, 422);
}

#[tokio::test]
async fn a_sixth_device_is_refused_until_one_of_five_is_gone() {
    let server = server(&[("CONVOKE_DROP_MS", "50")]).await;
    let id = meeting(&server, json!({})).await;
    let mut devices = Vec::new();
    for _ in 0..5 {
        devices.push(joined(&server, &id, "ada", "host").await);
    }
    let hello = hello(&server.rest.key.join_token(&id, Some("ada"), "Ada", "host"));
    let (mut sixth, answered) = greeted(&server, std::slice::from_ref(&hello)).await;
    assert_eq!(answered[0]["error"]["code"], "capacity");
    joined(&server, &id, "bob", "participant").await;
    drop(devices.pop().unwrap().stop().await);
    // It is gone for the meeting after the time that a short drop may take.
    loop {
        sixth.send(hello.clone()).await.unwrap();
        if answer(&mut sixth, 0).await["ok"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(devices.iter().all(|device| device.record().closed.is_none()));
}

#[tokio::test]
async fn a_frame_of_64_kib_is_taken_and_a_byte_more_is_not() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let (mut socket, _) =
        greeted(&server, &[hello(&server.rest.key.join_token(&id, Some("ada"), "Ada", "host"))]).await;
    let frame = |id: u64, length: usize| {
        let frame = json!({ "id": id, "type": "hand.raise", "data": {} }).to_string();
        format!("{frame}{}", " ".repeat(length - frame.len()))
    };
    socket.send(Message::text(frame(1, 65_536))).await.unwrap();
    assert_eq!(answer(&mut socket, 1).await["ok"], true);
    socket.send(Message::text(frame(2, 65_537))).await.unwrap();
    let refusal = loop {
        let Message::Text(text) = next(&mut socket).await else { continue };
        let messages: Value = serde_json::from_str(&text).unwrap();
        if !messages[0]["error"].is_null() {
            break messages;
        }
    };
    assert_eq!((&refusal[0]["re"], &refusal[0]["error"]["code"]), (&Value::Null, &json!("too_large")));
    // It took no number, and what stands behind it is read as it was sent.
    say(&mut socket, 2, "hand.lower", json!({})).await;
    assert_eq!(answer(&mut socket, 2).await["ok"], true);
}

#[tokio::test]
async fn commands_have_a_rate_and_each_has_an_answer() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let witness = joined(&server, &id, "witness", "host").await;
    let hello = hello(&server.rest.key.join_token(&id, Some("ada"), "Ada", "participant"));
    let (socket, _) = greeted(&server, &[hello]).await;
    let (mut sink, mut source) = socket.split();
    // Many more at once than the burst and what a few seconds add to it.
    let sending = async {
        for number in 1..=500 {
            say(&mut sink, number, "hand.lower", json!({})).await;
        }
    };
    let ((), answers) = tokio::join!(sending, answers(&mut source, 500));
    let numbers: Vec<u64> = answers.iter().map(|answer| answer["re"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=500).collect::<Vec<u64>>(), "refused or not, each takes its number");
    assert!(answers.iter().take(60).all(|answer| answer["ok"] == true), "a burst of sixty");
    let mut refused = answers.iter().filter(|answer| answer["ok"] != true).peekable();
    assert!(refused.peek().is_some(), "all of them went through");
    for answer in refused {
        assert_eq!(answer["error"]["code"], "rate_limited");
        assert!(answer["error"]["retry_after_ms"].as_u64().unwrap() > 0);
    }
    ok(&witness, "chat.post", json!({ "to": "room", "text": "unhindered" })).await;
}

#[tokio::test]
async fn whoever_floods_is_closed() {
    let settings = [
        ("CONVOKE_COMMANDS_BURST", "10"),
        ("CONVOKE_COMMANDS_PER_S", "1"),
        ("CONVOKE_FLOOD_BURST", "20"),
        ("CONVOKE_FLOOD_PER_S", "1"),
    ];
    let server = server(&settings).await;
    let id = meeting(&server, json!({})).await;
    let (mut socket, _) =
        greeted(&server, &[hello(&server.rest.key.join_token(&id, Some("ada"), "Ada", "host"))]).await;
    for number in 1..=40 {
        let frame = json!({ "id": number, "type": "hand.lower", "data": {} });
        socket.feed(Message::text(frame.to_string())).await.unwrap();
    }
    socket.flush().await.unwrap();
    assert_eq!(close_code(socket).await, 4507);
}

#[tokio::test]
async fn whoever_has_few_unanswered_at_once_is_answered_all_the_same() {
    let server = server(&[("CONVOKE_IN_FLIGHT_MAX", "2"), ("CONVOKE_COMMANDS_BURST", "1000")]).await;
    let id = meeting(&server, json!({})).await;
    let mut frames = vec![hello(&server.rest.key.join_token(&id, Some("ada"), "Ada", "host"))];
    frames.extend(
        (1..=300).map(|number| Message::text(json!({ "id": number, "type": "hand.raise", "data": {} }).to_string())),
    );
    let (mut socket, first) = greeted(&server, &frames).await;
    let mut given: Vec<Value> = first.into_iter().filter(|message| message["re"].is_u64()).collect();
    given.extend(answers(&mut socket, 301 - given.len()).await);
    assert!(given.iter().all(|answer| answer["ok"] == true), "{given:?}");
    let numbers: Vec<u64> = given.iter().map(|answer| answer["re"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..=300).collect::<Vec<u64>>());
}

#[tokio::test]
async fn whoever_does_not_say_hello_is_closed() {
    let server = server(&[("CONVOKE_HELLO_S", "1")]).await;
    let silent = connect(&server.rest.host).await.unwrap();
    assert_eq!(close_code(silent).await, 4501);
}

#[tokio::test]
async fn a_node_has_so_many_sockets_and_gives_each_back() {
    let server = server(&[("CONVOKE_CONNECTIONS_MAX", "3")]).await;
    let id = meeting(&server, json!({})).await;
    for _ in 0..3 {
        let ada = joined(&server, &id, "ada", "host").await;
        let bob = joined(&server, &id, "bob", "participant").await;
        let third = connect(&server.rest.host).await.unwrap();
        let refused = connect(&server.rest.host).await.err().unwrap().to_string();
        assert!(refused.contains("503"), "{refused}");
        ok(&ada, "chat.post", json!({ "to": "room", "text": "unharmed" })).await;
        // However a socket ends: in order, without a word, or by the server.
        drop(bob.stop().await);
        drop(third);
        ok(&ada, "leave", json!({})).await;
        assert_eq!(ada.closed().await.unwrap(), 4508);
        // The server notices in its own time.
        loop {
            let three = [(); 3].map(|()| connect(&server.rest.host));
            if futures_util::future::join_all(three).await.iter().all(Result::is_ok) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_body_has_its_size() {
    let server = server(&[]).await;
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = |length: usize| {
        let body = r#"{"title":"Large"}"#;
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let taken = server.rest.send("POST", "/api/v1/meetings", &headers, Some(&body(262_144))).await.unwrap();
    assert_eq!(taken.status, 201);
    let refused = server.rest.send("POST", "/api/v1/meetings", &headers, Some(&body(262_145))).await.unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (413, Some("too_large")));
    let list = server.rest.api("GET", "/meetings", None).await.unwrap().json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn each_key_has_its_own_budget_and_says_what_is_left() {
    let secret = "0123456789abcdef0123456789abcdef";
    let keys = format!("acme/one:{secret},acme/two:{secret}");
    let settings =
        [("CONVOKE_API_KEYS", keys.as_str()), ("CONVOKE_REQUESTS_BURST", "3"), ("CONVOKE_REQUESTS_PER_MINUTE", "1")];
    let mut server = server(&settings).await;
    for key in ["one", "two"] {
        server.rest.key = convoke_loadtest::rest::Key::parse(&format!("{key}:{secret}")).unwrap();
        for left in ["2", "1", "0"] {
            let response = server.rest.api("GET", "/meetings", None).await.unwrap();
            assert_eq!((response.status, response.header("x-ratelimit-remaining")), (200, Some(left)));
            assert_eq!(response.header("x-ratelimit-limit"), Some("3"));
        }
        let spent = server.rest.api("GET", "/meetings", None).await.unwrap();
        assert_eq!((spent.status, spent.json()["code"].as_str()), (429, Some("rate_limited")));
        assert!(spent.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
}

/// Pings were sent, and missing pongs ignored: the dead looked present.
#[tokio::test]
async fn whoever_answers_no_ping_is_gone() {
    let server =
        server(&[("CONVOKE_HEARTBEAT_S", "5"), ("CONVOKE_DROP_MS", "50"), ("CONVOKE_PROGRESS_S", "600")]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let hello = hello(&server.rest.key.join_token(&id, Some("bob"), "Bob", "participant"));
    let (silent, answered) = greeted(&server, &[hello]).await;
    let bob = &answered[0]["data"]["self"]["participant"]["id"];
    // It is open, and says nothing more: not even a pong, which it would give while it reads.
    ada.until("that bob is gone", |record| {
        let mut gone = record.heard.iter().filter(|event| event.kind == "participant.disconnected");
        gone.any(|event| event.data["participant"]["id"] == *bob).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(close_code(silent).await, 4003);
}
