//! Options of commands that train or evaluate.

use anyhow::{Context, Result};

/// Device and threads.
#[derive(Debug, clap::Args)]
pub(crate) struct Engine {
    /// Device of the engine, `cpu` or `cuda:0`; overrides the configuration.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Number of engine threads; all processors by default. Affects times, but not results.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Engine {
    /// The device as an override of a configuration.
    pub(crate) fn change(&self) -> Vec<String> {
        self.device.iter().map(|device| format!("device={device}")).collect()
    }

    /// The options of this type for another process; `n_thread` threads unless it is given here.
    pub(crate) fn words(&self, n_thread: Option<u32>) -> Vec<String> {
        let n_thread = self.threads.map(u32::from).or(n_thread);
        let words =
            [("--device", self.device.clone()), ("--threads", n_thread.map(|n| n.to_string()))];
        let words =
            words.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value?]));
        words.flatten().collect()
    }

    /// The number of threads, if one was given.
    pub(crate) fn n_thread(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// Starts the threads and returns their number.
    pub(crate) fn start(&self) -> Result<usize> {
        // The runs of a cell keep their files open simultaneously. The usual soft limit of 1,024
        // exists for old programs. If it cannot be raised, opening a file too many fails soon
        // enough.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        start_threads(self.n_thread())
    }
}

/// Starts the given number of threads, or one per processor, and returns their number. Without
/// this, a failure to spawn threads would end the program without a message.
pub(crate) fn start_threads(n: Option<usize>) -> Result<usize> {
    batchlab_tensor::keep_freed();
    // 0: one per processor.
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(n.unwrap_or(0));
    let n_processor = || std::thread::available_parallelism().map_or(1, usize::from);
    if n.unwrap_or_else(n_processor) > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none() {
        // The calling thread, which trains, becomes the first worker; otherwise another thread
        // would be woken for each piece of work. Not if it is the only worker, as it could not
        // serve other threads.
        pool = pool.use_current_thread();
    }
    pool.build_global().context(
        "cannot start the engine's threads; use fewer (--threads 1), or raise the limit on processes \
         (`ulimit -u`)",
    )?;
    Ok(rayon::current_num_threads())
}
