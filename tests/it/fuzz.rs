//! A hundred thousand random frames over real sockets: commands of every kind with random data,
//! among them ids that exist, and frames that are none. Every answer has a code of the contract,
//! no actor crashes, and a witness in the same meeting is served throughout.

use crate::{greeted, hello, joined, meeting, ok, server};
use convoke_domain::command::COMMAND_TYPES;
use convoke_loadtest::rest::now_s;
use convoke_loadtest::server::Server;
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

const FRAMES: usize = 100_000;
const WORKERS: usize = 8;
const ROLES: [&str; 6] = ["host", "cohost", "participant", "participant", "viewer", "agent"];
const FIELDS: [&str; 39] = [
    "rooms",
    "room",
    "moves",
    "from",
    "into",
    "by_s",
    "now",
    "participant",
    "text",
    "to",
    "message",
    "emoji",
    "on",
    "source",
    "allowed",
    "role",
    "name",
    "ban",
    "all",
    "title",
    "settings",
    "audio",
    "video",
    "screen",
    "transfer_to",
    "reply_to",
    "after",
    "question",
    "poll",
    "choices",
    "options",
    "results",
    "duration_s",
    "participants",
    "up",
    "anonymous",
    "start_at",
    "end_at",
    "final",
];
const WORDS: [&str; 14] = [
    "room",
    "everyone",
    "audio",
    "video",
    "screen",
    "host",
    "cohost",
    "participant",
    "viewer",
    "main",
    "👋",
    "",
    "\0",
    "é",
];
const CODES: [&str; 11] = [
    "bad_request",
    "unknown_type",
    "unauthenticated",
    "not_permitted",
    "not_found",
    "conflict",
    "too_large",
    "rate_limited",
    "wrong_state",
    "capacity",
    "unavailable",
];

/// Ids that the meeting has given out, for all to misuse: of all kinds, and of open polls and questions,
/// which among all that is said would hardly ever be hit.
#[derive(Default)]
struct Known {
    any: Vec<String>,
    polls: Vec<String>,
    questions: Vec<String>,
}

type Ids = Arc<Mutex<Known>>;

/// The latest that there is room for.
fn note(ids: &mut Vec<String>, id: &str, most: usize) {
    if ids.len() >= most {
        ids.remove(0);
    }
    ids.push(id.to_owned());
}

/// Every command but the one that ends the meeting, and one that there is not.
fn kinds() -> Vec<&'static str> {
    let all = COMMAND_TYPES.iter().copied().filter(|kind| *kind != "meeting.end");
    all.chain(["no.such.thing"]).collect()
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

fn value(random: &mut StdRng, ids: &Ids, depth: usize) -> Value {
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random_range(-3..300)),
        3 => json!(random.random::<i64>()),
        4 => json!(random.random::<f64>()),
        5 => json!("x".repeat(random.random_range(0..5_000))),
        6 if depth < 3 => json!([value(random, ids, depth + 1), value(random, ids, depth + 1)]),
        7 if depth < 3 => data(random, ids, depth + 1),
        8 | 9 => json!(pick(random, &WORDS)),
        _ => {
            let ids = &ids.lock().unwrap().any;
            if ids.is_empty() { json!("none yet") } else { json!(ids[random.random_range(0..ids.len())]) }
        }
    }
}

fn data(random: &mut StdRng, ids: &Ids, depth: usize) -> Value {
    let mut fields = Map::new();
    for _ in 0..random.random_range(0..4) {
        fields.insert(pick(random, &FIELDS).to_owned(), value(random, ids, depth));
    }
    Value::Object(fields)
}

/// What a command takes, as the contract has it; two times in three it is left at that, otherwise
/// a field is replaced by something random, or all of it is.
fn data_of(kind: &str, random: &mut StdRng, ids: &Ids) -> Value {
    let id = {
        let known = ids.lock().unwrap();
        let ids = match kind {
            "poll.vote" | "poll.close" => &known.polls,
            "question.vote" | "question.answer" | "question.dismiss" => &known.questions,
            _ => &known.any,
        };
        if ids.is_empty() { "none".to_owned() } else { ids[random.random_range(0..ids.len())].clone() }
    };
    let text = format!("text {}", random.random::<u32>());
    let on = random.random::<bool>();
    let mut right = match kind {
        "meeting.update" => json!({ "title": text }),
        "lobby.admit" | "lobby.deny" | "participant.remove" | "participant.to_lobby" => json!({ "participant": id }),
        "lobby.message" => json!({ "text": text }),
        "participant.set_role" => json!({ "participant": id, "role": pick(random, &ROLES) }),
        "participant.rename" => json!({ "participant": id, "name": text }),
        "participant.mute" => json!({ "participant": id, "source": "audio" }),
        "participant.permit" => json!({ "participant": id, "source": "video", "allowed": on }),
        "participant.set_media" => json!({ "audio": on, "video": on, "screen": false }),
        "reaction.send" => json!({ "emoji": "👋" }),
        "chat.post" => json!({ "to": "room", "text": text }),
        "chat.edit" => json!({ "message": id, "text": text }),
        "chat.delete" => json!({ "message": id }),
        "chat.react" => json!({ "message": id, "emoji": "👋", "on": on }),
        "question.ask" => json!({ "text": text, "anonymous": on }),
        "question.vote" => json!({ "question": id, "up": on }),
        "question.answer" => json!({ "question": id, "live": true }),
        "question.dismiss" => json!({ "question": id }),
        "poll.open" => {
            let results = pick(random, &["live", "closed", "hosts"]);
            json!({ "question": text, "options": ["yes", "no"], "multiple": on, "anonymous": !on, "results": results })
        }
        "poll.vote" => json!({ "poll": id, "choices": [u8::from(on)] }),
        "poll.close" => json!({ "poll": id }),
        "timer.start" => json!({ "duration_s": 1, "title": text }),
        "spotlight.set" => json!({ "participants": [id] }),
        "caption.publish" => {
            let at = now_s() * 1_000;
            json!({ "participant": id, "lang": "en", "text": text, "start_at": at, "end_at": at, "final": on })
        }
        "mesh.signal" => json!({ "to": id, "data": { "any": text } }),
        _ => json!({}),
    };
    match random.random_range(0..9) {
        0 | 1 => data(random, ids, 0),
        2 => {
            right[pick(random, &FIELDS)] = value(random, ids, 0);
            right
        }
        _ => right,
    }
}

/// What an answer may be, and what can be learned from any message.
fn check(message: &Value, ids: &Ids) {
    if message.get("re").is_some() && message["ok"] != json!(true) {
        let code = message["error"]["code"].as_str().unwrap_or("none");
        assert!(CODES.contains(&code), "{message}");
    }
    for pointer in [
        "/data/participant/id",
        "/data/message/id",
        "/data/question/id",
        "/data/poll/id",
        "/data/self/participant/id",
        "/data/self/session",
    ] {
        let Some(id) = message.pointer(pointer).and_then(Value::as_str) else { continue };
        let mut known = ids.lock().unwrap();
        note(&mut known.any, id, 200);
        match (pointer, message["type"].as_str()) {
            ("/data/poll/id", Some("poll.opened")) => note(&mut known.polls, id, 5),
            ("/data/question/id", Some("question.asked")) => note(&mut known.questions, id, 5),
            _ => {}
        }
    }
}

/// One socket's life; answers how many frames it sent.
async fn socket(server: &Server, meeting: &str, ids: &Ids, random: &mut StdRng, most: usize) -> usize {
    let user = format!("u{}", random.random::<u32>());
    let role = pick(random, &ROLES);
    let token = server.rest.key.join_token(meeting, Some(&user), "Fuzz", role);
    let (socket, first) = greeted(server, &[hello(&token)]).await;
    first.iter().for_each(|message| check(message, ids));
    let (mut sink, mut source) = socket.split();
    // As many as may be unanswered; the reader gives them back, and closes when the socket ends.
    let window = Arc::new(Semaphore::new(60));
    let (given, heard) = (Arc::clone(&window), Arc::clone(ids));
    let reader = tokio::spawn(async move {
        while let Some(Ok(frame)) = source.next().await {
            let Message::Text(text) = frame else { continue };
            for message in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
                check(&message, &heard);
                if message.get("re").is_some_and(|re| *re != json!(0)) {
                    given.add_permits(1);
                }
            }
        }
        given.close();
    });
    let kinds = kinds();
    let mut sent = 0;
    let mut number = 0;
    while sent < most {
        let Ok(permit) = window.acquire().await else { break };
        permit.forget();
        let frame = if random.random_range(0..400) == 0 {
            let soup: String =
                (0..random.random_range(0..40)).map(|_| char::from(random.random_range(32..127_u8))).collect();
            soup
        } else {
            number += 1;
            // Most of what would end the socket is left out, or every socket were a short one.
            let kind = match pick(random, &kinds) {
                "leave" | "participant.remove" | "participant.to_lobby" if random.random_range(0..20) > 0 => {
                    "chat.post"
                }
                kind => kind,
            };
            json!({ "id": number, "type": kind, "data": data_of(kind, random, ids) }).to_string()
        };
        sent += 1;
        if sink.send(Message::text(frame)).await.is_err() {
            break;
        }
    }
    let _ = sink.close().await;
    reader.await.unwrap();
    sent
}

#[tokio::test]
async fn a_hundred_thousand_random_frames_harm_nobody() {
    let server = server(&[
        ("CONVOKE_COMMANDS_BURST", "1000000"),
        ("CONVOKE_COMMANDS_PER_S", "1000000"),
        ("CONVOKE_FLOOD_BURST", "1000000"),
        ("CONVOKE_FLOOD_PER_S", "1000000"),
    ])
    .await;
    let id = meeting(&server, json!({})).await;
    let witness = joined(&server, &id, "witness", "host").await;
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    let ids = Ids::default();
    let mut random = StdRng::seed_from_u64(seed);
    let workers = (0..WORKERS).map(|_| {
        let mut random = StdRng::seed_from_u64(random.next_u64());
        let (server, id, ids, witness) = (&server, &id, &ids, &witness);
        async move {
            let mut sent = 0;
            while sent < FRAMES / WORKERS {
                // Whatever the fuzzing hosts did to the doors is undone.
                let open = json!({ "settings": { "lobby": "off", "locked": false, "max_participants": 1000 } });
                ok(witness, "meeting.update", open).await;
                sent += socket(server, id, ids, &mut random, FRAMES / WORKERS - sent).await;
            }
        }
    });
    futures_util::future::join_all(workers).await;
    ok(&witness, "chat.post", json!({ "to": "room", "text": "unharmed" })).await;
    let log = server.rest.log(&id).await.unwrap();
    assert!(log.len() > 10_000, "too little of it had an effect: {} events", log.len());
    for kind in ["question.vote_set", "question.answered", "poll.voted", "poll.closed"] {
        let count = log.iter().filter(|event| event["type"] == kind).count();
        println!("{kind}: {count}");
        assert!(count > 0, "nothing came of it: {kind}");
    }
    let metrics = server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    assert!(!metrics.contains("convoke_actor_crashes_total{"), "{metrics}");
    assert!(!server.log().contains("panic"), "{}", server.log());
}
