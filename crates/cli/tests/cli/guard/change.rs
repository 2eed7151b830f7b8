//! Kills runs, resumed runs, doctors and sweeps at each call that changes the disk, as counted by
//! the preloaded `change.c`; every second time, half of a write has been done.
//!
//! `BATCHLAB_CHANGES=all cargo test -p batchlab-cli --test cli guard::change -- --nocapture` tries
//! every call; a number tries that many of each kind.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(clippy::print_stdout, reason = "how many calls were tried is shown with --nocapture")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::SystemTime;

use batchlab_core::random::{below, stream};
use serde_json::Value;
use tempfile::TempDir;

use crate::kill::{Moment, Whole, kill, number_from, quiet};
use crate::small_run::{
    Tables, assert_tables_are_readable, batchlab, doctor, names, resume, start, text,
};

/// A call that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its number, from 1.
    at: u64,
    /// Whether half of the bytes of a write are written first.
    half: bool,
}

impl Change {
    /// Makes a command get killed instead of performing this call.
    pub(crate) fn kills(self, command: &mut Command) -> &mut Command {
        command.env("LD_PRELOAD", preloaded()).env("CHANGE_AT", self.at.to_string());
        command.env("CHANGE_HALF", u8::from(self.half).to_string())
    }
}

/// The counting library, compiled once: anyone who can link Rust has a C compiler.
fn preloaded() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("change.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/guard/change.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl");
        let output = compile.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        (folder, path)
    });
    path
}

/// Number of disk-changing calls of a command, by name.
fn count(command: &mut Command) -> BTreeMap<String, u64> {
    let log = tempfile::NamedTempFile::new().unwrap();
    command.env("LD_PRELOAD", preloaded()).env("CHANGE_LOG", log.path());
    assert!(quiet(command).wait().unwrap().success());
    let mut calls = BTreeMap::new();
    for name in fs::read_to_string(log.path()).unwrap().lines() {
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    calls
}

/// Some or all of the disk-changing calls of a command, by number; every second one with half of a
/// write.
fn changes(what: &str, calls: &BTreeMap<String, u64>, some: u64) -> Vec<Change> {
    let n: u64 = calls.values().sum();
    println!("{what}: {n} calls that change the disk {calls:?}");
    assert!(n > 10, "the library counts nothing");
    let all = std::env::var("BATCHLAB_CHANGES").is_ok_and(|text| text == "all");
    if all {
        return (1..=n).flat_map(|at| [false, true].map(|half| Change { at, half })).collect();
    }
    let some = std::env::var("BATCHLAB_CHANGES").map_or(some, |text| text.parse().unwrap());
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number_from("BATCHLAB_KILL_SEED").unwrap_or(clock % 1_000_000);
    println!("BATCHLAB_KILL_SEED={seed}");
    let change = |i: u64| {
        let mut random = stream(seed, what, i);
        // One at random from each of equal parts of the whole.
        Change { at: 1 + (i * n + below(&mut random, n)) / some, half: i % 2 == 1 }
    };
    (0..some).map(change).collect()
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    let mut copy = Command::new("cp");
    let copied = copy.arg("-a").arg(from.join(".")).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

/// Killed, or finished before that.
fn assert_ended(status: ExitStatus) {
    assert!(status.signal() == Some(9) || status.success(), "{status}");
}

const SHORT: [&str; 3] =
    ["training.steps=24", "training.checkpoint={ steps = 8 }", "evaluation.every=10"];

#[test]
fn a_run_may_be_killed_at_any_change() {
    let whole = Whole::of(&SHORT);
    let counted = TempDir::new().unwrap();
    let calls = count(&mut start(counted.path(), &SHORT));
    let mut fates: BTreeMap<&str, u32> = BTreeMap::new();
    for change in changes("run", &calls, 8) {
        println!("{change:?}");
        let fate = kill(&whole, Moment::Change(change), change.at % 2 == 0 || change.half);
        *fates.entry(fate).or_default() += 1;
    }
    println!("{fates:?}");
}

/// A run killed between its second checkpoint, at step 16, and its third one, after an evaluation.
fn crashed() -> TempDir {
    let counted = TempDir::new().unwrap();
    let (mut from, mut to) = (1, count(&mut start(counted.path(), &SHORT)).values().sum::<u64>());
    while from <= to {
        let at = u64::midpoint(from, to);
        let out = TempDir::new().unwrap();
        let change = Change { at, half: false };
        quiet(change.kills(&mut start(out.path(), &SHORT))).wait().unwrap();
        let found = doctor(out.path(), &["--dry-run"]);
        let run = &found["runs"][0];
        match (run["status"].as_str(), run["resumes_after"].as_u64(), run["n_step"].as_u64()) {
            (Some("crashed"), Some(16), Some(17..)) => return out,
            (Some("crashed"), Some(24), _) | (Some("completed"), ..) => to = at - 1,
            (None, ..) if at > to / 2 => to = at - 1,
            _ => from = at + 1,
        }
    }
    panic!("no call lies between the second checkpoint and the third");
}

/// `wip/` is empty, even of files that belong to no run.
fn assert_nothing_is_left(out: &Path) {
    assert_eq!(names(&out.join("wip")), Vec::<String>::new());
}

#[test]
fn a_doctor_and_a_resumed_run_may_be_killed_at_any_change() {
    let whole = Whole::of(&SHORT);
    let crashed = crashed();
    let salvaged = copy(crashed.path());
    let mut command = batchlab();
    let calls = count(command.arg("doctor").arg(salvaged.path()));
    let expected = Tables::read(salvaged.path());
    whole.assert_begins_with(&expected);
    for change in changes("doctor", &calls, 6) {
        println!("{change:?}");
        let out = copy(crashed.path());
        let mut command = batchlab();
        let killed = change.kills(command.arg("doctor").arg(out.path()));
        assert_ended(quiet(killed).wait().unwrap());
        assert_tables_are_readable(out.path());
        doctor(out.path(), &[]);
        assert_nothing_is_left(out.path());
        let tables = Tables::read(out.path());
        assert_eq!(format!("{tables:?}"), format!("{expected:?}"));
        assert_eq!(doctor(out.path(), &[])["damaged"], Value::Array(Vec::new()));
    }
    let counted = copy(salvaged.path());
    let calls = count(&mut resume(counted.path()));
    for change in changes("resume", &calls, 6) {
        println!("{change:?}");
        let out = copy(salvaged.path());
        assert_ended(quiet(change.kills(&mut resume(out.path()))).wait().unwrap());
        assert_tables_are_readable(out.path());
        doctor(out.path(), &[]);
        let tables = Tables::read(out.path());
        assert!(tables.steps.len() >= expected.steps.len(), "rows that were published are gone");
        whole.assert_begins_with(&tables);
        if tables.runs[0].status != "completed" {
            let output = resume(out.path()).output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        }
        whole.assert_equals(&Tables::read(out.path()));
    }
}

const STUDY: &str = r#"
study = "small"
batchers = ["static-64", "dynamic"]
batch_sizes = [16]

[[datasets]]
name = "qm9"
limit = 120

[[models]]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1

[training]
steps = 10
warmup_steps = 2

[blocks]
steps = 2
seconds = 1e-6
pairs = 1
"#;

fn sweep(folder: &Path) -> Command {
    fs::write(folder.join("study.toml"), STUDY).unwrap();
    let mut command = batchlab();
    command.args(["sweep", "study.toml", "--threads", "1", "--hardware", "here", "--quiet"]);
    // A process killed between two calls has not yet recorded its machine.
    command.envs([("BATCHLAB_BEAT", "100ms"), ("BATCHLAB_STALE", "1s")]);
    command.current_dir(folder).env("BATCHLAB_LOCKS", folder);
    command
}

/// The attempt that finished the only cell, and the batchers of its runs.
pub(crate) fn counted(out: &Path) -> (String, BTreeSet<String>) {
    let cells = out.join("cells/here");
    let cell = names(&cells).into_iter().find(|name| cells.join(name).is_dir()).unwrap();
    let rounds: Vec<String> =
        names(&cells.join(&cell)).into_iter().filter(|name| name.starts_with("done.")).collect();
    assert_eq!(rounds, ["done.1"]);
    let done = fs::read_to_string(cells.join(&cell).join("done.1/done.json")).unwrap();
    let done: Value = serde_json::from_str(&done).unwrap();
    let attempt = done["cell"].as_str().unwrap().to_owned();
    let mut batchers = BTreeSet::new();
    for run in Tables::read(out).runs {
        if run.cell.as_deref() == Some(&attempt) && run.status == "completed" {
            assert!(batchers.insert(run.batcher.clone()), "{} twice", run.batcher);
        }
    }
    (attempt, batchers)
}

#[test]
fn a_sweep_may_be_killed_at_any_change() {
    let place = TempDir::new().unwrap();
    let calls = count(&mut sweep(place.path()));
    let both = BTreeSet::from(["dynamic".to_owned(), "static-64".to_owned()]);
    assert_eq!(counted(&place.path().join("results/small")).1, both);
    for change in changes("sweep", &calls, 6) {
        println!("{change:?}");
        let place = TempDir::new().unwrap();
        let out = place.path().join("results/small");
        assert_ended(quiet(change.kills(&mut sweep(place.path()))).wait().unwrap());
        assert_tables_are_readable(&out);
        let before: BTreeSet<String> = names(&out.join("tables/runs")).into_iter().collect();
        let output = sweep(place.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let after: BTreeSet<String> = names(&out.join("tables/runs")).into_iter().collect();
        assert!(before.is_subset(&after), "what was published stays");
        assert_eq!(counted(&out).1, both);
        doctor(&out, &[]);
        assert_nothing_is_left(&out);
        let mut report = batchlab();
        let output = report.args(["report", "--json"]).arg(&out).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let status = batchlab().arg("status").arg(&out).output().unwrap();
        assert!(text(&status).contains("1 of 1 cells are done"), "{}", text(&status));
    }
}
