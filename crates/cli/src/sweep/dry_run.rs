//! Estimates how long a study will take.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use batchlab_report::count;
use batchlab_run::Cache;
use batchlab_study::cells::{CellState, Cells, DoneCell};
use batchlab_study::estimate::{CellEstimate, Estimated, estimate};
use batchlab_study::{Cell, Study};
use serde_json::{Value, json};

use super::observe::{percent, seconds};
use crate::data::bytes;
use crate::output::json;
use crate::trained::LoadingNotes;

/// The options of the sweep itself.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) retry: bool,
    pub(super) ci_width: Option<f64>,
    pub(super) time_limit: Option<Duration>,
}

pub(super) fn run(
    study: &Study,
    cells: &Cells,
    asked: Asked,
    cache: &Cache,
    as_json: bool,
) -> Result<String> {
    let mut is_waiting = Vec::with_capacity(study.cells.len());
    for cell in &study.cells {
        let state = cells.state(&cell.info)?;
        let Asked { retry, ci_width, .. } = asked;
        let is_enough = |done: &DoneCell| done.is_enough(retry, ci_width);
        is_waiting.push(!matches!(state, CellState::Done(done) if is_enough(&done)));
    }
    let cells = estimate(study, &is_waiting, asked.ci_width, cache, &LoadingNotes);
    let planned = Planned { study, cells: &cells, asked };
    if as_json {
        return json(&planned.json());
    }
    Ok(planned.table())
}

/// The cells of a study, with the estimated time of those that remain.
struct Planned<'a> {
    study: &'a Study,
    cells: &'a [Option<CellEstimate>],
    asked: Asked,
}

impl Planned<'_> {
    fn waiting(&self) -> impl Iterator<Item = &CellEstimate> {
        self.cells.iter().flatten()
    }

    fn seconds(&self) -> f64 {
        // The sum of an empty iterator is -0.
        self.waiting().map(|cell| cell.seconds).fold(0.0, |sum, seconds| sum + seconds)
    }

    fn n_byte(&self) -> u64 {
        self.waiting().map(|cell| cell.n_byte).sum()
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let titles: Vec<String> = self.study.cells.iter().map(|cell| cell.info.title()).collect();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "{:<width$}  {:>4}  {:>5}  {:>5}  {:>12}",
            "cell", "runs", "pairs", "shows", "time"
        );
        for ((title, cell), estimate) in titles.iter().zip(&self.study.cells).zip(self.cells) {
            let n_run = cell.runs.len();
            let (n_pair, shows, time) = match estimate {
                None => ("-".to_owned(), None, "done".to_owned()),
                Some(cell) => (cell.n_pair.to_string(), cell.difference, seconds(cell.seconds)),
            };
            let shows = shows.map_or("-".to_owned(), percent);
            let _ =
                writeln!(text, "{title:<width$}  {n_run:>4}  {n_pair:>5}  {shows:>5}  {time:>12}");
        }
        let total = self.seconds();
        let n_run: usize = self.waiting().map(|cell| cell.runs.len()).sum();
        let (n_cell, n_waiting) = (self.cells.len(), self.waiting().count());
        if n_waiting == 0 {
            let _ = writeln!(text, "\nall {n_cell} cells are done; there is nothing to train");
            return text;
        }
        let which = match n_cell - n_waiting {
            0 => format!("{} with {}", count(n_cell, "cell"), count(n_run, "run")),
            n_done => {
                let runs = count(n_run, "run");
                format!("{n_done} of {n_cell} cells are done; {n_waiting} with {runs}")
            }
        };
        let _ = writeln!(
            text,
            "\n{which}: about {} ({:.2} hours) and {} in results",
            seconds(total),
            total / 3600.0,
            bytes(self.n_byte()),
        );
        text.push_str(self.meaning());
        if let Some(time_limit) = self.asked.time_limit {
            let _ = writeln!(
                text,
                "--time-limit {} ends this earlier if the rest is for timing only; the next sweep trains such cells again",
                humantime::format_duration(time_limit)
            );
        }
        for (reason, places) in problems(&titles, self.cells) {
            let places = places.join("; ");
            let _ = writeln!(text, "not counted, because it cannot run: {places}\n  {reason}");
        }
        text
    }

    fn meaning(&self) -> &'static str {
        match self.asked.ci_width {
            _ if self.waiting().all(|cell| cell.difference.is_none()) => "",
            None => {
                "pairs: mirrored pairs of blocks; shows: the difference between two strategies that they \
                 detect with 80 % power, estimated from the scatter of the first steps\n"
            }
            Some(_) => {
                "pairs: mirrored pairs of blocks after which intervals are likely to be that narrow; \
                 shows: the difference between two strategies that they detect with 80 % power; both \
                 estimated from the scatter of the first steps\n"
            }
        }
    }

    fn json(&self) -> Value {
        let cell = |(cell, estimate): (&Cell, &Option<CellEstimate>)| {
            let run = |(batcher, measured): &(String, Result<_, String>)| match measured {
                Ok(Estimated { step_s, n_step, run_s }) => {
                    json!({ "batcher": batcher, "step_s": step_s, "n_step": n_step, "run_s": run_s })
                }
                Err(reason) => json!({ "batcher": batcher, "reason": reason }),
            };
            json!({
                "cell": cell.info,
                "is_done": estimate.is_none(),
                "runs": estimate.iter().flat_map(|of| &of.runs).map(run).collect::<Vec<_>>(),
                "n_pair": estimate.as_ref().map(|of| of.n_pair),
                "difference": estimate.as_ref().and_then(|of| of.difference),
                "seconds": estimate.as_ref().map(|of| of.seconds),
                "n_byte": estimate.as_ref().map(|of| of.n_byte),
            })
        };
        let cells = self.study.cells.iter().zip(self.cells);
        json!({
            "schema_version": 1,
            "study": self.study.name,
            "n_cell": self.study.cells.len(),
            "n_cell_done": self.cells.iter().filter(|cell| cell.is_none()).count(),
            "n_run": self.study.n_run(),
            "seconds": self.seconds(),
            "n_byte": self.n_byte(),
            "cells": cells.map(cell).collect::<Vec<_>>(),
        })
    }
}

/// All reasons why something cannot run, with the cells and batchers affected.
fn problems<'a>(
    titles: &[String],
    cells: &'a [Option<CellEstimate>],
) -> Vec<(&'a str, Vec<String>)> {
    let mut problems: Vec<(&str, Vec<String>)> = Vec::new();
    for (title, cell) in titles.iter().zip(cells) {
        let Some(cell) = cell else { continue };
        let failed = || {
            let reason = |(batcher, run): &'a (String, Result<Estimated, String>)| {
                Some((batcher.as_str(), run.as_ref().err()?.as_str()))
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
