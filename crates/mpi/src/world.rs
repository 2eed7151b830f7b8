//! The processes started by one `mpirun` or `srun`.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use batchlab_ranks::{Communicator, LostRanks};

use crate::mpi_thread::{Command, MpiThread, Start};

/// Longer than a roll call takes.
const ROLL: Duration = Duration::from_secs(10);
/// Time limit for MPI to end all ranks.
const ABORT: Duration = Duration::from_secs(10);

/// The connection between all ranks. Dropping it, on every rank, finalises MPI.
pub struct World {
    rank: usize,
    timeout: Duration,
    /// Each rank with its process and host.
    names: Vec<String>,
    /// `None` while it is being dropped.
    commands: Option<Sender<Command>>,
    answers: Receiver<Answer>,
    /// Whether a rank is lost; MPI then cannot finalise.
    is_broken: Cell<bool>,
}

/// The sums, or the lost ranks.
pub(crate) type Answer = Result<Vec<f64>, Vec<usize>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A bug: a process joins once.
    #[error("MPI is already in use in this process")]
    Twice,
    /// Not started by an MPI launcher, or with another number of ranks.
    #[error(
        "the configuration asks for {wanted} ranks, but MPI has {found}: start {wanted} processes with \
         `mpirun -n {wanted} batchlab run ...` or `srun -n {wanted} --mpi=pmix batchlab run ...`. If that was \
         done, the launcher belongs to another MPI than this program, which uses {library}"
    )]
    Number {
        /// Number of ranks in the configuration.
        wanted: usize,
        /// Number of ranks started.
        found: usize,
        /// Name and version of the MPI library.
        library: String,
    },
    /// The launcher or another rank hangs.
    #[error("MPI has not started within {} s; is a process of another rank stopped?", .0.as_secs())]
    Slow(Duration),
    /// A rank did not take part in the first operation.
    #[error(transparent)]
    Lost(#[from] LostRanks),
    /// The thread for MPI cannot be created.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

impl World {
    /// Joins the other ranks; called by all `n_rank` of them. A rank that does not answer within
    /// `timeout` is lost.
    ///
    /// # Errors
    /// Another number of ranks, or ranks that do not join.
    pub fn join(n_rank: usize, timeout: Duration) -> Result<Self, JoinError> {
        let (commands, asked) = channel();
        let (answer, answers) = channel();
        let (started, start) = channel();
        thread::Builder::new().name("mpi".to_owned()).spawn(move || {
            // MPI has ended when `answer` is dropped.
            MpiThread::run(n_rank, timeout, &started, &asked, &answer);
        })?;
        let Start { rank, name } = match start.recv_timeout(timeout) {
            Ok(Ok(start)) => start,
            Ok(Err(wrong)) => {
                wait_for_end(&answers, timeout);
                return Err(wrong);
            }
            Err(RecvTimeoutError::Timeout) => return Err(JoinError::Slow(timeout)),
            Err(RecvTimeoutError::Disconnected) => return Err(JoinError::Twice),
        };
        let names = (0..n_rank).map(|rank| format!("rank {rank}")).collect();
        let (commands, is_broken) = (Some(commands), Cell::new(false));
        let mut joined = Self { rank, timeout, names, commands, answers, is_broken };
        let names = joined.gather(name.as_bytes())?;
        let readable = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        joined.names = names.into_iter().map(readable).collect();
        Ok(joined)
    }

    fn ask(&self, command: Command) -> Result<Vec<f64>, LostRanks> {
        self.tell(command);
        let answer = self.answers.recv_timeout(self.timeout + ROLL);
        // Without an answer, MPI itself hangs.
        answer.unwrap_or_else(|_| Err(Vec::new())).map_err(|ranks| {
            self.is_broken.set(true);
            let names = ranks.into_iter().map(|rank| self.names[rank].clone()).collect();
            LostRanks { names, waited: self.timeout }
        })
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The request goes unheard if MPI never started.
            let _ = commands.send(command);
        }
    }
}

/// MPI finalises once all ranks request it; this one waits for a limited time.
fn wait_for_end(answers: &Receiver<Answer>, timeout: Duration) {
    let _ = answers.recv_timeout(timeout);
}

impl Communicator for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn n_rank(&self) -> usize {
        self.names.len()
    }

    fn wait_for_all(&self) -> Result<(), LostRanks> {
        self.ask(Command::WaitForAll).map(drop)
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), LostRanks> {
        values.copy_from_slice(&self.ask(Command::Sum(values.to_vec()))?);
        Ok(())
    }

    fn abort(&self, code: i32) -> ! {
        self.tell(Command::Abort(code));
        thread::sleep(ABORT);
        std::process::exit(code)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.commands = None;
        if !self.is_broken.get() {
            wait_for_end(&self.answers, self.timeout);
        }
    }
}
