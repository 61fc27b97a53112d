//! The whole of it: people join a meeting through Convoke, connect to LiveKit with what they were given,
//! and what the meeting decides happens to their clients, while LiveKit's webhooks tell the meeting what
//! they do.

mod moves;
mod outages;
mod presence;
mod removal;
mod rules;

use super::{Livekit, Sdk, server};
use crate::{id_of, joined, meeting, ok};
use convoke_loadtest::client::{Client, Record};
use convoke_loadtest::server::Server;
use livekit_api::services::room::RoomClient;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than the reconciler's period, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// Convoke and a LiveKit of the same keys, and a meeting.
struct Stage {
    livekit: Livekit,
    server: Server,
    meeting: String,
}

impl Stage {
    /// None, said aloud: there is no LiveKit, or no SDK.
    async fn start() -> Option<Self> {
        Self::with(true).await
    }

    /// LiveKit has nobody to tell what happens.
    async fn without_webhooks() -> Option<Self> {
        Self::with(false).await
    }

    async fn with(webhooks: bool) -> Option<Self> {
        // Each has to know the other's address before it starts.
        let mut server = crate::server(&[]).await;
        let url = format!("http://{}/api/v1/webhooks/livekit", server.rest.host);
        let livekit = Livekit::start(webhooks.then_some(url.as_str()))?;
        for (name, value) in livekit.settings() {
            server.set(&format!("CONVOKE_{}", name.to_uppercase()), &value);
        }
        server.terminate().unwrap();
        server.run().await.unwrap();
        let meeting = meeting(&server, json!({})).await;
        Some(Self { livekit, server, meeting })
    }

    /// Somebody who has joined the meeting, with a client for its media that is not connected yet.
    async fn joins(&self, name: &str, role: &str) -> Option<Person> {
        let sdk = Sdk::start()?;
        let client = joined(&self.server, &self.meeting, name, role).await;
        let (id, identity) = (id_of(&client), field(&granted(&client.record()), "identity"));
        Some(Person { client, sdk, id, identity })
    }

    /// Two people who are connected, publish nothing, and know of each other.
    async fn two(&self) -> Option<(Person, Person)> {
        let mut ann = self.joins("ann", "host").await?;
        let mut bob = self.joins("bob", "participant").await?;
        ann.connects().await;
        bob.connects().await;
        ann.sdk.until("joined", |line| line["who"] == bob.identity.as_str()).await;
        Some((ann, bob))
    }

    fn direct(&self) -> RoomClient {
        RoomClient::with_api_key(&format!("http://127.0.0.1:{}", self.livekit.port), server::KEY, server::SECRET)
    }

    /// The rooms at LiveKit.
    async fn rooms(&self) -> Vec<String> {
        let rooms = self.direct().list_rooms(Vec::new()).await.unwrap();
        let mut names: Vec<String> = rooms.into_iter().map(|room| room.name).collect();
        names.sort();
        names
    }

    /// Waits until these are the rooms at LiveKit, and no others.
    async fn until_rooms(&self, expected: &[&str]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let began = Instant::now();
        loop {
            let rooms = self.rooms().await;
            if rooms == expected {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "there are {rooms:?}, not {expected:?}: {}", self.server.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Who is in a room at LiveKit.
    async fn there(&self, room: &str) -> Vec<String> {
        let there = self.direct().list_participants(room).await.unwrap();
        let mut identities: Vec<String> = there.into_iter().map(|participant| participant.identity).collect();
        identities.sort();
        identities
    }

    async fn until_there(&self, room: &str, people: &[&Person]) {
        let mut expected: Vec<&str> = people.iter().map(|person| person.identity.as_str()).collect();
        expected.sort_unstable();
        let began = Instant::now();
        while self.there(room).await != expected {
            assert!(began.elapsed() < PATIENCE, "{:?} are there, not {expected:?}", self.there(room).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What somebody publishes, as the meeting shows it to whoever joins now.
    async fn shown(&self, who: &Person) -> Value {
        let late = joined(&self.server, &self.meeting, "late", "viewer").await;
        let snapshot = late.record().snapshot.clone().unwrap();
        let people = snapshot["participants"].as_array().unwrap();
        people.iter().find(|person| person["id"] == who.id.as_str()).unwrap()["media"].clone()
    }

    /// A figure of the node's.
    async fn figure(&self, name: &str) -> f64 {
        let metrics = self.server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    async fn until_figure(&self, name: &str, least: f64) {
        let began = Instant::now();
        while self.figure(name).await < least {
            assert!(began.elapsed() < PATIENCE, "{name} stays at {}", self.figure(name).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The newest credentials that a client was given.
fn granted(record: &Record) -> Value {
    let of_notice = |(kind, data): &(String, Value)| match kind.as_str() {
        "media.granted" => Some(data["media"].clone()),
        "self.entered" => Some(data["view"]["media"].clone()),
        _ => None,
    };
    let newest = record.notices.iter().rev().find_map(of_notice);
    newest.unwrap_or_else(|| record.snapshot.as_ref().unwrap()["view"]["media"].clone())
}

fn field(media: &Value, name: &str) -> String {
    media[name].as_str().unwrap_or_else(|| panic!("no {name} in {media}")).to_owned()
}

/// What is published, as the meeting writes it.
fn only(sources: &[&str]) -> Value {
    let is_on = |source: &str| sources.contains(&source);
    json!({ "audio": is_on("audio"), "video": is_on("video"), "screen": is_on("screen") })
}

struct Person {
    client: Client,
    sdk: Sdk,
    /// As the meeting knows them, and as LiveKit does.
    id: String,
    identity: String,
}

impl Person {
    fn media(&self) -> Value {
        granted(&self.client.record())
    }

    /// The room at LiveKit that their newest credentials are for.
    fn room(&self) -> String {
        field(&self.media(), "room")
    }

    /// Connects with the newest credentials. Who was there.
    async fn connects(&mut self) -> Vec<String> {
        let media = self.media();
        self.sdk.connect(&media).await
    }

    /// Comes with former credentials; whether LiveKit let them in.
    async fn comes_with(&mut self, media: &Value) -> bool {
        self.sdk.tell(&json!({ "do": "connect", "url": media["url"], "token": media["token"] }));
        self.sdk.until_any(&["connected", "refused"]).await["event"] == "connected"
    }

    /// Waits for credentials that are not these.
    async fn granted_after(&self, former: &Value) -> Value {
        let newer = |record: &Record| Some(granted(record)).filter(|media| media["token"] != former["token"]);
        self.client.until("other credentials", newer).await.unwrap()
    }

    /// Waits until this one's client was told last that `who` publishes these.
    async fn is_told(&self, who: &str, sources: &[&str]) {
        let expected = only(sources);
        let is_so = |record: &Record| {
            let (_, media) = record.states.iter().rev().find(|(id, _)| id == who)?;
            (*media == expected).then_some(())
        };
        let told = self.client.until("what is published", is_so).await;
        assert!(told.is_ok(), "{expected} was not told: {:?}", self.client.record().states);
    }

    async fn hears(&mut self, who: &str, source: &str) {
        self.sdk.until_of("heard", who, source).await;
    }

    async fn does(&self, kind: &str, data: Value) {
        ok(&self.client, kind, data).await;
    }
}
