//! The media through a real LiveKit server: what the adapter asks of it, and what people's clients
//! see of that. Each test starts a server of its own, and clients made with LiveKit's SDK; where
//! either is missing a test says that it is skipped, or fails, where that was asked for.

mod egress;
mod people;
mod product;
mod rooms;
mod sdk;
mod server;

pub use sdk::Sdk;
pub use server::Livekit;

use convoke::adapters::media::{self, Opened};
use convoke::config::Config;
use convoke_actors::ports::{MediaRequest, MediaRoom, MeetingKey};
use convoke_domain::shapes::{Media as Sources, Role};
use convoke_domain::{MeetingId, ParticipantId, RoomId, SessionId, TenantId};
use std::path::Path;
use uuid::Uuid;

pub const ALL: Sources = Sources { audio: true, video: true, screen: true };
pub const AUDIO: Sources = Sources { audio: true, video: false, screen: false };
pub const NOTHING: Sources = Sources { audio: false, video: false, screen: false };

/// Says aloud that a test did not run. Where it must, that is a failure.
fn skipped(why: &str) {
    assert!(
        std::env::var_os("CONVOKE_TEST_REQUIRE_LIVEKIT").is_none(),
        "{why}, and CONVOKE_TEST_REQUIRE_LIVEKIT is set"
    );
    println!("SKIPPED: {why}; `cargo xtask test` brings it where it can");
}

/// The media as a node opens it.
pub fn opened(settings: &[(&str, &str)]) -> Opened {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("convoke.example.toml");
    let flags: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    media::open(&Config::load_from(Some(&example), Vec::new(), &flags).unwrap()).unwrap()
}

pub fn a_room() -> MediaRoom {
    let key = MeetingKey { tenant: TenantId("acme".to_owned()), meeting: MeetingId(Uuid::now_v7()) };
    MediaRoom { key, room: RoomId::Main, generation: 0 }
}

/// Somebody who is let into a room.
pub fn person(room: &MediaRoom, role: Role, may: Sources) -> MediaRequest {
    MediaRequest {
        room: room.clone(),
        participant: ParticipantId(Uuid::now_v7()),
        session: SessionId(Uuid::now_v7()),
        name: "Ann".to_owned(),
        role,
        may,
    }
}
