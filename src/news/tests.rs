use super::*;
use crate::adapters::media::livekit::name_of;
use base64::Engine;
use convoke_domain::{MeetingId, RoomId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const NOW_S: u64 = 1_800_000_000;

fn inlet() -> Inlet {
    let pending = Arc::new(Pending::new(Bounds::default()));
    Inlet::new(Signature::new("devkey", b"secret"), pending, || NOW_S * 1_000)
}

fn signed(body: &[u8]) -> String {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
    let claims = json!({ "iss": "devkey", "exp": NOW_S + 300, "nbf": NOW_S, "sha256": digest });
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"secret")).unwrap()
}

fn webhook(id: &str, at: u64) -> Value {
    let name = name_of(MeetingId(Uuid::from_u128(1)), RoomId::Breakout(Uuid::from_u128(2)), 0);
    json!({ "event": "room_started", "id": id, "createdAt": at.to_string(), "room": { "name": name } })
}

fn take(inlet: &Inlet, body: &[u8]) -> Result<(), Refusal> {
    inlet.take(&inlet.admit(&signed(body))?, body)
}

/// What waits, once it is due.
async fn waiting(inlet: &Inlet) -> usize {
    tokio::time::timeout(pending::GATHER * 2, inlet.pending.due(10)).await.map_or(0, |errands| errands.len())
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_recent_and_new_is_taken() {
    let inlet = inlet();
    assert_eq!(take(&inlet, webhook("EV_1", NOW_S).to_string().as_bytes()), Ok(()));
    assert_eq!(waiting(&inlet).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_altered_is_not_even_read() {
    let inlet = inlet();
    let body = webhook("EV_1", NOW_S).to_string();
    let seal = inlet.admit(&signed(body.as_bytes())).unwrap();
    assert_eq!(inlet.take(&seal, body.replace("EV_1", "EV_2").as_bytes()), Err(Refusal::Altered));
    assert_eq!(inlet.take(&seal, b"{"), Err(Refusal::Altered));
    assert_eq!(waiting(&inlet).await, 0);
    assert_eq!(inlet.take(&seal, body.as_bytes()), Ok(()), "it did not count as seen");
    assert_eq!(waiting(&inlet).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_and_no_webhook_is_refused() {
    let inlet = inlet();
    for body in [&b"{"[..], b"", b"\xFF\xFE", b"{\"event\":\"room_\xFFstarted\"}"] {
        assert_eq!(take(&inlet, body), Err(Refusal::Malformed));
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_of_ten_minutes_ago_at_most_and_of_the_next_minute() {
    for (at, outcome) in [
        (NOW_S - 600, Ok(())),
        (NOW_S - 601, Err(Refusal::Stale)),
        (NOW_S + 60, Ok(())),
        (NOW_S + 61, Err(Refusal::Stale)),
        (0, Err(Refusal::Stale)),
        (u64::MAX, Err(Refusal::Stale)),
    ] {
        let inlet = inlet();
        assert_eq!(take(&inlet, webhook("EV_1", at).to_string().as_bytes()), outcome, "{at}");
        assert_eq!(waiting(&inlet).await, usize::from(outcome.is_ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_again_has_no_effect() {
    let inlet = inlet();
    let body = webhook("EV_1", NOW_S).to_string();
    assert_eq!(take(&inlet, body.as_bytes()), Ok(()));
    assert_eq!(waiting(&inlet).await, 1);
    inlet.pending.done(MeetingId(Uuid::from_u128(1)), Instant::now());
    assert_eq!(take(&inlet, body.as_bytes()), Ok(()));
    // LiveKit tries again under the id; what is around it may differ.
    assert_eq!(take(&inlet, webhook("EV_1", NOW_S - 1).to_string().as_bytes()), Ok(()));
    assert_eq!(waiting(&inlet).await, 0);
    assert_eq!(take(&inlet, webhook("EV_2", NOW_S).to_string().as_bytes()), Ok(()));
    assert_eq!(waiting(&inlet).await, 1);
}
