//! `batchlab data convert`: fills the cache of loaded data sets.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_run::Cache;
use batchlab_run::cache::{CLOCK_STEP, Keep, VARIABLE};
use batchlab_run::provenance::peak_host_bytes;
use serde_json::json;

use super::bytes;
use super::source::named;
use crate::configuration::Configuration;
use crate::exit::Usage;
use crate::output::Out;

/// Read data sets now and cache them in a form that loads quickly.
///
/// Accepts any number of data set names, data files and configurations.
///
/// Data that are slow to read are cached on first use anyway; this does it ahead of time. A cached
/// file is used only while the program, the description and the sources are unchanged: a file is
/// checked by the SHA-256 of its content, a directory by the names, lengths and modification times
/// of everything in it. `BATCHLAB_CACHE` names the cache directory, or is `off`; the default is in
/// the user's cache directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let cache = Cache::from_environment();
    if cache.folder().is_none() {
        bail!(Usage(format!("there is no cache folder; set {VARIABLE} to one")));
    }
    // The files may have just been written by the previous command.
    std::thread::sleep(2 * CLOCK_STEP);
    let mut all = Vec::new();
    let mut out = Out;
    for source in named(&arguments.configuration)? {
        let read = source.read(&cache, Keep::Always)?;
        let Some(path) = &read.loaded.kept else {
            bail!("{} could not be kept; see the reason above", source.name);
        };
        let n_byte = std::fs::metadata(path).map_or(0, |file| file.len());
        let (n, seconds) = (read.loaded.graphs.n_member(), read.time.as_secs_f64());
        if arguments.json {
            all.push(json!({
                "source": source.name,
                "dataset": source.dataset_name(),
                "file": path.to_string_lossy(),
                "n_byte": n_byte,
                "n_member": n,
                "was_kept_before": read.loaded.from_cache,
                "load_ns": u64::try_from(read.time.as_nanos()).unwrap_or(u64::MAX),
                "peak_host_bytes": peak_host_bytes(),
            }));
        } else {
            let was = if read.loaded.from_cache { "was in the cache, loaded" } else { "read" };
            writeln!(
                out,
                "{}: {n} members, {was} in {seconds:.3} s; {} in {}",
                source.name,
                bytes(n_byte),
                path.display()
            )?;
        }
    }
    if arguments.json {
        let all = json!({ "schema_version": 1, "kept": all });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
