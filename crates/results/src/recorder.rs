//! Collects the records of a run, writes them to its journal, and passes them to its sinks.

use std::time::{Duration, Instant, SystemTime};

use arrow_array::RecordBatch;
use batchlab_core::Sink;
use batchlab_core::record::{
    BlockRecord, EvalRecord, EventRecord, MetricRecord, Record, RunRecord, StepRecord, Table,
    Timestamp,
};

use crate::earlier::further;
use crate::journal::{Entries, Journal};
use crate::writers::Writers;
use crate::{Publisher, ResultsError};

/// Rows are written to the journal after this many rows, or after this time: rarely enough not to
/// disturb the steps, often enough to lose little.
const ROWS_AT_ONCE: usize = 4096;
const PAUSE: Duration = Duration::from_secs(1);
/// The journal is fsynced after this time, and at every evaluation and checkpoint.
const SYNC_PAUSE: Duration = Duration::from_secs(10);

/// All records pass through here, so that journal and sinks agree.
pub struct Recorder {
    run_id: String,
    /// `None` if nothing is recorded.
    journal: Option<Journal>,
    writers: Writers,
    steps: Vec<StepRecord>,
    evals: Vec<EvalRecord>,
    events: Vec<EventRecord>,
    metrics: Vec<MetricRecord>,
    blocks: Vec<BlockRecord>,
    flushed: Instant,
    synced: Instant,
}

impl Recorder {
    /// Starts with an empty journal.
    ///
    /// # Errors
    /// A sink or a journal that cannot be opened.
    pub fn open(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
    ) -> Result<Self, ResultsError> {
        let writers = Writers::open(sinks, publisher, metadata)?;
        let journal = Journal::create(&publisher.journal())?;
        Ok(Self::new(publisher.run_id(), Some(journal), writers))
    }

    /// Records nothing: of several ranks that train one run, one records.
    #[must_use]
    pub fn silent(run_id: &str) -> Self {
        Self::new(run_id, None, Writers::default())
    }

    /// Continues the journal of an earlier attempt, truncated at a given position; the sinks
    /// receive the remaining rows.
    pub fn reopen(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
        journal_end: u64,
    ) -> Result<Self, ResultsError> {
        let mut writers = Writers::open(sinks, publisher, metadata)?;
        let journal = Journal::cut(&publisher.journal(), journal_end)?;
        for entry in Entries::open(&publisher.journal())? {
            writers.write_all(&entry.batches)?;
        }
        Ok(Self::new(publisher.run_id(), Some(journal), writers))
    }

    fn new(run_id: &str, journal: Option<Journal>, writers: Writers) -> Self {
        Self {
            run_id: run_id.to_owned(),
            journal,
            writers,
            steps: Vec::with_capacity(ROWS_AT_ONCE),
            evals: Vec::new(),
            events: Vec::new(),
            metrics: Vec::new(),
            blocks: Vec::new(),
            flushed: Instant::now(),
            synced: Instant::now(),
        }
    }

    /// Writes to the journal the row of the run to use if nothing more is recorded, with everything
    /// recorded before training. Sinks do not receive this row.
    pub fn begin(&mut self, run: &RunRecord) -> Result<(), ResultsError> {
        let mut batches = self.batches().to_vec();
        self.writers.write_all(&batches)?;
        batches.push(batch(std::slice::from_ref(run)));
        self.append(&batches)?;
        self.clear();
        self.sync().map(drop)
    }

    pub fn step(&mut self, mut record: StepRecord) -> Result<(), ResultsError> {
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

    pub fn eval(&mut self, mut record: EvalRecord) {
        record.run_id.clone_from(&self.run_id);
        self.evals.push(record);
    }

    pub fn block(&mut self, mut record: BlockRecord) {
        record.run_id.clone_from(&self.run_id);
        self.blocks.push(record);
    }

    pub fn event(
        &mut self,
        step: Option<u64>,
        kind: &str,
        message: String,
        payload: Option<serde_json::Value>,
    ) {
        self.events.push(EventRecord {
            run_id: self.run_id.clone(),
            at: Some(Timestamp::of(SystemTime::now())),
            step: step.map(|step| step as i64),
            kind: kind.into(),
            message,
            payload: payload.map(|value| value.to_string()),
        });
    }

    /// Events that were not passed on yet.
    #[must_use]
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Numbers about the whole run, reported by the batcher and the data set.
    pub fn metrics(&mut self, batcher: &[(String, f64)], dataset: &[(String, u64)]) {
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

    /// Fsyncs everything and returns the end of the journal.
    pub fn sync(&mut self) -> Result<u64, ResultsError> {
        self.flush()?;
        self.synced = Instant::now();
        let Some(journal) = &mut self.journal else { return Ok(0) };
        journal.sync()?;
        Ok(journal.end())
    }

    /// The journal comes first, so that sinks cannot lose rows.
    fn flush(&mut self) -> Result<(), ResultsError> {
        let batches = self.batches();
        self.append(&batches)?;
        self.clear();
        self.writers.write_all(&batches)
    }

    fn append(&mut self, batches: &[(Table, RecordBatch)]) -> Result<(), ResultsError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(batches))
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.evals.clear();
        self.events.clear();
        self.metrics.clear();
        self.blocks.clear();
        self.flushed = Instant::now();
    }

    fn batches(&self) -> [(Table, RecordBatch); 5] {
        [
            batch(&self.steps),
            batch(&self.evals),
            batch(&self.events),
            batch(&self.metrics),
            batch(&self.blocks),
        ]
    }

    /// Completes and publishes all files. With `can_go_on`, the journal is kept. If this run was
    /// broken off and published tables contain more, these are kept and their number of steps is
    /// returned.
    pub fn finish(
        mut self,
        run: &RunRecord,
        publisher: Publisher,
        can_go_on: bool,
    ) -> Result<Option<i64>, ResultsError> {
        let row = [batch(std::slice::from_ref(run))];
        self.flush()?;
        self.append(&row)?;
        self.sync()?;
        let further = further(publisher.out(), run, self.writers.n_row(Table::Steps));
        if further.is_none() {
            let [(_, row)] = row;
            self.writers.finish(&row, &publisher)?;
        }
        publisher.close(can_go_on)?;
        Ok(further)
    }

    /// After a failure of the disk or a sink: writes as much as possible to the journal, for a
    /// later salvage.
    pub fn abandon(mut self, run: &RunRecord) {
        let mut batches = self.batches().to_vec();
        batches.push(batch(std::slice::from_ref(run)));
        // Errors are ignored; the cause is already being reported to the user.
        let _ = self.append(&batches).and_then(|()| self.sync());
    }
}

fn batch<R: Record>(rows: &[R]) -> (Table, RecordBatch) {
    (R::TABLE, R::to_batch(rows).expect("rows of a record type fit their own schema"))
}
