//! What a webhook says. Only what is needed is read, so that fields and values which a newer LiveKit
//! adds are no reason to refuse it. The one table of events stands here.

use crate::adapters::media::livekit::{room_of, take_of};
use convoke_domain::recording::Take;
use convoke_domain::{MeetingId, RecordingId, RoomId};
use livekit_protocol::EgressInfo;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What there is to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub meeting: MeetingId,
    pub room: Option<RoomId>,
    pub take: Option<(RecordingId, Take)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Hint(Box<Hint>),
    /// Of a room or a file that is not named as ours are.
    NotOurs,
    /// Nothing that matters here.
    Nothing,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    Room,
    Egress,
    Nothing,
}

/// The table: the event, under the name that it is counted by, and what it is about.
fn concern(event: &str) -> (&'static str, Concern) {
    match event {
        // A room that comes or goes is put right if it should not have.
        "room_started" => ("room_started", Concern::Room),
        "room_finished" => ("room_finished", Concern::Room),
        // Who is there is asked, not believed: whoever left may be back by now.
        "participant_joined" => ("participant_joined", Concern::Room),
        "participant_left" => ("participant_left", Concern::Room),
        "participant_connection_aborted" => ("participant_connection_aborted", Concern::Room),
        // What is published decides what is recorded track by track, and what may not be published at all.
        "track_published" => ("track_published", Concern::Room),
        "track_unpublished" => ("track_unpublished", Concern::Room),
        // A recording's take goes on; its state is in the webhook, and only ever moves forward.
        "egress_started" => ("egress_started", Concern::Egress),
        "egress_updated" => ("egress_updated", Concern::Egress),
        "egress_ended" => ("egress_ended", Concern::Egress),
        // Nobody here makes an ingress. What somebody else's brings into a room is a participant, of whom
        // `participant_joined` tells.
        "ingress_started" => ("ingress_started", Concern::Nothing),
        "ingress_ended" => ("ingress_ended", Concern::Nothing),
        // Agents are participants too; their jobs are their operator's matter.
        "agent_job_started" => ("agent_job_started", Concern::Nothing),
        "agent_job_ended" => ("agent_job_ended", Concern::Nothing),
        // Of a newer LiveKit.
        _ => ("other", Concern::Nothing),
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct EgressPlace {
    #[serde(default, alias = "room_name", rename = "roomName")]
    room_name: String,
}

/// A webhook, as far as it is read.
#[derive(Deserialize)]
pub struct Webhook {
    event: String,
    #[serde(default)]
    id: String,
    #[serde(default, alias = "created_at", rename = "createdAt", deserialize_with = "number")]
    created_at: u64,
    #[serde(default)]
    room: Option<Named>,
    #[serde(default, alias = "egress_info", rename = "egressInfo")]
    egress_info: Option<Box<RawValue>>,
}

/// 64-bit numbers are strings in the JSON of protocol buffers; some write them as numbers.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

impl Webhook {
    /// None where it is no JSON of a webhook, or not even text.
    pub fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        serde_json::from_str(text).inspect_err(|error| tracing::warn!(%error, "a signed webhook cannot be read")).ok()
    }

    /// Zero where it does not say.
    pub fn created_at_ms(&self) -> u64 {
        self.created_at.saturating_mul(1_000)
    }

    /// What it is told from others by: its id, or, where it has none, all of it.
    pub fn identity<'a>(&'a self, body: &'a [u8]) -> &'a [u8] {
        if self.id.is_empty() { body } else { self.id.as_bytes() }
    }

    /// The event's name, one of a known number of them.
    pub fn label(&self) -> &'static str {
        concern(&self.event).0
    }

    pub fn says(&self) -> Said {
        let hint = match concern(&self.event).1 {
            Concern::Nothing => return Said::Nothing,
            Concern::Room => self.room.as_ref().and_then(|room| of_room(&room.name)),
            Concern::Egress => self.egress_info.as_ref().and_then(|info| of_egress(info.get())),
        };
        hint.map_or(Said::NotOurs, |hint| Said::Hint(Box::new(hint)))
    }
}

fn of_room(name: &str) -> Option<Hint> {
    let (meeting, room, _) = room_of(name)?;
    Some(Hint { meeting, room: Some(room), take: None })
}

/// The take that an egress is; or, where it cannot be read, the room that it was in.
fn of_egress(info: &str) -> Option<Hint> {
    let take = serde_json::from_str::<EgressInfo>(info)
        .inspect_err(|error| tracing::debug!(%error, "an egress cannot be read"))
        .ok()
        .and_then(|info| take_of(&info));
    if let Some((meeting, recording, take)) = take {
        return Some(Hint { meeting, room: None, take: Some((recording, take)) });
    }
    of_room(&serde_json::from_str::<EgressPlace>(info).ok()?.room_name)
}

#[cfg(test)]
mod tests;
