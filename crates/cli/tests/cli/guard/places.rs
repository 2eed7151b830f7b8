//! One of our files or directories is replaced by a pipe, a device, a link to a user's file, a
//! directory or an endless file. Every command exits soon and changes nothing outside.
//!
//! `BATCHLAB_PLACES=all cargo test --release -p batchlab-cli --test cli guard::places` tries every
//! replacement at every path; otherwise each path gets one of them, in turn.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kill::quiet;
use crate::small_run::{checkpoints, names, start, text};

const PATIENCE: Duration = Duration::from_secs(20);
/// Address space in KiB, which an endless file would exhaust.
const ADDRESS_SPACE: u64 = 4 << 20;

/// The replacement.
#[derive(Debug, Clone, Copy)]
enum Thing {
    Pipe,
    Device,
    LinkToFile,
    LinkToFolder,
    Folder,
    Endless,
}

const THINGS: [Thing; 6] = [
    Thing::Pipe,
    Thing::Device,
    Thing::LinkToFile,
    Thing::LinkToFolder,
    Thing::Folder,
    Thing::Endless,
];

impl Thing {
    fn put(self, path: &Path, outside: &Path) {
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        match self {
            Self::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Self::Device => symlink("/dev/zero", path).unwrap(),
            Self::LinkToFile => symlink(outside.join("letter"), path).unwrap(),
            Self::LinkToFolder => symlink(outside, path).unwrap(),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Endless => File::create(path).unwrap().set_len(100 << 30).unwrap(),
        }
    }
}

/// Files and directories below a directory, as relative paths.
fn inside(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for name in names(&root.join(folder)) {
        let path = folder.join(name);
        all.push(path.clone());
        if root.join(&path).is_dir() {
            all.extend(inside(root, &path));
        }
    }
    all
}

fn ask(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    let limit = format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"");
    command.args(["-c", &limit, env!("CARGO_BIN_EXE_batchlab")]).args(arguments);
    command.env("BATCHLAB_LOCKS", folder).env("BATCHLAB_CACHE", folder.join("cache"));
    command.env("MALLOC_ARENA_MAX", "2").current_dir(folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Replaces every path below `folder` of the files in `whole`.
fn attack(whole: &Path, folder: &str, commands: &[&[&str]]) {
    let is_all = std::env::var("BATCHLAB_PLACES").is_ok_and(|value| value == "all");
    let mut turn = 0;
    for place in inside(whole, Path::new(folder)) {
        for command in commands {
            turn += 1;
            for thing in
                THINGS.iter().cycle().skip(turn).take(if is_all { THINGS.len() } else { 1 })
            {
                let (copy, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
                let letter = outside.path().join("letter");
                fs::write(&letter, "mine\n").unwrap();
                let mut cp = Command::new("cp");
                assert!(
                    cp.arg("-a").arg(whole.join(".")).arg(copy.path()).status().unwrap().success()
                );
                thing.put(&copy.path().join(&place), outside.path());
                let output = ask(copy.path(), command);
                let words = text(&output);
                let what = format!("{thing:?} at {}, {command:?}: {words}", place.display());
                assert!(output.status.code().is_some_and(|code| code != 101), "{what}");
                assert!(!words.contains("panicked") && words.len() < 20_000, "{what}");
                assert_eq!(names(outside.path()), ["letter"], "{what}");
                assert_eq!(fs::read_to_string(&letter).unwrap(), "mine\n", "{what}");
            }
        }
    }
}

const STUDY: &str = r#"
study = "small"
batchers = ["static-64", "dynamic"]
batch_sizes = [16]
dataset = { name = "qm9", limit = 60 }
model = { name = "schnet", latent_size = 8, n_gaussian = 8, n_interaction = 1 }
training = { steps = 4, warmup_steps = 1 }
blocks = { steps = 1, seconds = 1e-6, pairs = 1 }
"#;

#[test]
fn in_a_study() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    let sweep = ["sweep", "study.toml", "--out", "s", "--threads", "1", "--hardware", "here", "-q"];
    let output = ask(folder.path(), &sweep);
    assert!(output.status.success(), "{}", text(&output));
    let again = [&sweep[..], &["--retry"]].concat();
    attack(folder.path(), "s", &[&again, &["status", "s"], &["report", "s"], &["doctor", "s"]]);
}

#[test]
fn in_a_run_that_can_go_on() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("r");
    // Killed after its second checkpoint: one copy as left behind, one published by the doctor.
    let mut child =
        quiet(&mut start(&out, &["training.steps=1000000", "training.checkpoint={ steps = 10 }"]));
    while checkpoints(&out).len() < 2 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = ["run", "--resume", "r", "--threads", "1", "-q", "training.steps=1"];
    attack(folder.path(), "r", &[&["doctor", "r"], &resumed]);
    let output = ask(folder.path(), &["doctor", "r"]);
    assert!(output.status.success(), "{}", text(&output));
    let weights = ["weights", "r", "--out", "w.safetensors"];
    attack(
        folder.path(),
        "r",
        &[&resumed, &weights, &["export", "r", "--to", "csv", "--out", "csv"]],
    );
}

#[test]
fn in_data_and_in_the_cache() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let raw = root.join("ogb/raw");
    let split = root.join("ogb/split/time");
    for folder in [&raw, &split] {
        fs::create_dir_all(folder).unwrap();
    }
    for (path, text) in [
        (raw.join("edge.csv"), "0,1\n1,0\n1,2\n2,1\n2,3\n3,2\n"),
        (raw.join("node-feat.csv"), "0.5\n1.5\n0\n1\n"),
        (raw.join("node-label.csv"), "0\n1\n0\n1\n"),
        (raw.join("num-node-list.csv"), "4\n"),
        (raw.join("num-edge-list.csv"), "6\n"),
        (split.join("train.csv"), "0\n1\n"),
        (split.join("valid.csv"), "2\n"),
        (split.join("test.csv"), "3\n"),
    ] {
        let packed = path.with_extension("csv.gz");
        fs::write(&path, text).unwrap();
        assert!(Command::new("gzip").arg("-n").arg(&path).status().unwrap().success());
        assert!(packed.is_file());
    }
    let sums = Command::new("sh")
        .args(["-c", "sha256sum raw/* > SHA256SUMS"])
        .current_dir(root.join("ogb"))
        .status();
    assert!(sums.unwrap().success());
    let config = "study = \"x\"\ndevice = \"cpu\"\n\
        dataset = { name = \"one-graph\", path = \"ogb\" }\n\
        model = { name = \"gcn\", hidden = 4 }\n\
        batcher = { name = \"cluster\", n_part = 2, parts_per_batch = 1 }\n\
        evaluation = { batcher = { name = \"full\" }, every = 5 }\n\
        training = { steps = 2, loss = \"cross-entropy\", checkpoint = \"none\" }\n";
    fs::write(root.join("graph.toml"), config).unwrap();
    let run = ["run", "graph.toml", "--out", "out", "--threads", "1", "-q"];
    let output = ask(root, &run);
    assert!(output.status.success(), "{}", text(&output));
    fs::remove_dir_all(root.join("out")).unwrap();
    let output = ask(root, &["data", "verify", "ogb"]);
    assert!(output.status.success(), "{}", text(&output));
    attack(root, "ogb", &[&["data", "stats", "graph.toml"], &["data", "verify", "ogb"]]);
    let kept = names(&root.join("cache"));
    assert!(kept.iter().any(|name| name.ends_with(".prepared.safetensors")), "{kept:?}");
    attack(root, "cache", &[&run]);
    let graphs = ["data", "convert", "graph.toml"];
    assert!(ask(root, &graphs).status.success());
    attack(root, "cache", &[&graphs]);
}

/// Run output is not written through an existing link, whatever its name.
#[test]
fn in_the_way_of_what_is_written() {
    let outside = TempDir::new().unwrap();
    let letter = outside.path().join("letter");
    fs::write(&letter, "mine\n").unwrap();
    for name in ["commands.txt", "cells/here/cells.json", "cells/here/.cells.json.1"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("study.toml"), STUDY).unwrap();
        let place = folder.path().join("s").join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(&letter, &place).unwrap();
        let sweep =
            ["sweep", "study.toml", "--out", "s", "--threads", "1", "--hardware", "here", "-q"];
        ask(folder.path(), &sweep);
        assert_eq!(fs::read_to_string(&letter).unwrap(), "mine\n", "{name}");
    }
}
