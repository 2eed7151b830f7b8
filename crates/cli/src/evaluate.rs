//! `batchlab evaluate`: judge a trained model.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_core::graphs::TargetKind;
use serde_json::json;

use crate::trained::{Choice, Judged};
use crate::unit;

/// TrainedModel a trained model, with any batcher, on the run's data or on others.
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
    let judged = arguments.choice.judge()?;
    let text = if arguments.json { as_json(&judged)? } else { as_text(&judged) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(judged: &Judged) -> Result<String> {
    let Judged { judge, part, judgement } = judged;
    let record = judgement.record.as_ref();
    let value = json!({
        "run_id": judge.facts.run_id,
        "step": judge.facts.step,
        "dataset": judge.dataset(),
        "subset": part.name(),
        "batcher": judgement.batcher,
        "n_graph": judgement.predictions.len(),
        "target": judge.target().map(|target| &target.name),
        "unit": unit_of(judged),
        "loss": record.map(|record| record.loss),
        "rmse": record.and_then(|record| record.rmse),
        "mae": record.and_then(|record| record.mae),
        "accuracy": record.and_then(|record| record.accuracy),
        "rmse_of_mean": record.and_then(|record| record.rmse_of_mean),
        "n_batch": judgement.n_batch,
        "plan_ns": judgement.plan_ns,
        "collate_ns": judgement.collate_ns,
        "forward_ns": judgement.forward_ns,
        "total_ns": judgement.total_ns,
        "graphs_per_second": judgement.graphs_per_second(),
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn unit_of(judged: &Judged) -> Option<&str> {
    match &judged.judge.target()?.kind {
        TargetKind::Regression { unit } => Some(unit),
        TargetKind::Classes { .. } => None,
    }
}

/// Three lines: what, how well, how fast.
pub(crate) fn as_text(judged: &Judged) -> String {
    let Judged { judge, part, judgement } = judged;
    let facts = &judge.facts;
    let (n, dataset) = (judgement.predictions.len(), judge.dataset());
    let graphs = match part.name() {
        "all" => format!("all {n} graphs"),
        subset => format!("{n} graphs for {subset}"),
    };
    let what = format!(
        "run {} after {} steps on {graphs} of {dataset}, batcher {}",
        facts.run_id, facts.step, judgement.batcher
    );
    let unit = unit::around(" ", unit_of(judged).unwrap_or_default(), "");
    let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let how_well = match &judgement.record {
        None => "no targets, so no errors".to_owned(),
        Some(record) if record.rmse.is_some() => format!(
            "RMSE {:.4}{unit}, MAE {:.4}{unit}; predicting the mean of training: RMSE {:.4}{unit}",
            number(record.rmse),
            number(record.mae),
            number(record.rmse_of_mean),
        ),
        Some(record) => format!("{:.2} % right", 100.0 * number(record.accuracy)),
    };
    let share = |ns: i64| 100.0 * ns as f64 / judgement.total_ns.max(1) as f64;
    let batches = if judgement.n_batch == 1 { "batch" } else { "batches" };
    let how_fast = format!(
        "{:.0} graphs per second, {} {batches}; planning {:.0} %, collating {:.0} %, predicting {:.0} %",
        judgement.graphs_per_second(),
        judgement.n_batch,
        share(judgement.plan_ns),
        share(judgement.collate_ns),
        share(judgement.forward_ns),
    );
    format!("{what}\n{how_well}\n{how_fast}\n")
}
