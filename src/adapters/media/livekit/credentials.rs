//! What a client is given to connect with: a token for one room, under its session's id, good for ten
//! minutes. LiveKit asks for it at the door only, so it is renewed while a client is inside; and it
//! cannot be taken back, which is why it is short, and why a room has generations.

use super::names::name_of;
use super::presets::{PRESETS, Presets};
use super::{LiveKit, grants};
use convoke_actors::ports::{Media, MediaRequest};
use livekit_api::access_token::{AccessToken, AccessTokenError};
use secrecy::ExposeSecret;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long credentials are good for.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// LiveKit lets nobody in whose name is longer.
const NAME_BYTES_MAX: usize = 256;

#[derive(Serialize)]
struct Granted<'a> {
    kind: &'static str,
    url: &'a str,
    room: &'a str,
    identity: &'a str,
    token: &'a str,
    expires_at: u64,
    presets: Presets,
}

impl Media for LiveKit {
    fn credentials(&self, request: &MediaRequest) -> String {
        let room = name_of(request.room.key.meeting, request.room.room, request.room.generation);
        let identity = request.session.to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The token is made after this, so it is good for at least as long.
        let expires_at = now.as_secs().saturating_add(LIFETIME.as_secs()).saturating_mul(1_000);
        let told = self.token(request, &room, &identity).map_err(|error| error.to_string()).and_then(|token| {
            let (url, presets) = (self.url.as_str(), PRESETS);
            let granted =
                Granted { kind: "livekit", url, room: &room, identity: &identity, token: &token, expires_at, presets };
            serde_json::to_string(&granted).map_err(|error| error.to_string())
        });
        told.unwrap_or_else(|error| {
            // The key and the secret are not empty, so this does not happen; if it does, a meeting
            // without media is better than none.
            tracing::error!(%error, "no credentials for the media could be made");
            r#"{"kind":"none"}"#.to_owned()
        })
    }

    fn lifetime(&self) -> Option<Duration> {
        Some(LIFETIME)
    }
}

impl LiveKit {
    fn token(&self, request: &MediaRequest, room: &str, identity: &str) -> Result<String, AccessTokenError> {
        let participant = request.participant.to_string();
        AccessToken::with_api_key(&self.key, self.secret.expose_secret())
            .with_ttl(LIFETIME)
            .with_identity(identity)
            .with_name(cut(&request.name))
            .with_attributes([("participant", participant.as_str()), ("role", request.role.as_str())])
            .with_grants(grants::grants(room.to_owned(), request.role, request.may))
            .to_jwt()
    }
}

/// As much of a name as LiveKit takes.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
