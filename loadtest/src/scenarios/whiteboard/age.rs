//! What an update costs on a board that had few, and on one that had many: some two hundred elements drawn
//! over and over, and then both boards at the same rate, by turns.

use super::super::median;
use super::painter::{Painter, turn};
use super::{Arguments, Place};
use convoke_loadtest::board::hand::Style;
use convoke_loadtest::rest::Failure;
use futures_util::future::join_all;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// On each board.
const ELEMENTS: u32 = 200;
/// Updates of one painter on their way at once.
const WINDOW: u32 = 16;
const MOST: f64 = 1.2;

async fn aged(place: &Place, arguments: &Arguments, name: &str, updates: u32) -> Result<Vec<Painter>, Failure> {
    let board = place.board(name).await?;
    let clients = u32::from(arguments.clients.max(1));
    let style = Style::Over { elements: (ELEMENTS / clients).max(1) };
    let mut painters = Vec::new();
    for author in 0..arguments.clients.max(1) {
        painters.push(Painter::start(place.door(&board, &format!("{name}-{author}")).await?, author, style).await?);
    }
    let began = Instant::now();
    let rushes = painters.iter_mut().map(|painter| painter.rush(updates / clients, WINDOW));
    join_all(rushes).await.into_iter().collect::<Result<(), Failure>>()?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}: {updates} updates in {seconds:.1} s, {:.0} a second", f64::from(updates) / seconds);
    Ok(painters)
}

pub async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let place = Place::open(arguments).await?;
    let pid = place.pid().ok_or("name the server's process with --pid, or use --spawn")?;
    let mut boards = Vec::new();
    for (name, updates) in [("young", arguments.young), ("old", arguments.old)] {
        boards.push((name, aged(&place, arguments, name, updates).await?, Vec::new(), Vec::new()));
    }
    let never = AtomicBool::new(false);
    let mut missing = 0;
    for _ in 0..arguments.turns {
        for (name, painters, p50s, cpus) in &mut boards {
            let turn = turn(painters, pid, arguments.rate, arguments.duration, &never).await?;
            println!(
                "{name:6} p50 {:7.2} ms, p99 {:7.2} ms, {:7.0} us CPU an update",
                turn.p50_ms, turn.p99_ms, turn.cpu_us
            );
            p50s.push(turn.p50_ms);
            cpus.push(turn.cpu_us);
            missing += turn.missing;
        }
    }
    let mut medians = boards.iter_mut().map(|(_, _, p50s, cpus)| (median(p50s), median(cpus)));
    let (Some(young), Some(old)) = (medians.next(), medians.next()) else { return Err("no boards".into()) };
    let (p50, cpu) = (old.0 / young.0, old.1 / young.1);
    println!("after {} updates, of after {}: p50 {p50:.2} x, CPU an update {cpu:.2} x", arguments.old, arguments.young);
    if missing > 0 {
        println!("{missing} deliveries did not come");
    }
    Ok(p50 <= MOST && cpu <= MOST && missing == 0)
}
