//! The signals that ask a process to end.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Calls a function at every Ctrl-C, SIGTERM or SIGHUP, and at the signals by which schedulers
/// announce the end of a job, SIGUSR1 and SIGUSR2.
pub(crate) fn on_request_to_end(handler: impl FnMut() + Send + 'static) -> Result<()> {
    let handler = Arc::new(Mutex::new(handler));
    let call = move || {
        let mut handler = handler.lock().unwrap_or_else(PoisonError::into_inner);
        (*handler)();
    };
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGUSR1, SIGUSR2};
        let mut signals = signal_hook::iterator::Signals::new([SIGUSR1, SIGUSR2])
            .context("cannot handle SIGUSR1 and SIGUSR2")?;
        let call = call.clone();
        std::thread::spawn(move || signals.forever().for_each(|_| call()));
    }
    ctrlc::set_handler(call).context("cannot handle Ctrl-C")
}
