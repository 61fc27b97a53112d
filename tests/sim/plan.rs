//! What happens in one simulation: how many nodes and people, what the weather is like, and which
//! misfortune strikes when. A plan comes from a seed, can be saved, edited and run again.

use crate::media::MediaWeather;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub meetings: usize,
    /// In each meeting.
    pub people: usize,
    /// How long misfortunes strike; afterwards everything heals.
    pub span_ms: u64,
    /// How far each node's machine clock is off.
    pub skew_ms: Vec<i64>,
    /// After how long the second meeting is over.
    pub max_duration_s: u32,
    pub weather: Weather,
    pub media: MediaWeather,
    pub auto_record: bool,
    pub recording_consent: bool,
    pub steps: Vec<Step>,
}

/// What may happen to every message, as shares of one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Weather {
    /// Of the bus.
    pub lost: f64,
    pub doubled: f64,
    pub late: f64,
    /// What is asked of the database is not done.
    pub refused: f64,
    /// It is done, and nobody is told.
    pub unknown: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub at_ms: u64,
    pub fault: Fault,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// The node's process dies, and comes back as another life of it.
    Kill {
        node: usize,
        when: When,
        back_ms: u64,
    },
    /// SIGSTOP, then SIGCONT.
    Freeze {
        node: usize,
        for_ms: u64,
    },
    /// SIGTERM, and a new life.
    Drain {
        node: usize,
        back_ms: u64,
    },
    CutBus {
        node: usize,
        for_ms: u64,
    },
    CutDatabase {
        node: usize,
        for_ms: u64,
    },
    BusAway {
        for_ms: u64,
    },
    DatabaseAway {
        for_ms: u64,
    },
    /// The media server does not answer.
    MediaAway {
        for_ms: u64,
    },
    /// It comes back without what it had.
    MediaForgets,
    /// A meeting's actor on this node panics at the next credentials that it asks for.
    Panic {
        node: usize,
    },
    /// A person's socket is lost; half of the time the node does not learn of it.
    Drop {
        meeting: usize,
        person: usize,
        is_silent: bool,
    },
}

/// The moment of a death.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum When {
    Now,
    /// When its tasks have been polled so often from now.
    Polls(u32),
    /// As its next question but so many leaves for the database: nobody sees the answer.
    Asking(u32),
    /// As the answer to its next question but so many comes back.
    Answered(u32),
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let nodes = chance.random_range(2..=3);
        let (meetings, people) = (2, chance.random_range(2..=4));
        let span_ms = 40_000;
        let is_rough = chance.random_bool(0.5);
        let mut share = |most: f64| if is_rough { chance.random_range(0.0..most) } else { 0.0 };
        let weather = Weather {
            lost: share(0.10),
            doubled: share(0.10),
            late: share(0.20),
            refused: share(0.02),
            unknown: share(0.02),
        };
        let media = MediaWeather {
            refused: share(0.10),
            unknown: share(0.10),
            stuck: share(0.02),
            lost: share(0.30),
            doubled: share(0.20),
            late: share(0.30),
            stillborn: share(0.20),
            dies: share(0.20),
        };
        let (auto_record, recording_consent) = (chance.random_bool(0.4), chance.random_bool(0.3));
        let count = chance.random_range(3..=12);
        let mut steps: Vec<Step> = (0..count)
            .map(|_| Step {
                at_ms: chance.random_range(1_000..span_ms),
                fault: fault(&mut chance, nodes, meetings, people),
            })
            .collect();
        steps.sort_by_key(|step| step.at_ms);
        let skew_ms = (0..nodes).map(|_| chance.random_range(-5_000..=5_000)).collect();
        let max_duration_s = chance.random_range(60..=70);
        Self {
            seed,
            nodes,
            meetings,
            people,
            span_ms,
            skew_ms,
            max_duration_s,
            weather,
            media,
            auto_record,
            recording_consent,
            steps,
        }
    }
}

fn fault(chance: &mut StdRng, nodes: usize, meetings: usize, people: usize) -> Fault {
    let node = chance.random_range(0..nodes);
    let for_ms = *[500, 2_000, 5_000, 9_000, 15_000, 25_000].choose(chance).unwrap();
    let back_ms = *[100, 1_000, 5_000, 12_000].choose(chance).unwrap();
    match chance.random_range(0..14) {
        0..=2 => Fault::Kill { node, when: moment(chance), back_ms },
        3 | 4 => Fault::Freeze { node, for_ms },
        5 => Fault::Drain { node, back_ms },
        6 => Fault::CutBus { node, for_ms },
        7 => Fault::CutDatabase { node, for_ms },
        8 => Fault::BusAway { for_ms: for_ms.min(9_000) },
        9 => Fault::DatabaseAway { for_ms: for_ms.min(5_000) },
        10 => Fault::Panic { node },
        11 => Fault::MediaAway { for_ms },
        12 => Fault::MediaForgets,
        _ => Fault::Drop {
            meeting: chance.random_range(0..meetings),
            person: chance.random_range(0..people),
            is_silent: chance.random_bool(0.5),
        },
    }
}

fn moment(chance: &mut StdRng) -> When {
    match chance.random_range(0..4) {
        0 => When::Now,
        1 => When::Polls(chance.random_range(1..200)),
        2 => When::Asking(chance.random_range(0..20)),
        _ => When::Answered(chance.random_range(0..20)),
    }
}
