//! Whatever an element is, there is a picture, and it is one.

use super::hostile::harmless;
use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const FIELDS: [&str; 32] = [
    "x",
    "y",
    "width",
    "height",
    "angle",
    "strokeColor",
    "backgroundColor",
    "fillStyle",
    "strokeWidth",
    "strokeStyle",
    "opacity",
    "roundness",
    "points",
    "pressures",
    "simulatePressure",
    "startArrowhead",
    "endArrowhead",
    "elbowed",
    "text",
    "fontSize",
    "fontFamily",
    "textAlign",
    "verticalAlign",
    "lineHeight",
    "dataURL",
    "fileId",
    "scale",
    "crop",
    "name",
    "isDeleted",
    "index",
    "type",
];

const WORDS: [&str; 24] = [
    "arrow",
    "bar",
    "dot",
    "triangle",
    "diamond_outline",
    "dashed",
    "dotted",
    "hachure",
    "cross-hatch",
    "center",
    "right",
    "middle",
    "bottom",
    "#ff00ff",
    "rgba(1,2,3,.5)",
    "transparent",
    "\"><script>",
    "url(#p0)",
    "&amp;",
    "]]>",
    "a\nb\n\nc",
    "日本語 العربية 🎉",
    DOT,
    "\u{0}\u{1b}\u{fffe}\u{202e}",
];

const KINDS: [&str; 10] =
    ["freedraw", "line", "arrow", "rectangle", "ellipse", "diamond", "text", "image", "frame", "iframe"];

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-500.0..500.0).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => proptest::sample::select(&[0.0, -0.0, 1e-300, 1e6, -1e6, 1e300, f64::MAX, f64::MIN_POSITIVE][..]).prop_map(Value::from),
    ]
}

fn point() -> impl Strategy<Value = Value> {
    vec(number(), 2).prop_map(Value::from)
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(&WORDS[..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("type|value|x|y|width|height|naturalWidth|naturalHeight", inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// An element that is drawn, with some of its fields spoilt.
fn any_element() -> impl Strategy<Value = Value> {
    let place = (proptest::sample::select(&KINDS[..]), number(), number(), number(), number());
    let spoilt = vec((proptest::sample::select(&FIELDS[..]), anything()), 0..6);
    (place, vec(point(), 1..8), vec(number(), 0..8), proptest::sample::select(&WORDS[..]), spoilt).prop_map(
        |((kind, x, y, width, height), points, pressures, words, spoilt)| {
            let mut element = json!({"type": kind, "x": x, "y": y, "width": width, "height": height, "points": points,
                "pressures": pressures, "text": words, "dataURL": words, "backgroundColor": words, "endArrowhead": words,
                "fillStyle": words, "strokeStyle": words, "textAlign": words});
            for (name, value) in spoilt {
                element[name] = value;
            }
            element
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_board_has_a_picture(elements in vec(prop_oneof![9 => any_element(), 1 => anything()], 0..12)) {
        let limits = Limits { side: 256.0, ..Limits::default() };
        let count = elements.len();
        let map: Map<String, Value> = elements.into_iter().enumerate().map(|(id, element)| (id.to_string(), element)).collect();
        let board = Board::new("Board", map, Map::new());
        let file = to_json(&board).unwrap();
        prop_assert!(file.contains(&serde_json::to_string(&board.elements).unwrap()));
        serde_json::from_str::<Value>(&file).unwrap();
        let svg = to_svg(&board, &limits).unwrap();
        prop_assert_eq!(svg.drawn + svg.unknown + svg.broken, board.elements.len());
        prop_assert!(board.elements.len() <= count);
        harmless(&svg.markup);
        prop_assert!(svg.width.is_finite() && svg.width >= 32.0 && svg.height.is_finite() && svg.height >= 32.0);
        let pixmap = Pixmap::decode_png(&to_png(&svg, &limits, &Fonts::embedded()).unwrap()).unwrap();
        let longest = svg.width.max(svg.height).min(256.0);
        prop_assert!((f64::from(pixmap.width().max(pixmap.height())) - longest).abs() <= 1.0);
    }
}
