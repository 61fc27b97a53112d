//! Colours are read and written anew, so that nothing of what somebody called a colour reaches a picture.

use std::str::FromStr;

/// Longer than any colour that is meant as one.
const BYTES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Colour {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
    pub alpha: u8,
}

impl Colour {
    pub const BLACK: Self = Self::opaque(0, 0, 0);
    pub const WHITE: Self = Self::opaque(255, 255, 255);

    pub const fn opaque(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue, alpha: 255 }
    }

    /// A colour of CSS: hexadecimal, by its name, by a function, or `transparent`.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let svgtypes::Color { red, green, blue, alpha } = svgtypes::Color::from_str(text.trim()).ok()?;
        Some(Self { red, green, blue, alpha })
    }

    pub fn is_visible(self) -> bool {
        self.alpha > 0
    }

    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }

    /// From 0 to 1.
    pub fn opacity(self) -> f64 {
        f64::from(self.alpha) / 255.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_css_are_read() {
        for (text, expected) in [
            ("#1971c2", (0x19, 0x71, 0xc2, 255)),
            ("#F00", (255, 0, 0, 255)),
            ("#ff000080", (255, 0, 0, 128)),
            ("#f008", (255, 0, 0, 136)),
            ("red", (255, 0, 0, 255)),
            ("SteelBlue", (70, 130, 180, 255)),
            ("rgb(1, 2, 3)", (1, 2, 3, 255)),
            ("rgba(1,2,3,0.5)", (1, 2, 3, 128)),
            (" transparent ", (0, 0, 0, 0)),
        ] {
            let (red, green, blue, alpha) = expected;
            assert_eq!(Colour::read(text), Some(Colour { red, green, blue, alpha }), "{text}");
        }
    }

    #[test]
    fn what_is_no_colour_is_none() {
        let long = format!("#fff{}", " ".repeat(100));
        for text in [
            "",
            "#",
            "#12",
            "#gggggg",
            "red\" onload=\"x",
            "red;fill:url(http://a.example)",
            "url(http://a.example/)",
            "url(#p0)",
            "javascript:alert(1)",
            "var(--x)",
            "none",
            "currentColor",
            "rgb(1,2",
            "rgb(",
            "\u{0}",
            "рed",
            &long,
        ] {
            assert_eq!(Colour::read(text), None, "{text}");
        }
    }
}
