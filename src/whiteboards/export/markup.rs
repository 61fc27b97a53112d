//! Text of SVG. Numbers are finite and short, text is escaped; what is written as it is, is ours.

use super::geometry::{Piece, Point};
use std::fmt::Write as _;

#[derive(Debug, Default)]
pub(super) struct Markup(pub String);

impl Markup {
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// With two decimals at most: a hundredth of a pixel is not seen.
    pub fn number(&mut self, number: f64) -> &mut Self {
        let short = (number * 100.0).round() / 100.0;
        // Neither -0 nor what is no number.
        let short = if short.is_finite() && short != 0.0 { short } else { 0.0 };
        // A String takes everything.
        let _ = write!(self.0, "{short}");
        self
    }

    pub fn attribute(&mut self, name: &str, number: f64) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").number(number).raw("\"")
    }

    /// What XML has no place for at all, as most control characters, is left out.
    pub fn escaped(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\t' => self.0.push_str("    "),
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
                _ => self.0.push(character),
            }
        }
        self
    }

    pub fn path(&mut self, pieces: &[Piece]) -> &mut Self {
        let point = |markup: &mut Self, point: Point| {
            markup.number(point.x).raw(" ").number(point.y);
        };
        for piece in pieces {
            self.raw(match piece {
                Piece::Move(_) => "M",
                Piece::Line(_) => "L",
                Piece::Quadratic(..) => "Q",
                Piece::Cubic(..) => "C",
                Piece::Close => "Z",
            });
            for (place, at) in piece.points().enumerate() {
                if place > 0 {
                    self.raw(" ");
                }
                point(self, at);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        for (number, expected) in [
            (1.0, "1"),
            (-0.001, "0"),
            (1.239, "1.24"),
            (-1_000_000.125, "-1000000.13"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(Markup::default().number(number).0, expected);
        }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        let mut markup = Markup::default();
        markup.escaped("</text><script>\"'&amp;\u{0}\u{b}\u{ffff}\t.");
        assert_eq!(markup.0, "&lt;/text&gt;&lt;script&gt;&quot;&#39;&amp;amp;    .");
    }
}
