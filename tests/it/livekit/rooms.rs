//! Rooms are made, seen and deleted; whoever asks with a wrong secret is told so, and no secret.

use super::{Livekit, Opened, a_room, opened, server};
use convoke_actors::ports::MediaRoom;
use convoke_domain::{RoomId, SessionId};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use uuid::Uuid;

pub fn opened_on(livekit: &Livekit) -> Opened {
    let settings = livekit.settings();
    opened(&settings.each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// How many devices are in the room, if it is there.
pub async fn seen(opened: &Opened, room: &MediaRoom) -> Option<u32> {
    let rooms = opened.rooms.glance(&room.key, Duration::ZERO).await.unwrap().unwrap();
    rooms.get(&(room.room, room.generation)).copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_made_seen_and_deleted_as_often_as_one_asks() {
    let Some(livekit) = Livekit::start(None) else { return };
    let opened = opened_on(&livekit);
    let room = a_room();
    let breakout = MediaRoom { room: RoomId::Breakout(Uuid::now_v7()), ..room.clone() };
    let next = MediaRoom { generation: 1, ..room.clone() };
    assert!(seen(&opened, &room).await.is_none());
    assert!(opened.rooms.present(&room).await.unwrap().unwrap().is_empty());
    for _ in 0..2 {
        opened.rooms.ensure(&room).await.unwrap();
        opened.rooms.ensure(&breakout).await.unwrap();
    }
    assert_eq!(seen(&opened, &room).await, Some(0));
    assert!(seen(&opened, &breakout).await.is_some());
    assert!(seen(&opened, &next).await.is_none(), "another generation is another room");
    for _ in 0..2 {
        opened.rooms.delete(&room).await.unwrap();
    }
    assert!(seen(&opened, &room).await.is_none());
    assert!(seen(&opened, &breakout).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_about_somebody_who_is_not_there_is_done() {
    let Some(livekit) = Livekit::start(None) else { return };
    let opened = opened_on(&livekit);
    let (room, nobody) = (a_room(), SessionId(Uuid::now_v7()));
    for is_made in [false, true] {
        if is_made {
            opened.rooms.ensure(&room).await.unwrap();
        }
        opened.rooms.remove(&room, nobody).await.unwrap();
        opened.rooms.permit(&room, nobody, super::ALL).await.unwrap();
        opened.rooms.mute(&room, nobody, "TR_none").await.unwrap();
    }
}

fn check(livekit: &Livekit, secret: &str) -> String {
    let folder = std::env::temp_dir().join(format!("convoke-check-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    let told = Command::new(Path::new(env!("CARGO_BIN_EXE_convoke")))
        .arg("check")
        .current_dir(&folder)
        .env("CONVOKE_LIVEKIT_URL", livekit.url())
        .env("CONVOKE_LIVEKIT_API_KEY", server::KEY)
        .env("CONVOKE_LIVEKIT_API_SECRET", secret)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines().find(|line| line.starts_with("livekit")).unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_whether_livekit_answers_and_takes_the_key() {
    let Some(livekit) = Livekit::start(None) else { return };
    let line = check(&livekit, server::SECRET);
    assert!(line.contains("ok") && line.contains("0 rooms"), "{line}");
    let wrong = "a-wrong-secret-of-some-length-0123456789";
    let line = check(&livekit, wrong);
    assert!(line.contains("FAILED") && line.contains("unauthenticated") && !line.contains(wrong), "{line}");

    let mut settings = livekit.settings();
    settings[2].1 = wrong.to_owned();
    let opened = opened(&settings.each_ref().map(|(name, value)| (*name, value.as_str())));
    let refused = opened.rooms.ensure(&a_room()).await.unwrap_err().to_string();
    assert!(refused.contains("the key and the secret") && !refused.contains(wrong), "{refused}");
}
