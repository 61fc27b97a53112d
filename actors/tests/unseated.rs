//! Whoever is moved, or becomes another, sees something else from then on: on every socket, also on one
//! that the meeting has let go of by mistake, and also if they heard of it and lost the socket then.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, World, run};
use convoke_actors::meeting::{Detach, ToMeeting};
use convoke_domain::shapes::Role;
use convoke_domain::{CloseCode, SessionId};
use serde_json::{Value, json};
use uuid::Uuid;

/// The host opens a room for somebody; answers its id.
async fn open_for(host: &mut Socket, whom: &Value) -> Value {
    let open = host.command("breakout.open", json!({ "rooms": [{ "name": "Room", "participants": [whom] }] })).await;
    assert_eq!(host.answer(open).await["ok"], true);
    host.event("breakout.opened").await["data"]["rooms"][0]["id"].clone()
}

/// The meeting takes the latest socket to be gone, though it is not.
async fn let_go_of_the_latest(world: &World, session: Uuid) {
    let socket = *world.bus.placed.lock().unwrap().last().unwrap();
    let detach = Detach { socket, session: SessionId(session) };
    world.meetings.send(&world.key, ToMeeting::Detach(detach)).await.unwrap();
}

#[test]
fn a_socket_that_was_let_go_of_does_not_stay_in_the_room_of_before() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let session = Uuid::now_v7();
        let mut bob = world.join_as(&world.key, "bob", Role::Participant, session).await;
        let_go_of_the_latest(&world, session).await;
        let room = open_for(&mut ada, &bob.id()).await;
        let post = ada.post("for the main room").await;
        ada.answer(post).await;
        assert_eq!(bob.close().await, CloseCode::InternalError, "it is to come again");
        assert!(!bob.kinds().contains(&"chat.posted"), "it is not in the main room any more");
        let back = world.resume(&bob).await;
        assert_eq!(back.snapshot()["view"]["room"], room);
    });
}

#[test]
fn a_socket_that_was_let_go_of_does_not_keep_the_rights_of_before() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let session = Uuid::now_v7();
        let mut bob = world.join_as(&world.key, "bob", Role::Cohost, session).await;
        let_go_of_the_latest(&world, session).await;
        let change =
            ada.command("participant.set_role", json!({ "participant": bob.id(), "role": "participant" })).await;
        ada.answer(change).await;
        assert_eq!(bob.close().await, CloseCode::InternalError);
        let back = world.resume(&bob).await;
        assert!(back.snapshot()["lobby"].is_null(), "the lobby is shown to hosts and cohosts");
    });
}

#[test]
fn whoever_heard_of_a_move_and_lost_the_socket_then_is_shown_the_new_room() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let bob = world.join("bob", Role::Participant).await;
        bob.hang_up().await;
        let room = open_for(&mut ada, &bob.id()).await;
        let moved = ada.event("participants.moved").await["seq"].as_u64().unwrap();
        let back = world.resume_at(&bob, moved).await;
        assert_eq!(back.snapshot()["view"]["room"], room, "a replay from there would show nothing");
    });
}
