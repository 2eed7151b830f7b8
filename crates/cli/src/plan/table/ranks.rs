//! Forecasts for ranks as text.

use std::fmt::Write;

use batchlab_forecast::Forecast;
use batchlab_forecast::ranks::{Cost, RankForecast};

use super::{Columns, percent, whole};
use crate::plan::ranks::StepModel;

pub(super) fn text(
    forecasts: &[&Forecast],
    ranks: &[Vec<RankForecast>],
    model: StepModel,
) -> String {
    let size = match model.cost {
        Cost::Edges => "edges",
        Cost::Nodes => "nodes",
    };
    let mut table = Columns::new(&[
        ("", "strategy"),
        ("", "B"),
        ("", "ranks"),
        ("", "assignment"),
        ("steps", "/epoch"),
        ("efficiency %", "all steps"),
        ("", "full steps"),
        ("fill %", size),
        ("shapes", "/epoch"),
        ("steps", "vary by %"),
        ("", "speed-up"),
    ]);
    for (at, (forecast, ranks)) in (0..).zip(forecasts.iter().zip(ranks)) {
        for of_ranks in ranks {
            table.row(Some(at), row(forecast, of_ranks, model.cost));
        }
    }
    table.text() + &notes(ranks, size, model)
}

fn row(forecast: &Forecast, ranks: &RankForecast, cost: Cost) -> Vec<String> {
    let fill = match cost {
        Cost::Edges => ranks.edge_fill,
        Cost::Nodes => ranks.node_fill,
    };
    vec![
        forecast.label.clone(),
        forecast.batch_size.map_or_else(|| "-".into(), |size| size.to_string()),
        ranks.n_rank.to_string(),
        if ranks.n_rank == 1 { "-".into() } else { ranks.assignment.to_string() },
        whole(ranks.steps_per_epoch),
        percent(ranks.efficiency),
        percent(ranks.efficiency_full_steps),
        percent(fill),
        whole(ranks.shapes_per_epoch),
        percent(ranks.step_variation),
        ranks.speed_up.map_or_else(|| "-".into(), |times| format!("{times:.2}")),
    ]
}

fn notes(ranks: &[Vec<RankForecast>], size: &str, model: StepModel) -> String {
    let mut text = format!(
        "B is that of one rank. Efficiency: mean over maximum {size} of the ranks. Fill and shapes: of the shapes\n\
         on which all ranks agree. Speed-up of an epoch, assumed: a step takes time in proportion to the {size}\n\
         of its shape"
    );
    let _ = match model.all_reduce {
        None => writeln!(text, ", and communication takes none (--all-reduce)."),
        Some(seconds) => writeln!(
            text,
            ", {} s for a batch without padding (--step-time), and {seconds} s for an all-reduce.",
            model.step_time
        ),
    };
    let most = ranks.iter().flatten().map(|ranks| ranks.not_regrouped).fold(0.0, f64::max);
    if most > 0.0 {
        let _ = writeln!(
            text,
            "Up to {:.1} % of the steps stay as planned under lpt and lpt-equal, because a graph finds no room.",
            100.0 * most
        );
    }
    text
}
