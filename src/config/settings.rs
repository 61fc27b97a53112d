//! The table of all settings: name, type, default, unit, range and meaning stand here and nowhere
//! else. The structure that the server reads, the flags, `--help` and the checks are made from it,
//! and a test holds `convoke.example.toml` to it.

use super::setting::{Kind, Setting};
use Kind::{Choice, List, Number, Secret, Text};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::num::NonZeroU32;

const fn number(unit: &'static str, from: u64, to: u64) -> Kind {
    Number { unit, from, to }
}

macro_rules! settings {
    ($($group:literal {
        $($(#[doc = $doc:literal])+ $name:ident: $type:ty $(= $default:literal)?, $kind:expr;)+
    })+) => {
        /// Every setting, as it is in force.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $name: $type,)+)+
        }

        pub static SETTINGS: &[Setting] = &[$($(Setting {
            group: $group,
            name: stringify!($name),
            help: concat!($($doc),+),
            default: settings!(@default $($default)?),
            kind: $kind,
        },)+)+];

        impl Config {
            pub(super) fn read(values: &super::Values) -> Result<Self, super::ConfigError> {
                Ok(Self { $($($name: values.read(stringify!($name))?,)+)+ })
            }
        }
    };
    (@default $default:literal) => { Some($default) };
    (@default) => { None };
}

settings! {
    "Server" {
        /// Address to listen on.
        bind: SocketAddr = "127.0.0.1:8080", Text("an IP address and a port, as 127.0.0.1:8080");
        /// What links are made with. Absent: from the request.
        public_url: Option<String>, Text("an http or https URL without a query");
        /// Stable name of this node. Absent: random.
        node_id: Option<String>, Text("up to 64 letters, digits, dots, hyphens and underscores");
        /// Origins that browsers may come from, besides this host itself and localhost.
        allowed_origins: Vec<String> = "", List("origins, as https://app.example");
        /// Proxies whose X-Forwarded-For is believed.
        trusted_proxies: Vec<String> = "", List("IP addresses and networks, as 10.0.0.0/8");
        /// Threads that serve sockets and REST. 0: as many as there are cores.
        workers: usize = "0", number("threads", 0, 1_024);
        /// Threads that run the meetings. 0: half as many as there are cores, at least one.
        meeting_threads: usize = "0", number("threads", 0, 1_024);
        /// How long a stopping server waits for requests in flight.
        shutdown_s: u64 = "1", number("seconds", 0, 300);
    }
    "Database, keys and connections" {
        /// Where meetings are kept.
        database_url: SecretString = "sqlite://data/convoke.db", Secret("sqlite://path or postgres://user@host/name");
        /// API keys of the tenants. Absent: one is made, kept in the database and printed once.
        api_keys: Option<SecretString>, Secret("tenant/key:secret, separated by commas");
        /// Bus between nodes: Redis 6 or later, or a Redis Cluster 7 or later. Absent: this is the only node.
        redis_url: Option<SecretString>, Secret("redis://host, redis+sentinel://host,host/?master=name or redis+cluster://host,host; rediss… with TLS");
        /// The LiveKit server that moves the media.
        livekit_url: Option<String>, Text("a ws, wss, http or https URL");
        /// API key of LiveKit.
        livekit_api_key: Option<String>, Text("the key's name");
        /// API secret of LiveKit.
        livekit_api_secret: Option<SecretString>, Secret("the key's secret");
        /// Where recordings and exports are kept.
        objects_url: String = "file://data/objects", Text("file://folder or s3://bucket/prefix");
        /// The folder of objects_url as LiveKit Egress sees it. Absent: the same.
        egress_objects_path: Option<String>, Text("a path");
        /// Where media goes when no LiveKit is configured: between the peers, or nowhere.
        media: String = "mesh", Choice(&["mesh", "none"]);
        /// STUN and TURN servers for meetings between peers.
        ice_servers: Vec<String> = "", List("stun:, turn: and turns: URLs");
    }
    "Recordings" {
        /// How often policies are applied and orphans counted, by one node for all.
        retention_interval_s: u64 = "3600", number("seconds", 1, 604_800);
        /// How long a link to a file may hold.
        link_ttl_s_max: u64 = "86400", number("seconds", 1, 86_400);
        /// How long ffprobe and ffmpeg may take over one recording, each.
        look_s: u64 = "60", number("seconds", 1, 3_600);
        /// Files of a bucket that are larger are not fetched for a picture.
        look_bytes_max: u64 = "2147483648", number("bytes", 1_048_576, 1_099_511_627_776);
    }
    "Transcription" {
        /// The service that transcribes recordings, or none.
        transcriber: String = "none", Choice(&["none", "deepgram"]);
        /// Where Deepgram is: their own servers, or some of yours.
        deepgram_url: String = "https://api.deepgram.com", Text("an https or http URL");
        /// API key of Deepgram.
        deepgram_api_key: Option<SecretString>, Secret("the key");
        /// The model that Deepgram transcribes with.
        deepgram_model: String = "nova-3", Text("a model's name");
        /// In which languages a recording is transcribed where none is named; detect: the one that is found in each file.
        transcription_languages: Vec<String> = "detect", List("up to 10 language tags, as en, pt-BR, multi or detect");
        /// Whether every recording is transcribed once it is completed, or on request alone.
        transcription_automatic: String = "no", Choice(&["no", "yes"]);
        /// Files that one node has transcribed at once.
        transcriptions_at_once: usize = "2", number("files", 1, 64);
        /// How long one file may take, its way to the service included.
        transcription_s: u64 = "1200", number("seconds", 10, 21_600);
        /// Files that are larger are not transcribed.
        transcription_bytes_max: u64 = "2147483648", number("bytes", 1_024, 1_099_511_627_776);
        /// Tries of one file before it is given up; with the wait below, over some hours.
        transcription_attempts_max: u32 = "10", number("attempts", 1, 100);
        /// The wait after the first try that failed; doubled after each further one, up to an hour. The service may ask for more.
        transcription_wait_ms: u64 = "30000", number("milliseconds", 10, 3_600_000);
    }
    "Mail" {
        /// The mail server that invitations are sent by. Absent: nothing is sent; their codes are in the answer.
        smtp_url: Option<SecretString>, Secret("smtps://user:password@host, or smtp://…:587?tls=required");
        /// Whom mail comes from.
        mail_from: Option<String>, Text("an address, as Convoke <meet@example.org>");
        /// Tries of one mail, over some hours, before it is given up.
        mail_attempts_max: u32 = "10", number("attempts", 1, 100);
    }
    "Webhooks" {
        /// Whether endpoints may be within this network, and without TLS: for trying them out, and where all tenants are trusted.
        webhook_allow_private: String = "no", Choice(&["no", "yes"]);
        /// Tries of one message before it is given up; with the wait below, over about a day.
        webhook_attempts_max: u32 = "16", number("attempts", 1, 100);
        /// The wait after the first try that failed; doubled after each further one, up to eight hours.
        webhook_wait_ms: u64 = "5000", number("milliseconds", 10, 3_600_000);
    }
    "Logs and traces" {
        /// JSON lines, readable lines, or auto: readable where somebody looks on.
        log_format: String = "auto", Choice(&["auto", "json", "pretty"]);
        /// What is logged: a level, or levels by module.
        log_level: String = "info", Text("a level (error, warn, info, debug, trace) or filters, as info,convoke=debug");
        /// Where traces are sent by OTLP over HTTP. Absent: nowhere.
        otlp_url: Option<String>, Text("an http URL, as http://127.0.0.1:4318/v1/traces");
    }
    "Limits of the edge" {
        /// Sockets on this node.
        connections_max: usize = "100000", number("sockets", 1, 10_000_000);
        /// Sockets of one address that have not joined yet; those that have are not counted.
        unjoined_per_address_max: usize = "2000", number("sockets", 1, 1_000_000);
        /// One frame from a client.
        frame_bytes_max: usize = "65536", number("bytes", 1_024, 16_777_216);
        /// One body of a REST request.
        body_bytes_max: usize = "262144", number("bytes", 1_024, 67_108_864);
        /// What may wait for one socket on the reliable lane, snapshots not counted.
        reliable_bytes_max: usize = "1048576", number("bytes", 65_536, 268_435_456);
        /// Signals are dropped while more than this waits for one socket.
        latest_bytes_max: usize = "65536", number("bytes", 1_024, 16_777_216);
        /// Commands of one session.
        commands_per_s: NonZeroU32 = "20", number("commands a second", 1, 1_000_000);
        /// Commands of one session at once.
        commands_burst: NonZeroU32 = "60", number("commands", 1, 1_000_000);
        /// Frames of one socket; beyond them it is closed.
        flood_per_s: NonZeroU32 = "100", number("frames a second", 1, 1_000_000);
        /// Frames of one socket at once; beyond them it is closed.
        flood_burst: NonZeroU32 = "1000", number("frames", 1, 1_000_000);
        /// Unanswered commands of one session.
        in_flight_max: usize = "64", number("commands", 1, 1_024);
        /// Time for a socket's first frame.
        hello_s: u64 = "5", number("seconds", 1, 60);
        /// Silence after which a socket is dropped.
        heartbeat_s: u64 = "25", number("seconds", 5, 600);
        /// How often a socket with nothing unread is pinged.
        ping_s: u64 = "10", number("seconds", 1, 300);
        /// Time without progress, while data waits, after which a socket is closed.
        progress_s: u64 = "15", number("seconds", 5, 600);
        /// Time between two ticks.
        tick_s: u64 = "10", number("seconds", 1, 600);
        /// REST requests of one API key.
        requests_per_minute: NonZeroU32 = "1000", number("requests a minute", 1, 10_000_000);
        /// REST requests of one API key at once.
        requests_burst: NonZeroU32 = "200", number("requests", 1, 1_000_000);
        /// Failed authentications of one address.
        auth_failures_per_minute: NonZeroU32 = "20", number("failures a minute", 1, 1_000_000);
    }
    "Limits of a whiteboard" {
        /// One board, as it is kept.
        whiteboard_bytes_max: usize = "16777216", number("bytes", 65_536, 268_435_456);
        /// One update of a board.
        whiteboard_update_bytes_max: usize = "1048576", number("bytes", 1_024, 67_108_864);
        /// One message to a board: what somebody drew while they were away comes in one.
        whiteboard_frame_bytes_max: usize = "4194304", number("bytes", 4_096, 268_435_456);
        /// Items that one board is made of; each takes some 200 bytes of memory.
        whiteboard_items_max: usize = "1000000", number("items", 1_000, 100_000_000);
        /// Updates of a board that are kept one by one, before a state takes their place; of a large one up to twice as many.
        whiteboard_log_updates_max: usize = "16384", number("updates", 64, 1_000_000);
        /// Shared types within others, on one board.
        whiteboard_nested_max: usize = "100000", number("types", 100, 200_000);
        /// Messages of one socket of a board; who sends more is read more slowly.
        whiteboard_messages_per_s: NonZeroU32 = "200", number("messages a second", 1, 1_000_000);
        /// Messages of one socket of a board at once.
        whiteboard_messages_burst: NonZeroU32 = "1000", number("messages", 1, 1_000_000);
        /// Exports of boards that are made at once; each may take a core for many seconds, and some hundred megabytes.
        whiteboard_exports_at_once: usize = "2", number("exports", 1, 256);
        /// Exports that wait for their turn; whoever asks for more is told to come later.
        whiteboard_exports_waiting_max: usize = "16", number("exports", 0, 10_000);
        /// How long an export waits for its turn.
        whiteboard_export_wait_s: u64 = "30", number("seconds", 1, 300);
        /// Exports that are made and not sent yet; whoever asks for more is told to come later.
        whiteboard_exports_bytes_max: usize = "268435456", number("bytes", 65_536, 17_179_869_184);
    }
    "Limits of a meeting" {
        /// Whiteboards of one room.
        whiteboards_max: usize = "50", number("boards", 1, 1_000);
        /// Whiteboards of all rooms of one meeting.
        whiteboards_total_max: usize = "500", number("boards", 1, 10_000);
        /// People in one meeting.
        participants_max: u32 = "1000", number("people", 1, 10_000);
        /// People waiting in the lobby.
        lobby_max: u32 = "1000", number("people", 1, 10_000);
        /// Devices of one participant at once.
        sessions_per_participant_max: usize = "5", number("sessions", 1, 100);
        /// People who left and are still remembered.
        gone_max: usize = "5000", number("people", 1, 100_000);
        /// Ended sessions whose numbering is still remembered.
        closed_sessions_max: usize = "4096", number("sessions", 1, 100_000);
        /// Answers kept for the retries of one session.
        answers_kept_max: usize = "64", number("answers", 1, 1_024);
        /// People banned from one meeting.
        bans_max: usize = "1000", number("people", 1, 100_000);
        /// Requests with an Idempotency-Key whose effect a meeting remembers.
        requests_kept_max: usize = "256", number("requests", 1, 10_000);
        /// A meeting's title.
        title_chars_max: usize = "200", number("characters", 1, 10_000);
        /// A person's name.
        name_chars_max: usize = "128", number("characters", 1, 1_000);
        /// A chat message.
        chat_chars_max: usize = "4000", number("characters", 1, 15_000);
        /// A reaction.
        emoji_chars_max: usize = "16", number("characters", 1, 100);
        /// Different reactions on one message.
        reactions_per_message_max: usize = "20", number("reactions", 1, 1_000);
        /// Messages that can still be edited, deleted or reacted to.
        live_messages_max: usize = "2000", number("messages", 50, 100_000);
        /// A question.
        question_chars_max: usize = "500", number("characters", 1, 10_000);
        /// Open questions of one room.
        questions_open_max: usize = "200", number("questions", 1, 10_000);
        /// Open questions of one person.
        questions_of_one_max: usize = "20", number("questions", 1, 10_000);
        /// Questions that are remembered; the earliest that is not open is forgotten first.
        questions_kept_max: usize = "1000", number("questions", 1, 100_000);
        /// Options of one poll.
        poll_options_max: usize = "20", number("options", 2, 100);
        /// An option of a poll.
        poll_option_chars_max: usize = "200", number("characters", 1, 1_000);
        /// Open polls of one room.
        polls_open_max: usize = "10", number("polls", 1, 1_000);
        /// Polls that are remembered; the earliest that is closed is forgotten first.
        polls_kept_max: usize = "500", number("polls", 1, 10_000);
        /// People in the spotlight at once.
        spotlight_max: usize = "25", number("people", 1, 1_000);
        /// A caption.
        caption_chars_max: usize = "1000", number("characters", 1, 10_000);
        /// Invitations to one meeting.
        invitations_max: usize = "1000", number("invitations", 1, 100_000);
        /// Breakout rooms of a meeting that are not closed.
        breakout_rooms_max: usize = "100", number("rooms", 1, 1_000);
        /// Rooms of a meeting that are remembered, closed ones included.
        rooms_kept_max: usize = "500", number("rooms", 1, 10_000);
        /// Recordings of one meeting that are under way at once.
        recordings_at_once_max: usize = "120", number("recordings", 1, 10_000);
        /// Recordings that a meeting remembers, those under way besides.
        recordings_kept_max: usize = "500", number("recordings", 1, 10_000);
        /// Runs of the recorder of one recording.
        takes_max: usize = "1000", number("takes", 1, 10_000);
        /// How long the recorder may take to begin.
        recording_start_s: u64 = "60", number("seconds", 5, 3_600);
        /// How long a recorded room may be empty before its recording stops.
        recording_empty_s: u64 = "30", number("seconds", 1, 86_400);
        /// How long one recording may be.
        recording_s_max: u64 = "21600", number("seconds", 60, 604_800);
        /// How long the recorder may take to stop.
        recording_stop_s: u64 = "300", number("seconds", 10, 86_400);
        /// How long the recorder may take to finish its files.
        recording_processing_s: u64 = "21600", number("seconds", 60, 604_800);
        /// How long the recorder may be out of reach before what it recorded is given up.
        recording_away_s: u64 = "600", number("seconds", 30, 86_400);
        /// Wait before an automatic recording that failed is tried again; it doubles.
        recording_retry_s: u64 = "30", number("seconds", 1, 3_600);
        /// Failures in a row after which an automatic recording is not tried again.
        recording_failures_max: u32 = "3", number("failures", 1, 100);
        /// A drop shorter than this is no event.
        drop_ms: u64 = "3000", number("milliseconds", 0, 60_000);
        /// How long a lost session may take to come back.
        grace_s: u64 = "30", number("seconds", 1, 3_600);
        /// How long a meeting stays open with nobody in it.
        empty_s: u64 = "300", number("seconds", 1, 86_400);
        /// Least time between two counts of one thing that many do.
        count_interval_ms: u64 = "500", number("milliseconds", 0, 60_000);
        /// How long a meeting without sockets stays in memory.
        passivate_s: u64 = "60", number("seconds", 1, 86_400);
        /// How long a node owns its meetings without renewing.
        lease_s: u64 = "6", number("seconds", 2, 300);
        /// How often a node renews what it owns.
        renew_s: u64 = "2", number("seconds", 1, 100);
    }
}
