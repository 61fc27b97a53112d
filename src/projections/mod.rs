//! The read models: what REST shows, built from the log. One projector a node follows the meetings
//! that grow, by hints and, once a second, by comparing heads with cursors. Each meeting's events
//! are applied in one transaction with its cursor, so nothing is applied twice; dropping the tables
//! and the cursors rebuilds everything. Erasure in the log is carried out here too, driven by the
//! log, so a crash in the middle only means that it is done again.

mod change;
mod read;
mod write;

pub use read::{Attendance, InvitationRow, Page, Reader, Reserved};

use crate::adapters::store::Db;
use convoke_actors::meeting::{decode, row_of};
use convoke_actors::ports::{EventRow, MeetingKey, Store, StoreError};
use convoke_domain::event::Recorded;
use convoke_domain::{Event, Seq, redact};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast};

const PAGE: u32 = 500;
const SCAN: Duration = Duration::from_secs(1);
const SCAN_MAX: i64 = 200;

#[derive(Clone)]
pub struct Projections {
    store: Arc<dyn Store>,
    db: Db,
    /// One writer at a time; the cursor's condition guards against other nodes.
    writing: Arc<Mutex<()>>,
}

impl Projections {
    pub fn new(store: Arc<dyn Store>, db: Db) -> Self {
        Self { store, db, writing: Arc::new(Mutex::new(())) }
    }

    /// Follows the logs until the hints end.
    pub async fn run(self, mut hints: broadcast::Receiver<(MeetingKey, Seq)>) {
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let behind = tokio::select! {
                hint = hints.recv() => match hint {
                    Ok((key, _)) => vec![key],
                    // Missed hints are found by the scan.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = scan.tick() => match self.behind(SCAN_MAX).await {
                    Ok(keys) => keys,
                    Err(error) => {
                        tracing::warn!(%error, "the projections cannot be read");
                        continue;
                    }
                },
            };
            for key in behind {
                if let Err(error) = self.catch_up(&key).await {
                    tracing::warn!(%error, meeting = %key.meeting, "a projection is behind");
                }
            }
        }
    }

    /// Brings one meeting's read models up to the end of its log.
    pub async fn catch_up(&self, key: &MeetingKey) -> Result<(), StoreError> {
        let _one = self.writing.lock().await;
        loop {
            let cursor = self.cursor(key).await?;
            let rows = self.store.events(key, cursor, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { return Ok(()) };
            let mut changes = Vec::new();
            for row in &rows {
                let recorded = decode(row)?;
                self.erase_in_log(key, &recorded).await?;
                changes.extend(change::changes(&recorded));
            }
            self.write(key, cursor, last, changes).await?;
        }
    }

    /// Overwrites in the log what this event says is to be forgotten.
    async fn erase_in_log(&self, key: &MeetingKey, recorded: &Recorded) -> Result<(), StoreError> {
        match &recorded.event {
            Event::ChatDeleted { message, .. } => {
                let id = message.id;
                self.overwrite(key, recorded.seq, |event| redact::message(event, id)).await
            }
            Event::PersonErased { participant } => {
                let id = *participant;
                self.overwrite(key, recorded.seq, |event| redact::person(event, id)).await
            }
            _ => Ok(()),
        }
    }

    async fn overwrite(
        &self,
        key: &MeetingKey,
        upto: Seq,
        change: impl Fn(&mut Event) -> bool,
    ) -> Result<(), StoreError> {
        let mut cursor = Seq(0);
        let mut changed: Vec<EventRow> = Vec::new();
        while cursor < upto {
            let rows = self.store.events(key, cursor, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            cursor = last;
            for row in rows.iter().filter(|row| row.seq <= upto) {
                let mut recorded = decode(row)?;
                if change(&mut recorded.event) {
                    changed.push(EventRow { data: row_of(&recorded).data, ..row.clone() });
                }
            }
        }
        self.store.overwrite(key, &changed, upto).await
    }
}
