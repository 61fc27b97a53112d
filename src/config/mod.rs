//! The configuration: read from `convoke.toml`, then from the environment (`CONVOKE_…`), then from
//! flags. What is not known is an error that names the nearest setting that is; what cannot stand
//! there is an error that names the setting, where it came from, the unit and the range. Values are
//! never repeated in errors: any of them may be a secret.

mod checks;
mod proxies;
mod setting;
mod settings;
mod sources;

pub use proxies::Proxies;
pub use setting::{Kind, Setting};
pub use settings::{Config, SETTINGS};
pub use sources::{Flags, environment};

use crate::whiteboards;
use convoke_actors::outlet::Bounds;
use convoke_actors::session::Pace;
use convoke_actors::supervisor::Timing;
use convoke_actors::whiteboard::document;
use convoke_domain::Limits;
use figment::Figment;
use figment::value::Dict;
use governor::Quota;
use setting::FromText;
use sources::Texts;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown setting `{name}` ({place}){hint}")]
    Unknown { name: String, place: String, hint: String },
    #[error("setting `{name}` ({place}): {why}")]
    Bad { name: &'static str, place: String, why: String },
    #[error("{0}")]
    Unreadable(String),
}

/// All sources, laid over each other.
pub(crate) struct Values {
    figment: Figment,
    merged: Dict,
}

impl Values {
    /// Where the value in force was written.
    fn place(&self, name: &str) -> String {
        self.figment.find_metadata(name).map_or_else(|| "default".to_owned(), |found| found.name.clone().into_owned())
    }

    fn bad(&self, setting: &Setting, why: impl Into<String>) -> ConfigError {
        ConfigError::Bad { name: setting.name, place: self.place(setting.name), why: why.into() }
    }

    pub(crate) fn read<T: FromText>(&self, name: &'static str) -> Result<T, ConfigError> {
        let setting = setting_named(name)?;
        let wrong = || self.bad(setting, format!("must be {}", setting.expected()));
        let text = self.merged.get(name).map(|value| setting::text_of(value).ok_or_else(wrong)).transpose()?;
        // A setting that may be absent is absent when it is set to nothing.
        let Some(text) = text.filter(|text| !text.is_empty() || setting.default.is_some()) else {
            let absent = setting.default.map_or_else(T::absent, T::from_text);
            return absent.ok_or_else(|| self.bad(setting, "is missing"));
        };
        if !setting.allows(&text) {
            return Err(wrong());
        }
        if text.is_empty() && !matches!(setting.kind, Kind::List(_)) {
            return Err(wrong());
        }
        T::from_text(&text).ok_or_else(wrong)
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        match self.merged.keys().find(|name| setting_named(name).is_err()) {
            Some(name) => {
                Err(ConfigError::Unknown { name: name.clone(), place: self.place(name), hint: nearest(name) })
            }
            None => Ok(()),
        }
    }
}

fn setting_named(name: &str) -> Result<&'static Setting, ConfigError> {
    let found = SETTINGS.iter().find(|setting| setting.name == name);
    found.ok_or_else(|| ConfigError::Unreadable(format!("there is no setting `{name}`")))
}

fn nearest(name: &str) -> String {
    let score = |setting: &&Setting| strsim::jaro_winkler(setting.name, name);
    let nearest = SETTINGS.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
    nearest.map(|setting| format!("; did you mean `{}`?", setting.name)).unwrap_or_default()
}

impl Config {
    /// Reads the file (if it is there, or if it was named), the environment of the process, and flags.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        Self::load_from(file, environment()?, flags)
    }

    /// The same with a given environment: names with their prefix, and values.
    pub fn load_from(
        file: Option<&Path>,
        environment: Vec<(String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(values) = sources::file(file)? {
            figment = figment.merge(values);
        }
        for (variable, value) in environment {
            let name = variable.strip_prefix(sources::PREFIX).unwrap_or(&variable).to_lowercase();
            figment = figment.merge(Texts::one(variable, name, value));
        }
        for (name, value) in flags {
            let name = name.replace('-', "_");
            figment = figment.merge(Texts::one(format!("--{}", name.replace('_', "-")), name, value.clone()));
        }
        let merged = figment.extract::<Dict>().map_err(|error| ConfigError::Unreadable(error.kind.to_string()))?;
        let values = Values { figment, merged };
        values.check_names()?;
        let mut config = Self::read(&values)?;
        config.tidy();
        checks::check(&config, &|name, why| match setting_named(name) {
            Ok(setting) => values.bad(setting, why),
            Err(error) => error,
        })?;
        Ok(config)
    }

    /// URLs and origins in the one form in which they are compared and built upon.
    fn tidy(&mut self) {
        if let Some(url) = &mut self.public_url {
            *url = url.trim_end_matches('/').to_owned();
        }
        for origin in &mut self.allowed_origins {
            *origin = origin.trim_end_matches('/').to_lowercase();
        }
    }

    /// What links are made with where no request tells: the public URL, or the address of this host.
    pub fn base_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.reachable()))
    }

    /// Where a client on this host finds the server, if it listens everywhere too.
    pub fn reachable(&self) -> std::net::SocketAddr {
        let mut address = self.bind;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }

    pub fn proxies(&self) -> Proxies {
        Proxies::parse(&self.trusted_proxies).unwrap_or_default()
    }

    pub fn limits(&self) -> Limits {
        Limits {
            participants_max: self.participants_max,
            lobby_max: self.lobby_max,
            sessions_per_participant_max: self.sessions_per_participant_max,
            gone_max: self.gone_max,
            closed_sessions_max: self.closed_sessions_max,
            answers_kept_max: self.answers_kept_max,
            requests_kept_max: self.requests_kept_max,
            bans_max: self.bans_max,
            title_chars_max: self.title_chars_max,
            name_chars_max: self.name_chars_max,
            chat_chars_max: self.chat_chars_max,
            emoji_chars_max: self.emoji_chars_max,
            reactions_per_message_max: self.reactions_per_message_max,
            live_messages_max: self.live_messages_max,
            question_chars_max: self.question_chars_max,
            questions_open_max: self.questions_open_max,
            questions_of_one_max: self.questions_of_one_max,
            questions_kept_max: self.questions_kept_max,
            poll_options_max: self.poll_options_max,
            poll_option_chars_max: self.poll_option_chars_max,
            polls_open_max: self.polls_open_max,
            polls_kept_max: self.polls_kept_max,
            spotlight_max: self.spotlight_max,
            caption_chars_max: self.caption_chars_max,
            invitations_max: self.invitations_max,
            breakout_rooms_max: self.breakout_rooms_max,
            rooms_kept_max: self.rooms_kept_max,
            has_media_server: self.livekit_url.is_some(),
            has_recorder: self.livekit_url.is_some(),
            recordings_at_once_max: self.recordings_at_once_max,
            recordings_kept_max: self.recordings_kept_max,
            takes_max: self.takes_max,
            recording_start_ms: self.recording_start_s.saturating_mul(1_000),
            recording_empty_ms: self.recording_empty_s.saturating_mul(1_000),
            recording_ms_max: self.recording_s_max.saturating_mul(1_000),
            recording_stop_ms: self.recording_stop_s.saturating_mul(1_000),
            recording_processing_ms: self.recording_processing_s.saturating_mul(1_000),
            recording_away_ms: self.recording_away_s.saturating_mul(1_000),
            recording_retry_ms: self.recording_retry_s.saturating_mul(1_000),
            recording_failures_max: self.recording_failures_max,
            whiteboards_max: self.whiteboards_max,
            whiteboards_total_max: self.whiteboards_total_max,
            grace_ms: self.grace_s.saturating_mul(1_000),
            empty_ms: self.empty_s.saturating_mul(1_000),
            count_interval_ms: self.count_interval_ms,
        }
    }

    pub fn bounds(&self) -> Bounds {
        Bounds {
            reliable_bytes_max: self.reliable_bytes_max,
            latest_bytes_max: self.latest_bytes_max,
            progress: Duration::from_secs(self.progress_s),
            heartbeat: Duration::from_secs(self.heartbeat_s),
            ping: Duration::from_secs(self.ping_s),
        }
    }

    pub fn whiteboard_bounds(&self) -> document::Bounds {
        document::Bounds {
            board_bytes_max: self.whiteboard_bytes_max,
            update_bytes_max: self.whiteboard_update_bytes_max,
            frame_bytes_max: self.whiteboard_frame_bytes_max,
            items_max: self.whiteboard_items_max,
            nested_max: self.whiteboard_nested_max,
            tail_updates_max: self.whiteboard_log_updates_max,
            ..document::Bounds::default()
        }
    }

    /// Messages a second of one socket of a board, and at once.
    pub fn board_pace(&self) -> Quota {
        Quota::per_second(self.whiteboard_messages_per_s).allow_burst(self.whiteboard_messages_burst)
    }

    /// How many boards are made into files.
    pub fn export_pace(&self) -> whiteboards::Pace {
        whiteboards::Pace {
            at_once: self.whiteboard_exports_at_once,
            waiting_max: self.whiteboard_exports_waiting_max,
            wait: Duration::from_secs(self.whiteboard_export_wait_s),
            unsent_bytes_max: self.whiteboard_exports_bytes_max,
        }
    }

    pub fn pace(&self) -> Pace {
        Pace {
            commands_per_s: self.commands_per_s,
            burst: self.commands_burst,
            flood_per_s: self.flood_per_s,
            flood_burst: self.flood_burst,
            in_flight_max: self.in_flight_max,
            hello: Duration::from_secs(self.hello_s),
        }
    }

    pub fn timing(&self) -> Timing {
        Timing {
            drop: Duration::from_millis(self.drop_ms),
            passivate: Duration::from_secs(self.passivate_s),
            lease: Duration::from_secs(self.lease_s),
            renew: Duration::from_secs(self.renew_s),
        }
    }
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;
