//! Flips one bit of any file that this program writes and reads back: it must give the same answer
//! or name the damaged file.
//!
//! `BATCHLAB_FLIPS=200 cargo test -p batchlab-cli --test cli guard::flips -- --nocapture` flips
//! that many bits of every file.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::kill::{number_from, quiet};
use crate::small_run::{Tables, batchlab, checkpoints, names, resume, start, text};

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = names(folder).into_iter().map(|name| folder.join(name));
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The kind of file, for statistics.
fn kind(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(kind @ ("parquet" | "safetensors")) => {
            let folder = path.parent().unwrap().file_name().unwrap();
            format!("{}/*.{kind}", folder.to_str().unwrap())
        }
        _ => name.to_owned(),
    }
}

/// The bytes with one bit flipped at a time, spread over the file.
fn flipped(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let n_flip = number_from("BATCHLAB_FLIPS").unwrap_or(3).min(8 * whole.len() as u64);
    (0..n_flip).map(move |flip| {
        let bit = (8 * whole.len() as u64 - 1) * (2 * flip + 1) / (2 * n_flip);
        let mut bytes = whole.to_vec();
        // A different bit of the byte each time.
        bytes[(bit / 8) as usize] ^= 1 << ((bit + 3 * flip) % 8);
        bytes
    })
}

/// `None`: neither the same answer nor a message that names the file.
fn verdict(path: &Path, is_same: bool, output: &Output) -> Option<&'static str> {
    let words = text(output);
    let has_ended = output.status.code().is_some_and(|code| code != 101);
    if !has_ended || words.contains("panicked") {
        return None;
    }
    let name = path.file_name().unwrap().to_str().unwrap();
    if is_same {
        return Some("the same answer");
    }
    words.contains(name).then_some("named")
}

/// Flips bits of a file, runs the query after each `every`-th, from `first` on, and restores the file.
fn try_file(
    path: &Path,
    fates: &mut BTreeMap<(String, &'static str), u32>,
    (first, every): (usize, usize),
    ask: &dyn Fn() -> (bool, Output),
) {
    let whole = fs::read(path).unwrap();
    for (n, bytes) in flipped(&whole).enumerate().skip(first).step_by(every) {
        fs::write(path, &bytes).unwrap();
        let (is_same, output) = ask();
        let fate = verdict(path, is_same, &output);
        let fate = fate.unwrap_or_else(|| panic!("{} flip {n}: {}", path.display(), text(&output)));
        *fates.entry((kind(path), fate)).or_default() += 1;
    }
    fs::write(path, whole).unwrap();
}

const STUDY: &str = r#"
study = "small"
batchers = ["static-64", "dynamic"]
batch_sizes = [16]
dataset = { name = "qm9", limit = 120 }
model = { name = "schnet", latent_size = 8, n_gaussian = 8, n_interaction = 1 }
training = { steps = 12, warmup_steps = 2 }
blocks = { steps = 2, seconds = 1e-6, pairs = 2 }
"#;

/// Number of cells that have started.
fn n_progress(out: &Path) -> usize {
    files(&out.join("cells")).iter().filter(|path| path.ends_with("progress.json")).count()
}

#[test]
fn a_flipped_bit_in_results_is_told() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("results/small");
    fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    // One completed cell, and one that was interrupted.
    let mut sweep = batchlab();
    sweep.args(["sweep", "study.toml", "--threads", "1", "--hardware", "here", "--quiet"]);
    sweep.arg("training.steps=12,1000000").current_dir(folder.path());
    let mut child = quiet(sweep.env("BATCHLAB_LOCKS", folder.path()));
    let is_there = |name: &str| files(&out.join("cells")).iter().any(|path| path.ends_with(name));
    while !(is_there("done.json") && n_progress(&out) == 2) {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(out.join("wip")).unwrap();
    let ask =
        |arguments: &[&str]| batchlab().args(arguments).arg(&out).arg("--json").output().unwrap();
    let questions: [&[&str]; 3] = [&["report"], &["status"], &["doctor", "--dry-run"]];
    let mut fates = BTreeMap::new();
    for (n, question) in questions.into_iter().enumerate() {
        let answer = ask(question);
        assert!(answer.status.success(), "{}", text(&answer));
        for path in files(&out) {
            // Each flip is tested with one of the commands, in turn.
            try_file(&path, &mut fates, (n, questions.len()), &|| {
                let output = ask(question);
                (output.stdout == answer.stdout && output.status.success(), output)
            });
        }
    }
    for ((kind, fate), n) in &fates {
        println!("{n:>4} {kind}: {fate}");
    }
    let is_named = |name: &str| fates.contains_key(&(name.to_owned(), "named"));
    for name in ["files.json", "done.json", "progress.json", "cells.json", "steps/*.parquet"] {
        assert!(is_named(name), "{name} is never read: {fates:?}");
    }
}

#[test]
fn a_flipped_bit_in_what_a_run_goes_on_from_is_told() {
    const SETTINGS: [&str; 2] = ["training.steps=60", "training.checkpoint={ steps = 10 }"];
    let whole = TempDir::new().unwrap();
    assert!(quiet(&mut start(whole.path(), &SETTINGS)).wait().unwrap().success());
    let whole = Tables::read(whole.path());
    // Stopped by its third checkpoint at the latest.
    let stopped = loop {
        let out = TempDir::new().unwrap();
        let mut child = quiet(&mut start(out.path(), &SETTINGS));
        while checkpoints(out.path()).len() < 2 && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        let saved = checkpoints(out.path());
        if saved.len() == 2 && saved[1].0 < 60 {
            break out;
        }
    };
    let mut fates = BTreeMap::new();
    for path in files(stopped.path()) {
        if path.ends_with("lock") {
            continue;
        }
        try_file(&path, &mut fates, (0, 1), &|| {
            let out = TempDir::new().unwrap();
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(stopped.path().join(".")).arg(out.path());
            assert!(copy.status().unwrap().success());
            let output = resume(out.path()).output().unwrap();
            let tables = Tables::read(out.path());
            let is_same = output.status.success()
                && tables.timeless_steps() == whole.timeless_steps()
                && tables.timeless_evals() == whole.timeless_evals();
            (is_same, output)
        });
    }
    for ((kind, fate), n) in &fates {
        println!("{n:>4} {kind}: {fate}");
    }
}

#[test]
fn a_flipped_bit_in_the_cache_is_told() {
    let (folder, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = data.path().join("water.xyz");
    let molecule = |k: usize| format!("3\nenergy={k}\nO 0 0 0\nH 0.9{k} 0 0\nH 0 0.9{k} 0\n");
    fs::write(&path, (0..40).map(molecule).collect::<String>()).unwrap();
    let dataset = [
        format!("dataset.path={}", path.display()),
        "dataset.target=energy".to_owned(),
        "dataset.edges={ radius = 3.0 }".to_owned(),
    ];
    let ask = |arguments: &[&str]| {
        let mut command = batchlab();
        command.args(arguments).arg("structures").args(&dataset).arg("--json");
        command.env("BATCHLAB_CACHE", folder.path()).output().unwrap()
    };
    let output = ask(&["data", "convert"]);
    assert!(output.status.success(), "{}", text(&output));
    let kept = files(folder.path());
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    let graphs = |output: &Output| {
        let mut all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let of = &mut all["datasets"][0];
        (of["from_cache"].take(), of["load_ns"].take(), all).2
    };
    let answer = ask(&["data", "stats"]);
    assert!(answer.status.success(), "{}", text(&answer));
    let mut fates = BTreeMap::new();
    try_file(kept, &mut fates, (0, 1), &|| {
        let output = ask(&["data", "stats"]);
        (graphs(&output) == graphs(&answer) && output.status.success(), output)
    });
    println!("{fates:?}");
}
