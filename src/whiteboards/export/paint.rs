//! What lines and areas are painted with.

use super::colour::Colour;
use super::element::{Fill, Stroke, Style};
use super::markup::Markup;
use std::collections::BTreeMap;

/// Lines of a hachure in one tile of it. A tile that is smaller than a pixel would not be painted at all.
const LINES: u8 = 8;

/// The hachures that a picture has used so far: each is defined once.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// By colour, kind and width in hundredths of a pixel.
    known: BTreeMap<(Colour, bool, String), usize>,
    pub markup: Markup,
}

impl Patterns {
    fn id(&mut self, colour: Colour, crossed: bool, stroke_width: f64) -> usize {
        let mut width = Markup::default();
        width.number((stroke_width / 2.0).max(0.5));
        let next = self.known.len();
        let id = *self.known.entry((colour, crossed, width.0.clone())).or_insert(next);
        if id == next {
            self.define(id, colour, crossed, stroke_width, &width.0);
        }
        id
    }

    fn define(&mut self, id: usize, colour: Colour, crossed: bool, stroke_width: f64, width: &str) {
        let (gap, side) = (gap(stroke_width), tile(stroke_width));
        self.markup.raw(&format!("<pattern id=\"p{id}\" patternUnits=\"userSpaceOnUse\""));
        self.markup.attribute("width", side).attribute("height", side);
        self.markup.raw(" patternTransform=\"rotate(-41)\"><path d=\"");
        for line in 0..LINES {
            let at = gap * (f64::from(line) + 0.5);
            self.markup.raw("M0 ").number(at).raw("H").number(side);
            if crossed {
                self.markup.raw("M").number(at).raw(" 0V").number(side);
            }
        }
        self.markup.raw("\" fill=\"none\"");
        stroke_colour(&mut self.markup, colour);
        self.markup.raw(" stroke-width=\"").raw(width).raw("\"/></pattern>");
    }
}

fn gap(stroke_width: f64) -> f64 {
    (stroke_width * 4.0).max(4.0)
}

/// The side of a hachure's tile.
pub(super) fn tile(stroke_width: f64) -> f64 {
    gap(stroke_width) * f64::from(LINES)
}

/// The attributes of an area.
pub(super) fn fill(markup: &mut Markup, patterns: &mut Patterns, style: &Style) {
    match (style.background, style.fill) {
        (None, _) => {
            markup.raw(" fill=\"none\"");
        }
        (Some(colour), Fill::Solid) => solid(markup, colour),
        (Some(colour), kind) => {
            let id = patterns.id(colour, kind == Fill::CrossHatch, style.stroke_width);
            markup.raw(&format!(" fill=\"url(#p{id})\""));
        }
    }
}

pub(super) fn solid(markup: &mut Markup, colour: Colour) {
    markup.raw(" fill=\"").raw(&colour.hex()).raw("\"");
    if colour.alpha < u8::MAX {
        markup.attribute("fill-opacity", colour.opacity());
    }
}

fn stroke_colour(markup: &mut Markup, colour: Colour) {
    markup.raw(" stroke=\"").raw(&colour.hex()).raw("\"");
    if colour.alpha < u8::MAX {
        markup.attribute("stroke-opacity", colour.opacity());
    }
}

/// The attributes of a line.
pub(super) fn stroke(markup: &mut Markup, colour: Option<Colour>, width: f64, dashes: Option<(f64, f64)>) {
    let Some(colour) = colour else { return };
    stroke_colour(markup, colour);
    markup.attribute("stroke-width", width).raw(" stroke-linecap=\"round\" stroke-linejoin=\"round\"");
    if let Some((dash, gap)) = dashes {
        markup.raw(" stroke-dasharray=\"").number(dash).raw(" ").number(gap).raw("\"");
    }
}

/// The lengths of a dash and of the gap behind it.
pub(super) fn dashes(style: &Style) -> Option<(f64, f64)> {
    match style.stroke_style {
        Stroke::Solid => None,
        Stroke::Dashed => Some((8.0, 8.0 + style.stroke_width)),
        Stroke::Dotted => Some((1.5, 6.0 + style.stroke_width)),
    }
}
