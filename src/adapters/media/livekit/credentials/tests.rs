use super::*;
use crate::adapters::media::livekit::storage::Storage;
use convoke_actors::ports::{MediaRoom, MeetingKey};
use convoke_domain::shapes::{Media as Sources, Role};
use convoke_domain::{MeetingId, ParticipantId, RoomId, SessionId, TenantId};
use livekit_api::access_token::{Claims, TokenVerifier};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

const KEY: &str = "key";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ALL: Sources = Sources { audio: true, video: true, screen: true };

fn granted(name: &str, role: Role, may: Sources) -> (Value, Claims) {
    let secret = SecretString::from(SECRET.to_owned());
    let livekit = LiveKit::new("https://media.example/", KEY, &secret, Storage::of("file://x", None)).unwrap();
    let id = Uuid::from_u128;
    let key = MeetingKey { tenant: TenantId("acme".to_owned()), meeting: MeetingId(id(1)) };
    let told = livekit.credentials(&MediaRequest {
        room: MediaRoom { key, room: RoomId::Main, generation: 3 },
        participant: ParticipantId(id(4)),
        session: SessionId(id(5)),
        name: name.to_owned(),
        role,
        may,
    });
    assert!(!told.contains(SECRET));
    let told: Value = serde_json::from_str(&told).unwrap();
    let claims = TokenVerifier::with_api_key(KEY, SECRET).verify(told["token"].as_str().unwrap()).unwrap();
    (told, claims)
}

#[test]
fn they_name_the_room_the_session_and_when_they_end() {
    let (told, claims) = granted("Ann", Role::Participant, ALL);
    assert_eq!((told["kind"].as_str(), told["url"].as_str()), (Some("livekit"), Some("wss://media.example")));
    let room = name_of(MeetingId(Uuid::from_u128(1)), RoomId::Main, 3);
    assert_eq!((told["room"].as_str(), &claims.video.room), (Some(room.as_str()), &room));
    let session = Uuid::from_u128(5).to_string();
    assert_eq!((told["identity"].as_str(), &claims.sub), (Some(session.as_str()), &session));
    assert_eq!(claims.name, "Ann");
    let attributes = [("participant", Uuid::from_u128(4).to_string()), ("role", "participant".to_owned())];
    assert_eq!(claims.attributes, attributes.map(|(name, value)| (name.to_owned(), value)).into());
    let (expires_at, exp) = (told["expires_at"].as_u64().unwrap(), u64::try_from(claims.exp).unwrap() * 1_000);
    assert!(expires_at <= exp && exp - expires_at <= 2_000, "a client must not rely on it for longer");
    assert!(claims.exp - claims.nbf <= 601, "ten minutes");
    assert_eq!(told["presets"], serde_json::to_value(PRESETS).unwrap());
}

#[test]
fn nobody_administers_anything_and_everybody_sees_and_hears() {
    for role in [Role::Host, Role::Cohost, Role::Participant, Role::Viewer, Role::Agent, Role::Recorder] {
        let video = granted("Ann", role, ALL).1.video;
        assert!(video.room_join && !video.room.is_empty() && video.can_subscribe == Some(true), "{role:?}");
        let administers = video.room_admin || video.room_create || video.room_list || video.room_record;
        assert!(!administers && !video.ingress_admin && video.destination_room.is_empty(), "{role:?}");
        assert_eq!(video.can_update_own_metadata, Some(false), "{role:?}");
        assert_eq!(video.hidden, matches!(role, Role::Agent | Role::Recorder), "{role:?}");
        assert_eq!((video.recorder, video.agent), (role == Role::Recorder, role == Role::Agent), "{role:?}");
        assert_eq!(video.can_publish_data, Some(role.is_service()), "{role:?}");
    }
}

#[test]
fn they_let_publish_what_the_meeting_lets() {
    let sources = |may| {
        let video = granted("Ann", Role::Participant, may).1.video;
        (video.can_publish, video.can_publish_sources)
    };
    let named = |names: &[&str]| (Some(true), names.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(sources(ALL), named(&["microphone", "camera", "screen_share", "screen_share_audio"]));
    assert_eq!(sources(Sources { video: true, ..Sources::default() }), named(&["camera"]));
    assert_eq!(sources(Sources { screen: true, ..Sources::default() }), named(&["screen_share", "screen_share_audio"]));
    assert_eq!(sources(Sources::default()), (Some(false), Vec::new()), "an empty list alone would mean everything");
}

#[test]
fn a_long_name_is_cut_where_livekit_would_refuse_it() {
    let name = granted(&"é".repeat(400), Role::Participant, ALL).1.name;
    assert_eq!(name, "é".repeat(128));
    assert_eq!(granted(&"x".repeat(257), Role::Participant, ALL).1.name.len(), 256);
}
