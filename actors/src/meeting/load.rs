//! Rebuilding a meeting: take it (a new term fences whoever had it), read the newest snapshot and
//! the log behind it, and fold. The log's last events go into the ring too, so that sessions resume
//! exactly even after a crash.

use super::ring::{EVENTS_MAX, Ring};
use crate::frame;
use crate::ports::{EventRow, MeetingKey, NodeLife, Snapshot, StoreError, Taken};
use crate::supervisor::Env;
use convoke_domain::apply;
use convoke_domain::event::Recorded;
use convoke_domain::{Audience, Event, Meeting, Seq};
use serde_json::value::RawValue;

const PAGE: u32 = 1_000;
/// The version that snapshots are written in; another one is ignored and the log is read.
pub const SNAPSHOT_VERSION: u16 = 4;

pub struct Loaded {
    /// The life of the node that took it.
    pub life: NodeLife,
    pub taken: Taken,
    pub state: Meeting,
    pub ring: Ring,
    pub snapshot_seq: Seq,
}

pub async fn load(env: &Env, key: &MeetingKey) -> Result<Loaded, StoreError> {
    let lapsed = || StoreError::Unavailable("the node's lease has run out".into());
    let life = env.life.valid().ok_or_else(lapsed)?;
    let taken = env.store.take(key, &life).await?;
    if let Some(reason) = &taken.failed {
        return Err(StoreError::Corrupt(reason.clone()));
    }
    match read(env, key, life, &taken).await {
        Err(StoreError::Corrupt(reason)) => {
            // Visible to operators, and never tried again on its own.
            env.store.mark_failed(key, Some(&reason)).await?;
            Err(StoreError::Corrupt(reason))
        }
        other => other,
    }
}

async fn read(env: &Env, key: &MeetingKey, life: NodeLife, taken: &Taken) -> Result<Loaded, StoreError> {
    let snapshot = env.store.snapshot(key).await?.and_then(decode_snapshot);
    let snapshot_seq = snapshot.as_ref().map_or(Seq(0), |state| state.seq);
    let ring_after = Seq(taken.seq.0.saturating_sub(u64::try_from(EVENTS_MAX).unwrap_or(u64::MAX)));
    let mut cursor = snapshot_seq.min(ring_after);
    let mut ring = Ring::starting_after(cursor);
    let mut state = snapshot;
    while cursor < taken.seq {
        let rows = env.store.events(key, cursor, PAGE).await?;
        if rows.is_empty() {
            return Err(StoreError::Corrupt(format!("the log ends at {cursor}, its head says {}", taken.seq)));
        }
        for row in rows {
            if row.seq != cursor.next() {
                return Err(StoreError::Corrupt(format!("after {cursor} the log goes on with {}", row.seq)));
            }
            cursor = row.seq;
            let recorded = decode(&row)?;
            state = match state {
                None => apply::create(&recorded),
                Some(mut state) => {
                    if state.seq < recorded.seq {
                        apply::apply(&mut state, &recorded, &env.limits);
                    }
                    Some(state)
                }
            };
            if recorded.audience != Audience::Nobody {
                let message = frame::event(row.seq, row.at, &row.kind, &row.data);
                ring.push(row.seq, recorded.audience, message);
            }
        }
    }
    match state {
        Some(state) => Ok(Loaded { life, taken: taken.clone(), state, ring, snapshot_seq }),
        None => Err(StoreError::Corrupt("the log does not begin with a meeting".to_owned())),
    }
}

fn decode_snapshot(snapshot: Snapshot) -> Option<Meeting> {
    if snapshot.version != SNAPSHOT_VERSION {
        return None;
    }
    serde_json::from_str::<Meeting>(&snapshot.state)
        .inspect_err(|error| tracing::warn!(%error, "a snapshot cannot be read; the log is read instead"))
        .ok()
}

/// The event that a stored row holds.
pub fn decode(row: &EventRow) -> Result<Recorded, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("event {}: {error}", row.seq));
    let data: &RawValue = serde_json::from_str(&row.data).map_err(corrupt)?;
    let whole = format!(r#"{{"type":"{}","data":{}}}"#, row.kind, data.get());
    let event: Event = serde_json::from_str(&whole).map_err(|error| match error.to_string() {
        // A newer version of this program wrote it, which serves the meeting in this one's place.
        unknown if unknown.starts_with("unknown variant") => {
            StoreError::Unavailable(format!("event {} is of a newer version: {}", row.seq, row.kind))
        }
        _ => corrupt(error),
    })?;
    let audience: Audience = serde_json::from_str(&row.audience).map_err(corrupt)?;
    Ok(Recorded { seq: row.seq, at: row.at, cause: row.cause, audience, event })
}

/// An event as it is stored; its payload is encoded once, for the store and for every client.
pub fn row_of(recorded: &Recorded) -> EventRow {
    #[derive(serde::Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let whole = frame::json(&recorded.event);
    let data = serde_json::from_str::<Whole<'_>>(&whole).map_or("{}", |whole| whole.data.get());
    EventRow {
        seq: recorded.seq,
        at: recorded.at,
        kind: recorded.event.kind().to_owned(),
        version: convoke_domain::event::EVENT_VERSION,
        audience: frame::json(&recorded.audience),
        cause: recorded.cause,
        data: data.into(),
    }
}
