//! What was said and not handed on yet, a meeting at a time. More of the same meeting is folded into what
//! waits already, so that a thousand webhooks of one room are one reason to look. A meeting waits a
//! moment before it is told, and is told one thing at a time; so it hears of its media ten times a second
//! and no more, however often it is spoken of. Everything has its bound: beyond it news is dropped, and
//! the meeting finds out when it looks by itself.

use super::Dropped;
use super::event::Hint;
use convoke_actors::ports::MediaNews;
use convoke_domain::recording::Take;
use convoke_domain::{MeetingId, RecordingId, RoomId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What one meeting is told is gathered for this long.
pub const GATHER: Duration = Duration::from_millis(100);
/// What a meeting, a room and a take count for besides their texts, about as much as they take.
const MEETING_BYTES: usize = 320;
const ROOM_BYTES: usize = 32;
const TAKE_BYTES: usize = 320;
/// An error of a take is for people to read; so much of it is kept.
const ERROR_CHARS_MAX: usize = 300;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub meetings: usize,
    /// Of one meeting.
    pub rooms: usize,
    /// Of one meeting.
    pub takes: usize,
    /// Of all meetings together.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { meetings: 4_096, rooms: 256, takes: 256, bytes: 8 * 1_024 * 1_024 }
    }
}

#[derive(Default)]
struct News {
    rooms: BTreeSet<RoomId>,
    /// By the recorder's name for them.
    takes: BTreeMap<String, (RecordingId, Take)>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.takes.is_empty()
    }

    /// Whether there is room for it.
    fn takes_in(&self, hint: &Hint, bounds: &Bounds) -> bool {
        let is_new = |room| !self.rooms.contains(room) && self.rooms.len() >= bounds.rooms;
        let is_more =
            |(_, take): &(RecordingId, Take)| !self.takes.contains_key(&take.id) && self.takes.len() >= bounds.takes;
        !hint.room.as_ref().is_some_and(is_new) && !hint.take.as_ref().is_some_and(is_more)
    }

    fn bytes(&self) -> usize {
        let takes: usize = self.takes.values().map(|(_, take)| take_bytes(take)).sum();
        self.rooms.len().saturating_mul(ROOM_BYTES).saturating_add(takes)
    }

    /// Takes back what was said before all that waits here; false where not all of it had room.
    fn give_back(&mut self, earlier: MediaNews, bounds: &Bounds) -> bool {
        let mut is_all = true;
        for room in earlier.rooms {
            is_all &= self.rooms.len() < bounds.rooms || self.rooms.contains(&room);
            if self.rooms.len() < bounds.rooms {
                self.rooms.insert(room);
            }
        }
        for (recording, take) in earlier.takes {
            match self.takes.get(&take.id) {
                Some((_, later)) if later.state >= take.state => {}
                None if self.takes.len() >= bounds.takes => is_all = false,
                _ => drop(self.takes.insert(take.id.clone(), (recording, take))),
            }
        }
        is_all
    }

    /// The later word of a take is kept: the one that says that it has come further.
    fn put(&mut self, recording: RecordingId, take: Take) {
        let is_older = self.takes.get(&take.id).is_some_and(|(_, known)| known.state > take.state);
        if !is_older {
            self.takes.insert(take.id.clone(), (recording, take));
        }
    }
}

fn take_bytes(take: &Take) -> usize {
    let texts = [&take.id, &take.id, &take.part, &take.file].map(|text| text.len());
    let error = take.error.as_ref().map_or(0, String::len);
    texts.into_iter().fold(TAKE_BYTES.saturating_add(error), usize::saturating_add)
}

#[derive(Default)]
struct Waiting {
    news: News,
    /// How often the meeting was tried to be told.
    tries: u32,
    /// What it is being told just now counts for so much; nothing else is said to it meanwhile.
    out: Option<usize>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        MEETING_BYTES.saturating_add(self.news.bytes()).saturating_add(self.out.unwrap_or(0))
    }
}

#[derive(Default)]
struct State {
    meetings: HashMap<MeetingId, Waiting>,
    /// By when they are to be told; those that are being told are not here.
    order: BTreeSet<(Instant, MeetingId)>,
    bytes: usize,
}

/// What one meeting is to be told. Whoever takes it says how it went: [`Pending::done`], or
/// [`Pending::again`].
#[derive(Debug)]
pub struct Errand {
    pub meeting: MeetingId,
    pub news: MediaNews,
    /// How often it was tried before.
    pub tries: u32,
}

pub struct Pending {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Notify,
}

impl Pending {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what waits for one meeting, and makes the sums right again.
    fn change<T>(&self, state: &mut State, meeting: MeetingId, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let before = state.meetings.get(&meeting).map_or(0, Waiting::bytes);
        let waiting = state.meetings.entry(meeting).or_default();
        let changed = change(waiting);
        let is_over = waiting.news.is_empty() && waiting.out.is_none();
        let after = if is_over { 0 } else { waiting.bytes() };
        if is_over {
            state.meetings.remove(&meeting);
        }
        state.bytes = state.bytes.saturating_sub(before).saturating_add(after);
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("convoke_livekit_webhooks_pending").set(number(state.meetings.len()));
        metrics::gauge!("convoke_livekit_webhooks_pending_bytes").set(number(state.bytes));
        changed
    }

    /// Puts a meeting in line, where something waits for it that is not in line yet.
    fn line_up(&self, state: &mut State, meeting: MeetingId, due: Instant) {
        if state.meetings.get(&meeting).is_none_or(|waiting| waiting.out.is_some()) {
            return;
        }
        let is_first = state.order.first().is_none_or(|(first, _)| due < *first);
        state.order.insert((due, meeting));
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Folds in what was said.
    pub fn add(&self, mut hint: Hint, now: Instant) -> Result<(), Dropped> {
        if let Some(error) = hint.take.as_mut().and_then(|(_, take)| take.error.as_mut()) {
            *error = error.chars().take(ERROR_CHARS_MAX).collect();
        }
        let state = &mut *self.state();
        let known = state.meetings.get(&hint.meeting);
        let is_new = known.is_none();
        let growth = if is_new { MEETING_BYTES } else { 0 };
        let growth = growth.saturating_add(hint.room.map_or(0, |_| ROOM_BYTES));
        let growth = growth.saturating_add(hint.take.as_ref().map_or(0, |(_, take)| take_bytes(take)));
        let has_room = known
            .map_or(state.meetings.len() < self.bounds.meetings, |waiting| waiting.news.takes_in(&hint, &self.bounds));
        if !has_room || state.bytes.saturating_add(growth) > self.bounds.bytes {
            return Err(Dropped::Full);
        }
        let meeting = hint.meeting;
        self.change(state, meeting, |waiting| {
            waiting.news.rooms.extend(hint.room);
            if let Some((recording, take)) = hint.take {
                waiting.news.put(recording, take);
            }
        });
        if is_new {
            self.line_up(state, meeting, now + GATHER);
        }
        Ok(())
    }

    /// What is due by now, the longest due first, at most so much of it.
    fn take_due(&self, now: Instant, most: usize) -> Vec<Errand> {
        let state = &mut *self.state();
        let mut errands = Vec::new();
        while errands.len() < most
            && let Some((due, meeting)) = state.order.first().copied()
            && due <= now
        {
            state.order.remove(&(due, meeting));
            errands.push(self.change(state, meeting, |waiting| {
                waiting.out = Some(waiting.news.bytes());
                let News { rooms, takes } = std::mem::take(&mut waiting.news);
                let news = MediaNews { rooms, takes: takes.into_values().collect() };
                Errand { meeting, news, tries: waiting.tries }
            }));
        }
        errands
    }

    /// Waits until something is due.
    pub async fn due(&self, most: usize) -> Vec<Errand> {
        loop {
            let errands = self.take_due(Instant::now(), most);
            if !errands.is_empty() {
                return errands;
            }
            let next = self.state().order.first().map(|(due, _)| *due);
            // What changed since it was looked is remembered, and ends the wait at once.
            match next {
                Some(due) => drop(tokio::time::timeout_at(due, self.changed.notified()).await),
                None => self.changed.notified().await,
            }
        }
    }

    /// The meeting was told, or never will be. What was said meanwhile waits its time.
    pub fn done(&self, meeting: MeetingId, now: Instant) {
        let state = &mut *self.state();
        self.change(state, meeting, |waiting| {
            waiting.out = None;
            waiting.tries = 0;
        });
        self.line_up(state, meeting, now + GATHER);
    }

    /// The meeting is to be told again, after a while, with what was said meanwhile.
    pub fn again(&self, errand: Errand, now: Instant, wait: Duration) {
        let Errand { meeting, news, tries } = errand;
        let state = &mut *self.state();
        let is_all = self.change(state, meeting, |waiting| {
            waiting.out = None;
            waiting.tries = tries.saturating_add(1);
            waiting.news.give_back(news, &self.bounds)
        });
        if !is_all {
            Dropped::Full.count();
        }
        self.line_up(state, meeting, now + wait.max(GATHER));
    }

    /// Nobody is being told of anything: whoever did so is gone, and what they had taken with them.
    pub fn begin_anew(&self, now: Instant) {
        let state = &mut *self.state();
        let out: Vec<MeetingId> =
            state.meetings.iter().filter(|(_, waiting)| waiting.out.is_some()).map(|(meeting, _)| *meeting).collect();
        for meeting in out {
            self.change(state, meeting, |waiting| waiting.out = None);
            self.line_up(state, meeting, now + GATHER);
        }
    }
}

#[cfg(test)]
mod tests;
