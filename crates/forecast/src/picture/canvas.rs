//! The few shapes that our pictures are made of, as SVG.

use std::fmt::Write;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG that grows downwards. Coordinates are pixels, y downwards; the point of a text is on its
/// base line.
pub(super) struct Canvas {
    width: f64,
    body: String,
}

const INK: &str = "#222222";
const GREY: &str = "#666666";
const RULE: &str = "#DDDDDD";

impl Canvas {
    pub(super) fn new(width: f64) -> Self {
        Self { width, body: String::new() }
    }

    pub(super) fn finish(self, height: f64) -> String {
        let width = self.width;
        let body = self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width} {height:.0}\" font-family=\"'DejaVu Sans', Verdana, sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n{body}</svg>\n"
        )
    }

    pub(super) fn title(&mut self, x: f64, y: f64, text: &str) {
        self.write_text(
            x,
            y,
            Anchor::Start,
            text,
            &format!("font-size=\"17\" font-weight=\"bold\" fill=\"{INK}\""),
        );
    }

    pub(super) fn bold(&mut self, x: f64, y: f64, text: &str) {
        self.write_text(x, y, Anchor::Start, text, &format!("font-weight=\"bold\" fill=\"{INK}\""));
    }

    /// Text of lesser weight: ticks and explanations.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.write_text(x, y, anchor, text, &format!("fill=\"{GREY}\""));
    }

    /// A name, in ink.
    pub(super) fn name(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.write_text(x, y, anchor, text, &format!("fill=\"{INK}\""));
    }

    fn write_text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str, style: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>"
        );
    }

    /// A thin grey line: grids and axes.
    pub(super) fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.line(from, to, RULE, 1.0, "");
    }

    /// A dark dashed line: a reference value.
    pub(super) fn mark(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.line(from, to, INK, 1.2, " stroke-dasharray=\"3 2\"");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), color: &str, width: f64, more: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" \
             stroke-width=\"{width}\"{more}/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], color: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" \
             stroke-opacity=\"0.8\"/>",
            points.join(" ")
        );
    }

    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, color: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{color}\"/>"
        );
    }

    /// One of six markers; they repeat.
    pub(super) fn marker(&mut self, x: f64, y: f64, marker: usize, color: &str) {
        let polygon: &[(f64, f64)] = match marker % 6 {
            0 => {
                let _ = writeln!(
                    self.body,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{color}\" stroke=\"#FFFFFF\"/>"
                );
                return;
            }
            1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
            2 => &[(0.0, -5.5), (5.0, 4.0), (-5.0, 4.0)],
            3 => &[(0.0, -5.8), (5.8, 0.0), (0.0, 5.8), (-5.8, 0.0)],
            4 => &[(0.0, 5.5), (5.0, -4.0), (-5.0, -4.0)],
            _ => &[(-5.5, -1.8), (5.5, -1.8), (5.5, 1.8), (-5.5, 1.8)],
        };
        let points: Vec<String> =
            polygon.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
        let _ = writeln!(
            self.body,
            "<polygon points=\"{}\" fill=\"{color}\" stroke=\"#FFFFFF\"/>",
            points.join(" ")
        );
    }
}
