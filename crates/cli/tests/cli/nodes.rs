//! Training and evaluation on the nodes of one graph.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use batchlab_core::hash::sha256;
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use tempfile::TempDir;

use crate::resume::{completed, completed_in_parts, weights};
use crate::small_run::{Tables, batchlab, names, run_folder, text};

const CONFIG: &str = r#"
[dataset]
name = "planted-graph"
n_node = 400
n_edge = 1200
n_feature = 4
n_class = 2
n_community = 4
self_loops = true
edge_weight = "row"
[model]
name = "gcn"
hidden = 8
"#;
const FULL: &str = "batcher = { name = \"full\" }";

/// The tables `batcher`, `evaluation` and `training`, with these contents.
fn start(folder: &Path, batcher: &str, evaluation: &str, training: &str) -> Command {
    let text = format!(
        "{CONFIG}[batcher]\n{batcher}\n[evaluation]\n{evaluation}\n\
         [training]\n{training}\nloss = \"cross-entropy\"\n"
    );
    let config = folder.join("run.toml");
    fs::write(&config, text).unwrap();
    let mut command = batchlab();
    command.arg("run").arg(config).arg("--out").arg(folder.join("out")).args(["--threads", "1"]);
    command
}

#[test]
fn runs_of_nodes_are_the_same_after_interruptions_to_the_last_bit() {
    for batcher in [
        "name = \"ibmb\"\noutputs = \"node-wise\"\noutputs_per_batch = 40\norder = \"sample\"",
        "name = \"ibmb\"\noutputs = \"batch-wise\"\nn_part = 5\norder = \"tour\"",
        "name = \"neighbor\"\nn_output = 40\nfan_out = [3, 2]",
        "name = \"saint-rw\"\nn_root = 40\nwalk_length = 2\nbatches_per_epoch = 7",
    ] {
        let training = "epochs = 40\nlearning_rate = 0.01\nearly_stopping = { patience = 50 }\n\
                        checkpoint = { steps = 9 }";
        let evaluation = format!("every = 5\n{FULL}");
        let begin = |folder: &Path| start(folder, batcher, &evaluation, training);
        let whole = TempDir::new().unwrap();
        completed(&mut begin(whole.path()));
        let parts = completed_in_parts(begin);
        let [whole, parts] = [whole.path(), parts.path()].map(|folder| folder.join("out"));
        let (reference, again) = (Tables::read(&whole), Tables::read(&parts));
        assert_eq!(again.timeless_steps(), reference.timeless_steps(), "{batcher}");
        assert_eq!(again.timeless_evals(), reference.timeless_evals(), "{batcher}");
        assert_eq!(weights(&parts), weights(&whole), "{batcher}");
    }
}

/// Subsets of the nodes of one graph are evaluated together in one full-graph pass, with the same
/// numbers as alone.
#[test]
fn subsets_have_the_same_numbers_together_as_alone() {
    let evaluations = |subsets: &str| {
        let folder = TempDir::new().unwrap();
        let evaluation = format!("every = 1\n{FULL}\nsubsets = [{subsets}]");
        let batcher = "name = \"cluster\"\nn_part = 2";
        completed(&mut start(folder.path(), batcher, &evaluation, "epochs = 2"));
        let evals = Tables::read(&folder.path().join("out")).evals.into_iter();
        let numbers = evals.map(|e| (e.subset, e.step, e.n_output, e.loss, e.accuracy, e.macro_f1));
        numbers.collect::<Vec<_>>()
    };
    let together = evaluations("\"train\", \"validation\", \"test\"");
    assert_eq!(together.len(), 9);
    for subset in ["train", "validation", "test"] {
        let alone = evaluations(&format!("\"{subset}\""));
        let own: Vec<_> = together.iter().filter(|eval| eval.0 == subset).cloned().collect();
        assert_eq!(alone, own);
    }
    assert!(evaluations("").is_empty());
}

#[test]
fn batches_of_the_strategy_evaluate_beside_the_whole_graph() {
    let folder = TempDir::new().unwrap();
    let evaluation = format!("every = 1\n{FULL}\nown_batches = true\nsubsets = [\"validation\"]");
    let batcher = "name = \"ibmb\"\noutputs = \"node-wise\"\noutputs_per_batch = 40";
    completed(&mut start(folder.path(), batcher, &evaluation, "epochs = 2"));
    let evals = Tables::read(&folder.path().join("out")).evals;
    let of = |label: &str| {
        let own = evals.iter().filter(|eval| eval.eval_batcher.as_deref() == Some(label));
        own.map(|eval| (eval.step, eval.n_output, eval.accuracy.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(of("full").len(), 3);
    assert_eq!(of("full"), of("ibmb-node-wise-outputs_per_batch=40"));
    assert!(evals.iter().all(|eval| eval.accuracy.is_some()));
    // They leave out nodes, so they predict something else.
    let losses: Vec<_> = evals.iter().filter(|eval| eval.step > 0).map(|eval| eval.loss).collect();
    assert_ne!(losses[0], losses[1]);
}

/// A trained model, for evaluations.
fn trained(folder: &Path) -> String {
    let training = "epochs = 5\nlearning_rate = 0.01\ncheckpoint = { steps = 5 }";
    completed(&mut start(folder, "name = \"full\"", FULL, training));
    run_folder(&folder.join("out")).to_str().unwrap().to_owned()
}

#[test]
fn a_grid_of_ways_to_predict_marks_those_that_none_beats() {
    let folder = TempDir::new().unwrap();
    let run = trained(folder.path());
    let ibmb = "name = \"ibmb\", outputs = \"node-wise\", outputs_per_batch = 50";
    let mut command = batchlab();
    command.args(["evaluate", &run, "--json", "--threads", "1", "--batcher", ibmb]);
    command.args(["--grid", "aux_per_output=1,4,16", "--beside", "full", "--repeats", "3"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let points: Vec<(f64, f64, bool)> =
        printed["grid"].as_array().unwrap().iter().map(point).collect();
    assert_eq!(points.len(), 4);
    for &(seconds, accuracy, is_marked) in &points {
        let is_beaten = points.iter().any(|&(other, of_other, _)| {
            other <= seconds && of_other >= accuracy && (other, of_other) != (seconds, accuracy)
        });
        assert_eq!(is_marked, !is_beaten, "{points:?}");
    }
}

/// Median seconds, accuracy, and whether it is marked as Pareto-optimal.
fn point(row: &Value) -> (f64, f64, bool) {
    let mut seconds: Vec<f64> =
        row["seconds"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[1], row["accuracy"].as_f64().unwrap(), row["is_frontier"].as_bool().unwrap())
}

#[test]
fn nodes_are_called_nodes() {
    let folder = TempDir::new().unwrap();
    let run = trained(folder.path());
    let output = batchlab().args(["evaluate", &run, "--subset", "all"]).output().unwrap();
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("all 400 output nodes of planted-graph"), "{printed}");
    assert!(printed.contains(" output nodes per second, 1 batch;"), "{printed}");
}

const HOUR: i64 = 3_600_000_000_000;

#[test]
fn what_a_batcher_prepares_is_kept_and_counts_with_the_time_that_it_took() {
    let cache = TempDir::new().unwrap();
    let run = || {
        let folder = TempDir::new().unwrap();
        let batcher = "name = \"ibmb\"\noutputs = \"node-wise\"\noutputs_per_batch = 40";
        let mut command = start(folder.path(), batcher, FULL, "epochs = 2");
        completed(command.env("BATCHLAB_CACHE", cache.path()));
        Tables::read(&folder.path().join("out"))
    };
    let kept = || -> Vec<(String, Vec<u8>)> {
        let prepared =
            names(cache.path()).into_iter().filter(|name| name.ends_with(".prepared.safetensors"));
        prepared.map(|name| (name.clone(), fs::read(cache.path().join(name)).unwrap())).collect()
    };
    let first = run();
    assert!(first.runs[0].prepare_ns.unwrap() < HOUR);
    assert!(!kept().is_empty());
    for (name, _) in kept() {
        let_it_take_an_hour(&cache.path().join(name));
    }
    let before = kept();
    let second = run();
    assert!(second.runs[0].prepare_ns.unwrap() >= HOUR);
    assert_eq!(second.timeless_steps(), first.timeless_steps());
    assert_eq!(second.timeless_evals(), first.timeless_evals());
    assert!(kept() == before, "read, and not written again");
}

/// Modifies the time stored with a batcher's cached preparation.
fn let_it_take_an_hour(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let (start, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut entries = metadata.metadata().clone().unwrap();
    let text = String::from_utf8(bytes[8 + start..].to_vec()).unwrap();
    let (_, value) = text.split_once(',').unwrap();
    let text = format!("{{\"ns\":{HOUR},{value}");
    let mut header: Value = serde_json::from_str(&entries["header"]).unwrap();
    header["checksums"]["prepared"] = sha256(text.as_bytes()).into();
    let header = header.to_string();
    entries.insert("sha256".into(), sha256(header.as_bytes()));
    entries.insert("header".into(), header);
    let view = TensorView::new(Dtype::U8, vec![text.len()], text.as_bytes()).unwrap();
    serialize_to_file([("prepared", view)], Some(entries), path).unwrap();
}

#[test]
fn nodes_and_graphs_do_not_mix() {
    let dynamic = "name = \"dynamic\"\nbatch_size = 8";
    let neighbor = "name = \"neighbor\"\nn_output = 40\nfan_out = [3, 2]";
    let of_graphs =
        ["dataset={ name = \"qm9\" }", "evaluation.batcher={ name = \"dynamic\", batch_size = 8 }"];
    let cases: [(&str, &[&str], &str); 4] = [
        (neighbor, &["model={ name = \"schnet\" }"], "\"schnet\" does not work on one graph"),
        (dynamic, &of_graphs, "model \"gcn\" does not work on many graphs"),
        (dynamic, &[], "batcher \"dynamic\" works on many graphs, but dataset \"planted-graph\""),
        (neighbor, &of_graphs, "batcher \"neighbor\" works on one graph, but dataset \"qm9\""),
    ];
    for (batcher, changes, part) in cases {
        let folder = TempDir::new().unwrap();
        let output =
            start(folder.path(), batcher, FULL, "epochs = 1").args(changes).output().unwrap();
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains(part), "{printed}");
        assert!(!folder.path().join("out").join("runs").exists(), "{printed}");
    }
}

#[test]
fn what_teaches_little_is_said_before_training() {
    let folder = TempDir::new().unwrap();
    let mut command = start(folder.path(), "name = \"full\"", FULL, "epochs = 1");
    completed(command.arg("dataset.edge_weight=none"));
    let events = Tables::read(&folder.path().join("out")).events;
    let found = events.iter().find(|event| event.kind == "edges_without_weights").unwrap();
    assert!(found.message.contains("dataset.edge_weight = \"symmetric\""), "{}", found.message);
}
