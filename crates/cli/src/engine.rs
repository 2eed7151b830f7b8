//! Options of commands that train or evaluate.

use anyhow::{Context, Result};

/// Device and threads.
#[derive(Debug, clap::Args)]
pub(crate) struct Engine {
    /// Device of the engine, `cpu` or `cuda:0`; replaces that of the configuration.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Threads of the engine; all processors by default. Results do not depend on it, times do.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Engine {
    /// Changes of a configuration, with the device as the last one.
    pub(crate) fn overrides(&self, given: &[String]) -> Vec<String> {
        let device = self.device.as_ref().map(|device| format!("device={device}"));
        given.iter().cloned().chain(device).collect()
    }

    /// Starts the threads, and returns their number.
    pub(crate) fn start(&self) -> Result<usize> {
        if let Some(n) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n.into());
            pool.build_global().context("cannot start the engine's threads")?;
        }
        Ok(rayon::current_num_threads())
    }
}
