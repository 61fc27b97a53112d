//! The load tester's command line: one file a scenario.

mod scenarios;

use clap::{Parser, Subcommand};
use scenarios::{breakout, broadcast, cluster, crash, idle, joins, meeting, terminal, voters, webhooks, whiteboard};
use std::process::ExitCode;

/// Real WebSocket clients against a Convoke server: load, and the proof that nothing was lost.
#[derive(Parser)]
#[command(name = "convoke-loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// People who join, chat, raise hands, drop and resume
    Meeting(meeting::Arguments),
    /// kill -9 at random moments under load, and what was acknowledged afterwards
    Crash(crash::Arguments),
    /// Nodes of a cluster that die or stop under load, and how long that is felt
    Cluster(cluster::Arguments),
    /// CPU a delivery, beside a plain broadcaster in the same run
    Broadcast(broadcast::Arguments),
    /// A thousand people through breakout rooms, and how long until everybody is told
    Breakout(breakout::Arguments),
    /// A thousand people who vote within a second, and react all the time
    Voters(voters::Arguments),
    /// Ten thousand webhooks of LiveKit within seconds, and how long commands take meanwhile
    Webhooks(webhooks::Arguments),
    /// Many joins into one meeting, until everybody knows of everybody
    Joins(joins::Arguments),
    /// People who draw on whiteboards, drop and come back; beside other servers, and a board's age
    Whiteboard(whiteboard::Arguments),
    /// Memory of an idle connection, beside a plain server's
    Idle(idle::Arguments),
    /// A person's client in the terminal
    Join(terminal::Arguments),
    #[command(hide = true)]
    FloorServer(scenarios::floor::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("convoke-loadtest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.scenario {
            Scenario::Meeting(arguments) => meeting::run(arguments).await,
            Scenario::Crash(arguments) => crash::run(arguments).await,
            Scenario::Cluster(arguments) => cluster::run(arguments).await,
            Scenario::Broadcast(arguments) => broadcast::run(arguments).await,
            Scenario::Breakout(arguments) => breakout::run(arguments).await,
            Scenario::Voters(arguments) => voters::run(arguments).await,
            Scenario::Webhooks(arguments) => webhooks::run(arguments).await,
            Scenario::Joins(arguments) => joins::run(arguments).await,
            Scenario::Whiteboard(arguments) => whiteboard::run(arguments).await,
            Scenario::Idle(arguments) => idle::run(arguments).await,
            Scenario::Join(arguments) => terminal::run(arguments).await,
            Scenario::FloorServer(arguments) => scenarios::floor::serve(&arguments).await,
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("convoke-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}
