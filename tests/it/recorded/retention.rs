//! Retention that is killed between the object and its row.

use crate::breakout::{now_ms, postgres};
use crate::recordings::bucket::{BUCKET, Gate, s3_behind};
use crate::recordings::{Place, listed, until};
use crate::server;
use crate::tape::Tape;
use convoke::adapters::store;
use convoke_domain::shapes::Role;
use serde_json::{Value, json};

/// The object is gone, and the row says that it is being deleted. What must go goes on going; what must
/// stay stays; each deletion stands in the audit once.
#[tokio::test]
async fn what_was_half_deleted_is_gone_after_the_next_start_and_nothing_else_is() {
    let Some(database) = postgres().await else { return };
    let (now, bucket, gate) = (now_ms(), Place::new(), Gate::new(true));
    let mut tape = Tape::begin("load", "Weekly");
    tape.join("ada", Role::Host);
    let recordings: Vec<_> = [50, 45, 40, 1].map(|days| tape.composite(now, days)).into();
    let opened = store::open(&database).await.unwrap();
    opened.db.migrate().await.unwrap();
    tape.write(&opened).await;
    opened.db.close().await;
    let at = |index: usize| format!("{BUCKET}/a/{}", recordings[index].1.file);
    (0..4).for_each(|index| bucket.put(&at(index)));
    let endpoint = s3_behind(&bucket, &gate).await;
    let mut server = server(&[
        ("CONVOKE_DATABASE_URL", &database),
        ("CONVOKE_OBJECTS_URL", "s3://box/a"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ])
    .await;
    listed(&server, 4).await;
    let path = |index: usize| format!("/recordings/{}", recordings[index].0.id);
    let held = server.rest.api("PATCH", &path(1), Some(json!({ "legal_hold": true }))).await.unwrap();
    assert_eq!(held.status, 200);
    let policy = json!({ "name": "A month", "days": 30 });
    let policy = server.rest.api("POST", "/admin/storage-policies", Some(policy)).await.unwrap().json();
    let apply = format!("/admin/recordings/apply-policy/{}", policy["id"].as_str().unwrap());
    let rest = server.rest.clone();
    let applying = tokio::spawn(async move { rest.api("POST", &apply, None).await.is_ok() });
    gate.holds().await;
    server.kill().unwrap();
    assert!(!applying.await.unwrap(), "nobody was told that it was done");
    let there = || -> Vec<bool> { (0..4).map(|index| bucket.has(&at(index))).collect() };
    assert_eq!(there(), [false, true, true, true], "it is between the object and the row");

    gate.open();
    server.set("CONVOKE_RETENTION_INTERVAL_S", "1");
    server.run().await.unwrap();
    let status = async |index: usize| server.rest.api("GET", &path(index), None).await.unwrap().status;
    until("what must go is gone", async || status(0).await == 404 && status(2).await == 404).await;
    assert_eq!((status(1).await, status(3).await), (200, 200));
    assert_eq!(there(), [false, true, false, true]);
    // The rounds go on, and find nothing more to do.
    let rounds = async || {
        let metrics = server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
        metrics.contains("convoke_recording_files_missing 0")
    };
    until("a round is over", rounds).await;
    let audit = server.rest.api("GET", "/admin/audit", None).await.unwrap().json();
    let mut lines: Vec<(String, Value)> = Vec::new();
    for line in audit["items"].as_array().unwrap() {
        lines.push((line["action"].as_str().unwrap().to_owned(), line["subject"].clone()));
    }
    let deleted = lines.iter().filter(|(action, _)| action == "recording.deleted").count();
    assert_eq!(deleted, 2, "{audit}");
    for index in [0, 2] {
        let id = recordings[index].0.id.to_string();
        assert_eq!(audit.to_string().matches(&id).count(), 1, "one line of {index}: {audit}");
    }
    assert_eq!(there(), [false, true, false, true]);
}
