//! The shapes of sets of rooms over REST: what is asked for, what is answered, and how it is refused.
//! They are written out for OpenAPI, with units and bounds; the bounds themselves are the domain's.

use crate::projections::{Presence, Present};
use convoke_domain::breakout::{Assign, Layout, OpenRooms, PlannedRoom};
use convoke_domain::{ParticipantId, Seq, UserId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// 1 to 128 characters.
    pub name: String,
    /// Ids of people who belong here. Whoever is in the meeting is moved, others come here when they come.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(value_type = Vec<String>)]
    pub participants: Vec<ParticipantId>,
    /// The same by the `sub` of their tokens, also people whom the meeting has not met yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub users: Vec<String>,
}

/// Rooms to be opened, now or later.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBreakout {
    /// At most 100.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rooms: Vec<NewRoom>,
    /// `manual` (the default: as listed, and as the hosts say), `automatic` (everybody who is not listed is
    /// spread evenly, hosts and cohosts excepted) or `self` (everybody chooses).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub assign: Option<Assign>,
    /// From 1 to 604800 seconds; without it the rooms stay open until they are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// How many seconds before the end people are told of it; 60 and 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<u32>>)]
    pub warn_s: Option<Vec<u32>>,
    /// How long the rooms are `closing` before they are closed, from 0 to 600 seconds; 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    /// Whether people may return to the main room by themselves; true where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_return: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
    /// In place of `rooms`: `plan` (what was stored beforehand) or `last` (the set before). Not in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Layout>,
}

impl From<NewBreakout> for OpenRooms {
    fn from(new: NewBreakout) -> Self {
        let NewBreakout { rooms, assign, duration_s, warn_s, grace_s, allow_return, record, from } = new;
        let room = |room: NewRoom| PlannedRoom {
            name: room.name,
            participants: room.participants,
            users: room.users.into_iter().map(UserId).collect(),
        };
        let rooms = rooms.into_iter().map(room).collect();
        Self { rooms, assign, duration_s, warn_s, grace_s, allow_return, record, from }
    }
}

/// The set after what was asked for.
#[derive(Serialize, utoipa::ToSchema)]
pub struct After {
    /// The position in the meeting's log at which it was done.
    #[schema(value_type = u64)]
    pub seq: Seq,
    #[serde(flatten)]
    pub present: Present,
}

/// The set as it is, and who is where.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Shown {
    #[serde(flatten)]
    pub present: Present,
    pub participants: Vec<Presence>,
}

/// How all of these refuse: problem documents with a `code`.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // its variants stand in the OpenAPI document alone
pub enum Refusals {
    #[response(status = 400, description = "`bad_request`: the body is not JSON")]
    NotJson,
    #[response(status = 401, description = "`unauthenticated`: no valid bearer token")]
    Unauthenticated,
    #[response(status = 403, description = "`not_permitted`: the role, or the set's rules, do not allow it")]
    NotPermitted,
    #[response(
        status = 404,
        description = "`not_found`: an unknown meeting, or another tenant's; an unknown room or participant"
    )]
    Unknown,
    #[response(
        status = 409,
        description = "`wrong_state`: no set is open, or one is already, or the room is closing or closed; \
                       `capacity`: more than 100 rooms; `conflict`: an Idempotency-Key with another body, or a \
                       deadline behind the meeting's own end"
    )]
    WrongState,
    #[response(
        status = 413,
        description = "`too_large`: a body, a name of more than 128 or a text of more than 4000 characters"
    )]
    TooLarge,
    #[response(status = 422, description = "`bad_request`: wrong data, such as a person or a room listed twice")]
    WrongData,
    #[response(status = 429, description = "`rate_limited`: see `Retry-After`")]
    TooMany,
    #[response(status = 503, description = "`unavailable`: a retry is safe")]
    Unavailable,
}
