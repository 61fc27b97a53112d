//! What reaches which device: an answer goes to the one that asked, the server's time to all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::run;
use convoke_domain::shapes::Role;
use serde_json::json;

#[test]
fn a_refusal_reaches_the_device_that_asked_and_no_other() {
    run(|world| async move {
        let mut phone = world.join("ada", Role::Participant).await;
        let mut laptop = world.join("ada", Role::Participant).await;
        let refused = phone.command("meeting.end", json!({})).await;
        assert_eq!(phone.answer(refused).await["error"]["code"], "not_permitted");
        // Both see what comes after it; only one saw it.
        let post = phone.post("said by one, seen on both").await;
        phone.answer(post).await;
        laptop.event("chat.posted").await;
        assert!(!laptop.heard.iter().any(|message| message["re"] == refused), "{:#?}", laptop.heard);
        assert_eq!(laptop.heard.iter().filter(|message| message.get("re").is_some()).count(), 1, "its own join");
    });
}

#[test]
fn the_servers_time_comes_with_the_snapshot_and_with_every_tick() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let joined_at = ada.heard[0]["data"]["server_at"].as_u64().unwrap();
        let first = ada.event("tick").await["data"].clone();
        assert_eq!(first["head"], ada.heard[0]["data"]["seq"]);
        let since = first["server_at"].as_u64().unwrap() - joined_at;
        assert!((9_000..=11_000).contains(&since), "ten seconds of the server's clock: {since}");
    });
}
