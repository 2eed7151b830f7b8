//! `batchlab run`: one training.

pub(crate) mod observe;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use batchlab_config::LoadedConfig;
use batchlab_core::progress::Progress;
use batchlab_core::quote::shell;
use batchlab_core::record::EvalRecord;
use batchlab_run::{
    Cache, FinishedRun, Observer, RunHeader, RunOptions, Status, resume, run as run_once,
};

use crate::engine::Engine;
use crate::exit::{INTERRUPTED, Usage, code_of_status};
use crate::output::print;
use crate::progress::shows_bars;
use crate::say::say;
use observe::{Bar, Lines};

/// Train a model as a configuration says, and record its steps, times and errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file.
    #[arg(required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Changes, such as `batcher.batch_size=64`; values are TOML, or plain text.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Continue this run, `results/<study>/runs/<run_id>` or only its identifier, from its newest
    /// checkpoint. A configuration given beside it must be the same.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Folder for results; `results/<study>` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: Engine,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let task = Task::of(arguments)?;
    let n_thread = arguments.engine.start()?;
    let interrupted = interrupt_flag()?;
    let options = RunOptions {
        out: &task.out,
        interrupted: &interrupted,
        n_thread,
        cache: &Cache::from_environment(),
    };
    let observer: Box<dyn Observer> = if arguments.quiet {
        Box::new(())
    } else if shows_bars() {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::new())
    };
    let finished = task.run(options, &Beginning(&*observer))?;
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
    /// With `resume`, the configuration is only compared.
    loaded: Option<LoadedConfig>,
    resume: Option<String>,
    out: PathBuf,
}

impl Task {
    fn of(arguments: &Arguments) -> Result<Self> {
        let overrides = arguments.engine.overrides(&arguments.overrides);
        let read = |path: &Path| LoadedConfig::read(path, &overrides, batchlab_builtin::DEFAULTS);
        let loaded = arguments.config.as_deref().map(read).transpose()?;
        let study = loaded.as_ref().map(|loaded| Path::new("results").join(&loaded.config.study));
        let out = arguments.out.clone().or(study);
        let (resume, out) = match (&arguments.resume, out) {
            (Some(run), out) => {
                let (run_id, out) = find_run(run, out)?;
                (Some(run_id), out)
            }
            (None, Some(out)) => (None, out),
            (None, None) => bail!(Usage("give a configuration file, or --resume".into())),
        };
        if resume.is_some() && loaded.is_none() && arguments.engine.device.is_some() {
            bail!(Usage("a run continues on the device that it began on; omit --device".into()));
        }
        Ok(Self { loaded, resume, out })
    }

    fn run(&self, options: RunOptions<'_>, observer: &dyn Observer) -> Result<FinishedRun> {
        Ok(match (&self.resume, &self.loaded) {
            (Some(run_id), given) => {
                resume(run_id, given.as_ref(), batchlab_builtin::DEFAULTS, options, observer)?
            }
            (None, Some(loaded)) => run_once(loaded, options, observer)?,
            (None, None) => bail!(Usage("give a configuration file, or --resume".into())),
        })
    }
}

/// The identifier of a run and the folder of its study, from `<study>/runs/<run_id>` or from the
/// identifier alone.
pub(crate) fn find_run(run: &Path, out: Option<PathBuf>) -> Result<(String, PathBuf)> {
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

/// Whether there is something to save.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C ends what is done in good order.
pub(crate) fn begin() {
    HAS_BEGUN.store(true, Ordering::Relaxed);
}

/// Notices when training begins.
struct Beginning<'a>(&'a dyn Observer);

impl Observer for Beginning<'_> {
    fn progress(&self) -> Arc<dyn Progress> {
        self.0.progress()
    }
    fn started(&self, run: &RunHeader) {
        begin();
        self.0.started(run);
    }
    fn stepped(&self, step: u64, loss: f64) {
        self.0.stepped(step, loss);
    }
    fn evaluated(&self, eval: &EvalRecord) {
        self.0.evaluated(eval);
    }
    fn ended(&self) {
        self.0.ended();
    }
}

/// The first Ctrl-C ends the run after the current step, the second one at once; as does the first while
/// data are read.
pub(crate) fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if !HAS_BEGUN.load(Ordering::Relaxed) {
            say!("\ninterrupted while data were read; nothing was recorded");
            std::process::exit(INTERRUPTED.into());
        }
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say!("\ninterrupted: saving the state and publishing the results so far; press Ctrl-C again to stop at once");
    })
    .context("cannot handle Ctrl-C")?;
    Ok(flag)
}
