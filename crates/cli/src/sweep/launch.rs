//! Submits workers of a study to Slurm, for cells that are not done and have no queued worker.

mod script;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use batchlab_config::Launcher;
use batchlab_core::quote::shell_word;
use batchlab_files::{atomic_write, make_folder};
use batchlab_study::Study;
use batchlab_study::cells::{CellState, Cells, DoneCell};
use serde_json::json;

use super::{Arguments, check_name, claim_settings};
use crate::exit::{OTHER, PARTIAL};
use crate::invocation;
use crate::output::{json, print};
use crate::say::say;
use crate::shell::absolute;
use crate::slurm::{self, SlurmError, Task};
use script::Script;
pub(crate) use script::{folder, job_name};

struct Launch<'a> {
    study: &'a Study,
    launcher: &'a Launcher,
    out: &'a Path,
    hardware: &'a str,
    cells: &'a Cells,
    is_enough: &'a dyn Fn(&DoneCell) -> bool,
    /// The command of a worker.
    worker: &'a [String],
}

impl Arguments {
    /// Submits workers with these arguments.
    pub(super) fn launch(&self, study: &Study, launcher: &Launcher) -> Result<ExitCode> {
        let out = self.out(study);
        // Known before any worker runs.
        let partition = launcher.partition.as_deref().unwrap_or("slurm");
        let hardware = self.hardware.as_deref().unwrap_or(partition);
        check_name(hardware)?;
        let cells = Cells::of(&out, hardware, claim_settings()?);
        let retry_before = self.retry.map(|before| before.unwrap_or_else(SystemTime::now));
        let is_enough = |done: &DoneCell| {
            let retry = retry_before.is_some_and(|time| done.is_before(time));
            done.is_enough(retry, self.ci_width)
        };
        let mut worker = invocation::program()?;
        worker.push("sweep".to_owned());
        worker.extend(self.configuration.words());
        let n_thread = launcher.cpus.map(u32::from);
        worker.extend(self.engine.words(n_thread));
        let mut add = |option: &str, value: Option<String>| {
            worker.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
        };
        add("--ci-width", self.ci_width.map(|width| width.to_string()));
        let time = |time: Duration| humantime::format_duration(time).to_string();
        add("--time-limit", self.time_limit.map(time));
        add("--hardware", Some(hardware.to_owned()));
        add("--out", Some(absolute(&out)));
        let time = |time| format!("--retry={}", humantime::format_rfc3339_millis(time));
        worker.extend(retry_before.map(time));
        worker.extend(self.restart.then(|| "--restart".to_owned()));
        worker.extend(self.quiet.then(|| "--quiet".to_owned()));
        let launch = Launch {
            study,
            launcher,
            out: &out,
            hardware,
            cells: &cells,
            is_enough: &is_enough,
            worker: &worker,
        };
        launch.run(self)
    }
}

/// Number of consecutive submissions that may finish no cell before giving up: a preempted or
/// interrupted cell starts from the beginning each time.
const FRUITLESS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

impl Launch<'_> {
    fn run(&self, asked: &Arguments) -> Result<ExitCode> {
        let name = job_name(self.out, self.hardware);
        let folder = folder(self.out);
        let logs = folder.join("logs");
        let is_exclusive = self.study.blocks.exclusive;
        let (launcher, worker) = (self.launcher, self.worker);
        let text = Script { launcher, is_exclusive, name: &name, logs: &logs, worker }.text();
        let path = folder.join(format!("{name}.sh"));
        let n_cell = self.study.cells.len();
        let n_missing = n_cell - self.count()?.n_done;
        if asked.dry_run {
            let path = path.to_string_lossy();
            let submitted = match self.wanted(n_missing, 0) {
                0 => format!("all {n_cell} cells are done; nothing would be submitted\n"),
                n_task => format!("{}\n", words(&command(&path, n_task))),
            };
            return print(&format!("# {path}\n{text}\n{submitted}"));
        }
        if n_missing > 0 {
            // Slurm drops the output of tasks if this folder is missing.
            make_folder(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
            atomic_write(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let tasks = if n_missing > 0 { slurm::active(&name)? } else { Vec::new() };
        let mut job = None;
        let n_task = self.wanted(n_missing, tasks.len());
        if n_task > 0 {
            job = Some(submit(&path, n_task, n_missing)?);
        } else if n_missing > 0 {
            let n = tasks.len();
            say!(
                "nothing was submitted: {n} tasks are queued for {n_missing} cells that are not done"
            );
        } else {
            say!("all {n_cell} cells are done; nothing was submitted");
        }
        if asked.json {
            let (script, name) = (path.to_string_lossy(), &name);
            print(&json(&json!({
                "schema_version": 1,
                "job": job,
                "n_task": n_task,
                "job_name": name,
                "n_cell": n_cell,
                "n_missing": n_missing,
                "script": script,
            }))?)?;
        }
        if asked.wait {
            return self.wait(&name, &path, u32::from(n_task > 0 && tasks.is_empty()));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The number of tasks to submit.
    fn wanted(&self, n_missing: usize, n_active: usize) -> usize {
        let most = usize::try_from(self.launcher.workers.get()).unwrap_or(usize::MAX);
        most.min(n_missing).saturating_sub(n_active)
    }

    fn count(&self) -> Result<Count> {
        let mut count = Count { n_done: 0, n_failed: 0 };
        for cell in &self.study.cells {
            if let CellState::Done(done) = self.cells.state(&cell.info)?
                && (self.is_enough)(&done)
            {
                count.n_done += 1;
                count.n_failed += usize::from(done.has_failed() || done.has_diverged());
            }
        }
        Ok(count)
    }

    /// Resubmits workers that were preempted, timed out or failed, until all cells are done.
    fn wait(&self, name: &str, path: &Path, mut n_fruitless: u32) -> Result<ExitCode> {
        let n_cell = self.study.cells.len();
        let (mut n_done, mut said) = (self.count()?.n_done, String::new());
        let mut pause = FIRST_PAUSE;
        let mut last_answer = Instant::now();
        loop {
            let count = self.count()?;
            if count.n_done == n_cell {
                say!("all {n_cell} cells are done");
                let is_whole = count.n_failed == 0;
                return Ok(if is_whole { ExitCode::SUCCESS } else { PARTIAL.into() });
            }
            if count.n_done > n_done {
                (n_done, n_fruitless) = (count.n_done, 0);
            }
            let n_missing = n_cell - count.n_done;
            let submitted = self.submit_again(name, path, n_missing, n_fruitless < FRUITLESS);
            if submitted.is_ok() {
                last_answer = Instant::now();
            }
            let state = match submitted {
                Err(error) if last_answer.elapsed() >= self.launcher.retry_for.0 => {
                    say!(
                        "{error}; given up after {} (launcher.retry_for), with {n_missing} of {n_cell} cells \
                         left: the same command continues",
                        humantime::format_duration(self.launcher.retry_for.0)
                    );
                    return Ok(OTHER.into());
                }
                // Slurm may be unreachable for a while.
                Err(error) => Some(format!("{error}; asking again")),
                Ok(Queue { tasks, submission: Submission::Made }) => {
                    // While other tasks run, their cells may still finish.
                    if tasks.is_empty() {
                        n_fruitless += 1;
                        pause = FIRST_PAUSE;
                    }
                    None
                }
                Ok(Queue { tasks, .. }) if tasks.is_empty() => {
                    say!(
                        "the last {FRUITLESS} submissions finished no cell, and {n_missing} are left: see the logs \
                         in {}; is launcher.time longer than a cell takes?",
                        folder(self.out).join("logs").display()
                    );
                    return Ok(OTHER.into());
                }
                Ok(Queue { submission: Submission::Refused(error), .. }) => {
                    Some(format!("{error}; asking again"))
                }
                Ok(Queue { tasks, .. }) => {
                    Some(format!("{n_done} of {n_cell} cells are done; {}", in_words(&tasks)))
                }
            };
            if let Some(state) = state
                && state != said
            {
                say!("{state}");
                said = state;
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
    }

    /// Submits the missing workers, if `may_submit`. A failure is an error only if no queued task
    /// can still finish cells.
    fn submit_again(
        &self,
        name: &str,
        path: &Path,
        n_missing: usize,
        may_submit: bool,
    ) -> Result<Queue, SlurmError> {
        let tasks = slurm::active(name)?;
        let n_task = if may_submit { self.wanted(n_missing, tasks.len()) } else { 0 };
        let submission = if n_task == 0 {
            Submission::None
        } else {
            match submit(path, n_task, n_missing) {
                Ok(_) => Submission::Made,
                Err(error) if tasks.is_empty() => return Err(error),
                Err(error) => Submission::Refused(error),
            }
        };
        Ok(Queue { tasks, submission })
    }
}

fn submit(path: &Path, n_task: usize, n_missing: usize) -> Result<String, SlurmError> {
    let job = slurm::submit(&command(&path.to_string_lossy(), n_task))?;
    let tasks = if n_task == 1 { "task" } else { "tasks" };
    let cells = if n_missing == 1 { "cell that is" } else { "cells that are" };
    say!("submitted job {job}: {n_task} {tasks} for {n_missing} {cells} not done");
    Ok(job)
}

/// The queue, and the outcome of submitting more.
struct Queue {
    tasks: Vec<Task>,
    submission: Submission,
}

enum Submission {
    None,
    Made,
    Refused(SlurmError),
}

struct Count {
    n_done: usize,
    /// Cells with a failed or diverged run.
    n_failed: usize,
}

fn command(path: &str, n_task: usize) -> Vec<String> {
    let array = format!("--array=0-{}", n_task.saturating_sub(1));
    ["sbatch", "--parsable", &array, path].map(str::to_owned).to_vec()
}

fn words(command: &[String]) -> String {
    command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// `2 tasks running, 1 pending (Resources)`
pub(crate) fn in_words<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> String {
    let (running, others): (Vec<&Task>, Vec<&Task>) =
        tasks.into_iter().filter(|task| task.is_active()).partition(|task| task.is_running());
    let mut reasons: Vec<&str> = others.iter().filter_map(|task| task.reason.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let reasons = match reasons.as_slice() {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join(", ")),
    };
    let tasks = |n: usize| if n == 1 { "task" } else { "tasks" };
    match (running.len(), others.len()) {
        (0, 0) => "no task is queued".to_owned(),
        (0, n) => format!("{n} {} pending{reasons}", tasks(n)),
        (n, 0) => format!("{n} {} running", tasks(n)),
        (n, pending) => format!("{n} {} running, {pending} pending{reasons}", tasks(n)),
    }
}
