//! Reads an element out of JSON. Where and what it is must be there; a style that cannot be read is the usual
//! one, so that a client which writes something new is still seen.

use super::colour::Colour;
use super::element::{Align, Crop, Element, Fill, Head, Picture, Place, Rounding, Shape, Stroke, Style, Words};
use super::geometry::{Point, REACH};
use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub enum Read<'a> {
    Drawn(Box<Element<'a>>),
    /// Of a type that has no picture here.
    Unknown,
    /// Without a place, or without what its type is made of.
    Broken,
}

pub fn read(element: &Value) -> Read<'_> {
    let Some((fields, kind)) = element.as_object().and_then(|fields| Some((fields, text(fields, "type")?))) else {
        return Read::Broken;
    };
    let shape = match kind {
        "rectangle" => Some(Shape::Rectangle),
        "ellipse" => Some(Shape::Ellipse),
        "diamond" => Some(Shape::Diamond),
        "freedraw" => points(fields).map(|points| Shape::Pen { points, pressures: pressures(fields) }),
        "line" | "arrow" => points(fields).map(|points| Shape::Line {
            points,
            start: head(fields, "startArrowhead"),
            end: head(fields, "endArrowhead"),
            elbowed: fields.get("elbowed") == Some(&Value::Bool(true)),
        }),
        "text" => words(fields).map(Shape::Text),
        "image" => Some(Shape::Image(picture(fields))),
        "frame" | "magicframe" => Some(Shape::Frame { name: text(fields, "name").unwrap_or("Frame") }),
        _ => return Read::Unknown,
    };
    match (place(fields), shape) {
        (Some(place), Some(shape)) => Read::Drawn(Box::new(Element { place, style: style(fields), shape })),
        _ => Read::Broken,
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str)
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

fn number(fields: &Map<String, Value>, name: &str) -> Option<f64> {
    fields.get(name).and_then(finite)
}

/// A length that is missing is 0; one that is no number breaks the element.
fn length(fields: &Map<String, Value>, name: &str) -> Option<f64> {
    match fields.get(name) {
        None | Some(Value::Null) => Some(0.0),
        Some(value) => Some(finite(value)?.clamp(-REACH, REACH)),
    }
}

fn place(fields: &Map<String, Value>) -> Option<Place> {
    let near = |name| number(fields, name).filter(|number| number.abs() <= REACH);
    let (x, y, width, height) = (near("x")?, near("y")?, length(fields, "width")?, length(fields, "height")?);
    let angle = number(fields, "angle").unwrap_or(0.0).rem_euclid(std::f64::consts::TAU);
    // Some clients give what was drawn backwards a negative size.
    Some(Place { x: x + width.min(0.0), y: y + height.min(0.0), width: width.abs(), height: height.abs(), angle })
}

fn style(fields: &Map<String, Value>) -> Style {
    let colour = |name, otherwise: Option<Colour>| match text(fields, name) {
        Some(text) => Colour::read(text).or(otherwise).filter(|colour| colour.is_visible()),
        None => otherwise,
    };
    Style {
        stroke: colour("strokeColor", Some(Colour::BLACK)),
        background: colour("backgroundColor", None),
        fill: match text(fields, "fillStyle") {
            Some("hachure" | "zigzag") => Fill::Hachure,
            Some("cross-hatch") => Fill::CrossHatch,
            _ => Fill::Solid,
        },
        stroke_width: number(fields, "strokeWidth").unwrap_or(2.0).clamp(0.1, 64.0),
        stroke_style: match text(fields, "strokeStyle") {
            Some("dashed") => Stroke::Dashed,
            Some("dotted") => Stroke::Dotted,
            _ => Stroke::Solid,
        },
        opacity: number(fields, "opacity").unwrap_or(100.0).clamp(0.0, 100.0) / 100.0,
        rounding: fields.get("roundness").and_then(Value::as_object).map(|roundness| {
            match (number(roundness, "type"), number(roundness, "value")) {
                (Some(3.0), value) => Rounding::Fixed(value.unwrap_or(Rounding::RADIUS).clamp(0.0, REACH)),
                _ => Rounding::Proportional,
            }
        }),
    }
}

fn points(fields: &Map<String, Value>) -> Option<Vec<Point>> {
    let coordinate = |value: Option<&Value>| Some(finite(value?)?.clamp(-REACH, REACH));
    let point = |value: &Value| {
        let pair = value.as_array()?;
        Some(Point::new(coordinate(pair.first())?, coordinate(pair.get(1))?))
    };
    let points: Vec<Point> = fields.get("points")?.as_array()?.iter().map(point).collect::<Option<_>>()?;
    (!points.is_empty()).then_some(points)
}

/// What a pen that cannot feel says of its pressure is a guess, and is not drawn.
fn pressures(fields: &Map<String, Value>) -> Vec<f64> {
    if fields.get("simulatePressure") == Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let pressures = fields.get("pressures").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    pressures.iter().map(|value| finite(value).unwrap_or(0.5).clamp(0.0, 1.0)).collect()
}

fn head(fields: &Map<String, Value>, name: &str) -> Option<Head> {
    Some(match text(fields, name)? {
        "arrow" => Head::Arrow,
        "triangle" => Head::Triangle { filled: true },
        "triangle_outline" => Head::Triangle { filled: false },
        "dot" | "circle" => Head::Dot { filled: true },
        "circle_outline" => Head::Dot { filled: false },
        "diamond" => Head::Diamond { filled: true },
        "diamond_outline" => Head::Diamond { filled: false },
        "bar" => Head::Bar,
        _ => return None,
    })
}

fn words(fields: &Map<String, Value>) -> Option<Words<'_>> {
    Some(Words {
        text: text(fields, "text")?,
        size: number(fields, "fontSize").unwrap_or(20.0).clamp(1.0, 1_000.0),
        family: match fields.get("fontFamily").and_then(Value::as_u64) {
            Some(1 | 5) => "cursive",
            Some(3 | 8) => "monospace",
            _ => "sans-serif",
        },
        across: match text(fields, "textAlign") {
            Some("center") => Align::Middle,
            Some("right") => Align::End,
            _ => Align::Start,
        },
        down: match text(fields, "verticalAlign") {
            Some("middle") => Align::Middle,
            Some("bottom") => Align::End,
            _ => Align::Start,
        },
        line_height: number(fields, "lineHeight").unwrap_or(1.25).clamp(0.5, 4.0),
    })
}

fn picture(fields: &Map<String, Value>) -> Picture<'_> {
    let scale = fields.get("scale").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let flipped = |place: usize| scale.get(place).and_then(finite).is_some_and(|scale| scale < 0.0);
    Picture {
        data_url: text(fields, "dataURL"),
        file: text(fields, "fileId"),
        flipped: (flipped(0), flipped(1)),
        crop: fields.get("crop").and_then(Value::as_object).and_then(crop),
    }
}

fn crop(fields: &Map<String, Value>) -> Option<Crop> {
    let side = |name| number(fields, name).filter(|side| (0.1..=REACH).contains(side));
    let from = |name| number(fields, name).filter(|from| (0.0..=REACH).contains(from));
    Some(Crop {
        from: Point::new(from("x")?, from("y")?),
        size: Point::new(side("width")?, side("height")?),
        natural: Point::new(side("naturalWidth")?, side("naturalHeight")?),
    })
}
