//! `cargo xtask run` and `cargo xtask test`: what people do daily with this repository.

mod servers;
mod tools;

use clap::{Parser, Subcommand};
use servers::Servers;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Runs and tests Convoke")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds and starts the server on embedded defaults, and prints two ways in
    Run {
        /// With optimisation
        #[arg(long)]
        release: bool,
        /// Passed on to the server
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Brings up PostgreSQL and Redis of its own, finds or makes a LiveKit server, and runs every check and test
    Test {
        /// Only tests whose name has this in it
        filter: Option<String>,
        /// Leaves out formatting, lints and licences
        #[arg(long)]
        quick: bool,
    },
    /// Simulates a cluster and everything that can befall it, one run a seed; a seed that fails is printed
    Sim(Sim),
    /// Line coverage, with cargo-tarpaulin
    Coverage,
}

#[derive(clap::Args)]
struct Sim {
    /// How many
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Writes the plan of the first seed to a file
    #[arg(long)]
    save: Option<std::path::PathBuf>,
    /// Runs a plan from a file instead
    #[arg(long)]
    plan: Option<std::path::PathBuf>,
    /// Takes a guard away, to see that it is missed: fence, numbering or repair
    #[arg(long)]
    without: Option<String>,
    /// Prints everything that is said
    #[arg(long)]
    trace: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Run { release, rest } => run(release, &rest),
        Task::Test { filter, quick } => test(filter.as_deref(), quick),
        Task::Sim(arguments) => sim(&arguments),
        Task::Coverage => coverage(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Cargo as it was called.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn run(release: bool, rest: &[String]) -> Result<bool, Failure> {
    let mut build = vec!["build", "--package", "convoke", "--package", "convoke-loadtest"];
    if release {
        build.push("--release");
    }
    if !cargo(&build).status()?.success() {
        return Ok(false);
    }
    let folder = if release { "target/release" } else { "target/debug" };
    let server = format!("{folder}/convoke");
    // A meeting is put into the database before the server takes it.
    let made = Command::new(&server).args(rest).arg("demo").stderr(Stdio::inherit()).output()?;
    if !made.status.success() {
        return Err("the first meeting could not be made; is a server running already?".into());
    }
    let made = String::from_utf8(made.stdout)?;
    let mut child = Command::new(&server).args(rest).arg("serve").stderr(Stdio::piped()).spawn()?;
    let log = child.stderr.take().ok_or("the server has no log")?;
    let mut is_told = false;
    for line in BufReader::new(log).lines() {
        let line = line?;
        if !is_told && line.contains("listening") {
            is_told = true;
            ways_in(&made, folder);
        }
        eprintln!("{line}");
    }
    Ok(child.wait()?.success())
}

fn ways_in(made: &str, folder: &str) {
    println!("\nConvoke is running. Two ways in, each for a terminal of its own:\n");
    for who in ["host", "guest"] {
        // The line is the server's own, of a shape that is known: no parser is needed for it.
        let link = made.split(&format!("\"{who}\":{{")).nth(1).and_then(|rest| rest.split("\"join_url\":\"").nth(1));
        if let Some(link) = link.and_then(|rest| rest.split('"').next()) {
            println!("  {who}:  {folder}/convoke-loadtest join '{link}'\n");
        }
    }
    println!("The API is described at /docs. Ctrl-C stops the server.\n");
}

fn test(filter: Option<&str>, quick: bool) -> Result<bool, Failure> {
    let servers = Servers::start()?;
    let tools = tools::environment();
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    if !quick {
        steps.push(("formatting", vec!["fmt", "--all", "--check"]));
        steps.push(("lints", vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    }
    steps.push(("build", vec!["build", "--workspace", "--bins"]));
    let mut tests = vec!["test", "--workspace", "--no-fail-fast"];
    tests.extend(filter);
    steps.push(("tests", tests));
    let mut failed = Vec::new();
    for (name, arguments) in &steps {
        println!("\n== {name}: cargo {}\n", arguments.join(" "));
        let status = cargo(arguments).envs(servers.environment()).envs(tools.iter().cloned()).status()?;
        if !status.success() {
            failed.push(*name);
        }
    }
    if !quick && !licences()? {
        failed.push("licences");
    }
    drop(servers);
    println!();
    for (name, _) in &steps {
        println!("{name:12} {}", if failed.contains(name) { "FAILED" } else { "ok" });
    }
    Ok(failed.is_empty())
}

/// So many seeds are worth an optimised build, which is several times as fast; fewer are not.
const MANY_SEEDS: u64 = 500;

fn sim(arguments: &Sim) -> Result<bool, Failure> {
    let is_optimised = arguments.seeds >= MANY_SEEDS && arguments.plan.is_none();
    let profile = if is_optimised { "sim" } else { "test" };
    let mut test =
        cargo(&["test", "--profile", profile, "--test", "sim", "what_was_acknowledged", "--", "--nocapture"]);
    test.env("CONVOKE_SIM_SEEDS", arguments.seeds.to_string());
    test.env("CONVOKE_SIM_FIRST", arguments.first.to_string());
    let file = |path: &std::path::PathBuf| std::path::absolute(path);
    if let Some(path) = &arguments.save {
        test.env("CONVOKE_SIM_SAVE", file(path)?);
    }
    if let Some(path) = &arguments.plan {
        test.env("CONVOKE_SIM_PLAN", file(path)?);
    }
    if let Some(guard) = &arguments.without {
        test.env("CONVOKE_SIM_WITHOUT", guard);
    }
    if arguments.trace {
        test.env("CONVOKE_SIM_TRACE", "1");
    }
    Ok(test.status()?.success())
}

/// Licences, bans and sources, where cargo-deny is installed.
fn licences() -> Result<bool, Failure> {
    let known = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    if !known {
        println!("\n== licences: SKIPPED, cargo-deny is not installed (cargo install --locked cargo-deny)\n");
        return Ok(true);
    }
    Ok(cargo(&["deny", "check", "licenses", "bans", "sources"]).status()?.success())
}

fn coverage() -> Result<bool, Failure> {
    if !cargo(&["tarpaulin", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        return Err("cargo-tarpaulin is not installed (cargo install --locked cargo-tarpaulin)".into());
    }
    let servers = Servers::start()?;
    // Instrumented code is another build, so it has a folder of its own.
    let arguments = [
        "tarpaulin",
        "--workspace",
        "--engine",
        "llvm",
        "--follow-exec",
        "--skip-clean",
        "--target-dir",
        "target/coverage",
        "--exclude-files",
        "xtask/*",
        "--exclude-files",
        "*/tests/*",
        "--timeout",
        "900",
        "--out",
        "Json",
        "--output-dir",
        "target/coverage",
    ];
    Ok(cargo(&arguments).envs(servers.environment()).envs(tools::environment()).status()?.success())
}
