//! What should not be sent: stable codes, nothing lost, and the sockets of others unharmed.

use crate::{client, greeted, hello, joined, meeting, ok, refused, server};
use convoke_loadtest::client::{Client, Options, connect};
use convoke_loadtest::rest::Key;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

async fn text(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[tokio::test]
async fn wrong_commands_are_refused_by_code_and_take_their_number() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let nobody = uuid::Uuid::now_v7().to_string();
    for (kind, data, code) in [
        ("nonsense", json!({}), "unknown_type"),
        ("chat.post", json!({}), "bad_request"),
        ("chat.post", json!({ "to": "room", "text": 5 }), "bad_request"),
        ("chat.post", json!({ "to": "room", "text": "" }), "bad_request"),
        ("chat.post", json!({ "to": "room", "text": "x".repeat(4_001) }), "too_large"),
        ("chat.post", json!({ "to": nobody, "text": "x" }), "not_found"),
        ("chat.edit", json!({ "message": nobody, "text": "x" }), "not_found"),
        ("participant.remove", json!({ "participant": nobody }), "not_found"),
        ("participant.rename", json!({ "participant": crate::id_of(&ada), "name": "n".repeat(129) }), "too_large"),
        ("lobby.admit", json!({}), "bad_request"),
        ("meeting.update", json!({ "settings": { "max_participants": 0 } }), "bad_request"),
        ("meeting.update", json!({ "settings": { "colour": "red" } }), "bad_request"),
        ("meeting.start", json!({}), "wrong_state"),
    ] {
        assert_eq!(refused(&ada, kind, data.clone()).await, code, "{kind} {data}");
    }
    let answer = ok(&ada, "chat.post", json!({ "to": "room", "text": "x".repeat(4_000) })).await;
    assert_eq!(answer["re"], 14, "every refused command took its number");
}

#[tokio::test]
async fn what_is_no_frame_closes_the_third_time() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let witness = joined(&server, &id, "witness", "host").await;
    let bad = [
        Message::text("nonsense"),
        Message::text(format!("{{\"id\":1,\"type\":\"x\",\"data\":{}}}", "[".repeat(5_000))),
        Message::binary(vec![0xFF, 0xFE]),
        Message::text("y".repeat(70 * 1_024)),
    ];
    for message in bad {
        let ada = joined(&server, &id, "ada", "participant").await;
        for _ in 0..2 {
            ada.send_raw(message.clone());
        }
        ok(&ada, "hand.lower", json!({})).await;
        ada.send_raw(message);
        assert_eq!(ada.closed().await.unwrap(), 4500);
    }
    ok(&witness, "chat.post", json!({ "to": "room", "text": "unharmed" })).await;
}

#[tokio::test]
async fn gaps_take_nothing_and_retries_have_one_effect() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let token = server.rest.key.join_token(&id, Some("ada"), "Ada", "host");
    let (mut socket, _) = greeted(&server, &[hello(&token)]).await;
    let post = |number: u64| {
        let data = json!({ "to": "room", "text": format!("number {number}") });
        Message::text(json!({ "id": number, "type": "chat.post", "data": data }).to_string())
    };
    socket.send(post(3)).await.unwrap();
    let answer = text(&mut socket).await;
    assert_eq!((&answer[0]["re"], &answer[0]["error"]["code"]), (&json!(3), &json!("bad_request")));
    socket.send(post(1)).await.unwrap();
    let first = text(&mut socket).await;
    socket.send(post(1)).await.unwrap();
    let again = text(&mut socket).await;
    assert_eq!(again.as_array().unwrap().len(), 1, "no second event");
    assert_eq!(again[0], first[1], "the same answer");
}

#[tokio::test]
async fn forged_tokens_and_other_tenants_stay_outside() {
    let secret = "0123456789abcdef0123456789abcdef";
    let keys = format!("acme/load:{secret},other/other:{}", "f".repeat(32));
    let mut server = server(&[("CONVOKE_API_KEYS", &keys)]).await;
    server.rest.key = Key::parse(&format!("load:{secret}")).unwrap();
    let id = meeting(&server, json!({})).await;
    let stranger = Key::parse(&format!("other:{}", "f".repeat(32))).unwrap();
    let tokens = [
        ("of another tenant", stranger.join_token(&id, Some("x"), "X", "host")),
        ("forged", Key::parse("load:wrongwrongwrongwrong").unwrap().join_token(&id, Some("x"), "X", "host")),
        ("unsigned", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJsb2FkIiwiZXhwIjo5OTk5OTk5OTk5fQ.".to_owned()),
        ("expired", server.rest.key.sign(&json!({ "iss": "load", "exp": 1, "meeting": id, "name": "X" }))),
        ("for calling, not joining", server.rest.key.api_token()),
    ];
    for (what, token) in tokens {
        let client = Client::start(Options::new(&server.rest.host, token));
        assert_eq!(client.closed().await.unwrap(), 4501, "{what}");
        assert!(client.record().snapshot.is_none());
    }
    let good = client(&server, &id, Some("ada"), "Ada", "host");
    good.joined().await.unwrap();
}

#[tokio::test]
async fn commands_that_are_sent_with_the_hello_are_taken_in_order() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let token = server.rest.key.join_token(&id, Some("ada"), "Ada", "host");
    let posts = (1..=5).map(|number| {
        let data = json!({ "to": "room", "text": format!("number {number}") });
        Message::text(json!({ "id": number, "type": "chat.post", "data": data }).to_string())
    });
    let frames: Vec<Message> = std::iter::once(hello(&token)).chain(posts).collect();
    let (mut socket, mut messages) = greeted(&server, &frames).await;
    let mut answers = Vec::new();
    loop {
        answers.extend(messages.into_iter().filter(|message| message["re"].is_u64()));
        if answers.len() == 6 {
            break;
        }
        messages = text(&mut socket).await.as_array().unwrap().clone();
    }
    let given: Vec<(u64, bool)> =
        answers.iter().map(|answer| (answer["re"].as_u64().unwrap(), answer["ok"] == json!(true))).collect();
    assert_eq!(given, (0..=5).map(|number| (number, true)).collect::<Vec<_>>());
}

#[tokio::test]
async fn sockets_that_say_nothing_are_limited_by_address_and_those_that_join_are_not() {
    let server = server(&[("CONVOKE_UNJOINED_PER_ADDRESS_MAX", "3")]).await;
    let id = meeting(&server, json!({})).await;
    let mut people = Vec::new();
    for number in 0..5 {
        people.push(joined(&server, &id, &format!("u{number}"), "participant").await);
    }
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(connect(&server.rest.host).await.unwrap());
    }
    let refused = connect(&server.rest.host).await.err().unwrap().to_string();
    assert!(refused.contains("429"), "{refused}");
    // One that goes makes room: the server notices in its own time.
    silent.pop();
    while connect(&server.rest.host).await.is_err() {
        tokio::task::yield_now().await;
    }
}
