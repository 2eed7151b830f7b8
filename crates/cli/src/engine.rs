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
    /// The device as a change of a configuration.
    pub(crate) fn change(&self) -> Vec<String> {
        self.device.iter().map(|device| format!("device={device}")).collect()
    }

    /// Starts the threads, and returns their number.
    pub(crate) fn start(&self) -> Result<usize> {
        // The runs of a cell keep their files open together. The usual soft limit of 1,024 is there for old
        // programs; where it cannot be raised, the file that cannot be opened is an error soon enough.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        start_threads(self.threads.map(usize::from))
    }
}

/// Starts so many threads, or one for each processor, and returns their number. Without it, threads that
/// the system does not give would end the program without a message.
pub(crate) fn start_threads(n: Option<usize>) -> Result<usize> {
    batchlab_tensor::keep_freed();
    // 0: as many as there are processors.
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(n.unwrap_or(0));
    let n_processor = || std::thread::available_parallelism().map_or(1, usize::from);
    if n.unwrap_or_else(n_processor) > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none() {
        // The caller, which trains, is the first of them: else that one would be woken beside it for each
        // piece of work. Where it is the only one, nobody would be left to work for other threads.
        pool = pool.use_current_thread();
    }
    pool.build_global().context(
        "cannot start the engine's threads; use fewer (--threads 1), or raise the limit on processes \
         (`ulimit -u`)",
    )?;
    Ok(rayon::current_num_threads())
}
