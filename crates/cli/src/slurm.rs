//! Queries Slurm's commands, which may be missing, fail, or hang.

pub(crate) mod job;

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use batchlab_core::quote::excerpt;
use serde::Serialize;

/// Time limit for a query.
const QUERY: Duration = Duration::from_secs(10);
/// A submission takes longer if the controller is busy.
const SUBMISSION: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub(crate) enum SlurmError {
    #[error(
        "Slurm's command {program} cannot be started ({source}); is it installed on this machine, and in PATH?"
    )]
    Absent { program: String, source: std::io::Error },
    #[error("Slurm's command {program} has not answered for {} s", .after.as_secs())]
    Slow { program: String, after: Duration },
    #[error("Slurm's command {program} has failed: {reason}")]
    Refused { program: String, reason: String },
}

/// A task of a job array, or a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Task {
    /// Such as `12_3`.
    pub(crate) id: String,
    /// Such as `RUNNING`.
    pub(crate) state: String,
    /// Why it is pending, or has failed; `None` without a reason.
    pub(crate) reason: Option<String>,
    /// Name of its job.
    #[serde(skip)]
    pub(crate) name: String,
}

impl Task {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "RUNNING" | "COMPLETING" | "CONFIGURING" | "SUSPENDED")
    }

    /// Whether it is running or will run.
    pub(crate) fn is_active(&self) -> bool {
        let ended = [
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "REVOKED",
            "TIMEOUT",
        ];
        !ended.contains(&self.state.as_str())
    }
}

/// Submits a script as a job array of this many tasks, and returns the job's number.
pub(crate) fn submit(command: &[String]) -> Result<String, SlurmError> {
    let answer = ask(&command[0], &command[1..], SUBMISSION)?;
    // Followed by the cluster's name in a federation.
    Ok(answer.trim().split(';').next().unwrap_or_default().to_owned())
}

/// The tasks of jobs with this name that are pending or running.
pub(crate) fn active(name: &str) -> Result<Vec<Task>, SlurmError> {
    Ok(queued(&of_names(&[name]))?.into_iter().filter(Task::is_active).collect())
}

/// All tasks of jobs with these names that Slurm still remembers, at least the pending and running
/// ones.
pub(crate) fn tasks(names: &[&str]) -> Result<Vec<Task>, SlurmError> {
    let names = of_names(names);
    let mut tasks = queued(&names)?;
    // Without accounting, Slurm forgets ended tasks after a few minutes.
    let arguments =
        ["-n", "-X", "-P", "--format=JobID,State,Reason,JobName", "-S", "now-7days", &names];
    let ended = ask("sacct", &arguments, QUERY).unwrap_or_default();
    let is_new = |task: &Task| !task.is_active() && tasks.iter().all(|known| known.id != task.id);
    let ended: Vec<Task> = parse(&ended).into_iter().filter(is_new).collect();
    tasks.extend(ended);
    Ok(tasks)
}

fn of_names(names: &[&str]) -> String {
    format!("--name={}", names.join(","))
}

/// Tasks in the queue, and those that left it within the last few minutes.
fn queued(names: &str) -> Result<Vec<Task>, SlurmError> {
    let arguments = ["--noheader", "--array", "--states=all", names, "--format=%i|%T|%r|%j"];
    ask("squeue", &arguments, QUERY).map(|answer| parse(&answer))
}

fn parse(answer: &str) -> Vec<Task> {
    let task = |line: &str| {
        let [id, state, reason, name] =
            line.trim().split('|').collect::<Vec<_>>().try_into().ok()?;
        // `CANCELLED by 1000`
        let state = state.split(' ').next().unwrap_or_default().to_owned();
        let reason = (reason != "None" && !reason.is_empty()).then(|| reason.to_owned());
        Some(Task { id: id.to_owned(), state, reason, name: name.to_owned() })
    };
    answer.lines().filter_map(task).collect()
}

/// The output of a command, if it succeeds in time.
fn ask<S: AsRef<str>>(
    program: &str,
    arguments: &[S],
    limit: Duration,
) -> Result<String, SlurmError> {
    let of = || program.to_owned();
    let mut child = Command::new(program)
        .args(arguments.iter().map(AsRef::as_ref))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| SlurmError::Absent { program: of(), source })?;
    let (output, errors) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SlurmError::Slow { program: of(), after: limit });
            }
        }
    };
    let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
    if status.success() {
        return Ok(text(output));
    }
    let errors = text(errors);
    let said = errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = said.collect::<Vec<_>>().join("; ");
    let reason = if said.is_empty() { status.to_string() } else { excerpt(&said, 400) };
    Err(SlurmError::Refused { program: of(), reason })
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_and_sacct() {
        let tasks =
            parse("12_0|RUNNING|None|a\n12_[2-3]|PENDING|Resources|a\n12_1|CANCELLED by 0||a\n\n");
        let is_active: Vec<bool> = tasks.iter().map(Task::is_active).collect();
        assert_eq!(is_active, [true, true, false]);
        assert_eq!(
            (tasks[1].reason.as_deref(), tasks[0].reason.as_deref()),
            (Some("Resources"), None)
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_command_that_does_not_answer_is_not_waited_for() {
        let start = Instant::now();
        let slow = ask("sleep", &["60"], Duration::from_millis(100)).unwrap_err();
        assert!(matches!(slow, SlurmError::Slow { .. }) && start.elapsed().as_secs() < 30);
        let absent = ask("no-such-command", &["x"], QUERY).unwrap_err();
        assert!(absent.to_string().contains("is it installed"), "{absent}");
        let refused = ask("sh", &["-c", "echo no account >&2; exit 1"], QUERY).unwrap_err();
        assert!(refused.to_string().ends_with("has failed: no account"), "{refused}");
    }
}
