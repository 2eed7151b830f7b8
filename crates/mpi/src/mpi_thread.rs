//! The thread that talks to MPI.
//!
//! Another rank may hang at any time. A call that waits for it then never returns, and MPI keeps
//! its buffers. This thread is left behind with them, while the rest of the program continues.

use std::sync::mpsc::{Receiver, Sender};
use std::thread::{park, sleep, yield_now};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::{library_version, processor_name};
use mpi::request::{Request, Scope, StaticScope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Destination as _, Source as _};

use crate::world::{Answer, JoinError};

/// Tag of the roll-call messages, which show which ranks still respond.
const ROLL_CALL: i32 = 7;
/// Time limit for answers to a roll call.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// After waiting this long, a rank sleeps between polls, to free its processor.
const SPIN: Duration = Duration::from_millis(20);
/// Length of such a sleep.
const PAUSE: Duration = Duration::from_micros(200);

/// What all ranks do in the same order.
pub(crate) enum Command {
    WaitForAll,
    Sum(Vec<f64>),
    /// Not collective: a single rank can request it.
    Abort(i32),
}

/// MPI has started.
pub(crate) struct Start {
    pub(crate) rank: usize,
    /// This rank, with its process and host.
    pub(crate) name: String,
}

pub(crate) struct MpiThread<'a> {
    all: SimpleCommunicator,
    rank: usize,
    n_rank: usize,
    timeout: Duration,
    /// Number of collective operations so far. It is the same on all ranks and identifies a roll
    /// call.
    n_collective: u64,
    asked: &'a Receiver<Command>,
    answer: &'a Sender<Answer>,
}

/// The ranks that have answered during a collective operation.
struct Roll {
    collective: u64,
    has_answered: Vec<bool>,
    is_called: bool,
}

impl MpiThread<'_> {
    /// Initialises MPI, serves requests until the channel closes, and finalises MPI.
    pub(crate) fn run(
        n_rank: usize,
        timeout: Duration,
        started: &Sender<Result<Start, JoinError>>,
        asked: &Receiver<Command>,
        answer: &Sender<Answer>,
    ) {
        // Only this thread of the process calls MPI.
        let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
            return;
        };
        // Dropped before the universe, which finalises MPI.
        let all = universe.world();
        let (rank, found) = (number(all.rank()), number(all.size()));
        let start = if found == n_rank {
            let host = processor_name().unwrap_or_default();
            let name = format!("rank {rank} (process {} on {host})", std::process::id());
            Ok(Start { rank, name })
        } else {
            let library = library_version().unwrap_or_default();
            let library = library.split(',').next().unwrap_or_default().trim().to_owned();
            Err(JoinError::Number { wanted: n_rank, found, library })
        };
        let is_right = start.is_ok();
        // The receiver is gone if this took too long.
        if started.send(start).is_ok() && is_right {
            let mut thread =
                MpiThread { all, rank, n_rank, timeout, n_collective: 0, asked, answer };
            thread.answer_all();
        }
    }

    fn answer_all(&mut self) {
        while let Ok(command) = self.asked.recv() {
            let sums = match command {
                Command::WaitForAll => {
                    let request = self.all.immediate_barrier();
                    self.complete(request);
                    Vec::new()
                }
                Command::Sum(own) => self.sum(&own),
                Command::Abort(code) => self.all.abort(code),
            };
            if self.answer.send(Ok(sums)).is_err() {
                return;
            }
        }
    }

    fn sum(&mut self, own: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; own.len()];
        scope(|scope| {
            let into = &mut sums[..];
            let request =
                self.all.immediate_all_reduce_into(scope, own, into, SystemOperation::sum());
            self.complete(request);
        });
        sums
    }

    /// Waits for all ranks to take part. After the timeout, the waiting ranks find out which ones
    /// are missing, and this thread never returns.
    fn complete<'a, D: ?Sized, S: Scope<'a>>(&mut self, request: Request<'a, D, S>) {
        let begin = Instant::now();
        let mut has_answered = vec![false; self.n_rank];
        has_answered[self.rank] = true;
        self.n_collective += 1;
        let mut roll = Roll { collective: self.n_collective, has_answered, is_called: false };
        let mut pending = request;
        loop {
            pending = match pending.test() {
                Ok(_) => break,
                Err(pending) => pending,
            };
            let waited = begin.elapsed();
            if waited <= SPIN {
                yield_now();
                continue;
            }
            self.hear(&mut roll);
            if waited > self.timeout {
                self.call(&mut roll);
            }
            if waited > self.timeout + ANSWER_TIME {
                self.lose(&roll);
            }
            sleep(PAUSE);
        }
        // Roll calls of ranks that were waiting for this one.
        while self.heard().is_some() {}
    }

    /// Announces this rank to all others, once.
    fn call(&self, roll: &mut Roll) {
        if std::mem::replace(&mut roll.is_called, true) {
            return;
        }
        for rank in (0..self.n_rank).filter(|&rank| rank != self.rank) {
            let other = self.all.process_at_rank(rank as i32);
            // The send is never completed, because its receiver may be gone; its buffer must
            // therefore stay alive.
            let here: &'static u64 = Box::leak(Box::new(roll.collective));
            std::mem::forget(other.immediate_send_with_tag(StaticScope, here, ROLL_CALL));
        }
    }

    /// Records the ranks that announce themselves, and answers them.
    fn hear(&self, roll: &mut Roll) {
        while let Some((rank, collective)) = self.heard() {
            // A rank may still wait in the previous operation, or already in the next one, if
            // another rank stopped after contributing everything that others needed. Older calls
            // belong to operations that completed after all.
            if collective.abs_diff(roll.collective) <= 1 {
                roll.has_answered[rank] = true;
                self.call(roll);
            }
        }
    }

    /// A received roll call: the rank, and the number of its operation.
    fn heard(&self) -> Option<(usize, u64)> {
        let anybody = self.all.any_process();
        let (message, status) = anybody.immediate_matched_probe_with_tag(ROLL_CALL)?;
        let mut collective = 0_u64;
        message.matched_receive_into(&mut collective);
        Some((number(status.source_rank()), collective))
    }

    /// Reports the ranks that have not answered, then ends all ranks on request.
    fn lose(&self, roll: &Roll) -> ! {
        let silent = (0..self.n_rank).filter(|&rank| !roll.has_answered[rank]).collect();
        let _ = self.answer.send(Err(silent));
        while let Ok(command) = self.asked.recv() {
            if let Command::Abort(code) = command {
                self.all.abort(code);
            }
        }
        // This process exits on its own.
        loop {
            park();
        }
    }
}

#[allow(clippy::cast_sign_loss, reason = "ranks and their number are not negative")]
fn number(rank: i32) -> usize {
    rank as usize
}
