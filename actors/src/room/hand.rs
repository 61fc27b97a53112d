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
/// Who is in a room is looked at so often, whatever the listing says.
const LOOK: Duration = Duration::from_secs(300);
/// Between two looks for news, and what each device there adds to it: looking costs the media server more
/// the more of them there are.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
const LOOK_DEVICE: Duration = Duration::from_millis(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Whoever goes elsewhere has this long to leave by themselves.
const LEAVING: Duration = Duration::from_secs(1);
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
    /// A generation that was replaced.
    former: Option<MediaRoom>,
    /// Rooms of the meeting that nobody looks after, as they were at the last glance; and those that were
    /// so at the glance before, too.
    strays: BTreeSet<(RoomId, u32)>,
    condemned: BTreeSet<(RoomId, u32)>,
    look_at: Instant,
    looked_at: Option<Instant>,
    rest_until: Instant,
    backoff: Duration,
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
            former: None,
            strays: BTreeSet::new(),
            condemned: BTreeSet::new(),
            look_at: now,
            looked_at: None,
            rest_until: now,
            backoff: BACKOFF_FIRST,
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
        if self.sessions.difference(&sessions).next().is_some() {
            self.look_within(now, LEAVING);
        }
        self.sessions = sessions;
        self.migrations.keep(|id| wanted.people.contains_key(&id));
        if wanted.media != self.wanted.media {
            self.people.forget();
            self.look_within(now, Duration::ZERO);
        }
        self.recorders.want(&wanted, now);
        if self.people.has_unmuted(&wanted) {
            self.look_within(now, Duration::ZERO);
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

    pub fn next_call(&mut self, now: Instant, has_recorder: bool) -> Option<Call> {
        if now < self.rest_until || self.is_gone() {
            return None;
        }
        let room = self.wanted.media.clone();
        let none = BTreeMap::new();
        let there = self.people.there().unwrap_or(&none);
        let step = self.recorders.next_step(&self.wanted, there, now).filter(|_| has_recorder);
        if self.wanted.is_closed() {
            // What runs in a room ends before the room does, which takes a look at what runs. A recorder that
            // does not answer keeps no room.
            let is_first = match &step {
                Some(Step::End(_)) => true,
                Some(Step::List(_)) => self.recorders.may_run(&self.wanted),
                Some(Step::Begin(_)) | None => false,
            };
            if !self.is_deleted && !is_first {
                return Some(Call::Delete { room: self.former.clone().unwrap_or(room) });
            }
            return step.map(|step| self.call_of(step));
        }
        if self.made.as_ref() != Some(&room) {
            return Some(Call::Ensure { room });
        }
        if let Some(former) = &self.former {
            return Some(Call::Delete { room: former.clone() });
        }
        if now >= self.look_at {
            return Some(Call::Look { room });
        }
        if let Some(deed) = self.people.next_deed(&self.wanted) {
            return Some(Call::Deed { room, deed });
        }
        if let Some(step) = step {
            return Some(self.call_of(step));
        }
        if let Some((room, generation)) = self.condemned.first().copied() {
            let key = self.wanted.media.key.clone();
            return Some(Call::Delete { room: MediaRoom { key, room, generation } });
        }
        let age_max = if self.strays.is_empty() { GLANCE_AGE } else { Duration::from_secs(1) };
        (now >= self.glance_at).then_some(Call::Glance { key: room.key, age_max })
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
                self.rest_until = after(self.backoff);
                self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
                return;
            }
            Called::There(there) => self.looked(there, now),
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
        self.backoff = BACKOFF_FIRST;
    }

    fn failed(&mut self, call: &Call, now: Instant) {
        match call {
            Call::List { .. } => self.recorders.failed(now),
            Call::Begin { order } => self.recorders.may_have_begun(order, now),
            // It is asked again a while later, and what waits for it comes first.
            Call::End { take } => self.recorders.ended(take, now),
            // They may have gone, or done otherwise, meanwhile.
            Call::Deed { .. } => self.look_within(now, Duration::ZERO),
            _ => {}
        }
    }

    fn done(&mut self, call: &Call, now: Instant) {
        match call {
            Call::Ensure { room } => {
                let before = self.made.replace(room.clone());
                self.former = self.former.take().or(before.filter(|before| before != room));
                self.glance_at = now.checked_add(self.interval).unwrap_or(now);
            }
            Call::Delete { room } => {
                if self.condemned.remove(&(room.room, room.generation)) {
                    repaired("stray");
                }
                self.former.take_if(|former| former == room);
                self.is_deleted = self.wanted.is_closed() && self.wanted.media == *room;
            }
            Call::Deed { deed, .. } => {
                repaired(match deed {
                    Deed::Remove(_) => "removed",
                    Deed::Permit(..) => "permitted",
                    Deed::Mute(..) => "muted",
                });
                self.people.done(deed);
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

    fn looked(&mut self, there: Option<BTreeMap<SessionId, Guest>>, now: Instant) {
        self.looked_at = Some(now);
        let after = |wait: Duration| now.checked_add(wait).unwrap_or(now);
        self.look_at = after(LOOK);
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
            self.look_at = after(wait);
        }
    }

    /// When there is something to do next, if nobody says anything before. What waits for a call
    /// under way needs no timer.
    pub fn next_at(&self, now: Instant, is_calling: bool, has_recorder: bool) -> Option<Instant> {
        let recorders = self.recorders.next_at(&self.wanted).filter(|_| has_recorder);
        let of_call = match (self.wanted.is_closed(), self.is_deleted) {
            (true, false) => Some(self.rest_until),
            (true, true) => recorders,
            (false, _) => Some(self.glance_at.min(self.look_at)).into_iter().chain(recorders).min(),
        };
        let of_call = of_call.filter(|_| !is_calling).map(|at| at.max(self.rest_until));
        let to_come = self.migrations.next_at().filter(|at| *at > now);
        of_call.into_iter().chain(to_come).min()
    }
}

#[cfg(test)]
mod tests;
