//! Forecasts as a picture: fill against batch size, the distribution of padded shapes, and
//! efficiency against the number of ranks.

mod distributions;
mod fill;
mod ranks;
mod shapes;

use batchlab_draw::{Anchor, Svg};

use crate::Forecast;
use crate::ranks::RankForecast;
pub use distributions::{DatasetSummary, Panel, summaries};

pub struct Section<'a> {
    pub title: String,
    pub n_step: u64,
    /// Every strategy at every batch size.
    pub forecasts: Vec<&'a Forecast>,
    /// For each of them, if asked for.
    pub ranks: Vec<&'a [RankForecast]>,
}

/// Width of a picture in pixels.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 30.0;
/// Default font size in pixels.
const TEXT: f64 = 12.0;

/// Draws the sections one below the other.
#[must_use]
pub fn svg(sections: &[Section<'_>]) -> String {
    let mut svg = Svg::default();
    let mut y = MARGIN;
    for section in sections {
        y += 18.0;
        svg.text(MARGIN, y, Anchor::Start, "ink title", &section.title);
        y += 20.0;
        y = fill::draw(&mut svg, section, y);
        y += 36.0;
        y = shapes::draw(&mut svg, section, y);
        if !section.ranks.is_empty() {
            y += 20.0;
            y = ranks::draw(&mut svg, section, y);
        }
        y += MARGIN;
    }
    svg.into_picture(WIDTH, y, TEXT)
}

/// The labels of a section, in order of first appearance.
fn labels<'a>(section: &Section<'a>) -> Vec<&'a str> {
    let mut labels: Vec<&str> = Vec::new();
    for forecast in &section.forecasts {
        if !labels.contains(&forecast.label.as_str()) {
            labels.push(&forecast.label);
        }
    }
    labels
}

/// The batch sizes of a section, ascending; `None` for strategies without one.
fn batch_sizes(section: &Section<'_>) -> Vec<Option<u32>> {
    let mut sizes: Vec<Option<u32>> = section.forecasts.iter().map(|f| f.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn size_name(size: Option<u32>) -> String {
    size.map_or_else(|| "no B".to_owned(), |size| format!("B = {size}"))
}

fn cut(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    text.chars().take(n - 1).chain(['…']).collect()
}

fn caption(svg: &mut Svg, x: f64, y: f64, head: &str, detail: &str) {
    svg.text(x, y, Anchor::Start, "ink bold", head);
    svg.text(x, y + 16.0, Anchor::Start, "grey", detail);
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
            metrics: Vec::new(),
            frequent_shapes: Vec::new(),
            totals: Totals::default(),
            census: vec![(shape(1024), 7), (shape(2048), 3)],
        }
    }

    fn picture(forecasts: &[Forecast]) -> String {
        let forecasts = forecasts.iter().collect();
        svg(&[Section { title: "a < b & c".into(), n_step: 10, forecasts, ranks: Vec::new() }])
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
    fn the_mean_of_real_edges_lies_in_the_column_of_its_batch_size() {
        let text = picture(&[example("one", 16), example("one", 32)]);
        let places = |class: &str, key: &str| -> Vec<f64> {
            let of_class = text.split('<').filter(|tag| tag.contains(class));
            let number = |tag: &str| tag.split(key).nth(1)?.split('"').next()?.parse().ok();
            of_class.filter_map(number).collect()
        };
        let means = places("\"mark\"", "x1=\"");
        let heads = text.split('<').filter(|tag| tag.contains("ink bold") && tag.contains(">B = "));
        let heads: Vec<&str> = heads.collect();
        let left = places(heads[1], "x=\"")[0];
        assert!(means.len() == 2 && means[0] < left && means[1] > left, "{means:?}, {left}");
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
