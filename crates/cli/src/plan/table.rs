//! Forecasts as text.

mod ranks;

use std::fmt::Write;

use batchlab_core::Level;
use batchlab_core::number::grouped;
use batchlab_forecast::Forecast;
use batchlab_forecast::break_even::{Engine, break_even};
use batchlab_forecast::census::Method;

use super::ranks::StepModel;
use super::{Plan, noun};
use crate::data::bytes;
use crate::output::columns;

pub(super) fn print(plans: &[Plan], engine: Option<Engine>, model: Option<StepModel>) -> String {
    plans.iter().map(|plan| of_plan(plan, engine, model)).collect::<Vec<_>>().join("\n")
}

fn of_plan(plan: &Plan, engine: Option<Engine>, model: Option<StepModel>) -> String {
    let forecasts: Vec<&Forecast> = plan.strategies.iter().map(|(_, forecast)| forecast).collect();
    let n_member = grouped(plan.n_member as u64);
    let mut text = format!(
        "{}: {} of {n_member} {}, split seed {}, order seed {}\n\n",
        plan.config,
        grouped(plan.n_train as u64),
        noun(plan.level),
        plan.seed_split,
        plan.seed_order,
    );
    let steps = short(plan.n_step);
    let after = format!("after {steps}");
    let outputs = match plan.level {
        Level::Graphs => "graphs",
        Level::Nodes => "outputs",
    };
    text += &waste(&forecasts, outputs, &after).text();
    text.push('\n');
    if let Some(engine) = engine {
        text += &compilation(&forecasts, engine, plan.n_step).text();
        let Engine { compile_cost, step_time } = engine;
        let _ = writeln!(
            text,
            "assumed, not measured: {compile_cost} s to compile each shape; {step_time} s for a step without padding \
             (--step-time), more\nin proportion to its edges. Break-even: steps after which less padding \
             has paid for more shapes than the fewest at this B.\n"
        );
    }
    if let Some(model) = model {
        text += &ranks::text(&forecasts, &plan.ranks, model);
        text.push('\n');
    }
    text += &randomness(&forecasts).text();
    text.push('\n');
    text.push_str(&notes(plan, &forecasts));
    text
}

fn waste(forecasts: &[&Forecast], outputs: &str, after: &str) -> Columns {
    let mut table = Columns::new(&[
        ("", "strategy"),
        ("", "B"),
        ("steps", "/epoch"),
        (outputs, "/step"),
        ("fill %", "nodes"),
        ("fill %", "edges"),
        ("padding", "/edge"),
        ("shapes", "/epoch"),
        ("shapes", after),
        ("peak", "batch"),
        ("plan", "us/step"),
    ]);
    for forecast in forecasts {
        let mark = match forecast.shapes.method {
            Method::Enumerated => "",
            Method::Extrapolated => "~",
        };
        table.row(
            forecast.batch_size,
            vec![
                forecast.label.clone(),
                forecast.batch_size.map_or_else(|| "-".into(), |size| size.to_string()),
                whole(forecast.steps_per_epoch),
                format!("{:.2}", forecast.outputs_per_step),
                percent(forecast.node_fill),
                percent(forecast.edge_fill),
                forecast
                    .padding_edges_per_real_edge
                    .map_or_else(|| "-".into(), |x| format!("{x:.3}")),
                whole(forecast.shapes_per_epoch),
                format!("{mark}{}", whole(forecast.shapes.n_shape)),
                bytes(forecast.peak_bytes),
                format!("{:.1}", forecast.plan_ns_per_step / 1e3),
            ],
        );
    }
    table
}

fn compilation(forecasts: &[&Forecast], engine: Engine, n_step: u64) -> Columns {
    let after = format!("{} steps, s", short(n_step));
    let mut table = Columns::new(&[
        ("", "strategy"),
        ("", "B"),
        ("compiling", "s"),
        ("padding", "ms/step"),
        ("both in", &after),
        ("break-even", "steps"),
    ]);
    for (forecast, cost) in forecasts.iter().zip(break_even(forecasts, engine)) {
        let mut cells = vec![
            forecast.label.clone(),
            forecast.batch_size.map_or_else(|| "-".into(), |size| size.to_string()),
        ];
        cells.extend(match cost {
            None => vec!["-".to_owned(); 4],
            Some(cost) => vec![
                whole(cost.compile_s),
                format!("{:.2}", 1e3 * cost.padding_s_per_step),
                whole(cost.compile_s + cost.padding_s_per_step * n_step as f64),
                cost.steps.map_or_else(|| "never".to_owned(), |steps| whole(steps.ceil())),
            ],
        });
        table.row(forecast.batch_size, cells);
    }
    table
}

fn randomness(forecasts: &[&Forecast]) -> Columns {
    let mut table = Columns::new(&[
        ("", "strategy"),
        ("", "B"),
        ("pairs meet again,", "1 = uniform"),
        ("sizes of neighbours", "correlate"),
        ("times per epoch", "smallest 10 %"),
        ("", "largest 10 %"),
        ("", "all"),
    ]);
    for forecast in forecasts {
        let shuffle = &forecast.shuffle;
        let inclusion = &shuffle.inclusion_by_decile;
        let times = |value: Option<f64>| {
            value.map_or_else(
                || "-".into(),
                |x| if (x - 1.0).abs() < 1e-12 { "1".into() } else { format!("{x:.4}") },
            )
        };
        let mean = inclusion.iter().sum::<f64>() / inclusion.len().max(1) as f64;
        let recurrence = match (shuffle.pair_recurrence, shuffle.pair_recurrence_error) {
            (Some(ratio), Some(error)) if ratio < 100.0 => format!("{ratio:.3} +- {error:.3}"),
            (Some(ratio), _) => format!("{ratio:.0}"),
            _ => "-".into(),
        };
        let correlation =
            shuffle.size_autocorrelation.map_or_else(|| "-".into(), |r| format!("{r:+.3}"));
        table.row(
            forecast.batch_size,
            vec![
                forecast.label.clone(),
                forecast.batch_size.map_or_else(|| "-".into(), |size| size.to_string()),
                recurrence,
                correlation,
                times(inclusion.first().copied()),
                times(inclusion.last().copied()),
                times((!inclusion.is_empty()).then_some(mean)),
            ],
        );
    }
    table
}

fn notes(plan: &Plan, forecasts: &[&Forecast]) -> String {
    let mut text = String::new();
    let extrapolated = forecasts.iter().filter(|f| f.shapes.method == Method::Extrapolated);
    let (n, least) = extrapolated
        .map(|f| f.n_step_planned)
        .fold((0, u64::MAX), |(n, least), planned| (n + 1, least.min(planned)));
    let steps = grouped(plan.n_step);
    if n == 0 {
        let _ = writeln!(text, "shapes: enumerated, every one of {steps} steps was planned");
    } else {
        let _ = writeln!(
            text,
            "shapes with ~: extrapolated to {steps} steps (Chao1) from {} or more; the others are enumerated",
            grouped(least)
        );
    }
    text.push_str("every figure is defined in docs/forecast.md");
    text.push_str(if plan.ranks.is_empty() { "\n" } else { ", those of ranks in docs/ranks.md\n" });
    text
}

/// A table with an empty line between groups of rows, for example between batch sizes.
struct Columns {
    head: [Vec<String>; 2],
    rows: Vec<(Option<u32>, Vec<String>)>,
}

impl Columns {
    fn new(head: &[(&str, &str)]) -> Self {
        let (first, second) = head.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).unzip();
        Self { head: [first, second], rows: Vec::new() }
    }

    fn row(&mut self, group: Option<u32>, cells: Vec<String>) {
        self.rows.push((group, cells));
    }

    fn text(self) -> String {
        let mut lines = self.head.to_vec();
        let mut previous = None;
        for (group, cells) in self.rows {
            if previous.is_some_and(|previous| previous != group) {
                lines.push(Vec::new());
            }
            previous = Some(group);
            lines.push(cells);
        }
        columns(&lines)
    }
}

fn whole(value: f64) -> String {
    if value >= 100.0 || (value - value.round()).abs() < 5e-3 {
        #[allow(clippy::cast_sign_loss, reason = "counts are not negative")]
        return grouped(value.round() as u64);
    }
    format!("{value:.1}")
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.1}", 100.0 * share))
}

/// 100000 as 100k.
fn short(n: u64) -> String {
    if n >= 1000 && n.is_multiple_of(1000) { format!("{}k", grouped(n / 1000)) } else { grouped(n) }
}
