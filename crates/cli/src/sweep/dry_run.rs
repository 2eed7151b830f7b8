//! What a study will take.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use batchlab_core::progress::Progress;
use batchlab_experiment::run::Measured;
use batchlab_experiment::study::estimate::{CellEstimate, estimate};
use batchlab_experiment::{Cache, Observer, Study};
use serde_json::{Value, json};

use super::observe::duration;
use crate::data::bytes;
use crate::run::observe::Notes;

/// Says what data sets report while they are read.
struct Told;

impl Observer for Told {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Notes)
    }
}

pub(super) fn run(study: &Study, cache: &Cache, as_json: bool) -> Result<String> {
    let cells = estimate(study, cache, &Told);
    if as_json {
        return Ok(serde_json::to_string_pretty(&json(study, &cells))? + "\n");
    }
    Ok(table(study, &cells))
}

fn table(study: &Study, cells: &[CellEstimate]) -> String {
    let mut text = String::new();
    let titles: Vec<String> = study.cells.iter().map(|cell| cell.facts.title()).collect();
    let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
    let _ = writeln!(text, "{:<width$}  {:>4}  {:>12}", "cell", "runs", "time");
    for (title, cell) in titles.iter().zip(cells) {
        let time = duration(Duration::from_secs_f64(cell.seconds.ceil()));
        let _ = writeln!(text, "{title:<width$}  {:>4}  {time:>12}", cell.runs.len());
    }
    let total: f64 = cells.iter().map(|cell| cell.seconds).sum();
    let n_byte: u64 = cells.iter().map(|cell| cell.n_byte).sum();
    let _ = writeln!(
        text,
        "\n{} cells with {} runs: about {} ({:.2} hours) and {} in results",
        study.cells.len(),
        study.n_run(),
        duration(Duration::from_secs_f64(total.ceil())),
        total / 3600.0,
        bytes(n_byte),
    );
    for (reason, places) in problems(&titles, cells) {
        let _ =
            writeln!(text, "not counted, because it cannot run: {}\n  {reason}", places.join("; "));
    }
    text
}

/// Why something cannot run, and what: the batchers of each cell.
fn problems<'a>(titles: &[String], cells: &'a [CellEstimate]) -> Vec<(&'a str, Vec<String>)> {
    let mut problems: Vec<(&str, Vec<String>)> = Vec::new();
    for (title, cell) in titles.iter().zip(cells) {
        let failed = || {
            let reason = |(batcher, measured): &'a (String, Result<Measured, String>)| {
                Some((batcher.as_str(), measured.as_ref().err()?.as_str()))
            };
            cell.runs.iter().filter_map(reason)
        };
        let mut reasons: Vec<&str> = failed().map(|(_, reason)| reason).collect();
        reasons.dedup();
        for reason in reasons {
            let of_reason = failed().filter(|(_, other)| *other == reason);
            let batchers: Vec<&str> = of_reason.map(|(batcher, _)| batcher).collect();
            let place = format!("{title} with {}", batchers.join(", "));
            match problems.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, places)) => places.push(place),
                None => problems.push((reason, vec![place])),
            }
        }
    }
    problems
}

fn json(study: &Study, cells: &[CellEstimate]) -> Value {
    let cell = |(cell, estimate): (&batchlab_experiment::study::Cell, &CellEstimate)| {
        let run = |(batcher, measured): &(String, Result<_, String>)| match measured {
            Ok(Measured { step_s, run_s }) => {
                json!({ "batcher": batcher, "step_s": step_s, "run_s": run_s })
            }
            Err(reason) => json!({ "batcher": batcher, "reason": reason }),
        };
        json!({
            "cell": cell.facts,
            "runs": estimate.runs.iter().map(run).collect::<Vec<_>>(),
            "seconds": estimate.seconds,
            "n_byte": estimate.n_byte,
        })
    };
    json!({
        "schema_version": 1,
        "study": study.name,
        "n_cell": study.cells.len(),
        "n_run": study.n_run(),
        "seconds": cells.iter().map(|cell| cell.seconds).sum::<f64>(),
        "n_byte": cells.iter().map(|cell| cell.n_byte).sum::<u64>(),
        "cells": study.cells.iter().zip(cells).map(cell).collect::<Vec<_>>(),
    })
}
