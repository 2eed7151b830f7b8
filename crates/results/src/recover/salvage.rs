//! Converts an abandoned journal into tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use batchlab_core::record::{
    EvalRecord, EventRecord, Record, RunRecord, StepRecord, Table, Timestamp,
};

use super::republish::republish;
use super::{Finding, Recovery, Salvage};
use crate::earlier::{further, is_final};
use crate::journal::Entries;
use crate::{CRASHED, Publisher, ResultsError, StepSums, publish};

pub(super) fn salvage(
    out: &Path,
    run_id: &str,
    recovery: Recovery<'_>,
) -> Result<Finding, ResultsError> {
    // From here on, no other process writes to the journal.
    let publisher = if recovery.dry_run { None } else { Some(Publisher::lock(out, run_id)?) };
    let path = publish::running_journal(out, run_id);
    if !path.exists() {
        publisher.map_or(Ok(()), |publisher| publisher.close(false))?;
        return Ok(Finding::Nothing);
    }
    let journal = ReadJournal::read(&path, run_id)?;
    let mut damaged_journal = None;
    if journal.damaged_bytes > 0 {
        let keep = |publisher: &Publisher| publisher.keep_damaged_journal();
        let kept = publisher.as_ref().map(keep).transpose()?;
        damaged_journal = Some(kept.unwrap_or(path));
    }
    let Some(run) = &journal.run else {
        publisher.map_or(Ok(()), |publisher| publisher.close(false))?;
        return Ok(match damaged_journal {
            None => Finding::Nothing,
            Some(path) => Finding::Unreadable { path },
        });
    };
    let checkpoints = publish::checkpoints(out, run_id);
    let salvage = Salvage {
        status: run.status.clone(),
        n_step: run.n_step.unwrap_or(0),
        n_row: journal.n_row.clone(),
        torn_bytes: journal.torn_bytes,
        damaged_bytes: journal.damaged_bytes,
        damaged_journal,
        n_step_kept: further(
            out,
            run,
            journal.n_row.get(Table::Steps.name()).copied().unwrap_or(0),
        ),
        resumes_after: (recovery.newest_checkpoint)(&checkpoints, &journal.ends),
    };
    if let Some(publisher) = publisher {
        if salvage.n_step_kept.is_none() {
            journal.publish(run, &publisher)?;
        }
        publisher.close(salvage.resumes_after.is_some() && !is_final(run))?;
    }
    Ok(Finding::Salvaged(salvage))
}

/// A journal that was read as far as possible.
struct ReadJournal {
    /// `None`: no intact entry identifies the run.
    run: Option<RunRecord>,
    /// Events about the end to add to the tables; empty if the run recorded them itself.
    events: Vec<EventRecord>,
    n_row: BTreeMap<&'static str, u64>,
    torn_bytes: u64,
    damaged_bytes: u64,
    /// Ends in bytes of its entries before the first damage, and its start.
    ends: BTreeSet<u64>,
}

impl ReadJournal {
    fn read(path: &Path, run_id: &str) -> Result<Self, ResultsError> {
        let mut entries = Entries::open(path)?;
        let mut run: Option<RunRecord> = None;
        let (mut steps, mut eval_ns) = (Vec::new(), 0);
        let mut n_row: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut ends = BTreeSet::from([0]);
        let wrong = |error| ResultsError::damaged(path, error);
        for entry in entries.by_ref() {
            if ends.contains(&entry.place.start) {
                ends.insert(entry.place.end);
            }
            for (table, rows) in &entry.batches {
                match table {
                    Table::Runs => run = RunRecord::from_batch(rows).map_err(wrong)?.pop(),
                    Table::Steps => steps.extend(StepRecord::from_batch(rows).map_err(wrong)?),
                    Table::Evals => {
                        let evals = EvalRecord::from_batch(rows).map_err(wrong)?;
                        let times = evals.iter().filter_map(|eval| eval.eval_ns);
                        eval_ns = times.fold(eval_ns, i64::saturating_add);
                    }
                    Table::Events | Table::Metrics | Table::Blocks => {}
                }
                if *table != Table::Runs {
                    *n_row.entry(table.name()).or_default() += rows.num_rows() as u64;
                }
            }
        }
        if let Some(run) = run.as_ref().filter(|run| run.run_id != run_id) {
            let (path, run_id) = (path.to_owned(), run_id.to_owned());
            return Err(ResultsError::Copy { path, run_id, original: run.run_id.clone() });
        }
        let mut events = Vec::new();
        let damaged = entries.damaged();
        if let Some(run) = run.as_mut().filter(|run| run.status == CRASHED) {
            let mut sums = StepSums::new(run);
            for step in &steps {
                sums.add(step);
            }
            let sums = sums.summary();
            let at = written_at(path);
            run.finished_at = Some(at);
            run.n_step = Some(sums.n_step);
            run.n_shape = Some(sums.n_shape);
            run.train_ns = Some(sums.train_ns);
            run.eval_ns = Some(eval_ns);
            let and_damaged = match damaged.len() {
                0 => String::new(),
                n => format!(", and those of {n} damaged places of its journal"),
            };
            let message = format!(
                "the process was killed, or the machine stopped, after step {}; rows after that \
                 are lost{and_damaged}",
                sums.n_step
            );
            events.push(EventRecord {
                run_id: run_id.to_owned(),
                at: Some(at),
                step: Some(sums.n_step),
                kind: CRASHED.to_owned(),
                message,
                payload: None,
            });
            *n_row.entry(Table::Events.name()).or_default() += 1;
        }
        let damaged_bytes = damaged.iter().map(|place| place.end - place.start).sum();
        Ok(Self { run, events, n_row, torn_bytes: entries.n_byte_torn(), damaged_bytes, ends })
    }

    /// As at the end of any run.
    fn publish(&self, run: &RunRecord, publisher: &Publisher) -> Result<(), ResultsError> {
        let journal = publisher.journal();
        republish(publisher, run, |writers| {
            for entry in Entries::open(&journal)? {
                writers.write_all(&entry.batches)?;
            }
            let wrong = |error| ResultsError::damaged(&journal, error);
            let events = EventRecord::to_batch(&self.events).map_err(wrong)?;
            writers.write_all(&[(Table::Events, events)])
        })
    }
}

/// Time of the last modification of a file.
fn written_at(path: &Path) -> Timestamp {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    Timestamp::of(modified.unwrap_or(SystemTime::UNIX_EPOCH))
}
