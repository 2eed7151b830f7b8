//! `batchlab evaluate`: evaluates a trained model.

mod grid;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::out_file::{Force, Kind, OutFile};
use crate::output::{json, print};
use crate::trained::{Choice, Evaluated, Opened};
use crate::unit;
use grid::Entry;

/// Evaluate a trained model with any batcher, on the run's data or on other data.
///
/// Errors are in the unit of the target, scaled as in training. With the run's own data and batcher
/// they equal those recorded by the run. See docs/export.md.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Option of the batcher given by `--batcher`, and its values, such as `k=16,32,64`. If
    /// repeated, every combination is evaluated: accuracy, or error, against time.
    #[arg(long, value_name = "OPTION=VALUE,..", value_parser = grid::values)]
    grid: Vec<grid::Values>,
    /// Another batcher to evaluate interleaved with the grid, such as `full`: a label or a table.
    /// Can be repeated.
    #[arg(long, value_name = "LABEL|TOML", requires = "grid")]
    beside: Vec<String>,
    /// Number of interleaved evaluations of each combination of the grid; the median time counts.
    #[arg(long, value_name = "N", default_value = "3", requires = "grid")]
    repeats: NonZeroU32,
    /// Draw the grid into this file.
    #[arg(long, value_name = "FILE", requires = "grid")]
    svg: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    force: Force,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.grid.is_empty() {
        return over_grid(arguments);
    }
    let evaluated = arguments.choice.evaluate()?;
    let text = if arguments.json { as_json(&evaluated)? } else { as_text(&evaluated) };
    print(&text)
}

fn over_grid(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { choice, grid, beside, repeats, svg, json: is_json, force } = arguments;
    let svg = OutFile::of(svg.as_ref(), Kind::Svg, *force)?;
    let combinations = grid::combinations(choice.batcher_text(), grid)?;
    let beside = beside.iter().map(|batcher| (String::new(), batcher.clone()));
    let asked = choice.asked()?;
    // Parse all batchers before the first evaluation.
    let batchers = combinations
        .into_iter()
        .chain(beside)
        .map(|(name, table)| {
            let batcher = asked.batcher(&table)?;
            Ok((if name.is_empty() { batcher.label() } else { name }, batcher))
        })
        .collect::<Result<Vec<_>>>()?;
    let Opened { mut model, subset } = asked.open()?;
    let mut entries: Vec<Entry> = Vec::new();
    for turn in 0..repeats.get() {
        for (place, (name, batcher)) in batchers.iter().enumerate() {
            let evaluation = model.evaluate(subset, Some(&**batcher))?;
            if turn == 0 {
                entries.push(Entry::new(name, evaluation.clone()));
            }
            entries[place].add(&evaluation);
        }
    }
    let batcher = choice.batcher_text().unwrap_or_default();
    let what = format!(
        "run {} after {} steps on the {} set of {}, {batcher}",
        model.state.run_id,
        model.state.step,
        subset.name(),
        model.dataset()
    );
    if let Some(svg) = svg {
        let picture = grid::picture(&format!("{} of {}", batcher, model.dataset()), &entries);
        svg.write(picture.as_bytes())?;
    }
    let text = if *is_json {
        json(&json!({
            "run_id": model.state.run_id,
            "step": model.state.step,
            "dataset": model.dataset(),
            "subset": subset.name(),
            "grid": grid::as_json(&entries),
        }))?
    } else {
        grid::as_text(&what, &entries)
    };
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
        "n_output": evaluation.predictions.len(),
        "n_target": record.map_or(Some(0), |record| record.n_output),
        "target": model.state.data.target,
        "unit": model.state.data.kind.unit(),
        "loss": record.map(|record| record.loss),
        "rmse": record.and_then(|record| record.rmse),
        "mae": record.and_then(|record| record.mae),
        "accuracy": record.and_then(|record| record.accuracy),
        "macro_f1": record.and_then(|record| record.macro_f1),
        "rmse_of_mean": record.and_then(|record| record.rmse_of_mean),
        "n_batch": evaluation.n_batch,
        "prepare_ns": evaluation.prepare_ns,
        "plan_ns": evaluation.plan_ns,
        "collate_ns": evaluation.collate_ns,
        "forward_ns": evaluation.forward_ns,
        "total_ns": evaluation.total_ns,
        "outputs_per_second": evaluation.outputs_per_second(),
    });
    json(&value)
}

/// Three lines: what was evaluated, the errors, the speed.
pub(crate) fn as_text(evaluated: &Evaluated) -> String {
    let Evaluated { model, subset, evaluation } = evaluated;
    let state = &model.state;
    let (n, dataset) = (evaluation.predictions.len(), model.dataset());
    let outputs = model.level().outputs();
    let which = match subset.name() {
        "all" => format!("all {n} {outputs}"),
        name => format!("{n} {outputs} for {name}"),
    };
    let what = format!(
        "run {} after {} steps{} on {which} of {dataset}, batcher {}",
        state.run_id,
        state.step,
        if state.is_best() { ", the best of its evaluations," } else { "" },
        evaluation.batcher
    );
    let unit = unit::around(" ", state.data.kind.unit(), "");
    let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let n_target = evaluation.record.as_ref().and_then(|record| record.n_output);
    let of_some = match n_target {
        Some(n_target) if n_target < n as i64 => format!("the {n_target} with a target: "),
        _ => String::new(),
    };
    let how_well = match &evaluation.record {
        None => format!(
            "no {} has the target \"{}\", so there are no errors",
            model.level().output(),
            model.target()
        ),
        Some(record) if record.rmse.is_some() => format!(
            "{of_some}RMSE {:.4}{unit}, MAE {:.4}{unit}; predicting the mean of training: RMSE {:.4}{unit}",
            number(record.rmse),
            number(record.mae),
            number(record.rmse_of_mean),
        ),
        Some(record) => format!(
            "{of_some}accuracy {:.2} %, macro-F1 {:.2} %",
            100.0 * number(record.accuracy),
            100.0 * number(record.macro_f1)
        ),
    };
    let share = |ns: i64| 100.0 * ns as f64 / evaluation.total_ns.max(1) as f64;
    let batches = if evaluation.n_batch == 1 { "batch" } else { "batches" };
    let how_fast = format!(
        "{:.0} {outputs} per second, {} {batches}; preparing {:.0} %, planning {:.0} %, collating {:.0} %, predicting {:.0} %",
        evaluation.outputs_per_second(),
        evaluation.n_batch,
        share(evaluation.prepare_ns),
        share(evaluation.plan_ns),
        share(evaluation.collate_ns),
        share(evaluation.forward_ns),
    );
    format!("{what}\n{how_well}\n{how_fast}\n")
}
