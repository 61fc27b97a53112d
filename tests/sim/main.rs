//! The simulator: some nodes, their database and what they publish through, and people who talk, all
//! in one thread on a paused clock. Everything comes from one seed: what strikes, when, and who is
//! lucky. A seed that fails is printed, and is the same run whenever it is run again; its plan can
//! be saved, cut down by hand and run in its place. `cargo xtask sim` runs as many as one likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../actors/tests/common/boards.rs"]
mod boards;
mod chance;
mod client;
mod database;
mod ether;
mod interaction;
mod link;
mod media;
mod node;
mod painters;
mod plan;
mod rooms;
mod told;
mod verify;
mod watched;
mod world;

use database::Without;
use plan::Plan;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 200;
/// Within so many seeds a missing guard is found.
const SEEDS_OF_PROOF: u64 = 200;

/// What came of one plan.
struct Outcome {
    violations: Vec<String>,
    report: Report,
}

/// What happened in it, so that a simulation of nothing is noticed.
#[derive(Clone, Copy, Default)]
struct Report {
    events: u64,
    answers: u64,
    reconnects: u64,
    replays: u64,
    fenced: u64,
}

fn simulate(plan: &Plan, without: Without) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let end = tasks.block_on(&runtime, world::run(plan, without));
    let violations = verify::violations(&end);
    let report = report(&end);
    Outcome { violations, report }
}

fn report(end: &world::End) -> Report {
    let mut report = Report::default();
    let tables = end.world.database.tables.lock().unwrap();
    for meeting in tables.meetings.values() {
        report.events += u64::try_from(meeting.events.len()).unwrap();
        report.fenced += meeting.fenced;
    }
    for person in end.people.iter().flatten() {
        let record = person.record.borrow();
        report.answers += u64::try_from(record.answers.len()).unwrap();
        report.reconnects += u64::from(record.reconnects);
        report.replays += u64::from(record.replays);
    }
    report
}

/// Runs seeds on all cores until they are through, or one has failed; answers the failed ones.
fn run_seeds(first: u64, count: u64, without: Without, stops_at_first: bool) -> (Vec<(u64, Vec<String>)>, Report) {
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let total = Mutex::new(Report::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || (stops_at_first && !failed.lock().unwrap().is_empty()) {
                        return;
                    }
                    let outcome = simulate(&Plan::of(seed), without);
                    let mut total = total.lock().unwrap();
                    total.events += outcome.report.events;
                    total.answers += outcome.report.answers;
                    total.reconnects += outcome.report.reconnects;
                    total.replays += outcome.report.replays;
                    total.fenced += outcome.report.fenced;
                    if !outcome.violations.is_empty() {
                        failed.lock().unwrap().push((seed, outcome.violations));
                    }
                }
            });
        }
    });
    let (mut failed, total) = (failed.into_inner().unwrap(), total.into_inner().unwrap());
    failed.sort();
    (failed, total)
}

/// What is injected says nothing; what was not, does.
fn hush() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let is_injected = info.payload_as_str().is_some_and(|text| text.contains("injected"));
        if !is_injected {
            loud(info);
        }
    }));
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn without_of(name: &str) -> Without {
    match name {
        "fence" => Without { fence: true, ..Without::default() },
        "numbering" => Without { numbering: true, ..Without::default() },
        "repair" => Without { repair: true, ..Without::default() },
        other => panic!("there is no guard of the name {other}: fence, numbering, repair"),
    }
}

#[test]
fn what_was_acknowledged_is_kept_whatever_dies() {
    hush();
    let without = setting::<String>("CONVOKE_SIM_WITHOUT").map_or(Without::default(), |name| without_of(&name));
    if let Some(path) = setting::<String>("CONVOKE_SIM_PLAN") {
        let plan: Plan = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let outcome = simulate(&plan, without);
        assert!(outcome.violations.is_empty(), "{}", outcome.violations.join("\n"));
        return;
    }
    let (first, count) = (setting("CONVOKE_SIM_FIRST").unwrap_or(1), setting("CONVOKE_SIM_SEEDS").unwrap_or(SEEDS));
    if let Some(path) = setting::<String>("CONVOKE_SIM_SAVE") {
        std::fs::write(path, serde_json::to_string_pretty(&Plan::of(first)).unwrap()).unwrap();
    }
    let (failed, report) = run_seeds(first, count, without, false);
    println!(
        "{count} seeds from {first}: {} events, {} answers, {} reconnects, {} resumes by replay, {} fenced commits",
        report.events, report.answers, report.reconnects, report.replays, report.fenced
    );
    for (seed, violations) in &failed {
        println!("seed {seed}:\n  {}", violations.iter().take(5).cloned().collect::<Vec<_>>().join("\n  "));
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed", failed.len());
    // Of a few seeds each may be a quiet one.
    assert!(count < 20 || (report.answers > count * 20 && report.replays > count), "there was nothing to see");
}

/// A simulator that finds nothing proves nothing: each guard that is taken away is missed.
fn is_missed(name: &str) {
    hush();
    let (failed, _) = run_seeds(1, SEEDS_OF_PROOF, without_of(name), true);
    let (seed, violations) = failed.first().unwrap_or_else(|| panic!("nobody misses the {name}"));
    println!("without the {name}, seed {seed}: {}", violations[0]);
}

#[test]
fn the_fence_is_missed() {
    is_missed("fence");
}

#[test]
fn the_numbering_is_missed() {
    is_missed("numbering");
}

#[test]
fn the_repair_of_gaps_is_missed() {
    is_missed("repair");
}

#[test]
fn one_seed_is_one_run() {
    hush();
    let plan = Plan::of(7);
    let log = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let tasks = tokio::task::LocalSet::new();
        let end = tasks.block_on(&runtime, world::run(&plan, Without::default()));
        let tables = end.world.database.tables.lock().unwrap();
        tables.meetings.values().map(|meeting| meeting.events.clone()).collect::<Vec<_>>()
    };
    assert!(log() == log(), "the same seed ran in another way");
}
