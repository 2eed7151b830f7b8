//! `batchlab plan`: the forecast agrees with streams and runs, and bad input is explained.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod ranks;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use batchlab_config::{Seeds, Split};
use batchlab_core::{BatchContext, BatchPlan, Batcher, GraphSize, Purpose, View};
use batchlab_run::{ShapeLedger, Subsets};
use serde_json::Value;
use tempfile::TempDir;

/// 300 graphs of 3 to 19 nodes, each node with as many edges as it has neighbours on a line.
fn sizes() -> Vec<(u32, u32)> {
    (0_u32..300).map(|g| 3 + (g * g) % 17).map(|n| (n, 2 * (n - 1))).collect()
}

const CONFIG: &str = "batch_sizes = [4, 8]\n\n[dataset]\nname = \"sizes\"\npath = \"sizes.csv\"\n";

/// A directory with `plan.toml`, `sizes.csv`, and in `rings.csv` as many nodes, each with two
/// neighbours.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let [mut csv, mut rings] = ["n_node,n_edge\n"; 2].map(String::from);
    for (n_node, n_edge) in sizes() {
        writeln!(csv, "{n_node},{n_edge}").unwrap();
        writeln!(rings, "{n_node},{}", 2 * n_node).unwrap();
    }
    fs::write(folder.path().join("sizes.csv"), csv).unwrap();
    fs::write(folder.path().join("rings.csv"), rings).unwrap();
    fs::write(folder.path().join("plan.toml"), CONFIG).unwrap();
    folder
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn batchlab(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn plan(arguments: &[&str]) -> String {
    let folder = folder();
    let arguments = [&["plan", "plan.toml", "--steps", "200"], arguments].concat();
    let (code, output, message) = batchlab(folder.path(), &arguments);
    assert_eq!(code, 0, "{message}");
    output
}

fn strategies(json: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(json).unwrap();
    value["plans"][0]["strategies"].as_array().unwrap().clone()
}

/// The planning time varies between runs; it is the last number of a line with a memory size.
fn without_times(table: &str) -> String {
    let line = |line: &str| match line.rsplit_once(char::is_whitespace) {
        Some((start, time)) if line.contains("B ") && time.parse::<f64>().is_ok() => {
            format!("{} [time]", start.trim_end())
        }
        _ => line.to_owned(),
    };
    table.lines().map(|text| line(text) + "\n").collect()
}

const LABELS: [&str; 5] = ["static-64", "static-2^N", "static-constant", "dynamic", "exact"];

fn study() -> Vec<&'static str> {
    vec!["batchers=static-64,static-2^N,static-constant,dynamic,exact"]
}

#[test]
fn the_table_fits_and_reads_well() {
    let table = plan(&study());
    assert!(table.lines().all(|line| line.chars().count() <= 110), "{table}");
    insta::assert_snapshot!("table", without_times(&table));
}

/// Programs read these paths; changing them requires a new `schema_version`.
#[test]
fn the_json_keeps_its_schema() {
    fn paths(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                // A batcher defines the content of its own table.
                if key != "batcher" {
                    paths(value, &format!("{path}.{key}"), all);
                }
            }),
            Value::Array(items) => items.iter().for_each(|v| paths(v, &format!("{path}[]"), all)),
            Value::String(_) => drop(all.insert(format!("{path}: string"))),
            Value::Number(_) => drop(all.insert(format!("{path}: number"))),
            Value::Bool(_) => drop(all.insert(format!("{path}: bool"))),
            Value::Null => {}
        }
    }
    let json = plan(&[&["--json"][..], &study()].concat());
    let mut all = BTreeSet::new();
    paths(&serde_json::from_str(&json).unwrap(), "", &mut all);
    insta::assert_snapshot!("json_schema", all.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_preset_is_planned_under_its_label_and_loses_nothing() {
    let labels = |all: &[Value]| -> Vec<String> {
        let label = |strategy: &Value| strategy["label"].as_str().unwrap().to_owned();
        // Strategies without a limit of graphs have their batch size in the label.
        all.iter().map(|strategy| label(strategy).replace("-batch_size=8", "")).collect()
    };
    let few = strategies(&plan(&["--json", "batch_sizes=8"]));
    assert_eq!(labels(&few), batchlab_builtin::PLANNED);
    let presets: Vec<&str> = batchlab_builtin::PRESETS.iter().map(|&(label, _)| label).collect();
    let named = format!("batchers={}", presets.join(","));
    let all = strategies(&plan(&["--json", "batch_sizes=8", "dataset.path=rings.csv", &named]));
    assert_eq!(labels(&all), presets);
    for strategy in all {
        let inclusion = strategy["shuffle"]["inclusion_by_decile"].as_array().unwrap();
        assert_eq!(inclusion.len(), 10);
        assert!(inclusion.iter().all(|times| times.as_f64() == Some(1.0)), "{strategy}");
    }
}

#[test]
fn the_studys_loss_of_graphs_is_seen() {
    let lossy = "batchers={ name = \"static\", compat_drop_overflow = true, epoch_boundary = \"emit-partial\" }";
    let all = strategies(&plan(&["--json", "batch_sizes=8", lossy]));
    let inclusion = all[0]["shuffle"]["inclusion_by_decile"].as_array().unwrap();
    let mean = inclusion.iter().map(|times| times.as_f64().unwrap()).sum::<f64>() / 10.0;
    // 240 graphs make 30 batches of 8, of which 7 are trained on.
    assert!((mean - 7.0 / 8.0).abs() < 1e-9, "{mean}");
}

#[test]
fn batches_of_fixed_composition_meet_again() {
    let fixed = "batchers={ name = \"static\", composition = \"fixed\", padding = \"none\" }";
    let all = strategies(&plan(&["--json", "batch_sizes=7", fixed]));
    // 240 graphs in 40 groups of 6: C / P = 239 / 5.
    let recurrence = all[0]["shuffle"]["pair_recurrence"].as_f64().unwrap();
    assert!((recurrence - 239.0 / 5.0).abs() < 1e-9, "{recurrence}");
}

/// Compares the forecast of N steps with N steps of the stream that a run would open.
#[test]
fn a_forecast_is_what_the_stream_does() {
    let all = strategies(&plan(&[&["--json"][..], &study()].concat()));
    assert_eq!(all.len(), 2 * LABELS.len());
    for strategy in all {
        let batcher: Box<dyn Batcher> =
            serde_json::from_value(strategy["batcher"].clone()).unwrap();
        let seeds = Seeds::default();
        let train = Subsets::draw(300, Split::default(), seeds.split).unwrap().train;
        let size = |&id: &u32| {
            let (n_node, n_edge) = sizes()[id as usize];
            GraphSize { id, n_node, n_edge }
        };
        let view = View::ManyGraphs(train.iter().map(size).collect());
        let context = BatchContext::new(Purpose::Training, seeds.order);
        let mut stream = batcher.open(view, context).unwrap();
        let mut ledger = ShapeLedger::default();
        let mut plan = BatchPlan::default();
        let mut sums = [0_u64; 4];
        for _ in 0..200 {
            assert!(stream.next(&mut plan).unwrap());
            ledger.enter(plan.shape);
            let step = [plan.real.n_node, plan.shape.n_node, plan.real.n_edge, plan.shape.n_edge];
            sums.iter_mut().zip(step).for_each(|(sum, n)| *sum += u64::from(n));
        }
        let close = |what: &str, expected: f64| {
            let found = strategy[what].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-12, "{what}: {found}, not {expected}");
        };
        assert_eq!(strategy["shapes"]["n_shape"].as_f64(), Some(ledger.n_shape() as f64));
        close("node_fill", sums[0] as f64 / sums[1] as f64);
        close("edge_fill", sums[2] as f64 / sums[3] as f64);
        close("nodes_per_step", sums[0] as f64 / 200.0);
    }
}

#[test]
fn a_run_shows_what_the_forecast_says() {
    let smoke = root().join("configs/smoke.toml");
    let smoke = smoke.to_str().unwrap();
    let batcher = "batcher={ name = \"static\", batch_size = 16, padding = { multiple = 64 } }";
    let folder = TempDir::new().unwrap();
    let run = ["run", smoke, batcher, "training.steps=20", "training.warmup_steps=0"];
    let options = ["--out", "out", "--json", "--quiet"];
    let (code, run, message) = batchlab(folder.path(), &[&run[..], &options].concat());
    assert_eq!(code, 0, "{message}");
    let run: Value = serde_json::from_str(&run).unwrap();
    let (code, plan, message) =
        batchlab(folder.path(), &["plan", smoke, batcher, "--steps", "20", "--json"]);
    assert_eq!(code, 0, "{message}");
    let plan = &strategies(&plan)[0];
    assert_eq!(plan["label"], "static-64");
    assert_eq!(plan["shapes"]["n_shape"].as_f64(), run["n_shape"].as_f64());
    for what in ["node_fill", "edge_fill"] {
        let difference = plan[what].as_f64().unwrap() - run["throughput"][what].as_f64().unwrap();
        assert!(difference.abs() < 1e-12, "{what}: {difference}");
    }
}

/// arXiv 2502.00944 on 133,885 molecules, here on 128,744: 60, 89, 128 and 195 shapes after 100,000
/// steps of static-64, and 3, 4, 1 and 1 of static-2^N.
#[test]
fn qm9_needs_about_as_many_shapes_as_in_the_study() {
    let config = root().join("configs/plan/qm9.toml");
    let (code, json, message) = batchlab(
        &root(),
        &["plan", config.to_str().unwrap(), "batchers=static-64,static-2^N", "--json"],
    );
    assert_eq!(code, 0, "{message}");
    let counts: Vec<f64> =
        strategies(&json).iter().map(|s| s["shapes"]["n_shape"].as_f64().unwrap()).collect();
    let of_study = [(60.0, 3.0), (89.0, 4.0), (128.0, 1.0), (195.0, 1.0)];
    for (found, study) in counts.chunks(2).zip(of_study) {
        assert!((found[0] / study.0 - 1.0).abs() < 0.08, "{found:?} and {study:?}");
        assert!((found[1] - study.1).abs() < 1e-9, "{found:?} and {study:?}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads: &str| {
        let folder = folder();
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        let arguments = ["plan", "plan.toml", "--steps", "100", "--json"];
        command.current_dir(folder.path()).args(arguments).env("RAYON_NUM_THREADS", threads);
        let mut all = strategies(std::str::from_utf8(&command.output().unwrap().stdout).unwrap());
        for strategy in &mut all {
            let fields = strategy.as_object_mut().unwrap();
            fields.remove("prepare_ns").unwrap();
            fields.remove("plan_ns_per_step").unwrap();
        }
        all
    };
    assert_eq!(with("1"), with("3"));
}

#[test]
fn the_command_line_names_the_one_strategy_of_a_graph() {
    let (code, text, errors) =
        batchlab(&root(), &["plan", "--dataset", "one-graph", "batcher=full"]);
    assert!(code == 0 && text.contains("\nfull "), "{text}{errors}");
}

#[test]
fn pictures_are_written() {
    let folder = folder();
    for (file, start) in [("plan.svg", &b"<svg "[..]), ("plan.png", &b"\x89PNG"[..])] {
        let arguments = ["plan", "plan.toml", "--steps", "50", "--picture", file];
        let (code, _, message) = batchlab(folder.path(), &arguments);
        assert_eq!(code, 0, "{message}");
        assert!(fs::read(folder.path().join(file)).unwrap().starts_with(start), "{file}");
    }
}

/// Modifies the configuration, and returns exit code and message.
fn refused(config: &str, arguments: &[&str]) -> (i32, String) {
    let folder = folder();
    fs::write(folder.path().join("plan.toml"), config).unwrap();
    fs::write(folder.path().join("empty.csv"), "n_node,n_edge\n").unwrap();
    let (code, output, message) =
        batchlab(folder.path(), &[&["plan", "plan.toml"], arguments].concat());
    assert_eq!(output, "", "nothing is printed before everything is checked");
    (code, message)
}

macro_rules! says {
    ($name:ident, $code:literal, $config:expr, $arguments:expr) => {
        #[test]
        fn $name() {
            let (code, message) = refused(&$config, &$arguments);
            insta::assert_snapshot!(stringify!($name), message);
            assert_eq!(code, $code);
        }
    };
}

says!(unknown_strategy, 2, CONFIG, ["batchers=static-46"]);
says!(unknown_batcher_in_a_table, 2, CONFIG, ["batchers={ name = \"dynamik\" }"]);
says!(wrong_key_of_a_strategy, 2, CONFIG, ["batchers={ name = \"static\", pading = \"none\" }"]);
says!(node_level_batcher_on_many_graphs, 2, CONFIG, ["batchers=full"]);
says!(batch_size_without_room, 2, CONFIG, ["batch_sizes=1,16"]);
says!(no_data_set, 2, "batch_sizes = [4]\n", []);
says!(no_sizes, 3, CONFIG.replace("sizes.csv", "empty.csv"), []);
says!(mistyped_key, 2, CONFIG.replace("batch_sizes", "batch_size"), []);
says!(absurd_batch_size, 2, CONFIG.replace("4, 8", "4, 8000000"), []);
says!(unknown_picture, 2, CONFIG, ["--picture", "plan.jpg"]);
says!(
    a_graph_larger_than_the_budget,
    3,
    CONFIG,
    [
        "batchers={ name = \"dynamic\", oversize = \"error\", budget = { n_node = 10, n_edge = 99 } }"
    ]
);
