//! The scripts of docs/clusters.md, on a small study.

use std::path::Path;
use std::process::Command;

use super::{python, root, succeed};

/// Six cells.
const STUDY: &str = r#"
study = "quick"
batchers = ["static-64", "dynamic"]
batch_sizes = [8, 16]
repeats = 3

[dataset]
name = "qm9"
limit = 200

[model]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1

[training]
steps = 20
"#;

pub(super) fn xargs() {
    let script = block("sh", "xargs");
    let script: Vec<&str> = script.lines().filter(|line| !line.starts_with("parallel")).collect();
    check(Command::new("sh").args(["-c", &script.join("\n")]));
}

pub(super) fn hyperqueue() {
    check(Command::new(python()).args(["-c", &block("python", "hyperqueue")]));
}

pub(super) fn submitit() {
    check(Command::new(python()).args(["-c", &block("python", "submitit")]));
}

/// The block of the page in this language that contains a word.
fn block(language: &str, word: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/clusters.md")).unwrap();
    let start = format!("\n```{language}\n");
    let mut blocks = page.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(word)).unwrap().to_owned()
}

/// Every cell is trained once.
fn check(script: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("configs/study/quick.toml");
    std::fs::create_dir_all(study.parent().unwrap()).unwrap();
    std::fs::write(&study, STUDY).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_batchlab")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    script.current_dir(folder.path()).env("PATH", path).env("BATCHLAB_LOCKS", folder.path());
    // The server of HyperQueue keeps its state in the home folder.
    succeed(script.env("HOME", folder.path()));
    let mut status = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let status = succeed(status.args(["status", "results/quick"]).current_dir(folder.path()));
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("pool: 6 of 6 cells are done"), "{status}");
    let runs = folder.path().join("results/quick/tables/runs").read_dir().unwrap();
    assert_eq!(runs.count(), 12, "no cell twice: {status}");
}
