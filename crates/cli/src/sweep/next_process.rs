//! A process for each cell: what is peculiar to a process (where its memory lies, on which processors its threads
//! run) is then part of what cells differ by, and not the same for all of them.

use std::time::{Duration, SystemTime};

/// Cells that earlier processes of this sweep have done.
const N_DONE: &str = "BATCHLAB_SWEEP_DONE";
/// When the first one began, in nanoseconds since 1970.
const STARTED: &str = "BATCHLAB_SWEEP_STARTED";

/// The earlier processes of a sweep.
pub(super) struct Earlier {
    pub(super) n_done: usize,
    started: Duration,
}

impl Earlier {
    pub(super) fn processes() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        Self {
            n_done: number(N_DONE).and_then(|n| n.try_into().ok()).unwrap_or(0),
            started: number(STARTED).map_or_else(now, Duration::from_nanos),
        }
    }

    /// Since the first of them began.
    pub(super) fn elapsed(&self) -> Duration {
        now().saturating_sub(self.started)
    }

    /// Goes on in a new process, which has the number of this one. It returns where that is not possible.
    pub(super) fn go_on(&self, n_done: usize) {
        #[cfg(unix)]
        if let Ok(program) = std::env::current_exe() {
            use std::os::unix::process::CommandExt as _;
            let mut next = std::process::Command::new(program);
            next.args(std::env::args_os().skip(1)).env(N_DONE, n_done.to_string());
            let _not_possible = next.env(STARTED, self.started.as_nanos().to_string()).exec();
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
