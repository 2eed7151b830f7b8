//! A small real run of the real binary, and its tables read back.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, Record, RunRecord, StepRecord, Table,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Settings of a run that takes a second: a small model, small batches, prefetching.
pub(crate) const SETTINGS: [&str; 8] = [
    "model.latent_size=8",
    "model.n_gaussian=8",
    "model.n_interaction=1",
    "batcher.batch_size=16",
    "training.steps=130",
    "training.prefetch=3",
    "evaluation.every=45",
    "evaluation.subsets=[\"test\"]",
];

pub(crate) fn smoke() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml")
}

pub(crate) fn batchlab() -> Command {
    Command::new(env!("CARGO_BIN_EXE_batchlab"))
}

/// Starts a run.
pub(crate) fn start(out: &Path, settings: &[&str]) -> Command {
    let mut command = batchlab();
    command.arg("run").arg(smoke()).args(SETTINGS).args(settings).arg("--out").arg(out);
    command.args(["--threads", "1"]);
    command
}

/// Resumes the only run in a directory.
pub(crate) fn resume(out: &Path) -> Command {
    let mut command = batchlab();
    command.args(["run", "--threads", "1", "--resume"]).arg(run_folder(out));
    command
}

pub(crate) fn doctor(out: &Path, arguments: &[&str]) -> Value {
    let output = batchlab().arg("doctor").arg(out).arg("--json").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The directory of the only run.
pub(crate) fn run_folder(out: &Path) -> PathBuf {
    let mut runs = names(&out.join("runs"));
    assert_eq!(runs.len(), 1, "{runs:?}");
    out.join("runs").join(runs.remove(0))
}

/// Sorted names in a directory; empty if it does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The checkpoints: number of steps, and file.
pub(crate) fn checkpoints(out: &Path) -> Vec<(u64, PathBuf)> {
    let [run] = &names(&out.join("runs"))[..] else { return Vec::new() };
    let folder = out.join("runs").join(run).join("checkpoints");
    let checkpoint = |name: String| {
        let step = name.strip_prefix("step-")?.split_once('.')?.0.parse().ok()?;
        name.ends_with(".safetensors").then(|| (step, folder.join(name)))
    };
    names(&folder).into_iter().filter_map(checkpoint).collect()
}

pub(crate) fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("exit code {:?}\n{out}{err}", output.status)
}

/// Everything in `tables/`, which must be readable.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) runs: Vec<RunRecord>,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) evals: Vec<EvalRecord>,
    pub(crate) events: Vec<EventRecord>,
    pub(crate) blocks: Vec<BlockRecord>,
}

impl Tables {
    pub(crate) fn read(out: &Path) -> Self {
        Self {
            runs: rows(out),
            steps: rows(out),
            evals: rows(out),
            events: rows(out),
            blocks: rows(out),
        }
    }

    /// The rows of the steps, without what varies between attempts: times, and the name of the run.
    pub(crate) fn timeless_steps(&self) -> Vec<StepRecord> {
        let timeless = |step: &StepRecord| StepRecord {
            run_id: String::new(),
            plan_ns: None,
            collate_ns: None,
            wait_ns: None,
            step_ns: 0,
            ..step.clone()
        };
        self.steps.iter().map(timeless).collect()
    }

    /// The same for the evaluations.
    pub(crate) fn timeless_evals(&self) -> Vec<EvalRecord> {
        let timeless = |eval: &EvalRecord| EvalRecord {
            run_id: String::new(),
            eval_ns: None,
            train_ns: None,
            ..eval.clone()
        };
        self.evals.iter().map(timeless).collect()
    }
}

fn rows<R: Record>(out: &Path) -> Vec<R> {
    let folder = out.join("tables").join(R::TABLE.name());
    names(&folder).iter().flat_map(|name| read(&folder.join(name))).collect()
}

fn read<R: Record>(path: &Path) -> Vec<R> {
    let readable = |error| -> ! { panic!("{} is not readable: {error}", path.display()) };
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
    let reader = builder.unwrap_or_else(|error| readable(error.to_string())).build().unwrap();
    let batches = reader.map(|rows| rows.unwrap_or_else(|error| readable(error.to_string())));
    batches.flat_map(|rows| R::from_batch(&rows).unwrap()).collect()
}

/// Every file of every table can be read from beginning to end.
pub(crate) fn assert_tables_are_readable(out: &Path) {
    let _ = Tables::read(out);
    let metrics = out.join("tables").join(Table::Metrics.name());
    for name in names(&metrics) {
        let _: Vec<batchlab_core::record::MetricRecord> = read(&metrics.join(name));
    }
}
