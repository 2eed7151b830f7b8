//! Collects the records of a run, writes them into its journal, and hands them to its sinks.

use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use batchlab_core::Sink;
use batchlab_core::record::{
    EvalRecord, EventRecord, MetricRecord, Record, RunRecord, StepRecord, Table,
};
use batchlab_core::sink::{RecordWriter, SinkContext, WrittenFile};

use crate::RunError;
use crate::journal::{Entries, Journal};
use crate::provenance::now;
use crate::publish::Publisher;

/// Rows go to the journal when so many have gathered, or after so much time: seldom enough to stay
/// out of the way of the steps, often enough to lose little.
const ROWS_AT_ONCE: usize = 4096;
const PAUSE: Duration = Duration::from_secs(1);
/// The disk is waited for after so much time, and at every evaluation and checkpoint.
const SYNC_PAUSE: Duration = Duration::from_secs(10);

/// Every record passes through here, so that journal and sinks agree.
pub(super) struct Recorder {
    run_id: String,
    journal: Journal,
    writers: Writers,
    steps: Vec<StepRecord>,
    evals: Vec<EvalRecord>,
    events: Vec<EventRecord>,
    metrics: Vec<MetricRecord>,
    flushed: Instant,
    synced: Instant,
}

impl Recorder {
    /// Begins with an empty journal.
    pub(super) fn open(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
    ) -> Result<Self, RunError> {
        let writers = Writers::open(sinks, publisher, metadata)?;
        let journal = Journal::create(&publisher.journal())?;
        Ok(Self::new(publisher, journal, writers))
    }

    /// Goes on with the journal of an attempt before, up to a place in it; the rest is cut off, and
    /// the sinks get what remains.
    pub(super) fn reopen(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
        journal_end: u64,
    ) -> Result<Self, RunError> {
        let mut writers = Writers::open(sinks, publisher, metadata)?;
        let journal = Journal::cut(&publisher.journal(), journal_end)?;
        for entry in Entries::open(&publisher.journal())? {
            writers.write_all(&entry.batches)?;
        }
        Ok(Self::new(publisher, journal, writers))
    }

    fn new(publisher: &Publisher, journal: Journal, writers: Writers) -> Self {
        Self {
            run_id: publisher.run_id().to_owned(),
            journal,
            writers,
            steps: Vec::with_capacity(ROWS_AT_ONCE),
            evals: Vec::new(),
            events: Vec::new(),
            metrics: Vec::new(),
            flushed: Instant::now(),
            synced: Instant::now(),
        }
    }

    /// The row of the run as it would be if nothing more were heard of it, together with what was
    /// recorded before training. Only the journal gets the row.
    pub(super) fn begin(&mut self, run: &RunRecord) -> Result<(), RunError> {
        let mut batches = self.batches().to_vec();
        self.writers.write_all(&batches)?;
        batches.push(batch(std::slice::from_ref(run)));
        self.journal.append(&batches)?;
        self.clear();
        self.journal.sync()
    }

    pub(super) fn step(&mut self, mut record: StepRecord) -> Result<(), RunError> {
        record.run_id.clone_from(&self.run_id);
        self.steps.push(record);
        let now = Instant::now();
        if now.duration_since(self.synced) >= SYNC_PAUSE {
            self.sync()?;
        } else if self.steps.len() == ROWS_AT_ONCE || now.duration_since(self.flushed) >= PAUSE {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn eval(&mut self, mut record: EvalRecord) {
        record.run_id.clone_from(&self.run_id);
        self.evals.push(record);
    }

    pub(super) fn event(
        &mut self,
        step: Option<u64>,
        kind: &str,
        message: String,
        payload: Option<serde_json::Value>,
    ) {
        self.events.push(EventRecord {
            run_id: self.run_id.clone(),
            at: now(),
            step: step.map(|step| step as i64),
            kind: kind.into(),
            message,
            payload: payload.map(|value| value.to_string()),
        });
    }

    /// What has happened and was not handed on yet.
    #[cfg(test)]
    pub(super) fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Numbers about the whole run: what the batcher and the data set say of themselves.
    pub(super) fn facts(&mut self, batcher: &[(String, f64)], dataset: &[(String, u64)]) {
        let batcher = batcher.iter().map(|(name, value)| (format!("batcher.{name}"), *value));
        let dataset = dataset
            .iter()
            .map(|(name, n)| (format!("dataset.{}", name.replace(' ', "_")), *n as f64));
        let run_id = &self.run_id;
        self.metrics.extend(batcher.chain(dataset).map(|(name, value)| MetricRecord {
            run_id: run_id.clone(),
            step: None,
            name,
            value,
        }));
    }

    /// Puts everything on the disk, and says where the journal ends.
    pub(super) fn sync(&mut self) -> Result<u64, RunError> {
        self.flush()?;
        self.journal.sync()?;
        self.synced = Instant::now();
        Ok(self.journal.end())
    }

    /// First the journal, so that what a sink does cannot lose rows.
    fn flush(&mut self) -> Result<(), RunError> {
        let batches = self.batches();
        self.journal.append(&batches)?;
        self.clear();
        self.writers.write_all(&batches)
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.evals.clear();
        self.events.clear();
        self.metrics.clear();
        self.flushed = Instant::now();
    }

    fn batches(&self) -> [(Table, RecordBatch); 4] {
        [batch(&self.steps), batch(&self.evals), batch(&self.events), batch(&self.metrics)]
    }

    /// Completes all files and publishes them. With `can_go_on`, the journal is kept.
    pub(super) fn finish(
        mut self,
        run: &RunRecord,
        publisher: Publisher,
        can_go_on: bool,
    ) -> Result<(), RunError> {
        self.flush()?;
        let run = [batch(std::slice::from_ref(run))];
        self.journal.append(&run)?;
        self.journal.sync()?;
        self.writers.finish(&run, &publisher)?;
        publisher.close(can_go_on)
    }

    /// After the disk or a sink has failed: leaves in the journal whatever it still takes, for
    /// someone to salvage.
    pub(super) fn abandon(mut self, run: &RunRecord) {
        let mut batches = self.batches().to_vec();
        batches.push(batch(std::slice::from_ref(run)));
        // There is nobody left to tell; the reason is on its way to the user.
        let _ = self.journal.append(&batches).and_then(|()| self.journal.sync());
    }
}

fn batch<R: Record>(rows: &[R]) -> (Table, RecordBatch) {
    (R::TABLE, R::to_batch(rows).expect("rows of a record type fit their own schema"))
}

/// The sinks of a run, and how many rows they were given.
pub(crate) struct Writers {
    writers: Vec<(String, Box<dyn RecordWriter>)>,
    n_row: [u64; Table::ALL.len()],
}

impl Writers {
    pub(crate) fn open(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
    ) -> Result<Self, RunError> {
        let mut writers = Vec::new();
        for sink in sinks {
            let ctx = SinkContext {
                dir: publisher.sink_folder(sink.typetag_name())?,
                run_id: publisher.run_id().to_owned(),
                metadata: metadata.to_vec(),
            };
            writers.push((sink.typetag_name().to_owned(), sink.open(&ctx)?));
        }
        Ok(Self { writers, n_row: [0; Table::ALL.len()] })
    }

    /// Hands rows on. The row of the run itself comes last, with [`Writers::finish`].
    pub(crate) fn write_all(&mut self, batches: &[(Table, RecordBatch)]) -> Result<(), RunError> {
        let is_row =
            |(table, rows): &&(Table, RecordBatch)| *table != Table::Runs && rows.num_rows() > 0;
        batches.iter().filter(is_row).try_for_each(|(table, rows)| self.write(*table, rows))
    }

    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), RunError> {
        self.n_row[table as usize] += rows.num_rows() as u64;
        for (_, writer) in &mut self.writers {
            writer.write(table, rows)?;
        }
        Ok(())
    }

    /// Completes all files; publishes them when all are complete and hold what was recorded.
    pub(crate) fn finish(
        mut self,
        run: &[(Table, RecordBatch)],
        publisher: &Publisher,
    ) -> Result<(), RunError> {
        run.iter().try_for_each(|(table, rows)| self.write(*table, rows))?;
        let mut files = Vec::new();
        for (sink, writer) in self.writers {
            let written = writer.finish()?;
            check_rows(&sink, &written, &self.n_row)?;
            files.extend(written);
        }
        publisher.tables(&files)
    }
}

/// A sink may split a table into several files, and may leave a table out.
fn check_rows(sink: &str, files: &[WrittenFile], n_row: &[u64]) -> Result<(), RunError> {
    for table in Table::ALL {
        let of_table = || files.iter().filter(|file| file.table == table);
        let written = of_table().map(|file| file.n_row).sum();
        let recorded = n_row[table as usize];
        if of_table().next().is_some() && written != recorded {
            let (sink, table) = (sink.to_owned(), table.name());
            return Err(RunError::Rows { sink, table, written, recorded });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_loses_rows_is_found_out() {
        let file = |table, n_row| WrittenFile { table, path: "a".into(), n_row };
        let n_row = [1, 5, 0, 0, 0];
        let split = [file(Table::Steps, 3), file(Table::Steps, 2), file(Table::Runs, 1)];
        assert!(check_rows("a", &split, &n_row).is_ok());
        let error = check_rows("a", &split[1..], &n_row).unwrap_err().to_string();
        assert_eq!(error, "sink \"a\" wrote 2 rows of table \"steps\", but 5 were recorded");
    }
}
