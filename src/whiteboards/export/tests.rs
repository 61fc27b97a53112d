//! What is drawn of which element.

mod any;
mod hostile;

use super::{Board, Error, Fonts, Limits, Svg, to_json, to_png, to_svg};
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::{Document, Node};
use serde_json::{Map, Value, json};

/// A PNG of one pixel.
pub(super) const DOT: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// An element with the fields that all of them have, and some more.
pub(super) fn element(kind: &str, more: Value) -> Value {
    let mut element = json!({
        "id": kind, "type": kind, "index": "a0", "x": 100, "y": 50, "width": 200, "height": 80, "angle": 0,
        "strokeColor": "#1e1e1e", "backgroundColor": "transparent", "fillStyle": "solid", "strokeWidth": 2,
        "strokeStyle": "solid", "roughness": 1, "opacity": 100, "roundness": null, "isDeleted": false,
    });
    for (name, value) in more.as_object().unwrap() {
        element[name] = value.clone();
    }
    element
}

pub(super) fn board(elements: Vec<Value>) -> Board {
    Board { name: "Board".to_owned(), elements, files: Map::new() }
}

pub(super) fn svg(elements: Vec<Value>) -> Svg {
    to_svg(&board(elements), &Limits::default()).unwrap()
}

/// The markup of one element, without what surrounds it.
fn drawn(kind: &str, more: Value) -> String {
    let svg = svg(vec![element(kind, more)]);
    Document::parse(&svg.markup).unwrap();
    assert_eq!((svg.drawn, svg.unknown, svg.broken), (1, 0, 0), "{}", svg.markup);
    let (_, body) = svg.markup.split_once("fill=\"#ffffff\"/>").unwrap();
    body.trim_end().strip_suffix("</svg>").unwrap().to_owned()
}

fn painted(svg: &Svg) -> Pixmap {
    let png = to_png(svg, &Limits::default(), &Fonts::embedded()).unwrap();
    Pixmap::decode_png(&png).unwrap()
}

/// Whether anything in a part of the picture is not white.
fn inked(pixmap: &Pixmap, x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> bool {
    let white =
        |x, y| pixmap.pixel(x, y).is_none_or(|pixel| (pixel.red(), pixel.green(), pixel.blue()) == (255, 255, 255));
    y.into_iter().any(|y| x.clone().any(|x| !white(x, y)))
}

fn has(node: Node<'_, '_>, name: &str) -> usize {
    node.descendants().filter(|node| node.has_tag_name(name)).count()
}

#[test]
fn elements_are_in_the_order_of_their_index() {
    let elements: Map<String, Value> = serde_json::from_value(json!({
        "c": {"id": "c", "index": "a1"}, "b": {"id": "b", "index": "a1"}, "a": {"id": "a", "index": "a2"},
        "z": {"id": "z", "index": "Zz"}, "n": {"id": "n"}, "m": {"id": "m", "index": 7},
        "gone": {"id": "gone", "index": "a0", "isDeleted": true}, "odd": 5, "none": null,
    }))
    .unwrap();
    let board = Board::new("Board", elements, Map::new());
    let ids: Vec<&str> = board.elements.iter().filter_map(|element| element["id"].as_str()).collect();
    assert_eq!(ids, ["z", "b", "c", "a", "m", "n"]);
}

#[test]
fn a_file_holds_elements_as_they_are_and_the_files_they_name() {
    let strange = json!({"id": "s", "type": "hologram", "customData": {"deep": [1, null]}});
    let mut board = board(vec![
        element("image", json!({"fileId": "known"})),
        element("image", json!({"fileId": "carried", "dataURL": DOT})),
        element("image", json!({"fileId": "nowhere"})),
        strange.clone(),
    ]);
    board.files.insert("known".to_owned(), json!({"mimeType": "image/png", "dataURL": DOT, "created": 1}));
    board.files.insert("unused".to_owned(), json!({"mimeType": "image/png", "dataURL": DOT}));
    let file: Value = serde_json::from_str(&to_json(&board).unwrap()).unwrap();
    assert_eq!(
        (&file["type"], &file["version"], &file["source"]),
        (&json!("excalidraw"), &json!(2), &json!("convoke"))
    );
    assert_eq!(file["appState"], json!({"name": "Board", "viewBackgroundColor": "#ffffff"}));
    assert_eq!(file["elements"], json!(board.elements));
    assert_eq!(file["elements"][3], strange);
    let known = json!({"id": "known", "mimeType": "image/png", "dataURL": DOT, "created": 1});
    let carried = json!({"id": "carried", "mimeType": "image/png", "dataURL": DOT});
    assert_eq!(file["files"], json!({"known": known, "carried": carried}));
}

#[test]
fn an_empty_board_is_a_small_empty_picture() {
    let svg = svg(Vec::new());
    assert_eq!((svg.width, svg.height), (32.0, 32.0));
    let pixmap = painted(&svg);
    assert_eq!((pixmap.width(), pixmap.height()), (32, 32));
    assert!(!inked(&pixmap, 0..32, 0..32));
}

#[test]
fn a_picture_surrounds_what_is_drawn() {
    let svg = svg(vec![element("rectangle", json!({})), element("rectangle", json!({"x": -10, "y": 300}))]);
    let document = Document::parse(&svg.markup).unwrap();
    assert_eq!(document.root_element().attribute("viewBox"), Some("-27 33 344 364"));
    let pixmap = painted(&svg);
    assert_eq!((pixmap.width(), pixmap.height()), (344, 364));
    assert!(inked(&pixmap, 126..128, 30..90) && !inked(&pixmap, 0..344, 0..15));
}

#[test]
fn closed_shapes() {
    assert_eq!(
        drawn("rectangle", json!({})),
        "<path d=\"M100 50L300 50L300 130L100 130Z\" fill=\"none\" stroke=\"#1e1e1e\" stroke-width=\"2\" \
         stroke-linecap=\"round\" stroke-linejoin=\"round\"/>"
    );
    let round = drawn("rectangle", json!({"roundness": {"type": 3}}));
    assert!(round.starts_with("<path d=\"M100 70Q100 50 120 50L280 50Q300 50 300 70"), "{round}");
    let round = drawn("rectangle", json!({"roundness": {"type": 3, "value": 8}}));
    assert!(round.starts_with("<path d=\"M100 58Q100 50 108 50"), "{round}");
    let diamond = drawn("diamond", json!({"backgroundColor": "#ffc9c9"}));
    assert!(diamond.starts_with("<path d=\"M200 50L300 90L200 130L100 90Z\" fill=\"#ffc9c9\""), "{diamond}");
    assert!(drawn("diamond", json!({"roundness": {"type": 2}})).contains('Q'));
    let ellipse = drawn("ellipse", json!({"width": -200}));
    assert!(ellipse.starts_with("<ellipse cx=\"0\" cy=\"90\" rx=\"100\" ry=\"40\""), "{ellipse}");
}

#[test]
fn styles() {
    assert!(drawn("rectangle", json!({"strokeStyle": "dashed"})).contains("stroke-dasharray=\"8 10\""));
    assert!(drawn("rectangle", json!({"strokeStyle": "dotted"})).contains("stroke-dasharray=\"1.5 8\""));
    assert!(drawn("rectangle", json!({"opacity": 40})).starts_with("<g opacity=\"0.4\"><path"));
    let turned = drawn("rectangle", json!({"angle": std::f64::consts::FRAC_PI_2}));
    assert!(turned.starts_with("<g transform=\"rotate(90 200 90)\"><path"), "{turned}");
    assert!(
        drawn("rectangle", json!({"strokeColor": "rgba(255,0,0,0.5)"}))
            .contains("stroke=\"#ff0000\" stroke-opacity=\"0.5\"")
    );
    assert!(!drawn("rectangle", json!({"strokeColor": "transparent"})).contains("stroke"));
    let odd = json!({"strokeColor": 7, "strokeWidth": "wide", "opacity": null, "roundness": true, "fillStyle": {}});
    assert_eq!(drawn("rectangle", odd), drawn("rectangle", json!({"strokeColor": "black"})));
}

#[test]
fn a_turned_element_is_within_the_picture() {
    let svg = svg(vec![element("rectangle", json!({"angle": std::f64::consts::FRAC_PI_2}))]);
    assert_eq!((svg.width, svg.height), (114.0, 234.0));
}

#[test]
fn hachures_are_defined_once() {
    let hachure = json!({"backgroundColor": "#a5d8ff", "fillStyle": "hachure"});
    let crossed = json!({"backgroundColor": "#a5d8ff", "fillStyle": "cross-hatch", "x": 400});
    let svg =
        svg(vec![element("rectangle", hachure.clone()), element("ellipse", hachure), element("diamond", crossed)]);
    let document = Document::parse(&svg.markup).unwrap();
    assert_eq!(has(document.root(), "pattern"), 2);
    assert_eq!(svg.markup.matches("url(#p0)").count(), 2);
    assert_eq!(svg.markup.matches("url(#p1)").count(), 1);
    assert!(inked(&painted(&svg), 80..140, 40..70), "the inside of the first is not empty");
}

#[test]
fn lines_and_arrows() {
    let points = json!([[0, 0], [100, 0], [100, 60]]);
    assert!(drawn("line", json!({"points": points})).starts_with("<path d=\"M100 50L200 50L200 110\" fill=\"none\""));
    let smooth = drawn("line", json!({"points": points, "roundness": {"type": 2}}));
    assert!(smooth.starts_with("<path d=\"M100 50C116.67 50 183.33 40 200 50C216.67 60 200 100 200 110\""), "{smooth}");
    let elbowed = drawn("arrow", json!({"points": points, "elbowed": true, "roundness": {"type": 2}}));
    assert!(elbowed.starts_with("<path d=\"M100 50L184 50Q200 50 200 66L200 110\""), "{elbowed}");
    let filled = |points: Value| drawn("line", json!({"points": points, "backgroundColor": "red"})).contains("#ff0000");
    assert!(filled(json!([[0, 0], [100, 0], [100, 60], [0, 1]])), "a line that comes back encloses something");
    assert!(!filled(points.clone()));
}

#[test]
fn heads_of_arrows() {
    let points = json!([[0, 0], [100, 0]]);
    for (name, paths, filled) in [
        ("arrow", 2, None),
        ("triangle", 2, Some("#1e1e1e")),
        ("triangle_outline", 2, Some("#ffffff")),
        ("dot", 2, Some("#1e1e1e")),
        ("circle", 2, Some("#1e1e1e")),
        ("circle_outline", 2, Some("#ffffff")),
        ("diamond", 2, Some("#1e1e1e")),
        ("bar", 2, None),
        ("crowfoot_many", 1, None),
    ] {
        for end in ["startArrowhead", "endArrowhead"] {
            let mut more = json!({"points": points});
            more[end] = name.into();
            let arrow = drawn("arrow", more);
            assert_eq!(arrow.matches("<path").count(), paths, "{name}: {arrow}");
            let inside = filled.map(|colour| format!("fill=\"{colour}\""));
            assert!(inside.is_none_or(|inside| arrow.contains(&inside)), "{name}: {arrow}");
        }
    }
    let arrow = drawn("arrow", json!({"points": points, "endArrowhead": "bar", "strokeStyle": "dashed"}));
    assert!(arrow.contains("d=\"M200 35L200 65\""), "{arrow}");
    assert_eq!(arrow.matches("dasharray").count(), 1, "a head is not dashed");
    let nowhere = drawn("arrow", json!({"points": [[0, 0], [0, 0]], "endArrowhead": "arrow"}));
    assert_eq!(nowhere.matches("<path").count(), 1, "a line without a direction has no head");
}

#[test]
fn strokes_of_a_pen() {
    let points = json!([[0, 0], [10, 5], [20, 0], [30, 5]]);
    let even = drawn("freedraw", json!({"points": points, "simulatePressure": true, "pressures": [0.1, 0.9]}));
    assert!(even.starts_with("<path d=\"M100 50Q110 55 115 52.5Q120 50 125 52.5L130 55\" fill=\"none\""), "{even}");
    assert!(even.contains("stroke-width=\"8.5\""), "{even}");
    let pressed =
        drawn("freedraw", json!({"points": points, "simulatePressure": false, "pressures": [0, 0.5, 1, 0.5]}));
    assert!(pressed.contains("Z\" fill=\"#1e1e1e\" stroke=\"#1e1e1e\" stroke-width=\"3.4\""), "{pressed}");
    let dot = drawn("freedraw", json!({"points": [[0, 0]]}));
    assert_eq!(dot, "<circle cx=\"100\" cy=\"50\" r=\"4.25\" fill=\"#1e1e1e\"/>");
}

#[test]
fn texts() {
    let text = drawn("text", json!({"text": "one\n\n<two>", "fontSize": 20, "fontFamily": 3, "lineHeight": 1.5}));
    assert_eq!(
        text,
        "<text xml:space=\"preserve\" x=\"100\" y=\"72\" font-family=\"monospace\" font-size=\"20\" fill=\"#1e1e1e\">one</text>\
         <text xml:space=\"preserve\" x=\"100\" y=\"132\" font-family=\"monospace\" font-size=\"20\" fill=\"#1e1e1e\">&lt;two&gt;</text>"
    );
    let middle = drawn("text", json!({"text": "a", "textAlign": "center", "verticalAlign": "middle", "fontFamily": 5}));
    assert!(
        middle.contains("x=\"200\" y=\"97\" font-family=\"cursive\" font-size=\"20\" text-anchor=\"middle\""),
        "{middle}"
    );
    let end = drawn("text", json!({"text": "a", "textAlign": "right", "verticalAlign": "bottom", "fontFamily": 2}));
    assert!(
        end.contains("x=\"300\" y=\"124.5\" font-family=\"sans-serif\" font-size=\"20\" text-anchor=\"end\""),
        "{end}"
    );
    for family in [json!(99), json!("x"), json!(-1), json!(1.5), Value::Null] {
        assert!(drawn("text", json!({"text": "a", "fontFamily": family})).contains("font-family=\"sans-serif\""));
    }
    let svg = svg(vec![element("text", json!({"text": "Grüße, Привет", "fontFamily": 1}))]);
    assert!(inked(&painted(&svg), 16..150, 16..50), "there is a font");
}

#[test]
fn images() {
    let image = drawn("image", json!({"dataURL": DOT}));
    assert!(image.starts_with("<image x=\"100\" y=\"50\" width=\"200\" height=\"80\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,iVBO"));
    let flipped = drawn("image", json!({"dataURL": DOT, "scale": [-1, 1]}));
    assert!(flipped.starts_with("<g transform=\"matrix(-1 0 0 1 400 0)\"><image"), "{flipped}");
    let crop = json!({"x": 1, "y": 2, "width": 3, "height": 4, "naturalWidth": 10, "naturalHeight": 20});
    let cropped = drawn("image", json!({"dataURL": DOT, "crop": crop}));
    assert!(cropped.contains("viewBox=\"1 2 3 4\"><image x=\"0\" y=\"0\" width=\"10\" height=\"20\""), "{cropped}");

    let mut board =
        board(vec![element("image", json!({"fileId": "f"})), element("image", json!({"fileId": "g", "x": 900}))]);
    board.files.insert("f".to_owned(), json!({"mimeType": "image/png", "dataURL": DOT}));
    let svg = to_svg(&board, &Limits::default()).unwrap();
    assert_eq!((svg.drawn, svg.missing), (2, 1));
    assert!(inked(&painted(&svg), 60..70, 50..60), "the image is painted");
    assert!(drawn("image", json!({"dataURL": DOT, "width": 0})).is_empty());
}

#[test]
fn frames() {
    let frame = drawn("frame", json!({"name": "Ideas & more"}));
    assert!(frame.contains("<path") && frame.contains(">Ideas &amp; more</text>"), "{frame}");
    assert!(drawn("frame", json!({"name": null})).contains(">Frame</text>"));
}

#[test]
fn what_is_unknown_or_broken_is_counted_and_passed_over() {
    let svg = svg(vec![
        element("rectangle", json!({})),
        element("embeddable", json!({"link": "https://a.example"})),
        element("selection", json!({})),
        element("rectangle", json!({"x": "left"})),
        element("rectangle", json!({"y": 1e300})),
        element("rectangle", json!({"width": []})),
        element("line", json!({"points": []})),
        element("line", json!({"points": [[0, 0], [1, null]]})),
        element("freedraw", json!({})),
        element("text", json!({"text": 5})),
        json!({"type": 5}),
        json!(null),
    ]);
    assert_eq!((svg.drawn, svg.unknown, svg.broken), (1, 2, 9));
    assert_eq!((svg.width, svg.height), (234.0, 114.0));
}
