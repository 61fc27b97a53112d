use super::*;
use crate::config::SETTINGS;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn serving_is_the_default_and_settings_may_stand_on_either_side_of_the_command() {
    assert!(parse("convoke").unwrap().command.is_none());
    for line in ["convoke --hello-s 7 serve", "convoke serve --hello-s 7"] {
        let arguments = parse(line).unwrap();
        assert!(matches!(arguments.command, Some(Task::Serve)), "{line}");
        assert_eq!(arguments.settings.0, [("hello_s".to_owned(), "7".to_owned())], "{line}");
    }
}

#[test]
fn every_setting_has_a_flag_and_help_names_its_variable() {
    let help = Arguments::command().render_long_help().to_string();
    for setting in SETTINGS {
        assert!(help.contains(&format!("--{} ", setting.flag())), "{}", setting.name);
        assert!(help.contains(&format!("[env: {}]", setting.variable())), "{}", setting.name);
    }
}

#[test]
fn short_help_fits_a_screen_or_two() {
    let help = Arguments::command().render_help().to_string();
    assert!(help.contains("--database-url") && !help.contains("--reactions-per-message-max"));
    assert!(help.lines().count() < 60, "{help}");
}

#[test]
fn a_wrong_flag_names_the_nearest_one() {
    let error = parse("convoke --databse-url x").err().unwrap().to_string();
    assert!(error.contains("'--database-url'"), "{error}");
}

#[test]
fn a_token_is_for_a_meeting_that_is_or_one_to_be_made() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert!(parse(&format!("convoke token --meeting {id} --name Ada --role host --ttl-s 60")).is_ok());
    assert!(parse("convoke token --create Standup --name Ada").is_ok());
    for bad in [
        "convoke token --name Ada".to_owned(),
        format!("convoke token --meeting {id}"),
        format!("convoke token --meeting {id} --create Standup --name Ada"),
        "convoke token --meeting standup --name Ada".to_owned(),
        format!("convoke token --meeting {id} --name Ada --role emperor"),
        format!("convoke token --meeting {id} --name Ada --ttl-s 86401"),
        format!("convoke token --meeting {id} --name Ada --ttl-s 0"),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
