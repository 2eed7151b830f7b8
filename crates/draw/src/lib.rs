//! The building blocks of charts, as SVG.
//!
//! * [`Svg`]: text, lines, bars, markers;
//! * [`Axis`]: maps numbers to pixels, with round numbers for ticks;
//! * [`Ground`], [`colors`], [`text_sizes`]: style sheets. Colours are classes, so that one drawing
//!   works in light and dark mode;
//! * [`places`]: a consistent colour and marker for each name in all pictures;
//! * [`png`]: SVG to PNG.
//!
//! This crate knows nothing about batches and graphs; `batchlab-forecast` and `batchlab-report` use
//! it for drawing.

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
