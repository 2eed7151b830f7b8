//! `batchlab run`: trains once.

pub(crate) mod observe;
mod ranks;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use batchlab_config::{LoadedConfig, Ranks};
use batchlab_core::quote::shell;
use batchlab_ranks::Communicator;
use batchlab_run::{
    Cache, FinishedRun, Observer, RunHeader, RunOptions, Status, extend, resume, run as run_once,
};

use crate::configuration::{Configuration, DEFAULTS};
use crate::engine::Engine;
use crate::exit::{INTERRUPTED, Usage, code_of_status};
use crate::output::print;
use crate::progress::{Quiet, shows_bars};
use crate::say::say;
use crate::signals::on_request_to_end;
use observe::{Bar, Lines};
use ranks::Place;

/// Train a model as configured, and record its steps, times and errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Resume this run from its newest checkpoint: `results/<study>/runs/<run_id>`, an ID, or
    /// `results/<study>` for the newest run there. If a configuration is given as well, it must be
    /// the same. Overrides alone, such as `training.steps=400`, start a new run that continues from
    /// that checkpoint.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Results directory; `results/<study>` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: Engine,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Print only errors, and warnings about damage.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let task = Task::of(arguments)?;
    match ranks::place(task.ranks(), arguments.engine.n_thread())? {
        Place::Alone => train(&task, arguments, None),
        Place::Ended(code) => Ok(code),
        Place::Rank(others) => ranks::train(&*others, || train(&task, arguments, Some(&*others))),
    }
}

fn train(
    task: &Task,
    arguments: &Arguments,
    others: Option<&dyn Communicator>,
) -> Result<ExitCode> {
    // Of several ranks, the first one speaks.
    let is_first = others.is_none_or(|others| others.rank() == 0);
    SPEAKS.store(is_first, Ordering::Relaxed);
    let is_quiet = arguments.quiet || !is_first;
    let n_thread = arguments.engine.start()?;
    let interrupted = interrupt_flag()?;
    let options = RunOptions {
        out: &task.out,
        interrupted: &interrupted,
        n_thread,
        cache: &Cache::from_environment(),
        ranks: others,
    };
    let observer: Box<dyn Observer> = if is_quiet {
        Box::new(Quiet)
    } else if shows_bars() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::new())
    };
    let finished = task.run(options, &Beginning(&*observer))?;
    if !is_first {
        return Ok(code_of_status(finished.status));
    }
    if arguments.json {
        print(&summary::as_json(&finished)?)?;
    }
    if !arguments.quiet {
        say!("{}", summary::as_text(&finished).trim_end());
    }
    if finished.status == Status::Interrupted && !arguments.quiet {
        let folder = task.out.join("runs").join(&finished.header.run_id);
        say!("continue with: batchlab run --resume {}", shell(&folder));
    }
    if let (true, Some(reason)) = (arguments.quiet, &finished.summary.run.error) {
        say!("{reason}");
    }
    Ok(code_of_status(finished.status))
}

struct Task {
    what: What,
    out: PathBuf,
}

enum What {
    Run(LoadedConfig),
    /// The configuration is only compared with that of the run.
    Resume(String, Option<LoadedConfig>),
    Extend(String, LoadedConfig),
}

impl Task {
    fn of(arguments: &Arguments) -> Result<Self> {
        let Arguments { configuration, engine, .. } = arguments;
        let read = || Ok::<_, anyhow::Error>(configuration.read(&engine.change())?.only_run()?);
        let folder_of = |loaded: &LoadedConfig| {
            let of_study = || Path::new("results").join(&loaded.config.study);
            arguments.out.clone().unwrap_or_else(of_study)
        };
        let Some(run) = &arguments.resume else {
            let loaded = read()?;
            let out = folder_of(&loaded);
            return Ok(Self { what: What::Run(loaded), out });
        };
        if !configuration.is_given() {
            if engine.device.is_some() {
                bail!(Usage(
                    "a run continues on the device that it began on; omit --device".into()
                ));
            }
            let (run_id, out) = find_run(run, arguments.out.clone())?;
            return Ok(Self { what: What::Resume(run_id, None), out });
        }
        let Some(changes) = configuration.changes_alone() else {
            let loaded = read()?;
            let (run_id, out) = find_run(run, Some(folder_of(&loaded)))?;
            return Ok(Self { what: What::Resume(run_id, Some(loaded)), out });
        };
        let (run_id, out) = find_run(run, arguments.out.clone())?;
        let path = out.join("runs").join(&run_id).join("config.toml");
        if !path.is_file() {
            bail!(Usage(format!("there is no run \"{run_id}\" in {}", out.display())));
        }
        let changes: Vec<String> = changes.iter().cloned().chain(engine.change()).collect();
        let loaded = LoadedConfig::read(&path, &changes, DEFAULTS)?;
        Ok(Self { what: What::Extend(run_id, loaded), out })
    }

    /// The key `ranks` of the configuration.
    fn ranks(&self) -> Option<Ranks> {
        match &self.what {
            What::Run(loaded) | What::Extend(_, loaded) | What::Resume(_, Some(loaded)) => {
                loaded.config.ranks
            }
            What::Resume(run_id, None) => {
                let path = self.out.join("runs").join(run_id).join("config.toml");
                // What is wrong with the run is said when it is resumed.
                LoadedConfig::read(&path, &[], DEFAULTS).ok()?.config.ranks
            }
        }
    }

    fn run(&self, options: RunOptions<'_>, observer: &dyn Observer) -> Result<FinishedRun> {
        Ok(match &self.what {
            What::Run(loaded) => run_once(loaded, options, observer)?,
            What::Resume(run_id, given) => {
                resume(run_id, given.as_ref(), DEFAULTS, options, observer)?
            }
            What::Extend(run_id, loaded) => extend(run_id, loaded, options, observer)?,
        })
    }
}

/// The newest run in the directory of a study; `None` for any other directory.
pub(crate) fn newest_run(folder: &Path) -> Option<String> {
    // IDs begin with the second in which a run started; within a second, the file's time decides.
    const SECOND: usize = "20260101-120000".len();
    let runs = std::fs::read_dir(folder.join("runs")).ok()?.flatten();
    let begun = runs.filter_map(|run| {
        let written = run.path().join("config.toml").metadata().and_then(|file| file.modified());
        let name = run.file_name().into_string().ok()?;
        Some((name.chars().take(SECOND).collect::<String>(), written.ok(), name))
    });
    begun.max().map(|(_, _, name)| name)
}

/// The ID of a run and the directory of its study, from `<study>/runs/<run_id>`, from an ID, or
/// from `<study>` for its newest run.
pub(crate) fn find_run(run: &Path, out: Option<PathBuf>) -> Result<(String, PathBuf)> {
    if let Some(newest) = newest_run(run) {
        return Ok((newest, run.to_owned()));
    }
    let run_id = run.file_name().and_then(|name| name.to_str());
    let run_id =
        run_id.with_context(|| format!("{} does not name a run", run.display()))?.to_owned();
    if let Some(runs) = run.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        if runs.file_name().is_none_or(|name| name != "runs") {
            let message =
                "is not the folder of a run; give <study>/runs/<run_id>, or the run_id alone";
            bail!(Usage(format!("{} {message}", run.display())));
        }
        let study = runs.parent().filter(|folder| !folder.as_os_str().is_empty());
        return Ok((run_id, study.unwrap_or(Path::new(".")).to_owned()));
    }
    if let Some(out) = out {
        return Ok((run_id, out));
    }
    let studies = std::fs::read_dir("results").into_iter().flatten().flatten();
    let mut found = studies.map(|study| study.path()).filter(|s| s.join("runs").join(run).is_dir());
    match found.next() {
        Some(out) => Ok((run_id, out)),
        None => bail!(Usage(format!(
            "no study in results/ has a run \"{run_id}\"; give its folder with --out"
        ))),
    }
}

/// Whether there is anything to save.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C ends the work gracefully.
pub(crate) fn begin() {
    HAS_BEGUN.store(true, Ordering::Relaxed);
}

/// Whether this process says what happens to the run.
static SPEAKS: AtomicBool = AtomicBool::new(true);

/// Detects the start of training.
struct Beginning<'a>(&'a dyn Observer);

impl Observer for Beginning<'_> {
    fn inner(&self) -> Option<&dyn Observer> {
        Some(self.0)
    }
    fn started(&self, run: &RunHeader) {
        begin();
        self.0.started(run);
    }
}

/// Signals closer together than this count as one: `timeout -s INT` signals both the process and
/// its group.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// The first Ctrl-C ends the run after the current step, the second one at once. While data are
/// being read, the first one already ends it at once.
pub(crate) fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&flag);
    let mut first = None;
    on_request_to_end(move || {
        if !HAS_BEGUN.load(Ordering::Relaxed) {
            say!("\ninterrupted while data were read; nothing was recorded");
            std::process::exit(INTERRUPTED.into());
        }
        if handler.swap(true, Ordering::Relaxed) {
            if first.is_some_and(|first: Instant| first.elapsed() < ONE_SIGNAL) {
                return;
            }
            std::process::exit(130);
        }
        first = Some(Instant::now());
        if SPEAKS.load(Ordering::Relaxed) {
            say!(
                "\ninterrupted: saving the state and publishing the results so far; press Ctrl-C again to stop at once"
            );
        }
    })?;
    Ok(flag)
}
