//! A whiteboard as a file: in the format of Excalidraw's files (`json`), as SVG (`svg`) and as PNG (`png`).
//! Pure: a board comes in as JSON, and text or bytes go out. What people drew is not trusted. A picture is
//! made of numbers, of colours that were read and are written anew, of escaped text and of checked images;
//! nothing else of an element reaches it. Whatever decides how much work a picture is has a limit.

mod colour;
mod dimensions;
mod element;
mod geometry;
mod heads;
mod image;
mod json;
mod markup;
mod paint;
mod pen;
mod png;
mod read;
mod shapes;
mod svg;
mod text;

pub use colour::Colour;
pub use element::{Align, Crop, Element, Fill, Head, Picture, Place, Rounding, Shape, Stroke, Style, Words};
pub use geometry::Point;
pub use json::to_json;
pub use png::{Fonts, to_png};
pub use read::{Read, read};
pub use svg::{Svg, to_svg};

use serde_json::{Map, Value};

/// What a board shows, in the order that it is drawn in.
#[derive(Clone, Debug, Default)]
pub struct Board {
    pub name: String,
    pub elements: Vec<Value>,
    /// The images that elements name by their `fileId`: id → `{mimeType, dataURL}`.
    pub files: Map<String, Value>,
}

impl Board {
    /// Takes the document's map of elements. Those that are deleted, and what is no object, are left out.
    /// The rest is in the order of `index`; elements of one index, and those without any, which come last,
    /// are in the order of their ids, so that one document is always one picture.
    pub fn new(name: impl Into<String>, elements: Map<String, Value>, files: Map<String, Value>) -> Self {
        let mut kept: Vec<(Option<String>, String, Value)> = elements
            .into_iter()
            .filter(|(_, element)| element.is_object() && element.get("isDeleted") != Some(&Value::Bool(true)))
            .map(|(id, element)| (element.get("index").and_then(Value::as_str).map(str::to_owned), id, element))
            .collect();
        kept.sort_by(|(one, one_id, _), (other, other_id, _)| {
            (one.is_none(), one, one_id).cmp(&(other.is_none(), other, other_id))
        });
        Self { name: name.into(), elements: kept.into_iter().map(|(_, _, element)| element).collect(), files }
    }
}

/// How large a picture may be.
#[derive(Clone, Debug)]
pub struct Limits {
    pub elements: usize,
    /// Of all lines, arrows and strokes of a pen together.
    pub points: usize,
    /// Of all texts and names together.
    pub text_bytes: usize,
    /// Of all texts and names together.
    pub lines: usize,
    /// Of the SVG; also of all images that are looked at for it.
    pub svg_bytes: usize,
    /// Of all images together, each as often as it is shown. Those beyond are shown
    /// as grey boxes.
    pub image_pixels: u64,
    /// Of all dashed lines together. Lines beyond are solid.
    pub dashes: f64,
    /// The longest side of the PNG.
    pub side: f32,
    /// What may be painted for the PNG, in pixels, counted for each element anew. A board with more of it
    /// is painted smaller.
    pub painted: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            elements: 50_000,
            points: 250_000,
            text_bytes: 1 << 20,
            lines: 100_000,
            svg_bytes: 64 << 20,
            image_pixels: 64 << 20,
            dashes: 500_000.0,
            side: 4_096.0,
            painted: 4_000_000_000.0,
        }
    }
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the board has more than {0} elements")]
    Elements(usize),
    #[error("the lines of the board have more than {0} points")]
    Points(usize),
    #[error("the texts of the board are longer than {0} bytes")]
    Text(usize),
    #[error("the texts of the board have more than {0} lines")]
    Lines(usize),
    #[error("the picture is larger than {0} bytes")]
    Output(usize),
    /// A fault of the program: what it wrote could not be read or painted.
    #[error("the picture could not be made: {0}")]
    Broken(String),
}

impl Error {
    /// The code of the refusal that this is; part of the contract.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Elements(_) | Self::Points(_) | Self::Text(_) | Self::Lines(_) | Self::Output(_) => "too_large",
            Self::Broken(_) => "internal",
        }
    }
}

#[cfg(test)]
mod tests;
