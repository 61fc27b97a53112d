//! The read models: what REST shows, built from the log. One projector a node follows the meetings
//! that grow, by hints and by comparing heads with cursors, a stretch at a time. Each meeting's events
//! are applied in one transaction with its cursor, so nothing is applied twice; dropping the tables
//! and the cursors rebuilds everything. What integrators are told of is written down in the same
//! transaction ([`crate::webhooks`]). Erasure in the log is carried out here too, driven by the
//! log, so a crash in the middle only means that it is done again.

mod captions;
mod change;
mod idempotency;
mod polled;
mod polls;
mod present;
mod read;
mod recorded;
mod recordings;
mod report;
mod rooms;
mod sql;
mod whiteboards;
mod write;

pub use captions::{Line, Spoken, Wanted};
pub use idempotency::Reserved;
pub use polled::{Answered, CastVote, Vote, Which, chosen};
pub use present::{Presence, Present, PresentRoom};
pub use read::{Attendance, InvitationRow, Page, Place, Reader};
pub use recorded::{Consent, File, Kept, Listed};
pub use report::{Attendee, Bounds, OptionTold, PollTold, QuestionTold, Report, RoomTotals, Stay, Totals};
pub(crate) use sql::{Statement, Value};
pub use whiteboards::{Board, Drawn};
pub use write::Stretch;
pub(crate) use write::run;

use self::write::STRETCH;
use crate::adapters::store::Db;
use crate::webhooks::{self, Notice};
use convoke_actors::meeting::{decode, row_of};
use convoke_actors::ports::{EventRow, MeetingKey, Store, StoreError};
use convoke_actors::supervisor::Meetings;
use convoke_domain::event::Recorded;
use convoke_domain::{Event, ParticipantId, Seq, UserId, redact};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

const PAGE: u32 = 500;
/// What hints missed is found this often.
const SCAN: Duration = Duration::from_secs(10);
const GATHER: Duration = Duration::from_millis(500);
/// Cursors that are remembered between passes.
const CURSORS_MAX: usize = 100_000;

/// Part of one meeting's log, applied.
struct Step<'a> {
    key: &'a MeetingKey,
    from: Seq,
    to: Seq,
    /// The log ended here.
    is_last: bool,
    changes: Vec<change::Change>,
    /// What integrators are told.
    notices: Vec<Notice>,
}

#[derive(Clone)]
pub struct Projections {
    store: Arc<dyn Store>,
    db: Db,
    /// How far the read models go, as far as is remembered; locked by the one who writes. The
    /// cursor's condition guards against other nodes.
    cursors: Arc<Mutex<HashMap<MeetingKey, Seq>>>,
    /// Told when integrators are to be told something.
    told: Arc<Notify>,
}

impl Projections {
    pub fn new(store: Arc<dyn Store>, db: Db) -> Self {
        Self { store, db, cursors: Arc::default(), told: Arc::default() }
    }

    /// Wakes this when integrators are to be told something.
    pub fn telling(self, told: Arc<Notify>) -> Self {
        Self { told, ..self }
    }

    /// Follows the logs for ever. What has grown is gathered for a while, so that a busy meeting
    /// costs no more transactions than a quiet one; what was not noted here, the scan finds.
    pub async fn run(self, meetings: Meetings) {
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pass = tokio::time::interval(GATHER);
        pass.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Round and round, a stretch at a time.
        let mut scanned = None;
        loop {
            let keys = tokio::select! {
                _ = scan.tick() => match self.behind(scanned.as_ref(), STRETCH).await {
                    Ok(Stretch { behind, next }) => {
                        scanned = next;
                        behind
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the projections cannot be read");
                        Vec::new()
                    }
                },
                _ = pass.tick() => meetings.take_grown().into_iter().collect(),
            };
            if keys.is_empty() || self.follow(&keys).await.is_ok() {
                continue;
            }
            // One that cannot be read does not hold up the others.
            for key in &keys {
                if let Err(error) = self.catch_up(key).await {
                    tracing::warn!(%error, meeting = %key.meeting, "a projection is behind");
                }
            }
        }
    }

    /// Brings one meeting's read models up to the end of its log.
    pub async fn catch_up(&self, key: &MeetingKey) -> Result<(), StoreError> {
        self.follow(std::slice::from_ref(key)).await
    }

    /// Brings these meetings up to the ends of their logs, a transaction a pass for all of them.
    async fn follow(&self, keys: &[MeetingKey]) -> Result<(), StoreError> {
        let mut cursors = self.cursors.lock().await;
        let mut open: Vec<&MeetingKey> = keys.iter().collect();
        while !open.is_empty() {
            let mut steps = Vec::new();
            for key in open {
                let from = match cursors.remove(key) {
                    Some(known) => known,
                    None => self.cursor(key).await?,
                };
                let rows = self.store.events(key, from, PAGE).await?;
                let Some(to) = rows.last().map(|row| row.seq) else { continue };
                let page = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
                let mut changes = Vec::new();
                for recorded in &page {
                    self.erase_in_log(key, &page, recorded).await?;
                    changes.extend(change::changes(recorded));
                }
                let is_last = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
                let notices = webhooks::notices(key, &rows);
                steps.push(Step { key, from, to, is_last, changes, notices });
            }
            let read: Vec<(&MeetingKey, bool)> = steps.iter().map(|step| (step.key, step.is_last)).collect();
            let written = self.write(steps).await?;
            // Only what is written is remembered. Where another node moved the cursor meanwhile, it is
            // read again, and what that node has not done is done.
            let is_open = |(key, is_last): &(&MeetingKey, bool)| !is_last || !written.contains_key(key);
            open = read.into_iter().filter(is_open).map(|(key, _)| key).collect();
            if cursors.len().saturating_add(written.len()) > CURSORS_MAX {
                cursors.clear();
            }
            cursors.extend(written);
        }
        Ok(())
    }

    /// Overwrites in the log what this event, one of a page, says is to be forgotten.
    async fn erase_in_log(&self, key: &MeetingKey, page: &[Recorded], recorded: &Recorded) -> Result<(), StoreError> {
        match &recorded.event {
            Event::ChatDeleted { message, .. } => {
                let id = message.id;
                self.overwrite(key, recorded.seq, |recorded| redact::message(&mut recorded.event, id)).await
            }
            Event::AnonymityEnded { of, .. } => self.forget_anonymous(key, page, of, recorded.seq).await,
            Event::PersonErased { participant } => {
                let id = *participant;
                // Nobody knows the user any more who has been overwritten; then all else has been, too.
                let users = self.users_of(key, recorded.seq, id).await?;
                let change = |recorded: &mut Recorded| {
                    let mut is_changed = redact::person(&mut recorded.event, id);
                    users.iter().for_each(|user| is_changed |= redact::user(&mut recorded.event, user));
                    is_changed
                };
                self.overwrite(key, recorded.seq, change).await
            }
            _ => Ok(()),
        }
    }

    /// Takes a user off the lists of rooms in a meeting's log. Until this is done the meeting is found
    /// again by `meetings_listing`, so an erasure that broke off is finished by repeating it.
    pub async fn unlist(&self, key: &MeetingKey, upto: Seq, user: &UserId) -> Result<(), StoreError> {
        self.overwrite(key, upto, |recorded| redact::user(&mut recorded.event, user)).await?;
        self.forget_listed(key, user).await
    }

    /// The users that the log up to there says this person is.
    async fn users_of(&self, key: &MeetingKey, upto: Seq, id: ParticipantId) -> Result<BTreeSet<UserId>, StoreError> {
        let mut users = BTreeSet::new();
        let mut cursor = Seq(0);
        while cursor < upto {
            let rows = self.store.events(key, cursor, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            cursor = last;
            for row in rows.iter().filter(|row| row.seq <= upto && row.kind == "session.opened") {
                users.extend(redact::user_of(&decode(row)?.event, id).cloned());
            }
        }
        Ok(users)
    }

    /// Overwrites what was done under these keys. A busy room closes many questions, one by one, and each
    /// would read the whole log: so only what may tell something is read, from where the first of them began.
    async fn forget_anonymous(
        &self,
        key: &MeetingKey,
        page: &[Recorded],
        of: &BTreeSet<Uuid>,
        upto: Seq,
    ) -> Result<(), StoreError> {
        let mut cursor = self.begun_after(key, page, of).await?;
        // It is overwritten all at once: where the keys are gone, so is the rest. The page may have been
        // read before that.
        let mut held = of.clone();
        for row in self.begun(key, cursor, upto).await? {
            if let Event::AnonymityBegun { of: id, key } = decode(&row)?.event
                && key.is_nil()
            {
                held.remove(&id);
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        let mut changed = Vec::new();
        loop {
            let rows = self.veiled(key, cursor, upto, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            cursor = last;
            changed.extend(overwritten(&rows, |recorded| redact::anonymous(recorded, of))?);
        }
        self.store.overwrite(key, &changed, upto).await
    }

    /// Changes what events up to there say, all of it at once.
    async fn overwrite(
        &self,
        key: &MeetingKey,
        upto: Seq,
        change: impl Fn(&mut Recorded) -> bool,
    ) -> Result<(), StoreError> {
        let mut cursor = Seq(0);
        let mut changed: Vec<EventRow> = Vec::new();
        while cursor < upto {
            let rows = self.store.events(key, cursor, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            cursor = last;
            let before = rows.partition_point(|row| row.seq <= upto);
            changed.extend(overwritten(rows.get(..before).unwrap_or_default(), &change)?);
        }
        self.store.overwrite(key, &changed, upto).await
    }
}

/// Those of the rows that the change concerns, with what they say then, and what they say they came of.
fn overwritten(rows: &[EventRow], change: impl Fn(&mut Recorded) -> bool) -> Result<Vec<EventRow>, StoreError> {
    let mut changed = Vec::new();
    for row in rows {
        let mut recorded = decode(row)?;
        if change(&mut recorded) {
            changed.push(EventRow { data: row_of(&recorded).data, cause: recorded.cause, ..row.clone() });
        }
    }
    Ok(changed)
}
