//! What somebody might try.

use super::*;

/// No element but those that pictures are made of, and no attribute that leads anywhere or does anything.
pub(super) fn harmless(markup: &str) {
    let document = Document::parse(markup).unwrap();
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        let known = ["svg", "g", "defs", "pattern", "rect", "path", "ellipse", "circle", "text", "image"];
        assert!(known.contains(&name), "{name}");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "style" && name != "class", "{name}");
            match name {
                "href" => assert!(value.starts_with("data:image/") && !value.contains("svg"), "{value}"),
                _ if value.contains("url") => assert!(value.starts_with("url(#p"), "{value}"),
                _ => assert!(!value.contains(':') && !value.contains('<'), "{value}"),
            }
        }
    }
}

#[test]
fn no_text_becomes_markup() {
    let words =
        "</text><script>alert(1)</script><image href=\"http://a.example/x.png\"/><!-- ]]> &x; \u{0}\u{8}\u{fffe}";
    let svg = svg(vec![
        element("text", json!({"text": words})),
        element("frame", json!({"name": words})),
        element("image", json!({"fileId": words, "dataURL": words})),
        element(words, json!({})),
    ]);
    harmless(&svg.markup);
    assert!(!svg.markup.contains("<script") && !svg.markup.contains("<image"));
    assert!(svg.markup.contains("&lt;/text&gt;&lt;script&gt;"));
    painted(&svg);
}

#[test]
fn no_style_becomes_markup() {
    let plain = drawn("rectangle", json!({"strokeColor": "#000"}));
    for bad in [
        "red\" onload=\"alert(1)",
        "red\"/><script>alert(1)</script>",
        "url(http://a.example/x.svg#p)",
        "url(#p0)",
        "javascript:alert(1)",
        "red;background:url(http://a.example)",
        "#fff<!--",
        "expression(alert(1))",
        "&#x22;",
    ] {
        let styles = json!({"strokeColor": bad, "backgroundColor": bad, "fillStyle": bad, "strokeStyle": bad,
            "strokeWidth": bad, "opacity": bad, "angle": bad, "roundness": bad, "link": bad, "strokeSharpness": bad});
        assert_eq!(drawn("rectangle", styles.clone()), plain, "{bad}");
        let mut text = styles;
        for (name, value) in
            [("text", "a"), ("fontFamily", bad), ("fontSize", bad), ("textAlign", bad), ("lineHeight", bad)]
        {
            text[name] = value.into();
        }
        harmless(&svg(vec![element("text", text)]).markup);
    }
}

#[test]
fn only_plain_images_are_shown() {
    let png = DOT.strip_prefix("data:image/png;base64,").unwrap();
    for bad in [
        "http://a.example/x.png".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
        "//a.example/x.png".to_owned(),
        "#p0".to_owned(),
        "data:image/svg+xml;base64,PHN2Zy8+".to_owned(),
        "data:image/png;base64,PHN2Zy8+".to_owned(),
        "data:image/svg+xml,<svg onload='alert(1)'/>".to_owned(),
        "data:text/html;base64,PHNjcmlwdD4=".to_owned(),
        format!("data:image/gif;base64,{png}"),
        format!("data:image/svg+xml;base64,{png}"),
        format!("data:text/plain;base64,{png}"),
        format!("data:image/png;charset=x;base64,{png}"),
        format!("{DOT}\" onload=\"alert(1)"),
        format!("{DOT}\n"),
        format!(" {DOT}"),
        String::new(),
    ] {
        let svg = svg(vec![element("image", json!({"dataURL": bad}))]);
        assert_eq!((svg.drawn, svg.missing), (1, 1), "{bad}");
        assert!(!svg.markup.contains("<image") && !svg.markup.contains("href"), "{bad}");
        harmless(&svg.markup);
    }
}

#[test]
fn a_picture_is_painted_without_files_and_references() {
    let path = std::env::temp_dir().join(format!("convoke-export-{}.png", std::process::id()));
    let mut black = Pixmap::new(10, 10).unwrap();
    black.fill(resvg::tiny_skia::Color::BLACK);
    std::fs::write(&path, black.encode_png().unwrap()).unwrap();
    for href in [
        path.to_str().unwrap(),
        "data:image/svg+xml;base64,PHN2ZyB4bWxucz0naHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmcnIHdpZHRoPScxMCcgaGVpZ2h0PScxMCc+PHJlY3Qgd2lkdGg9JzEwJyBoZWlnaHQ9JzEwJy8+PC9zdmc+",
    ] {
        let markup = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\"><image width=\"10\" height=\"10\" href=\"{href}\"/></svg>"
        );
        let svg = Svg { markup, ..svg(Vec::new()) };
        let pixmap = painted(&svg);
        assert!(pixmap.pixels().iter().all(|pixel| pixel.alpha() == 0), "{href}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_image_that_is_too_large_is_not_decoded() {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend([0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 6, 0, 0, 0]);
    use base64::Engine as _;
    let url = format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes));
    assert_eq!(svg(vec![element("image", json!({"dataURL": url}))]).missing, 1);
    let limits = Limits { image_pixels: 2, ..Limits::default() };
    let images = vec![element("image", json!({"dataURL": DOT})); 3];
    assert_eq!(to_svg(&board(images), &limits).unwrap().missing, 1);
}

#[test]
fn everything_has_a_limit() {
    let line = element("line", json!({"points": [[0, 0], [1, 1]]}));
    let text = element("text", json!({"text": "four"}));
    let limits = Limits::default;
    for (elements, limits, expected) in [
        (vec![line.clone(); 3], Limits { elements: 2, ..limits() }, Error::Elements(2)),
        (vec![line.clone(); 3], Limits { points: 5, ..limits() }, Error::Points(5)),
        (vec![text.clone(); 3], Limits { text_bytes: 11, ..limits() }, Error::Text(11)),
        (vec![text.clone(); 3], Limits { lines: 2, ..limits() }, Error::Lines(2)),
        (vec![text.clone(); 3], Limits { svg_bytes: 300, ..limits() }, Error::Output(300)),
        (vec![element("image", json!({"dataURL": DOT}))], Limits { svg_bytes: 100, ..limits() }, Error::Output(100)),
    ] {
        let error = to_svg(&board(elements), &limits).unwrap_err();
        assert_eq!((error.code(), &error), ("too_large", &expected));
    }
    assert_eq!(Error::Broken(String::new()).code(), "internal");
    assert!(to_svg(&board(vec![line; 2]), &Limits { elements: 2, points: 4, ..limits() }).is_ok());
}

#[test]
fn a_large_board_is_painted_smaller() {
    let far = svg(vec![element("rectangle", json!({})), element("rectangle", json!({"x": 1_000_000, "y": -500_000}))]);
    let pixmap = painted(&far);
    assert_eq!((pixmap.width(), pixmap.height()), (4_096, 2_048));
    let long = svg(vec![element("line", json!({"points": [[0, 0], [1_000_000, 0]]}))]);
    let pixmap = painted(&long);
    assert_eq!((pixmap.width(), pixmap.height()), (4_096, 1));
}

#[test]
fn a_board_that_is_much_work_is_painted_smaller() {
    let whole =
        json!({"width": 4_000, "height": 4_000, "backgroundColor": "red", "fillStyle": "hachure", "opacity": 50});
    let svg = svg(vec![element("rectangle", whole); 500]);
    let limits = Limits { painted: 10_000_000.0, ..Limits::default() };
    let png = to_png(&svg, &limits, &Fonts::embedded()).unwrap();
    let width = Pixmap::decode_png(&png).unwrap().width();
    assert!((20..60).contains(&width), "{width}");
}

#[test]
fn every_hachure_counts_with_its_tile() {
    let small = json!({"width": 1, "height": 1, "strokeWidth": 64, "strokeColor": "transparent",
        "backgroundColor": "red", "fillStyle": "cross-hatch"});
    let many = svg(vec![element("rectangle", small); 2_000]);
    assert!(many.painted > Limits::default().painted, "{}", many.painted);
}

#[test]
fn a_line_of_text_has_an_end() {
    for (letters, shown) in [("é", 2_000), ("漢字", 1_000), ("x\t", 400)] {
        let text = drawn("text", json!({"text": format!("one\n{}\nthree", letters.repeat(100_000))}));
        let expected = letters.replace('\t', "    ").repeat(shown);
        assert!(text.contains(&format!(">{expected}<")), "{} bytes", text.len());
        assert!(text.contains(">three<"));
    }
    let one = svg(vec![element("text", json!({"text": "x".repeat(1 << 20)}))]);
    assert!(one.width < 30_000.0, "{}", one.width);
    painted(&one);
}

#[test]
fn there_are_only_so_many_dashes() {
    let line =
        element("line", json!({"points": [[0, 0], [1_000_000, 0]], "strokeStyle": "dotted", "strokeWidth": 0.1}));
    let svg = svg(vec![line; 20]);
    assert_eq!(svg.markup.matches("dasharray").count(), 3, "the rest are solid");
}

#[test]
fn twenty_thousand_elements() {
    let kinds = ["rectangle", "ellipse", "diamond", "arrow", "freedraw", "text"];
    let elements = (0..20_000)
        .map(|place| {
            let more = json!({"x": place % 200 * 30, "y": place / 200 * 30, "width": 25, "height": 25, "text": "Word",
                "points": [[0, 0], [10, 20], [20, 5]], "endArrowhead": "arrow", "backgroundColor": "#a5d8ff", "angle": 0.1});
            element(kinds[place % kinds.len()], more)
        })
        .collect();
    let svg = svg(elements);
    assert_eq!(svg.drawn, 20_000);
    let pixmap = painted(&svg);
    assert_eq!(pixmap.width(), 4_096);
}
