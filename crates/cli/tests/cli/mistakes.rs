//! Typical mistakes of newcomers, and the messages for them. None of them may train or panic.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const RUN: &str = r#"study = "mine"

[dataset]
name = "qm9"
limit = 200

[model]
name = "schnet"

[batcher]
name = "dynamic"
batch_size = 8

[training]
steps = 2
"#;

const STUDY: &str = r#"study = "both"
batchers = ["static-64", "dynamic"]
batch_sizes = [8, 16]

[[datasets]]
name = "qm9"
limit = 200

[[models]]
name = "schnet"

[training]
steps = 2
"#;

const MOLECULES: &str = "3
Properties=species:S:1:pos:R:3 energy=-76.4
O 0 0 0.1
H 0 0.76 -0.47
H 0 -0.76 -0.47
";

/// Understood both by QM9's reader and by the general one.
const GDB9: &str = "3
gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t
O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706
H\t 0.0647664923\t 0.0205621989\t 0.0015346341\t 0.294853
H\t 0.8717903737\t 1.3007924048\t 0.0006931336\t 0.294853
1671.4222\t3803.6305\t3907.698
O\tO
InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2
";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in [
        ("run.toml", RUN),
        ("study.toml", STUDY),
        ("run.yaml", "dataset:\n  name: qm9\n"),
        ("run.json", "{ \"dataset\": { \"name\": \"qm9\" } }\n"),
        ("mine.extxyz", MOLECULES),
        ("gdb9.xyz", GDB9),
        ("notes.txt", "nothing that could be read\n"),
        ("twice.toml", "[training]\nsteps = 3\n\n[training]\nsteps = 4\n"),
        ("again.toml", "[training]\nsteps = 3\nlearning_rate = 1e-3\nsteps = 4\n"),
        ("label.toml", "batcher = \"static-64\"\n[dataset]\nname = \"qm9\"\n"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// One mistake per line; words are separated by two spaces.
const KEYS: &str = "
run  run.toml  lr=1e-3
run  run.toml  epochs=3
run  run.toml  seed=7
run  run.toml  batch_size=64
run  run.toml  steps=10
run  run.toml  target=gap
run  run.toml  threads=2
run  run.toml  training.lr=1
run  run.toml  training.batch_size=64
run  run.toml  training.seed=3
run  run.toml  model.lr=1e-3
run  run.toml  model.width=32
run  run.toml  +training.steps=3
run  run.toml  ++training.steps=3
run  run.toml  trainin.steps=3
run  run.toml  trainer.steps=3
run  run.toml  cutoff=5
run  run.toml  model.cutoff=5
run  run.toml  dataset.cutoff=5
run  run.toml  model.edge_hidden_size=32
run  run.toml  training.optimizer=adamw
run  twice.toml
run  again.toml
sweep  run.toml  repeat=3
plan  run.toml  batch_size=16
";

const VALUES: &str = "
run  run.toml  training.steps=1e4
run  run.toml  training.steps=1e-4
run  run.toml  training.steps=-1
run  run.toml  batcher.batch_size=32.5
run  run.toml  batcher.budget=640
run  run.toml  dataset.edges=5.0
run  run.toml  dataset.edges={ radius = 5.0, nearest = 3 }
run  run.toml  split.per_class=20
run  --dataset  mine.extxyz  target=energy  model=schnet  batcher=static-64  batcher.batch_size=4  table=targets.csv
run  run.toml  training.steps:100
run  run.toml  training.steps
run  run.toml  training.steps=
run  run.toml  training.loss=rmse
run  run.toml  training.checkpoint=never
run  run.toml  training.checkpoint=100
run  run.toml  training.prefetch=2000
run  run.toml  split.test=1.5
run  run.toml  split.test=20%
run  run.toml  device=gpu
run  run.toml  study=my study
run  run.toml  sink=cvs
";

const COMPONENTS: &str = "
run  run.toml  batcher=static-46
run  run.toml  batcher=dynamik
run  run.toml  batcher.padding=64
run  run.toml  batcher.padding=power
run  run.toml  evaluation.batcher=exactt
run  run.toml  model=shnet
run  run.toml  dataset=qm8
run  run.toml  dataset.target=energy
run  run.toml  dataset.path=missing.xyz
run  run.toml  batcher=full
run  run.toml  batcher=ibmb
run  run.toml  model=gcn
run  run.toml  evaluation.batcher=full
run  run.toml  dataset.path=min.extxyz
run  --dataset  one-graph  model=gcn  batcher=dynamic  training.steps=2
run  --dataset  one-graph  path=none.npz  model=gcn  batcher=dynamic
run  --dataset  one-graph  path=none.npz
run  --dataset  one-graph  path=none.npz  model=gcn  batcher=full  evaluation.batcher=static-64  training.steps=2
run  --dataset  one-graph  model=schnet  batcher=full  training.steps=2
sweep  --dataset  one-graph  path=none.npz  model=gcn  batchers=ibmb,dynamic  training.steps=2
plan  --dataset  one-graph  path=none.npz  batcher=dynamic
run  --dataset  one-graph  model=gcn  batcher=full  training.steps=2  training.loss=mse
run  label.toml
sweep  run.toml  batchers=[static-64,dynamik]
sweep  run.toml  batchers=static-64,static-64
sweep  run.toml  batch_sizes=16,1
plan  run.toml  batchers=full
plan  run.toml  batchers=a
";

const COMMANDS: &str = "
run
run  nothing.toml
run  rnu.toml
plan  stdy.toml
data  stats  min.extxyz
run  run.toml  study.toml
run  run.yaml
run  run.json
run  study.toml
run  run.toml  batchers=static-64,dynamic
run  run.toml  training.steps=2,3
run  run.toml  --batcher  static-64
run  run.toml  --thread  2
report  --batcher  static-64
run  --dataset  nothing
run  --dataset  mine.extxyz
run  --dataset  structures  target=energy
run  run.toml  --dataset  structures  path=mine.extxyz  target=enrgy
run  --resume  20200101-000000-00000000
run  --resume  nowhere/runs/20200101-000000-00000000  training.steps=9
check  run.toml  lr=3
data  stats
data  stats  missing.xyz
data  stats  notes.txt
data  stats  gdb9.xyz
data  stats  mine.extxyz  target=enrgy
evaluate  20200101-000000-00000000
explain  dynamik
explain  statik
explain  lr
";

/// The command and its message.
fn said(folder: &Path, line: &str) -> String {
    let words: Vec<&str> = line.split("  ").collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let output =
        command.args(&words).current_dir(folder).env("BATCHLAB_CACHE", "off").output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let code = output.status.code();
    assert!(matches!(code, Some(1..=3)), "{line}: {code:?}\n{text}");
    assert!(!text.contains("panicked"), "{line}: {text}");
    assert!(!folder.join("results").exists(), "nothing is trained by mistake: {line}");
    format!("$ batchlab {}\n{}\n\n", words.join(" "), text.trim_end())
}

fn all(lines: &str) -> String {
    let folder = folder();
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.fold(String::new(), |mut text, line| {
        let _ = write!(text, "{}", said(folder.path(), line));
        text
    })
}

#[test]
fn keys() {
    insta::assert_snapshot!("keys", all(KEYS));
}

#[test]
fn values() {
    insta::assert_snapshot!("values", all(VALUES));
}

#[test]
fn components() {
    insta::assert_snapshot!("components", all(COMPONENTS));
}

#[test]
fn commands() {
    insta::assert_snapshot!("commands", all(COMMANDS));
}
