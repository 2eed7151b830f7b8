//! A run that ended early resumes exactly where it stopped.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use batchlab_core::hash::sha256;
use tempfile::TempDir;

use crate::small_run::{
    Tables, batchlab, checkpoints, doctor, names, resume, run_folder, start, text,
};

/// The study's two strategies. Epochs of 1,600 graphs end within the run, and no checkpoint
/// coincides with their end.
const BATCHERS: [&str; 2] = [
    "batcher={ name = \"static\", batch_size = 16, padding = { multiple = 64 } }",
    "batcher={ name = \"dynamic\", batch_size = 16 }",
];
const SAVING: &str = "training.checkpoint={ steps = 50 }";

pub(crate) fn completed(command: &mut Command) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// The content of the last checkpoint without the facts of the attempt: parameters, moments and
/// shapes, bit by bit.
pub(crate) fn weights(out: &Path) -> Vec<u8> {
    let (_, path) = checkpoints(out).pop().unwrap();
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// Interrupts a run in the middle: asks it to stop once a step has been saved.
pub(crate) fn interrupt_midway(command: &mut Command, out: &Path) -> std::process::Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while checkpoints(out).is_empty() {
        assert!(Instant::now() < deadline, "no checkpoint was ever saved");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

/// The directory of a run, with its results in `out`, that was stopped after a checkpoint, asked to
/// stop again when resumed, and finally completed. Retried if the run was faster than the signal.
pub(crate) fn completed_in_parts(begin: impl Fn(&Path) -> Command) -> TempDir {
    for _ in 0..50 {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("out");
        let output = interrupt_midway(&mut begin(folder.path()), &out);
        if output.status.code() == Some(0) {
            continue;
        }
        assert_eq!(output.status.code(), Some(6), "{}", text(&output));
        let is_completed = || Tables::read(&out).runs[0].status == "completed";
        for _ in 0..4 {
            if !is_completed() {
                interrupt_midway(&mut resume(&out), &out);
            }
        }
        if !is_completed() {
            completed(&mut resume(&out));
        }
        assert!(is_completed());
        return folder;
    }
    panic!("the run always ends before it can be stopped");
}

/// A run of this kind that was stopped after one of its checkpoints and before its end. Retried if
/// the run was faster than the signal.
fn stopped(settings: &[&str]) -> TempDir {
    for _ in 0..50 {
        let out = TempDir::new().unwrap();
        let output = interrupt_midway(&mut start(out.path(), settings), out.path());
        if output.status.code() == Some(6) && checkpoints(out.path()).len() == 2 {
            return out;
        }
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", text(&output));
    }
    panic!("the run always ends before it can be stopped");
}

#[test]
fn stopped_and_resumed_is_the_same_as_never_stopped_to_the_last_bit() {
    for batcher in BATCHERS {
        let settings = [batcher, SAVING];
        let whole = TempDir::new().unwrap();
        completed(&mut start(whole.path(), &settings));
        let reference = Tables::read(whole.path());
        assert_eq!(reference.steps.len(), 130);
        assert!(reference.steps.iter().any(|step| step.epoch == 1), "an epoch ends on the way");

        let parts = stopped(&settings);
        let first = Tables::read(parts.path());
        assert_eq!(first.runs[0].status, "interrupted");
        assert_eq!(first.timeless_steps(), reference.timeless_steps()[..first.steps.len()]);
        assert!(first.steps.len() < 130, "the run was stopped before its end");
        assert_eq!(checkpoints(parts.path()).pop().unwrap().0, first.steps.len() as u64);
        assert!(!parts.path().join("wip").exists(), "what is published needs no salvage");

        // Stopped again at some moment, perhaps before it has started, or after its end.
        let output = interrupt_midway(&mut resume(parts.path()), parts.path());
        if output.status.code() != Some(0) {
            completed(&mut resume(parts.path()));
        }
        let second = Tables::read(parts.path());
        assert_eq!(second.timeless_steps(), reference.timeless_steps(), "{batcher}");
        assert_eq!(second.timeless_evals(), reference.timeless_evals(), "{batcher}");
        assert_eq!(weights(parts.path()), weights(whole.path()), "{batcher}");
        let run = &second.runs[0];
        assert_eq!((run.status.as_str(), run.n_step), ("completed", Some(130)));
        assert_eq!(run.n_shape, reference.runs[0].n_shape);
        assert_eq!(run.started_at, first.runs[0].started_at);
        let kinds: Vec<&str> = second.events.iter().map(|event| event.kind.as_str()).collect();
        assert!(kinds.contains(&"interrupted") && kinds.contains(&"resumed"), "{kinds:?}");

        let output = resume(parts.path()).output().unwrap();
        assert!(text(&output).contains("to train further"), "{}", text(&output));
    }
}

/// More steps than planned: a new run, which continues as if it had been planned that way.
#[test]
fn an_extended_run_is_the_same_as_a_longer_one_to_the_last_bit() {
    for batcher in BATCHERS {
        let whole = TempDir::new().unwrap();
        completed(&mut start(whole.path(), &[batcher, "training.steps=200"]));
        let reference = Tables::read(whole.path());

        let parts = TempDir::new().unwrap();
        completed(&mut start(parts.path(), &[batcher]));
        let parent = names(&parts.path().join("runs")).pop().unwrap();
        completed(resume(parts.path()).arg("training.steps=200"));
        let mut both = Tables::read(parts.path());
        // Files are sorted by name; the hashes decide between runs started within one second.
        both.runs.sort_by_key(|run| run.parent.is_some());
        both.steps.sort_by_key(|step| step.step);
        both.evals.sort_by_key(|eval| eval.step);
        let [first, second] = both.runs.as_slice() else { panic!("{}", both.runs.len()) };
        assert_eq!((first.n_step, first.parent.as_ref()), (Some(130), None));
        assert_eq!((second.n_step, second.parent.as_ref()), (Some(200), Some(&parent)));
        assert_eq!(second.n_shape, reference.runs[0].n_shape);
        assert_eq!(second.config_hash, reference.runs[0].config_hash);
        assert_eq!(both.timeless_steps(), reference.timeless_steps(), "{batcher}");
        let evals = |tables: &Tables| {
            let last = tables.timeless_evals().into_iter().filter(|eval| eval.step > 130);
            last.collect::<Vec<_>>()
        };
        assert!(evals(&reference).len() > 1);
        assert_eq!(evals(&both), evals(&reference), "{batcher}");
        let kinds: Vec<_> = both.events.iter().filter(|event| event.kind == "resumed").collect();
        assert!(kinds.len() == 1 && kinds[0].message.contains(&parent), "{kinds:?}");

        let refused = |change: &str, part: &str| {
            let folder = parts.path().join("runs").join(&parent);
            let arguments = ["--resume", folder.to_str().unwrap(), change];
            let output = batchlab().arg("run").args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            assert!(text(&output).contains(part), "{}", text(&output));
        };
        refused("training.steps=100", "has already done 130 steps: request more");
        refused("model.latent_size=16", "model.latent_size: 8 in the checkpoint, 16 now");
        refused("training.seeds.order=7", "training.seeds.order: 42 in the checkpoint, 7 now");
    }
}

/// `timeout -s INT` signals the process and its group: two signals, meant as one.
#[test]
fn two_signals_at_once_are_one() {
    let out = TempDir::new().unwrap();
    let mut command =
        start(out.path(), &["training.steps=100000000", "evaluation.every=100000000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !out.path().join("wip").exists() {
        assert!(Instant::now() < deadline, "the run never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(6), "{printed}");
    assert_eq!(checkpoints(out.path()).len(), 1, "{printed}");
    assert!(!printed.contains("->"), "one evaluation shows no change: {printed}");
    assert!(printed.contains("before training; predicting the mean"), "{printed}");
}

#[test]
fn another_configuration_is_refused_key_by_key() {
    let out = stopped(&[SAVING, "training.steps=100000000"]);
    let before = names(&run_folder(out.path()));
    let mut command = start(out.path(), &[SAVING, "training.seeds.init=7"]);
    let output = command.arg("--resume").arg(run_folder(out.path())).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let message = text(&output);
    for line in [
        "  training.steps: 100000000 in the checkpoint, 130 now",
        "  training.seeds.init: 42 in the checkpoint, 7 now",
    ] {
        assert!(message.contains(line), "{message}");
    }
    assert!(!message.contains("training.prefetch"), "only what differs is named: {message}");
    assert_eq!(names(&run_folder(out.path())), before, "nothing was touched");
}

#[test]
fn other_data_are_refused() {
    let data = TempDir::new().unwrap();
    let path = data.path().join("water.xyz");
    let write = |side: f64| {
        let atoms = |k: usize| {
            let x = side * (k % 7 + 1) as f64 / 7.0;
            format!("3\nenergy={}\nO 0 0 0\nH {x} 0 0\nH 0 {x} 0\n", k as f64 / 10.0)
        };
        fs::write(&path, (0..60).map(atoms).collect::<String>()).unwrap();
    };
    write(1.0);
    let dataset = format!(
        "dataset={{ name = \"structures\", path = \"{}\", target = \"energy\", \
         edges = {{ radius = 3.0 }} }}",
        path.display()
    );
    let out = stopped(&[dataset.as_str(), SAVING, "training.steps=100000000"]);
    write(1.1);
    let output = resume(out.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("dataset_hash: "), "{}", text(&output));
    assert!(text(&output).contains("the data set differs from that of run"), "{}", text(&output));
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let settings = [SAVING];
    let whole = TempDir::new().unwrap();
    completed(&mut start(whole.path(), &settings));

    let parts = stopped(&settings);
    let saved = checkpoints(parts.path());
    assert_eq!(saved.len(), 2, "one of the plan, one of the interruption: {saved:?}");
    let mut bytes = fs::read(&saved[1].1).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&saved[1].1, bytes).unwrap();

    let output = resume(parts.path()).arg("--quiet").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let warning = "is damaged: its hash is not the one in its name; an earlier one is looked for";
    assert!(text(&output).contains(warning), "{}", text(&output));
    let (second, reference) = (Tables::read(parts.path()), Tables::read(whole.path()));
    assert_eq!(second.timeless_steps(), reference.timeless_steps());
    let resumed = second.events.iter().find(|event| event.kind == "resumed").unwrap();
    assert_eq!(resumed.step, Some(saved[0].0 as i64));
}

/// Forges a checkpoint with other content and a matching hash.
fn forge(path: &Path, change: impl Fn(&str) -> String, step: u64) {
    let bytes = fs::read(path).unwrap();
    let n_header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = change(std::str::from_utf8(&bytes[8..n_header]).unwrap());
    let mut forged = (header.len() as u64).to_le_bytes().to_vec();
    forged.extend(header.as_bytes());
    forged.extend(&bytes[n_header..]);
    fs::remove_file(path).unwrap();
    let name = format!("step-{step:012}.{}.safetensors", &sha256(&forged)[..16]);
    fs::write(path.with_file_name(name), forged).unwrap();
}

/// Replaces the number of a key of the state, padded with blanks so that tensors stay aligned.
fn with_number(header: &str, key: &str, number: u64) -> String {
    let (before, rest) = header.split_once(&format!("\\\"{key}\\\":")).unwrap();
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let changed = format!("{before}\\\"{key}\\\":{number}{after}");
    let n_blank = (header.len() + 64 - changed.len()) % 8;
    changed + &" ".repeat(n_blank)
}

#[test]
fn a_checkpoint_that_contradicts_itself_or_the_journal_is_not_used() {
    let original = stopped(&[SAVING, "training.steps=100000000"]);
    let saved = checkpoints(original.path());
    let (last, newest) = saved[1].clone();
    // With the previous one gone, there is nothing else to resume from.
    fs::remove_file(&saved[0].1).unwrap();
    let forgeries: [(&[(&str, u64)], u64); 6] = [
        (&[("step", 5000), ("n_update", 5000)], 5000),
        (&[("step", u64::MAX), ("n_update", u64::MAX)], u64::MAX),
        (&[("step", 0), ("n_update", 0)], 0),
        (&[("step", 100_000_000), ("n_update", 100_000_000)], 100_000_000),
        (&[("n_update", 7)], last),
        (&[("journal_end", 0)], last),
    ];
    let bytes = fs::read(&newest).unwrap();
    for (numbers, step) in forgeries {
        fs::write(&newest, &bytes).unwrap();
        let change = |header: &str| {
            numbers
                .iter()
                .fold(header.to_owned(), |header, (key, to)| with_number(&header, key, *to))
        };
        forge(&newest, change, step);
        let output = resume(original.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{numbers:?}: {}", text(&output));
        assert!(text(&output).contains("is damaged: it"), "{numbers:?}: {}", text(&output));
        for (_, path) in checkpoints(original.path()) {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_run_that_is_not_there_or_never_saved_is_named() {
    let out = TempDir::new().unwrap();
    let mut child =
        start(out.path(), &["training.steps=100000000"]).arg("--quiet").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !names(&out.path().join("wip")).iter().any(|run| {
        fs::metadata(out.path().join("wip").join(run).join("journal")).is_ok_and(|m| m.len() > 0)
    }) {
        assert!(Instant::now() < deadline, "the run never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = resume(out.path()).output().unwrap();
    assert!(text(&output).contains("is running in another process"), "{}", text(&output));
    assert_eq!(doctor(out.path(), &[])["runs"][0]["finding"], "at_work");
    child.kill().unwrap();
    child.wait().unwrap();
    let output = resume(out.path()).output().unwrap();
    assert!(text(&output).contains("has no checkpoint to continue from"), "{}", text(&output));
    assert!(text(&output).contains("batchlab doctor"), "{}", text(&output));

    let output = batchlab()
        .args(["run", "--resume", "20200101-000000-00000000", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("there is no run \"20200101-000000-00000000\""));
}
