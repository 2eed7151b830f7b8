//! `batchlab run` on several ranks: starts them, or joins those started by a launcher.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use batchlab_config::Ranks;
use batchlab_ranks::{Communicator, LostRanks};
use batchlab_run::RunError;
use rustix::process::{Pid, Signal, kill_process};

use crate::exit::{self, Usage};
use crate::invocation;
use crate::say::say;
use crate::signals::on_request_to_end;

/// Seconds after a request to end at which the launcher kills remaining ranks: enough for a step
/// and a checkpoint. It always waits this long.
const TIME_TO_SAVE: &str = "5";
/// When a rank is lost, the first one saves the state and then ends all of them. If it is itself
/// the lost one, another does so after this time.
const TIME_OF_THE_FIRST: Duration = Duration::from_secs(30);
/// Set by `mpirun` for each process.
const WORLD_SIZE: &str = "OMPI_COMM_WORLD_SIZE";

/// The role of this process.
pub(super) enum Place {
    /// There is one rank.
    Alone,
    /// The ranks were started by this process, and have ended.
    Ended(ExitCode),
    Rank(Box<dyn Communicator>),
}

/// Starts the ranks, or joins them. `threads` is the requested number of threads.
pub(super) fn place(ranks: Option<Ranks>, threads: Option<usize>) -> Result<Place> {
    let n_process: Option<u32> = std::env::var(WORLD_SIZE).ok().and_then(|n| n.parse().ok());
    let Some(ranks) = ranks.filter(|ranks| ranks.n.get() > 1) else {
        if let Some(n @ 2..) = n_process {
            bail!(Usage(format!(
                "mpirun has started {n} processes, but the configuration has one rank: each would do the \
                 same run; add ranks={n}, or start one process"
            )));
        }
        return Ok(Place::Alone);
    };
    if ranks.is_local && n_process.is_none() && cfg!(feature = "mpi") {
        return Ok(Place::Ended(launch(ranks, threads)?));
    }
    Ok(Place::Rank(join(ranks)?))
}

#[cfg(feature = "mpi")]
fn join(ranks: Ranks) -> Result<Box<dyn Communicator>> {
    use batchlab_mpi::{JoinError, World};

    let timeout = Duration::from_secs(ranks.timeout.get().into());
    match World::join(ranks.n.get() as usize, timeout) {
        Ok(world) => Ok(Box::new(world)),
        Err(error @ JoinError::Number { .. }) => Err(Usage(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(feature = "mpi"))]
fn join(ranks: Ranks) -> Result<Box<dyn Communicator>> {
    bail!(Usage(format!(
        "{} ranks need MPI, without which this program was built: install Open MPI and clang (on Debian: \
         apt-get install libopenmpi-dev libclang-dev) and build it with `cargo build --release --features mpi`",
        ranks.n
    )))
}

/// Starts the ranks on this machine with the same command, and waits for them.
fn launch(ranks: Ranks, threads: Option<usize>) -> Result<ExitCode> {
    let n = ranks.n.get();
    let again = invocation::again().context("cannot find this program")?;
    let mut command = Command::new("mpirun");
    // The number of threads decides how the processors are shared.
    command.args(["-n", &n.to_string(), "--oversubscribe", "--bind-to", "none"]);
    command.args(["--mca", "odls_base_sigkill_timeout", TIME_TO_SAVE]);
    command.arg(again.get_program()).args(again.get_args());
    if threads.is_none() {
        let n_processor = std::thread::available_parallelism().map_or(1, usize::from);
        command.args(["--threads", &(n_processor / n as usize).max(1).to_string()]);
    }
    // Only this process receives Ctrl-C. It is passed on once, because a second one would kill the
    // ranks.
    command.process_group(0).stdin(Stdio::null());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Usage(format!(
            "ranks = {{ local = {n} }} starts the ranks with mpirun, which is not in PATH (on Debian: apt-get \
             install openmpi-bin)"
        ))
        .into(),
        _ => anyhow::Error::from(error).context("cannot start mpirun"),
    })?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    on_request_to_end(move || flag.store(true, Ordering::Relaxed))?;
    let mut was_interrupted = false;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for mpirun")? {
            // `mpirun` reports ranks that it was told to end as failed.
            if was_interrupted && !status.success() {
                return Ok(exit::INTERRUPTED.into());
            }
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.unwrap_or(exit::OTHER).into());
        }
        if interrupted.swap(false, Ordering::Relaxed) {
            was_interrupted = true;
            // It may just have ended.
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Trains on this rank. An error of one rank ends all of them, as the others would wait for it.
pub(super) fn train(
    others: &dyn Communicator,
    work: impl FnOnce() -> Result<ExitCode>,
) -> Result<ExitCode> {
    // A launcher ends all ranks when one exits, so none may exit before the first one has
    // published.
    let error = match work().and_then(|code| Ok((others.gather(&[])?, code))) {
        Ok((_, code)) if others.rank() == 0 => return Ok(code),
        Ok(_) => return Ok(ExitCode::SUCCESS),
        Err(error) => error,
    };
    say!("error: rank {}: {}", others.rank(), crate::message(&error));
    let is_shared = error.is::<LostRanks>()
        || matches!(
            exit::run_error(&error),
            Some(RunError::LostRanks(_) | RunError::RanksDiffer { .. })
        );
    if is_shared && others.rank() > 0 {
        sleep(TIME_OF_THE_FIRST);
    }
    others.abort(exit::number_of(&error).into())
}
