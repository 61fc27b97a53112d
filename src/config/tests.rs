use super::*;
use secrecy::ExposeSecret;
use std::collections::HashSet;

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A file that sets nothing: without it a file in the working folder would be read.
pub fn nothing() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml"))
}

fn flags(given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load_from(Some(nothing()), Vec::new(), &pairs(given))
}

fn variables(given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load_from(Some(nothing()), pairs(given), &[])
}

/// Loads a file of this text; its name is shortened in the error.
fn file(text: &str) -> Result<Config, String> {
    let path = std::env::temp_dir().join(format!("convoke-{}.toml", uuid::Uuid::now_v7()));
    std::fs::write(&path, text).unwrap();
    let loaded = Config::load_from(Some(&path), Vec::new(), &[]);
    std::fs::remove_file(&path).unwrap();
    loaded.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn the_defaults_are_those_of_the_contract_and_of_the_actors() {
    let config = flags(&[]).unwrap();
    assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url.expose_secret(), "sqlite://data/convoke.db");
    assert_eq!(config.objects_url, "file://data/objects");
    assert!(config.api_keys.is_none() && config.redis_url.is_none() && config.public_url.is_none());
    let without_livekit = Limits { has_media_server: false, has_recorder: false, ..Limits::default() };
    assert_eq!(config.limits(), without_livekit);
    assert_eq!(format!("{:?}", config.bounds()), format!("{:?}", Bounds::default()));
    assert_eq!(format!("{:?}", config.pace()), format!("{:?}", Pace::default()));
    assert_eq!(format!("{:?}", config.timing()), format!("{:?}", Timing::default()));
}

#[test]
fn flags_win_over_variables_and_these_over_the_file() {
    let path = std::env::temp_dir().join(format!("convoke-{}.toml", uuid::Uuid::now_v7()));
    std::fs::write(&path, "hello_s = 1\ntick_s = 2\ngrace_s = 3\n").unwrap();
    let environment = pairs(&[("CONVOKE_TICK_S", "20"), ("CONVOKE_GRACE_S", "21")]);
    let config = Config::load_from(Some(&path), environment, &pairs(&[("grace-s", "30")])).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((config.hello_s, config.tick_s, config.grace_s), (1, 20, 30));
}

#[test]
fn an_unknown_setting_names_the_nearest_known_one_wherever_it_stands() {
    let error = flags(&[("heartbeet_s", "5")]).unwrap_err().to_string();
    assert_eq!(error, "unknown setting `heartbeet_s` (--heartbeet-s); did you mean `heartbeat_s`?");
    let error = variables(&[("CONVOKE_DATABASE_ULR", "x")]).unwrap_err().to_string();
    assert_eq!(error, "unknown setting `database_ulr` (CONVOKE_DATABASE_ULR); did you mean `database_url`?");
    let error = file("api_key = \"a:b\"").unwrap_err();
    assert_eq!(error, "unknown setting `api_key` (FILE); did you mean `api_keys`?");
    let error = file("[livekit]\nurl = \"ws://x\"").unwrap_err();
    assert!(error.starts_with("unknown setting `livekit` (FILE); did you mean `livekit_"), "{error}");
}

#[test]
fn values_out_of_range_are_refused_by_name_place_unit_and_range() {
    let error = variables(&[("CONVOKE_HELLO_S", "0")]).unwrap_err().to_string();
    assert_eq!(error, "setting `hello_s` (CONVOKE_HELLO_S): must be a whole number from 1 to 60 (seconds)");
    for wrong in ["-1", "1.5", "soon", "61", "99999999999999999999"] {
        assert!(flags(&[("hello_s", wrong)]).is_err(), "{wrong}");
    }
    assert_eq!(
        file("hello_s = 1.5").unwrap_err(),
        "setting `hello_s` (FILE): must be a whole number from 1 to 60 (seconds)"
    );
    assert!(file("hello_s = true").is_err() && file("hello_s = \"7\"").is_ok());
    let error = flags(&[("media", "pigeons")]).unwrap_err().to_string();
    assert_eq!(error, "setting `media` (--media): must be one of mesh, none");
}

#[test]
fn every_number_is_held_to_its_range() {
    for setting in SETTINGS {
        let Kind::Number { from, to, .. } = setting.kind else { continue };
        for outside in [from.checked_sub(1), to.checked_add(1)].into_iter().flatten() {
            let error = flags(&[(setting.name, &outside.to_string())]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("setting `{}`", setting.name)), "{error}");
        }
        let default: u64 = setting.default.unwrap().parse().unwrap();
        assert!((from..=to).contains(&default), "{}", setting.name);
    }
}

#[test]
fn what_has_a_form_is_held_to_it() {
    let wrong = [
        ("bind", "nowhere"),
        ("bind", ""),
        ("public_url", "meet.example"),
        ("public_url", "https://meet.example/?a=b"),
        ("node_id", "a node"),
        ("allowed_origins", "https://app.example,*"),
        ("allowed_origins", "https://app.example/path"),
        ("trusted_proxies", "10.0.0.0/8,proxy.example"),
        ("database_url", "mysql://x"),
        ("api_keys", "no-secret"),
        ("redis_url", "http://x"),
        ("redis_url", "redis+sentinel://a:26379,b:26379/main"),
        ("redis_url", "redis+cluster://a,b/1"),
        ("livekit_url", "ftp://x"),
        ("transcriber", "whisper"),
        ("deepgram_url", "wss://api.deepgram.com"),
        ("deepgram_url", "https://user:secret@api.deepgram.com"),
        ("transcription_languages", "en,d_e"),
        ("transcription_languages", "aa,bb,cc,dd,ee,ff,gg,hh,ii,jj,kk"),
        ("objects_url", "gopher://x"),
        ("ice_servers", "http://x"),
        ("smtp_url", "https://mail.example"),
        ("mail_from", "nobody"),
        ("log_level", "convoke=loud"),
        ("otlp_url", "collector:4318"),
        ("renew_s", "4"),
        ("answers_kept_max", "10"),
        ("commands_burst", "100000"),
    ];
    for (name, value) in wrong {
        assert!(flags(&[(name, value)]).is_err(), "{name} = {value}");
    }
    let error = flags(&[("livekit_url", "ws://127.0.0.1:7880")]).unwrap_err().to_string();
    assert!(error.contains("`livekit_api_key`"), "{error}");
    let error = flags(&[("transcriber", "deepgram")]).unwrap_err().to_string();
    assert!(error.contains("`deepgram_api_key`"), "{error}");
    let all = [("transcriber", "deepgram"), ("deepgram_api_key", "k"), ("transcription_languages", "en,pt-BR,detect")];
    assert_eq!(flags(&all).unwrap().transcription_languages.len(), 3);
}

#[test]
fn mail_needs_a_sender_and_an_address_of_this_server() {
    let all = [
        ("smtp_url", "smtp://127.0.0.1:25"),
        ("mail_from", "Convoke <meet@example.org>"),
        ("public_url", "https://meet.example"),
    ];
    assert!(flags(&all).is_ok());
    for missing in ["mail_from", "public_url"] {
        let rest: Vec<_> = all.iter().copied().filter(|(name, _)| *name != missing).collect();
        let error = flags(&rest).unwrap_err().to_string();
        assert!(error.contains(&format!("`{missing}`")), "{error}");
    }
    assert!(flags(&[("mail_from", "meet@example.org")]).is_ok(), "a sender alone does no harm");
}

#[test]
fn good_values_are_taken_and_brought_into_one_form() {
    let config = variables(&[
        ("CONVOKE_PUBLIC_URL", "https://meet.example/"),
        ("CONVOKE_ALLOWED_ORIGINS", "https://App.example/, http://localhost:5173"),
        ("CONVOKE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("CONVOKE_NODE_ID", "007"),
        ("CONVOKE_REDIS_URL", "rediss://:secret@redis.example:6380/1"),
        ("CONVOKE_LIVEKIT_URL", "wss://media.example"),
        ("CONVOKE_LIVEKIT_API_KEY", "123"),
        ("CONVOKE_LIVEKIT_API_SECRET", "000456"),
        ("CONVOKE_ICE_SERVERS", "stun:stun.example:3478"),
        ("CONVOKE_LOG_LEVEL", "info,convoke=debug"),
    ])
    .unwrap();
    assert_eq!(config.base_url(), "https://meet.example");
    assert_eq!(config.allowed_origins, ["https://app.example", "http://localhost:5173"]);
    assert!(config.proxies().trust("10.2.3.4".parse().unwrap()));
    // Digits stay text where text is meant.
    assert_eq!(config.node_id.as_deref(), Some("007"));
    assert_eq!(config.livekit_api_secret.unwrap().expose_secret(), "000456");
}

#[test]
fn the_file_takes_arrays_and_numbers() {
    let config = file(concat!(
        "bind = \"0.0.0.0:9000\"\nallowed_origins = [\"https://a.example\", \"https://b.example\"]\n",
        "api_keys = [\"acme/web:0123\", \"solo:4567\"]\nnode_id = 7\nworkers = 3\n",
    ))
    .unwrap();
    assert_eq!(config.allowed_origins.len(), 2);
    assert_eq!(config.api_keys.as_ref().unwrap().expose_secret(), "acme/web:0123,solo:4567");
    assert_eq!((config.node_id.as_deref(), config.workers), (Some("7"), 3));
    assert_eq!(config.base_url(), "http://127.0.0.1:9000");
    assert_eq!(file("public_url = \"\"").unwrap().public_url, None);
}

#[test]
fn files_that_cannot_be_read_are_errors_without_their_content() {
    assert!(Config::load_from(Some(Path::new("/does/not/exist.toml")), Vec::new(), &[]).is_err());
    let error = file("bind = \"127.0.0.1:1\"\napi_keys = \"k:hunter2").unwrap_err();
    assert!(error.starts_with("FILE is not TOML") && error.contains("line 2"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn secrets_do_not_show_in_a_configuration_and_not_in_errors() {
    let secrets = [
        ("database_url", "postgres://u:hunter2@db/x"),
        ("api_keys", "k:hunter2hunter2hunter2"),
        ("redis_url", "redis://:hunter2@cache"),
        ("livekit_url", "ws://127.0.0.1:7880"),
        ("livekit_api_key", "name"),
        ("livekit_api_secret", "hunter2"),
        ("deepgram_api_key", "hunter2"),
        ("smtp_url", "smtps://u:hunter2@mail.example"),
        ("mail_from", "meet@example.org"),
        ("public_url", "https://meet.example"),
    ];
    let shown = format!("{:?}", flags(&secrets).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    for setting in SETTINGS {
        if let Err(error) = flags(&[(setting.name, "hunter2 hunter2")]) {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    assert!(sources::is_setting("CONVOKE_BIND") && sources::is_setting("CONVOKE_BLIND"));
    for other in ["CONVOKE_TEST_POSTGRES", "CONVOKE_LOADTEST_URL", "CONVOKE_CONFIG", "PATH", "convoke_bind"] {
        assert!(!sources::is_setting(other), "{other}");
    }
}

#[test]
fn settings_have_one_name_each_and_no_variable_of_others() {
    let names: HashSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), SETTINGS.len());
    assert!(SETTINGS.iter().all(|setting| sources::is_setting(&setting.variable())));
    assert!(SETTINGS.iter().all(|setting| setting.help.trim().ends_with('.')));
}
