//! What a run records when something is wrong: a non-finite loss, or a class that no training graph
//! has.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// One row of the table `events`.
#[derive(Debug)]
struct Event {
    kind: String,
    message: String,
    payload: Value,
}

/// The events of the only run in a results directory.
fn events(out: &Path) -> Vec<Event> {
    let files = fs::read_dir(out.join("tables/events")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let mut events = Vec::new();
    for rows in file.build().unwrap() {
        let rows = rows.unwrap();
        let column = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
        let [kind, message, payload] = ["kind", "message", "payload"].map(column);
        events.extend((0..rows.num_rows()).map(|row| Event {
            kind: kind.value(row).into(),
            message: message.value(row).into(),
            payload: serde_json::from_str(payload.value(row)).unwrap_or_default(),
        }));
    }
    events
}

fn batchlab(config: &Path, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.arg("run").arg(config).arg("--out").arg(out).args(arguments).output().unwrap()
}

fn summary(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"))
}

fn of_kind(events: Vec<Event>, kind: &str) -> Vec<Event> {
    events.into_iter().filter(|event| event.kind == kind).collect()
}

const QUIET: [&str; 2] = ["--json", "--quiet"];

/// Twelve good steps, then the parameters are blown up.
const DIVERGES: &str = r#"[dataset]
name = "qm9"
target = "U0_atom"

[model]
name = "schnet"
latent_size = 16
n_interaction = 1
n_gaussian = 20

[batcher]
name = "dynamic"
batch_size = 16

[training]
steps = 60
learning_rate = 1e-3
learning_rate_decay = 1e6
learning_rate_decay_steps = 12
"#;

#[test]
fn a_run_that_diverges_names_its_graphs_and_can_be_seen_again() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("study.toml");
    fs::write(&config, DIVERGES).unwrap();
    let out = folder.path().join("first");
    let output = batchlab(&config, &out, &QUIET);
    assert_eq!(output.status.code(), Some(5));
    let first = summary(&output);
    assert_eq!(first["status"], "nan");
    let n_step = first["n_step"].as_u64().unwrap();
    assert!(n_step >= 12, "twelve steps were good, not {n_step}");

    let found = of_kind(events(&out), "nan");
    let [event] = found.as_slice() else { panic!("one loss was not finite: {found:?}") };
    let payload = &event.payload;
    assert_eq!(payload["step"], n_step + 1);
    let members = payload["members"].as_array().unwrap();
    assert!((1..=15).contains(&members.len()), "{members:?}");
    assert_eq!(payload["names"].as_array().unwrap().len(), members.len());
    assert_eq!(payload["replay"]["seeds"]["order"], 42);
    assert_eq!(payload["replay"]["config"]["batcher"]["batch_size"], 16);

    // The message for people says the same.
    let reason = first["reason"].as_str().unwrap();
    assert_eq!(reason, event.message);
    assert!(String::from_utf8_lossy(&output.stderr).contains(reason));
    let name = payload["names"][0].as_str().unwrap();
    assert!(name.starts_with("gdb_"), "{name}");
    assert!(reason.contains(&format!("Its batch holds graphs {name}, ")), "{reason}");
    assert!(reason.contains("try a lower training.learning_rate"), "{reason}");

    // The replay command given there leads to the same loss in the same batch.
    let command = payload["replay"]["command"].as_str().unwrap();
    assert!(reason.ends_with(command), "{reason}");
    let words: Vec<&str> = command.split(' ').collect();
    let ["batchlab", "run", path, steps] = words.as_slice() else { panic!("{command}") };
    let again = folder.path().join("again");
    let output = batchlab(Path::new(path), &again, &[&QUIET[..], &[*steps]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(summary(&output)["n_step"], n_step);
    let found = of_kind(events(&again), "nan");
    for key in ["step", "members", "cursor", "cursor_before"] {
        assert_eq!(found[0].payload[key], payload[key], "{key}");
    }
}

#[test]
fn an_evaluation_that_is_not_finite_names_its_graphs() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("study.toml");
    // Only the last step blows up the parameters, so the loss of every step is finite.
    fs::write(&config, DIVERGES.replace("1e6", "1e30").replace("steps = 60", "steps = 13"))
        .unwrap();
    let out = folder.path().join("out");
    let output = batchlab(&config, &out, &QUIET);
    assert_eq!(output.status.code(), Some(5));
    let summary = summary(&output);
    assert_eq!((summary["status"].as_str(), summary["n_step"].as_u64()), (Some("nan"), Some(13)));
    let found = of_kind(events(&out), "nan");
    let [event] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(event.payload["step"], 13);
    assert_eq!(event.payload["members"].as_array().unwrap().len(), 200, "all are for validation");
    let reason = summary["reason"].as_str().unwrap();
    assert!(reason.starts_with("the loss on validation after 13 steps is "), "{reason}");
    assert!(reason.contains(", because of graphs ") && reason.contains("and 192 more"), "{reason}");
    assert!(reason.ends_with("training.steps=13"), "{reason}");
}

/// Hydrides X-H in the format of the QM9 files, of elements that the reader knows.
fn hydrides(elements: &[&str]) -> String {
    let mut text = String::new();
    for (index, element) in elements.iter().enumerate() {
        let energy = -1.0 - 0.1 * index as f64;
        let _ = write!(
            text,
            "2\ngdb {}\t799.5\t437.9\t282.9\t1.85\t6.31\t-0.29\t0.06\t0.36\t19.0\t0.02\t{energy}\t\
             {energy}\t{energy}\t{energy}\t6.0\t\n\
             {element}\t0.0\t0.0\t0.0\t-0.1\nH\t0.0\t0.0\t{}\t0.1\n1671.4\n{element}\t{element}\n\
             InChI=1S/x\tInChI=1S/x\n",
            index + 1,
            0.9 + 0.01 * index as f64
        );
    }
    text
}

/// Trains on twenty hydrides, of which only the third contains fluorine.
fn with_fluorine(seed: u64) -> (Vec<Event>, String) {
    let folder = TempDir::new().unwrap();
    let mut elements = ["C", "N", "O", "C"].repeat(5);
    elements[2] = "F";
    fs::write(folder.path().join("hydrides.xyz"), hydrides(&elements)).unwrap();
    let config = folder.path().join("study.toml");
    let text = DIVERGES.replace("\"qm9\"", "\"qm9\"\npath = \"hydrides.xyz\"");
    let text = text.replace("steps = 60", "steps = 2");
    fs::write(&config, format!("{text}[training.seeds]\nsplit = {seed}\n")).unwrap();
    let out = folder.path().join("out");
    let output = batchlab(&config, &out, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    (of_kind(events(&out), "unseen_class"), stderr)
}

#[test]
fn a_class_without_training_graphs_is_named() {
    // With some of these seeds the molecule is held out, with others it is trained on.
    let mut n_unseen = 0;
    for seed in 0..12 {
        let (found, stderr) = with_fluorine(seed);
        let Some(event) = found.first() else {
            assert!(!stderr.contains("warning"), "{stderr}");
            continue;
        };
        n_unseen += 1;
        assert_eq!(found.len(), 1, "{found:?}");
        let subset = event.payload["subset"].as_str().unwrap();
        let message = format!(
            "class \"F\" occurs in 1 of 2 graphs for {subset}, but in none for training: its \
             embedding is never trained, so expect large errors there; choose another split or \
             leave these graphs out"
        );
        assert_eq!(event.message, message);
        assert_eq!(event.payload["graphs"], serde_json::json!([2]));
        assert!(stderr.contains(&format!("warning: {message}")), "{stderr}");
    }
    assert!((1..12).contains(&n_unseen), "held out {n_unseen} times of 12");
}
