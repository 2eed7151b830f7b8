//! Forecasts as a picture: fill against batch size, and how padded shapes are distributed.

mod axis;
mod canvas;
mod distributions;
mod fill;
mod png;
mod shapes;

use crate::Forecast;
use canvas::{Anchor, Canvas};
pub use distributions::{Panel, Portrait, portraits};
pub use png::{PictureError, png};

/// The strategies of one data set.
pub struct Section<'a> {
    /// What is shown, in words.
    pub title: String,
    /// Steps of the training that is foretold.
    pub n_step: u64,
    /// Every strategy at every batch size.
    pub forecasts: Vec<&'a Forecast>,
}

/// Width of a picture in pixels.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 30.0;

/// Draws the sections below each other.
#[must_use]
pub fn svg(sections: &[Section<'_>]) -> String {
    let mut canvas = Canvas::new(WIDTH);
    let mut y = MARGIN;
    for section in sections {
        y += 18.0;
        canvas.title(MARGIN, y, &section.title);
        y += 20.0;
        y = fill::draw(&mut canvas, section, y);
        y += 36.0;
        y = shapes::draw(&mut canvas, section, y);
        y += MARGIN;
    }
    canvas.finish(y)
}

/// A strategy as all panels of a section show it.
struct Style {
    label: String,
    color: &'static str,
    marker: usize,
}

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
const COLORS: [&str; 8] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A6D3B"];

/// One style for each label, in the order in which labels appear.
fn styles(section: &Section<'_>) -> Vec<Style> {
    let mut styles: Vec<Style> = Vec::new();
    for forecast in &section.forecasts {
        if !styles.iter().any(|style| style.label == forecast.label) {
            let n = styles.len();
            let color = COLORS[n % COLORS.len()];
            styles.push(Style { label: forecast.label.clone(), color, marker: n });
        }
    }
    styles
}

/// The batch sizes of a section, ascending; `None` stands for strategies without the notion.
fn batch_sizes(section: &Section<'_>) -> Vec<Option<u32>> {
    let mut sizes: Vec<Option<u32>> = section.forecasts.iter().map(|f| f.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn size_name(size: Option<u32>) -> String {
    size.map_or_else(|| "no B".to_owned(), |size| format!("B = {size}"))
}

/// A long text cut to `n` characters.
fn cut(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    text.chars().take(n - 1).chain(['…']).collect()
}

/// A caption above a panel: what is shown, and how to read it.
fn caption(canvas: &mut Canvas, x: f64, y: f64, head: &str, detail: &str) {
    canvas.bold(x, y, head);
    canvas.text(x, y + 16.0, Anchor::Start, detail);
}

#[cfg(test)]
mod tests {
    use batchlab_core::Shape;

    use super::*;
    use crate::census::{Method, ShapesAfter};
    use crate::{Shuffle, Totals};

    fn example(label: &str, batch_size: u32) -> Forecast {
        let shape = |n_edge| Shape { n_node: n_edge / 16, n_edge, n_graph: 4, n_output: 4 };
        Forecast {
            label: label.to_owned(),
            batch_size: Some(batch_size),
            n_step_planned: 10,
            steps_per_epoch: 5.0,
            outputs_per_step: 3.0,
            nodes_per_step: 60.0,
            edges_per_step: 900.0,
            node_fill: Some(0.9),
            edge_fill: Some(0.8),
            padding_edges_per_real_edge: Some(0.25),
            shapes_per_epoch: 2.0,
            shapes: ShapesAfter { n_shape: 2.0, method: Method::Enumerated },
            peak_bytes: 1000,
            prepare_ns: 0,
            plan_ns_per_step: 0.0,
            shuffle: Shuffle {
                pair_recurrence: None,
                pair_recurrence_error: None,
                size_autocorrelation: None,
                inclusion_by_decile: Vec::new(),
                n_epoch: 0,
            },
            facts: Vec::new(),
            frequent_shapes: Vec::new(),
            totals: Totals::default(),
            census: vec![(shape(1024), 7), (shape(2048), 3)],
        }
    }

    fn picture(forecasts: &[Forecast]) -> String {
        let forecasts = forecasts.iter().collect();
        svg(&[Section { title: "a < b & c".into(), n_step: 10, forecasts }])
    }

    #[test]
    fn every_strategy_is_drawn_once_in_the_legend_and_once_per_batch_size() {
        let text = picture(&[example("one", 16), example("two", 16), example("one", 32)]);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"), "{text}");
        assert_eq!(text.matches(">one<").count(), 2, "legend and row of shapes");
        assert!(text.contains("a &lt; b &amp; c"), "text is escaped");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn a_picture_becomes_a_png_of_its_size() {
        let bytes = png(&picture(&[example("one", 16)])).expect("what we draw is right");
        assert_eq!(&bytes[1..4], b"PNG");
        assert_eq!(u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]), 2400);
    }

    #[test]
    fn nothing_breaks_where_there_is_nothing_to_draw() {
        assert!(svg(&[]).contains("</svg>"));
        let mut bare = example("bare", 16);
        bare.census.clear();
        bare.node_fill = None;
        bare.batch_size = None;
        bare.edges_per_step = 0.0;
        let text = picture(&[bare]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
