//! The node's front door for everything that is not a socket: REST, the projections, the command
//! line.

use crate::meeting::RequestInput;
use crate::ports::{EventRow, MeetingKey, StoreError};
use crate::supervisor::Meetings;
use convoke_domain::command::Create;
use convoke_domain::event::EVENT_VERSION;
use convoke_domain::shapes::MeetingInfo;
use convoke_domain::{By, Command, Now, Rejection, Seq, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A command took effect and is durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    pub seq: Seq,
    pub meeting: MeetingInfo,
}

#[derive(Clone)]
pub struct Node {
    meetings: Meetings,
}

impl Node {
    pub fn new(meetings: Meetings) -> Self {
        Self { meetings }
    }

    pub fn meetings(&self) -> &Meetings {
        &self.meetings
    }

    /// Makes a meeting; it is durable when this answers.
    pub async fn create(&self, create: Create) -> Result<Done, Rejection> {
        let env = self.meetings.env();
        let key = MeetingKey { tenant: create.tenant.clone(), meeting: create.id };
        let now = Now { at: env.clock.now(), entropy: env.clock.entropy() };
        let (state, recorded) = convoke_domain::turn::begin(create, now, &env.limits)?;
        let row = crate::meeting::row_of(&recorded);
        debug_assert_eq!(row.version, EVENT_VERSION);
        let wake_at = convoke_domain::deadlines::next_at(&state, &env.limits);
        match env.store.create(&key, &row, wake_at).await {
            Ok(true) => {
                self.meetings.note_growth(&key);
                Ok(Done { seq: row.seq, meeting: state.info })
            }
            Ok(false) => Err(Rejection::conflict("a meeting with this id exists already")),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Runs a command that came over REST, and answers when its effect is durable.
    pub async fn command(&self, key: &MeetingKey, by: By, command: Command) -> Result<Done, Rejection> {
        self.meetings.request(key, RequestInput::Command { by, command }).await
    }

    /// The same for a request that may come again under its id: it has one effect.
    pub async fn once(&self, key: &MeetingKey, request: Uuid, by: By, command: Command) -> Result<Done, Rejection> {
        self.meetings.request(key, RequestInput::Once { request, by, command }).await
    }

    /// Erases a person from a meeting.
    pub async fn erase(&self, key: &MeetingKey, user: UserId) -> Result<Done, Rejection> {
        self.meetings.request(key, RequestInput::Erase(user)).await
    }

    /// The log of a meeting after a seq, at most `limit` events.
    pub async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, Rejection> {
        self.meetings.env().store.events(key, after, limit).await.map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &StoreError) -> Rejection {
    tracing::warn!(%error, "the store did not answer");
    match error {
        StoreError::NotFound => Rejection::not_found("there is no such meeting"),
        _ => Rejection::unavailable("the database is out of reach"),
    }
}
