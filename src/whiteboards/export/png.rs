//! A board as PNG: the SVG of it, painted. Whoever asks for one should do it on a thread that may block.

use super::dimensions::Kind;
use super::image;
use super::{Error, Limits, Svg};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{FontResolver, ImageHrefResolver, ImageKind, Options, Size, Tree, fontdb::Database};
use std::sync::Arc;

const FAMILY: &str = "Noto Sans";

/// The fonts of texts. To be made once.
#[derive(Clone)]
pub struct Fonts(Arc<Database>);

impl Fonts {
    /// The one that is part of the program: Latin, Greek and Cyrillic.
    pub fn embedded() -> Self {
        Self::with([])
    }

    /// Others beside it, from the bytes of their files, for letters that it has not.
    pub fn with(files: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut fonts = Database::new();
        fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
        for file in files {
            fonts.load_font_data(file);
        }
        fonts.set_sans_serif_family(FAMILY);
        fonts.set_serif_family(FAMILY);
        fonts.set_monospace_family(FAMILY);
        fonts.set_cursive_family(FAMILY);
        fonts.set_fantasy_family(FAMILY);
        Self(Arc::new(fonts))
    }
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fonts({})", self.0.len())
    }
}

/// At the size of the board, or smaller where that is too much.
pub fn to_png(svg: &Svg, limits: &Limits, fonts: &Fonts) -> Result<Vec<u8>, Error> {
    let broken = |what: &str| Error::Broken(what.to_owned());
    let tree = Tree::from_str(&svg.markup, &options(fonts)).map_err(|error| Error::Broken(error.to_string()))?;
    let whole = tree.size();
    let size = scaled(whole, svg, limits).ok_or_else(|| broken("it has no size"))?.to_int_size();
    let mut pixmap = Pixmap::new(size.width(), size.height()).ok_or_else(|| broken("it has no room"))?;
    let transform =
        Transform::from_scale(size.to_size().width() / whole.width(), size.to_size().height() / whole.height());
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| Error::Broken(error.to_string()))
}

/// With no side longer than the limit, and so small that painting it comes to an end soon.
fn scaled(whole: Size, svg: &Svg, limits: &Limits) -> Option<Size> {
    let side = limits.side.clamp(1.0, 16_384.0);
    let mut by = (side / whole.width().max(whole.height())).min(1.0);
    // Both sides shrink, so what is painted does by the square.
    while f64::from(by * by) * svg.painted > limits.painted && by > 1e-6 {
        by *= 0.9;
    }
    // The short side of a long picture is one pixel at least.
    Size::from_wh((whole.width() * by).clamp(1.0, side), (whole.height() * by).clamp(1.0, side))
}

/// Nothing is read, neither a file nor the network: an image is in the picture, or it is not shown.
fn options(fonts: &Fonts) -> Options<'static> {
    Options {
        resources_dir: None,
        font_family: FAMILY.to_owned(),
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|mime, bytes, _| {
                Some(match image::kind(mime)? {
                    Kind::Png => ImageKind::PNG(bytes),
                    Kind::Jpeg => ImageKind::JPEG(bytes),
                    Kind::Gif => ImageKind::GIF(bytes),
                    Kind::Webp => ImageKind::WEBP(bytes),
                })
            }),
            resolve_string: Box::new(|_, _| None),
        },
        font_resolver: FontResolver::default(),
        fontdb: fonts.0.clone(),
        ..Options::default()
    }
}
