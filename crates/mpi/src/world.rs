//! All processes that one `mpirun` or `srun` has started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use batchlab_ranks::{Communicator, LostRanks};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::{Universe, library_version, processor_name};
use mpi::request::StaticScope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Destination as _, Source as _};

/// Tag of the messages by which ranks find out which of them still answer.
const ROLL_CALL: i32 = 7;
/// How long others have to answer the roll call.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// A rank that waits for longer sleeps between two looks, and leaves the processor to others.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long.
const NAP: Duration = Duration::from_micros(200);
/// The connection between all ranks. To drop it, on all ranks alike, ends MPI.
pub struct World {
    // Declared first, and so dropped before MPI ends.
    all: SimpleCommunicator,
    _universe: Universe,
    rank: usize,
    n_rank: usize,
    timeout: Duration,
    /// Each rank with its process and host.
    names: Vec<String>,
    /// Barriers so far, the same on all ranks: it tells their roll calls apart.
    n_barrier: AtomicU64,
}

/// Who has answered at a barrier.
struct Roll {
    barrier: u64,
    has_answered: Vec<bool>,
    is_called: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A bug: a process joins once.
    #[error("MPI is already in use in this process")]
    Twice,
    /// Started by something else, or with another number.
    #[error(
        "the configuration asks for {wanted} ranks, but MPI has {found}: start {wanted} processes with \
         `mpirun -n {wanted} batchlab run ...` or `srun -n {wanted} --mpi=pmix batchlab run ...`. If that was \
         done, the launcher belongs to another MPI than this program, which uses {library}"
    )]
    Number {
        /// In the configuration.
        wanted: usize,
        /// In the world.
        found: usize,
        /// Name and version of the MPI library.
        library: String,
    },
    /// A rank did not come to the first meeting.
    #[error(transparent)]
    Lost(#[from] LostRanks),
}

impl World {
    /// Joins the other ranks; all `n_rank` of them do so. A rank that has not answered for `timeout` is
    /// lost.
    ///
    /// # Errors
    /// Another number of ranks.
    pub fn join(n_rank: usize, timeout: Duration) -> Result<Self, JoinError> {
        let joined = mpi::initialize_with_threading(Threading::Funneled);
        let (universe, _) = joined.ok_or(JoinError::Twice)?;
        let world = universe.world();
        let (rank, found) = (number(world.rank()), number(world.size()));
        if found != n_rank {
            let library = library_version().unwrap_or_default();
            let library = library.split(',').next().unwrap_or_default().trim().to_owned();
            return Err(JoinError::Number { wanted: n_rank, found, library });
        }
        let host = processor_name().unwrap_or_default();
        let own = format!("rank {rank} (process {} on {host})", std::process::id());
        let names = (0..n_rank).map(|rank| format!("rank {rank}")).collect();
        let mut joined = Self {
            all: world,
            _universe: universe,
            rank,
            n_rank,
            timeout,
            names,
            n_barrier: AtomicU64::new(0),
        };
        let names = joined.gather(own.as_bytes())?;
        let readable = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        joined.names = names.into_iter().map(readable).collect();
        Ok(joined)
    }

    /// Tells every rank that this one is here, once.
    fn call(&self, roll: &mut Roll) {
        if std::mem::replace(&mut roll.is_called, true) {
            return;
        }
        for rank in (0..self.n_rank).filter(|&rank| rank != self.rank) {
            let other = self.all.process_at_rank(rank as i32);
            // Nobody waits for it to arrive, as it may be for a rank that is no more, so its buffer
            // must stay.
            let here: &'static u64 = Box::leak(Box::new(roll.barrier));
            std::mem::forget(other.immediate_send_with_tag(StaticScope, here, ROLL_CALL));
        }
    }

    /// Takes note of the ranks that are here, and answers them.
    fn hear(&self, roll: &mut Roll) {
        let anybody = self.all.any_process();
        while let Some((message, status)) = anybody.immediate_matched_probe_with_tag(ROLL_CALL) {
            let mut barrier = 0_u64;
            message.matched_receive_into(&mut barrier);
            // Others are left from a roll call at which everybody came after all.
            if barrier == roll.barrier {
                roll.has_answered[number(status.source_rank())] = true;
                self.call(roll);
            }
        }
    }

    /// The ranks that have not answered.
    fn lost(&self, roll: &Roll) -> LostRanks {
        let silent = roll.has_answered.iter().zip(&self.names).filter(|(answered, _)| !**answered);
        let names = silent.map(|(_, name)| name.clone()).collect();
        LostRanks { names, waited: self.timeout }
    }

    /// Waits until all ranks have come, but not for ever: after the timeout, those that wait find out
    /// who does not.
    fn barrier(&self) -> Result<(), LostRanks> {
        let begin = Instant::now();
        let mut has_answered = vec![false; self.n_rank];
        has_answered[self.rank] = true;
        let barrier = self.n_barrier.fetch_add(1, Ordering::Relaxed);
        let mut roll = Roll { barrier, has_answered, is_called: false };
        let mut pending = Some(self.all.immediate_barrier());
        loop {
            pending = pending.and_then(|request| request.test().err());
            if pending.is_none() {
                return Ok(());
            }
            let waited = begin.elapsed();
            if waited <= PATIENCE {
                yield_now();
                continue;
            }
            self.hear(&mut roll);
            if waited > self.timeout {
                self.call(&mut roll);
            }
            if waited > self.timeout + ANSWER_TIME {
                // The others never come to this barrier.
                std::mem::forget(pending);
                return Err(self.lost(&roll));
            }
            sleep(NAP);
        }
    }
}

impl Communicator for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn n_rank(&self) -> usize {
        self.n_rank
    }

    /// Two barriers: a rank that stops while it waits for another has already come to the first one.
    fn wait_for_all(&self) -> Result<(), LostRanks> {
        self.barrier()?;
        self.barrier()
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), LostRanks> {
        let own = values.to_vec();
        self.all.all_reduce_into(&own[..], values, SystemOperation::sum());
        Ok(())
    }

    fn abort(&self, code: i32) -> ! {
        self.all.abort(code)
    }
}

#[allow(clippy::cast_sign_loss, reason = "ranks and their number are not negative")]
fn number(rank: i32) -> usize {
    rank as usize
}
