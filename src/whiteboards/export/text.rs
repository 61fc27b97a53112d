//! Texts. How wide a text is only the fonts of whoever looks at the picture can say; the element says where its
//! lines begin, have their middle, or end.

use super::colour::Colour;
use super::element::{Align, Place, Words};
use super::geometry::{Bounds, Point};
use super::markup::Markup;
use super::paint;

/// From the middle of a line to what its letters stand on, in parts of the font's size.
const BASELINE: f64 = 0.35;
/// What is beyond this in a line is not drawn: to lay a line out costs by the square of its letters.
const LINE_CHARS: usize = 2_000;

pub(super) struct Line<'a> {
    pub text: &'a str,
    pub at: Point,
}

/// The lines of a text, each with the point that it is aligned at, and what surrounds all of them.
pub(super) fn lay_out<'a>(words: &Words<'a>, place: Place) -> (Vec<Line<'a>>, Option<Bounds>) {
    let height = words.size * words.line_height;
    let rows = words.text.split('\n').count();
    let whole = height * f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    let top = place.y
        + match words.down {
            Align::Start => 0.0,
            Align::Middle => (place.height - whole) / 2.0,
            Align::End => place.height - whole,
        };
    let left = place.x
        + match words.across {
            Align::Start => 0.0,
            Align::Middle => place.width / 2.0,
            Align::End => place.width,
        };
    let mut bounds = Bounds::around([Point::new(left, top)]);
    let mut lines = Vec::with_capacity(rows);
    let mut middle = top + height / 2.0;
    for text in words.text.split('\n').map(|line| cut(line.trim_end_matches('\r'))) {
        if !text.trim().is_empty() {
            lines.push(Line { text, at: Point::new(left, middle + words.size * BASELINE) });
            let width = width(text) * words.size;
            let begin = match words.across {
                Align::Start => left,
                Align::Middle => left - width / 2.0,
                Align::End => left - width,
            };
            let half = Point::new(0.0, height / 2.0);
            let (from, to) = (Point::new(begin, middle), Point::new(begin + width, middle));
            let line = Bounds::around([from.minus(half), to.plus(half)]);
            bounds = bounds.zip(line).map(|(bounds, line)| bounds.with(line));
        }
        middle += height;
    }
    (lines, bounds)
}

fn cut(line: &str) -> &str {
    let mut length = 0;
    let beyond = line.char_indices().find(|(_, letter)| {
        // A tab is drawn as four spaces.
        length += if *letter == '\t' { 4 } else { 1 };
        length > LINE_CHARS
    });
    beyond.and_then(|(end, _)| line.get(..end)).unwrap_or(line)
}

/// Roughly, and rather too wide, in parts of the font's size: what a picture leaves room for.
fn width(text: &str) -> f64 {
    text.chars().map(|character| if character < '\u{1100}' { 0.6 } else { 1.0 }).sum()
}

pub(super) fn write(markup: &mut Markup, line: &Line<'_>, words: &Words<'_>, colour: Colour) {
    markup.raw("<text xml:space=\"preserve\"").attribute("x", line.at.x).attribute("y", line.at.y);
    markup.raw(" font-family=\"").raw(words.family).raw("\"").attribute("font-size", words.size);
    markup.raw(match words.across {
        Align::Start => "",
        Align::Middle => " text-anchor=\"middle\"",
        Align::End => " text-anchor=\"end\"",
    });
    paint::solid(markup, colour);
    markup.raw(">").escaped(line.text).raw("</text>");
}
