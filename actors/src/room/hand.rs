//! One room as its actor sees it: what is wanted, what was made of it, and the one call to the media
//! that is to be made next. The calls are chosen one by one, each from the newest that is wanted, so
//! nobody is removed by an older word. Nothing here is lost that the meeting could not say again.

use super::calls::{Call, Called};
use super::migration::Migrations;
use super::recording::Recording;
use super::words::{ToRoom, Wanted, Word};
use crate::ports::MediaRoom;
use convoke_domain::{ParticipantId, RoomId, SessionId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a room is put right that nothing is known to be wrong with; and by how much rooms differ
/// in it, so that not all of them come at once.
const INTERVAL: Duration = Duration::from_secs(30);
const SPREAD_MS: u64 = 3_000;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Whoever goes elsewhere has this long to leave by themselves.
const LEAVING: Duration = Duration::from_secs(1);
/// Somebody whom nobody ever wanted here may be ahead of the word that wants them.
const SUSPICION: Duration = Duration::from_secs(5);
/// How soon the lease is asked for again.
const LEASE_LOOK: Duration = Duration::from_secs(1);

pub struct Hand {
    wanted: Arc<Wanted>,
    sessions: BTreeSet<SessionId>,
    recording: Recording,
    migrations: Migrations,
    /// What was ensured last, and until when that is believed.
    made: Option<(MediaRoom, bool)>,
    ensure_at: Instant,
    interval: Duration,
    /// A generation that was replaced.
    former: Option<MediaRoom>,
    look_at: Instant,
    looked_at: Option<Instant>,
    /// Sessions that were wanted here and are not any more.
    revoked: BTreeSet<SessionId>,
    /// Sessions that were never wanted here and were there at the last look.
    suspects: BTreeSet<SessionId>,
    expelled: BTreeSet<SessionId>,
    rest_until: Instant,
    backoff: Duration,
    is_gone: bool,
    arrived: BTreeSet<ParticipantId>,
    late: BTreeSet<ParticipantId>,
    missing_told: BTreeSet<ParticipantId>,
}

fn interval_of(media: &MediaRoom) -> Duration {
    let id = match media.room {
        RoomId::Main => media.key.meeting.0,
        RoomId::Breakout(id) => id,
    };
    let (_, low) = id.as_u64_pair();
    INTERVAL.saturating_add(Duration::from_millis(low % SPREAD_MS))
}

impl Hand {
    pub fn new(wanted: Arc<Wanted>, now: Instant) -> Self {
        Self {
            sessions: wanted.sessions(),
            recording: Recording::default(),
            migrations: Migrations::default(),
            made: None,
            ensure_at: now,
            interval: interval_of(&wanted.media),
            former: None,
            look_at: now,
            looked_at: None,
            revoked: BTreeSet::new(),
            suspects: BTreeSet::new(),
            expelled: BTreeSet::new(),
            rest_until: now,
            backoff: BACKOFF_FIRST,
            is_gone: false,
            arrived: BTreeSet::new(),
            late: BTreeSet::new(),
            missing_told: BTreeSet::new(),
            wanted,
        }
    }

    /// Its media room is deleted, as was wanted.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub fn take(&mut self, word: ToRoom, now: Instant) {
        match word {
            ToRoom::Wanted(wanted) => self.want(wanted, now),
            ToRoom::Migrate(migrate) => self.migrations.expect(&migrate.people, now),
            ToRoom::Arrived(people) => self.arrive(people),
        }
    }

    fn want(&mut self, wanted: Arc<Wanted>, now: Instant) {
        let sessions = wanted.sessions();
        self.revoked.extend(self.sessions.difference(&sessions).copied());
        self.revoked.retain(|session| !sessions.contains(session));
        if self.sessions.difference(&sessions).next().is_some() {
            self.look_at = self.look_at.min(now.checked_add(LEAVING).unwrap_or(now));
        }
        self.sessions = sessions;
        self.migrations.keep(|id| wanted.people.contains_key(&id));
        self.wanted = wanted;
    }

    fn arrive(&mut self, people: impl IntoIterator<Item = ParticipantId>) {
        self.arrived.extend(self.migrations.arrived(people));
    }

    /// What time brings. Where the media says itself who is there, nobody is missing before it was asked.
    pub fn pass_time(&mut self, now: Instant, reports_presence: bool) {
        self.recording = self.recording.next(self.wanted.is_recorded, self.wanted.is_attended(), now);
        let by = if reports_presence { self.looked_at } else { Some(now) };
        self.late.extend(by.map(|by| self.migrations.late(by)).unwrap_or_default());
        if self.migrations.next_at().is_some_and(|until| until <= now) {
            self.look_at = self.look_at.min(now);
        }
    }

    /// What the meeting is to hear.
    pub fn news(&mut self) -> Vec<Word> {
        let mut news = Vec::new();
        if !self.arrived.is_empty() {
            news.push(Word::Arrived(std::mem::take(&mut self.arrived)));
        }
        let missing = self.migrations.missing();
        if missing != self.missing_told {
            self.missing_told.clone_from(&missing);
            news.push(Word::Missing { missing, late: std::mem::take(&mut self.late) });
        }
        news
    }

    pub fn next_call(&self, now: Instant) -> Option<Call> {
        let room = self.wanted.media.clone();
        if now < self.rest_until || self.is_gone {
            return None;
        }
        if self.wanted.is_closed() {
            return Some(Call::Delete { room: self.former.clone().unwrap_or(room) });
        }
        let is_recorded = self.recording.is_on();
        let is_made = self.made.as_ref().is_some_and(|made| *made == (room.clone(), is_recorded));
        if !is_made || now >= self.ensure_at {
            return Some(Call::Ensure { room, is_recorded });
        }
        if let Some(former) = &self.former {
            return Some(Call::Delete { room: former.clone() });
        }
        if now >= self.look_at {
            return Some(Call::Look { room });
        }
        let session = self.expelled.difference(&self.sessions).next().copied()?;
        Some(Call::Remove { room, session })
    }

    pub fn called(&mut self, call: Call, outcome: Called, now: Instant) {
        let interval = self.interval;
        let after = |wait: Duration| now.checked_add(wait).unwrap_or(now);
        match outcome {
            Called::Withheld => {
                self.rest_until = after(LEASE_LOOK);
                return;
            }
            Called::Failed => {
                self.rest_until = after(self.backoff);
                self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
                return;
            }
            Called::There(there) => {
                self.looked_at = Some(now);
                self.look_at = after(interval);
                self.look_over(there.unwrap_or_default(), after(SUSPICION));
            }
            Called::Done => match call {
                Call::Ensure { room, is_recorded } => {
                    let before = self.made.replace((room.clone(), is_recorded)).map(|(before, _)| before);
                    self.former = self.former.take().or(before.filter(|before| *before != room));
                    self.ensure_at = after(interval);
                }
                Call::Delete { room } => {
                    self.former.take_if(|former| *former == room);
                    self.is_gone = self.wanted.is_closed() && self.wanted.media == room;
                }
                Call::Remove { session, .. } => drop(self.expelled.remove(&session)),
                Call::Look { .. } => {}
            },
        }
        self.backoff = BACKOFF_FIRST;
    }

    /// Whoever was wanted once, or was a stranger at the last look too, has to go.
    fn look_over(&mut self, there: BTreeSet<SessionId>, again_at: Instant) {
        let has_come =
            |id: &ParticipantId| self.wanted.people.get(id).is_some_and(|person| !person.sessions.is_disjoint(&there));
        let come: Vec<ParticipantId> = self.wanted.people.keys().filter(|id| has_come(id)).copied().collect();
        self.arrive(come);
        self.revoked.retain(|session| there.contains(session));
        let strangers = there.difference(&self.sessions).copied();
        let known = |session: &SessionId| self.revoked.contains(session) || self.suspects.contains(session);
        (self.expelled, self.suspects) = strangers.partition(known);
        if !self.suspects.is_empty() {
            self.look_at = self.look_at.min(again_at);
        }
    }

    /// When there is something to do next, if nobody says anything before. What waits for a call
    /// under way needs no timer.
    pub fn next_at(&self, now: Instant, is_calling: bool) -> Option<Instant> {
        let of_call = match self.wanted.is_closed() {
            true => self.rest_until,
            false => self.ensure_at.min(self.look_at).max(self.rest_until),
        };
        let of_call = (!is_calling).then_some(of_call);
        let to_come =
            [self.recording.stops_at(), self.migrations.next_at()].into_iter().flatten().filter(|at| *at > now);
        of_call.into_iter().chain(to_come).min()
    }
}

#[cfg(test)]
mod tests;
