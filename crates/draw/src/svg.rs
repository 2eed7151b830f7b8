//! Shapes and text as SVG.

use std::fmt::Write;

use crate::style::{Ground, N_COLOR, colors, text_sizes};

const FONT: &str = "font-family=\"'DejaVu Sans', Verdana, sans-serif\"";

/// Position of a text relative to its anchor point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// Starts at the point.
    Start,
    /// Centred on the point.
    Middle,
    /// Ends at the point.
    End,
}

/// A drawing. Coordinates are pixels with y downwards; the anchor of a text is on its baseline.
///
/// Classes of text: `ink` or `grey`, and `title`, `bold`, `small`, `tiny`. Classes of lines:
/// `rule`, `axis`, `mark` (dashed). Colours of data are numbers; there are [`N_COLOR`], they
/// repeat.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

impl Svg {
    /// Its elements, without the enclosing `svg` element.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// A text; markup in it is escaped.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor} class=\"{class}\">{text}</text>"
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str, width: f64) {
        let _ = write!(
            self.body,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\" \
             stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub fn path(&mut self, points: &[(f64, f64)], color: usize) {
        let points = list(points);
        let color = color % N_COLOR;
        let _ = write!(
            self.body,
            "<polyline points=\"{points}\" fill=\"none\" class=\"l{color}\" stroke-width=\"2\" \
             stroke-opacity=\"0.9\"/>"
        );
    }

    /// A translucent area.
    pub fn area(&mut self, points: &[(f64, f64)], color: usize) {
        let points = list(points);
        let color = color % N_COLOR;
        let _ = write!(
            self.body,
            "<polygon points=\"{points}\" class=\"f{color}\" fill-opacity=\"0.16\"/>"
        );
    }

    /// A bar or a cell: its upper left corner and its size.
    pub fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), color: usize, opacity: f64) {
        let color = color % N_COLOR;
        let _ = write!(
            self.body,
            "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" class=\"f{color}\" \
             fill-opacity=\"{opacity:.2}\"/>",
            at.0, at.1, size.0, size.1
        );
    }

    /// A grey area behind everything drawn after it.
    pub fn band(&mut self, at: (f64, f64), size: (f64, f64)) {
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" class=\"band\"/>",
            at.0, at.1, size.0, size.1
        );
    }

    /// Shows a tooltip over everything that `draw` draws.
    pub fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let _ = write!(self.body, "<g><title>{}</title>", escaped(title));
        draw(self);
        self.body.push_str("</g>");
    }

    /// The legend marker of a bar.
    pub fn swatch(&mut self, x: f64, y: f64, color: usize) {
        self.rectangle((x - 5.0, y - 5.0), (10.0, 10.0), color, 0.9);
    }

    /// A point of a line, with a shape for each colour, for readers who cannot tell colours apart;
    /// the six shapes repeat.
    pub fn marker(&mut self, x: f64, y: f64, place: usize) {
        let color = place % N_COLOR;
        let polygon: &[(f64, f64)] = match place % 6 {
            0 => {
                let _ = write!(
                    self.body,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" class=\"f{color} edge\"/>"
                );
                return;
            }
            1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
            2 => &[(0.0, -5.5), (5.0, 4.0), (-5.0, 4.0)],
            3 => &[(0.0, -5.8), (5.8, 0.0), (0.0, 5.8), (-5.8, 0.0)],
            4 => &[(0.0, 5.5), (5.0, -4.0), (-5.0, -4.0)],
            _ => &[(-5.5, -1.8), (5.5, -1.8), (5.5, 1.8), (-5.5, 1.8)],
        };
        let points: Vec<_> = polygon.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        let points = list(&points);
        let _ = write!(self.body, "<polygon points=\"{points}\" class=\"f{color} edge\"/>");
    }

    /// A disc, or a ring.
    pub fn circle(&mut self, x: f64, y: f64, color: usize, is_filled: bool) {
        let color = color % N_COLOR;
        let class = if is_filled { format!("f{color} edge") } else { format!("l{color} hollow") };
        let _ = write!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" class=\"{class}\" stroke-width=\"2\"/>"
        );
    }

    /// Inserts another drawing at a position.
    pub fn place(&mut self, x: f64, y: f64, other: &Self) {
        let _ = write!(self.body, "<g transform=\"translate({x:.1} {y:.1})\">{}</g>", other.body);
    }

    /// A standalone picture with a light background and text of the given size in pixels.
    #[must_use]
    pub fn into_picture(self, width: f64, height: f64, text: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" {FONT}><style>{}{}</style><rect width=\"100%\" height=\"100%\" class=\"paper\"/>{}</svg>\n",
            colors(Ground::Light),
            text_sizes(text),
            self.body
        )
    }
}

/// Whether a text starts like the output of [`Svg::into_picture`].
#[must_use]
pub fn is_svg_of_ours(begin: &[u8]) -> bool {
    let style = format!("{FONT}><style>.ink{{");
    begin.starts_with(b"<svg ") && begin.windows(style.len()).any(|part| part == style.as_bytes())
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Escapes markup, including quotes.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML allows no other control characters, and PNG renderers reject them.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            // Marks that reorder text.
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                safe.push('\u{fffd}');
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_no_markup() {
        let mut svg = Svg::default();
        svg.text(1.0, 2.0, Anchor::End, "ink", "a<b> & \"c\" 'd'\u{1}");
        let text = ">a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\u{fffd}</text>";
        assert!(svg.body().ends_with(text), "{}", svg.body());
    }

    #[test]
    fn colours_and_markers_repeat() {
        let [mut first, mut same] = [Svg::default(), Svg::default()];
        first.marker(5.0, 5.0, 1);
        same.marker(5.0, 5.0, 1 + 6 * N_COLOR);
        assert_eq!(first.body(), same.body());
        let mut other = Svg::default();
        other.marker(5.0, 5.0, 1 + N_COLOR);
        assert_ne!(first.body(), other.body(), "of one colour, but of another shape");
    }
}
