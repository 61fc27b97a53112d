//! Recordings through the front door: found, linked to, downloaded in parts, held, deleted; in a folder and
//! in a bucket. The log tells of them before the server starts.

pub mod bucket;

use crate::breakout::{as_bearer, postgres};
use crate::tape::{DAY, Tape};
use convoke::adapters::store;
use convoke_domain::recording::{Part, Recording, RecordingKind, RecordingStatus, Take};
use convoke_domain::shapes::{Role, Source};
use convoke_loadtest::rest::Response;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use std::path::PathBuf;
use uuid::Uuid;

pub const CONTENT: &str = "0123456789";

/// A folder that goes with its test.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Self {
        let place = Self(std::env::temp_dir().join(format!("convoke-recordings-{}", Uuid::now_v7())));
        std::fs::create_dir_all(&place.0).unwrap();
        place
    }

    pub fn put(&self, path: &str) {
        let file = self.0.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, CONTENT).unwrap();
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A meeting that a host and a participant were in, and four recordings of it.
pub struct Recorded {
    pub tape: Tape,
    pub old: (Recording, Take),
    pub young: (Recording, Take),
    pub tracks: (Recording, [Take; 2]),
    pub running: (Recording, Take),
    pub other: (Tape, (Recording, Take)),
}

impl Recorded {
    pub fn new() -> Self {
        let now = crate::breakout::now_ms();
        let mut tape = Tape::begin("load", "Weekly & <more>");
        tape.join("ada", Role::Host);
        let bob = tape.join("bob", Role::Participant);
        let old = tape.composite(now, 40);
        let recording = tape.recording(RecordingKind::Composite, now - DAY);
        let parts = [Part::Composite(0), Part::Track { participant: bob, source: Source::Audio, track: "TR_1".into() }];
        let tracks = parts.map(|part| tape.take(&recording, &part, "ogg", Some(10)));
        let tracks = (tape.ended(&recording, RecordingStatus::Completed, now - DAY), tracks);
        let young = tape.composite(now, 0);
        let running = tape.recording(RecordingKind::Composite, now - 50 * DAY);
        let going_on = tape.take(&running, &Part::Composite(0), "mp4", None);
        let mut other = Tape::begin("another", "Weekly");
        let elsewhere = other.composite(now, 40);
        Self { tape, old, young, tracks, running: (running, going_on), other: (other, elsewhere) }
    }

    pub async fn write(&mut self, url: &str) {
        let opened = store::open(url).await.unwrap();
        opened.db.migrate().await.unwrap();
        self.tape.write(&opened).await;
        self.other.0.write(&opened).await;
        opened.db.close().await;
    }

    pub fn files(&self) -> Vec<&str> {
        let [one, other] = &self.tracks.1;
        [&self.old.1, &self.young.1, &self.running.1, &self.other.1.1, one, other].map(|take| take.file.as_str()).into()
    }
}

/// What stands behind the host of a link.
pub fn path_of(url: &str) -> String {
    let rest = url.split_once("://").unwrap().1;
    rest[rest.find('/').unwrap()..].to_owned()
}

async fn api(server: &Server, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let response = server.rest.api(method, path, body).await.unwrap();
    (response.status, response.json())
}

/// Asks until it is so: what is done on schedule, nobody tells.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

/// The recordings are read once the read models have caught up.
pub async fn listed(server: &Server, count: usize) -> Vec<Value> {
    until("the recordings are listed", async || {
        let (_, page) = api(server, "GET", "/recordings", None).await;
        page["items"].as_array().is_some_and(|items| items.len() == count)
    })
    .await;
    api(server, "GET", "/recordings", None).await.1["items"].as_array().unwrap().clone()
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    server.rest.send("GET", path, headers, None).await.unwrap()
}

async fn started(recorded: &mut Recorded, place: &Place, database: Option<&str>, settings: &[(&str, &str)]) -> Server {
    let sqlite = format!("sqlite://{}/convoke.db", place.0.display());
    let url = database.unwrap_or(&sqlite);
    recorded.write(url).await;
    recorded.files().iter().for_each(|file| place.put(&format!("objects/{file}")));
    let objects = format!("file://{}/objects", place.0.display());
    let own = [("CONVOKE_DATABASE_URL", url), ("CONVOKE_OBJECTS_URL", &objects)];
    crate::server(&[&own, settings].concat()).await
}

async fn is_found_linked_and_deleted(database: Option<&str>) {
    let (place, mut recorded) = (Place::new(), Recorded::new());
    let server = started(&mut recorded, &place, database, &[("CONVOKE_LOG_LEVEL", "trace")]).await;
    let meeting = recorded.tape.key.meeting.to_string();
    let items = listed(&server, 4).await;
    let newest = [recorded.running.0.id, recorded.young.0.id, recorded.tracks.0.id, recorded.old.0.id];
    assert_eq!(items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(), newest.map(|id| json!(id)));
    let item = &items[2];
    assert_eq!(
        (&item["title"], &item["status"], &item["bytes"]),
        (&json!("Weekly & <more>"), &json!("completed"), &json!(20))
    );
    for (query, count) in [("status=completed", 3), ("q=weekly", 4), ("q=nothing", 0), ("limit=1", 1)] {
        let (_, page) = api(&server, "GET", &format!("/recordings?meeting={meeting}&{query}"), None).await;
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, status) in [("status=lost", 422), ("limit=0", 422), ("cursor=x", 422), ("meeting=x", 404)] {
        assert_eq!(api(&server, "GET", &format!("/recordings?{query}"), None).await.0, status, "{query}");
    }
    let elsewhere = recorded.other.1.0.id;
    assert_eq!(api(&server, "GET", &format!("/recordings/{elsewhere}"), None).await.0, 404, "another tenant's");

    // Who may what.
    let id = recorded.tracks.0.id;
    let own = format!("/recordings/{id}");
    let host = server.rest.key.join_token(&meeting, Some("ada"), "ada", "host");
    let guest = server.rest.key.join_token(&meeting, Some("bob"), "bob", "host");
    for (token, status) in [(&host, 200), (&guest, 403)] {
        for path in ["/recordings", &own] {
            assert_eq!(as_bearer(&server, token, "GET", path, None).await.0, status, "{path}");
        }
        assert_eq!(as_bearer(&server, token, "POST", &format!("{own}/link"), Some(json!({}))).await.0, status);
        assert_eq!(as_bearer(&server, token, "GET", "/admin/audit", None).await.0, 403);
    }
    assert_eq!(as_bearer(&server, &host, "PATCH", &own, Some(json!({ "legal_hold": true }))).await.0, 403);
    let (status, renamed) = as_bearer(&server, &host, "PATCH", &own, Some(json!({ "name": "Größe \"1\"" }))).await;
    assert_eq!((status, &renamed["name"], renamed["files"].as_array().unwrap().len()), (200, &json!("Größe \"1\""), 2));
    for bad in
        [json!({ "name": " " }), json!({ "name": "x".repeat(201) }), json!({ "name": "a\nb" }), json!({ "colour": 1 })]
    {
        assert_eq!(api(&server, "PATCH", &own, Some(bad.clone())).await.0, 422, "{bad}");
    }

    // A link, and everything that it is not.
    let take = &recorded.tracks.1[1].id;
    let (status, link) =
        api(&server, "POST", &format!("{own}/link"), Some(json!({ "file": take, "ttl_s": 600 }))).await;
    assert_eq!(status, 200, "{link}");
    let path = path_of(link["url"].as_str().unwrap());
    let whole = get(&server, &path, &[]).await;
    assert_eq!((whole.status, whole.body.as_str(), whole.header("content-type")), (200, CONTENT, Some("audio/ogg")));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    assert!(whole.header("content-disposition").unwrap().contains("Gr%C3%B6%C3%9Fe"), "{:?}", whole.headers);
    assert!(whole.header("cache-control").unwrap().starts_with("private, max-age="));
    let (etag, modified) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
    for (headers, status, body, part) in [
        (&[("range", "bytes=2-4")][..], 206, "234", Some("bytes 2-4/10")),
        (&[("range", "bytes=-3")], 206, "789", Some("bytes 7-9/10")),
        (&[("range", "bytes=7-"), ("if-range", etag)], 206, "789", Some("bytes 7-9/10")),
        (&[("range", "bytes=7-"), ("if-range", modified)], 206, "789", Some("bytes 7-9/10")),
        (&[("range", "bytes=7-"), ("if-range", "\"another\"")], 200, CONTENT, None),
        (&[("range", "bytes=0-1,4-5")], 200, CONTENT, None),
        (&[("range", "bytes=10-")], 416, "", Some("bytes */10")),
        (&[("if-none-match", etag)], 304, "", None),
    ] {
        let answer = get(&server, &path, headers).await;
        assert_eq!(
            (answer.status, answer.body.as_str(), answer.header("content-range")),
            (status, body, part),
            "{headers:?}"
        );
    }
    let head = server.rest.send("HEAD", &path, &[], None).await.unwrap();
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", Some("10")));
    let (expires, signature) = (link["expires_at"].as_u64().unwrap(), path.split_once("signature=").unwrap().1);
    let (other, first) = (recorded.young.0.id.to_string(), &recorded.tracks.1[0].id);
    for altered in [
        path.replace(&expires.to_string(), &(expires + 1).to_string()),
        path.replace(&id.to_string(), &other),
        path.replace(take.as_str(), first),
        path.replace("/load/", "/another/"),
        path.replace(signature, &signature.chars().rev().collect::<String>()),
        path.split('?').next().unwrap().to_owned(),
        format!("{path}x"),
    ] {
        let refused = get(&server, &altered, &[]).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("not_permitted")), "{altered}");
    }
    for (body, status) in [
        (json!({ "ttl_s": 0 }), 422),
        (json!({ "ttl_s": 86_401 }), 422),
        (json!({ "file": "nothing" }), 404),
        (json!({ "file": "thumbnail" }), 404),
        (json!({ "colour": 1 }), 422),
    ] {
        assert_eq!(api(&server, "POST", &format!("{own}/link"), Some(body.clone())).await.0, status, "{body}");
    }
    let log = server.log();
    assert!(log.contains("/objects/{tenant}") && !log.contains(signature), "a link is not logged");

    // Held, and deleted.
    let running = format!("/recordings/{}", recorded.running.0.id);
    assert_eq!(api(&server, "DELETE", &running, None).await.0, 409, "it is not over");
    assert_eq!(api(&server, "PATCH", &own, Some(json!({ "legal_hold": true }))).await.1["legal_hold"], json!(true));
    let (status, refused) = api(&server, "DELETE", &own, None).await;
    assert_eq!((status, &refused["code"]), (409, &json!("wrong_state")), "it is held");
    assert_eq!(api(&server, "PATCH", &own, Some(json!({ "legal_hold": false }))).await.0, 200);
    assert_eq!(as_bearer(&server, &guest, "DELETE", &own, None).await.0, 403);
    let bearer = format!("Bearer {host}");
    let deleted =
        server.rest.send("DELETE", &format!("/api/v1{own}"), &[("authorization", &bearer)], None).await.unwrap();
    assert_eq!(deleted.status, 204);
    assert_eq!(get(&server, &path, &[]).await.status, 404, "the link leads nowhere");
    for (method, body) in [("GET", None), ("DELETE", None), ("PATCH", Some(json!({ "name": "x" })))] {
        assert_eq!(api(&server, method, &own, body).await.0, 404, "{method}");
    }
    let gone: Vec<bool> = recorded.files().iter().map(|file| place.has(&format!("objects/{file}"))).collect();
    assert_eq!(gone, [true, true, true, true, false, false]);
    let (_, audit) = api(&server, "GET", "/admin/audit", None).await;
    let actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["recording.deleted", "recording.released", "recording.held"]);
    assert!(audit["items"][0]["who"].as_str().unwrap().starts_with("participant:"), "{audit}");
    let first = api(&server, "GET", "/admin/audit?limit=1", None).await.1;
    let rest = api(&server, "GET", &format!("/admin/audit?cursor={}", first["next"].as_str().unwrap()), None).await.1;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_recording_is_found_linked_to_and_deleted() {
    is_found_linked_and_deleted(None).await;
}

#[tokio::test]
async fn on_postgres_a_recording_is_found_linked_to_and_deleted() {
    if let Some(url) = postgres().await {
        is_found_linked_and_deleted(Some(&url)).await;
    }
}

/// A server whose links hold for a second at most.
#[tokio::test]
async fn a_link_that_has_expired_is_none() {
    let (place, mut recorded) = (Place::new(), Recorded::new());
    let server = started(&mut recorded, &place, None, &[("CONVOKE_LINK_TTL_S_MAX", "1")]).await;
    listed(&server, 4).await;
    let path = format!("/recordings/{}/link", recorded.young.0.id);
    let (_, link) = api(&server, "POST", &path, None).await;
    let path = path_of(link["url"].as_str().unwrap());
    let own = async || get(&server, &path, &[]).await.status;
    until("the link has expired", async || own().await == 410).await;
    assert!(link["expires_at"].as_u64().unwrap() <= crate::breakout::now_ms());
}

#[tokio::test]
async fn a_policy_deletes_what_it_must_and_nothing_else_now_and_on_schedule() {
    let (place, mut recorded) = (Place::new(), Recorded::new());
    let server = started(&mut recorded, &place, None, &[("CONVOKE_RETENTION_INTERVAL_S", "1")]).await;
    listed(&server, 4).await;
    for bad in [
        json!({ "name": "", "days": 1 }),
        json!({ "name": "p" }),
        json!({ "name": "p", "days": 36_501 }),
        json!({ "name": "p", "days": 1, "tier": "../up" }),
        json!({ "name": "p", "days": 1, "scope": { "kind": "all" } }),
        json!({ "name": "p", "days": 1, "colour": 1 }),
    ] {
        let (status, refused) = api(&server, "POST", "/admin/storage-policies", Some(bad.clone())).await;
        assert_eq!((status, &refused["code"]), (422, &json!("bad_request")), "{bad}");
    }
    let disabled = json!({ "name": "A month", "days": 30, "enabled": false });
    let (status, policy) = api(&server, "POST", "/admin/storage-policies", Some(disabled)).await;
    assert_eq!(status, 201);
    let id = policy["id"].as_str().unwrap();
    let own = format!("/admin/storage-policies/{id}");
    let apply = format!("/admin/recordings/apply-policy/{id}");
    assert_eq!(api(&server, "POST", &apply, Some(json!({ "dry_run": true }))).await.0, 409, "it is not enabled");
    // In the scope of another meeting it concerns nobody.
    let scope = json!({ "meeting": Uuid::now_v7() });
    let narrow = json!({ "name": "A month", "days": 30, "scope": scope });
    assert_eq!(api(&server, "PUT", &own, Some(narrow)).await.1["scope"], scope);
    let (status, applied) = api(&server, "POST", &apply, None).await;
    assert_eq!((status, &applied["deleted"]), (200, &json!([])));
    // A hold by a policy keeps what a wider one would delete.
    let meeting = recorded.tape.key.meeting;
    let hold = json!({ "name": "A lawsuit", "legal_hold": true, "scope": { "meeting": meeting } });
    let (_, hold) = api(&server, "POST", "/admin/storage-policies", Some(hold)).await;
    assert_eq!(api(&server, "PUT", &own, Some(json!({ "name": "A month", "days": 30 }))).await.0, 200);
    assert_eq!(api(&server, "POST", &apply, Some(json!({ "dry_run": true }))).await.1["deleted"], json!([]));
    let old = format!("/recordings/{}", recorded.old.0.id);
    assert_eq!(api(&server, "DELETE", &old, None).await.0, 409, "the policy holds it");
    assert_eq!(api(&server, "GET", "/admin/storage-policies", None).await.1["items"].as_array().unwrap().len(), 2);
    let hold = format!("/admin/storage-policies/{}", hold["id"].as_str().unwrap());
    let removed = server.rest.api("DELETE", &hold, None).await.unwrap();
    assert_eq!(removed.status, 204);
    assert_eq!(api(&server, "DELETE", &hold, None).await.0, 404);
    // On schedule: nobody asks for it.
    until("the old one is deleted", async || api(&server, "GET", &old, None).await.0 == 404).await;
    let there: Vec<bool> = recorded.files().iter().map(|file| place.has(&format!("objects/{file}"))).collect();
    assert_eq!(there, [false, true, true, true, true, true]);
    assert_eq!(listed(&server, 3).await.len(), 3);
    // And now: the rest of what is over, into a tier.
    let cold = json!({ "name": "Cold", "days": 0, "tier": "cold", "enabled": false });
    let (_, cold) = api(&server, "POST", "/admin/storage-policies", Some(cold)).await;
    let (cold, enabled) = (cold["id"].as_str().unwrap(), json!({ "name": "Cold", "days": 0, "tier": "cold" }));
    api(&server, "PUT", &format!("/admin/storage-policies/{cold}"), Some(enabled)).await;
    api(&server, "POST", &format!("/admin/recordings/apply-policy/{cold}"), None).await;
    let young = format!("/recordings/{}", recorded.young.0.id);
    until("it is moved", async || api(&server, "GET", &young, None).await.1["tier"] == json!("cold")).await;
    assert!(place.has(&format!("objects/cold/{}", recorded.young.1.file)));
    let (_, link) = api(&server, "POST", &format!("{young}/link"), None).await;
    assert_eq!(get(&server, &path_of(link["url"].as_str().unwrap()), &[]).await.body, CONTENT, "it is read there");
    let orphans = api(&server, "GET", "/admin/recordings/orphans", None).await;
    assert_eq!(orphans, (200, json!({ "objects": [], "files": [], "cut": false })));
}

#[tokio::test]
async fn what_is_limited_says_so_and_a_post_that_comes_again_has_one_effect() {
    let server = crate::server(&[]).await;
    let bearer = format!("Bearer {}", server.rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let policy = json!({ "name": "p", "days": 1, "enabled": false });
    let post = async || {
        let path = "/api/v1/admin/storage-policies";
        server.rest.send("POST", path, &headers, Some(&policy.to_string())).await.unwrap()
    };
    let (first, again) = (post().await, post().await);
    assert_eq!((first.status, first.json()), (201, again.json()));
    for _ in 1..100 {
        assert_eq!(api(&server, "POST", "/admin/storage-policies", Some(policy.clone())).await.0, 201);
    }
    let (status, full) = api(&server, "POST", "/admin/storage-policies", Some(policy.clone())).await;
    assert_eq!((status, &full["code"]), (409, &json!("capacity")));
    assert_eq!(api(&server, "GET", &format!("/recordings?q={}", "x".repeat(201)), None).await.0, 422);
    for (method, path) in [
        ("GET", "/recordings/x".to_owned()),
        ("DELETE", format!("/recordings/{}", Uuid::now_v7())),
        ("PUT", format!("/admin/storage-policies/{}", Uuid::now_v7())),
        ("POST", format!("/admin/recordings/apply-policy/{}", Uuid::now_v7())),
    ] {
        let body = (method == "PUT").then(|| policy.clone());
        assert_eq!(api(&server, method, &path, body).await.0, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn whoever_is_erased_takes_the_files_of_them_alone_along() {
    let (place, mut recorded) = (Place::new(), Recorded::new());
    let server = started(&mut recorded, &place, None, &[]).await;
    listed(&server, 4).await;
    let [whole, track] = &recorded.tracks.1;
    let export = server.rest.api("GET", "/users/bob/export", None).await.unwrap().json();
    let told = &export["meetings"][0]["recorded"];
    assert_eq!((told.as_array().unwrap().len(), &told[0]["recording"]), (1, &json!(recorded.tracks.0.id)), "{export}");
    let (status, erased) = api(&server, "DELETE", "/users/bob", None).await;
    assert_eq!((status, &erased["tracks"]), (200, &json!(1)), "{erased}");
    assert!(place.has(&format!("objects/{}", whole.file)) && !place.has(&format!("objects/{}", track.file)));
    let (_, shown) = api(&server, "GET", &format!("/recordings/{}", recorded.tracks.0.id), None).await;
    let states: Vec<&Value> = shown["files"].as_array().unwrap().iter().map(|file| &file["state"]).collect();
    assert_eq!(states, [&json!("complete"), &json!("erased")]);
    let link = format!("/recordings/{}/link", recorded.tracks.0.id);
    assert_eq!(api(&server, "POST", &link, Some(json!({ "file": track.id }))).await.0, 404);
    assert_eq!(api(&server, "POST", &link, Some(json!({ "file": whole.id }))).await.0, 200);
}
