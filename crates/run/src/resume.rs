//! Resumes a run that ended early from its newest checkpoint.

use std::path::{Path, PathBuf};

use batchlab_config::{Config, Defaults, Length, LoadedConfig};
use batchlab_core::quote::shell;
use batchlab_core::record::{
    EvalRecord, EventRecord, Record, RunRecord, StepRecord, Table, Timestamp,
};
use batchlab_core::{BatchStream, Sink};
use serde_json::Value;

use batchlab_results::publish::{checkpoints, find_journal};
use batchlab_results::{
    Entries, Entry, Manifest, Publisher, Recorder, ResultsError, RunSummary, is_locked,
};

use super::describe::OfStudy;
use super::{FinishedRun, RunOptions, folders, run_from};
use crate::checkpoint::{self, Checkpoint, CheckpointError, SAVED};
use crate::{Observer, RunError};

#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    #[error("there is no run \"{run_id}\" in {}; `ls {}` lists the existing runs", out.display(), shell(&out.join("runs")))]
    NoRun { run_id: String, out: PathBuf },
    #[error("run {run_id} has ended, and its results are in {}; to train further from its last checkpoint in a new run, request more steps than it has done, such as training.steps=1000", out.join("tables").display())]
    Ended { run_id: String, out: PathBuf },
    #[error(
        "training.{what} = {asked}, but run {run_id} has already done {done} {what}: request more, for example \
         training.{what}={}", done + asked.max(done)
    )]
    NoMore { run_id: String, what: &'static str, done: u64, asked: u64 },
    #[error(
        "a run that extends run {run_id} must have the same data, model and batches; \
         these differ:\n{}\nrestore these values, or start a new run",
        differences.join("\n")
    )]
    Extension {
        run_id: String,
        /// One line per key.
        differences: Vec<String>,
    },
    #[error(
        "run {run_id} has no checkpoint to continue from. `batchlab doctor {}` publishes what it \
         recorded; with training.checkpoint={{ steps = 1000 }} the next run saves its state on the way",
        shell(out)
    )]
    NoCheckpoint { run_id: String, out: PathBuf },
    #[error(
        "the configuration {} differs from that of run {run_id}:\n{}\nrestore these values, or start a \
         new run",
        path.display(), differences.join("\n")
    )]
    Config {
        run_id: String,
        path: PathBuf,
        /// One line per key.
        differences: Vec<String>,
    },
    #[error(
        "the data set differs from that of run {run_id}:\n  dataset_hash: {before} in the checkpoint, \
         {now} now\nuse the data that it was started with, or start a new run"
    )]
    Dataset { run_id: String, before: String, now: String },
    #[error(
        "the folder of run {run_id} is a copy of that of run {original}: rows of both would be mixed; \
         resume {original}, or start a new run from the copy's config.toml"
    )]
    Copy { run_id: String, original: String },
    #[error("{0}; no earlier checkpoint can be used either")]
    Checkpoint(CheckpointError),
}

/// Resumes run `run_id` of the study in `options.out` with its own configuration; a `given`
/// configuration is only compared with it.
///
/// # Errors
/// [`ResumeError`], and errors from [`run`](super::run).
pub fn resume(
    run_id: &str,
    given: Option<&LoadedConfig>,
    defaults: Defaults,
    options: RunOptions<'_>,
    observer: &dyn Observer,
) -> Result<FinishedRun, RunError> {
    let point = ResumePoint::find(options.out, run_id, observer)?;
    if let Some(given) = given {
        point.check_config(given)?;
    }
    let own = options.out.join("runs").join(run_id).join(folders::CONFIG);
    let mut loaded = LoadedConfig::read(&own, &[], defaults)?;
    point.check_config(&loaded)?;
    if folders::recorded(&loaded.path).is_empty() {
        loaded.path.clone_from(&point.checkpoint.state.config_path);
    }
    run_from(&loaded, options, observer, Start::Resumed(point))
}

/// Starts a new run from the last checkpoint of run `parent` of the study in `options.out`.
/// `loaded` is the parent's configuration with changes, such as more steps or another learning
/// rate.
///
/// # Errors
/// [`ResumeError`], and errors from [`run`](super::run).
pub fn extend(
    parent: &str,
    loaded: &LoadedConfig,
    options: RunOptions<'_>,
    observer: &dyn Observer,
) -> Result<FinishedRun, RunError> {
    let mut warn = |error: &CheckpointError| {
        observer.progress().warn(&format!("{error}; an earlier one is looked for"));
    };
    let folder = checkpoints(options.out, parent);
    let journal = find_journal(options.out, parent);
    let n_step = match journal {
        None => RunSummary::read(options.out, parent).ok().flatten().and_then(|of| of.run.n_step),
        Some(_) => None,
    };
    let has_rows = |path: &Path, checkpoint: Checkpoint| match (&journal, n_step) {
        (Some(journal), _) => ResumePoint::with_rows(parent, path.to_owned(), checkpoint, journal)
            .map(|point| point.checkpoint),
        (None, Some(n_step)) if checkpoint.state.step > n_step.unsigned_abs() => {
            let step = checkpoint.state.step;
            let reason = format!("it holds step {step} of a run of {n_step} steps");
            Err(CheckpointError::Damaged { path: path.to_owned(), reason })
        }
        _ => Ok(checkpoint),
    };
    let newest = checkpoint::newest_of(&folder, &mut warn, &has_rows);
    let newest = newest.map_err(ResumeError::Checkpoint)?;
    let (run_id, out) = (parent.to_owned(), options.out.to_owned());
    let checkpoint = newest.ok_or(ResumeError::NoCheckpoint { run_id: run_id.clone(), out })?;
    let mut differences = differences(&checkpoint.state.config, loaded);
    differences.retain(|line| !may_change(line.trim_start()));
    if !differences.is_empty() {
        return Err(ResumeError::Extension { run_id, differences }.into());
    }
    let (what, done, asked) = match loaded.config.training.length() {
        Length::Steps(asked) => ("steps", checkpoint.state.step, asked),
        // The epoch of the last batch counts from 0; for a run that ended early it may be
        // incomplete.
        Length::Epochs(asked) => {
            let epoch = checkpoint.state.cursor.epoch;
            ("epochs", epoch + u64::from(journal.is_none()), asked)
        }
    };
    if asked <= done {
        return Err(ResumeError::NoMore { run_id, what, done, asked }.into());
    }
    run_from(loaded, options, observer, Start::Extends { parent: run_id, checkpoint })
}

/// Whether a run that extends its parent may change the key at the beginning of a line.
fn may_change(line: &str) -> bool {
    let is_order = line.starts_with("training.seeds") || line.starts_with("training.loss:");
    let keys = ["training.", "evaluation.", "sink", "study:", "device:", "ranks.timeout:"];
    !is_order && keys.iter().any(|key| line.starts_with(key))
}

/// How a run starts.
#[allow(clippy::large_enum_variant, reason = "there is one of them")]
pub(crate) enum Start {
    Anew,
    /// Resumes the same run.
    Resumed(ResumePoint),
    /// Starts a new run from the end of another one.
    Extends {
        parent: String,
        checkpoint: Checkpoint,
    },
}

impl Start {
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Anew => None,
            Self::Resumed(point) => Some(&point.checkpoint),
            Self::Extends { checkpoint, .. } => Some(checkpoint),
        }
    }

    pub(crate) fn resumed(&self) -> Option<&ResumePoint> {
        match self {
            Self::Resumed(point) => Some(point),
            _ => None,
        }
    }

    pub(crate) fn parent(&self) -> Option<String> {
        match self {
            Self::Anew => None,
            Self::Resumed(point) => point.parent.clone(),
            Self::Extends { parent, .. } => Some(parent.clone()),
        }
    }

    /// Number of steps already done.
    pub(crate) fn n_step(&self) -> u64 {
        self.checkpoint().map_or(0, |checkpoint| checkpoint.state.step)
    }

    /// A note if steps are computed differently from those before.
    pub(crate) fn other_arithmetic(&self, now: &str) -> Option<String> {
        let state = &self.checkpoint()?.state;
        let before = &state.arithmetic;
        (before != now).then(|| {
            format!(
                "run {} was computed with {before} so far and continues with {now}: its results will \
                 differ from those of an uninterrupted run, in the last bits if only the processor or \
                 BATCHLAB_VECTORS has changed, and by more if the engine or its file has",
                state.run_id
            )
        })
    }

    pub(crate) fn check_dataset(&self, now: &str) -> Result<(), RunError> {
        let Some(Checkpoint { state, .. }) = self.checkpoint() else { return Ok(()) };
        if state.dataset_hash == now {
            return Ok(());
        }
        let (run_id, before) = (state.run_id.clone(), state.dataset_hash.clone());
        Err(ResumeError::Dataset { run_id, before, now: now.to_owned() }.into())
    }
}

/// Positions a stream after the last batch trained before a checkpoint.
pub(crate) fn seek(checkpoint: &Checkpoint, stream: &mut dyn BatchStream) -> Result<(), RunError> {
    match checkpoint.state.step {
        0 => Ok(()),
        _ => Ok(stream.seek(&checkpoint.state.cursor)?),
    }
}

/// The persisted state of a run, up to the checkpoint from which it is resumed.
pub(crate) struct ResumePoint {
    run_id: String,
    path: PathBuf,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) evals: Vec<EvalRecord>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) n_attempt: i64,
    pub(crate) of_study: OfStudy,
    parent: Option<String>,
    notes: Vec<String>,
}

impl ResumePoint {
    fn find(out: &Path, run_id: &str, observer: &dyn Observer) -> Result<Self, RunError> {
        let run = || (run_id.to_owned(), out.to_owned());
        let is_plain = Path::new(run_id).file_name().is_some_and(|name| name == run_id);
        if !is_plain || !out.join("runs").join(run_id).is_dir() {
            let (run_id, out) = run();
            return Err(ResumeError::NoRun { run_id, out }.into());
        }
        if is_locked(out, run_id)? {
            let process = "see wip".to_owned();
            return Err(ResultsError::Running { run_id: run_id.to_owned(), process }.into());
        }
        let paths = checkpoint::list(&checkpoints(out, run_id));
        let Some(journal) = find_journal(out, run_id) else {
            let published = RunSummary::read(out, run_id).ok().flatten();
            let has_ended = match published.as_ref().map(|summary| &*summary.run.status) {
                // Its rows were published, but there is no checkpoint.
                Some("crashed" | "failed" | "interrupted") => false,
                Some(_) => true,
                // Killed before anything was recorded, unless it has published something.
                None => Manifest::read(out, run_id)?.is_some(),
            };
            let (run_id, out) = run();
            return Err(if has_ended {
                ResumeError::Ended { run_id, out }.into()
            } else {
                ResumeError::NoCheckpoint { run_id, out }.into()
            });
        };
        let mut fault = None;
        let mut notes = Vec::new();
        for path in paths.into_iter().rev() {
            let found = Checkpoint::read(&path)
                .and_then(|checkpoint| Self::with_rows(run_id, path, checkpoint, &journal));
            match found {
                Ok(Self { checkpoint: Checkpoint { state, .. }, .. }) if state.run_id != run_id => {
                    let (run_id, _) = run();
                    return Err(ResumeError::Copy { run_id, original: state.run_id }.into());
                }
                Ok(point) => return Ok(Self { notes, ..point }),
                Err(error) => {
                    let note = format!("{error}; an earlier one is looked for");
                    observer.progress().warn(&note);
                    notes.push(note);
                    fault = Some(error);
                }
            }
        }
        let (run_id, out) = run();
        let none = || ResumeError::NoCheckpoint { run_id, out };
        Err(fault.map_or_else(none, ResumeError::Checkpoint).into())
    }

    /// Adds the rows of a checkpoint, which end with a journal entry.
    fn with_rows(
        run_id: &str,
        path: PathBuf,
        checkpoint: Checkpoint,
        journal: &Path,
    ) -> Result<Self, CheckpointError> {
        let damaged = |reason: String| CheckpointError::Damaged { path: path.clone(), reason };
        let entries = Entries::open(journal).map_err(|error| damaged(error.to_string()))?;
        let (mut steps, mut evals, mut started_at) = (Vec::new(), Vec::new(), None);
        let (mut n_attempt, mut of_study, mut parent) = (1, OfStudy::default(), None);
        let (mut end, mut saved) = (0, None);
        // Damaged rows leave a gap, and a run cannot be resumed after a gap.
        let is_next = |entry: &Entry| entry.place.end <= checkpoint.state.journal_end;
        for entry in entries.take_while(is_next) {
            if entry.place.start != end {
                break;
            }
            end = entry.place.end;
            for (table, rows) in &entry.batches {
                let wrong = |error: arrow_schema::ArrowError| damaged(error.to_string());
                match table {
                    Table::Steps => steps.extend(StepRecord::from_batch(rows).map_err(wrong)?),
                    Table::Evals => evals.extend(EvalRecord::from_batch(rows).map_err(wrong)?),
                    Table::Runs => {
                        let runs = RunRecord::from_batch(rows).map_err(wrong)?;
                        started_at = started_at.or(runs.first().and_then(|run| run.started_at));
                        if let Some(run) = runs.first() {
                            parent.clone_from(&run.parent);
                            of_study = OfStudy {
                                cell: run.cell.clone(),
                                repeat: run.repeat,
                                n_repeat: run.n_repeat,
                                is_exclusive: run.is_exclusive,
                                n_look: run.n_look,
                            };
                        }
                        n_attempt =
                            runs.iter().filter_map(|run| run.n_attempt).fold(n_attempt, i64::max);
                    }
                    Table::Events => {
                        let events = EventRecord::from_batch(rows).map_err(wrong)?;
                        let is_saved = |event: &&EventRecord| event.kind == SAVED;
                        saved =
                            events.iter().rev().find(is_saved).map_or(saved, |event| event.step);
                    }
                    Table::Metrics | Table::Blocks => {}
                }
            }
        }
        if end != checkpoint.state.journal_end {
            let wanted = checkpoint.state.journal_end;
            return Err(damaged(format!(
                "its rows end at byte {wanted} of {}, which is readable up to byte {end}",
                journal.display()
            )));
        }
        // A run that extends another one may not have done any step itself.
        let step = checkpoint.state.step as i64;
        if saved != Some(step) || steps.last().is_some_and(|last: &StepRecord| last.step != step) {
            let (last, journal) = (steps.last().map_or(0, |last| last.step), journal.display());
            return Err(damaged(format!(
                "it holds step {step}, but its rows in {journal} end with step {last}"
            )));
        }
        let (run_id, notes) = (run_id.to_owned(), Vec::new());
        Ok(Self {
            run_id,
            path,
            checkpoint,
            steps,
            evals,
            started_at,
            n_attempt,
            of_study,
            parent,
            notes,
        })
    }

    fn check_config(&self, loaded: &LoadedConfig) -> Result<(), RunError> {
        let differences = differences(&self.checkpoint.state.config, loaded);
        if differences.is_empty() {
            return Ok(());
        }
        let (run_id, path) = (self.run_id.clone(), loaded.path.clone());
        Err(ResumeError::Config { run_id, path, differences }.into())
    }

    /// Reopens the run. Records after the checkpoint are discarded.
    pub(crate) fn reopen(
        &self,
        out: &Path,
        sinks: &[Box<dyn Sink>],
        metadata: &[(String, String)],
    ) -> Result<(Publisher, Recorder), RunError> {
        let publisher = Publisher::reopen(out, &self.run_id)?;
        let state = &self.checkpoint.state;
        let mut recorder = Recorder::reopen(sinks, &publisher, metadata, state.journal_end)?;
        // Later checkpoints are damaged, or belong to discarded rows.
        let paths = checkpoint::list(&publisher.checkpoints());
        for later in paths.iter().rev().take_while(|&path| *path != self.path) {
            let aside = later.with_extension("damaged");
            std::fs::rename(later, &aside)
                .map_err(|source| ResultsError::Write { path: aside, source })?;
        }
        for note in &self.notes {
            recorder.event(Some(state.step), SAVED, note.clone(), None);
        }
        let message = format!("continued after step {}", state.step);
        recorder.event(Some(state.step), "resumed", message, None);
        Ok((publisher, recorder))
    }
}

/// One line per key in which a recorded configuration differs from this one.
fn differences(recorded: &Value, loaded: &LoadedConfig) -> Vec<String> {
    let now = serde_json::from_str(&loaded.to_json()).unwrap_or_default();
    // Converted to this version's format: some keys and values were renamed.
    let before = serde_json::from_value::<Config>(recorded.clone());
    let before = before.and_then(serde_json::to_value).unwrap_or_else(|_| recorded.clone());
    let mut differences = Vec::new();
    differ("", Some(&before), Some(&now), &mut differences);
    differences
}

/// One line per key with different values.
pub(crate) fn differ(
    key: &str,
    before: Option<&Value>,
    now: Option<&Value>,
    lines: &mut Vec<String>,
) {
    if before == now {
        return;
    }
    if let (Some(Value::Object(b)), Some(Value::Object(n))) = (before, now) {
        let of_now = n.keys().filter(|&inner| !b.contains_key(inner));
        for inner in b.keys().chain(of_now) {
            let path = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
            differ(&path, b.get(inner), n.get(inner), lines);
        }
        return;
    }
    let show = |value: Option<&Value>| value.map_or("not set".to_owned(), Value::to_string);
    lines.push(format!("  {key}: {} in the checkpoint, {} now", show(before), show(now)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_keys() {
        let before = json!({ "a": 1, "b": { "c": [1, 2], "d": "x", "gone": true } });
        let now = json!({ "a": 1, "b": { "d": "y", "c": [1, 3], "new": 0.5 } });
        let mut lines = Vec::new();
        differ("", Some(&before), Some(&now), &mut lines);
        assert_eq!(
            lines,
            [
                "  b.c: [1,2] in the checkpoint, [1,3] now",
                "  b.d: \"x\" in the checkpoint, \"y\" now",
                "  b.gone: true in the checkpoint, not set now",
                "  b.new: not set in the checkpoint, 0.5 now",
            ]
        );
        lines.clear();
        differ("", Some(&now), Some(&now), &mut lines);
        assert_eq!(lines, Vec::<String>::new());
    }
}
