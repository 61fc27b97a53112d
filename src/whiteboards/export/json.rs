//! A board in the format of Excalidraw's files.

use super::{Board, Error};
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(Serialize)]
struct File<'a> {
    r#type: &'static str,
    version: u8,
    source: &'static str,
    elements: &'a [Value],
    #[serde(rename = "appState")]
    app_state: Value,
    files: Map<String, Value>,
}

/// The elements as they are, in their order, and the files that they name.
pub fn to_json(board: &Board) -> Result<String, Error> {
    let file = File {
        r#type: "excalidraw",
        version: 2,
        source: "convoke",
        elements: &board.elements,
        app_state: json!({"name": board.name, "viewBackgroundColor": "#ffffff"}),
        files: files(board),
    };
    serde_json::to_string(&file).map_err(|error| Error::Broken(error.to_string()))
}

/// Each file under the id that elements know it by, which the format wants in the file too. An image that its
/// element carries itself becomes a file, because the format knows no other way.
fn files(board: &Board) -> Map<String, Value> {
    let mut files = Map::new();
    for element in &board.elements {
        let Some(id) = element.get("fileId").and_then(Value::as_str).filter(|id| !files.contains_key(*id)) else {
            continue;
        };
        let file = match board.files.get(id) {
            Some(Value::Object(file)) => file.clone(),
            _ => match element.get("dataURL").and_then(Value::as_str).and_then(carried) {
                Some(file) => file,
                None => continue,
            },
        };
        let mut file = file;
        file.insert("id".to_owned(), id.into());
        files.insert(id.to_owned(), Value::Object(file));
    }
    files
}

fn carried(data_url: &str) -> Option<Map<String, Value>> {
    let (mime, _) = data_url.strip_prefix("data:")?.split_once([';', ','])?;
    Some(Map::from_iter([("mimeType".to_owned(), Value::from(mime)), ("dataURL".to_owned(), Value::from(data_url))]))
}
