//! Holds `convoke.example.toml` to the table of settings: the file is what this renders, and
//! `CONVOKE_TEST_UPDATE=1 cargo test -p convoke --lib example` writes it anew.

use super::{Kind, SETTINGS, Setting};
use std::fmt::Write;

const HEAD: &str = "\
# Settings of Convoke, each with its default. Copy this file to convoke.toml and uncomment what is to
# be different. Environment variables (CONVOKE_ and the name in capitals) win over this file, and
# flags (--name-with-hyphens) over both.
";

fn shown(setting: &Setting) -> String {
    match (setting.default, setting.kind) {
        (Some(number), Kind::Number { .. }) => number.to_owned(),
        (Some(""), Kind::List(_)) => "[]".to_owned(),
        (Some(text), _) => format!("{text:?}"),
        (None, _) => "\"\"".to_owned(),
    }
}

fn rendered() -> String {
    let mut text = HEAD.to_owned();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            write!(text, "\n# ---- {group} ----\n").unwrap();
        }
        let (help, expected, default) = (setting.help.trim(), setting.expected(), shown(setting));
        write!(text, "\n# {help}\n# {expected}\n# {} = {default}\n", setting.name).unwrap();
    }
    text
}

#[test]
fn the_example_file_shows_every_setting_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml");
    if std::env::var_os("CONVOKE_TEST_UPDATE").is_some() {
        std::fs::write(path, rendered()).unwrap();
    }
    let is_the_same = std::fs::read_to_string(path).unwrap() == rendered();
    assert!(is_the_same, "write it anew: CONVOKE_TEST_UPDATE=1 cargo test -p convoke --lib example");
}

#[test]
fn what_the_example_file_shows_can_be_read_when_it_is_uncommented() {
    let has_default =
        |line: &&str| SETTINGS.iter().any(|s| s.default.is_some() && line.starts_with(&format!("# {} = ", s.name)));
    let text: Vec<String> = rendered().lines().filter(has_default).map(|line| line[2..].to_owned()).collect();
    let path = std::env::temp_dir().join(format!("convoke-{}.toml", uuid::Uuid::now_v7()));
    std::fs::write(&path, text.join("\n")).unwrap();
    let loaded = super::Config::load_from(Some(&path), Vec::new(), &[]);
    std::fs::remove_file(&path).unwrap();
    let expected = super::Config::load_from(Some(super::tests::nothing()), Vec::new(), &[]).unwrap();
    assert_eq!(format!("{:?}", loaded.unwrap()), format!("{expected:?}"));
    assert_eq!(text.len(), SETTINGS.iter().filter(|setting| setting.default.is_some()).count());
}
