//! An element as it is drawn: with every field present, in range and of its type.

use super::colour::Colour;
use super::geometry::Point;

#[derive(Clone, Debug)]
pub struct Element<'a> {
    pub place: Place,
    pub style: Style,
    pub shape: Shape<'a>,
}

/// Where an element is, in pixels of the board. `width` and `height` are not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// In radians, clockwise, about the centre.
    pub angle: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub stroke: Option<Colour>,
    pub background: Option<Colour>,
    pub fill: Fill,
    pub stroke_width: f64,
    pub stroke_style: Stroke,
    /// From 0 to 1.
    pub opacity: f64,
    pub rounding: Option<Rounding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    Solid,
    Hachure,
    CrossHatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rounding {
    /// A part of the shorter side.
    Proportional,
    /// Of a radius in pixels, where the sides are long enough for it.
    Fixed(f64),
}

impl Rounding {
    pub const PART: f64 = 0.25;
    pub const RADIUS: f64 = 32.0;

    pub(super) fn radius(self, side: f64) -> f64 {
        match self {
            Self::Proportional => side * Self::PART,
            Self::Fixed(radius) => radius.min(side * Self::PART),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Shape<'a> {
    Rectangle,
    Ellipse,
    Diamond,
    /// A stroke of a pen. A stroke without `pressures` is of one width.
    Pen {
        points: Vec<Point>,
        pressures: Vec<f64>,
    },
    /// A line or an arrow.
    Line {
        points: Vec<Point>,
        start: Option<Head>,
        end: Option<Head>,
        /// Made of upright and level lines, which a curve would leave.
        elbowed: bool,
    },
    Text(Words<'a>),
    Image(Picture<'a>),
    Frame {
        name: &'a str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    Arrow,
    Triangle { filled: bool },
    Dot { filled: bool },
    Diamond { filled: bool },
    Bar,
}

#[derive(Clone, Debug)]
pub struct Words<'a> {
    pub text: &'a str,
    pub size: f64,
    /// One of the families that SVG itself knows.
    pub family: &'static str,
    pub across: Align,
    pub down: Align,
    /// In parts of `size`.
    pub line_height: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug, Default)]
pub struct Picture<'a> {
    pub data_url: Option<&'a str>,
    pub file: Option<&'a str>,
    /// Mirrored from left to right, from top to bottom.
    pub flipped: (bool, bool),
    pub crop: Option<Crop>,
}

/// The part of an image that is shown, in pixels of a whole of `natural` pixels.
#[derive(Clone, Copy, Debug)]
pub struct Crop {
    pub from: Point,
    pub size: Point,
    pub natural: Point,
}
