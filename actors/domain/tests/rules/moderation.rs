//! MD: keeping order.

use crate::common::*;
use convoke_domain::command::{MeshData, Nothing};
use convoke_domain::effect::Signal;
use convoke_domain::shapes::{LobbyPolicy, Media, Role, SettingsPatch, Source};
use convoke_domain::turn::Reply;
use convoke_domain::*;

const ON: Command = Command::SetMedia { audio: true, video: true, screen: true };
const ALL_ON: Media = Media { audio: true, video: true, screen: true };

fn media(scene: &Scene, device: &Device) -> Media {
    scene.member(device).participant.media
}

fn cast() -> (Scene, Device, Device, Device) {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    let bob = scene.enters("Bob", Role::Participant);
    (scene, ann, coco, bob)
}

#[test]
fn md1_muting_one_and_all() {
    let (mut scene, ann, coco, bob) = cast();
    let cid = scene.enters("Cid", Role::Participant);
    for device in [&ann, &coco, &bob, &cid] {
        scene.does(device, ON);
    }
    let bobs = scene.id(&bob);
    scene.does(&coco, Command::Mute { whom: one(bobs), source: Source::Audio });
    assert_eq!(media(&scene, &bob), Media { audio: false, ..ALL_ON });
    scene.does(&coco, Command::Mute { whom: all(), source: Source::Video });
    assert!(!media(&scene, &bob).video && !media(&scene, &cid).video);
    assert_eq!((media(&scene, &ann), media(&scene, &coco)), (ALL_ON, ALL_ON), "all but leads");
    scene.does(&bob, ON);
    assert_eq!(media(&scene, &bob), ALL_ON, "muting is no ban");
}

#[test]
fn md2_permits_stand_above_the_settings() {
    let (mut scene, ann, _, bob) = cast();
    scene.settings(&ann, SettingsPatch { allow_unmute: Some(false), ..SettingsPatch::default() });
    let talk = || Command::SetMedia { audio: true, video: false, screen: false };
    scene.refused(&bob, talk(), Code::NotPermitted);
    let bobs = scene.id(&bob);
    let permit = |allowed| Command::Permit { whom: one(bobs), source: Source::Audio, allowed };
    scene.does(&ann, permit(true));
    assert_eq!(scene.kinds(), ["participants.permitted"]);
    assert_eq!(scene.after, [Effect::GrantMedia(bobs)]);
    scene.does(&bob, talk());
    scene.does(&ann, permit(false));
    assert!(!media(&scene, &bob).audio, "forbidding turns it off");
    scene.refused(&bob, talk(), Code::NotPermitted);
    scene.does(&ann, Command::Permit { whom: all(), source: Source::Screen, allowed: false });
    scene.refused(&bob, Command::SetMedia { audio: false, video: false, screen: true }, Code::NotPermitted);
    scene.does(&ann, ON);
}

#[test]
fn md3_one_turns_on_what_one_may() {
    let (mut scene, ann, coco, bob) = cast();
    let vic = scene.enters("Vic", Role::Viewer);
    scene.refused(&vic, ON, Code::NotPermitted);
    scene.does(&bob, ON);
    let bobs = scene.id(&bob);
    let shown = Signal::MediaStates { participant: bobs, media: ALL_ON };
    assert_eq!(scene.effects, [Effect::Signal { room: RoomId::Main, signal: shown }]);
    scene.does(&bob, ON);
    assert!(scene.recorded.is_empty());
    let strict =
        SettingsPatch { allow_unmute: Some(false), allow_screen_share: Some(false), ..SettingsPatch::default() };
    scene.settings(&ann, strict);
    scene.does(&bob, Command::SetMedia { audio: true, video: false, screen: true });
    scene.does(&bob, Command::SetMedia { audio: false, video: false, screen: false });
    scene.refused(&bob, Command::SetMedia { audio: false, video: false, screen: true }, Code::NotPermitted);
    scene.does(&coco, ON);
    let recorder = scene.enters("Agent", Role::Agent);
    scene.operator(update(SettingsPatch { allow_unmute: Some(true), ..SettingsPatch::default() })).expect("updated");
    scene.does(&recorder, Command::SetMedia { audio: true, video: false, screen: false });
    assert!(scene.effects.is_empty(), "services are not shown");
}

#[test]
fn md3_who_becomes_a_viewer_publishes_nothing() {
    let (mut scene, ann, _, bob) = cast();
    scene.does(&bob, ON);
    let bobs = scene.id(&bob);
    scene.does(&ann, role(bobs, Role::Viewer));
    assert_eq!(media(&scene, &bob), Media::default());
}

#[test]
fn md4_names() {
    let (mut scene, ann, coco, bob) = cast();
    let (bobs, cocos) = (scene.id(&bob), scene.id(&coco));
    let rename = |participant, name: &str| Command::Rename { participant, name: name.to_owned() };
    scene.does(&bob, rename(bobs, " Robert "));
    assert_eq!(scene.member(&bob).participant.name, "Robert");
    scene.does(&bob, rename(bobs, "Robert"));
    assert!(scene.recorded.is_empty());
    scene.refused(&bob, rename(cocos, "x"), Code::NotPermitted);
    scene.refused(&bob, rename(bobs, ""), Code::BadRequest);
    scene.settings(&ann, SettingsPatch { allow_rename: Some(false), ..SettingsPatch::default() });
    scene.refused(&bob, rename(bobs, "Bob"), Code::NotPermitted);
    scene.does(&coco, rename(bobs, "Bob"));
    assert_eq!(scene.event("participant.renamed").audience, Audience::Everyone);
}

#[test]
fn md5_removal_ends_all_sessions() {
    let (mut scene, ann, coco, bob) = cast();
    scene.join(&bob.other(1)).expect("a second device");
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    scene.does(&coco, remove(bobs));
    assert_eq!(scene.kinds(), ["participant.removed"]);
    assert_eq!(scene.closed(&bob), Some(CloseCode::Removed));
    assert_eq!(scene.closed(&bob.other(1)), Some(CloseCode::Removed));
    assert!(!scene.state.sessions.contains_key(&bob.session));
    scene.refused(&coco, remove(bobs), Code::NotFound);
    scene.refused(&ann, remove(anns), Code::Conflict);
}

#[test]
fn md6_a_ban_reaches_who_has_just_gone_and_is_said_once() {
    let (mut scene, ann, _, bob) = cast();
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    scene.refused(&ann, remove(bobs), Code::NotFound);
    scene.does(&ann, ban(bobs));
    assert_eq!(scene.join(&bob).expect_err("banned").close, Some(CloseCode::Banned));
    scene.does(&ann, ban(bobs));
    assert!(scene.recorded.is_empty());
}

#[test]
fn md6_a_ban_reaches_who_waits() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    scene.does(&ann, ban(bobs));
    assert_eq!(scene.closed(&bob), Some(CloseCode::Banned));
    assert!(scene.state.waiting.is_empty());
}

#[test]
fn md7_banning_a_guest_raises_the_lobby() {
    let (mut scene, ann, _, bob) = cast();
    let bobs = scene.id(&bob);
    scene.does(&ann, ban(bobs));
    assert_eq!(scene.state.info.settings.lobby, LobbyPolicy::Off, "a user is banned by name");
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("in");
    let id = scene.id(&guest);
    scene.does(&ann, ban(id));
    assert_eq!(scene.kinds(), ["participant.removed", "meeting.updated"]);
    assert_eq!(scene.state.info.settings.lobby, LobbyPolicy::Guests);
    assert!(matches!(scene.join(&guest.other(1)), Ok(Reply::Waiting(_))), "a new session id waits");

    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("waits");
    let id = scene.id(&guest);
    scene.does(&ann, ban(id));
    assert_eq!(scene.state.info.settings.lobby, LobbyPolicy::Everyone, "raised, never lowered");
}

#[test]
fn md8_mesh_signals_go_to_sessions_inside() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Guests);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("waits");
    let signal = |to, bytes: usize| Command::MeshSignal { to, data: MeshData("x".repeat(bytes)) };
    scene.does(&ann, signal(bob.session, 32 * 1024));
    assert!(
        matches!(&scene.effects[..], [Effect::Mesh { to, from, .. }] if *to == bob.session && *from == ann.session)
    );
    scene.refused(&ann, signal(guest.session, 1), Code::NotFound);
    scene.refused(&ann, signal(session(999), 1), Code::NotFound);
    scene.refused(&ann, signal(bob.session, 32 * 1024 + 1), Code::TooLarge);
    scene.does(&bob, Command::RequestMedia(Nothing {}));
    assert_eq!(scene.effects, [Effect::GrantMedia(scene.id(&bob))]);
}
