//! What a person, or a program, learns at the end of a run.

use std::fmt::Write;

use anyhow::Result;
use batchlab_core::record::EvalRecord;
use batchlab_experiment::{RunSummary, Status};
use serde_json::{Value, json};

use crate::unit;

pub(super) fn as_json(summary: &RunSummary) -> Result<String> {
    let mut value = serde_json::to_value(summary)?;
    let evals = summary.evals.iter().map(|eval| {
        json!({
            "step": eval.step, "split": eval.split, "n_graph": eval.n_graph, "loss": eval.loss,
            "rmse": eval.rmse, "mae": eval.mae, "accuracy": eval.accuracy,
            "rmse_of_mean": eval.rmse_of_mean,
        })
    });
    value["evals"] = Value::Array(evals.collect());
    value["tables"] = json!(summary.out.join("tables"));
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

pub(super) fn as_text(summary: &RunSummary) -> String {
    let mut text = String::new();
    let header = &summary.header;
    let throughput = &summary.throughput;
    let _ = writeln!(text);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let outcome = match (summary.status, &summary.reason) {
        (Status::Completed, _) => "completed".to_owned(),
        (status, reason) => format!("{}: {}", status.name(), reason.as_deref().unwrap_or("")),
    };
    row("outcome", outcome);
    let seconds = summary.train_ns as f64 / 1e9;
    row("steps", format!("{} in {seconds:.1} s", summary.n_step));
    if throughput.median_step_ns > 0 {
        let milliseconds = throughput.median_step_ns as f64 / 1e6;
        let per_second = throughput.graphs_per_second;
        row("step", format!("{milliseconds:.2} ms median, {per_second:.0} graphs per second"));
        let (nodes, edges) = (100.0 * throughput.node_fill, 100.0 * throughput.edge_fill);
        row("fill", format!("{nodes:.1} % of nodes and {edges:.1} % of edges are real"));
    }
    row("shapes", summary.n_shape.to_string());
    let mib = |bytes: i64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let memory = [
        summary.peak_host_bytes.map(|bytes| format!("{} at most", mib(bytes))),
        summary.peak_device_bytes.map(|bytes| format!("{} on {}", mib(bytes), header.device)),
    ];
    if let [Some(_), _] | [_, Some(_)] = memory {
        row("memory", memory.into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    let unit = header.target.as_ref().map_or("", |(_, unit)| unit.as_str());
    for split in ["train", "validation", "test"] {
        let of_split = || summary.evals.iter().filter(|eval| eval.split == split);
        if let (Some(first), Some(last)) = (of_split().next(), of_split().next_back()) {
            row(split, judgement(first, last, unit));
        }
    }
    let tables = summary.out.join("tables");
    let _ = write!(
        text,
        "\nresults in {}\nlook at them with, for example:\n  duckdb -c \"select step, split, rmse, mae \
         from '{}/evals/*.parquet' where run_id = '{}' order by all\"\n",
        summary.out.display(),
        tables.display().to_string().replace('\'', "''"),
        header.run_id,
    );
    text
}

fn judgement(first: &EvalRecord, last: &EvalRecord, unit: &str) -> String {
    if let (Some(before), Some(after)) = (first.rmse, last.rmse) {
        let unit = unit::around(" ", unit, "");
        let mae = last.mae.unwrap_or(f64::NAN);
        let of_mean = last.rmse_of_mean.unwrap_or(f64::NAN);
        return format!(
            "RMSE {before:.4} -> {after:.4}{unit}, MAE {mae:.4}{unit}; predicting the mean: RMSE {of_mean:.4}{unit}"
        );
    }
    let share = |eval: &EvalRecord| 100.0 * eval.accuracy.unwrap_or(f64::NAN);
    format!("accuracy {:.2} % -> {:.2} %", share(first), share(last))
}
