//! One room as its actor sees it: what is wanted, what was made of it, and the one call to the media
//! that is to be made next. The calls are chosen one by one, each from the newest that is wanted, so
//! nobody is removed by an older word. Nothing here is lost that the meeting could not say again.

use super::calls::{Call, Called};
use super::migration::Migrations;
use super::people::{Deed, People, SUSPICION};
use super::recording::{Recorders, Step};
use super::words::{ToRoom, Wanted, Word};
use crate::ports::{Glance, Guest, MediaRoom};
use convoke_domain::recording::Observation;
use convoke_domain::{ParticipantId, RoomId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a room is put right that nothing is known to be wrong with; and by how much rooms differ
/// in it, so that not all of them come at once.
const INTERVAL: Duration = Duration::from_secs(30);
const SPREAD_MS: u64 = 3_000;
/// How old the listing may be that says whether a room is there.
const GLANCE_AGE: Duration = Duration::from_secs(20);
/// Who is in a room is looked at so often, whatever the listing says: that a track was muted, or that one took
/// another's place, is told by a webhook that may be lost, or by none.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks for news, and what each device there adds to it: looking costs the media server more
/// the more of them there are.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
const LOOK_DEVICE: Duration = Duration::from_millis(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Whoever goes elsewhere has this long to leave by themselves.
const LEAVING: Duration = Duration::from_secs(1);
/// How soon people are looked at again of whom something could not be done.
const LOOK_FAILED: Duration = Duration::from_secs(2);
/// How long a room that is closed waits for what runs in it to be ended.
const CLOSING: Duration = Duration::from_secs(5);
/// Former generations that are put away by whoever takes a meeting over.
const FORMERS_MAX: usize = 16;
/// How soon the lease is asked for again.
const LEASE_LOOK: Duration = Duration::from_secs(1);

pub struct Hand {
    wanted: Arc<Wanted>,
    sessions: BTreeSet<SessionId>,
    people: People,
    recorders: Recorders,
    migrations: Migrations,
    /// What was ensured last.
    made: Option<MediaRoom>,
    /// When it is next asked whether the room is still there.
    glance_at: Instant,
    interval: Duration,
    /// Generations that were replaced, and may still be there.
    formers: BTreeSet<MediaRoom>,
    /// Rooms of the meeting that nobody looks after, as they were at the last glance; and those that were
    /// so at the glance before, too.
    strays: BTreeSet<(RoomId, u32)>,
    condemned: BTreeSet<(RoomId, u32)>,
    look_at: Instant,
    /// When the latest look was asked for, and when the latest answer came.
    look_began_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// When something was last wanted that a look from before does not answer.
    worded_at: Instant,
    closed_at: Option<Instant>,
    rest_until: Instant,
    /// Kinds of calls that failed, until when they rest, and how long they did.
    rests: BTreeMap<Kind, (Instant, Duration)>,
    /// Its media room is deleted, as was wanted.
    is_deleted: bool,
    arrived: BTreeSet<ParticipantId>,
    late: BTreeSet<ParticipantId>,
    missing_told: BTreeSet<ParticipantId>,
    seen: Vec<Observation>,
}

fn interval_of(media: &MediaRoom) -> Duration {
    let id = match media.room {
        RoomId::Main => media.key.meeting.0,
        RoomId::Breakout(id) => id,
    };
    let (_, low) = id.as_u64_pair();
    INTERVAL.saturating_add(Duration::from_millis(low % SPREAD_MS))
}

/// Something at the media server was not as it was left.
fn repaired(what: &'static str) {
    metrics::counter!("convoke_media_repairs_total", "what" => what).increment(1);
}

impl Hand {
    pub fn new(wanted: Arc<Wanted>, now: Instant) -> Self {
        Self {
            sessions: wanted.sessions(),
            people: People::default(),
            recorders: Recorders::new(now),
            migrations: Migrations::default(),
            made: None,
            glance_at: now,
            interval: interval_of(&wanted.media),
            // Of an owner that died nobody knows what it had put away.
            formers: (0..wanted.media.generation)
                .rev()
                .take(FORMERS_MAX)
                .map(|generation| MediaRoom { generation, ..wanted.media.clone() })
                .collect(),
            strays: BTreeSet::new(),
            condemned: BTreeSet::new(),
            look_at: now,
            look_began_at: None,
            looked_at: None,
            worded_at: now,
            closed_at: None,
            rest_until: now,
            rests: BTreeMap::new(),
            is_deleted: false,
            arrived: BTreeSet::new(),
            late: BTreeSet::new(),
            missing_told: BTreeSet::new(),
            seen: Vec::new(),
            wanted,
        }
    }

    /// Nothing is left of it, as was wanted.
    pub fn is_gone(&self) -> bool {
        self.is_deleted && self.wanted.recordings.is_empty()
    }

    pub fn take(&mut self, word: ToRoom, now: Instant) {
        match word {
            ToRoom::Wanted(wanted) => self.want(wanted, now),
            ToRoom::Migrate(migrate) => self.migrations.expect(&migrate.people, now),
            ToRoom::Arrived(people) => self.arrive(people),
            ToRoom::Changed => self.look_within(now, Duration::ZERO),
            ToRoom::Takes(takes) => {
                let news = self.recorders.news(takes, &self.wanted, now);
                self.seen.extend(news);
            }
        }
    }

    fn want(&mut self, wanted: Arc<Wanted>, now: Instant) {
        let sessions = wanted.sessions();
        self.people.revoke(self.sessions.difference(&sessions).copied(), now);
        self.people.want(&sessions);
        self.people.heard(&self.wanted, &wanted);
        if self.sessions.difference(&sessions).next().is_some() {
            self.look_within(now, LEAVING);
        }
        self.sessions = sessions;
        self.migrations.keep(|id| wanted.people.contains_key(&id));
        if wanted.media != self.wanted.media {
            self.formers.insert(self.wanted.media.clone());
            self.people.forget();
            self.look_within(now, Duration::ZERO);
        }
        self.formers.remove(&wanted.media);
        self.recorders.want(&wanted, now);
        let is_new = wanted.recordings.keys().any(|id| !self.wanted.recordings.contains_key(id));
        if is_new || self.people.has_unmuted(&wanted) {
            self.worded_at = now;
            self.look_within(now, Duration::ZERO);
        }
        if !wanted.is_closed() {
            self.closed_at = None;
        }
        self.wanted = wanted;
    }

    /// Who is there is looked at in so long at the latest, though not all the time.
    fn look_within(&mut self, now: Instant, wait: Duration) {
        let devices = u32::try_from(self.people.there().map_or(0, BTreeMap::len)).unwrap_or(u32::MAX);
        let gap = LOOK_AGAIN.saturating_add(LOOK_DEVICE.saturating_mul(devices));
        let wanted_at = now.checked_add(wait).unwrap_or(now);
        let allowed_at = self.looked_at.and_then(|at| at.checked_add(gap)).unwrap_or(now);
        self.look_at = self.look_at.min(wanted_at.max(allowed_at));
    }

    fn arrive(&mut self, people: impl IntoIterator<Item = ParticipantId>) {
        self.arrived.extend(self.migrations.arrived(people));
    }

    /// What time brings. Where the media says itself who is there, nobody is missing before it was asked.
    pub fn pass_time(&mut self, now: Instant, reports_presence: bool) {
        let by = if reports_presence { self.looked_at } else { Some(now) };
        self.late.extend(by.map(|by| self.migrations.late(by)).unwrap_or_default());
        if self.migrations.next_at().is_some_and(|until| until <= now) {
            self.look_at = self.look_at.min(now);
        }
        self.seen.extend(self.recorders.doubts(&self.wanted, now));
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
        if !self.seen.is_empty() {
            news.push(Word::Seen(std::mem::take(&mut self.seen)));
        }
        news
    }

    /// Each kind of call rests by itself when it failed, so that what the media cannot do keeps nothing
    /// else from being done.
    pub fn next_call(&mut self, now: Instant, has_recorder: bool) -> Option<Call> {
        if now < self.rest_until || self.is_gone() {
            return None;
        }
        let call = self.choose(now, has_recorder)?;
        if let Call::Look { .. } = call {
            // What is asked for meanwhile is another look.
            self.look_began_at = Some(now);
            self.look_at = now.checked_add(LOOK).unwrap_or(now);
        }
        Some(call)
    }

    fn may(&self, kind: Kind, now: Instant) -> bool {
        self.rests.get(&kind).is_none_or(|(until, _)| *until <= now)
    }

    fn choose(&mut self, now: Instant, has_recorder: bool) -> Option<Call> {
        let room = self.wanted.media.clone();
        if self.wanted.is_closed() {
            return self.choose_closed(now, has_recorder);
        }
        if self.made.as_ref() != Some(&room) && self.may(Kind::Ensure, now) {
            return Some(Call::Ensure { room });
        }
        if let Some(former) = self.formers.first().filter(|_| self.may(Kind::Delete, now)) {
            return Some(Call::Delete { room: former.clone() });
        }
        if now >= self.look_at && self.may(Kind::Look, now) {
            return Some(Call::Look { room });
        }
        let is_fresh = self.look_began_at.is_some_and(|at| at >= self.worded_at);
        if self.may(Kind::Deed, now)
            && let Some(deed) = self.people.next_deed(&self.wanted, is_fresh)
        {
            return Some(Call::Deed { room, deed });
        }
        let is_seen = is_fresh && self.people.is_in_line(&self.wanted);
        if let Some(step) = self.step(now, is_seen, has_recorder) {
            return Some(step);
        }
        if let Some((room, generation)) = self.condemned.first().copied().filter(|_| self.may(Kind::Delete, now)) {
            let key = self.wanted.media.key.clone();
            return Some(Call::Delete { room: MediaRoom { key, room, generation } });
        }
        let age_max = if self.strays.is_empty() { GLANCE_AGE } else { Duration::from_secs(1) };
        let is_due = now >= self.glance_at && self.may(Kind::Glance, now);
        is_due.then_some(Call::Glance { key: room.key, age_max })
    }

    /// What runs in a room ends before the room does, if it does so soon.
    fn choose_closed(&mut self, now: Instant, has_recorder: bool) -> Option<Call> {
        let closed_at = *self.closed_at.get_or_insert(now);
        let waits = has_recorder && now.duration_since(closed_at) < CLOSING && self.recorders.has_to_end(&self.wanted);
        let step = self.step(now, false, has_recorder);
        if waits || self.is_deleted {
            return step;
        }
        if !self.may(Kind::Delete, now) {
            return step;
        }
        let room = self.formers.first().cloned().unwrap_or_else(|| self.wanted.media.clone());
        Some(Call::Delete { room })
    }

    fn step(&self, now: Instant, is_seen: bool, has_recorder: bool) -> Option<Call> {
        let none = BTreeMap::new();
        let there = self.people.there().unwrap_or(&none);
        if !has_recorder {
            return None;
        }
        let call = self.call_of(self.recorders.next_step(&self.wanted, there, is_seen, now)?);
        // Nothing is recorded in a room that is not there yet.
        let is_made = self.made.as_ref() == Some(&self.wanted.media) || !matches!(call, Call::Begin { .. });
        (is_made && self.may(Kind::of(&call), now)).then_some(call)
    }

    fn call_of(&self, step: Step) -> Call {
        match step {
            Step::List(age_max) => Call::List { key: self.wanted.media.key.clone(), age_max },
            Step::Begin(order) => Call::Begin { order },
            Step::End(take) => Call::End { take },
        }
    }

    pub fn called(&mut self, call: Call, outcome: Called, now: Instant) {
        let after = |wait: Duration| now.checked_add(wait).unwrap_or(now);
        match outcome {
            Called::Withheld => {
                self.rest_until = after(LEASE_LOOK);
                return;
            }
            Called::Failed => {
                self.failed(&call, now);
                let rest = self.rests.get(&Kind::of(&call)).map_or(BACKOFF_FIRST, |(_, rest)| rest.saturating_mul(2));
                let rest = rest.min(BACKOFF_MAX);
                self.rests.insert(Kind::of(&call), (after(rest), rest));
                return;
            }
            Called::There(there) => {
                if let Call::Look { room } = &call {
                    self.looked(room, there, now);
                }
            }
            Called::Glanced(glance) => self.glanced(glance, now),
            Called::Listed(takes) => {
                let news = self.recorders.listed(takes, &self.wanted, now);
                self.seen.extend(news);
            }
            Called::Began(take) => {
                if let Call::Begin { order } = &call {
                    let news = self.recorders.began(order, *take, now);
                    self.seen.push(news);
                }
            }
            Called::Done => self.done(&call, now),
        }
        self.rests.remove(&Kind::of(&call));
    }

    /// Whether anything is to be recorded here, or was.
    pub fn is_recorded(&self) -> bool {
        !self.wanted.recordings.is_empty()
    }

    fn failed(&mut self, call: &Call, now: Instant) {
        match call {
            Call::List { .. } => self.recorders.failed(&self.wanted, now),
            Call::Begin { order } => self.recorders.may_have_begun(order, now),
            Call::End { take } => self.recorders.ended(take, now),
            // They may have gone, or done otherwise, meanwhile.
            Call::Deed { deed, .. } => {
                self.people.could_not(deed);
                self.look_within(now, LOOK_FAILED);
            }
            Call::Look { .. } => self.look_at = now,
            _ => {}
        }
    }

    fn done(&mut self, call: &Call, now: Instant) {
        match call {
            Call::Ensure { room } => {
                self.made = Some(room.clone());
                if self.wanted.media != *room {
                    self.formers.insert(room.clone());
                }
                self.glance_at = now.checked_add(self.interval).unwrap_or(now);
            }
            Call::Delete { room } => {
                if self.condemned.remove(&(room.room, room.generation)) {
                    repaired("stray");
                }
                self.formers.remove(room);
                self.is_deleted = self.wanted.is_closed() && self.wanted.media == *room;
            }
            Call::Deed { deed, .. } => {
                repaired(match deed {
                    Deed::Remove(_) => "removed",
                    Deed::Permit(..) => "permitted",
                    Deed::Mute(..) => "muted",
                });
                self.people.done(deed, self.wanted.at_seq);
            }
            Call::End { take } => {
                repaired("ended");
                self.recorders.ended(take, now);
            }
            Call::Look { .. } | Call::Glance { .. } | Call::List { .. } | Call::Begin { .. } => {}
        }
    }

    fn glanced(&mut self, glance: Option<Glance>, now: Instant) {
        self.glance_at = now.checked_add(self.interval).unwrap_or(now);
        let Some(glance) = glance else { return };
        let own = &self.wanted.media;
        match glance.get(&(own.room, own.generation)) {
            None => {
                repaired("room");
                self.made = None;
                self.people.forget();
                self.look_at = self.look_at.min(self.glance_at);
            }
            // Somebody who must not come may have come for somebody who went.
            Some(devices) => {
                let known = self.people.there().map(BTreeMap::len);
                if usize::try_from(*devices).ok() != known || self.people.has_revoked() {
                    self.look_within(now, Duration::ZERO);
                }
            }
        }
        if self.find_strays(&glance) {
            self.glance_at = now.checked_add(SUSPICION).unwrap_or(now);
        }
    }

    /// Old credentials make a room anew that is not there any more, and an owner may have died before it had
    /// put one away. The main room looks after those; one may be ahead of the word that wants it. Answers
    /// whether to glance again soon.
    fn find_strays(&mut self, glance: &Glance) -> bool {
        let own = &self.wanted.media;
        if own.room != RoomId::Main {
            return false;
        }
        let kept = |room: &RoomId, generation: &u32| match self.wanted.elsewhere.rooms.get(room) {
            Some(wanted) => wanted == generation,
            None => *room == own.room && *generation == own.generation,
        };
        let strays: BTreeSet<(RoomId, u32)> =
            glance.keys().filter(|(room, generation)| !kept(room, generation)).copied().collect();
        self.condemned = strays.intersection(&self.strays).copied().collect();
        self.strays = strays;
        !self.strays.is_subset(&self.condemned)
    }

    fn looked(&mut self, room: &MediaRoom, there: Option<BTreeMap<SessionId, Guest>>, now: Instant) {
        self.looked_at = Some(now);
        let after = |wait: Duration| now.checked_add(wait).unwrap_or(now);
        // Another generation is wanted meanwhile, whose people these are not.
        if *room != self.wanted.media {
            self.look_at = now;
            return;
        }
        let Some(there) = there else { return };
        let has_come = |id: &ParticipantId| {
            let person = self.wanted.people.get(id);
            person.is_some_and(|person| person.sessions.iter().any(|session| there.contains_key(session)))
        };
        let come: Vec<ParticipantId> = self.wanted.people.keys().filter(|id| has_come(id)).copied().collect();
        self.arrive(come);
        let (news, again) = self.people.look(there, &self.wanted, &self.sessions, now);
        self.seen.extend(news);
        if let Some(wait) = again {
            self.look_at = self.look_at.min(after(wait));
        }
    }

    /// When there is something to do next, if nobody says anything before. What waits for a call
    /// under way needs no timer.
    pub fn next_at(&self, now: Instant, is_calling: bool, has_recorder: bool) -> Option<Instant> {
        if self.is_gone() {
            return None;
        }
        let rested = |kind: Kind, at: Instant| self.rests.get(&kind).map_or(at, |(until, _)| at.max(*until));
        let recorders = self.recorders.next_at(&self.wanted).filter(|_| has_recorder).map(|at| rested(Kind::List, at));
        let closing = self.closed_at.and_then(|at| at.checked_add(CLOSING)).filter(|at| *at > now);
        let mut times: Vec<Instant> = recorders.into_iter().collect();
        if !self.wanted.is_closed() {
            times.extend([rested(Kind::Glance, self.glance_at), rested(Kind::Look, self.look_at)]);
        } else if !self.is_deleted {
            times.push(rested(Kind::Delete, closing.unwrap_or(self.rest_until)));
        }
        // What failed, and has no time of its own, is tried again when it has rested.
        times.extend(self.rests.values().map(|(until, _)| *until).filter(|until| *until > now));
        let of_call = times.into_iter().min();
        let of_call = of_call.filter(|_| !is_calling).map(|at| at.max(self.rest_until));
        let to_come = self.migrations.next_at().filter(|at| *at > now);
        of_call.into_iter().chain(to_come).min()
    }
}

/// Kinds of calls, as far as one may fail without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Ensure,
    Delete,
    Glance,
    Look,
    Deed,
    List,
    Begin,
    End,
}

impl Kind {
    fn of(call: &Call) -> Self {
        match call {
            Call::Ensure { .. } => Self::Ensure,
            Call::Delete { .. } => Self::Delete,
            Call::Glance { .. } => Self::Glance,
            Call::Look { .. } => Self::Look,
            Call::Deed { .. } => Self::Deed,
            Call::List { .. } => Self::List,
            Call::Begin { .. } => Self::Begin,
            Call::End { .. } => Self::End,
        }
    }
}

#[cfg(test)]
mod tests;
