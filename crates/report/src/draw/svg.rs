//! The few shapes that drawings are made of.

use std::fmt::Write;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing. Coordinates are pixels, y downwards; the point of a text is on its base line.
#[derive(Default)]
pub(super) struct Svg {
    body: String,
}

impl Svg {
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
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

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str, width: f64) {
        let _ = write!(
            self.body,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\" \
             stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points in the colour of a strategy.
    pub(super) fn path(&mut self, points: &[(f64, f64)], color: usize) {
        let points = list(points);
        let color = color % 8;
        let _ = write!(
            self.body,
            "<polyline points=\"{points}\" fill=\"none\" class=\"l{color}\" stroke-width=\"2\" \
             stroke-opacity=\"0.9\"/>"
        );
    }

    /// A pale area in the colour of a strategy.
    pub(super) fn area(&mut self, points: &[(f64, f64)], color: usize) {
        let points = list(points);
        let color = color % 8;
        let _ = write!(
            self.body,
            "<polygon points=\"{points}\" class=\"f{color}\" fill-opacity=\"0.16\"/>"
        );
    }

    pub(super) fn rectangle(
        &mut self,
        at: (f64, f64),
        size: (f64, f64),
        color: usize,
        opacity: f64,
    ) {
        let color = color % 8;
        let _ = write!(
            self.body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" class=\"f{color}\" \
             fill-opacity=\"{opacity:.2}\"/>",
            at.0, at.1, size.0, size.1
        );
    }

    /// The marker of a part of a bar.
    pub(super) fn swatch(&mut self, x: f64, y: f64, part: usize) {
        self.rectangle((x - 5.0, y - 5.0), (10.0, 10.0), part, 0.9);
    }

    /// The marker of a strategy; there are six, they repeat.
    pub(super) fn marker(&mut self, x: f64, y: f64, strategy: usize) {
        let color = strategy % 8;
        let polygon: &[(f64, f64)] = match strategy % 6 {
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

    /// Puts another drawing at a place.
    pub(super) fn place(&mut self, x: f64, y: f64, other: &Self) {
        let _ = write!(self.body, "<g transform=\"translate({x:.1} {y:.1})\">{}</g>", other.body);
    }
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// A text in which nothing is markup, also between quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML knows no other control characters, and a PNG renderer refuses them.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
