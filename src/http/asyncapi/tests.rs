use super::*;
use std::collections::BTreeSet;
use std::path::Path;

fn parsed() -> Value {
    serde_json::from_str(&document()).unwrap()
}

/// What stands between two texts in a file of this repository, wherever it does.
fn between(file: &Path, before: &str, after: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0.to_owned())).collect()
}

fn domain(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("actors/domain/src").join(file)
}

/// The types of the messages that a schema describes.
fn types(document: &Value, schema: &str) -> BTreeSet<String> {
    let kinds = document["components"]["schemas"][schema]["oneOf"].as_array().unwrap();
    kinds.iter().map(|kind| kind["properties"]["type"]["const"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_event_and_command_stands_in_it_under_its_name() {
    let document = parsed();
    let told: BTreeSet<String> = between(&domain("event.rs"), "} => \"", "\"").into_iter().collect();
    assert!(told.len() > 30, "{told:?}");
    assert_eq!(types(&document, "Event"), told, "the schema's names are those that are sent");
    let taken: BTreeSet<String> = convoke_domain::command::COMMAND_TYPES.iter().map(|&kind| kind.to_owned()).collect();
    assert_eq!(types(&document, "Command"), taken);
    assert_eq!(types(&document, "Hello"), ["join", "resume"].map(str::to_owned).into());
}

#[test]
fn every_notice_and_signal_that_the_actors_say_stands_in_it() {
    fn sources(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(path);
            }
        }
    }
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("actors/src"), &mut files);
    let said: BTreeSet<String> = files.iter().flat_map(|file| between(file, "frame::notice(\"", "\"")).collect();
    assert!(said.contains("tick") && said.contains("reaction.shown"), "{said:?}");
    let document = parsed();
    let mut known = types(&document, "Notice");
    known.extend(types(&document, "Signal"));
    assert_eq!(known, said);
}

#[test]
fn every_close_code_and_every_error_stands_in_it() {
    let document = parsed();
    let codes = document["x-close-codes"].as_object().unwrap();
    let numbers: BTreeSet<String> =
        between(&domain("effect.rs"), " => 4", ",").into_iter().map(|rest| format!("4{rest}")).collect();
    assert_eq!(codes.keys().cloned().collect::<BTreeSet<_>>(), numbers);
    assert_eq!(codes["4002"], json!({ "reason": "slow_consumer", "resume": true }));
    assert_eq!(codes["4508"], json!({ "reason": "left", "resume": false }));
    let errors = document["components"]["schemas"]["Code"].to_string();
    for code in between(&domain("rejection.rs"), " => \"", "\"") {
        assert!(errors.contains(&format!("\"{code}\"")), "{code}: {errors}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_shape_is_referred_to() {
    fn references(value: &Value, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                all.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, all));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, all)),
            _ => {}
        }
    }
    let document = parsed();
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    for reference in &all {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for shape in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(all.contains(&format!("#/components/schemas/{shape}")), "{shape}");
    }
}
