//! `batchlab status`: the progress of a sweep.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_core::error::nearest_path;
use batchlab_core::quote::shell;
use batchlab_report::count;
use batchlab_study::CellInfo;
use batchlab_study::cells::{CellState, Cells, DoneCell, Progress, hardware};
use serde::Serialize;
use serde_json::json;

use crate::exit::Usage;
use crate::output::{json, print};
use crate::slurm::{self, SlurmError, Task};
use crate::sweep::claim_settings;
use crate::sweep::launch::{folder, in_words, job_name};
use crate::sweep::observe::{timing_ended, took};

/// Show which cells of a study are done, running and waiting.
///
/// The cells are those of the latest sweep of the study; other cells in the directory are only
/// counted. If workers were submitted to Slurm, its view of their tasks is shown, too. The command
/// is read-only and can be run at any time, including during a sweep.
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
    /// Name of its jobs.
    job_name: String,
}

/// `None`: no workers were submitted to Slurm.
type Tasks = Option<Result<Vec<Task>, SlurmError>>;

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
        let job_name = job_name(&arguments.dir, &hardware);
        all.push(Listed { hardware, cells, n_done_beside, job_name });
    }
    let names: Vec<&str> = all.iter().map(|listed| listed.job_name.as_str()).collect();
    let tasks = folder(&arguments.dir).is_dir().then(|| slurm::tasks(&names));
    if arguments.json {
        return print(&as_json(&all, &tasks)?);
    }
    let mut text = as_text(&all, &tasks);
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
    let (CellState::Done(done) | CellState::CutShort(done)) = state else { return false };
    done.runs.iter().any(|run| run.median_step_ns.is_some())
}

fn as_json(all: &[Listed], tasks: &Tasks) -> Result<String> {
    let hardware = all.iter().map(|listed| {
        let Listed { hardware, cells, n_done_beside, .. } = listed;
        let of_slurm = tasks.as_ref().map(|tasks| match tasks {
            Ok(tasks) => json!({ "tasks": of_name(tasks, &listed.job_name) }),
            Err(error) => json!({ "error": error.to_string() }),
        });
        let cells = cells.iter().map(|(info, state)| json!({ "cell": info, "progress": state }));
        json!({
            "hardware": hardware,
            "totals": Totals::of(&listed.cells),
            "cells": cells.collect::<Vec<_>>(),
            "n_done_beside": n_done_beside,
            "slurm": of_slurm,
        })
    });
    let totals = Totals::of(all.iter().flat_map(|listed| &listed.cells));
    let hardware: Vec<_> = hardware.collect();
    json(&json!({ "schema_version": 1, "totals": totals, "hardware": hardware }))
}

/// Numbers of cells.
#[derive(Debug, Default, Serialize)]
#[allow(clippy::struct_field_names, reason = "names in JSON")]
struct Totals {
    n_cell: usize,
    n_done: usize,
    /// Of those that are done: with a run that has failed, or whose loss was not finite.
    n_failed: usize,
    n_at_work: usize,
    n_waiting: usize,
    n_cut_short: usize,
    n_unreadable: usize,
}

impl Totals {
    fn of<'a>(cells: impl IntoIterator<Item = &'a (CellInfo, CellState)>) -> Self {
        let mut totals = Self::default();
        for (_, state) in cells {
            totals.n_cell += 1;
            match state {
                CellState::Done(done) => {
                    totals.n_done += 1;
                    totals.n_failed += usize::from(done.has_failed() || done.has_diverged());
                }
                CellState::Running { .. } => totals.n_at_work += 1,
                CellState::Waiting { .. } => totals.n_waiting += 1,
                CellState::CutShort(_) => totals.n_cut_short += 1,
                CellState::Unreadable { .. } => totals.n_unreadable += 1,
            }
        }
        totals
    }
}

fn of_name<'a>(tasks: &'a [Task], name: &str) -> Vec<&'a Task> {
    tasks.iter().filter(|task| task.name == name).collect()
}

fn as_text(all: &[Listed], tasks: &Tasks) -> String {
    let mut text = String::new();
    let known = tasks.as_ref().and_then(|tasks| tasks.as_deref().ok());
    for Listed { hardware, cells, n_done_beside, job_name } in all {
        let Totals { n_cell, n_done, .. } = Totals::of(cells);
        let _ = write!(text, "{hardware}: {n_done} of {n_cell} cells are done");
        if *n_done_beside > 0 {
            let _ = write!(text, ", and {n_done_beside} that the last sweep did not name");
        }
        text.push('\n');
        let titles: Vec<String> = cells.iter().map(|(info, _)| info.title()).collect();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        for (title, (info, state)) in titles.iter().zip(cells) {
            let _ = writeln!(text, "  {title:<width$}  {}", describe(info, state, known));
        }
        if let Some(tasks) = known {
            let tasks = of_name(tasks, job_name);
            let _ = writeln!(text, "  Slurm: {}", of_tasks(&tasks, n_cell - n_done));
        }
    }
    if let Some(Err(error)) = tasks {
        let _ = writeln!(text, "the states of Slurm's tasks are unknown: {error}");
    }
    text
}

fn of_tasks(tasks: &[&Task], n_missing: usize) -> String {
    let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !task.is_active()) {
        *ended.entry(&task.state).or_default() += 1;
    }
    let ended: Vec<String> = ended.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let mut text = in_words(tasks.iter().copied());
    if !ended.is_empty() {
        let _ = write!(text, "; ended: {}", ended.join(", "));
    }
    if n_missing > 0 && !tasks.iter().any(|task| task.is_active()) {
        text.push_str("; the same command with --launcher slurm submits what is missing");
    }
    text
}

/// `tasks`: those that Slurm knows, if it has answered.
fn describe(info: &CellInfo, state: &CellState, tasks: Option<&[Task]>) -> String {
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
            let progress =
                progress.map(|p| format!(", {} since {}", share(p), in_seconds(&p.started_at)));
            let owner = owner.as_ref();
            let owner = owner.map(|owner| {
                let job = owner.job.as_ref().map(|job| of_job(job, tasks)).unwrap_or_default();
                format!(", process {} on {}{job}", owner.process, owner.host)
            });
            format!(
                "running{}{}{}",
                progress.unwrap_or_default(),
                owner.unwrap_or_default(),
                and(fault)
            )
        }
        CellState::Done(done) => of_done(done),
        CellState::CutShort(done) => {
            let pairs = count(done.n_pair(), "pair");
            format!("ended by --time-limit after {pairs}, will be trained again")
        }
        CellState::Unreadable { reason } => reason.clone(),
    }
}

/// A task that trains a cell, and what Slurm says if it does so no longer. Slurm was asked only for
/// the tasks of the launcher, and forgets them: others may be running.
fn of_job(job: &str, tasks: Option<&[Task]>) -> String {
    match tasks.and_then(|tasks| tasks.iter().find(|task| task.id == job)) {
        Some(task) if !task.is_active() => {
            format!(", task {job} ({}); waiting again once its claim has expired", task.state)
        }
        _ => format!(", task {job}"),
    }
}

/// A time without its fraction of a second.
fn in_seconds(time: &str) -> String {
    let parsed = humantime::parse_rfc3339(time);
    parsed.map_or(time.to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

fn of_done(done: &DoneCell) -> String {
    if let Some(reason) = &done.reason {
        return format!("failed: {reason}");
    }
    let failures: Vec<String> = done
        .runs
        .iter()
        .filter_map(|run| {
            let ended = run.timing_ended.as_deref().map(timing_ended);
            let failed =
                run.reason.as_ref().map(|reason| format!("{}: {reason}", run.status.name()));
            Some(format!("{} {}", run.batcher, failed.or(ended)?))
        })
        .collect();
    if !failures.is_empty() {
        return failures.join("; ");
    }
    // Only the verdict says which one is the fastest, as it knows the uncertainty.
    format!("done, {} in {}", count(done.runs.len(), "run"), took(done))
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
                timing_ended: None,
                n_step: 10,
                median_step_ns: Some(1e6),
                outputs_per_second: Some(20.0),
                output: output.map(Into::into),
            };
            let (started_at, finished_at) = (String::new(), String::new());
            let (blocks, runs) = (vec![5, 5], vec![run]);
            let (cell, reason, ci_width, is_cut_short) = ("a-0".into(), None, None, false);
            DoneCell { cell, started_at, finished_at, blocks, runs, reason, ci_width, is_cut_short }
        };
        assert_eq!(of_done(&done(None)), "done, 1 run in 0s");
        assert!(
            crate::sweep::observe::ended(&done(Some("node"))).contains("20 output nodes/s mean")
        );
        assert!(crate::sweep::observe::ended(&done(None)).contains("20 graphs/s mean"));
    }
}
