//! The summary at the end of a run.

use std::fmt::Write;

use anyhow::Result;
use batchlab_core::Level;
use batchlab_core::quote::{pattern, shell_word, sql};
use batchlab_core::record::EvalRecord;
use batchlab_results::RunSummary;
use batchlab_run::{FinishedRun, Status};
use serde_json::json;

use crate::output::json;
use crate::unit;

pub(super) fn as_json(run: &FinishedRun) -> Result<String> {
    let RunSummary { run: row, steps, evals, .. } = &run.summary;
    let eval = |eval: &EvalRecord| {
        json!({
            "step": eval.step, "subset": eval.subset, "n_output": eval.n_output, "loss": eval.loss,
            "rmse": eval.rmse, "mae": eval.mae, "accuracy": eval.accuracy,
            "rmse_of_mean": eval.rmse_of_mean,
        })
    };
    let throughput = steps.times.zip(steps.work).map(|(times, work)| {
        json!({
            "median_step_ns": times.combined_median,
            "outputs_per_second": work.outputs_per_s,
            "node_fill": work.node_fill,
            "edge_fill": work.edge_fill,
        })
    });
    let value = json!({
        "header": run.header,
        "status": run.status,
        "reason": row.error,
        "n_step": steps.n_step,
        "n_shape": steps.n_shape,
        "train_ns": steps.train_ns,
        "throughput": throughput,
        "n_step_kept": run.n_step_kept,
        "stopped_early": run.stopped_early,
        "best_step": run.best_step,
        "out": run.out.to_string_lossy(),
        "peak_host_bytes": run.peak_host_bytes,
        "peak_device_bytes": row.peak_device_bytes,
        "parent": row.parent,
        "warnings": run.warnings,
        "evals": evals.iter().map(eval).collect::<Vec<_>>(),
        "tables": run.out.join("tables").to_string_lossy(),
    });
    json(&value)
}

pub(super) fn as_text(run: &FinishedRun) -> String {
    let mut text = String::new();
    let (header, steps) = (&run.header, &run.summary.steps);
    let _ = writeln!(text);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let outcome = match (run.status, &run.summary.run.error) {
        (Status::Completed, _) => match &run.stopped_early {
            Some(reason) => format!("completed, stopped early: {reason}"),
            None => "completed".to_owned(),
        },
        (status, reason) => format!("{}: {}", status.name(), reason.as_deref().unwrap_or("")),
    };
    row("outcome", outcome);
    if let Some(n_step) = run.n_step_kept {
        row(
            "tables",
            format!("left as they are: an earlier attempt came further, to step {n_step}"),
        );
    }
    let seconds = steps.train_ns as f64 / 1e9;
    let own = match (&run.summary.run.parent, run.summary.evals.first()) {
        (Some(parent), Some(first)) => format!(", after {} of run {parent}", first.step),
        _ => String::new(),
    };
    row("steps", format!("{} in {seconds:.1} s{own}", steps.n_step));
    if let (Some(times), Some(work)) = (steps.times, steps.work) {
        row("step", format!("{:.2} ms median", times.combined_median / 1e6));
        let outputs = Level::of_output(run.summary.run.output.as_deref()).outputs();
        row("throughput", format!("{:.0} {outputs} per second", work.outputs_per_s));
        let (nodes, edges) = (100.0 * work.node_fill, 100.0 * work.edge_fill);
        row("fill", format!("{nodes:.1} % of nodes and {edges:.1} % of edges are real"));
    }
    row("shapes", steps.n_shape.to_string());
    let mib = |bytes: i64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let on_device = run.summary.run.peak_device_bytes;
    let memory = [
        run.peak_host_bytes.map(|bytes| format!("{} at most", mib(bytes))),
        on_device.map(|bytes| format!("{} on {}", mib(bytes), header.device)),
    ];
    if let [Some(_), _] | [_, Some(_)] = memory {
        row("memory", memory.into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    let unit = header.target.as_ref().and_then(|(_, unit)| unit.as_deref());
    let last = run.summary.evals.last().map(|eval| eval.step);
    let best = run.best_step.and_then(|step| i64::try_from(step).ok());
    if let (Some(best), Some(last)) = (best, last) {
        let which =
            if best == last { ", the best one, which evaluate and predict take" } else { "" };
        row("last state", format!("after {last} steps{which}"));
    }
    for (subset, evals) in by_subset(run) {
        if let (Some(first), Some(last)) = (evals.first(), evals.last()) {
            row(subset, errors(first, last, unit));
        }
    }
    if let Some(best) = best.filter(|best| Some(*best) != last) {
        row("best state", format!("after {best} steps, which evaluate and predict take"));
        for (subset, evals) in by_subset(run) {
            if let Some(eval) = evals.iter().find(|eval| eval.step == best) {
                row(subset, errors(eval, eval, unit));
            }
        }
    }
    if !run.warnings.is_empty() {
        let _ = writeln!(text, "\nwarnings");
        for warning in &run.warnings {
            let _ = writeln!(text, "  {:<20} {}", warning.kind.replace('_', " "), warning.message);
        }
    }
    let tables = pattern(&run.out.join("tables").to_string_lossy());
    let is_classes = run.summary.evals.iter().any(|eval| eval.accuracy.is_some());
    let columns = if is_classes { "accuracy, macro_f1" } else { "rmse, mae" };
    let query = format!(
        "select step, subset, {columns} from {} where run_id = {} order by all",
        sql(&format!("{tables}/evals/*.parquet")),
        sql(&header.run_id),
    );
    let _ = write!(
        text,
        "\nresults in {}\nfor example:\n  duckdb -c {}\n",
        run.out.display(),
        shell_word(&query),
    );
    text
}

/// The evaluations of each subset, which do not include those with the training strategy.
fn by_subset(run: &FinishedRun) -> [(&'static str, Vec<&EvalRecord>); 3] {
    let evals = &run.summary.evals;
    ["train", "validation", "test"]
        .map(|subset| (subset, evals.iter().filter(|eval| eval.subset == subset).collect()))
}

fn errors(first: &EvalRecord, last: &EvalRecord, unit: Option<&str>) -> String {
    if let (Some(before), Some(after)) = (first.rmse, last.rmse) {
        let unit = unit::around(" ", unit, "");
        let mae = last.mae.unwrap_or(f64::NAN);
        let of_mean = last.rmse_of_mean.unwrap_or(f64::NAN);
        let change = if first.step == last.step {
            format!("RMSE {after:.4}")
        } else {
            format!("RMSE {before:.4} -> {after:.4}")
        };
        return format!(
            "{change}{unit}, MAE {mae:.4}{unit}{}; predicting the mean: RMSE {of_mean:.4}{unit}",
            when(first, last)
        );
    }
    let share = |eval: &EvalRecord| 100.0 * eval.accuracy.unwrap_or(f64::NAN);
    if first.step == last.step {
        return format!("accuracy {:.2} %{}", share(last), when(first, last));
    }
    format!("accuracy {:.2} % -> {:.2} %", share(first), share(last))
}

/// States the step of an evaluation that is the only one.
fn when(first: &EvalRecord, last: &EvalRecord) -> String {
    match (first.step == last.step, last.step) {
        (false, _) => String::new(),
        (true, 0) => " before training".to_owned(),
        (true, step) => format!(" after {step} steps"),
    }
}
