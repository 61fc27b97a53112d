//! How each shape is drawn.

use super::colour::Colour;
use super::element::{Align, Element, Fill, Head, Picture, Place, Rounding, Shape, Stroke, Style, Words};
use super::geometry::{Bounds, Piece, Point, length, rounded, smooth, straight};
use super::pen::{PART, Trace, parts, pressures_of};
use super::svg::Canvas;
use super::{Error, heads, image, paint, text};
use serde_json::Value;

/// A line whose ends are this close encloses something.
const CLOSED_WITHIN: f64 = 8.0;
/// What an edge costs along its length, in pixels, beside what it paints.
const EDGE: f64 = 32.0;
/// What an area with a hachure costs, in areas without.
const HACHURE: f64 = 20.0;
/// The corners of an arrow that is made of upright and level lines.
const ELBOW: f64 = 16.0;
const FRAME: Colour = Colour::opaque(0xbb, 0xbb, 0xbb);
const FRAME_NAME: Colour = Colour::opaque(0x99, 0x99, 0x99);
const FRAME_NAME_CHARS: usize = 100;
const MISSING: Colour = Colour::opaque(0xe9, 0xec, 0xef);
const MISSING_BORDER: Colour = Colour::opaque(0xad, 0xb5, 0xbd);

/// What was drawn: what surrounds it, before it is turned, and roughly how many pixels it paints.
pub(super) type Ink = Option<(Bounds, f64)>;

impl Element<'_> {
    /// What the element is turned about.
    pub(super) fn centre(&self) -> Point {
        let Place { x, y, width, height, .. } = self.place;
        match &self.shape {
            Shape::Pen { points, .. } | Shape::Line { points, .. } => {
                let bounds = Bounds::around(points.iter().copied());
                bounds.map(Bounds::centre).unwrap_or_default().plus(Point::new(x, y))
            }
            _ => Point::new(x + width / 2.0, y + height / 2.0),
        }
    }

    fn bounds(&self) -> Bounds {
        let Place { x, y, width, height, .. } = self.place;
        Bounds { min: Point::new(x, y), max: Point::new(x + width, y + height) }
    }
}

impl Canvas<'_> {
    pub(super) fn shape(&mut self, element: &Element<'_>) -> Result<Ink, Error> {
        let (style, bounds) = (&element.style, element.bounds());
        match &element.shape {
            Shape::Rectangle => {
                let radius = style.rounding.map(|rounding| rounding.radius(bounds.size().x.min(bounds.size().y)));
                Ok(self.path(&rounded(&bounds.corners(), true, radius.unwrap_or(0.0)), style))
            }
            Shape::Diamond => {
                let (centre, size) = (bounds.centre(), bounds.size());
                let corners = [
                    Point::new(centre.x, bounds.min.y),
                    Point::new(bounds.max.x, centre.y),
                    Point::new(centre.x, bounds.max.y),
                    Point::new(bounds.min.x, centre.y),
                ];
                let radius = style.rounding.map(|rounding| rounding.radius(size.x.min(size.y)));
                Ok(self.path(&rounded(&corners, true, radius.unwrap_or(0.0)), style))
            }
            Shape::Ellipse => Ok(self.ellipse(bounds, style)),
            Shape::Pen { points, pressures } => {
                self.count_points(points.len())?;
                let points = moved(points, bounds.min);
                Ok(self.pen(&points, pressures, style))
            }
            Shape::Line { points, start, end, elbowed } => {
                self.count_points(points.len())?;
                let points = moved(points, bounds.min);
                Ok(self.line(&points, (*start, *end), *elbowed, style))
            }
            Shape::Text(words) => self.text(words, element.place, style),
            Shape::Image(picture) => self.image(picture, bounds),
            Shape::Frame { name } => self.frame(name, bounds),
        }
    }

    /// A closed path, or one that is not filled.
    fn path(&mut self, pieces: &[Piece], style: &Style) -> Ink {
        let bounds = Bounds::around(pieces.iter().flat_map(|piece| piece.points()))?;
        self.body.raw("<path d=\"").path(pieces).raw("\"");
        Some(self.painted(bounds, bounds.size().x * 2.0 + bounds.size().y * 2.0, style))
    }

    fn ellipse(&mut self, bounds: Bounds, style: &Style) -> Ink {
        let (centre, size) = (bounds.centre(), bounds.size());
        self.body.raw("<ellipse").attribute("cx", centre.x).attribute("cy", centre.y);
        self.body.attribute("rx", size.x / 2.0).attribute("ry", size.y / 2.0);
        Some(self.painted(bounds, size.x * 2.0 + size.y * 2.0, style))
    }

    /// Ends a shape with what it is painted with.
    fn painted(&mut self, bounds: Bounds, length: f64, style: &Style) -> (Bounds, f64) {
        paint::fill(&mut self.body, &mut self.patterns, style);
        let dashes = self.dashes(style, length);
        paint::stroke(&mut self.body, style.stroke, style.stroke_width, dashes);
        self.body.raw("/>");
        let area = bounds.size().x * bounds.size().y;
        let filled = match (style.background, style.fill) {
            (None, _) => 0.0,
            (Some(_), Fill::Solid) => area,
            // Each area has the tile painted anew, however small it is itself.
            (Some(_), _) => area * HACHURE + paint::tile(style.stroke_width).powi(2),
        };
        (bounds.grown(style.stroke_width / 2.0), filled + length * (style.stroke_width + EDGE))
    }

    /// Dashes cost by their number, so there is an end to them.
    fn dashes(&mut self, style: &Style, length: f64) -> Option<(f64, f64)> {
        let (dash, gap) = paint::dashes(style)?;
        self.dashes -= length / (dash + gap);
        (self.dashes >= 0.0).then_some((dash, gap))
    }

    fn pen(&mut self, points: &[Point], pressures: &[f64], style: &Style) -> Ink {
        let mut ink = None;
        if style.background.is_some() && encloses(points) {
            let inside = Style { stroke: None, ..*style };
            ink = self.path(&straight(points, true), &inside);
        }
        let colour = style.stroke?;
        if let [dot] = points {
            let radius = match Trace::new(points, pressures, style.stroke_width) {
                Trace::Even { width, .. } | Trace::Pressed { width, .. } => width / 2.0,
            };
            self.body.raw("<circle").attribute("cx", dot.x).attribute("cy", dot.y).attribute("r", radius);
            paint::solid(&mut self.body, colour);
            self.body.raw("/>");
            return Some((Bounds { min: *dot, max: *dot }.grown(radius), radius * radius * 4.0));
        }
        for (part, pressures) in parts(points).zip(pressures_of(pressures)) {
            let trace = self.trace(part, pressures, style.stroke_width, colour);
            ink = match (ink, trace) {
                (Some((bounds, painted)), Some((more, and))) => Some((bounds.with(more), painted + and)),
                (ink, trace) => ink.or(trace),
            };
        }
        ink
    }

    fn trace(&mut self, points: &[Point], pressures: &[f64], stroke_width: f64, colour: Colour) -> Ink {
        let (pieces, width, solid) = match Trace::new(points, pressures, stroke_width) {
            Trace::Even { curve, width } => (curve, width, false),
            Trace::Pressed { outline, width } => (outline, width, true),
        };
        let bounds = Bounds::around(pieces.iter().flat_map(|piece| piece.points()))?.grown(width / 2.0);
        self.body.raw("<path d=\"").path(&pieces).raw("\"");
        if solid {
            paint::solid(&mut self.body, colour);
        } else {
            self.body.raw(" fill=\"none\"");
        }
        paint::stroke(&mut self.body, Some(colour), width, None);
        self.body.raw("/>");
        Some((bounds, length(points) * (width + EDGE)))
    }

    fn line(&mut self, points: &[Point], heads: (Option<Head>, Option<Head>), elbowed: bool, style: &Style) -> Ink {
        let background = style.background.filter(|_| encloses(points));
        let style = &Style { background, ..*style };
        let mut ink: Ink = None;
        for part in parts(points) {
            let pieces = match (elbowed, style.rounding) {
                (true, _) => rounded(part, false, ELBOW),
                (false, Some(_)) if part.len() > 2 => smooth(part),
                (false, _) => straight(part, false),
            };
            let Some(around) = Bounds::around(pieces.iter().flat_map(|piece| piece.points())) else { continue };
            self.body.raw("<path d=\"").path(&pieces).raw("\"");
            let (more, and) = self.painted(around, length(part), style);
            ink = Some(ink.map_or((more, and), |(bounds, painted)| (bounds.with(more), painted + and)));
        }
        let (mut bounds, mut painted) = ink?;
        let starting = heads.0.and_then(|head| heads::draw(head, points.iter().copied()));
        let ending = heads.1.and_then(|head| heads::draw(head, points.iter().rev().copied()));
        for head in [starting, ending].into_iter().flatten() {
            let inside = head.filled.and_then(|filled| if filled { style.stroke } else { Some(Colour::WHITE) });
            let style = Style { background: inside, fill: Fill::Solid, stroke_style: Stroke::Solid, ..*style };
            if let Some((around, more)) = self.path(&head.pieces, &style) {
                bounds = bounds.with(around);
                painted += more;
            }
        }
        Some((bounds, painted))
    }

    fn text(&mut self, words: &Words<'_>, place: Place, style: &Style) -> Result<Ink, Error> {
        self.count_text(words.text)?;
        let Some(colour) = style.stroke else { return Ok(None) };
        let (lines, bounds) = text::lay_out(words, place);
        for line in &lines {
            text::write(&mut self.body, line, words, colour);
        }
        Ok(bounds.map(|bounds| (bounds, bounds.size().x * bounds.size().y)))
    }

    fn frame(&mut self, name: &str, bounds: Bounds) -> Result<Ink, Error> {
        let style = Style {
            stroke: Some(FRAME),
            background: None,
            fill: Fill::Solid,
            stroke_width: 2.0,
            stroke_style: Stroke::Solid,
            opacity: 1.0,
            rounding: None,
        };
        let around = self.path(&rounded(&bounds.corners(), true, Rounding::RADIUS / 4.0), &style);
        // One line, and not longer than a name.
        let name: String = name.chars().filter(|letter| *letter != '\n').take(FRAME_NAME_CHARS).collect();
        let words = Words {
            text: &name,
            size: 14.0,
            family: "sans-serif",
            across: Align::Start,
            down: Align::Start,
            line_height: 1.25,
        };
        let place = Place { x: bounds.min.x, y: bounds.min.y - 22.0, ..Place::default() };
        let named = self.text(&words, place, &Style { stroke: Some(FRAME_NAME), ..style })?;
        Ok(around.map(|(around, painted)| match named {
            Some((named, more)) => (around.with(named), painted + more),
            None => (around, painted),
        }))
    }

    fn image(&mut self, picture: &Picture<'_>, bounds: Bounds) -> Result<Ink, Error> {
        let size = bounds.size();
        if size.x <= 0.0 || size.y <= 0.0 {
            return Ok(None);
        }
        let board = self.board;
        let file = picture.file.and_then(|id| board.files.get(id));
        let url = picture.data_url.or_else(|| file?.get("dataURL").and_then(Value::as_str));
        let Some(url) = url else { return Ok(self.missing(bounds)) };
        self.count_image(url.len())?;
        let Some(checked) = image::check(url).filter(|checked| checked.pixels <= self.image_pixels) else {
            return Ok(self.missing(bounds));
        };
        self.image_pixels -= checked.pixels;
        if picture.flipped != (false, false) {
            let centre = bounds.centre();
            let sign = |flipped: bool| if flipped { -1.0 } else { 1.0 };
            let (x, y) = (sign(picture.flipped.0), sign(picture.flipped.1));
            self.body.raw("<g transform=\"matrix(").number(x).raw(" 0 0 ").number(y).raw(" ");
            self.body.number((1.0 - x) * centre.x).raw(" ").number((1.0 - y) * centre.y).raw(")\">");
        }
        let box_of = |canvas: &mut Self, from: Point, size: Point| {
            canvas.body.attribute("x", from.x).attribute("y", from.y);
            canvas.body.attribute("width", size.x).attribute("height", size.y);
            canvas.body.raw(" preserveAspectRatio=\"none\"");
        };
        if let Some(crop) = picture.crop {
            self.body.raw("<svg");
            box_of(self, bounds.min, size);
            self.body.raw(" viewBox=\"").number(crop.from.x).raw(" ").number(crop.from.y).raw(" ");
            self.body.number(crop.size.x).raw(" ").number(crop.size.y).raw("\">");
        }
        self.body.raw("<image");
        match picture.crop {
            Some(crop) => box_of(self, Point::default(), crop.natural),
            None => box_of(self, bounds.min, size),
        }
        self.body.raw(" href=\"data:").raw(checked.mime).raw(";base64,").raw(checked.base64).raw("\"/>");
        self.body.raw(if picture.crop.is_some() { "</svg>" } else { "" });
        self.body.raw(if picture.flipped == (false, false) { "" } else { "</g>" });
        Ok(Some((bounds, size.x * size.y * 12.0)))
    }

    /// An image that is not there, or not to be shown.
    fn missing(&mut self, bounds: Bounds) -> Ink {
        self.missing += 1;
        let style = Style {
            stroke: Some(MISSING_BORDER),
            background: Some(MISSING),
            fill: Fill::Solid,
            stroke_width: 1.0,
            stroke_style: Stroke::Solid,
            opacity: 1.0,
            rounding: None,
        };
        self.path(&straight(&bounds.corners(), true), &style)
    }
}

fn moved(points: &[Point], by: Point) -> Vec<Point> {
    points.iter().map(|point| point.plus(by)).collect()
}

fn encloses(points: &[Point]) -> bool {
    match points {
        [first, .., last] if (3..=PART).contains(&points.len()) => first.distance(*last) <= CLOSED_WITHIN,
        _ => false,
    }
}
