//! Converts published rows to records.

use arrow_array::RecordBatch;
use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, Record, RunRecord, SCHEMA_VERSION,
    StepRecord, Table,
};
use serde_json::json;

use crate::row::{PublishedFile, PublishedRow};
use crate::{ImportError, back_filled, mae_as_rmse};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub n_row: usize,
    /// Rows that can be used: complete, with times of their own.
    pub n_completed: usize,
    /// Rows whose job did not reach its last step, or was never started.
    pub n_incomplete: usize,
    /// Rows with the times of another campaign.
    pub n_back_filled: usize,
    /// Errors at checkpoints.
    pub n_error: usize,
    /// Those that are mean absolute errors under the name of root mean squared ones.
    pub n_mae_as_rmse: usize,
}

#[derive(Debug)]
pub struct Imported {
    /// Stem of the names of its files, from a hash of the content.
    pub stem: String,
    pub counts: Counts,
    /// One batch of rows for each table.
    pub tables: Vec<(Table, RecordBatch)>,
}

/// Converts files to tables. Rows that were copied from one file into another are found only if both are
/// given.
///
/// # Errors
/// Never for files that [`read`](crate::read) accepts; the error is Arrow's.
pub fn tables(files: &[PublishedFile]) -> Result<Vec<Imported>, ImportError> {
    (0..files.len()).map(|file| imported(files, file)).collect()
}

fn imported(files: &[PublishedFile], place: usize) -> Result<Imported, ImportError> {
    let file = &files[place];
    let stem = format!("published-{}", &file.sha256[..12]);
    let (back_filled, mae) = (back_filled::find(files, place), mae_as_rmse::find(&file.rows));
    let mut rows = Rows::default();
    let mut counts = Counts { n_row: file.rows.len(), ..Counts::default() };
    for ((row, why), is_mae) in file.rows.iter().zip(&back_filled).zip(&mae) {
        let run_id = format!("{stem}-{:05}", row.line);
        let error =
            why.clone().map(|why| format!("back-filled: {why}")).or_else(|| incomplete(row));
        counts.n_back_filled += usize::from(why.is_some());
        counts.n_completed += usize::from(error.is_none());
        counts.n_incomplete += usize::from(error.is_some() && why.is_none());
        counts.n_error += is_mae.len();
        counts.n_mae_as_rmse += is_mae.iter().filter(|is_mae| **is_mae).count();
        if let Some(why) = why {
            rows.event(&run_id, None, "import.back_filled", why, &json!({ "line": row.line }));
        }
        rows.run(file, row, &run_id, error);
        rows.times(row, &run_id);
        rows.errors(row, &run_id, is_mae);
    }
    Ok(Imported { stem, counts, tables: rows.tables()? })
}

fn incomplete(row: &PublishedRow) -> Option<String> {
    match (row.is_complete, row.was_run) {
        (_, false) => Some("not run: the source has no job".to_owned()),
        (Some(true), true) if row.times.is_some() => None,
        (Some(true), true) => {
            Some("no times, although the source marks the job as complete".to_owned())
        }
        _ => Some("the log of the job does not say that the last step was reached".to_owned()),
    }
}

#[derive(Default)]
struct Rows {
    runs: Vec<RunRecord>,
    evals: Vec<EvalRecord>,
    events: Vec<EventRecord>,
    metrics: Vec<MetricRecord>,
}

impl Rows {
    fn run(
        &mut self,
        file: &PublishedFile,
        row: &PublishedRow,
        run_id: &str,
        error: Option<String>,
    ) {
        let is_completed = error.is_none();
        let config = json!({ "imported": {
            "engine": "JAX, jraph",
            "source": "arXiv 2502.00944",
            "file": format!("{}.csv", file.stem()),
            "sha256": file.sha256,
            "line": row.line,
            "repeat": row.repeat,
            "columns": row.texts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }});
        let (target, unit) = target(&row.dataset);
        self.runs.push(RunRecord {
            run_id: run_id.to_owned(),
            schema_version: SCHEMA_VERSION,
            study: file.stem(),
            started_at: None,
            finished_at: None,
            status: if is_completed { "completed" } else { "failed" }.to_owned(),
            error,
            config: config.to_string(),
            config_hash: None,
            version: None,
            git_commit: None,
            git_dirty: None,
            rustc: None,
            build_profile: None,
            host: None,
            os: None,
            cpu_model: None,
            cpu_count: None,
            n_thread: None,
            device: row.device.clone(),
            dataset: row.dataset.clone(),
            dataset_hash: None,
            output: Some("graph".to_owned()),
            n_graph: None,
            n_train: None,
            n_validation: None,
            n_test: None,
            target: target.map(str::to_owned),
            target_unit: unit.map(str::to_owned),
            target_mean: None,
            target_std: None,
            model: row.model.clone(),
            n_parameter: None,
            batcher: row.batcher.to_owned(),
            batch_size: Some(row.batch_size),
            is_whole: Some(true),
            weighting: "per-batch-mean".to_owned(),
            // The authors evaluate with the strategy that they train with.
            evaluation_batcher: row.batcher.to_owned(),
            timing: "combined".to_owned(),
            prefetch_depth: 0,
            seed_split: None,
            seed_order: None,
            seed_init: None,
            n_step_planned: Some(file.n_step),
            n_epoch_planned: None,
            n_step: is_completed.then_some(file.n_step),
            n_shape: row.n_shape,
            load_ns: None,
            prepare_ns: None,
            train_ns: None,
            eval_ns: None,
            peak_host_bytes: None,
            peak_device_bytes: None,
            cell: None,
            repeat: None,
            is_exclusive: None,
            n_attempt: None,
            n_look: None,
            parent: None,
        });
    }

    fn times(&mut self, row: &PublishedRow, run_id: &str) {
        let Some(times) = &row.times else { return };
        for (name, seconds) in [
            ("published.batching_mean_ns", times.batching_mean),
            ("published.batching_median_ns", times.batching_median),
            ("published.combined_mean_ns", times.combined_mean),
            ("published.combined_median_ns", times.combined_median),
        ] {
            self.metrics.push(MetricRecord {
                run_id: run_id.to_owned(),
                step: None,
                name: name.to_owned(),
                value: seconds * 1e9,
            });
        }
    }

    fn errors(&mut self, row: &PublishedRow, run_id: &str, is_mae: &[bool]) {
        for (cell, is_mae) in row.errors.iter().zip(is_mae) {
            self.evals.push(EvalRecord {
                run_id: run_id.to_owned(),
                step: cell.step,
                split: cell.split.name().to_owned(),
                n_output: None,
                loss: None,
                rmse: (!is_mae).then_some(cell.value),
                mae: is_mae.then_some(cell.value),
                accuracy: None,
                macro_f1: None,
                rmse_of_mean: None,
                eval_ns: None,
                train_ns: None,
                batcher: None,
            });
            if *is_mae {
                let message = format!(
                    "{} in {} has fewer than 8 decimals and is less than 0.8 of the usual value: a \
                     mean absolute error under the name of a root mean squared one",
                    cell.text, cell.column
                );
                let payload = json!({ "line": row.line, "column": cell.column, "text": cell.text });
                self.event(run_id, Some(cell.step), "import.mae_as_rmse", &message, &payload);
            }
        }
    }

    fn event(
        &mut self,
        run_id: &str,
        step: Option<i64>,
        kind: &str,
        message: &str,
        payload: &serde_json::Value,
    ) {
        self.events.push(EventRecord {
            run_id: run_id.to_owned(),
            at: None,
            step,
            kind: kind.to_owned(),
            message: message.to_owned(),
            payload: Some(payload.to_string()),
        });
    }

    fn tables(&self) -> Result<Vec<(Table, RecordBatch)>, ImportError> {
        Ok(vec![
            (Table::Runs, RunRecord::to_batch(&self.runs)?),
            (Table::Steps, StepRecord::to_batch(&[])?),
            (Table::Evals, EvalRecord::to_batch(&self.evals)?),
            (Table::Events, EventRecord::to_batch(&self.events)?),
            (Table::Metrics, MetricRecord::to_batch(&self.metrics)?),
            (Table::Blocks, BlockRecord::to_batch(&[])?),
        ])
    }
}

/// The targets that the study trains on, and their units.
fn target(dataset: &str) -> (Option<&'static str>, Option<&'static str>) {
    match dataset {
        "qm9" => (Some("U0, atomisation"), Some("eV")),
        "aflow" => (Some("enthalpy_formation_atom"), Some("eV/atom")),
        _ => (None, None),
    }
}
