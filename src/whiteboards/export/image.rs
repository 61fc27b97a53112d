//! Images come as `data:` URLs, and nothing else is followed. One that is not plainly a raster image is not
//! shown, SVG among them: it could hold scripts, and references to anywhere.

use super::dimensions::{self, Kind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What says that it is an image of a type, is one, and is in an alphabet that ends no attribute.
pub(super) struct Checked<'a> {
    pub mime: &'static str,
    pub base64: &'a str,
    pub pixels: u64,
}

pub(super) fn check(url: &str) -> Option<Checked<'_>> {
    let (mime, base64) = url.strip_prefix("data:")?.split_once(";base64,")?;
    let kind = kind(mime)?;
    let bytes = STANDARD.decode(base64).ok()?;
    let (found, width, height) = dimensions::of(&bytes)?;
    let mime = match kind {
        Kind::Png => "image/png",
        Kind::Jpeg => "image/jpeg",
        Kind::Gif => "image/gif",
        Kind::Webp => "image/webp",
    };
    (found == kind).then(|| Checked { mime, base64, pixels: u64::from(width).saturating_mul(u64::from(height)) })
}

pub(super) fn kind(mime: &str) -> Option<Kind> {
    Some(match mime {
        "image/png" => Kind::Png,
        "image/jpeg" | "image/jpg" => Kind::Jpeg,
        "image/gif" => Kind::Gif,
        "image/webp" => Kind::Webp,
        _ => return None,
    })
}
