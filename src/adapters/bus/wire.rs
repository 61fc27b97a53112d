//! What nodes send each other, as MessagePack. Every message names its sender first, so that what
//! comes back to it is passed over unread.

use convoke_actors::ports::{Call, MeetingKey, Told};
use convoke_actors::release::{Batch, HubId};
use convoke_actors::whiteboard::words::Show;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
pub enum Message {
    /// With the sender's time, in Unix milliseconds.
    Batch(u64, Batch),
    /// To be answered on this node's channel.
    Call(String, Call),
    Answer(Uuid, Told),
    /// For a hub of the process that hears it.
    Show(HubId, Show),
}

/// Where what leaves a meeting is published.
pub fn meeting_channel(key: &MeetingKey) -> String {
    format!("convoke:meeting:{}/{}", key.tenant, key.meeting)
}

/// Where a node is called, in whatever life.
pub fn node_channel(node: &str) -> String {
    format!("convoke:node:{node}")
}

/// What nobody hears, in the same shard of a Cluster as the node's own channel: where it can be
/// published to, the node can be called.
pub fn probe_channel(node: &str) -> String {
    format!("convoke:probe:{{{}}}", node_channel(node))
}

pub fn encode(sender: Uuid, message: &Message) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = sender.as_bytes().to_vec();
    rmp_serde::encode::write_named(&mut bytes, message)?;
    Ok(bytes)
}

/// The message, unless this node sent it itself.
pub fn decode(me: Uuid, bytes: &[u8]) -> Result<Option<Message>, rmp_serde::decode::Error> {
    match bytes.split_at_checked(16) {
        Some((sender, _)) if sender == me.as_bytes() => Ok(None),
        Some((_, rest)) => rmp_serde::from_slice(rest).map(Some),
        None => Err(rmp_serde::decode::Error::LengthMismatch(16)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use bytes::Bytes;
    use convoke_actors::meeting::{Attach, How, Numbered, Present, Refused, RequestInput, ToMeeting};
    use convoke_actors::ports::Ask;
    use convoke_actors::release::{Item, Place, Placing, SocketId};
    use convoke_actors::whiteboard::words::{AskBoard, Desk, Shown, Visit};
    use convoke_domain::command::Join;
    use convoke_domain::shapes::Role;
    use convoke_domain::{
        Audience, By, CloseCode, Command, MeetingId, ParticipantId, Rejection, RoomId, Seq, SessionId, TenantId, Term,
        UserId, WhiteboardId,
    };
    use std::collections::BTreeSet;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn key() -> MeetingKey {
        MeetingKey { tenant: TenantId("acme".to_owned()), meeting: MeetingId(id(1)) }
    }

    /// As it comes out at the other end.
    fn there_and_back(message: &Message) -> Message {
        let bytes = encode(id(7), message).unwrap();
        assert!(decode(id(7), &bytes).unwrap().is_none(), "one's own is passed over");
        decode(id(8), &bytes).unwrap().unwrap()
    }

    #[test]
    fn batches_arrive_as_they_left() {
        let socket = SocketId(id(2));
        let place = Place { participant: ParticipantId(id(3)), room: RoomId::Main, leads: true, waiting: false };
        let only = Audience::Only(BTreeSet::from([ParticipantId(id(3))]));
        let items = vec![
            Item::Event { seq: Seq(4), audience: Audience::Everyone, message: "{\"é\":1}".into() },
            Item::Event { seq: Seq(5), audience: Audience::Room(RoomId::Main), message: "x".into() },
            Item::Event { seq: Seq(6), audience: only, message: "x".into() },
            Item::Place { socket, place, why: Placing::New { last_id: 9 } },
            Item::Direct { socket, message: "x".into(), re: None, seq: Some(Seq(6)), is_snapshot: true },
            Item::Replay { socket, events: vec![(Seq(5), "a".into()), (Seq(6), "b".into())], upto: Seq(6) },
            Item::Close { socket, code: CloseCode::Replaced },
            Item::CloseAll { code: CloseCode::MeetingEnded },
            Item::Signal { room: RoomId::Main, key: "r".to_owned(), message: "x".into() },
            Item::Again,
        ];
        let batch = Batch { key: key(), term: Term(2), number: 3, head: Seq(6), items };
        let Message::Batch(at, arrived) = there_and_back(&Message::Batch(5, batch.clone())) else { unreachable!() };
        assert_eq!(at, 5);
        assert_eq!(format!("{arrived:?}"), format!("{batch:?}"));
    }

    #[test]
    fn calls_and_answers_arrive_as_they_left() {
        let session = SessionId(id(5));
        let socket = SocketId(id(2));
        let hub = HubId { process: id(9), number: 1 };
        let join = Join { session, user: Some(UserId("ada".to_owned())), name: "Ada".to_owned(), role: Role::Host };
        let refused: Result<Command, Rejection> = Err(Rejection::bad_request("no"));
        let asks = [
            Ask::Message(ToMeeting::Attach(Attach {
                socket,
                hub,
                session,
                asked_at: 5,
                base: "ws://h".to_owned(),
                how: How::Join(join),
            })),
            Ask::Message(ToMeeting::Visit(Visit {
                board: WhiteboardId(id(4)),
                socket,
                session,
                participant: ParticipantId(id(3)),
                desk: Desk { hub, channel: "c".to_owned() },
            })),
            Ask::Board(
                WhiteboardId(id(4)),
                AskBoard::Frames { socket, frames: vec![Bytes::from_static(&[0, 255, 1])] },
            ),
            Ask::Message(ToMeeting::Present(Present { hub, at: 3, placed: vec![socket], others: Vec::new() })),
            Ask::Message(ToMeeting::Command(Numbered {
                socket,
                session,
                id: 3,
                after: 2,
                is_retry: true,
                command: refused,
                span: tracing::Span::none(),
            })),
            Ask::Request(RequestInput::Command { by: By::Operator, command: Command::CancelMeeting }),
            Ask::Request(RequestInput::Command {
                by: By::Token { user: None, role: Role::Cohost },
                command: Command::Invite { invitations: Vec::new() },
            }),
            Ask::Request(RequestInput::Erase(UserId("ada".to_owned()))),
        ];
        for ask in asks {
            let call = Call { id: id(6), key: key(), ask, until: 5 };
            let Message::Call(to, arrived) = there_and_back(&Message::Call("n".to_owned(), call.clone())) else {
                unreachable!()
            };
            assert_eq!((to.as_str(), format!("{arrived:?}")), ("n", format!("{call:?}")));
        }
        let banned = Rejection::not_permitted("banned").closing(CloseCode::Banned);
        for told in [Ok(None), Err(Refused::Elsewhere), Err(Refused::from(banned))] {
            let Message::Answer(_, arrived) = there_and_back(&Message::Answer(id(6), told.clone())) else {
                unreachable!()
            };
            let closes = |told: &Told| matches!(told, Err(Refused::Rejected(_, Some(CloseCode::Banned))));
            assert_eq!((arrived.is_ok(), closes(&arrived)), (told.is_ok(), closes(&told)));
        }
    }

    #[test]
    fn what_a_board_shows_arrives_byte_for_byte() {
        let hub = HubId { process: id(9), number: 1 };
        let message = Bytes::from_static(&[0, 2, 255, 0]);
        let items = vec![Shown::All(message.clone()), Shown::Come { socket: SocketId(id(2)), messages: vec![message] }];
        let show = Show { board: WhiteboardId(id(4)), life: id(5), number: 7, items };
        let Message::Show(to, arrived) = there_and_back(&Message::Show(hub, show.clone())) else { unreachable!() };
        assert_eq!((to, format!("{arrived:?}")), (hub, format!("{show:?}")));
    }

    #[test]
    fn every_command_of_a_client_survives_the_way() {
        for (kind, data) in [
            ("chat.post", r#"{"to":"room","text":"x"}"#),
            ("chat.post", r#"{"to":"018f0000-0000-7000-8000-000000000001","text":"x"}"#),
            ("participant.mute", r#"{"all":true,"source":"audio"}"#),
            ("lobby.admit", r#"{"participant":"018f0000-0000-7000-8000-000000000001"}"#),
            ("meeting.update", r#"{"settings":{"lobby":"guests","locked":true}}"#),
            ("hand.raise", "{}"),
        ] {
            let command: Command = serde_json::from_str(&format!(r#"{{"type":"{kind}","data":{data}}}"#)).unwrap();
            let by = By::Session { session: SessionId(id(5)), id: 1 };
            let call =
                Call { id: id(6), key: key(), ask: Ask::Request(RequestInput::Command { by, command }), until: 5 };
            let Message::Call(_, arrived) = there_and_back(&Message::Call(String::new(), call.clone())) else {
                unreachable!()
            };
            assert_eq!(format!("{arrived:?}"), format!("{call:?}"), "{kind}");
        }
    }
}
