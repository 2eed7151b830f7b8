//! Uses a new process for each cell, so that per-process effects (memory layout, processors on
//! which threads run) contribute to the variation between cells, instead of being the same for all
//! of them.

use std::time::{Duration, SystemTime};

/// Number of cells done by earlier processes of this sweep.
const N_DONE: &str = "BATCHLAB_SWEEP_DONE";
/// Start of the first process, in nanoseconds since 1970.
const STARTED: &str = "BATCHLAB_SWEEP_STARTED";
/// Warnings already given by earlier processes, as a JSON list.
const WARNED: &str = "BATCHLAB_SWEEP_WARNED";

/// State handed over by the earlier processes of a sweep.
pub(super) struct Earlier {
    /// Whether this process is the first.
    pub(super) is_first: bool,
    pub(super) n_done: usize,
    pub(super) warned: Vec<String>,
    started: Duration,
}

impl Earlier {
    pub(super) fn processes() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        Self {
            is_first: number(STARTED).is_none(),
            n_done: number(N_DONE).and_then(|n| n.try_into().ok()).unwrap_or(0),
            warned: std::env::var(WARNED)
                .ok()
                .and_then(|list| serde_json::from_str(&list).ok())
                .unwrap_or_default(),
            started: number(STARTED).map_or_else(now, Duration::from_nanos),
        }
    }

    /// When the first of them started.
    pub(super) fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.started
    }

    /// Time since then.
    pub(super) fn elapsed(&self) -> Duration {
        now().saturating_sub(self.started)
    }

    /// Replaces this process with a new one that keeps its process ID. Returns if that is not
    /// possible.
    pub(super) fn go_on(&self, n_done: usize, warned: &[String]) {
        #[cfg(unix)]
        if let Ok(mut next) = crate::invocation::again() {
            use std::os::unix::process::CommandExt as _;
            next.env(N_DONE, n_done.to_string());
            next.env(STARTED, self.started.as_nanos().to_string());
            next.env(WARNED, serde_json::json!(warned).to_string());
            let _not_possible = next.exec();
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
