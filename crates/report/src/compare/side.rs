//! One of the two sides of a comparison.

use std::collections::BTreeMap;
use std::path::Path;

use batchlab_results::{DamagedRun, RunSummary};
use serde_json::{Value, json};

use super::CompareError;

/// One run, or all completed runs of a directory.
#[derive(Debug, Clone)]
pub struct Side {
    pub name: String,
    pub runs: Vec<RunSummary>,
    /// Number of incomplete runs of a directory, which are left out.
    pub n_left_out: usize,
    /// Runs of a directory with damaged files, which are also left out.
    pub damaged: Vec<DamagedRun>,
}

impl Side {
    /// One run of a study.
    ///
    /// # Errors
    /// If the run has no published results or a file is damaged.
    pub fn of_run(name: &str, dir: &Path, run_id: &str) -> Result<Self, CompareError> {
        let run = RunSummary::read(dir, run_id)?.ok_or_else(|| CompareError::Unpublished {
            run_id: run_id.to_owned(),
            dir: dir.display().to_string(),
        })?;
        Ok(Self { name: name.to_owned(), runs: vec![run], n_left_out: 0, damaged: Vec::new() })
    }

    /// All completed runs of a study.
    ///
    /// # Errors
    /// If the directory has no results or a file is damaged.
    pub fn of_study(name: &str, dir: &Path) -> Result<Self, CompareError> {
        let (all, published) = RunSummary::read_all(dir)?;
        let n_all = all.len();
        let runs: Vec<_> = all.into_iter().filter(|run| run.run.status == "completed").collect();
        if runs.is_empty() {
            let damaged = published.damaged.into_iter().next().map(|run| run.reason);
            let reason = damaged.unwrap_or_else(|| "none of them has completed".to_owned());
            return Err(CompareError::NoneUsable { dir: dir.display().to_string(), reason });
        }
        let n_left_out = n_all - runs.len();
        Ok(Self { name: name.to_owned(), n_left_out, runs, damaged: published.damaged })
    }
}

/// Conditions besides the configuration that affect times.
pub(super) fn conditions(summary: &RunSummary) -> Vec<(&'static str, Value)> {
    let run = &summary.run;
    vec![
        ("host", json!(run.host)),
        ("cpu_model", json!(run.cpu_model)),
        ("device", json!(run.device)),
        ("os", json!(run.os)),
        ("build_profile", json!(run.build_profile)),
        ("version", json!(run.version)),
        ("git_commit", json!(run.git_commit)),
        ("dataset_hash", json!(run.dataset_hash)),
        ("timing", json!(run.timing)),
        ("n_thread", json!(run.n_thread)),
        ("n_attempt", json!(run.n_attempt)),
    ]
}

/// Whether the run kept the state of its best evaluation, which need not be the one after its last
/// step.
pub(super) fn keeps_best(summary: &RunSummary) -> bool {
    !summary.config["training"]["early_stopping"].is_null()
}

/// The errors of the last evaluation of each subset, by name with unit.
pub(super) fn errors(summary: &RunSummary) -> BTreeMap<String, f64> {
    let unit = summary.run.target_unit.as_ref();
    let unit = unit.map_or_else(String::new, |unit| format!(", {unit}"));
    let mut errors = BTreeMap::new();
    // Later evaluations overwrite earlier ones.
    for eval in &summary.evals {
        let subset = &eval.subset;
        for (kind, value, unit) in [
            ("RMSE", eval.rmse, &*unit),
            ("MAE", eval.mae, &*unit),
            ("accuracy", eval.accuracy, ""),
        ] {
            if let Some(value) = value {
                errors.insert(format!("{kind} on {subset} after the last step{unit}"), value);
            }
        }
    }
    errors
}
