//! The figures as data.

mod accuracy;
mod attribution;
mod course;
mod curves;
mod shapes;
mod target;
mod tests_of_errors;
mod total_time;
mod verdict;

use std::collections::BTreeMap;

use batchlab_stats::median;
use serde::Serialize;

use crate::attribution::Attribution;
use crate::query;
use crate::reach::TimeToGoal;
use crate::setting::{Group, Setting, batchers, size_title};
use crate::total_time::TotalTime;
use crate::verdict::Verdict;

pub use tests_of_errors::{ErrorComparison, compare_errors};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Used in file names and links.
    pub id: &'static str,
    pub title: &'static str,
    /// How to read the figure.
    pub note: String,
    /// The query that computes its numbers in `DuckDB`, given the views of the report.
    pub query: String,
    /// Names that are assigned colours: all strategies of the report, or the parts of stacked bars.
    pub strategies: Vec<String>,
    pub panels: Vec<Panel>,
}

impl Figure {
    /// A figure whose colours denote the strategies of the report.
    fn new(
        id: &'static str,
        title: &'static str,
        note: impl Into<String>,
        panels: impl IntoIterator<Item = Panel>,
    ) -> Self {
        let (note, panels) = (note.into(), panels.into_iter().collect());
        Self { id, title, note, query: String::new(), strategies: Vec::new(), panels }
    }

    pub(crate) fn by_setting(&self) -> impl Iterator<Item = &[Panel]> {
        self.panels.chunk_by(|a, b| a.setting == b.setting)
    }

    /// Whether each setting has one panel, so that settings are placed side by side.
    pub(crate) fn is_flat(&self) -> bool {
        self.by_setting().all(|panels| panels.len() == 1)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Panel {
    pub setting: String,
    pub title: String,
    pub plot: Plot,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Plot {
    Curves(Curves),
    /// A coloured table: pairs of strategies against batch size.
    Heat(Heat),
    Stacks(Stacks),
    Forest(Forest),
}

/// A forest plot: one line per strategy with a factor or a time and its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forest {
    pub unit: String,
    /// Factors from 1 up to one plus this count as equal; `None` if the values are times.
    pub margin: Option<f64>,
    pub rows: Vec<ForestRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForestRow {
    pub batcher: String,
    pub value: f64,
    pub interval: Option<(f64, f64)>,
    pub may_be_fastest: bool,
}

/// Stacked horizontal bars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stacks {
    pub unit: String,
    pub parts: Vec<String>,
    pub bars: Vec<Stack>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stack {
    pub batcher: String,
    pub label: String,
    /// Negative parts extend to the left of 0.
    pub parts: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    pub value: f64,
    /// Minimum over the runs.
    pub low: f64,
    /// Maximum over the runs.
    pub high: f64,
}

/// Values over steps, blocks or seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curves {
    pub unit: String,
    pub x: &'static str,
    /// Whether the value axis is linear and starts at 0, instead of logarithmic.
    pub is_linear: bool,
    /// Whether the horizontal axis is logarithmic.
    pub is_log_x: bool,
    pub curves: Vec<Curve>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    pub batcher: String,
    pub points: Vec<(f64, Point)>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heat {
    pub scale: Scale,
    pub columns: Vec<String>,
    pub rows: Vec<String>,
    /// Row-major.
    pub cells: Vec<Vec<Option<Cell>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// A statistic, with one colour below 0 and another above.
    Signed,
    /// A probability, shaded more strongly the smaller it is.
    Probability,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cell {
    pub value: f64,
    /// Whether the difference is significant after correcting for multiple tests.
    pub is_marked: bool,
}

/// All figures, the verdict first.
pub(crate) fn all(
    settings: &[Setting],
    (verdicts, reaches): (&[Verdict], &[TimeToGoal]),
    attributions: &[Attribution],
    totals: &[TotalTime],
) -> Vec<Figure> {
    let strategies = batchers(settings);
    let mut figures = vec![
        verdict::figure(settings, verdicts),
        total_time::figure(settings, totals),
        target::figure(settings),
        attribution::figure(settings, attributions),
        attribution::stages(settings, attributions),
        shapes::figure(settings),
        course::figure(settings),
        curves::figure(settings),
        tests_of_errors::figure(settings),
    ];
    if !reaches.is_empty() {
        // There is none if errors are to be reached.
        let course = Some(accuracy::course(settings)).filter(|course| !course.panels.is_empty());
        figures.splice(1..1, std::iter::once(accuracy::reaches(settings, reaches)).chain(course));
    }
    for figure in &mut figures {
        figure.query = query::of_figure(figure.id);
        if figure.strategies.is_empty() {
            figure.strategies.clone_from(&strategies);
        }
    }
    figures
}

fn curve_panels(
    settings: &[Setting],
    (unit, x, is_linear): (&str, &'static str, bool),
    curve: fn(&Group) -> Option<Curve>,
) -> Vec<Panel> {
    let panel = |setting: &Setting, size| {
        let curves: Vec<Curve> = setting.at(size).filter_map(curve).collect();
        (!curves.is_empty()).then(|| Panel {
            setting: setting.title.clone(),
            title: size_title(size),
            plot: Plot::Curves(Curves {
                unit: unit.to_owned(),
                x,
                is_linear,
                is_log_x: false,
                curves,
            }),
        })
    };
    let of_setting = |setting: &Setting| {
        setting
            .batch_sizes()
            .into_iter()
            .filter_map(|size| panel(setting, size))
            .collect::<Vec<_>>()
    };
    settings.iter().flat_map(of_setting).collect()
}

/// Median value at each position; `None` with fewer than two positions.
fn curve(group: &Group, values: impl Iterator<Item = (i64, f64)>) -> Option<Curve> {
    let mut samples: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (place, value) in values {
        samples.entry(place).or_default().push(value);
    }
    let point = |(place, sample): (&i64, &Vec<f64>)| Some((*place as f64, point(sample)?));
    let points: Vec<_> = samples.iter().filter_map(point).collect();
    (points.len() > 1).then(|| Curve { batcher: group.batcher.clone(), points })
}

fn point(sample: &[f64]) -> Option<Point> {
    let value = median(sample)?;
    let low = sample.iter().copied().fold(f64::INFINITY, f64::min);
    let high = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Point { value, low, high })
}
