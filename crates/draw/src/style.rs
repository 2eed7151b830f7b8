//! Style sheets: the values of the CSS classes.

use std::fmt::Write;

/// Colours that can be distinguished with any colour vision (Okabe and Ito 2008), on a light or
/// dark background.
const LIGHT: [&str; N_COLOR] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#444444", "#8A6D3B"];
const DARK: [&str; N_COLOR] =
    ["#56B4E9", "#FF8C42", "#2CC99B", "#E39FC4", "#F0C24B", "#9AD0F5", "#CCCCCC", "#C9A66B"];

pub const N_COLOR: usize = 8;

/// Background of a drawing.
#[derive(Debug, Clone, Copy)]
pub enum Ground {
    Light,
    Dark,
}

/// A style sheet with the colours.
#[must_use]
pub fn colors(ground: Ground) -> String {
    let (series, ink, grey, rule, paper) = match ground {
        Ground::Light => (LIGHT, "#1d2126", "#5a6470", "#e1e4e8", "#ffffff"),
        Ground::Dark => (DARK, "#e8eaed", "#a3acb8", "#373d45", "#16191d"),
    };
    let mut css = format!(
        ".ink{{fill:{ink}}}.grey{{fill:{grey}}}.rule{{stroke:{rule}}}.axis{{stroke:{grey}}}\
         .mark{{stroke:{ink};stroke-dasharray:3 2}}.paper{{fill:{paper}}}.hollow{{fill:{paper}}}.band{{fill:{rule};fill-opacity:0.6}}.edge{{stroke:{paper}}}"
    );
    for (i, color) in series.iter().enumerate() {
        let _ = write!(css, ".f{i}{{fill:{color}}}.l{i}{{stroke:{color}}}");
    }
    css
}

/// A style sheet with font sizes, given the default size in pixels.
#[must_use]
pub fn text_sizes(pixels: f64) -> String {
    let (bold, small, tiny) = (pixels + 1.0, pixels - 1.5, pixels - 2.5);
    format!(
        "text{{font-size:{pixels}px}}.bold{{font-weight:bold;font-size:{bold}px}}\
         .title{{font-weight:bold;font-size:18px}}.small{{font-size:{small}px}}\
         .tiny{{font-size:{tiny}px}}"
    )
}
