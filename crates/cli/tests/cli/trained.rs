//! Weights of a real run, evaluated again and compared with the numbers that the run recorded.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use crate::small_run::{Tables, batchlab, checkpoints, run_folder, start, text};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use batchlab_core::record::EvalRecord;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// One run with a checkpoint, shared by all tests.
static RUN: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let output = start(
        dir.path(),
        &[
            "training.steps=40",
            "training.checkpoint={ steps = 30 }",
            "evaluation.every=40",
            "evaluation.subsets=[\"validation\", \"test\"]",
        ],
    )
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    dir
});

fn call(arguments: &[&str]) -> Output {
    batchlab().args(arguments).args(["--threads", "1"]).output().unwrap()
}

fn evaluate(arguments: &[&str]) -> Value {
    let run = run_folder(RUN.path());
    let output = call(&[&["evaluate", run.to_str().unwrap(), "--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The message on standard error if it is rejected.
fn refused(arguments: &[&str], code: i32) -> String {
    let run = run_folder(RUN.path());
    let output = call(&[&["evaluate", run.to_str().unwrap()], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn predict(out: &Path, arguments: &[&str]) -> (RecordBatch, Vec<(String, String)>) {
    let run = run_folder(RUN.path());
    let fixed = ["predict", run.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = call(&[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", text(&output));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(out).unwrap()).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().unwrap();
    let pairs = pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect();
    let mut reader = builder.with_batch_size(10_000).build().unwrap();
    (reader.next().unwrap().unwrap(), pairs)
}

fn floats(rows: &RecordBatch, name: &str) -> Vec<f64> {
    rows[name].as_primitive::<Float64Type>().values().to_vec()
}

fn recorded(subset: &str) -> EvalRecord {
    let evals = Tables::read(RUN.path()).evals;
    evals.into_iter().filter(|eval| eval.subset == subset).max_by_key(|eval| eval.step).unwrap()
}

/// Every batch covers two epochs.
#[test]
fn weights_of_a_data_set_smaller_than_a_batch_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["dataset.limit=10", "training.steps=3", "evaluation.every=3"];
    let output = start(dir.path(), &settings).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let run = run_folder(dir.path());
    let output = call(&["evaluate", run.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!text(&output).contains("damaged"), "{}", text(&output));
}

#[test]
fn a_grid_and_what_stands_beside_it_are_one_table_and_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("grid.svg");
    let found = evaluate(&[
        "--batcher",
        "name = \"dynamic\"",
        "--grid",
        "batch_size=16,32",
        "--beside",
        "static-64",
        "--repeats",
        "2",
        "--svg",
        picture.to_str().unwrap(),
    ]);
    let rows = found["grid"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["options"].as_str().unwrap()).collect();
    assert_eq!(names, ["batch_size=16", "batch_size=32", "static-64"]);
    for row in rows {
        assert_eq!(row["seconds"].as_array().unwrap().len(), 2);
        let rmse = row["rmse"].as_f64().unwrap();
        assert!((rmse - recorded("test").rmse.unwrap()).abs() < 1e-4, "{row}");
    }
    assert!(rows[0]["n_batch"].as_u64() > rows[1]["n_batch"].as_u64());
    assert!(fs::read_to_string(picture).unwrap().contains("static-64"));
    assert!(refused(&["--beside", "full"], 2).contains("--grid"));
}

#[test]
fn the_final_checkpoint_gives_the_numbers_that_the_run_recorded() {
    for subset in ["test", "validation"] {
        let (found, run) = (evaluate(&["--subset", subset]), recorded(subset));
        assert_eq!(found["step"], 40);
        assert_eq!(found["n_output"].as_i64(), run.n_output);
        for (name, value) in [
            ("loss", run.loss),
            ("rmse", run.rmse),
            ("mae", run.mae),
            ("rmse_of_mean", run.rmse_of_mean),
        ] {
            assert_eq!(found[name].as_f64(), value, "{subset} {name}");
        }
        assert_eq!(found["unit"], "eV");
        let parts =
            ["plan_ns", "collate_ns", "forward_ns"].map(|name| found[name].as_i64().unwrap());
        assert!(parts.iter().all(|&ns| ns > 0));
        assert!(parts.iter().sum::<i64>() <= found["total_ns"].as_i64().unwrap());
    }
    // An earlier checkpoint, given by its path, is a different model.
    let earlier: Vec<(u64, PathBuf)> = checkpoints(RUN.path());
    assert_eq!(earlier.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [30, 40]);
    let output = call(&["evaluate", earlier[0].1.to_str().unwrap(), "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["step"], 30);
    assert_ne!(found["rmse"].as_f64(), recorded("test").rmse);
}

/// The text output, without what varies between runs and machines.
#[test]
fn a_judgement_in_words() {
    let run = run_folder(RUN.path());
    let output =
        call(&["evaluate", run.to_str().unwrap(), "--batcher", "static-64", "--subset", "all"]);
    assert!(output.stderr.is_empty(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    insta::with_settings!({ filters => vec![
        (r"\d{8}-\d{6}-[0-9a-f]{8}", "RUN"),
        (r"\d+\.\d{4}", "X"),
        (r"\d+ graphs per second", "N graphs per second"),
        (r"\d+ %", "N %"),
    ]}, {
        insta::assert_snapshot!("evaluate", printed);
    });
}

#[test]
fn predictions_give_the_same_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("predictions.parquet");
    let (rows, pairs) = predict(&out, &[]);
    let (target, prediction) = (floats(&rows, "target"), floats(&rows, "prediction"));
    let run = recorded("test");
    assert_eq!(Some(rows.num_rows() as i64), run.n_output);
    let squared: f64 = target.iter().zip(&prediction).map(|(t, p)| (t - p).powi(2)).sum();
    let rmse = (squared / target.len() as f64).sqrt();
    // Training uses targets in single precision.
    assert!((rmse / run.rmse.unwrap() - 1.0).abs() < 1e-5, "{rmse} {run:?}");
    let pair =
        |key: &str| pairs.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str());
    assert_eq!(
        (pair("unit"), pair("target"), pair("step")),
        (Some("eV"), Some("U0_atom"), Some("40"))
    );
    let index = rows["index"].as_primitive::<Int64Type>().values();
    assert!(index.windows(2).all(|pair| pair[0] < pair[1]), "each graph once, in order");
    assert!(rows["subset"].as_string::<i32>().iter().all(|subset| subset == Some("test")));
    // The molecules of the sample are named as in QM9, not by position.
    assert!(rows["name"].as_string::<i32>().iter().all(|name| name.unwrap().starts_with("gdb_")));
    // No unfinished files are left.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let (all, _) = predict(&out, &["--subset", "all"]);
    assert_eq!(all.num_rows(), 2000);
    let n_test = all["subset"].as_string::<i32>().iter().filter(|s| *s == Some("test")).count();
    assert_eq!(Some(n_test as i64), run.n_output);
}

#[test]
fn every_batcher_predicts_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("predictions.parquet");
    let (reference, _) = predict(&out, &[]);
    let deviation = Tables::read(RUN.path()).runs[0].target_std.unwrap();
    let presets = batchlab_builtin::PRESETS.iter().map(|&(label, _)| label);
    for batcher in presets.chain(["name = \"dynamic\", batch_size = 7"]) {
        let (rows, _) = predict(&out, &["--batcher", batcher]);
        assert_eq!(&rows["index"], &reference["index"], "{batcher}");
        let (a, b) = (floats(&rows, "prediction"), floats(&reference, "prediction"));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / deviation).fold(0.0, f64::max);
        assert!(worst <= 1e-5, "{batcher}: {worst}");
    }
}

#[test]
fn weights_are_those_of_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("weights.safetensors");
    let run = run_folder(RUN.path());
    let arguments = ["weights", run.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = batchlab().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let (ours, checkpoint) =
        (fs::read(&out).unwrap(), fs::read(&checkpoints(RUN.path())[1].1).unwrap());
    // The same file every time.
    for _ in 0..3 {
        assert!(batchlab().args(arguments).output().unwrap().status.success());
        assert!(fs::read(&out).unwrap() == ours);
    }
    let ours = safetensors::SafeTensors::deserialize(&ours).unwrap();
    let checkpoint = safetensors::SafeTensors::deserialize(&checkpoint).unwrap();
    let n_parameter: usize = ours.iter().map(|(_, view)| view.data().len() / 4).sum();
    assert_eq!(Some(n_parameter as i64), Tables::read(RUN.path()).runs[0].n_parameter);
    for (name, view) in ours.iter() {
        let stored = checkpoint.tensor(&format!("parameter.{name}")).unwrap();
        assert_eq!((view.shape(), view.data()), (stored.shape(), stored.data()), "{name}");
    }
}

#[test]
fn other_data_must_fit() {
    let dir = tempfile::tempdir().unwrap();
    let structures = |name: &str, elements: [&str; 3], unit: &str| {
        let path = dir.path().join(format!("{name}.toml"));
        let xyz = dir.path().join(format!("{name}.xyz"));
        let [a, b, c] = elements;
        let molecule = |n: u32| {
            let energy = -10.0 - f64::from(n);
            format!("3\nenergy={energy}\n{a} 0 0 0\n{b} 1.{n} 0 0\n{c} 0 1.2 0\n")
        };
        let text: String = (0..4).map(molecule).collect();
        fs::write(&xyz, text).unwrap();
        let config = format!(
            "[dataset]\nname = \"structures\"\npath = \"{}\"\ntarget = \"energy\"\nunit = \"{unit}\"\n\
             edges = \"fully-connected\"\n",
            xyz.display()
        );
        fs::write(&path, config).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = structures("water", ["O", "H", "H"], "eV");
    let found = evaluate(&["--dataset", &good]);
    assert_eq!((&found["n_output"], &found["subset"]), (&4.into(), &"all".into()));
    // The training mean is a bad prediction here, on the training scale.
    let runs = Tables::read(RUN.path()).runs;
    let mean = runs[0].target_mean.unwrap();
    let squared: f64 = (0..4).map(|n| (-10.0 - f64::from(n) - mean).powi(2)).sum();
    let expected = (squared / 4.0).sqrt();
    assert!((found["rmse_of_mean"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9);

    let unknown = structures("argon", ["O", "Ar", "H"], "eV");
    let printed = refused(&["--dataset", &unknown], 2);
    assert!(printed.contains("classes that do not occur in the training data: Ar"), "{printed}");
    let other_unit = structures("units", ["O", "H", "H"], "kJ/mol");
    let printed = refused(&["--dataset", &other_unit], 2);
    assert!(printed.contains("target are in kJ/mol, but in eV in training"), "{printed}");
    let printed = refused(&["--dataset", "qm8"], 2);
    assert!(printed.contains("did you mean \"qm9\"?"), "{printed}");
}

#[test]
fn what_cannot_be_evaluated_is_reported() {
    let printed = refused(&["--subset", "tset"], 2);
    assert!(printed.contains("unknown subset \"tset\", did you mean \"test\"?"), "{printed}");
    let printed = refused(&["--batcher", "static-46"], 2);
    assert!(printed.contains("did you mean \"static-64\"?"), "{printed}");
    let lossy = "name = \"static\", batch_size = 8, compat_drop_overflow = true";
    let printed = refused(&["--batcher", lossy], 2);
    assert!(
        printed.contains("of the 200 graphs for test") && printed.contains("loses none"),
        "{printed}"
    );
    let output = call(&["evaluate", "results/no-such-run-here"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));

    let without = tempfile::tempdir().unwrap();
    let output =
        start(without.path(), &["training.steps=1", "training.checkpoint=none"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let output = call(&["evaluate", run_folder(without.path()).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("has saved no weights"), "{}", text(&output));
}
