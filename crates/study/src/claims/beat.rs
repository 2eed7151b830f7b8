//! Heartbeat thread of a process.

use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use batchlab_files::atomic_write_unsynced;

/// Increments a counter in a file until dropped.
#[derive(Debug)]
pub(crate) struct Beat {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Beat {
    pub(super) fn start(path: &Path, pause: Duration) -> io::Result<Self> {
        atomic_write_unsynced(path, b"0")?;
        let path = path.to_owned();
        let (stop, stopped) = channel::<()>();
        let beat = move || {
            let mut counter = 0_u64;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                counter += 1;
                // If the disk fails for longer than the expiry time, others consider the claim
                // expired.
                let _ = atomic_write_unsynced(&path, counter.to_string().as_bytes());
            }
        };
        Ok(Self { thread: Some((stop, Builder::new().name("beat".into()).spawn(beat)?)) })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}
