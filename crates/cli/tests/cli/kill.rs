//! Killed runs lose nothing that was on disk, and resume exactly where they stopped.
//!
//! `BATCHLAB_KILLS=300 cargo test -p batchlab-cli --test cli kill:: -- --nocapture` is the long
//! form; `BATCHLAB_KILL_SEED` repeats a failed one.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use batchlab_core::random::{below, stream};
use tempfile::TempDir;

use crate::guard::change::Change;
use crate::small_run::{
    self, Tables, assert_tables_are_readable, checkpoints, doctor, names, resume, run_folder,
    start, text,
};

const SETTINGS: [&str; 2] =
    ["training.checkpoint={ steps = 20 }", "batcher={ name = \"dynamic\", batch_size = 16 }"];

/// When to kill a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After this many microseconds.
    Time(u64),
    /// When it has written this many bytes to any files.
    Written(u64),
    /// By the system, in the middle of a write, when a file reaches this length in bytes.
    FileSize(u64),
    /// Instead of the given disk-changing call.
    Change(Change),
}

/// A run that is not killed.
pub(crate) struct Whole {
    settings: &'static [&'static str],
    pub(crate) tables: Tables,
    microseconds: u64,
    written: u64,
    /// Bytes of its longest file.
    longest: u64,
}

impl Whole {
    fn run() -> Self {
        Self::of(&SETTINGS)
    }

    pub(crate) fn of(settings: &'static [&'static str]) -> Self {
        let out = TempDir::new().unwrap();
        let begin = Instant::now();
        let mut child = quiet(&mut start(out.path(), settings));
        let (mut n_written, mut longest) = (0, 0);
        while child.try_wait().unwrap().is_none() {
            n_written = n_written.max(written(&child));
            longest = longest.max(journal_length(out.path()));
        }
        assert!(child.wait().unwrap().success());
        let saved = checkpoints(out.path()).into_iter().map(|(_, path)| path.metadata().unwrap());
        let longest = saved.map(|metadata| metadata.len()).fold(longest, u64::max);
        let tables = Tables::read(out.path());
        let microseconds = begin.elapsed().as_micros() as u64;
        Self { settings, tables, microseconds, written: n_written, longest }
    }

    /// The tables hold a prefix of the whole run, without gaps and contradictions.
    pub(crate) fn assert_begins_with(&self, part: &Tables) -> usize {
        let n_step = part.steps.len();
        assert_eq!(part.timeless_steps(), self.tables.timeless_steps()[..n_step]);
        let n_eval = part.evals.len();
        assert_eq!(part.timeless_evals(), self.tables.timeless_evals()[..n_eval]);
        assert!(part.evals.iter().all(|eval| eval.step <= n_step as i64), "evaluated what is lost");
        assert!(part.events.iter().all(|event| event.step.unwrap_or(0) <= n_step as i64));
        assert_eq!(part.runs.len(), 1);
        assert_eq!(part.runs[0].n_step, Some(n_step as i64));
        n_step
    }

    pub(crate) fn assert_equals(&self, tables: &Tables) {
        assert_eq!(self.assert_begins_with(tables), self.tables.steps.len());
        assert_eq!(tables.evals.len(), self.tables.evals.len());
        assert_eq!(tables.runs[0].status, "completed");
    }
}

pub(crate) fn quiet(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Bytes written by a process so far.
fn written(child: &Child) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn journal_length(out: &Path) -> u64 {
    let wip = out.join("wip");
    let lengths = names(&wip).into_iter().filter_map(|run| {
        fs::metadata(wip.join(run).join("journal")).map(|metadata| metadata.len()).ok()
    });
    lengths.max().unwrap_or(0)
}

/// The same command, under limits enforced by the system.
fn limited(command: &Command, limit: &str) -> Command {
    let mut limited = Command::new("prlimit");
    limited.args([limit, "--core=0", "--"]).arg(command.get_program()).args(command.get_args());
    limited
}

fn run_until(settings: &[&str], moment: Moment, out: &Path) -> ExitStatus {
    let mut command = start(out, settings);
    if let Moment::Change(change) = moment {
        return quiet(change.kills(&mut command)).wait().unwrap();
    }
    if let Moment::FileSize(n_byte) = moment {
        return quiet(&mut limited(&command, &format!("--fsize={n_byte}"))).wait().unwrap();
    }
    let begin = Instant::now();
    let mut child = quiet(&mut command);
    loop {
        let is_now = match moment {
            Moment::Time(t) => begin.elapsed() >= Duration::from_micros(t),
            Moment::Written(n_byte) => written(&child) >= n_byte,
            Moment::FileSize(_) | Moment::Change(_) => false,
        };
        if is_now {
            child.kill().unwrap();
            return child.wait().unwrap();
        }
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
    }
}

/// Kills a run and checks what is left of it. Returns the outcome, for statistics.
pub(crate) fn kill(whole: &Whole, moment: Moment, salvage: bool) -> &'static str {
    let out = TempDir::new().unwrap();
    let out = out.path();
    let status = run_until(whole.settings, moment, out);
    let was_killed = status.signal().is_some();
    assert!(was_killed || status.success(), "{status}");
    // Readers must be able to read before anything is repaired.
    assert_tables_are_readable(out);
    let saved = checkpoints(out).pop().map(|(step, _)| step as usize);
    let was_recorded = journal_length(out) > 0;
    let before = Tables::read(out);
    if salvage && out.exists() {
        let planned = doctor(out, &["--dry-run"]);
        assert_eq!(format!("{:?}", Tables::read(out)), format!("{before:?}"), "a dry run");
        let found = doctor(out, &[]);
        assert_eq!(planned["runs"], found["runs"]);
        assert!(!out.join("wip").exists() || names(&out.join("wip")).is_empty());
        assert_eq!(found["damaged"].as_array().unwrap().len(), 0);
        let tables = Tables::read(out);
        assert_eq!(doctor(out, &[])["runs"].as_array().unwrap().len(), 0, "nothing is left to do");
        assert_eq!(format!("{:?}", Tables::read(out)), format!("{tables:?}"), "nothing changed");
        if saved.is_some() {
            let n_step = whole.assert_begins_with(&tables);
            assert!(saved <= Some(n_step), "{n_step} steps, but {saved:?} were saved");
            let status = tables.runs[0].status.as_str();
            assert!(["crashed", "completed"].contains(&status), "{status}");
        }
    }
    let is_complete = Tables::read(out).runs.first().is_some_and(|run| run.status == "completed");
    if is_complete && (salvage || !was_recorded) {
        whole.assert_equals(&Tables::read(out));
        return if was_killed { "killed at the very end" } else { "not killed" };
    }
    if saved.is_none() {
        if names(&out.join("runs")).is_empty() {
            return "killed before it began";
        }
        let output = resume(out).output().unwrap();
        assert!(!output.status.success());
        let message = text(&output);
        assert!(message.contains("no checkpoint to continue from"), "{message}");
        return "killed before the first checkpoint";
    }
    let output = resume(out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    whole.assert_equals(&Tables::read(out));
    assert!(!out.join("wip").exists());
    if salvage { "salvaged, resumed" } else { "resumed" }
}

pub(crate) fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_run_may_be_killed_at_any_time() {
    let can_limit = Command::new("prlimit").arg("--version").output().is_ok();
    let n_kill = number_from("BATCHLAB_KILLS").unwrap_or(9);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number_from("BATCHLAB_KILL_SEED").unwrap_or(clock % 1_000_000);
    // Shown when the test fails.
    println!("BATCHLAB_KILL_SEED={seed}");
    let whole = Whole::run();
    println!("{} us, {} bytes, {} longest", whole.microseconds, whole.written, whole.longest);
    let mut fates: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for i in 0..n_kill {
        let mut random = stream(seed, "kill", i);
        let (kind, moment) = match i % 3 {
            0 => ("time", Moment::Time(below(&mut random, whole.microseconds))),
            1 if can_limit => ("file size", Moment::FileSize(below(&mut random, whole.longest))),
            _ => ("bytes written", Moment::Written(below(&mut random, whole.written))),
        };
        println!("{i}: {moment:?}");
        *fates.entry((kind, kill(&whole, moment, i % 2 == 0))).or_default() += 1;
    }
    for ((kind, fate), n) in fates {
        println!("{n:>4} by {kind}: {fate}");
    }
}

/// The message of a run that cannot write, and that nothing is lost once it can.
fn assert_kept(whole: &Whole, out: &Path, output: &std::process::Output, reason: &str) {
    let message = text(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write") && message.contains(reason), "{message}");
    assert_tables_are_readable(out);
    let saved = checkpoints(out).pop();
    if let Some((saved, _)) = saved {
        assert!(message.contains("batchlab doctor"), "{message}");
        let found = doctor(out, &[]);
        assert_eq!(found["runs"][0]["finding"], "salvaged", "{found}");
        let tables = Tables::read(out);
        let n_step = whole.assert_begins_with(&tables) as u64;
        assert!(saved <= n_step);
        if tables.runs[0].status == "completed" {
            // Everything was recorded; only the tables had no room.
            return whole.assert_equals(&tables);
        }
        assert!(["crashed", "failed"].contains(&tables.runs[0].status.as_str()));
        let output = resume(out).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        whole.assert_equals(&Tables::read(out));
    }
}

/// A file system of a given size; unmounted on drop.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(folder))
    }

    fn enlarge(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=50m"]).arg(self.0.path());
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let whole = Whole::run();
    let mut n_saved = 0;
    for size in ["size=48k", "size=80k", "size=112k", "size=144k"] {
        let Some(disk) = SmallDisk::mount(size) else {
            eprintln!("skipped: only the superuser can mount a small disk");
            return;
        };
        let out = disk.0.path().join("study");
        let output = start(&out, &SETTINGS).output().unwrap();
        disk.enlarge();
        n_saved += checkpoints(&out).len();
        assert_kept(&whole, &out, &output, "No space left on device");
    }
    assert!(n_saved > 0, "some disk holds a checkpoint before it is full");
}

/// Like a full disk, but without privileges: files may not grow beyond a size, and the system
/// reports it.
#[test]
fn a_file_that_may_not_grow_is_told_and_nothing_is_lost() {
    let whole = Whole::run();
    for n_block in [8, 32, 96] {
        let out = TempDir::new().unwrap();
        let command = start(out.path(), &SETTINGS);
        let script = format!("trap '' XFSZ; ulimit -f {n_block}; exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        assert_kept(&whole, out.path(), &shell.output().unwrap(), "File too large");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_before_training() {
    let out = TempDir::new().unwrap();
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = start(out.path(), &SETTINGS);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // The superuser may write anywhere; the user `nobody` may not.
        command.uid(65534);
    }
    let output = command.output().unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write") && message.contains("Permission denied"), "{message}");
    assert!(message.contains(&out.path().join("runs").display().to_string()), "{message}");
    assert_eq!(names(out.path()), Vec::<String>::new());
}

#[test]
fn damaged_files_are_found_and_named() {
    let out = TempDir::new().unwrap();
    assert!(start(out.path(), &["training.steps=3"]).output().unwrap().status.success());
    let run = run_folder(out.path());
    let name = format!("{}.parquet", run.file_name().unwrap().to_str().unwrap());
    let steps = out.path().join("tables/steps").join(&name);
    let bytes = fs::read(&steps).unwrap();
    fs::write(&steps, &bytes[..bytes.len() - 5]).unwrap();
    fs::write(out.path().join("tables/evals/notes.txt"), "mine").unwrap();
    let mut command = small_run::batchlab();
    let output = command.arg("doctor").arg(out.path()).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["n_file"], 7);
    let damaged = found["damaged"].as_array().unwrap();
    let paths: Vec<&str> = damaged.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(damaged.len(), 2, "{paths:?}");
    assert!(paths[0].ends_with(&name) && paths[0].contains("steps"), "{paths:?}");
    assert!(paths[1].ends_with("notes.txt"), "{paths:?}");
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let out = TempDir::new().unwrap();
    assert!(start(out.path(), &["training.steps=3"]).output().unwrap().status.success());
    let found = doctor(out.path(), &[]);
    assert_eq!((&found["n_file"], &found["n_verified"]), (&6.into(), &6.into()));
    fs::create_dir(out.path().join("wip")).unwrap();
    fs::write(out.path().join("wip/notes.txt"), "mine").unwrap();
    let found = doctor(out.path(), &[]);
    assert_eq!(found["runs"], serde_json::json!([]), "notes are not a run in progress");
    assert!(found["strays"][0].as_str().unwrap().ends_with("notes.txt"));

    let run = run_folder(out.path());
    let name = format!("{}.parquet", run.file_name().unwrap().to_str().unwrap());
    let steps = out.path().join("tables/steps").join(&name);
    let whole = fs::read(&steps).unwrap();
    let examine = || {
        let mut command = small_run::batchlab();
        let output = command.arg("doctor").arg(out.path()).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let [damaged] = &found["damaged"].as_array().unwrap()[..] else { panic!("{found}") };
        let path = damaged["path"].as_str().unwrap().to_owned();
        assert_eq!(Path::new(&path), steps);
        damaged["reason"].as_str().unwrap().to_owned()
    };
    // Somewhere in the data, where most readers check no checksum.
    let mut n_silent = 0;
    for place in [5, whole.len() / 4, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&steps, &bytes).unwrap();
        n_silent += u32::from(examine().contains("SHA-256"));
    }
    println!("{n_silent} of 3 flipped bits are seen by no reader");
    fs::remove_file(&steps).unwrap();
    assert!(examine().contains("is missing"));
    fs::write(&steps, &whole).unwrap();
    assert_eq!(doctor(out.path(), &[])["damaged"], serde_json::json!([]));
}

/// The tables of a run that was resumed and then killed before it got as far as the earlier
/// attempt.
#[test]
fn an_attempt_that_ends_early_takes_nothing_from_the_tables() {
    let out = TempDir::new().unwrap();
    let out = out.path();
    let long = ["training.steps=100000000", "training.checkpoint={ steps = 1000 }"];
    let mut child = quiet(&mut start(out, &long));
    let mut wait_until = |is_there: &dyn Fn() -> bool| {
        while !is_there() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait_until(&|| !checkpoints(out).is_empty());
    // Every evaluation writes into the journal.
    let saved = journal_length(out);
    wait_until(&|| journal_length(out) > saved);
    child.kill().unwrap();
    child.wait().unwrap();
    doctor(out, &[]);
    let before = Tables::read(out);
    let aside = run_folder(out).join("journal");
    let n_byte = fs::metadata(&aside).unwrap().len();
    for signal in ["-KILL", "-INT"] {
        let mut child = quiet(&mut resume(out));
        // Everything after the checkpoint is truncated.
        while !(1..n_byte).contains(&journal_length(out)) || aside.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it did not go on");
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        child.wait().unwrap();
        let planned = doctor(out, &["--dry-run"]);
        let found = doctor(out, &[]);
        assert_eq!(planned["runs"], found["runs"]);
        let after = Tables::read(out);
        let [before, after] = [&before, &after].map(|tables| tables.steps.len());
        assert!(after >= before, "{after} rows after {signal}, {before} before: {found}");
        assert!(!out.join("wip").exists());
    }
}

#[test]
fn a_damaged_journal_is_told_and_kept() {
    let out = TempDir::new().unwrap();
    // Killed around its third second: the journal has several entries.
    let mut command = start(
        out.path(),
        &["training.steps=1000000", "training.checkpoint={ steps = 100, keep = 100000 }"],
    );
    let mut child = quiet(&mut command);
    let journal = loop {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        if journal_length(out.path()) > 300_000 {
            child.kill().unwrap();
            child.wait().unwrap();
            let wip = out.path().join("wip");
            break wip.join(&names(&wip)[0]).join("journal");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&journal, &bytes).unwrap();

    let mut command = small_run::batchlab();
    let output = command.arg("doctor").arg(out.path()).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept = found["runs"][0]["damaged_journal"].as_str().unwrap();
    assert_eq!(kept, run_folder(out.path()).join("journal.damaged").to_str().unwrap());
    assert!(fs::read(kept).unwrap() == bytes, "not a byte of it is lost");
    assert_tables_are_readable(out.path());
    // The damaged entry is missing, and nothing else.
    let steps: Vec<i64> = Tables::read(out.path()).steps.iter().map(|step| step.step).collect();
    assert_eq!(steps.first(), Some(&1));
    let gaps: Vec<i64> =
        steps.windows(2).filter(|pair| pair[1] != pair[0] + 1).map(|pair| pair[0]).collect();
    let [before_gap] = gaps[..] else { panic!("{gaps:?} in {} steps", steps.len()) };
    assert!(found["runs"][0]["damaged_bytes"].as_u64().unwrap() < bytes.len() as u64 / 2);
    // A run does not resume past a gap, although there are later checkpoints.
    assert!(
        checkpoints(out.path()).pop().is_some_and(|(step, _)| step > before_gap.cast_unsigned())
    );
    let resumes_after = found["runs"][0]["resumes_after"].as_u64();
    assert!(
        resumes_after.is_none_or(|step| step <= before_gap.cast_unsigned()),
        "{resumes_after:?}"
    );
}
