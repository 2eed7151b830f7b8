//! `batchlab status`: the progress of a sweep.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_core::error::nearest_path;
use batchlab_core::quote::shell;
use batchlab_study::CellInfo;
use batchlab_study::cells::{CellState, Cells, DoneCell, Progress, hardware};
use serde_json::json;

use crate::exit::Usage;
use crate::output::{json, print};
use crate::sweep::claim_settings;
use crate::sweep::observe::took;

/// Show which cells of a study are done, running and waiting.
///
/// The cells are those of the latest sweep of the study; other cells in the directory are only
/// counted. The command is read-only and can be run at any time, including during a sweep.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the study, `results/<study>`.
    dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

struct Listed {
    hardware: String,
    cells: Vec<(CellInfo, CellState)>,
    n_done_beside: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let names = hardware(&arguments.dir)?;
    if names.is_empty() {
        let dir = arguments.dir.display();
        let is_missing = !arguments.dir.exists();
        let near = if is_missing { nearest_path(&arguments.dir) } else { String::new() };
        bail!(Usage(format!(
            "{dir} has no cells of a study{near}; `batchlab sweep STUDY` makes them, in results/<study>"
        )));
    }
    let claims = claim_settings()?;
    let mut all = Vec::new();
    for hardware in names {
        let here = Cells::of(&arguments.dir, &hardware, claims.clone());
        let (cells, n_done_beside) = (here.states()?, here.n_done_beside()?);
        all.push(Listed { hardware, cells, n_done_beside });
    }
    if arguments.json {
        return print(&as_json(&all)?);
    }
    let mut text = as_text(&all);
    if all.iter().flat_map(|listed| &listed.cells).any(|(_, state)| has_times(state)) {
        let _ = writeln!(
            text,
            "batchlab report {} says which strategy is the fastest",
            shell(&arguments.dir)
        );
    }
    print(&text)
}

/// Whether there is something to compare.
fn has_times(state: &CellState) -> bool {
    let CellState::Done(done) = state else { return false };
    done.runs.iter().any(|run| run.median_step_ns.is_some())
}

fn as_json(all: &[Listed]) -> Result<String> {
    let hardware = all.iter().map(|Listed { hardware, cells, n_done_beside }| {
        let cells = cells.iter().map(|(info, state)| json!({ "cell": info, "progress": state }));
        json!({
            "hardware": hardware,
            "cells": cells.collect::<Vec<_>>(),
            "n_done_beside": n_done_beside,
        })
    });
    let all = json!({ "schema_version": 1, "hardware": hardware.collect::<Vec<_>>() });
    json(&all)
}

fn as_text(all: &[Listed]) -> String {
    let mut text = String::new();
    for Listed { hardware, cells, n_done_beside } in all {
        let is_done = |state: &CellState| matches!(state, CellState::Done(_));
        let n_done = cells.iter().filter(|(_, state)| is_done(state)).count();
        let _ = write!(text, "{hardware}: {n_done} of {} cells are done", cells.len());
        if *n_done_beside > 0 {
            let _ = write!(text, ", and {n_done_beside} that the last sweep did not name");
        }
        text.push('\n');
        let titles: Vec<String> = cells.iter().map(|(info, _)| info.title()).collect();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        for (title, (info, state)) in titles.iter().zip(cells) {
            let _ = writeln!(text, "  {title:<width$}  {}", describe(info, state));
        }
    }
    text
}

fn describe(info: &CellInfo, state: &CellState) -> String {
    let share = |progress: &Progress| {
        let all = progress.n_step_all;
        let all = all.unwrap_or_else(|| info.n_step.saturating_mul(info.batchers.len() as u64));
        format!("{:.0} %", 100.0 * progress.n_step as f64 / all.max(1) as f64)
    };
    let and = |fault: &Option<String>| fault.as_ref().map_or(String::new(), |f| format!("; {f}"));
    match state {
        CellState::Waiting { abandoned: None, fault } => format!("waiting{}", and(fault)),
        CellState::Waiting { abandoned: Some(progress), .. } => {
            format!("waiting; was ended at {} and will start again", share(progress))
        }
        CellState::Running { progress, owner, fault } => {
            let progress = progress.as_ref();
            let progress = progress.map(|p| format!(", {} since {}", share(p), p.started_at));
            let owner = owner.as_ref();
            let owner = owner.map(|owner| format!(", process {} on {}", owner.process, owner.host));
            format!(
                "running{}{}{}",
                progress.unwrap_or_default(),
                owner.unwrap_or_default(),
                and(fault)
            )
        }
        CellState::Done(done) => of_done(done),
        CellState::Unreadable { reason } => reason.clone(),
    }
}

fn of_done(done: &DoneCell) -> String {
    if let Some(reason) = &done.reason {
        return format!("failed: {reason}");
    }
    let failures: Vec<String> = done
        .runs
        .iter()
        .filter_map(|run| {
            let reason = run.reason.as_ref()?;
            Some(format!("{} {}: {reason}", run.batcher, run.status.name()))
        })
        .collect();
    if !failures.is_empty() {
        return failures.join("; ");
    }
    // Only the verdict says which one is the fastest, as it knows the uncertainty.
    let runs = if done.runs.len() == 1 { "run" } else { "runs" };
    format!("done, {} {runs} in {}", done.runs.len(), took(done))
}

#[cfg(test)]
mod tests {
    use batchlab_run::Status;
    use batchlab_study::cells::DoneRun;

    use super::*;

    #[test]
    fn what_is_done_is_not_ranked() {
        let done = |output: Option<&str>| {
            let run = DoneRun {
                batcher: "ibmb".into(),
                run_id: None,
                status: Status::Completed,
                reason: None,
                n_step: 10,
                median_step_ns: Some(1e6),
                outputs_per_second: Some(20.0),
                output: output.map(Into::into),
            };
            let (started_at, finished_at) = (String::new(), String::new());
            let (blocks, runs) = (vec![5, 5], vec![run]);
            let (cell, reason, ci_width) = ("a-0".into(), None, None);
            DoneCell { cell, started_at, finished_at, blocks, runs, reason, ci_width }
        };
        assert_eq!(of_done(&done(None)), "done, 1 run in 0s");
        assert!(
            crate::sweep::observe::ended(&done(Some("node"))).contains("20 output nodes/s mean")
        );
        assert!(crate::sweep::observe::ended(&done(None)).contains("20 graphs/s mean"));
    }
}
