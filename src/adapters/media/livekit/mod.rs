//! The media as a LiveKit server moves it. Credentials say who may enter which room and publish what;
//! rooms are asked to be as the meeting wants them; recordings are made by LiveKit Egress. All of it
//! goes by level: each call may be repeated, and what is there is found by listing, once for a node
//! and not for each of its rooms. What came from LiveKit is read here and nowhere else.

mod calls;
mod credentials;
mod grants;
mod names;
mod presets;
mod recorder;
mod rooms;
mod shared;
mod storage;
mod takes;

pub use credentials::LIFETIME;
pub use names::{name_of, room_of};
pub use presets::{Layer, PRESETS, Preset, Presets};
pub use takes::take_of;

use crate::config::Config;
use calls::{CALL_MAX, Twirp};
use convoke_actors::ports::{MediaError, Takes};
use convoke_domain::MeetingId;
use livekit_api::services::egress::EgressClient;
use livekit_api::services::room::RoomClient;
use secrecy::{ExposeSecret, SecretString};
use shared::Shared;
use std::collections::HashMap;
use storage::Storage;

pub struct LiveKit {
    /// As clients are given it: ws or wss.
    url: String,
    key: String,
    secret: SecretString,
    rooms: RoomClient,
    egress: EgressClient,
    twirp: Twirp,
    storage: Storage,
    /// Our rooms by their names, with the people in them.
    listed: Shared<HashMap<String, u32>>,
    recorded: Shared<HashMap<MeetingId, Takes>>,
}

impl LiveKit {
    /// None: no LiveKit is configured. The configuration was checked: its three settings go together.
    pub fn open(config: &Config) -> Result<Option<Self>, MediaError> {
        let (url, key, secret) = (&config.livekit_url, &config.livekit_api_key, &config.livekit_api_secret);
        let (Some(url), Some(key), Some(secret)) = (url, key, secret) else { return Ok(None) };
        let storage = Storage::of(&config.objects_url, config.egress_objects_path.as_deref());
        Self::new(url, key, secret, storage).map(Some)
    }

    fn new(url: &str, key: &str, secret: &SecretString, storage: Storage) -> Result<Self, MediaError> {
        let (host, exposed) = (with_scheme(url, "http"), secret.expose_secret());
        let rooms = RoomClient::with_api_key(&host, key, exposed).with_failover(false).with_request_timeout(CALL_MAX);
        let egress =
            EgressClient::with_api_key(&host, key, exposed).with_failover(false).with_request_timeout(CALL_MAX);
        Ok(Self {
            url: with_scheme(url, "ws"),
            key: key.to_owned(),
            secret: secret.clone(),
            rooms,
            egress,
            twirp: Twirp::new(&host, key, secret)?,
            storage,
            listed: Shared::default(),
            recorded: Shared::default(),
        })
    }

    /// Whether it answers, and takes the key: with how many rooms of whomever.
    pub async fn reach(&self) -> Result<usize, MediaError> {
        Ok(calls::counted("list_rooms", self.rooms.list_rooms(Vec::new())).await?.len())
    }
}

/// The same URL for HTTP or for WebSockets, secure if it was.
fn with_scheme(url: &str, plain: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        Some(("wss" | "https", rest)) => format!("{plain}s://{rest}"),
        Some((_, rest)) => format!("{plain}://{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_kinds_of_url_are_taken() {
        for (given, http, ws) in [
            ("ws://a:7880", "http://a:7880", "ws://a:7880"),
            ("wss://a/", "https://a", "wss://a"),
            ("http://a", "http://a", "ws://a"),
            ("https://a:1", "https://a:1", "wss://a:1"),
        ] {
            assert_eq!((with_scheme(given, "http").as_str(), with_scheme(given, "ws").as_str()), (http, ws));
        }
    }
}
