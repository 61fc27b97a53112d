//! A board as SVG.

use super::element::Element;
use super::geometry::{Bounds, Point};
use super::markup::Markup;
use super::paint::Patterns;
use super::read::{Read, read};
use super::{Board, Error, Limits};

/// What is left free around what is drawn.
const MARGIN: f64 = 16.0;

/// A picture, and what became of the elements.
#[derive(Debug)]
pub struct Svg {
    pub markup: String,
    pub width: f64,
    pub height: f64,
    /// Elements that are in the picture.
    pub drawn: usize,
    /// Elements of types that have no picture.
    pub unknown: usize,
    /// Elements that are not what their type says.
    pub broken: usize,
    /// Images that are grey boxes: they are not there, are of no kind that is shown, or are too large.
    pub missing: usize,
    /// How many pixels are painted, at the size of the board, each element counted for itself. An estimate.
    pub(super) painted: f64,
}

/// The picture as it comes about.
pub(super) struct Canvas<'a> {
    pub board: &'a Board,
    pub limits: &'a Limits,
    pub body: Markup,
    pub patterns: Patterns,
    bounds: Option<Bounds>,
    painted: f64,
    points: usize,
    text_bytes: usize,
    lines: usize,
    image_bytes: usize,
    pub image_pixels: u64,
    pub missing: usize,
    pub dashes: f64,
}

pub fn to_svg(board: &Board, limits: &Limits) -> Result<Svg, Error> {
    if board.elements.len() > limits.elements {
        return Err(Error::Elements(limits.elements));
    }
    let mut canvas = Canvas {
        board,
        limits,
        body: Markup::default(),
        patterns: Patterns::default(),
        bounds: None,
        painted: 0.0,
        points: 0,
        text_bytes: 0,
        lines: 0,
        image_bytes: limits.svg_bytes,
        missing: 0,
        image_pixels: limits.image_pixels,
        dashes: limits.dashes,
    };
    let (mut drawn, mut unknown, mut broken) = (0, 0, 0);
    for element in &board.elements {
        match read(element) {
            Read::Drawn(element) => {
                canvas.draw(&element)?;
                drawn += 1;
            }
            Read::Unknown => unknown += 1,
            Read::Broken => broken += 1,
        }
    }
    let (missing, painted) = (canvas.missing, canvas.painted);
    let (markup, size) = canvas.finish()?;
    Ok(Svg { markup, width: size.x, height: size.y, drawn, unknown, broken, missing, painted })
}

impl Canvas<'_> {
    fn draw(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let Element { place, style, .. } = element;
        let centre = element.centre();
        let grouped = place.angle != 0.0 || style.opacity < 1.0;
        if grouped {
            self.body.raw("<g");
            if place.angle != 0.0 {
                self.body.raw(" transform=\"rotate(").number(place.angle.to_degrees()).raw(" ");
                self.body.number(centre.x).raw(" ").number(centre.y).raw(")\"");
            }
            if style.opacity < 1.0 {
                self.body.attribute("opacity", style.opacity);
            }
            self.body.raw(">");
        }
        let drawn = self.shape(element)?;
        if grouped {
            self.body.raw("</g>");
        }
        if let Some((bounds, painted)) = drawn {
            let bounds = bounds.turned(place.angle, centre);
            let area = bounds.size().x * bounds.size().y;
            // A group that is seen through is painted apart, and then on the picture.
            self.painted += if style.opacity < 1.0 { painted + area * 3.0 } else { painted };
            self.bounds = Some(self.bounds.map_or(bounds, |all| all.with(bounds)));
        }
        self.fits()
    }

    fn fits(&self) -> Result<(), Error> {
        let bytes = self.body.0.len().saturating_add(self.patterns.markup.0.len());
        if bytes > self.limits.svg_bytes { Err(Error::Output(self.limits.svg_bytes)) } else { Ok(()) }
    }

    /// To look at an image costs as much as to show it.
    pub fn count_image(&mut self, bytes: usize) -> Result<(), Error> {
        self.image_bytes = self.image_bytes.checked_sub(bytes).ok_or(Error::Output(self.limits.svg_bytes))?;
        Ok(())
    }

    pub fn count_points(&mut self, points: usize) -> Result<(), Error> {
        self.points = self.points.saturating_add(points);
        if self.points > self.limits.points { Err(Error::Points(self.limits.points)) } else { Ok(()) }
    }

    pub fn count_text(&mut self, text: &str) -> Result<(), Error> {
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if self.text_bytes > self.limits.text_bytes {
            return Err(Error::Text(self.limits.text_bytes));
        }
        self.lines = self.lines.saturating_add(text.split('\n').count());
        if self.lines > self.limits.lines { Err(Error::Lines(self.limits.lines)) } else { Ok(()) }
    }

    fn finish(self) -> Result<(String, Point), Error> {
        let bounds = self.bounds.unwrap_or(Bounds { min: Point::default(), max: Point::default() }).grown(MARGIN);
        let (from, size) = (bounds.min, bounds.size());
        let mut markup = Markup::default();
        markup.raw("<svg xmlns=\"http://www.w3.org/2000/svg\"");
        markup.attribute("width", size.x).attribute("height", size.y);
        markup.raw(" viewBox=\"").number(from.x).raw(" ").number(from.y).raw(" ");
        markup.number(size.x).raw(" ").number(size.y).raw("\">");
        if !self.patterns.markup.0.is_empty() {
            markup.raw("<defs>").raw(&self.patterns.markup.0).raw("</defs>");
        }
        markup.raw("<rect").attribute("x", from.x).attribute("y", from.y);
        markup.attribute("width", size.x).attribute("height", size.y).raw(" fill=\"#ffffff\"/>");
        markup.raw(&self.body.0).raw("</svg>\n");
        if markup.0.len() > self.limits.svg_bytes {
            return Err(Error::Output(self.limits.svg_bytes));
        }
        Ok((markup.0, size))
    }
}
