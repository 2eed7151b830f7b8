//! `batchlab sweep`: trains all runs of a study for comparison.

mod dry_run;
pub(crate) mod launch;
mod next_process;
pub(crate) mod observe;
mod supervise;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};
use batchlab_core::quote::shell;
use batchlab_report::{Questions, Results};
use batchlab_results::commands;
use batchlab_run::{Cache, RunOptions};
use batchlab_study::cells::{Cells, hardware_name};
use batchlab_study::{ClaimSettings, Study, Sweep, SweepObserver, SweepOptions, sweep};
use serde_json::json;

use crate::configuration::Configuration;
use crate::engine::Engine;
use crate::exit::{DEVICE_LOST, INTERRUPTED, PARTIAL, Usage};
use crate::output::{json, print};
use crate::progress::{Quiet, shows_bars};
use crate::report::{answer, verdicts};
use crate::run::{begin, interrupt_flag};
use crate::say::say;
use crate::share::share;
use crate::shell::own_command;
use crate::slurm::job::{OwnJob, own_id};
use dry_run::Asked;
use next_process::Earlier;
use observe::{Bar, Lines, Warnings};

/// Train every combination of a study: data sets, models, batchers, batch sizes, repeats.
///
/// Runs that differ only in the batcher form a cell. They are trained in one process, interleaved
/// block by block, so that disturbances of the machine affect all of them alike. Every combination
/// is checked before the first one starts. To resume a sweep that has ended in whatever way, repeat
/// the command: completed cells are kept, an interrupted cell starts again. A sweep locks its
/// device; with `blocks.exclusive=false`, any number of processes may share a study.
///
/// Errors are recorded up to `training.steps`. If that gives fewer than `blocks.pairs` mirrored
/// pairs of blocks, the runs of a cell continue for timing only.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Check everything, try each kind of run briefly, and print how long the remaining cells will
    /// take and which differences they can show.
    #[arg(long)]
    dry_run: bool,
    /// Continue each cell until the 95 % intervals of all strategies that may be the fastest are at
    /// most twice this long, for example 2% for 1.00 to 1.04, or only one strategy is left. The
    /// interim looks, at 5, 10, 20, 40, 80 and 160 pairs only, share the 5 % error.
    #[arg(long, value_name = "WIDTH", value_parser = share)]
    ci_width: Option<f64>,
    /// Start no cell and no further timing-only pair after this time, for example 1h or 90s;
    /// waiting cells share it equally. Steps requested by `training.steps` are always trained.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,
    /// Wait for a device that another sweep is using, instead of failing. With `--launcher`, wait
    /// until all cells are done, and submit again what was preempted, timed out or failed.
    #[arg(long)]
    wait: bool,
    /// Train cells again that failed before this sweep started, or before a given time.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          value_parser = humantime::parse_rfc3339_weak)]
    #[allow(clippy::option_option, reason = "absent, without a time, or with one")]
    retry: Option<Option<SystemTime>>,
    /// Submit workers to a scheduler for the cells that are not done, instead of training here. The
    /// study's table `[launcher]` says what to ask for, such as `launcher.partition=gpu
    /// launcher.time=4h`; with `--dry-run`, only print the script and the command.
    #[arg(long, value_enum, value_name = "SCHEDULER")]
    launcher: Option<Scheduler>,
    /// Train in a child process. If it dies, the cell it was training is recorded as failed, and a
    /// new process continues. Always on for a GPU, where a single kernel error makes a process
    /// unusable.
    #[arg(long)]
    restart: bool,
    /// Results directory; `results/<study>` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: Engine,
    /// Name of the hardware. Cells done on other hardware are trained again here; identical
    /// machines share the work if given the same name.
    #[arg(long, value_name = "NAME")]
    hardware: Option<String>,
    /// Print a summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Print only errors, and warnings about damage.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scheduler {
    Slurm,
}

const EXAMPLES: &str = "\
Examples:
  batchlab sweep configs/study/quick.toml --dry-run
  batchlab sweep configs/study/quick.toml
  batchlab sweep configs/smoke.toml batchers=static-64,dynamic,exact batch_sizes=16,64 repeats=3
  batchlab sweep configs/study/quick.toml --ci-width 2% --time-limit 1h
  batchlab sweep configs/study/quick.toml --launcher slurm launcher.time=4h --dry-run
  batchlab status results/quick
  batchlab report results/quick --html report.html";

/// Leaves the reason for which this process exits to the one that supervises it, if there is one.
pub(crate) use supervise::leave_reason;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let since = supervise::since();
    if arguments.launcher.is_some() || since.is_none() && !arguments.dry_run {
        // The process that trains opens it.
        batchlab_tensor::device::leave_gpus_closed();
    }
    let file = arguments.configuration.read(&arguments.engine.change())?;
    let study = Study::of(&file)?;
    if arguments.ci_width.is_some() && !study.blocks.exclusive {
        let message = "--ci-width needs comparable times; omit blocks.exclusive=false";
        bail!(Usage(message.into()));
    }
    if arguments.launcher == Some(Scheduler::Slurm) {
        return arguments.launch(&study, &file.launcher);
    }
    let n_thread = arguments.engine.start()?;
    let cache = Cache::from_environment();
    let out = arguments.out(&study);
    let device = study.cells.first().map_or("cpu", |cell| cell.info.device.as_str());
    let hardware = arguments.hardware.clone().unwrap_or_else(|| hardware_name(device, n_thread));
    check_name(&hardware)?;
    let claims = claim_settings()?;
    if arguments.dry_run {
        let cells = Cells::of(&out, &hardware, claims);
        let (retry, ci_width) = (arguments.retry.is_some(), arguments.ci_width);
        let asked = Asked { retry, ci_width, time_limit: arguments.time_limit };
        return print(&dry_run::run(&study, &cells, asked, &cache, arguments.json)?);
    }
    let is_on_gpu = study.cells.iter().any(|cell| cell.info.device.starts_with("cuda"));
    if since.is_none() && (arguments.restart || is_on_gpu) {
        let cells = Cells::of(&out, &hardware, claims);
        return supervise::supervise(&cells, arguments.ci_width);
    }
    begin();
    let interrupted = interrupt_flag()?;
    if since.is_some() {
        supervise::end_with_parent(&interrupted);
    }
    let earlier = Earlier::processes();
    let warnings = Warnings::new(earlier.warned.clone().into());
    let observer: Box<dyn SweepObserver> = match (arguments.quiet, shows_bars()) {
        (true, _) => Box::new(Quiet),
        (false, true) => Box::new(Bar::new(&warnings)),
        (false, false) => Box::new(Lines::new(&warnings)),
    };
    let started = since.unwrap_or(earlier.started());
    let job = own_job(&*observer, study.blocks.exclusive && earlier.is_first);
    let options = SweepOptions {
        run: RunOptions {
            out: &out,
            interrupted: &interrupted,
            n_thread,
            cache: &cache,
            ranks: None,
        },
        hardware: &hardware,
        claims,
        started,
        retry_before: arguments.retry.map(|before| before.unwrap_or(started)),
        ends_at: job.left.map(|left| Instant::now() + left),
        is_node_shared: job.is_node_shared,
        ci_width: arguments.ci_width,
        time_limit: arguments.time_limit,
        is_one_cell: true,
        is_first_process: earlier.is_first,
        // Another sweep may take the device between two processes.
        wait: arguments.wait || !earlier.is_first,
    };
    let mut n_done = earlier.n_done;
    let mut done = loop {
        let time_limit = arguments.time_limit.map(|limit| limit.saturating_sub(earlier.elapsed()));
        let done = sweep(&study, &SweepOptions { time_limit, ..options.clone() }, &*observer)?;
        n_done += done.n_done;
        if !done.is_for_next_process {
            break done;
        }
        if !interrupted.load(Ordering::Relaxed) {
            // Returns only if no new process can be started.
            earlier.go_on(n_done, &warnings.borrow());
        }
    };
    // Work of earlier processes of this sweep counts as done by this sweep, not before it.
    done.n_done_before = done.n_done_before.saturating_sub(n_done - done.n_done);
    done.n_done = n_done;
    if done.is_device_lost && since.is_some() {
        return Ok(DEVICE_LOST.into());
    }
    tell(arguments, &study, &done, &warnings.borrow())?;
    Ok(if done.is_interrupted {
        INTERRUPTED.into()
    } else if done.failed.is_empty() && done.diverged.is_empty() && done.unreadable.is_empty() {
        ExitCode::SUCCESS
    } else {
        PARTIAL.into()
    })
}

/// Writes and prints what the sweep has done.
fn tell(arguments: &Arguments, study: &Study, done: &Sweep, warnings: &[String]) -> Result<()> {
    let out = arguments.out(study);
    if done.n_done > 0 || !done.cut_short.is_empty() {
        commands::add(&out, &own_command())?;
    }
    if arguments.json {
        print(&json(&as_json(study, done, &out))?)?;
    }
    if !arguments.quiet {
        for warning in warnings {
            say!("warning: {warning}");
        }
        say!("{}", closing(study, done, &out));
        // There are none if every cell has failed before its first step.
        let runs = out.join("tables/runs").read_dir();
        if runs.is_ok_and(|mut files| files.next().is_some()) {
            let results = Results::read(std::slice::from_ref(&out))?;
            let report = answer(&results, &Questions::default());
            say!("\n{}", verdicts(&report).trim_end());
        }
    }
    Ok(())
}

/// What the scheduler says about the job of this process.
fn own_job(observer: &dyn SweepObserver, is_said: bool) -> OwnJob {
    let note = |text: String| {
        if is_said {
            observer.progress().note(&text);
        }
    };
    let job = OwnJob::ask().unwrap_or_else(|error| {
        note(format!(
            "note: the time that this job has left, and whether it shares its node, are unknown: {error}"
        ));
        OwnJob::default()
    });
    if job.is_node_shared {
        note(
            "note: other jobs may run on this node, so no report will use the times (`sbatch --exclusive` \
             reserves the node)"
                .to_owned(),
        );
    }
    job
}

impl Arguments {
    fn out(&self, study: &Study) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("results").join(&study.name))
    }
}

fn check_name(hardware: &str) -> Result<()> {
    if hardware.trim_matches(['.', ' ']).is_empty() {
        bail!(Usage(format!("--hardware \"{hardware}\" is not a name; use letters and digits")));
    }
    Ok(())
}

pub(crate) fn claim_settings() -> Result<ClaimSettings> {
    let settings = ClaimSettings::from_environment().map_err(|error| Usage(error.to_string()))?;
    Ok(ClaimSettings { job: own_id(), ..settings })
}

fn as_json(study: &Study, done: &Sweep, out: &Path) -> serde_json::Value {
    json!({
        "schema_version": 1,
        "study": study.name,
        "out": out.to_string_lossy(),
        "n_cell": study.cells.len(),
        "n_done": done.n_done,
        "n_done_before": done.n_done_before,
        "n_at_work_elsewhere": done.n_taken,
        "unreadable": done.unreadable,
        "failed": done.failed,
        "diverged": done.diverged,
        "cut_short": done.cut_short,
        "is_interrupted": done.is_interrupted,
        "is_time_up": done.is_time_up,
    })
}

fn closing(study: &Study, done: &Sweep, out: &Path) -> String {
    let (n_cell, out) = (study.cells.len(), shell(out));
    let mut text = format!("{} of {n_cell} cells are done", done.n_done + done.n_done_before);
    if done.n_taken > 0 {
        let _ = write!(text, ", {} running in other processes", done.n_taken);
    }
    if !done.cut_short.is_empty() {
        let _ = write!(text, ", {} with fewer pairs than requested", done.cut_short.len());
    }
    for reason in &done.unreadable {
        let _ = write!(text, "; {reason}");
    }
    if !done.failed.is_empty() {
        let cells = done.failed.join(", ");
        let _ = write!(text, "; runs of {cells} have failed (batchlab status {out} says why)");
    }
    if !done.diverged.is_empty() {
        let cells = done.diverged.join(", ");
        let _ = write!(
            text,
            "; the loss of runs of {cells} was not finite (batchlab status {out} says where)"
        );
    }
    let next = if done.is_interrupted {
        "continue with the same command; the cell that was running starts again".to_owned()
    } else if done.is_time_up {
        "the time is up; the same command continues with the cells that are not done".to_owned()
    } else {
        format!("batchlab report {out} --html report.html")
    };
    format!("{text}\n{next}")
}
