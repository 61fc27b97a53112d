//! This server beside others, by turns in one run: what an update takes and costs, and how long a large
//! board takes to open while others draw. Figures are the medians of the turns; the ratios are what can
//! be compared between machines.

use super::super::median;
use super::Arguments;
use super::opening::{Filled, opened};
use super::painter::{Painter, turn};
use super::reference::Contender;
use convoke_loadtest::board::door::Door;
use convoke_loadtest::board::hand::Style;
use convoke_loadtest::rest::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Convoke's figures hold when they are within these.
const P50_ABOVE_RELAY_MS: f64 = 1.0;
const CPU_OF_RELAY: f64 = 1.5;
const OPENING_OF_OTHERS: f64 = 1.0 / 3.0;
/// An opening ends by itself; the painters go on as long.
const ENDLESS: Duration = Duration::from_secs(3_600);

struct Side {
    contender: Contender,
    painters: Vec<Painter>,
    /// Those who open the large board, and the one who filled it.
    openers: Vec<Filled>,
    _doors: Vec<Door>,
    _filler: Option<Painter>,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    single: Vec<f64>,
    crowd: Vec<f64>,
    meanwhile: Vec<f64>,
    missing: u64,
}

/// The medians.
#[derive(Clone, Copy, Default)]
struct Shown {
    p50: f64,
    p99: f64,
    cpu: f64,
    single: f64,
    crowd: f64,
    meanwhile: f64,
}

impl Side {
    async fn start(name: &str, arguments: &Arguments) -> Result<Self, Failure> {
        let contender = Contender::start(name, arguments).await?;
        let board = contender.board("drawn-on").await?;
        let mut painters = Vec::new();
        for author in 0..arguments.clients {
            let door = contender.door(&board, &format!("painter-{author}")).await?;
            painters.push(Painter::start(door, author, Style::Own).await?);
        }
        let (mut openers, mut doors, mut filler) = (Vec::new(), Vec::new(), None);
        if contender.has_documents() && arguments.shapes > 0 {
            let board = contender.board("large").await?;
            let mut first = Painter::start(contender.door(&board, "filler").await?, 0, Style::Own).await?;
            first.fill(arguments.shapes).await?;
            let last = first.drawn();
            filler = Some(first);
            for number in 0..arguments.clients {
                let mut door = contender.door(&board, &format!("opener-{number}")).await?;
                openers.push(Filled { address: door.address().await?, last });
                doors.push(door);
            }
        }
        let figures = Figures::default();
        Ok(Self { contender, painters, openers, _doors: doors, _filler: filler, figures })
    }

    async fn draw(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let never = AtomicBool::new(false);
        let turn = turn(&mut self.painters, self.contender.pid, arguments.rate, arguments.duration, &never).await?;
        println!(
            "{:12} p50 {:7.2} ms, p99 {:7.2} ms, {:7.0} us CPU an update, {} updates",
            self.contender.name, turn.p50_ms, turn.p99_ms, turn.cpu_us, turn.updates
        );
        self.figures.p50.push(turn.p50_ms);
        self.figures.p99.push(turn.p99_ms);
        self.figures.cpu.push(turn.cpu_us);
        self.figures.missing += turn.missing;
        Ok(())
    }

    async fn open(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if self.openers.is_empty() {
            return Ok(());
        }
        let is_over = AtomicBool::new(false);
        let opening = async {
            let opened = opened(&self.openers).await;
            is_over.store(true, Ordering::Relaxed);
            opened
        };
        let drawing = turn(&mut self.painters, self.contender.pid, arguments.rate, ENDLESS, &is_over);
        let (opened, drawn) = tokio::join!(opening, drawing);
        let (opened, drawn) = (opened?, drawn?);
        println!(
            "{:12} opened {} shapes ({:.1} MB) in {:7.1} ms, by {} at once in {:7.1} ms; p99 of updates meanwhile {:.2} ms",
            self.contender.name,
            opened.shapes,
            opened.bytes as f64 / 1e6,
            opened.single_ms,
            arguments.clients,
            opened.crowd_ms,
            drawn.p99_ms
        );
        if opened.shapes < arguments.shapes {
            return Err(format!("{} gave {} shapes only", self.contender.name, opened.shapes).into());
        }
        self.figures.single.push(opened.single_ms);
        self.figures.crowd.push(opened.crowd_ms);
        self.figures.meanwhile.push(drawn.p99_ms);
        self.figures.missing += drawn.missing;
        Ok(())
    }

    fn shown(&mut self) -> Shown {
        let figures = &mut self.figures;
        Shown {
            p50: median(&mut figures.p50),
            p99: median(&mut figures.p99),
            cpu: median(&mut figures.cpu),
            single: median(&mut figures.single),
            crowd: median(&mut figures.crowd),
            meanwhile: median(&mut figures.meanwhile),
        }
    }
}

pub async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let mut sides = Vec::new();
    for name in &arguments.servers {
        sides.push(Side::start(name, arguments).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The first turn makes everybody warm, and does not count.
    for turn in 0..=arguments.turns {
        for side in &mut sides {
            side.draw(arguments).await?;
            if turn == 0 {
                side.figures = Figures { missing: side.figures.missing, ..Figures::default() };
            }
        }
    }
    for _ in 0..arguments.turns {
        for side in &mut sides {
            side.open(arguments).await?;
        }
    }
    println!(
        "\nmedians of {} turns, {} people at {} updates/s each",
        arguments.turns, arguments.clients, arguments.rate
    );
    println!(
        "{:12} {:>9} {:>9} {:>12} {:>10} {:>12} {:>14}",
        "", "p50 ms", "p99 ms", "CPU us/upd.", "open ms", "open all ms", "p99 meanwhile"
    );
    let mut medians = Vec::new();
    let mut missing = 0;
    for side in &mut sides {
        let shown = side.shown();
        print!("{:12} {:9.2} {:9.2} {:12.0}", side.contender.name, shown.p50, shown.p99, shown.cpu);
        if side.openers.is_empty() {
            println!(" {:>10} {:>12} {:>14}", "-", "-", "-");
        } else {
            println!(" {:10.1} {:12.1} {:14.2}", shown.single, shown.crowd, shown.meanwhile);
        }
        missing += side.figures.missing;
        medians.push((side.contender.name.clone(), shown));
    }
    if missing > 0 {
        println!("{missing} deliveries did not come");
    }
    Ok(judge(&medians) && missing == 0)
}

/// The aims, as far as there is something to hold them against.
fn judge(medians: &[(String, Shown)]) -> bool {
    let of = |name: &str| medians.iter().find(|(other, _)| other == name).map(|(_, shown)| *shown);
    let Some(convoke) = of("convoke") else { return true };
    let mut holds = true;
    let mut aim = |what: &str, figure: f64, most: f64| {
        let is_met = figure <= most;
        holds &= is_met;
        println!("{:6} {what}: {figure:.2}, at most {most:.2}", if is_met { "holds" } else { "MISSED" });
    };
    println!();
    if let Some(relay) = of("relay") {
        aim("p50 above the relay's, ms", convoke.p50 - relay.p50, P50_ABOVE_RELAY_MS);
        aim("CPU an update, of the relay's", convoke.cpu / relay.cpu, CPU_OF_RELAY);
    }
    if let (Some(relay), Some(syncing)) = (of("relay"), of("syncing-relay")) {
        let (theirs, ours) = (syncing.cpu / relay.cpu, convoke.cpu / syncing.cpu);
        println!(
            "       a relay that syncs before it sends takes {theirs:.2} of the relay's CPU; Convoke {ours:.2} of that"
        );
    }
    let others: Vec<Shown> = ["y-websocket", "hocuspocus"].into_iter().filter_map(of).collect();
    let best = |figure: fn(&Shown) -> f64| others.iter().map(figure).min_by(f64::total_cmp);
    if let Some(p99) = best(|shown| shown.p99) {
        aim("p99, of the best other's", convoke.p99 / p99, 1.0);
    }
    for (what, figure) in
        [("opened", (|shown| shown.single) as fn(&Shown) -> f64), ("opened by all at once", |shown| shown.crowd)]
    {
        if let Some(theirs) = best(figure).filter(|theirs| theirs.is_finite()) {
            aim(&format!("{what}, of the best other's"), figure(&convoke) / theirs, OPENING_OF_OTHERS);
        }
    }
    holds
}
