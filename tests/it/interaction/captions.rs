//! Captions: by a captioner that listens, or by the speaker's own device.

use super::device::Device;
use super::{all_caught_up, caught_up, logged};
use crate::breakout::{entered, now_ms, open};
use crate::{id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::Client;
use serde_json::{Value, json};

fn caption(of: &str, text: &str, is_final: bool) -> Value {
    let now = now_ms();
    json!({ "participant": of, "lang": "en", "text": text, "start_at": now - 900, "end_at": now, "final": is_final })
}

/// Waits until somebody is shown these words.
async fn is_shown(client: &Client, text: &str) -> Value {
    let look = |caption: &&Value| caption["text"] == text;
    client.until(text, |record| record.captions.iter().find(look).cloned()).await.unwrap()
}

#[tokio::test]
async fn partial_words_pass_by_and_final_ones_are_kept() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let bot = joined(&server, &id, "bot", "agent").await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let token = server.rest.key.join_token(&id, Some("eve"), "Eve", "participant");
    let eve = Device::join(&server.rest.host, &token).await;
    let bob_id = id_of(&bob);
    let before = server.rest.log(&id).await.unwrap().len();
    let answer = ok(&bot, "caption.publish", caption(&bob_id, "good mor", false)).await;
    assert!(answer["seq"].is_null(), "no event");
    for client in [&ada, &bob] {
        let told = is_shown(client, "good mor").await;
        assert_eq!(
            (&told["participant"], &told["room"], &told["final"]),
            (&json!(bob_id), &json!("main"), &json!(false))
        );
    }
    assert_eq!(server.rest.log(&id).await.unwrap().len(), before);

    // Eve's device is away while the words become final, by the agent and by the speaker's own device.
    let said = caption(&bob_id, "Good morning.", true);
    let answer = ok(&bot, "caption.publish", said.clone()).await;
    assert_eq!(is_shown(&bob, "Good morning.").await["final"], json!(true));
    ok(&bob, "caption.publish", caption(&bob_id, "And welcome.", true)).await;
    let recorded = ada.event("caption.recorded").await.unwrap();
    assert_eq!(json!(recorded.seq), answer["seq"]);
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(&recorded.data["caption"][name], value, "{name}");
    }
    let mut eve = eve.resume(&server.rest.host).await;
    assert_eq!(eve.greeted["resumed"], json!(true));
    let last = eve.greeted["last_id"].as_u64().unwrap();
    eve.ask(last + 1, "hand.lower", json!({})).await;
    let kept = eve.events.iter().filter(|event| event["type"] == "caption.recorded");
    let texts: Vec<&Value> = kept.map(|event| &event["data"]["caption"]["text"]).collect();
    assert_eq!(texts, ["Good morning.", "And welcome."]);
    assert_eq!(logged(&server, &id, "caption.recorded").await.len(), 2);
}

#[tokio::test]
async fn a_caption_is_for_the_room_that_its_speaker_is_in() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let bot = joined(&server, &id, "bot", "agent").await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&bob)] }] })).await;
    entered(&bob, &rooms[0]).await;
    // What began before the move belongs to the room of before.
    let mut words = caption(&id_of(&bob), "between us", true);
    words["start_at"] = words["end_at"].clone();
    let said = ok(&bot, "caption.publish", words).await;
    assert_eq!(is_shown(&bob, "between us").await["room"], json!(rooms[0]));
    caught_up(&bob, &said["seq"]).await;
    all_caught_up(&bob, &[&ada]).await;
    ok(&bot, "caption.publish", caption(&id_of(&ada), "for the main room", true)).await;
    is_shown(&ada, "for the main room").await;
    assert!(ada.record().captions.iter().all(|caption| caption["text"] != "between us"));
    let recorded: Vec<u64> =
        ada.record().heard.iter().filter(|heard| heard.kind == "caption.recorded").map(|heard| heard.seq).collect();
    assert!(!recorded.contains(&said["seq"].as_u64().unwrap()));
}

#[tokio::test]
async fn what_is_no_caption_is_refused() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let bot = joined(&server, &id, "bot", "agent").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let vic = joined(&server, &id, "vic", "viewer").await;
    let (bob_id, bot_id, vic_id) = (id_of(&bob), id_of(&bot), id_of(&vic));
    let head = server.rest.log(&id).await.unwrap().len();
    let with = |name: &str, value: Value| {
        let mut caption = caption(&bob_id, "words", true);
        caption[name] = value;
        caption
    };
    let mut long = caption(&bob_id, "words", true);
    long["start_at"] = json!(long["end_at"].as_u64().unwrap() - 300_001);
    let mut old = caption(&bob_id, "words", true);
    old["start_at"] = json!(now_ms() - 3_700_000);
    old["end_at"] = json!(now_ms() - 3_690_000);
    let mut early = caption(&bob_id, "words", true);
    early["end_at"] = json!(now_ms() + 3_600_000);
    early["start_at"] = early["end_at"].clone();
    let table = [
        (&bot, with("lang", json!("")), "bad_request"),
        (&bot, with("lang", json!("english language")), "bad_request"),
        (&bot, with("lang", json!("e")), "bad_request"),
        (&bot, with("lang", json!("en-")), "bad_request"),
        (&bot, with("lang", json!("e1-GB")), "bad_request"),
        (&bot, with("lang", json!(7)), "bad_request"),
        (&bot, with("text", json!(" ")), "bad_request"),
        (&bot, with("text", json!("x".repeat(1_001))), "too_large"),
        (&bot, with("start_at", json!(now_ms() + 10_000)), "bad_request"),
        (&bot, long, "bad_request"),
        (&bot, old, "bad_request"),
        (&bot, early, "bad_request"),
        (&bot, with("participant", json!(uuid::Uuid::now_v7())), "not_found"),
        (&bob, with("participant", json!(vic_id)), "not_permitted"),
        (&bob, with("participant", json!(bot_id)), "not_found"),
        (&vic, with("participant", json!(vic_id)), "not_permitted"),
    ];
    for (client, data, code) in table {
        for is_final in [true, false] {
            let mut data = data.clone();
            data["final"] = json!(is_final);
            assert_eq!(refused(client, "caption.publish", data.clone()).await, code, "{data}");
        }
    }
    assert_eq!(server.rest.log(&id).await.unwrap().len(), head);
    // A language tag with all that there may be to it.
    for lang in ["de", "pt-BR", "zh-Hant-TW", "gsw"] {
        ok(&bot, "caption.publish", with("lang", json!(lang))).await;
    }
    assert!(bob.record().captions.iter().all(|caption| caption["text"] == "words"));
}
