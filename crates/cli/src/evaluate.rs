//! `batchlab evaluate`: errors of a trained model.

use std::process::ExitCode;

use anyhow::Result;
use batchlab_core::graphs::TargetKind;
use serde_json::json;

use crate::output::{json, print};
use crate::trained::{Choice, Evaluated};
use crate::unit;

/// Evaluate a trained model, with any batcher, on the run's data or on others.
///
/// Errors are in the unit of the target, scaled as in training. With the run's own data and batcher they
/// are those that the run recorded itself. docs/export.md says more.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let evaluated = arguments.choice.evaluate()?;
    let text = if arguments.json { as_json(&evaluated)? } else { as_text(&evaluated) };
    print(&text)
}

fn as_json(evaluated: &Evaluated) -> Result<String> {
    let Evaluated { model, subset, evaluation } = evaluated;
    let record = evaluation.record.as_ref();
    let value = json!({
        "run_id": model.state.run_id,
        "step": model.state.step,
        "dataset": model.dataset(),
        "subset": subset.name(),
        "batcher": evaluation.batcher,
        "n_graph": evaluation.predictions.len(),
        "target": model.target().map(|target| &target.name),
        "unit": unit_of(evaluated),
        "loss": record.map(|record| record.loss),
        "rmse": record.and_then(|record| record.rmse),
        "mae": record.and_then(|record| record.mae),
        "accuracy": record.and_then(|record| record.accuracy),
        "rmse_of_mean": record.and_then(|record| record.rmse_of_mean),
        "n_batch": evaluation.n_batch,
        "plan_ns": evaluation.plan_ns,
        "collate_ns": evaluation.collate_ns,
        "forward_ns": evaluation.forward_ns,
        "total_ns": evaluation.total_ns,
        "graphs_per_second": evaluation.graphs_per_second(),
    });
    json(&value)
}

fn unit_of(evaluated: &Evaluated) -> Option<&str> {
    match &evaluated.model.target()?.kind {
        TargetKind::Regression { unit } => Some(unit),
        TargetKind::Classes { .. } => None,
    }
}

/// Three lines: what, how well, how fast.
pub(crate) fn as_text(evaluated: &Evaluated) -> String {
    let Evaluated { model, subset, evaluation } = evaluated;
    let state = &model.state;
    let (n, dataset) = (evaluation.predictions.len(), model.dataset());
    let graphs = match subset.name() {
        "all" => format!("all {n} graphs"),
        name => format!("{n} graphs for {name}"),
    };
    let what = format!(
        "run {} after {} steps on {graphs} of {dataset}, batcher {}",
        state.run_id, state.step, evaluation.batcher
    );
    let unit = unit::around(" ", unit_of(evaluated).unwrap_or_default(), "");
    let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let how_well = match &evaluation.record {
        None => "no targets, so no errors".to_owned(),
        Some(record) if record.rmse.is_some() => format!(
            "RMSE {:.4}{unit}, MAE {:.4}{unit}; predicting the mean of training: RMSE {:.4}{unit}",
            number(record.rmse),
            number(record.mae),
            number(record.rmse_of_mean),
        ),
        Some(record) => format!("accuracy {:.2} %", 100.0 * number(record.accuracy)),
    };
    let share = |ns: i64| 100.0 * ns as f64 / evaluation.total_ns.max(1) as f64;
    let batches = if evaluation.n_batch == 1 { "batch" } else { "batches" };
    let how_fast = format!(
        "{:.0} graphs per second, {} {batches}; planning {:.0} %, collating {:.0} %, predicting {:.0} %",
        evaluation.graphs_per_second(),
        evaluation.n_batch,
        share(evaluation.plan_ns),
        share(evaluation.collate_ns),
        share(evaluation.forward_ns),
    );
    format!("{what}\n{how_well}\n{how_fast}\n")
}
