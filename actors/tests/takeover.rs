//! What a node may still say, and to whom, when meetings and sockets move between nodes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use convoke_actors::meeting::{Attach, How, ToMeeting};
use convoke_actors::ports::Clock;
use convoke_actors::release::SocketId;
use convoke_domain::shapes::Role;
use convoke_domain::{CloseCode, Seq};
use serde_json::json;
use uuid::Uuid;

/// Somebody else has the meeting, and this owner, which writes nothing, has not been told.
#[test]
fn an_owner_without_a_lease_answers_nothing_from_memory() {
    common::run(|world| async move {
        let mut ann = world.join("ann", Role::Participant).await;
        let id = ann.post("hello").await;
        ann.answer(id).await;
        world.store.steal(&world.key);
        world.life.end();
        let mut again = world.socket();
        let data = json!({ "resume_token": ann.resume_token(), "seq": ann.cursor() });
        again.say(json!({ "id": 0, "type": "resume", "data": data })).await;
        let answer = again.answer(0).await;
        assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
        assert_eq!(again.close().await, CloseCode::GoingAway);
    });
}

/// A socket that was given up, whose hello was long on its way.
#[test]
fn a_late_hello_does_not_drive_out_the_socket_that_came_after_it() {
    common::run(|world| async move {
        let asked_at = world.clock.now();
        tokio::time::advance(std::time::Duration::from_millis(700)).await;
        let mut ann = world.join("ann", Role::Participant).await;
        let session = common::session_of(&ann.answer(0).await);
        let participant = serde_json::from_value(ann.id()).unwrap();
        let how = How::Resume { participant, cursor: Seq(1) };
        let late = Attach {
            socket: SocketId(Uuid::now_v7()),
            hub: world.hub.id(),
            session,
            asked_at,
            base: String::new(),
            how,
        };
        world.meetings.send(&world.key, ToMeeting::Attach(late)).await.unwrap();
        let id = ann.post("still here").await;
        assert_eq!(ann.answer(id).await["ok"], true);
        assert_eq!(ann.outlet.closed(), None);
    });
}
