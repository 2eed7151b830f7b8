//! From a journal that was left behind to tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use batchlab_core::Sink;
use batchlab_core::record::{
    EvalRecord, EventRecord, Record, RunRecord, StepRecord, Table, Timestamp,
};
use serde::Deserialize;

use super::{Finding, Salvage};
use crate::RunError;
use crate::checkpoint::{self, Checkpoint, Facts};
use crate::journal::{Entries, Tail};
use crate::publish::{self, Publisher};
use crate::run::CRASHED_STATUS;
use crate::run::recorder::Writers;

/// The part of a run's configuration that says who writes its tables.
#[derive(Deserialize)]
struct Sinks {
    sink: Vec<Box<dyn Sink>>,
}

pub(super) fn salvage(out: &Path, run_id: &str, dry_run: bool) -> Result<Finding, RunError> {
    // From here on nobody else writes into the journal.
    let publisher = if dry_run { None } else { Some(Publisher::lock(out, run_id)?) };
    let journal = publish::journal_at_work(out, run_id);
    if !journal.exists() {
        publisher.map_or(Ok(()), |publisher| publisher.close(false))?;
        return Ok(Finding::Nothing);
    }
    let remains = Remains::read(&journal, run_id)?;
    let mut damaged_journal = None;
    if remains.tail == Some(Tail::Damaged) {
        let keep = |publisher: &Publisher| publisher.keep_damaged_journal();
        let kept = publisher.as_ref().map(keep).transpose()?;
        damaged_journal = Some(kept.unwrap_or_else(|| journal.clone()));
    }
    let Some(remains) = remains.rows else {
        publisher.map_or(Ok(()), |publisher| publisher.close(false))?;
        return Ok(match damaged_journal {
            None => Finding::Nothing,
            Some(path) => Finding::Unreadable { path },
        });
    };
    let resumes_after = last_checkpoint(out, run_id, &remains.ends);
    let salvage = Salvage {
        status: remains.run.status.clone(),
        n_step: remains.run.n_step,
        n_row: remains.n_row.clone(),
        torn_bytes: remains.torn_bytes,
        damaged_journal,
        resumes_after,
    };
    if let Some(publisher) = publisher {
        remains.publish(publisher, salvage.resumes_after.is_some())?;
    }
    Ok(Finding::Salvaged(salvage))
}

/// Steps done at the newest checkpoint that is whole and whose rows, which end where an entry of the
/// journal ends, can be read.
fn last_checkpoint(out: &Path, run_id: &str, ends: &BTreeSet<u64>) -> Option<u64> {
    let paths = checkpoint::list(&publish::checkpoints(out, run_id));
    let facts = |path: &PathBuf| Some(Checkpoint::read(path).ok()?.facts);
    let with_rows = |facts: &Facts| ends.contains(&facts.journal_end);
    paths.iter().rev().filter_map(facts).find(with_rows).map(|facts| facts.step)
}

/// A journal that was read as far as possible.
struct Remains {
    /// `None`: there is no complete entry in it.
    rows: Option<Rows>,
    tail: Option<Tail>,
}

/// What a journal says of its run.
struct Rows {
    run: RunRecord,
    /// What the tables say about the end; nothing if the run said it itself.
    events: Vec<EventRecord>,
    n_row: BTreeMap<&'static str, u64>,
    torn_bytes: u64,
    /// Where its entries end, in bytes, and where it begins.
    ends: BTreeSet<u64>,
}

impl Remains {
    fn read(journal: &Path, run_id: &str) -> Result<Self, RunError> {
        let mut entries = Entries::open(journal)?;
        let mut run: Option<RunRecord> = None;
        let mut sums = Sums::default();
        let mut n_row = BTreeMap::new();
        let mut ends = BTreeSet::from([0]);
        for entry in entries.by_ref() {
            ends.insert(entry.end);
            for (table, rows) in &entry.batches {
                let wrong = |error| unreadable(journal, error);
                match table {
                    Table::Runs => run = RunRecord::from_batch(rows).map_err(wrong)?.pop(),
                    Table::Steps => sums.steps(&StepRecord::from_batch(rows).map_err(wrong)?),
                    Table::Evals => sums.evals(&EvalRecord::from_batch(rows).map_err(wrong)?),
                    Table::Events | Table::Metrics => {}
                }
                if *table != Table::Runs {
                    *n_row.entry(table.name()).or_default() += rows.num_rows() as u64;
                }
            }
        }
        let torn_bytes = entries.n_byte_left();
        let tail = entries.tail();
        let Some(mut run) = run else { return Ok(Self { rows: None, tail }) };
        let mut events = Vec::new();
        if run.status == CRASHED_STATUS {
            let at = written_at(journal);
            run.finished_at = at;
            sums.complete(&mut run);
            let message = format!(
                "the process ended without a word after step {}; rows after that are lost",
                run.n_step
            );
            let (run_id, kind) = (run_id.to_owned(), CRASHED_STATUS.to_owned());
            let step = Some(run.n_step);
            events.push(EventRecord { run_id, at, step, kind, message, payload: None });
            *n_row.entry(Table::Events.name()).or_default() += 1;
        }
        Ok(Self { rows: Some(Rows { run, events, n_row, torn_bytes, ends }), tail })
    }
}

impl Rows {
    /// As at the end of any run.
    fn publish(self, publisher: Publisher, can_go_on: bool) -> Result<(), RunError> {
        let run = &self.run;
        publisher.begin_anew()?;
        let config = publisher.run_folder().join("config.toml");
        let text = fs::read_to_string(&config)
            .map_err(|source| RunError::Read { path: config.clone(), source })?;
        let sinks: Sinks = toml::from_str(&text)
            .map_err(|error| RunError::config(format!("{}: {error}", config.display())))?;
        let metadata = [
            ("schema_version".to_owned(), run.schema_version.to_string()),
            ("batchlab_version".to_owned(), run.version.clone()),
            ("config_hash".to_owned(), run.config_hash.clone()),
        ];
        let mut writers = Writers::open(&sinks.sink, &publisher, &metadata)?;
        for entry in Entries::open(&publisher.journal())? {
            writers.write_all(&entry.batches)?;
        }
        let wrong = |error| unreadable(&publisher.journal(), error);
        let events = EventRecord::to_batch(&self.events).map_err(wrong)?;
        writers.write_all(&[(Table::Events, events)])?;
        let rows = RunRecord::to_batch(std::slice::from_ref(run)).map_err(wrong)?;
        writers.finish(&[(Table::Runs, rows)], &publisher)?;
        publisher.close(can_go_on && run.status != "completed" && run.status != "nan")
    }
}

/// Sums over the rows of a run.
#[derive(Default)]
struct Sums {
    n_step: i64,
    n_shape: i64,
    train_ns: i64,
    eval_ns: i64,
}

impl Sums {
    fn steps(&mut self, steps: &[StepRecord]) {
        for step in steps {
            self.train_ns += step.step_ns;
            self.n_shape = self.n_shape.max(step.shape_id + 1);
            if step.loss.is_finite() {
                self.n_step = step.step;
            }
        }
    }

    fn evals(&mut self, evals: &[EvalRecord]) {
        self.eval_ns += evals.iter().map(|eval| eval.eval_ns).sum::<i64>();
    }

    fn complete(&self, run: &mut RunRecord) {
        run.n_step = self.n_step;
        run.n_shape = self.n_shape;
        run.train_ns = self.train_ns;
        run.eval_ns = self.eval_ns;
    }
}

/// When something was last written into a file.
fn written_at(path: &Path) -> Timestamp {
    let time = fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn unreadable(journal: &Path, error: arrow_schema::ArrowError) -> RunError {
    RunError::Read { path: journal.to_owned(), source: std::io::Error::other(error) }
}
