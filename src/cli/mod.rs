//! `convoke`: serve, migrate, check, token, demo-meeting. Every setting is a flag, made from the
//! table of settings; flags override the environment, which overrides the file. What a command
//! answers goes to standard output, everything else to standard error.

mod access;
mod check;
mod client;
mod demo_meeting;
mod flags;
mod migrate;
mod serve;
mod token;
mod ways;

use crate::config::Config;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Settings come from convoke.toml, then from the environment, then from flags. Every flag has a variable: \
--database-url is CONVOKE_DATABASE_URL, and the same name in lowercase without its prefix stands in the file. \
convoke.example.toml shows them all; `convoke --help` names each with its default, `convoke check` tries them.";

/// Runs meetings: roster, roles, lobby, chat; across reconnects and crashes.
#[derive(Parser)]
#[command(name = "convoke", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The settings file [default: convoke.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: flags::SettingFlags,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Migrates the database and serves (the default)
    Serve,
    /// Brings the database's schema up to date
    Migrate,
    /// Checks configuration and connections, one line each
    Check,
    /// Makes a join token, and the link that it opens a meeting with
    Token(token::Arguments),
    /// Makes a meeting, and a way in for a host and for a guest, as one JSON line
    #[command(alias = "demo")]
    DemoMeeting,
}

/// What a command failed with, for people.
type Failure = String;

pub fn main() -> ExitCode {
    run(Arguments::parse())
}

fn run(arguments: Arguments) -> ExitCode {
    let task = arguments.command.unwrap_or(Task::Serve);
    let config = match Config::load(arguments.config.as_deref(), &arguments.settings.0) {
        Ok(config) => config,
        Err(error) => {
            if matches!(task, Task::Check) {
                check::configuration_failed(&error);
                return ExitCode::FAILURE;
            }
            eprintln!("convoke: {error}");
            return ExitCode::from(2);
        }
    };
    if matches!(task, Task::Serve) {
        return told(serve::serve(config));
    }
    told(actix_rt::System::new().block_on(async move {
        match task {
            Task::Serve => Ok(()),
            Task::Migrate => migrate::migrate(&config).await,
            Task::Check => check::check(&config).await,
            Task::Token(arguments) => token::token(&config, arguments).await,
            Task::DemoMeeting => demo_meeting::demo_meeting(&config).await,
        }
    }))
}

fn told(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("convoke: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line of a command's answer. Whoever stops reading it, as `head` does, is no failure.
fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests;
