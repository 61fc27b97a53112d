//! People who draw all the while, with the load tester's client: they drop, draw on without a socket, come
//! back by themselves, and hold the server to what it has shown them.

use super::painter::Painter;
use convoke_loadtest::board::Shown;
use convoke_loadtest::board::door::Door;
use convoke_loadtest::board::person::{Options, Person, Phase};
use convoke_loadtest::board::record::Record;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Party {
    people: Vec<Person>,
    phases: watch::Sender<Phase>,
}

impl Party {
    /// Everybody comes, and has been brought up to date.
    pub async fn comes(doors: Vec<Door>, rate: f64, drop_every: Option<Duration>) -> Self {
        let (phases, phase) = watch::channel(Phase::Settle);
        let authors = u16::try_from(doors.len()).unwrap();
        let person = |(author, door): (u16, Door)| {
            let options = Options { author, authors, rate, cursors: 2.0, drop_every };
            Person::start(options, door, phase.clone()).unwrap()
        };
        let people = (0..).zip(doors).map(person).collect();
        let party = Self { people, phases };
        party.until("everybody to be there", |record, _| record.is_synced).await;
        party
    }

    pub fn draws(&self) {
        self.phases.send_replace(Phase::Draw);
    }

    /// Waits until this is so of everybody, by their numbers; nothing wrong was found meanwhile.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Record, usize) -> bool) {
        let began = Instant::now();
        loop {
            let mut all = true;
            for (number, person) in self.people.iter().enumerate() {
                let record = person.record();
                assert_eq!(record.violations, [""; 0]);
                all &= is_so(&record, number);
            }
            if all {
                return;
            }
            let why: Vec<_> = self.people.iter().map(|one| one.record().last_refusal.clone()).collect();
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {why:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everybody is shown something new of their own and of others, from now on.
    pub async fn goes_on(&self) {
        self.go_on(|_| true).await;
    }

    /// The same of some.
    pub async fn go_on(&self, who: impl Fn(usize) -> bool) {
        let had = self.told(|record| (record.echoed, record.deliveries));
        let is_new = |record: &Record, number: usize| {
            !who(number) || record.echoed > had[number].0 && record.deliveries > had[number].1
        };
        self.until("strokes to be shown", is_new).await;
    }

    pub fn told<T>(&self, what: impl Fn(&Record) -> T) -> Vec<T> {
        self.people.iter().map(|person| what(&person.record())).collect()
    }

    /// Nobody draws any more, and all come to have the same.
    pub async fn settles(&self) -> Shown {
        self.phases.send_replace(Phase::Settle);
        let began = Instant::now();
        loop {
            self.until("everybody to be up to date", |record, _| record.is_synced).await;
            let mut shown: Vec<Shown> = self.people.iter().map(|person| Shown::of(&person.doc)).collect();
            if shown.windows(2).all(|two| two[0] == two[1]) {
                return shown.swap_remove(0);
            }
            let counts: Vec<usize> = shown.iter().map(Shown::count).collect();
            assert!(began.elapsed() < PATIENCE, "they did not converge; elements of each: {counts:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whoever comes anew sees what all see, and all that anybody was ever shown is in it.
    pub async fn agrees(&self, fresh: &Painter) {
        let all = self.settles().await;
        fresh.until("what all have", |seen| (seen.shows() == all).then_some(())).await;
        for person in &self.people {
            assert_eq!(all.missing(&person.record().acknowledged), None);
        }
    }

    pub async fn ends(mut self) {
        self.phases.send_replace(Phase::Stop);
        for person in &mut self.people {
            person.ended().await;
            assert_eq!(person.record().violations, [""; 0]);
        }
    }
}
