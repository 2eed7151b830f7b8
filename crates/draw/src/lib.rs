//! The building blocks of charts, as SVG.
//!
//! * [`Svg`]: text, lines, bars, markers;
//! * [`Axis`]: from numbers to pixels, with round numbers for ticks;
//! * [`Ground`], [`colors`], [`text_sizes`]: style sheets. Colours are classes, so that one drawing
//!   serves light and dark;
//! * [`places`]: one colour and marker for a name in every picture;
//! * [`png`]: SVG to PNG.
//!
//! This crate knows nothing of batches and graphs: `batchlab-forecast` and `batchlab-report` draw
//! with it.

mod axis;
mod places;
mod png;
mod scale;
mod style;
mod svg;

pub use axis::{Axis, tick_text};
pub use places::places;
pub use png::{Error, is_png_of_ours, png};
pub use scale::columns;
pub use style::{Ground, N_COLOR, colors, text_sizes};
pub use svg::{Anchor, Svg, escaped, is_svg_of_ours};
