//! Whiteboards over REST: made, listed, renamed, copied, deleted; read as files, kept and restored; and who may.

mod access;

use crate::breakout::postgres;
use crate::cluster::cluster;
use crate::painter::{Painter, text};
use crate::{joined, meeting, ok, server};
use convoke_loadtest::rest::{Key, Response};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use uuid::Uuid;

async fn api(server: &Server, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let response = server.rest.api(method, path, body).await.unwrap();
    (response.status, response.json())
}

async fn make(server: &Server, meeting: &str, wanted: Value) -> Value {
    let (status, board) = api(server, "POST", &format!("/meetings/{meeting}/whiteboards"), Some(wanted)).await;
    assert_eq!(status, 201, "{board}");
    board
}

fn id(board: &Value) -> &str {
    board["id"].as_str().unwrap()
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|board| board["name"].as_str().unwrap()).collect()
}

async fn file(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [&[("authorization", bearer.as_str())], headers].concat();
    server.rest.send("GET", &format!("/api/v1{path}"), &headers, None).await.unwrap()
}

async fn lives(database: Option<&str>) {
    let settings: Vec<(&str, &str)> = database.map(|url| ("CONVOKE_DATABASE_URL", url)).into_iter().collect();
    let server = server(&settings).await;
    let meeting = meeting(&server, json!({})).await;
    let path = format!("/meetings/{meeting}/whiteboards");
    let plan = make(&server, &meeting, json!({ "name": " Plan " })).await;
    assert_eq!(
        (&plan["name"], &plan["room"], &plan["access"], &plan["meeting"], plan.get("by")),
        (&json!("Plan"), &json!("main"), &json!("everyone"), &json!(meeting), None)
    );
    assert!(plan["created_at"].is_u64());
    let closed = make(&server, &meeting, json!({ "name": "Closed", "access": "nobody" })).await;
    make(&server, &meeting, json!({ "name": "Third" })).await;
    let (_, first) = api(&server, "GET", &format!("{path}?limit=2"), None).await;
    assert_eq!(names(&first), ["Plan", "Closed"]);
    let (_, rest) =
        api(&server, "GET", &format!("{path}?limit=2&cursor={}", first["next"].as_str().unwrap()), None).await;
    assert_eq!((names(&rest), rest.get("next")), (vec!["Third"], None));
    let (status, shown) = api(&server, "GET", &format!("/whiteboards/{}", id(&closed)), None).await;
    assert_eq!((status, &shown), (200, &closed));

    let renamed = json!({ "name": "Open", "access": "hosts" });
    let (status, changed) = api(&server, "PATCH", &format!("/whiteboards/{}", id(&closed)), Some(renamed)).await;
    assert_eq!((status, &changed["name"], &changed["access"]), (200, &json!("Open"), &json!("hosts")));
    let nothing = api(&server, "PATCH", &format!("/whiteboards/{}", id(&closed)), Some(json!({}))).await;
    assert_eq!(nothing, (200, changed));

    let ada = joined(&server, &meeting, "ada", "host").await;
    let rooms = crate::breakout::open(&ada, json!({ "rooms": [{ "name": "One" }, { "name": "Two" }] })).await;
    let (status, copies) = api(&server, "POST", &format!("/whiteboards/{}/copy", id(&plan)), Some(json!({}))).await;
    assert_eq!((status, names(&copies)), (201, vec!["Plan", "Plan"]), "one in each room that is open");
    let (_, one) = api(&server, "GET", &format!("{path}?room={}", rooms[0]), None).await;
    assert_eq!(names(&one), ["Plan"]);
    let (_, copied) =
        api(&server, "POST", &format!("/whiteboards/{}/copy", id(&plan)), Some(json!({ "rooms": ["main"] }))).await;
    assert_eq!(copied["items"][0]["room"], "main");

    // What a room had goes with it.
    ok(&ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] })).await;
    let (_, two) = api(&server, "GET", &format!("{path}?room={}", rooms[1]), None).await;
    assert_eq!(names(&two), ["Plan", "Plan"]);
    let (_, none) = api(&server, "GET", &format!("{path}?room={}", rooms[0]), None).await;
    assert_eq!(names(&none), Vec::<&str>::new());

    // What was made over a socket a moment ago is there.
    ok(&ada, "whiteboard.create", json!({ "name": "Hers" })).await;
    let made = ada.event("whiteboard.created").await;
    assert!(made.is_ok());
    let (_, all) = api(&server, "GET", &path, None).await;
    let hers = all["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&hers["name"], &hers["by"]), (&json!("Hers"), &json!(crate::id_of(&ada))));

    let (_, known) = api(&server, "GET", "/users/ada/export", None).await;
    assert_eq!(known["meetings"][0]["whiteboards"], json!([hers]));

    for expected in [204, 404] {
        assert_eq!(api(&server, "DELETE", &format!("/whiteboards/{}", id(hers)), None).await.0, expected);
    }
    let (_, all) = api(&server, "GET", &path, None).await;
    assert!(!names(&all).contains(&"Hers"));
}

#[tokio::test]
async fn a_boards_life_by_rest() {
    lives(None).await;
}

#[tokio::test]
async fn a_boards_life_by_rest_over_postgres() {
    if let Some(url) = postgres().await {
        lives(Some(&url)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_a_repetition_has_one_effect() {
    let keys = format!("acme/load:{},other/other:{}", "a".repeat(32), "b".repeat(32));
    let mut server = server(&[("CONVOKE_API_KEYS", &keys), ("CONVOKE_WHITEBOARDS_MAX", "3")]).await;
    server.rest.key = Key::parse(&format!("load:{}", "a".repeat(32))).unwrap();
    let meeting = meeting(&server, json!({})).await;
    let path = format!("/meetings/{meeting}/whiteboards");
    let board = make(&server, &meeting, json!({ "name": "x".repeat(128) })).await;
    let at = |rest: &str| format!("/whiteboards/{}{rest}", id(&board));
    let nowhere = format!("/whiteboards/{}", Uuid::now_v7());
    let somewhere = json!(Uuid::now_v7());
    for (method, path, body, status, code) in [
        ("POST", path.clone(), json!({}), 422, "bad_request"),
        ("POST", path.clone(), json!({ "name": "  " }), 422, "bad_request"),
        ("POST", path.clone(), json!({ "name": "a\u{0}b" }), 422, "bad_request"),
        ("POST", path.clone(), json!({ "name": "x".repeat(129) }), 413, "too_large"),
        ("POST", path.clone(), json!({ "name": "x", "access": "some" }), 422, "bad_request"),
        ("POST", path.clone(), json!({ "name": "x", "room": "cellar" }), 422, "bad_request"),
        ("POST", path.clone(), json!({ "name": "x", "room": somewhere }), 404, "not_found"),
        ("POST", path.clone(), json!({ "name": "x", "copy_of": somewhere }), 404, "not_found"),
        ("POST", path.clone(), json!({ "name": "x", "colour": 1 }), 422, "bad_request"),
        ("PATCH", at(""), json!({ "name": "" }), 422, "bad_request"),
        ("PATCH", at(""), json!({ "name": "x".repeat(129) }), 413, "too_large"),
        ("PATCH", nowhere.clone(), json!({ "name": "x" }), 404, "not_found"),
        ("POST", at("/copy"), json!({}), 409, "wrong_state"),
        ("POST", at("/snapshots"), json!({ "name": "" }), 422, "bad_request"),
        ("POST", at("/snapshots"), json!({ "name": "x".repeat(129) }), 413, "too_large"),
        ("POST", at("/restore"), json!({}), 422, "bad_request"),
        ("POST", at("/restore"), json!({ "snapshot": somewhere }), 404, "not_found"),
        ("GET", at("/export?format=pdf"), Value::Null, 422, "bad_request"),
        ("GET", at(&format!("/snapshots/{}/export", Uuid::now_v7())), Value::Null, 404, "not_found"),
        ("GET", at("/snapshots/nonsense/export"), Value::Null, 404, "not_found"),
        ("GET", format!("{nowhere}/export"), Value::Null, 404, "not_found"),
        ("GET", "/whiteboards/nonsense".to_owned(), Value::Null, 404, "not_found"),
        ("GET", format!("{path}?room=cellar"), Value::Null, 422, "bad_request"),
        ("GET", format!("{path}?cursor=x"), Value::Null, 422, "bad_request"),
        ("GET", format!("{path}?limit=201"), Value::Null, 422, "bad_request"),
    ] {
        let body = (!body.is_null()).then_some(body);
        let (told, document) = api(&server, method, &path, body.clone()).await;
        assert_eq!((told, &document["code"]), (status, &json!(code)), "{method} {path} {body:?}: {document}");
    }

    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let route = format!("/api/v1{path}");
    let send = |body: &'static str| server.rest.send("POST", &route, &headers, Some(body));
    let first = send(r#"{"name":"Once"}"#).await.unwrap();
    let again = send(r#"{"name":"Once"}"#).await.unwrap();
    assert_eq!((first.status, &first.body), (201, &again.body));
    assert_eq!(send(r#"{"name":"Twice"}"#).await.unwrap().status, 409);
    let (_, all) = api(&server, "GET", &path, None).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    make(&server, &meeting, json!({ "name": "Third" })).await;
    let (status, full) = api(&server, "POST", &path, Some(json!({ "name": "Fourth" }))).await;
    assert_eq!((status, &full["code"]), (409, &json!("capacity")));

    // Another tenant finds nothing.
    let before = server.rest.log(&meeting).await.unwrap().len();
    let mut other = server.rest.clone();
    other.key = Key::parse(&format!("other:{}", "b".repeat(32))).unwrap();
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("POST", path.clone(), Some(json!({ "name": "Mine" }))),
        ("GET", at(""), None),
        ("PATCH", at(""), Some(json!({ "name": "Mine" }))),
        ("DELETE", at(""), None),
        ("POST", at("/copy"), Some(json!({ "rooms": ["main"] }))),
        ("GET", at("/export?format=png"), None),
        ("GET", at("/snapshots"), None),
        ("POST", at("/snapshots"), None),
        ("POST", at("/restore"), Some(json!({ "snapshot": Uuid::now_v7() }))),
    ] {
        let response = other.api(method, &path, body).await.unwrap();
        assert_eq!((response.status, response.json()["code"].as_str()), (404, Some("not_found")), "{method} {path}");
    }
    assert_eq!(server.rest.log(&meeting).await.unwrap().len(), before);
}

fn texts(file: &Response) -> Vec<String> {
    let drawn = file.json();
    let drawn = drawn["elements"].as_array().unwrap();
    drawn.iter().map(|element| element["text"].as_str().unwrap().to_owned()).collect()
}

/// People are at one node, and requests come to another, or to the same.
async fn is_drawn_read_kept_and_restored(there: &Server, server: &Server) {
    let meeting = meeting(server, json!({})).await;
    let board = make(server, &meeting, json!({ "name": "Übersicht/1: <script>" })).await;
    let path = |rest: &str| format!("/whiteboards/{}{rest}", id(&board));
    let ada = joined(there, &meeting, "ada", "host").await;
    let mut painter = Painter::comes(&ada, id(&board)).await;
    assert!(painter.is_writable && painter.sees().is_empty());
    let empty = file(server, &path("/export"), &[]).await;
    assert_eq!((empty.status, &empty.json()["elements"]), (200, &json!([])));
    painter.draws("two", text("two", "a2", "second <script>alert(1)</script>")).await;
    painter.draws("one", text("one", "a1", "first & foremost")).await;

    let json = file(server, &path("/export?format=json"), &[]).await;
    assert_eq!(texts(&json), ["first & foremost", "second <script>alert(1)</script>"], "in their order");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let name = "inline; filename=\"_bersicht 1   script.excalidraw\"; filename*=UTF-8''%C3%9Cbersicht%201%20%20%20script.excalidraw";
    assert_eq!(json.header("content-disposition"), Some(name));
    let svg = file(server, &path("/export?format=svg"), &[]).await;
    assert_eq!(svg.header("content-type"), Some("image/svg+xml"));
    assert_eq!(svg.header("x-content-type-options"), Some("nosniff"));
    let policy = svg.header("content-security-policy").unwrap();
    assert_eq!(policy, "default-src 'none'; style-src 'unsafe-inline'; img-src data:");
    assert!(svg.body.contains("first &amp; foremost") && !svg.body.contains("<script"), "{}", svg.body);
    let png = file(server, &path("/export?format=png"), &[]).await;
    assert_eq!((png.status, png.header("content-type")), (200, Some("image/png")));
    assert!(png.body.contains("PNG") && png.body.contains("IHDR") && png.body.len() > 200);
    assert!(png.header("content-disposition").unwrap().contains(".png"));

    // The same state is not sent again; another is.
    let tag = svg.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("\"x\", W/{tag}")] {
        let again = file(server, &path("/export?format=svg"), &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag.as_str())));
    }
    let (status, kept) = api(server, "POST", &path("/snapshots"), Some(json!({ "name": " Before " }))).await;
    assert_eq!((status, &kept["name"]), (201, &json!("Before")));
    assert!(kept["at"].is_u64() && kept["bytes"].as_u64().unwrap() > 0, "{kept}");
    painter.draws("three", text("three", "a3", "third")).await;
    let more = file(server, &path("/export?format=svg"), &[("if-none-match", &tag)]).await;
    assert_eq!(more.status, 200);
    assert!(more.body.contains("third") && more.header("etag") != Some(&tag));
    let (_, unnamed) = api(server, "POST", &path("/snapshots"), None).await;
    assert_eq!(unnamed.get("name"), None, "words are kept once, where they can be taken away");
    let (_, snapshots) = api(server, "GET", &path("/snapshots"), None).await;
    assert_eq!(snapshots["items"], json!([unnamed, kept]));
    let snapshot = |rest: &str| path(&format!("/snapshots/{}{rest}", kept["id"].as_str().unwrap()));
    let before = file(server, &snapshot("/export"), &[]).await;
    assert_eq!((texts(&before), before.header("content-type")), (texts(&json), Some("application/json")));
    let known = [("if-none-match", before.header("etag").unwrap())];
    assert_eq!(file(server, &snapshot("/export"), &known).await.status, 304);
    assert!(!file(server, &snapshot("/export?format=svg"), &[]).await.body.contains("third"));

    let (status, restored) = api(server, "POST", &path("/restore"), Some(json!({ "snapshot": kept["id"] }))).await;
    assert_eq!((status, &restored), (200, &board));
    assert_eq!(file(server, &path("/export?format=json"), &[]).await.json(), json.json());
    painter.until(|shown| shown.len() == 2).await;

    // What is on a board when it is copied is on the copy.
    let copy = make(server, &meeting, json!({ "name": "Copy", "copy_of": id(&board) })).await;
    painter.draws("four", text("four", "a4", "fourth")).await;
    let copied = file(server, &format!("/whiteboards/{}/export", id(&copy)), &[]).await;
    assert_eq!(texts(&copied), texts(&json));

    // When the meeting is over, all of it can be read, and nothing changed; what is not wanted is deleted.
    ok(&ada, "meeting.end", json!({})).await;
    assert_eq!(texts(&file(server, &path("/export"), &[]).await).len(), 3);
    assert_eq!(file(server, &path("/export?format=png"), &[]).await.status, 200);
    assert_eq!(file(server, &snapshot("/export"), &[]).await.status, 200);
    for (method, path, body) in [
        ("POST", path("/restore"), json!({ "snapshot": kept["id"] })),
        ("POST", path("/snapshots"), json!({})),
        ("POST", path("/copy"), json!({ "rooms": ["main"] })),
        ("PATCH", path(""), json!({ "name": "Late" })),
    ] {
        let (status, refused) = api(server, method, &path, Some(body)).await;
        assert_eq!((status, &refused["code"]), (409, &json!("wrong_state")), "{method} {path}");
    }
    assert_eq!(api(server, "DELETE", &path(""), None).await.0, 204);
    for gone in [path(""), path("/export"), path("/snapshots"), snapshot("/export")] {
        assert_eq!(api(server, "GET", &gone, None).await.0, 404, "{gone}");
    }
}

#[tokio::test]
async fn a_board_is_drawn_read_kept_and_restored() {
    let server = server(&[]).await;
    is_drawn_read_kept_and_restored(&server, &server).await;
}

#[tokio::test]
async fn a_board_is_read_kept_and_restored_by_any_node() {
    let Some(cluster) = cluster(2).await else { return };
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    is_drawn_read_kept_and_restored(one, other).await;
    is_drawn_read_kept_and_restored(other, one).await;
}

#[tokio::test]
async fn a_board_that_is_too_large_for_a_picture_is_still_a_file() {
    let server = server(&[]).await;
    let meeting = meeting(&server, json!({})).await;
    let board = make(&server, &meeting, json!({ "name": "Large" })).await;
    let ada = joined(&server, &meeting, "ada", "host").await;
    let mut painter = Painter::comes(&ada, id(&board)).await;
    for number in ["one", "two"] {
        painter.draws(number, text(number, "a1", &"word ".repeat(120_000))).await;
    }
    for format in ["svg", "png"] {
        let refused = file(&server, &format!("/whiteboards/{}/export?format={format}", id(&board)), &[]).await;
        assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("too_large")), "{format}");
    }
    let json = file(&server, &format!("/whiteboards/{}/export", id(&board)), &[]).await;
    assert_eq!((json.status, texts(&json).len()), (200, 2));
}

#[tokio::test]
async fn more_exports_than_are_made_are_told_to_come_later() {
    let few = [("CONVOKE_WHITEBOARD_EXPORTS_AT_ONCE", "1"), ("CONVOKE_WHITEBOARD_EXPORTS_WAITING_MAX", "0")];
    let server = server(&few).await;
    let meeting = meeting(&server, json!({})).await;
    let board = make(&server, &meeting, json!({ "name": "Busy" })).await;
    let path = format!("/whiteboards/{}/export?format=png", id(&board));
    let all = futures_util::future::join_all((0..20).map(|_| file(&server, &path, &[]))).await;
    let (made, later): (Vec<_>, Vec<_>) = all.iter().partition(|response| response.status == 200);
    assert!(!made.is_empty() && !later.is_empty(), "{} were made", made.len());
    for refused in later {
        assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("unavailable")));
        assert_eq!(refused.header("retry-after"), Some("5"));
    }
    assert_eq!(file(&server, &path, &[]).await.status, 200, "the places are given back");
}
