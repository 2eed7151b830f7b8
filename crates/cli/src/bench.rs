//! `batchlab bench`: times external programs, interleaved.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use batchlab_files::{MAX_TEXT, atomic_write, read_named_text};
use batchlab_study::interleave::{Arms, interleave};
use serde::Deserialize;

use crate::exit::{DataFault, Usage};
use crate::output::print;
use crate::say::say;
use crate::verdict::{Asked, judged};

const EXAMPLE: &str = "\
A file of two programs:

  steps = 50            # of a block
  pairs = 10            # mirrored pairs of blocks
  processes = 1         # how often all programs are started, each time for so many pairs
  timeout_seconds = 3600    # for one block
  [[arm]]
  name = \"static-64\"
  command = [\".venv/bin/python\", \"train.py\", \"--batcher\", \"static\"]
  [[arm]]
  name = \"dynamic\"
  command = [\".venv/bin/python\", \"train.py\", \"--batcher\", \"dynamic\"]

A program reads one line such as {\"steps\": 50} from its standard input, trains so
many steps, and answers with one line such as {\"seconds\": 1.25, \"n_output\": 1550} on
its standard output: how long that took, and how many graphs it trained.";

/// Time external programs that do their own batching, interleaved, and judge their times.
///
/// All programs start at once and wait. In each block, each program is asked once to train some
/// steps and reports how long they took. docs/engines.md shows how to do this in five lines of
/// Python.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[arg(value_name = "ARMS.toml")]
    file: PathBuf,
    /// CSV file for the times, as read by `batchlab verdict`.
    #[arg(long, value_name = "FILE.csv", default_value = "times.csv")]
    out: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Steps per block.
    steps: u32,
    /// Mirrored pairs of blocks.
    #[serde(default = "pairs")]
    pairs: u32,
    /// How often to start all programs; each time they train this many pairs.
    #[serde(default = "processes")]
    processes: u32,
    /// Time for one answer.
    #[serde(default = "timeout_seconds")]
    timeout_seconds: u32,
    /// Seed for the order of programs within blocks.
    #[serde(default)]
    seed: u64,
    arm: Vec<Arm>,
}

const fn pairs() -> u32 {
    10
}

const fn processes() -> u32 {
    1
}

const fn timeout_seconds() -> u32 {
    3600
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    name: String,
    command: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let arms = read(&arguments.file)?;
    if arguments.out.exists() {
        bail!(Usage(format!(
            "{} already exists; name another file with --out, or remove it",
            arguments.out.display()
        )));
    }
    let mut times = b"strategy,seconds,n_output,cell,block\n".to_vec();
    for process in 1..=arms.processes {
        train(&arms, process, &mut times, &arguments.out)?;
    }
    say!("times in {}", arguments.out.display());
    print(&judged(&arguments.out, &arguments.asked)?)
}

/// Starts all programs once. Effects that are shared within a process but vary between processes
/// become visible with five or more processes.
fn train(file: &File, process: u32, times: &mut Vec<u8>, out: &Path) -> Result<()> {
    let File { steps, pairs, seed, processes, timeout_seconds, arm: names } = file;
    let timeout = Duration::from_secs((*timeout_seconds).into());
    let mut running = names.iter().map(Running::start).collect::<Result<Vec<_>>>()?;
    let of = if *processes > 1 { format!(" of process {process}") } else { String::new() };
    let seed = seed.wrapping_add((process - 1).into());
    let mut last = 0;
    let arms = Arms { n: names.len(), pairs: *pairs, seed };
    let train = |arm: usize, block: u64| {
        if block > last && block % 2 == 1 && block > 1 {
            say!("{} of {pairs} pairs{of}", block / 2);
        }
        last = block;
        let Answer { seconds, n_output } = running[arm].train(*steps, timeout)?;
        let name = names[arm].name.replace('"', "\"\"");
        writeln!(times, "\"{name}\",{seconds},{n_output},{process},{block}")?;
        // Keep the measurements so far even if a later block fails.
        atomic_write(out, times).with_context(|| format!("cannot write {}", out.display()))?;
        anyhow::Ok(seconds / n_output)
    };
    interleave(arms, train)?;
    say!("{} of {pairs} pairs{of}", last / 2);
    Ok(())
}

fn read(file: &Path) -> Result<File> {
    let name = file.display();
    let text = read_named_text(file, MAX_TEXT).with_context(|| format!("cannot read {name}"))?;
    let arms: File = toml::from_str(&text).map_err(|error| Usage(format!("{name}: {error}")))?;
    let fault = |what: &str| Err(Usage(format!("{name}: {what}")).into());
    if arms.arm.len() < 2 {
        return fault("name at least two programs, each in a table [[arm]]");
    }
    if arms.steps == 0 || arms.pairs == 0 || arms.processes == 0 || arms.timeout_seconds == 0 {
        return fault("steps, pairs, processes and timeout_seconds must be more than 0");
    }
    for (i, arm) in arms.arm.iter().enumerate() {
        if arm.command.is_empty() {
            return fault(&format!("the command of \"{}\" is empty", arm.name));
        }
        if arms.arm[..i].iter().any(|other| other.name == arm.name) {
            return fault(&format!("two arms are called \"{}\"", arm.name));
        }
    }
    Ok(arms)
}

/// Polling interval for the end of a program.
const END_PAUSE: Duration = Duration::from_millis(10);

/// A program's answer.
#[derive(Debug, Deserialize)]
struct Answer {
    seconds: f64,
    n_output: f64,
}

/// A program that waits for its turn. It is ended on drop.
struct Running<'a> {
    arm: &'a Arm,
    child: Child,
    requests: ChildStdin,
    /// Lines of its standard output, as they are printed.
    answers: Receiver<io::Result<String>>,
}

impl<'a> Running<'a> {
    fn start(arm: &'a Arm) -> Result<Self> {
        let mut command = Command::new(&arm.command[0]);
        command.args(&arm.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start \"{}\": {}", arm.name, arm.command[0]))?;
        let ends = child.stdin.take().zip(child.stdout.take());
        let (requests, output) = ends.context("a program was started without pipes")?;
        let (sender, answers) = sync_channel(1);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines();
            while lines.next().is_some_and(|line| sender.send(line).is_ok()) {}
        });
        Ok(Self { arm, child, requests, answers })
    }

    fn train(&mut self, steps: u32, timeout: Duration) -> Result<Answer> {
        let name = &self.arm.name;
        if let Ok(Ok(line)) = self.answers.try_recv() {
            bail!(DataFault(format!(
                "\"{name}\" printed {line:?} without being asked; answer every line of standard input with \
                 one line, and print everything else to standard error"
            )));
        }
        let asked = Instant::now();
        let written =
            writeln!(self.requests, "{{\"steps\": {steps}}}").and_then(|()| self.requests.flush());
        let answer = written
            .map_or(Err(RecvTimeoutError::Disconnected), |()| self.answers.recv_timeout(timeout));
        let line = match answer {
            Ok(Ok(line)) => line,
            Err(RecvTimeoutError::Timeout) => bail!(DataFault(format!(
                "\"{name}\" has not answered within {} s, timeout_seconds of the file",
                timeout.as_secs()
            ))),
            Ok(Err(error)) => {
                bail!(DataFault(format!("\"{name}\" printed something that is not text: {error}")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let what = self.end(asked + timeout);
                bail!(DataFault(format!("\"{name}\" {what} instead of training {steps} steps")));
            }
        };
        let waited = asked.elapsed().as_secs_f64();
        let answer: Answer = serde_json::from_str(&line).map_err(|error| {
            DataFault(format!(
                "\"{name}\" answered {line:?}, and not a line such as {{\"seconds\": 1.25, \"n_output\": \
                 1550}}: {error}; print everything else to standard error"
            ))
        })?;
        for (key, value) in [("seconds", answer.seconds), ("n_output", answer.n_output)] {
            if !(value > 0.0 && value.is_finite()) {
                bail!(DataFault(format!("\"{name}\": {key} is {value}, but must be more than 0")));
            }
        }
        // Clocks differ a little.
        if answer.seconds > 1.01 * waited + 0.01 {
            bail!(DataFault(format!(
                "\"{name}\" says that {steps} steps took {} s, but answered after {waited:.3} s",
                answer.seconds
            )));
        }
        Ok(answer)
    }

    /// What has become of a program without pipes. One that has just ended may not be seen as such
    /// yet.
    fn end(&mut self, until: Instant) -> String {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("ended ({status})"),
                Ok(None) if Instant::now() < until => std::thread::sleep(END_PAUSE),
                Ok(None) => return "closed its standard input or output".to_owned(),
                Err(error) => return format!("ended ({error})"),
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
