//! Who is in a media room, as it was last looked at, held against who is wanted there: strangers have to
//! go, what people may publish is brought in line, what was muted is muted, and what they publish is told
//! to the meeting. One look says all of that; between looks nothing is believed to have changed but what
//! was changed from here.

use super::words::{Person, Wanted};
use crate::ports::{Guest, Track};
use convoke_domain::recording::Observation;
use convoke_domain::shapes::{Media as Sources, Source};
use convoke_domain::{ParticipantId, Seq, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Somebody whom nobody ever wanted here may be ahead of the word that wants them.
pub const SUSPICION: Duration = Duration::from_secs(5);
/// What the media says and the meeting does not may be on its way to the meeting.
pub const SETTLING: Duration = Duration::from_secs(5);
/// Whose credentials may still be good, though they are wanted here no more; longer than any are.
const REVOKED_KEPT: Duration = Duration::from_secs(900);
const REVOKED_MAX: usize = 10_000;

#[derive(Default)]
pub struct People {
    /// Since the last look; none before the first.
    there: Option<BTreeMap<SessionId, Guest>>,
    /// Sessions that were wanted here and are not any more, and until when that is remembered.
    revoked: BTreeMap<SessionId, Instant>,
    /// Sessions that were never wanted here and were there at the last look.
    suspects: BTreeSet<SessionId>,
    expelled: BTreeSet<SessionId>,
    /// What could not be done since the last look: another is done meanwhile.
    failed: Vec<Deed>,
    /// Tracks that were muted from here, and up to which event that is: heard again, they were turned on since.
    silenced: BTreeMap<String, Seq>,
    /// Up to which event somebody was muted here.
    muted: BTreeMap<(ParticipantId, Source), Seq>,
    /// Since when somebody publishes other things than the meeting has it.
    differing: BTreeMap<ParticipantId, (Sources, Instant)>,
}

/// What is to be done about somebody next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Remove(SessionId),
    Permit(SessionId, Sources),
    Mute(SessionId, String),
}

impl People {
    /// These are wanted here no more.
    pub fn revoke(&mut self, sessions: impl Iterator<Item = SessionId>, now: Instant) {
        let until = now.checked_add(REVOKED_KEPT).unwrap_or(now);
        self.revoked.extend(sessions.map(|session| (session, until)));
        while self.revoked.len() > REVOKED_MAX {
            self.revoked.pop_first();
        }
    }

    pub fn want(&mut self, wanted: &BTreeSet<SessionId>) {
        self.revoked.retain(|session, _| !wanted.contains(session));
        self.expelled.retain(|session| !wanted.contains(session));
    }

    /// What the meeting has it that people publish is new of some: of those it is not known yet that the media
    /// says otherwise, however long it did before.
    pub fn heard(&mut self, before: &Wanted, wanted: &Wanted) {
        let media = |wanted: &Wanted, id: &ParticipantId| wanted.people.get(id).map(|person| person.media);
        self.differing.retain(|id, _| media(before, id) == media(wanted, id));
    }

    /// The room is another one: nobody is known to be there.
    pub fn forget(&mut self) {
        self.there = None;
        self.suspects.clear();
        self.expelled.clear();
        self.differing.clear();
    }

    pub fn there(&self) -> Option<&BTreeMap<SessionId, Guest>> {
        self.there.as_ref()
    }

    /// What was seen. Answers what the meeting is to hear, and whether to look again soon.
    pub fn look(
        &mut self,
        there: BTreeMap<SessionId, Guest>,
        wanted: &Wanted,
        sessions: &BTreeSet<SessionId>,
        now: Instant,
    ) -> (Vec<Observation>, Option<Duration>) {
        self.revoked.retain(|_, until| *until > now);
        let strangers = there.keys().filter(|session| !sessions.contains(session)).copied();
        let known = |session: &SessionId| self.revoked.contains_key(session) || self.suspects.contains(session);
        (self.expelled, self.suspects) = strangers.partition(known);
        let is_there = |track: &String| there.values().any(|guest| guest.tracks.iter().any(|other| other.id == *track));
        self.silenced.retain(|track, _| is_there(track));
        self.there = Some(there);
        self.failed.clear();
        let news = self.differences(wanted, now);
        // What those publish who are still to be muted is told when they are.
        let is_unsettled = !self.differing.is_empty() || self.has_unmuted(wanted);
        let again = [(!self.suspects.is_empty()).then_some(SUSPICION), is_unsettled.then_some(SETTLING)];
        (news, again.into_iter().flatten().min())
    }

    /// Who publishes other things than the meeting has it, and has for a while.
    fn differences(&mut self, wanted: &Wanted, now: Instant) -> Vec<Observation> {
        let Some(there) = &self.there else { return Vec::new() };
        let mut differing = BTreeMap::new();
        let mut news = Vec::new();
        for (id, person) in &wanted.people {
            let guests = person.sessions.iter().filter_map(|session| there.get(session));
            let all = guests.map(Guest::publishes).fold(Sources::default(), union);
            let mut media = common(all, person.may);
            // What is still to be muted is no news.
            for source in person.mutes.keys().filter(|source| !self.is_muted(*id, **source, person)) {
                media.set(*source, person.media.has(*source));
            }
            if media == person.media {
                continue;
            }
            let since = match self.differing.get(id) {
                Some((before, since)) if *before == media => *since,
                _ => now,
            };
            if now.duration_since(since) >= SETTLING {
                news.push(Observation::Publishing { participant: *id, media });
            }
            differing.insert(*id, (media, since));
        }
        self.differing = differing;
        news
    }

    /// Whether everybody who is there may publish what they are to, and nothing else.
    pub fn is_in_line(&self, wanted: &Wanted) -> bool {
        let Some(there) = &self.there else { return true };
        wanted.people.values().all(|person| {
            let guests = person.sessions.iter().filter_map(|session| there.get(session));
            guests.into_iter().all(|guest| guest.may == person.may)
        })
    }

    fn is_muted(&self, id: ParticipantId, source: Source, person: &Person) -> bool {
        let done = self.muted.get(&(id, source));
        person.mutes.get(&source).is_none_or(|seq| done.is_some_and(|done| done >= seq))
    }

    /// It could not be done: others come first, until somebody looked again.
    pub fn could_not(&mut self, deed: &Deed) {
        self.failed.push(deed.clone());
    }

    /// What is to be done next, by what was last seen. `is_fresh`: that was after the newest word; whoever is
    /// quiet then is muted.
    pub fn next_deed(&mut self, wanted: &Wanted, is_fresh: bool) -> Option<Deed> {
        let may = |deed: &Deed| !self.failed.contains(deed);
        if let Some(deed) = self.expelled.iter().map(|session| Deed::Remove(*session)).find(may) {
            return Some(deed);
        }
        let there = self.there.as_ref()?;
        let mut quiet = Vec::new();
        for (id, person) in &wanted.people {
            let guests = || person.sessions.iter().filter_map(|session| Some((*session, there.get(session)?)));
            let differs = guests().filter(|(_, guest)| guest.may != person.may);
            if let Some(deed) = differs.map(|(session, _)| Deed::Permit(session, person.may)).find(may) {
                return Some(deed);
            }
            for (source, seq) in &person.mutes {
                if self.muted.get(&(*id, *source)).is_some_and(|done| done >= seq) {
                    continue;
                }
                let was_muted = |track: &Track| self.silenced.get(&track.id).is_some_and(|upto| upto >= seq);
                let is_loud = |track: &&Track| track.source == *source && !track.is_muted && !was_muted(track);
                let loud = guests().flat_map(|(session, guest)| {
                    guest.tracks.iter().filter(is_loud).map(move |track| Deed::Mute(session, track.id.clone()))
                });
                let loud: Vec<Deed> = loud.collect();
                if let Some(deed) = loud.iter().find(|deed| may(deed)) {
                    return Some(deed.clone());
                }
                if loud.is_empty() && is_fresh {
                    // From here on it is theirs to turn on again.
                    quiet.push(((*id, *source), *seq));
                }
            }
        }
        self.muted.extend(quiet);
        None
    }

    pub fn done(&mut self, deed: &Deed, at_seq: Seq) {
        if let Deed::Mute(_, track) = deed {
            self.silenced.insert(track.clone(), at_seq);
        }
        let Some(there) = &mut self.there else { return };
        match deed {
            Deed::Remove(session) => {
                self.expelled.remove(session);
                there.remove(session);
            }
            Deed::Permit(session, may) => {
                if let Some(guest) = there.get_mut(session) {
                    guest.may = *may;
                    guest.tracks.retain(|track| may.has(track.source));
                }
            }
            Deed::Mute(session, id) => {
                let tracks = there.get_mut(session).into_iter().flat_map(|guest| &mut guest.tracks);
                tracks.filter(|track| track.id == *id).for_each(|track| track.is_muted = true);
            }
        }
    }

    /// Whether somebody went whose credentials may still be good.
    pub fn has_revoked(&self) -> bool {
        !self.revoked.is_empty()
    }

    /// Whether somebody was muted of whom it is not known that they are.
    pub fn has_unmuted(&self, wanted: &Wanted) -> bool {
        let is_new = |id: &ParticipantId, source: &Source, seq: &Seq| {
            self.muted.get(&(*id, *source)).is_none_or(|done| done < seq)
        };
        let mut people = wanted.people.iter();
        people.any(|(id, person)| person.mutes.iter().any(|(source, seq)| is_new(id, source, seq)))
    }
}

fn union(one: Sources, other: Sources) -> Sources {
    Sources { audio: one.audio || other.audio, video: one.video || other.video, screen: one.screen || other.screen }
}

fn common(one: Sources, other: Sources) -> Sources {
    Sources { audio: one.audio && other.audio, video: one.video && other.video, screen: one.screen && other.screen }
}
