//! SVG to PNG: the only place that needs `resvg`.

/// `DejaVu Sans`, reduced to Latin letters, so that pictures look the same on every machine, even
/// without installed fonts. Licence: `assets/LICENSE-DejaVu`.
#[cfg(feature = "png")]
const FONTS: [&[u8]; 2] = [
    include_bytes!("../assets/DejaVuSans-latin.ttf"),
    include_bytes!("../assets/DejaVuSans-Bold-latin.ttf"),
];

/// Pixels of the PNG per pixel of the SVG.
#[cfg(feature = "png")]
const SCALE: f32 = 2.0;

/// Length of the PNG signature and the header with size and colours.
const N_HEADER: usize = 8 + 25;

/// Type and content of the chunk after the header, which identifies the generator.
const MARK: &[u8] = b"tEXtSoftware\0batchlab";

/// Whether these first bytes belong to a PNG made by [`png()`].
#[must_use]
pub fn is_png_of_ours(begin: &[u8]) -> bool {
    begin.get(N_HEADER + 4..).is_some_and(|block| block.starts_with(MARK))
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[cfg(not(feature = "png"))]
    #[error(
        "this program was built without pictures as PNG; write .svg instead, or build it with \
         `cargo build --release --features png`"
    )]
    NoPng,
    #[cfg(feature = "png")]
    #[error("cannot read the SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    #[cfg(feature = "png")]
    #[error("a picture of {width} x {height} pixels is too large; write .svg instead")]
    Size { width: u32, height: u32 },
    #[cfg(feature = "png")]
    #[error("cannot encode the PNG: {0}")]
    Encode(String),
}

/// Renders an SVG at twice its size.
///
/// # Errors
/// If the text is not SVG, the picture is too large for memory, or the program was built without
/// the feature `png`.
#[cfg(feature = "png")]
pub fn png(svg: &str) -> Result<Vec<u8>, Error> {
    use std::sync::Arc;

    use resvg::tiny_skia::{Pixmap, Transform};
    use resvg::usvg::{Options, Tree, fontdb};

    let mut fonts = fontdb::Database::new();
    for font in FONTS {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size().scale_by(SCALE).unwrap_or(tree.size().to_int_size());
    let (width, height) = (size.width(), size.height());
    let mut pixmap = Pixmap::new(width, height).ok_or(Error::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
    let mut bytes = pixmap.encode_png().map_err(|error| Error::Encode(error.to_string()))?;
    let length = (MARK.len() as u32 - 4).to_be_bytes();
    let block = [&length[..], MARK, &crc32fast::hash(MARK).to_be_bytes()].concat();
    bytes.splice(N_HEADER..N_HEADER, block);
    Ok(bytes)
}

/// Renders an SVG at twice its size.
///
/// # Errors
/// Always: the program was built without the feature `png`.
#[cfg(not(feature = "png"))]
pub fn png(_svg: &str) -> Result<Vec<u8>, Error> {
    Err(Error::NoPng)
}

#[cfg(all(test, feature = "png"))]
mod tests {
    use resvg::tiny_skia::Pixmap;

    use super::*;
    use crate::{Anchor, Svg};

    #[test]
    fn a_picture_becomes_a_png_of_twice_its_size_with_its_colours() {
        let mut svg = Svg::default();
        svg.text(4.0, 20.0, Anchor::Start, "ink bold", "a < b & c");
        svg.rectangle((0.0, 30.0), (40.0, 10.0), 1, 1.0);
        let bytes = png(&svg.into_picture(40.0, 40.0, 11.0)).expect("what we draw is right");
        let picture = Pixmap::decode_png(&bytes).expect("what we encode is right");
        assert_eq!((picture.width(), picture.height()), (80, 80));
        assert!(is_png_of_ours(&bytes) && !is_png_of_ours(&picture.encode_png().expect("pixels")));
        let at = |x, y| picture.pixel(x, y).map(|p| [p.red(), p.green(), p.blue(), p.alpha()]);
        assert_eq!(at(79, 0), Some([0xff, 0xff, 0xff, 0xff]), "the ground is white");
        assert_eq!(at(40, 70), Some([0xd5, 0x5e, 0x00, 0xff]), "classes have their colours");
        let is_dark = |p: &&resvg::tiny_skia::PremultipliedColorU8| p.red() < 0x60;
        assert!(picture.pixels().iter().filter(is_dark).count() > 20, "text has a font");
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(matches!(png("<svg"), Err(Error::Svg(_))));
    }
}
