//! `batchlab run`: train once.

mod observe;
mod summary;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use batchlab_experiment::{Cache, LoadedConfig, Observer, RunOptions, run as run_once};

use crate::exit::code_of_status;
use crate::say::say;
use observe::{Bar, Lines};

/// Train a model as a configuration says, and write what happened.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file.
    config: PathBuf,
    /// Changes, such as `batcher.batch_size=64`; values are TOML, or plain text.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder for results; `results/<study>` by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Device of the engine, `cpu` or `cuda:0`; stronger than the configuration.
    #[arg(long)]
    device: Option<String>,
    /// Threads of the engine; all processors by default. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut overrides = arguments.overrides.clone();
    overrides.extend(arguments.device.as_ref().map(|device| format!("device={device}")));
    let loaded = LoadedConfig::read(&arguments.config, &overrides, batchlab_builtin::DEFAULTS)?;
    let out = arguments.out.clone().unwrap_or_else(|| {
        let study = &loaded.config.study;
        PathBuf::from("results").join(study)
    });
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().context("cannot start the engine's threads")?;
    }
    let interrupted = interrupt_flag()?;
    let options = RunOptions {
        out: &out,
        interrupted: &interrupted,
        n_thread: rayon::current_num_threads(),
        cache: &Cache::from_environment(),
    };
    let observer: Box<dyn Observer> = if arguments.quiet {
        Box::new(())
    } else if std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    {
        Box::new(Bar::new())
    } else {
        Box::new(Lines::new())
    };
    let summary = run_once(&loaded, options, &*observer)?;
    if arguments.json {
        let text = summary::as_json(&summary)?;
        std::io::stdout().write_all(text.as_bytes())?;
    }
    if !arguments.quiet {
        say!("{}", summary::as_text(&summary).trim_end());
    }
    if let (true, Some(reason)) = (arguments.quiet, &summary.reason) {
        say!("{reason}");
    }
    Ok(code_of_status(summary.status))
}

/// The first Ctrl-C ends the run after the current step, the second one at once.
fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say!("\ninterrupted: publishing what there is; once more to stop at once and lose it");
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(flag)
}
