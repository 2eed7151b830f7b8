//! How long a study will take.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use batchlab_core::progress::Progress;
use batchlab_run::{Cache, Measured, Observer};
use batchlab_study::cells::{CellState, Cells};
use batchlab_study::estimate::{CellEstimate, estimate};
use batchlab_study::{Cell, Study};
use serde_json::{Value, json};

use super::observe::duration;
use crate::data::bytes;
use crate::output::json;
use crate::progress::Notes;

/// Prints the notes of data sets while they are read.
struct LoadingNotes;

impl Observer for LoadingNotes {
    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Notes)
    }
}

/// `retry`: whether cells that have failed are trained again.
pub(super) fn run(
    study: &Study,
    cells: &Cells,
    retry: bool,
    cache: &Cache,
    as_json: bool,
) -> Result<String> {
    let mut is_done = Vec::with_capacity(study.cells.len());
    for cell in &study.cells {
        let state = cells.state(&cell.info)?;
        is_done.push(matches!(state, CellState::Done(done) if !(retry && done.has_failed())));
    }
    let cells = estimate(study, cache, &LoadingNotes);
    let planned = Planned { study, cells: &cells, is_done: &is_done };
    if as_json {
        return json(&planned.json());
    }
    Ok(planned.table())
}

/// The cells of a study, what each takes, and which are done already.
struct Planned<'a> {
    study: &'a Study,
    cells: &'a [CellEstimate],
    is_done: &'a [bool],
}

impl Planned<'_> {
    fn waiting(&self) -> impl Iterator<Item = &CellEstimate> {
        self.cells.iter().zip(self.is_done).filter(|(_, done)| !**done).map(|(cell, _)| cell)
    }

    fn seconds(&self) -> f64 {
        self.waiting().map(|cell| cell.seconds).sum()
    }

    fn n_byte(&self) -> u64 {
        self.waiting().map(|cell| cell.n_byte).sum()
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let titles: Vec<String> = self.study.cells.iter().map(|cell| cell.info.title()).collect();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        let _ = writeln!(text, "{:<width$}  {:>4}  {:>12}", "cell", "runs", "time");
        for ((title, cell), done) in titles.iter().zip(self.cells).zip(self.is_done) {
            let time = match done {
                true => "done".to_owned(),
                false => duration(Duration::from_secs_f64(cell.seconds.ceil())),
            };
            let _ = writeln!(text, "{title:<width$}  {:>4}  {time:>12}", cell.runs.len());
        }
        let seconds = self.seconds();
        let n_run: usize = self.waiting().map(|cell| cell.runs.len()).sum();
        let (n_cell, n_waiting) = (self.cells.len(), self.waiting().count());
        let which = match n_cell - n_waiting {
            0 => format!("{n_cell} cells with {n_run} runs"),
            n_done => format!("{n_done} of {n_cell} cells are done; {n_waiting} with {n_run} runs"),
        };
        let _ = writeln!(
            text,
            "\n{which}: about {} ({:.2} hours) and {} in results",
            duration(Duration::from_secs_f64(seconds.ceil())),
            seconds / 3600.0,
            bytes(self.n_byte()),
        );
        for (reason, places) in problems(&titles, self.cells) {
            let places = places.join("; ");
            let _ = writeln!(text, "not counted, because it cannot run: {places}\n  {reason}");
        }
        text
    }

    fn json(&self) -> Value {
        let cell = |((cell, estimate), done): ((&Cell, &CellEstimate), &bool)| {
            let run = |(batcher, measured): &(String, Result<_, String>)| match measured {
                Ok(Measured { step_s, run_s }) => {
                    json!({ "batcher": batcher, "step_s": step_s, "run_s": run_s })
                }
                Err(reason) => json!({ "batcher": batcher, "reason": reason }),
            };
            json!({
                "cell": cell.info,
                "is_done": done,
                "runs": estimate.runs.iter().map(run).collect::<Vec<_>>(),
                "seconds": estimate.seconds,
                "n_byte": estimate.n_byte,
            })
        };
        let cells = self.study.cells.iter().zip(self.cells).zip(self.is_done);
        json!({
            "schema_version": 1,
            "study": self.study.name,
            "n_cell": self.study.cells.len(),
            "n_cell_done": self.is_done.iter().filter(|done| **done).count(),
            "n_run": self.study.n_run(),
            "seconds": self.seconds(),
            "n_byte": self.n_byte(),
            "cells": cells.map(cell).collect::<Vec<_>>(),
        })
    }
}

/// Every reason for which something cannot run, with the cells and batchers that it concerns.
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
