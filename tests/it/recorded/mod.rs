//! Recordings from the wish to the file: the real binary over PostgreSQL and Redis, objects in a folder or
//! in a bucket, and a recorder that is a double of LiveKit's.

mod consent;
mod crashes;
mod double;
mod faults;
mod over_rest;
mod retention;
mod whole;

pub use double::{Double, Manner};

use crate::cluster::{Cluster, cluster_with};
use crate::recordings::Place;
use crate::recordings::bucket::{self, Gate};
use convoke_loadtest::client::{Client, Record};
use convoke_loadtest::rest::Rest;
use serde_json::{Value, json};

/// Nodes, their recorder, and where the files are.
pub struct Stage {
    pub double: Double,
    pub place: Place,
    pub cluster: Cluster,
}

impl Stage {
    /// None, said aloud, where PostgreSQL or Redis is missing.
    pub async fn in_folder(nodes: usize, more: &[(&str, &str)]) -> Option<Self> {
        let place = Place::new();
        let objects = [("CONVOKE_OBJECTS_URL", format!("file://{}/objects", place.0.display()))];
        Self::over(place, nodes, &objects, more).await
    }

    pub async fn in_bucket(nodes: usize, gate: &Gate, more: &[(&str, &str)]) -> Option<Self> {
        let place = Place::new();
        let endpoint = bucket::s3_behind(&place, gate).await;
        let objects = [
            ("CONVOKE_OBJECTS_URL", format!("s3://{}/a", bucket::BUCKET)),
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ];
        Self::over(place, nodes, &objects, more).await
    }

    async fn over(place: Place, nodes: usize, objects: &[(&str, String)], more: &[(&str, &str)]) -> Option<Self> {
        let Ok(redis) = std::env::var("CONVOKE_TEST_REDIS_URL") else {
            println!("SKIPPED: CONVOKE_TEST_REDIS_URL is not set; `cargo xtask test` sets it");
            return None;
        };
        let double = Double::start().await;
        let cluster = cluster_with(nodes, |_, database| {
            let mut all = vec![("CONVOKE_DATABASE_URL", database.to_owned()), ("CONVOKE_REDIS_URL", redis.clone())];
            all.extend(double.settings());
            all.extend(objects.iter().cloned());
            all.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            all
        })
        .await?;
        Some(Self { double, place, cluster })
    }

    /// Of a node that runs.
    pub fn rest(&self) -> &Rest {
        &self.cluster.nodes.iter().find(|node| node.pid().is_some()).unwrap().rest
    }

    /// A meeting with a host in it.
    pub async fn meeting(&self, settings: Value) -> (String, Client) {
        let id = self.rest().make_meeting("Weekly", settings).await.unwrap();
        let ada = self.joined(&id, "ada", "host").await;
        (id, ada)
    }

    pub async fn joined(&self, meeting: &str, user: &str, role: &str) -> Client {
        let client = self.cluster.client(0, meeting, user, role);
        client.joined().await.unwrap();
        client
    }

    /// Begins to record, over REST, and gives the recording's id.
    pub async fn record(&self, body: Value) -> String {
        let begun = self.rest().api("POST", "/recordings/start", Some(body)).await.unwrap();
        assert_eq!(begun.status, 201, "{}", begun.body);
        begun.json()["recording"]["id"].as_str().unwrap().to_owned()
    }

    /// It records, and says so.
    pub async fn runs(&self, egress: &str) {
        self.double.tells(self.rest(), "egress_updated", &self.double.runs(egress)).await;
    }

    /// It has ended with a file, and says so.
    pub async fn completes(&self, egress: &str, content: &str) {
        self.double.tells(self.rest(), "egress_ended", &self.double.completes(egress, content).await).await;
    }

    pub async fn becomes(&self, recording: &str, status: &str) {
        for _ in 0..600 {
            if self.shown(recording).await["status"] == json!(status) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("it never became {status}: {}", self.shown(recording).await);
    }

    pub async fn stop(&self, meeting: &str) {
        let stopped =
            self.rest().api("POST", "/recordings/stop", Some(json!({ "meeting_id": meeting }))).await.unwrap();
        assert_eq!(stopped.status, 200, "{}", stopped.body);
    }

    /// What the recorder was asked to begin, in all.
    pub fn begun(&self) -> usize {
        self.double.look(|state| state.egresses.len())
    }

    pub async fn shown(&self, recording: &str) -> Value {
        let shown = self.rest().api("GET", &format!("/recordings/{recording}"), None).await.unwrap();
        assert_eq!(shown.status, 200, "{}", shown.body);
        shown.json()
    }

    pub async fn link(&self, recording: &str) -> String {
        let path = format!("/recordings/{recording}/link");
        let link = self.rest().api("POST", &path, Some(json!({ "ttl_s": 60 }))).await.unwrap();
        assert_eq!(link.status, 200, "{}", link.body);
        link.json()["url"].as_str().unwrap().to_owned()
    }
}

/// What a client was told of a recording's status, in order. What cannot be told bears a question mark.
pub fn told(record: &Record, recording: &str) -> Vec<String> {
    let changes = record.heard.iter().filter(|heard| heard.kind == "recording.changed");
    let of_it = changes.map(|heard| &heard.data["recording"]).filter(|told| told["id"] == recording);
    let status = |told: &Value| {
        let doubt = if told["interrupted"] == json!(true) { "?" } else { "" };
        format!("{}{doubt}", told["status"].as_str().unwrap())
    };
    of_it.map(status).collect()
}

/// Waits until a client was told this last.
pub async fn is_told(client: &Client, recording: &str, status: &str) {
    let last = |record: &Record| (told(record, recording).last()? == status).then_some(());
    if client.until(status, last).await.is_err() {
        panic!("it never became {status}: {:?}", told(&client.record(), recording));
    }
}
