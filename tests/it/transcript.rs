//! The transcript through the front door: captions published over sockets, by a service and by whoever
//! speaks, and read as a list, as text and as subtitles, by those who may.

use crate::breakout::{as_bearer, entered, now_ms, open, postgres};
use crate::{client, id_of, joined, meeting, ok, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::rest::Response;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};

/// When a meeting started: captions are published, and subtitles counted, from there.
fn started_at(client: &Client) -> u64 {
    client.record().snapshot.as_ref().unwrap()["meeting"]["started_at"].as_u64().unwrap()
}

async fn publish(by: &Client, of: &str, lang: &str, text: &str, from: u64, to: u64) {
    let caption =
        json!({ "participant": of, "lang": lang, "text": text, "start_at": from, "end_at": to, "final": true });
    ok(by, "caption.publish", caption).await;
}

async fn transcript(server: &Server, id: &str, query: &str) -> Response {
    server.rest.api("GET", &format!("/meetings/{id}/transcript?{query}"), None).await.unwrap()
}

fn texts(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect()
}

async fn reads_in_all_formats(settings: &[(&str, &str)]) {
    let server = server(settings).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = client(&server, &id, Some("bob"), "Bob & <Bee>", "participant");
    bob.joined().await.unwrap();
    let ear = joined(&server, &id, "ear", "agent").await;
    let (ada_id, bob_id) = (id_of(&ada), id_of(&bob));
    let zero = started_at(&ada);
    publish(&bob, &bob_id, "en-US", "<b>bold</b>\n\nand & below", zero + 3_000, zero + 4_500).await;
    publish(&ear, &ada_id, "en", "one --> two", zero + 1_000, zero + 2_999).await;
    publish(&ear, &ada_id, "pt-BR", "três", zero + 10_000, zero + 10_000).await;
    publish(&ear, &ada_id, "en", "before it all", zero - 500, zero + 250).await;
    let partial = json!({ "participant": ada_id, "lang": "en", "text": "one --", "start_at": zero + 1_000,
        "end_at": zero + 1_500, "final": false });
    ok(&ear, "caption.publish", partial).await;

    let line = |who: &str, name: &str, lang: &str, text: &str, from: u64, to: u64| {
        json!({ "participant": who, "name": name, "room": "main", "lang": lang, "text": text,
            "start_at": from, "end_at": to })
    };
    let bobs = "Bob & <Bee>";
    let expected = json!([
        line(&ada_id, "ada", "en", "before it all", zero - 500, zero + 250),
        line(&ada_id, "ada", "en", "one --> two", zero + 1_000, zero + 2_999),
        line(&bob_id, bobs, "en-US", "<b>bold</b>\n\nand & below", zero + 3_000, zero + 4_500),
        line(&ada_id, "ada", "pt-BR", "três", zero + 10_000, zero + 10_000),
    ]);
    let json = transcript(&server, &id, "").await;
    assert_eq!((json.status, json.json()), (200, json!({ "items": expected })));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let first = transcript(&server, &id, "format=json&limit=3").await.json();
    let rest = transcript(&server, &id, &format!("limit=3&cursor={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), rest), (3, json!({ "items": [expected[3]] })));

    let txt = transcript(&server, &id, "format=txt").await;
    let expected = "ada: before it all\nada: one --> two\nBob & <Bee>: <b>bold</b> and & below\nada: três\n";
    assert_eq!((txt.status, txt.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(txt.body, expected);

    let srt = transcript(&server, &id, "format=srt").await;
    let expected = "1\n00:00:00,000 --> 00:00:00,250\nada: before it all\n\n\
        2\n00:00:01,000 --> 00:00:02,999\nada: one → two\n\n\
        3\n00:00:03,000 --> 00:00:04,500\nBob & ‹Bee›: ‹b›bold‹/b›\nand & below\n\n\
        4\n00:00:10,000 --> 00:00:10,001\nada: três\n\n";
    assert_eq!(
        (srt.body.as_str(), srt.header("content-type")),
        (expected, Some("application/x-subrip; charset=utf-8"))
    );

    let vtt = transcript(&server, &id, "format=vtt").await;
    let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:00.250\n<v ada>before it all\n\n\
        00:00:01.000 --> 00:00:02.999\n<v ada>one --&gt; two\n\n\
        00:00:03.000 --> 00:00:04.500\n<v Bob &amp; &lt;Bee&gt;>&lt;b&gt;bold&lt;/b&gt;\nand &amp; below\n\n\
        00:00:10.000 --> 00:00:10.001\n<v ada>três\n\n";
    assert_eq!((vtt.body.as_str(), vtt.header("content-type")), (expected, Some("text/vtt; charset=utf-8")));

    let english = transcript(&server, &id, "language=EN").await.json();
    assert_eq!(texts(&english), ["before it all", "one --> two", "<b>bold</b>\n\nand & below"]);
    assert_eq!(transcript(&server, &id, "format=txt&language=pt").await.body, "ada: três\n");
    assert_eq!(transcript(&server, &id, "format=txt&language=en-us").await.body.lines().count(), 1);
    assert_eq!(transcript(&server, &id, "format=vtt&language=de").await.body, "WEBVTT\n\n");
    assert_eq!(transcript(&server, &id, "format=srt&language=de").await.body, "");
    for (query, status, code) in [
        ("format=pdf", 422, "bad_request"),
        ("language=e%25", 422, "bad_request"),
        ("language=", 422, "bad_request"),
        ("limit=0", 422, "bad_request"),
        ("cursor=17", 422, "bad_request"),
        ("room=nowhere", 422, "bad_request"),
        ("room=0199c5f0-0000-7000-8000-000000000000", 404, "not_found"),
        ("room=0199c5f0-0000-7000-8000-000000000000&format=vtt", 404, "not_found"),
    ] {
        let refused = transcript(&server, &id, query).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{query}");
    }
}

#[tokio::test]
async fn a_transcript_is_read_in_all_formats() {
    reads_in_all_formats(&[]).await;
}

#[tokio::test]
async fn on_postgres_a_transcript_is_the_same() {
    if let Some(url) = postgres().await {
        reads_in_all_formats(&[("CONVOKE_DATABASE_URL", &url)]).await;
    }
}

/// More than is read at a time: nothing is twice, nothing is missing, and the numbers go on.
#[tokio::test]
async fn a_long_transcript_is_one_document() {
    let all = [("CONVOKE_COMMANDS_PER_S", "100000"), ("CONVOKE_COMMANDS_BURST", "100000")];
    let flood = [("CONVOKE_FLOOD_PER_S", "100000"), ("CONVOKE_FLOOD_BURST", "100000")];
    let server = server(&[all, flood].concat()).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let (who, zero) = (id_of(&ada), started_at(&ada));
    const LINES: usize = 1_000;
    for number in 0..LINES {
        // Many begin at the same time, also where a page ends.
        let from = zero + u64::try_from(number / 7).unwrap();
        let caption = json!({ "participant": who, "lang": "en", "text": format!("number {number}"),
            "start_at": from, "end_at": from + 500, "final": true });
        ada.send("caption.publish", caption);
    }
    ada.until("the last answer", |record| (record.acknowledged.len() >= LINES).then_some(())).await.unwrap();
    let txt = transcript(&server, &id, "format=txt").await.body;
    let expected: String = (0..LINES).map(|number| format!("ada: number {number}\n")).collect();
    assert_eq!(txt, expected);
    let srt = transcript(&server, &id, "format=srt").await.body;
    let numbers: Vec<usize> =
        srt.split_terminator("\n\n").map(|cue| cue.lines().next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=LINES).collect::<Vec<_>>());
    let vtt = transcript(&server, &id, "format=vtt").await.body;
    assert_eq!((vtt.matches("WEBVTT").count(), vtt.matches(" --> ").count()), (1, LINES));
}

#[tokio::test]
async fn what_was_spoken_in_a_room_is_for_those_who_were_there() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let zero = started_at(&ada);
    publish(&eve, &id_of(&eve), "en", "in main", zero, zero + 100).await;
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&bob)] }] })).await;
    entered(&bob, &rooms[0]).await;
    // He is there from now on.
    let later = now_ms() + 1_000;
    publish(&bob, &id_of(&bob), "en", "in one", later, later + 100).await;
    let path = format!("/meetings/{id}/transcript");
    for (user, role, expected) in [
        ("ada", "host", &["in main", "in one"][..]),
        ("bob", "participant", &["in main", "in one"]),
        ("eve", "participant", &["in main"]),
        // A token says what somebody may become; what they read is what they were.
        ("eve", "host", &["in main"]),
    ] {
        let token = server.rest.key.join_token(&id, Some(user), user, role);
        let (status, page) = as_bearer(&server, &token, "GET", &path, None).await;
        assert_eq!((status, texts(&page)), (200, expected.to_vec()), "{user}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let whole = format!("/api/v1{path}?format=txt&room={}", rooms[0]);
        let txt = server.rest.send("GET", &whole, &headers, None).await.unwrap();
        let is_read = expected.contains(&"in one");
        assert_eq!((txt.status, txt.body.contains("in one")), (200, is_read), "{user}");
    }
    let in_one = transcript(&server, &id, &format!("room={}", rooms[0])).await.json();
    assert_eq!(texts(&in_one), ["in one"]);
    assert_eq!(texts(&transcript(&server, &id, "room=main").await.json()), ["in main"]);
    // Nobody else: not whoever was never inside, nor somebody of another meeting.
    let stranger = server.rest.key.join_token(&id, Some("fay"), "fay", "host");
    assert_eq!(as_bearer(&server, &stranger, "GET", &path, None).await.0, 403);
    let other = meeting(&server, json!({})).await;
    let elsewhere = server.rest.key.join_token(&other, Some("ada"), "ada", "host");
    assert_eq!(as_bearer(&server, &elsewhere, "GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn whoever_is_erased_is_in_no_transcript() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let zero = started_at(&ada);
    publish(&ada, &id_of(&ada), "en", "life goes on", zero, zero + 100).await;
    publish(&bob, &id_of(&bob), "en", "unforgettable words", zero + 200, zero + 300).await;
    assert_eq!(transcript(&server, &id, "").await.json()["items"].as_array().unwrap().len(), 2);
    let export = server.rest.api("GET", "/users/bob/export", None).await.unwrap().json();
    let captions = &export["meetings"][0]["captions"];
    assert_eq!((captions.as_array().unwrap().len(), &captions[0]["text"]), (1, &json!("unforgettable words")));
    assert_eq!(server.rest.api("DELETE", "/users/bob", None).await.unwrap().status, 200);
    assert_eq!(texts(&transcript(&server, &id, "").await.json()), ["life goes on"]);
    for (format, lines) in [("txt", 1), ("srt", 4), ("vtt", 5)] {
        let document = transcript(&server, &id, &format!("format={format}")).await.body;
        assert!(!document.contains("unforgettable") && !document.contains("bob"), "{document}");
        assert_eq!(document.lines().count(), lines, "{document}");
    }
    let log = Value::from(server.rest.log(&id).await.unwrap()).to_string();
    assert!(!log.contains("unforgettable") && log.contains("caption.recorded"), "{log}");
}
