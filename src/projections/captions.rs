//! What was said, in writing: read in the order in which it was said, with the names of those who
//! said it. What an erased person said has no words any more, and is left out.

use super::Projections;
use super::read::{Page, Reader, ask, more};
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId, RoomId};
use serde::Serialize;
use sqlx::{query_as, query_scalar};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A final caption.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
#[schema(as = TranscriptLine)]
pub struct Line {
    /// Who spoke.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// The name that they have now, or had last.
    pub name: String,
    /// The room it belongs to: `main`, or a breakout room's id.
    pub room: String,
    /// The room it was said in, where that was merged into another since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// A language tag, such as `en` or `pt-BR`.
    pub lang: String,
    pub text: String,
    /// Unix milliseconds, UTC.
    pub start_at: Millis,
    pub end_at: Millis,
    #[serde(skip)]
    pub seq: u64,
}

/// A place in a transcript: behind what began at that time and was written down with that event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    pub start_at: Millis,
    pub seq: u64,
}

impl Spoken {
    /// Before everything: no event has this number.
    pub const START: Self = Self { start_at: 0, seq: 0 };
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.start_at, self.seq)
    }
}

impl FromStr for Spoken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (start_at, seq) = text.split_once('_').ok_or(())?;
        Ok(Self { start_at: start_at.parse().map_err(drop)?, seq: seq.parse().map_err(drop)? })
    }
}

/// Which part of a transcript is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A language tag in lower case, or the beginning of one: `en` is in `en-US`. It has no characters
    /// that mean something in patterns.
    pub language: Option<String>,
    pub room: Option<RoomId>,
}

type Row = (i64, Uuid, Option<String>, String, Option<String>, String, String, i64, i64);

fn line((seq, participant, name, room, trail, lang, text, start_at, end_at): Row) -> Line {
    Line {
        participant: ParticipantId(participant),
        name: name.unwrap_or_default(),
        room,
        origin: trail.and_then(|trail| trail.split(' ').next().map(ToOwned::to_owned)),
        lang,
        text,
        start_at: to_u64(start_at),
        end_at: to_u64(end_at),
        seq: to_u64(seq),
    }
}

/// The columns of a line. Of somebody's names the one of their latest stay counts, so that a person has
/// one name in a transcript. `+a.seq` is no column of an index: by that order a planner would walk over
/// the stays of everybody, where the few of one person are what is wanted.
macro_rules! lines {
    ($rest:literal) => {
        concat!(
            "SELECT c.seq, c.participant, (SELECT a.name FROM attendances a WHERE a.tenant = c.tenant \
             AND a.meeting = c.meeting AND a.participant = c.participant ORDER BY +a.seq DESC LIMIT 1), \
             c.room, c.trail, c.lang, c.text, c.start_at, c.end_at FROM captions_view c \
             WHERE c.tenant = $1 AND c.meeting = $2 AND c.text <> '' ",
            $rest,
            " ORDER BY c.start_at, c.seq"
        )
    };
}

impl Projections {
    /// Part of a transcript. Hosts and cohosts read what was said in any room; others what was said in the
    /// rooms they have been in: those it belonged to before a merge as well as the one it belongs to now.
    pub async fn transcript(
        &self,
        key: &MeetingKey,
        wanted: &Wanted,
        reader: Reader,
        after: Spoken,
        limit: usize,
    ) -> Result<Page<Line>, StoreError> {
        let own = match reader {
            Reader::Tenant | Reader::Lead(_) => None,
            Reader::Participant(id) => Some(id.0),
        };
        let rows: Vec<Row> = ask!(
            self,
            fetch_all,
            query_as(concat!(
                lines!(
                    "AND (c.start_at, c.seq) > ($3, $4) AND ($5 IS NULL OR c.room = $5) \
                     AND ($6 IS NULL OR lower(c.lang) = $6 OR lower(c.lang) LIKE $6 || '-%') \
                     AND ($7 IS NULL OR EXISTS (SELECT 1 FROM attendances b WHERE b.tenant = c.tenant \
                     AND b.meeting = c.meeting AND b.participant = $7 \
                     AND (b.room = c.room OR c.trail LIKE '%' || b.room || '%')))"
                ),
                " LIMIT $8"
            )),
            &key.tenant.0,
            key.meeting.0,
            to_i64(after.start_at),
            to_i64(after.seq),
            wanted.room.map(|room| room.to_string()),
            wanted.language.as_deref(),
            own,
            more(limit)
        );
        let place = |line: &Line| Spoken { start_at: line.start_at, seq: line.seq }.to_string();
        Ok(Page::cut(rows.into_iter().map(line).collect(), limit, place))
    }

    /// All that somebody said.
    pub async fn captions_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Line>, StoreError> {
        let rows: Vec<Row> =
            ask!(self, fetch_all, query_as(lines!("AND c.participant = $3")), &key.tenant.0, key.meeting.0, who.0);
        Ok(rows.into_iter().map(line).collect())
    }

    /// Whether there is such a room in the meeting, or was.
    pub async fn knows_room(&self, key: &MeetingKey, room: RoomId) -> Result<bool, StoreError> {
        if room == RoomId::Main {
            return Ok(true);
        }
        let known: i64 = ask!(
            self,
            fetch_one,
            query_scalar(
                "SELECT COUNT(*) FROM (SELECT 1 FROM rooms_view WHERE tenant = $1 AND meeting = $2 AND id = $3 \
                 UNION SELECT 1 FROM attendances WHERE tenant = $1 AND meeting = $2 AND room = $3) known"
            ),
            &key.tenant.0,
            key.meeting.0,
            room.to_string()
        );
        Ok(known > 0)
    }
}
