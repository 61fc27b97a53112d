//! Who is on the way to a room. Whoever was moved there is expected for a while; who is not there
//! by then is missing, and stays so until they come or are wanted elsewhere. Being missing is no
//! judgement: the meeting's own grace periods go on as before, and somebody who comes later has
//! arrived then.

use convoke_domain::{ParticipantId, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a move may take.
pub const ARRIVAL: Duration = Duration::from_secs(15);

struct Coming {
    /// The move's.
    seq: Seq,
    until: Instant,
    is_missing: bool,
}

#[derive(Default)]
pub struct Migrations {
    coming: BTreeMap<ParticipantId, Coming>,
}

impl Migrations {
    /// Expects these. Whoever is named again for the same move has no more time for it.
    pub fn expect(&mut self, people: &BTreeMap<ParticipantId, Seq>, now: Instant) {
        for (id, seq) in people {
            if self.coming.get(id).is_none_or(|known| known.seq < *seq) {
                let until = now.checked_add(ARRIVAL).unwrap_or(now);
                self.coming.insert(*id, Coming { seq: *seq, until, is_missing: false });
            }
        }
    }

    /// These are there; answers whose arrival is news.
    pub fn arrived(&mut self, people: impl IntoIterator<Item = ParticipantId>) -> BTreeSet<ParticipantId> {
        people.into_iter().filter(|id| self.coming.remove(id).is_some()).collect()
    }

    /// Gives up on whoever is not wanted any more.
    pub fn keep(&mut self, is_wanted: impl Fn(ParticipantId) -> bool) {
        self.coming.retain(|id, _| is_wanted(*id));
    }

    /// Who is found to be missing only now, of those whose time was over by then.
    pub fn late(&mut self, by: Instant) -> BTreeSet<ParticipantId> {
        let due = self.coming.iter_mut().filter(|(_, coming)| !coming.is_missing && coming.until <= by);
        due.map(|(id, coming)| {
            coming.is_missing = true;
            *id
        })
        .collect()
    }

    pub fn missing(&self) -> BTreeSet<ParticipantId> {
        self.coming.iter().filter(|(_, coming)| coming.is_missing).map(|(id, _)| *id).collect()
    }

    /// When the time of somebody is over next.
    pub fn next_at(&self) -> Option<Instant> {
        self.coming.values().filter(|coming| !coming.is_missing).map(|coming| coming.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(number: u128) -> ParticipantId {
        ParticipantId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn whoever_is_not_there_in_time_is_missing_once_and_may_still_arrive() {
        let (now, [ada, bob]) = (Instant::now(), [person(1), person(2)]);
        let mut migrations = Migrations::default();
        migrations.expect(&BTreeMap::from([(ada, Seq(5)), (bob, Seq(5))]), now);
        assert_eq!(migrations.arrived([ada]), [ada].into());
        assert_eq!(migrations.arrived([ada]), BTreeSet::new(), "no news");
        assert_eq!(migrations.next_at(), Some(now + ARRIVAL));
        assert!(migrations.late(now + ARRIVAL - Duration::from_millis(1)).is_empty());
        assert_eq!(migrations.late(now + ARRIVAL), [bob].into());
        assert!(migrations.late(now + ARRIVAL).is_empty());
        assert_eq!((migrations.missing(), migrations.next_at()), ([bob].into(), None));
        assert_eq!(migrations.arrived([bob]), [bob].into());
        assert!(migrations.missing().is_empty());
    }

    #[test]
    fn named_again_is_expected_no_longer_and_moved_again_anew() {
        let (now, ada) = (Instant::now(), person(1));
        let mut migrations = Migrations::default();
        migrations.expect(&BTreeMap::from([(ada, Seq(5))]), now);
        migrations.expect(&BTreeMap::from([(ada, Seq(5))]), now + ARRIVAL);
        assert_eq!(migrations.next_at(), Some(now + ARRIVAL));
        migrations.expect(&BTreeMap::from([(ada, Seq(7))]), now + ARRIVAL);
        assert_eq!(migrations.next_at(), Some(now + ARRIVAL * 2));
        migrations.keep(|_| false);
        assert_eq!(migrations.next_at(), None);
    }
}
