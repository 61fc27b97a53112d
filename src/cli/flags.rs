//! The settings as flags. They are made from the table of settings, so each has one, with its
//! variable, its default and what may stand there in `--help`. What is checked here is only the
//! name: the value is checked with all others, wherever it was written.

use crate::config::{Flags, Kind, SETTINGS, Setting};
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use std::sync::LazyLock;

/// Shown by `-h`; the others by `--help`.
const COMMON: [&str; 10] = [
    "bind",
    "public_url",
    "node_id",
    "database_url",
    "api_keys",
    "redis_url",
    "livekit_url",
    "livekit_api_key",
    "livekit_api_secret",
    "objects_url",
];

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| SETTINGS.iter().map(Setting::flag).collect());

/// Names and values of the settings that were given as flags.
pub struct SettingFlags(pub Flags);

fn argument(setting: &'static Setting, flag: &'static str) -> Arg {
    let (help, variable) = (setting.help.trim(), setting.variable());
    let default = match setting.default {
        None | Some("") => String::new(),
        Some(default) => format!(" [default: {default}]"),
    };
    Arg::new(setting.name)
        .long(flag)
        .global(true)
        .value_name(match setting.kind {
            Kind::Number { .. } => "NUMBER",
            Kind::List(_) => "LIST",
            Kind::Text(_) | Kind::Secret(_) | Kind::Choice(_) => "VALUE",
        })
        .help(format!("{help} [env: {variable}]{default}"))
        .long_help(format!("{help}\n{}\n[env: {variable}]{default}", setting.expected()))
        .help_heading(setting.group)
        .hide_short_help(!COMMON.contains(&setting.name))
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let named = SETTINGS.iter().zip(NAMES.iter());
        named.fold(command, |command, (setting, flag)| command.arg(argument(setting, flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |setting: &Setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name.to_owned(), value.clone()))
        };
        Ok(Self(SETTINGS.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
