//! What passes and what stays: captions and their slots, wishes that those who lead are told, and a
//! view that many share and that is one's own all the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, Weather, World, run};
use convoke_domain::shapes::{Role, Settings};
use serde_json::{Value, json};
use std::time::Duration;

fn caption(world: &World, speaker: &Socket, text: &str, is_final: bool) -> Value {
    use convoke_actors::ports::Clock;
    let now = world.clock.now();
    json!({ "participant": speaker.id(), "lang": "en", "text": text, "start_at": now - 500, "end_at": now, "final": is_final })
}

fn shown(socket: &Socket) -> Vec<&str> {
    let captions = socket.heard.iter().filter(|message| message["type"] == "caption.shown");
    captions.filter_map(|message| message["data"]["caption"]["text"].as_str()).collect()
}

#[test]
fn a_partial_caption_passes_while_the_database_is_away_and_a_final_one_does_not() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        world.store.forecast(&[Weather::Away; 1_000]);
        bob.post("on its way when it went").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let partial = bob.command("caption.publish", caption(&world, &bob, "Good", false)).await;
        assert_eq!(bob.answer(partial).await["ok"], true);
        ada.event("caption.shown").await;
        for refused in [caption(&world, &bob, "Good morning.", true), caption(&world, &ada, "Not mine", false)] {
            let asked = bob.command("caption.publish", refused).await;
            assert_eq!(bob.answer(asked).await["error"]["code"], "unavailable");
        }
        assert_eq!(shown(&ada), ["Good"]);
    });
}

#[test]
fn a_final_caption_takes_the_place_of_partial_ones_that_were_not_sent_yet() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        for (text, is_final) in [("Go", false), ("Good mor", false), ("Good morning.", true)] {
            bob.command("caption.publish", caption(&world, &bob, text, is_final)).await;
        }
        ada.event("caption.recorded").await;
        ada.listen(Duration::from_millis(200)).await;
        assert_eq!(shown(&ada).last(), Some(&"Good morning."), "nothing stale comes behind it");
    });
}

#[test]
fn a_wish_to_share_is_told_to_those_who_lead_and_shown_to_who_comes_to_lead() {
    run(|world| async move {
        let key = world.another(Settings { allow_screen_share: false, ..Settings::default() }).await;
        let mut ada = world.join_in(&key, "ada", Role::Host).await;
        let mut bob = world.join_in(&key, "bob", Role::Participant).await;
        let mut cid = world.join_in(&key, "cid", Role::Participant).await;
        let asked = bob.command("screen.request", json!({})).await;
        bob.answer(asked).await;
        let notice = ada.until("a wish", |message| message["type"] == "screen.requested").await;
        assert_eq!(notice["data"]["participant"], bob.id());
        let promote = json!({ "participant": cid.id(), "role": "cohost" });
        ada.command("participant.set_role", promote).await;
        let entered = cid.until("another view", |message| message["type"] == "self.entered").await;
        assert_eq!(entered["data"]["screen_requests"], json!([bob.id()]));
        assert!(!cid.kinds().contains(&"screen.requested") && !bob.kinds().contains(&"screen.requested"));
        assert!(world.join_in(&key, "dan", Role::Participant).await.snapshot()["screen_requests"].is_null());
        let permit = json!({ "participant": bob.id(), "source": "screen", "allowed": true });
        let permitted = ada.command("participant.permit", permit).await;
        ada.answer(permitted).await;
        let late = world.join_in(&key, "eva", Role::Host).await;
        assert_eq!(late.snapshot()["screen_requests"], json!([]));
    });
}

#[test]
fn what_one_whispered_is_in_nobody_elses_view_and_hides_nothing_from_them() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let said = ada.post("for all").await;
        ada.answer(said).await;
        let whisper = bob.command("chat.post", json!({ "to": ada.id(), "text": "for one" })).await;
        bob.answer(whisper).await;
        // Nothing happens in between, so both are shown the same view of the room.
        let session = bob.snapshot()["self"]["session"].as_str().unwrap().parse().unwrap();
        let again = world.join_as(&world.key, "bob", Role::Participant, session).await;
        let texts = |socket: &Socket| {
            let messages = socket.snapshot()["view"]["messages"].clone();
            messages.as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&again), ["for all", "for one"]);
        let cid = world.join("cid", Role::Participant).await;
        assert_eq!(texts(&cid), ["for all"]);
        let ids = [ada.id(), bob.id(), cid.id()];
        let rooms = json!({ "rooms": [{ "name": "One", "participants": ids }], "assign": "manual" });
        ada.command("breakout.open", rooms).await;
        let back = ada.command("breakout.close", json!({ "now": true })).await;
        ada.answer(back).await;
        let mut cid = cid;
        cid.listen(Duration::from_millis(100)).await;
        let entered = cid.heard.iter().rfind(|message| message["type"] == "self.entered").unwrap();
        assert_eq!(entered["data"]["view"]["messages"][0]["text"], "for all", "whoever was shown the room first");
    });
}

#[test]
fn ones_own_votes_come_with_the_view_and_nobody_elses() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        for anonymous in [false, true] {
            let poll =
                json!({ "question": "Which?", "options": ["a", "b"], "results": "live", "anonymous": anonymous });
            ada.command("poll.open", poll).await;
            let opened = bob
                .until("a poll", |m| m["type"] == "poll.opened" && m["data"]["poll"]["anonymous"] == anonymous)
                .await;
            let id = opened["data"]["poll"]["id"].as_str().unwrap().to_owned();
            let vote = bob.command("poll.vote", json!({ "poll": id, "choices": [1] })).await;
            let answer = bob.answer(vote).await;
            assert_eq!((&answer["ok"], answer["seq"].is_null()), (&json!(true), anonymous));
            let phone = world.join("bob", Role::Participant).await;
            assert_eq!(phone.snapshot()["view"]["votes"][&id], json!([1]));
            let other = world.join("cid", Role::Participant).await;
            assert!(other.snapshot()["view"]["votes"][&id].is_null());
            assert!(other.snapshot()["view"]["polls"].as_array().unwrap().iter().any(|poll| poll["id"] == id));
        }
    });
}
