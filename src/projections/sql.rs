//! Changes as SQL that both databases understand, as data: written once, run on either.

use super::change::Change;
use super::{polls, recordings, rooms, whiteboards};
use crate::adapters::store::to_i64;
use convoke_actors::frame::json;
use convoke_actors::ports::MeetingKey;
use convoke_domain::caption::Caption;
use convoke_domain::redact::ERASED_NAME;
use convoke_domain::shapes::{Invitation, MeetingInfo, Message, Participant};
use convoke_domain::{MessageId, ParticipantId, Seq, UserId};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Something that is bound to a placeholder.
#[derive(Clone, Debug)]
pub enum Value {
    Text(Option<String>),
    Id(Option<Uuid>),
    Number(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Id(Some(id))
    }
}

impl From<Option<Uuid>> for Value {
    fn from(id: Option<Uuid>) -> Self {
        Self::Id(id)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(to_i64(number)))
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number.map(to_i64))
    }
}

pub struct Statement {
    pub sql: Cow<'static, str>,
    pub values: Vec<Value>,
}

/// A statement about a meeting: its tenant and its id are `$1` and `$2`.
macro_rules! of_meeting {
    ($key:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        Statement {
            sql: $sql.into(),
            values: vec![$key.tenant.0.as_str().into(), $key.meeting.0.into() $(, $value.into())*],
        }
    };
}
pub(super) use of_meeting;

/// What a change does to the rows there are. Changes of the kinds that are gathered do nothing here.
pub fn statements(key: &MeetingKey, change: &Change) -> Vec<Statement> {
    match change {
        Change::Meeting(info) => vec![meeting(key, info)],
        Change::StayEnds { participant, at } => vec![of_meeting!(
            key,
            "UPDATE attendances SET left_at = $4 \
             WHERE tenant = $1 AND meeting = $2 AND participant = $3 AND left_at IS NULL",
            participant.0,
            *at
        )],
        Change::Out { participant, is_out } => vec![of_meeting!(
            key,
            "UPDATE known_users SET is_out = $4 WHERE tenant = $1 AND meeting = $2 AND participant = $3",
            participant.0,
            u64::from(*is_out)
        )],
        Change::Leads { participant, leads } => vec![of_meeting!(
            key,
            "UPDATE known_users SET leads = $4 WHERE tenant = $1 AND meeting = $2 AND participant = $3",
            participant.0,
            u64::from(*leads)
        )],
        Change::AllStaysEnd { at } => vec![of_meeting!(
            key,
            "UPDATE attendances SET left_at = $3 WHERE tenant = $1 AND meeting = $2 AND left_at IS NULL",
            *at
        )],
        Change::Renamed { participant } => vec![of_meeting!(
            key,
            "UPDATE attendances SET name = $4, role = $5 \
             WHERE tenant = $1 AND meeting = $2 AND participant = $3 AND left_at IS NULL",
            participant.id.0,
            participant.name.as_str(),
            participant.role.as_str()
        )],
        Change::Reactions { message } => vec![of_meeting!(
            key,
            "UPDATE messages_view SET data = $4 WHERE tenant = $1 AND meeting = $2 AND id = $3",
            message.id.0,
            json(message)
        )],
        Change::MessageGone { id } => {
            vec![of_meeting!(key, "DELETE FROM messages_view WHERE tenant = $1 AND meeting = $2 AND id = $3", id.0)]
        }
        // An event that was counted is not counted again.
        Change::HandRaised { seq, participant } => vec![of_meeting!(
            key,
            "INSERT INTO hands_view (tenant, meeting, participant, raised, seq) VALUES ($1, $2, $3, 1, $4) \
             ON CONFLICT (tenant, meeting, participant) DO UPDATE SET raised = hands_view.raised + 1, \
             seq = excluded.seq WHERE hands_view.seq < excluded.seq",
            participant.0,
            seq.0
        )],
        Change::Moved { seq, at, moves } => rooms::moved(key, *seq, *at, moves),
        Change::RoomsOpened { rooms } => rooms::opened(key, rooms),
        Change::Rooms { rooms } => rooms::changed(key, rooms),
        Change::Merged { from, into } => rooms::merged(key, from, *into),
        Change::Breakout(breakout) => vec![rooms::breakout(key, breakout.as_deref())],
        Change::AllRoomsClose => rooms::all_close(key),
        Change::Question { seq, question, answered_by } => vec![polls::asked(key, *seq, question, *answered_by)],
        Change::Poll { seq, poll } => vec![polls::polled(key, *seq, poll)],
        Change::Voted { poll, voter, choices } => vec![polls::voted(key, *poll, *voter, choices)],
        Change::Invitation(invitation) => vec![invited(key, invitation)],
        Change::Recording(recording) => recordings::changed(key, recording),
        Change::Take { recording, take } => vec![recordings::taken(key, *recording, take)],
        Change::Consent { recording, participant, given, at } => {
            vec![recordings::consented(key, *recording, *participant, *given, *at)]
        }
        Change::WhiteboardMade { at, whiteboard } => vec![whiteboards::made(key, whiteboard, *at)],
        Change::WhiteboardChanged { at, whiteboard } => {
            let disowned = whiteboard.by.is_none().then(|| whiteboards::disowned(key, whiteboard.id, *at));
            disowned.into_iter().chain([whiteboards::changed(key, whiteboard)]).collect()
        }
        Change::WhiteboardGone(id) => vec![whiteboards::gone(key, *id)],
        Change::Erased { participant } => erased(key, *participant),
        Change::Known { .. }
        | Change::Listed { .. }
        | Change::StayBegins { .. }
        | Change::Message { .. }
        | Change::Caption { .. } => Vec::new(),
    }
}

fn meeting(key: &MeetingKey, info: &MeetingInfo) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO meetings_view (tenant, id, title, status, data) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant, id) DO UPDATE SET \
         title = excluded.title, status = excluded.status, data = excluded.data",
        info.title.as_str(),
        info.status.as_str(),
        json(info)
    )
}

fn invited(key: &MeetingKey, invitation: &Invitation) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO invitations_view (tenant, meeting, id, email, role, code_digest, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        invitation.id.0,
        invitation.email.as_str(),
        invitation.role.as_str(),
        invitation.code_digest.as_str(),
        invitation.created_at
    )
}

fn erased(key: &MeetingKey, participant: ParticipantId) -> Vec<Statement> {
    let whom = participant.0;
    let [questions, answers] = polls::erased(key, participant);
    vec![
        questions,
        answers,
        whiteboards::erased(key, participant),
        of_meeting!(key, "DELETE FROM messages_view WHERE tenant = $1 AND meeting = $2 AND sender = $3", whom),
        of_meeting!(
            key,
            "UPDATE captions_view SET text = '' WHERE tenant = $1 AND meeting = $2 AND participant = $3",
            whom
        ),
        of_meeting!(
            key,
            "DELETE FROM listed_users WHERE tenant = $1 AND meeting = $2 AND user_id IN \
             (SELECT user_id FROM known_users WHERE tenant = $1 AND meeting = $2 AND participant = $3)",
            whom
        ),
        of_meeting!(key, "DELETE FROM known_users WHERE tenant = $1 AND meeting = $2 AND participant = $3", whom),
        of_meeting!(
            key,
            "UPDATE attendances SET name = $4, user_id = NULL WHERE tenant = $1 AND meeting = $2 AND participant = $3",
            whom,
            ERASED_NAME
        ),
    ]
}

/// Rows of one table, many to a statement.
pub struct Insert {
    pub into: &'static str,
    pub on_conflict: &'static str,
    pub rows: Vec<Vec<Value>>,
}

/// Rows that come in numbers: written many to a statement, before anything that may change them.
#[derive(Default)]
pub struct Gathered<'a> {
    known: BTreeMap<(&'a MeetingKey, UserId), ParticipantId>,
    listed: BTreeSet<(&'a MeetingKey, UserId)>,
    stays: Vec<(&'a MeetingKey, Seq, Box<Participant>)>,
    messages: BTreeMap<(&'a MeetingKey, MessageId), (Seq, Box<Message>)>,
    captions: Vec<(&'a MeetingKey, Seq, Box<Caption>)>,
}

impl<'a> Gathered<'a> {
    /// Keeps a change of the kinds that are gathered; gives any other back.
    pub fn take(&mut self, key: &'a MeetingKey, change: Change) -> Option<Change> {
        match change {
            Change::Known { user, participant } => {
                self.known.insert((key, user), participant);
            }
            Change::Listed { users } => self.listed.extend(users.into_iter().map(|user| (key, user))),
            Change::StayBegins { seq, participant } => self.stays.push((key, seq, participant)),
            // Of one that is edited meanwhile the last state counts, where it stood first.
            Change::Message { seq, message } => match self.messages.entry((key, message.id)) {
                Entry::Occupied(mut earlier) => earlier.get_mut().1 = message,
                Entry::Vacant(place) => {
                    place.insert((seq, message));
                }
            },
            Change::Caption { seq, caption } => self.captions.push((key, seq, caption)),
            other => return Some(other),
        }
        None
    }

    pub fn inserts(self) -> [Insert; 5] {
        let row = |key: &MeetingKey, rest: Vec<Value>| {
            let mut values = vec![key.tenant.0.as_str().into(), key.meeting.0.into()];
            values.extend(rest);
            values
        };
        let known = self.known.into_iter().map(|((key, user), who)| row(key, vec![user.0.into(), who.0.into()]));
        let listed = self.listed.into_iter().map(|(key, user)| row(key, vec![user.0.into()]));
        let stays = self.stays.into_iter().map(|(key, seq, who)| {
            let user = who.user.map(|user| user.0);
            let (role, room) = (who.role.as_str(), who.room.to_string());
            let (name, since) = (who.name, who.joined_at);
            row(
                key,
                vec![seq.0.into(), who.id.0.into(), user.into(), name.into(), role.into(), room.into(), since.into()],
            )
        });
        let messages = self.messages.into_iter().map(|((key, id), (seq, message))| {
            let (to, room) = (message.to.to_string(), message.room.to_string());
            row(
                key,
                vec![
                    id.0.into(),
                    seq.0.into(),
                    message.from.map(|id| id.0).into(),
                    to.into(),
                    room.into(),
                    json(&message).into(),
                ],
            )
        });
        let captions = self.captions.into_iter().map(|(key, seq, said)| {
            let (room, from, to) = (said.room.to_string(), said.start_at, said.end_at);
            let (lang, text) = (said.lang, said.text);
            row(
                key,
                vec![
                    seq.0.into(),
                    said.participant.0.into(),
                    room.into(),
                    lang.into(),
                    text.into(),
                    from.into(),
                    to.into(),
                ],
            )
        });
        [
            Insert {
                into: "INSERT INTO known_users (tenant, meeting, user_id, participant) ",
                on_conflict: " ON CONFLICT (tenant, user_id, meeting) DO UPDATE SET \
                              participant = excluded.participant, leads = 0, is_out = 0",
                rows: known.collect(),
            },
            Insert {
                into: "INSERT INTO listed_users (tenant, meeting, user_id) ",
                on_conflict: " ON CONFLICT DO NOTHING",
                rows: listed.collect(),
            },
            Insert {
                into: "INSERT INTO attendances \
                       (tenant, meeting, seq, participant, user_id, name, role, room, joined_at) ",
                on_conflict: " ON CONFLICT DO NOTHING",
                rows: stays.collect(),
            },
            Insert {
                into: "INSERT INTO messages_view (tenant, meeting, id, seq, sender, recipient, room, data) ",
                on_conflict: " ON CONFLICT (tenant, meeting, id) DO UPDATE SET data = excluded.data",
                rows: messages.collect(),
            },
            Insert {
                into: "INSERT INTO captions_view \
                       (tenant, meeting, seq, participant, room, lang, text, start_at, end_at) ",
                on_conflict: " ON CONFLICT DO NOTHING",
                rows: captions.collect(),
            },
        ]
    }
}
