//! The process that runs an engine.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use batchlab_core::ModelError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::message::{self, Answer, Done, Request};
use crate::shipped;

/// Variables that tell libraries how many threads to use.
const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];
/// Time for a process to exit on its own.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// A process with the two ends of its pipes. On drop, it is ended along with all processes that it
/// has started.
pub(crate) struct Worker {
    child: Child,
    /// `None` once there will be no more requests.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    timeout: Duration,
    /// The engine's file, for messages.
    name: String,
    /// Our files, which the process reads.
    folder: TempDir,
}

impl Worker {
    /// Starts `python`, which is a name or a path, without sending any request.
    pub(crate) fn start(python: &Path, name: &str, timeout: Duration) -> Result<Self, ModelError> {
        let folder = tempfile::Builder::new()
            .prefix("batchlab-engine-")
            .tempdir()
            .map_err(|error| ModelError::Engine(format!("no temporary folder: {error}")))?;
        let script = written(&folder, shipped::WORKER.0, shipped::WORKER.1.as_bytes())?;
        let mut command = Command::new(python);
        // Signals from the terminal are for the main program, which ends its workers itself.
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        for variable in THREADS {
            if std::env::var_os(variable).is_none() {
                command.env(variable, rayon::current_num_threads().to_string());
            }
        }
        let mut child = command.spawn().map_err(|error| no_python(python, &error))?;
        let ends = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) =
            ends.ok_or_else(|| ModelError::Engine("the worker has no pipes".into()))?;
        let name = name.to_owned();
        let answers = BufReader::new(answers);
        Ok(Self { child, requests: Some(requests), answers, timeout, name, folder })
    }

    /// Writes a file for the process to read, and returns its path.
    pub(crate) fn give(&self, name: impl AsRef<OsStr>, data: &[u8]) -> Result<PathBuf, ModelError> {
        written(&self.folder, name, data)
    }

    /// Sends one request and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Result<(Done, Vec<u8>), ModelError> {
        let answer = self.exchange(request).map_err(|error| self.lost(&error))?;
        match answer {
            (Answer::Done(done), payload) => Ok((done, payload)),
            (Answer::Failed { message }, _) => {
                Err(ModelError::Engine(format!("{} says:\n{message}", self.name)))
            }
        }
    }

    fn exchange(&mut self, request: &Request<'_>) -> io::Result<(Answer, Vec<u8>)> {
        let requests = self.requests.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        // A request is smaller than a pipe's buffer, and there is never more than one.
        requests.write_all(&message::encode(request)?)?;
        let deadline = Instant::now() + self.timeout;
        let mut head = [0; message::N_HEAD];
        self.read(&mut head, deadline)?;
        let [n_text, n_byte] = message::lengths(head)?;
        let mut text = vec![0; n_text];
        self.read(&mut text, deadline)?;
        let answer = serde_json::from_slice(&text)?;
        let mut payload = Vec::new();
        payload.try_reserve_exact(n_byte)?;
        payload.resize(n_byte, 0);
        self.read(&mut payload, deadline)?;
        Ok((answer, payload))
    }

    fn read(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            if self.answers.buffer().is_empty() {
                self.wait_until(deadline)?;
            }
            match self.answers.read(buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }

    /// Waits until there is data to read.
    fn wait_until(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut waiting = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
            match poll(&mut waiting, Some(&left)) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Why there was no answer. The process is no longer usable.
    fn lost(&mut self, error: &io::Error) -> ModelError {
        let what = match error.kind() {
            ErrorKind::TimedOut => format!(
                "gave no answer within {} s and was ended; raise model.timeout_seconds if it may take longer, \
                 for example to compile",
                self.timeout.as_secs()
            ),
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => ended(self.wait()),
            _ => format!("did not answer: {error}"),
        };
        self.end();
        ModelError::Engine(format!("the worker process of {} {what}", self.name))
    }

    /// The exit status of the process, if it exits soon.
    fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + GRACE_PERIOD;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// Ends the process and whatever it has started.
    fn end(&mut self) {
        self.requests = None;
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // If this fails, there is nothing left to end.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // When requests end, it exits on its own, and can shut down in an orderly way.
        self.requests = None;
        self.wait();
        self.end();
    }
}

fn written(folder: &TempDir, name: impl AsRef<OsStr>, data: &[u8]) -> Result<PathBuf, ModelError> {
    let path = folder.path().join(name.as_ref());
    let fail = |error| ModelError::Engine(format!("cannot write {}: {error}", path.display()));
    fs::write(&path, data).map_err(fail)?;
    Ok(path)
}

fn no_python(python: &Path, error: &io::Error) -> ModelError {
    ModelError::Options(format!(
        "cannot start \"{}\": {error}; model.python names the interpreter with the packages of the engine, such \
         as \".venv/bin/python\"",
        python.display()
    ))
}

fn ended(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) if status.signal() == Some(9) => {
            "was killed (signal 9): perhaps memory was used up".to_owned()
        }
        Some(status) => {
            format!("ended ({status}); see its standard error above, if any")
        }
        None => "closed its output and was ended".to_owned(),
    }
}
