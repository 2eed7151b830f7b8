//! Collects the records of a run and hands them to its sinks.

use batchlab_core::record::{EvalRecord, EventRecord, MetricRecord, Record, RunRecord, StepRecord};
use batchlab_core::sink::{RecordWriter, SinkContext};
use batchlab_core::{Sink, SinkError};

use crate::RunError;
use crate::provenance::now;
use crate::publish::Publisher;

/// Rows are handed on when so many have gathered: seldom enough to stay out of the way of the
/// steps, often enough to keep memory small.
const ROWS_AT_ONCE: usize = 4096;

/// Every record passes through here, so that sinks agree.
pub(super) struct Recorder {
    run_id: String,
    writers: Vec<Box<dyn RecordWriter>>,
    steps: Vec<StepRecord>,
    evals: Vec<EvalRecord>,
    events: Vec<EventRecord>,
    metrics: Vec<MetricRecord>,
}

impl Recorder {
    pub(super) fn open(
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
            writers.push(sink.open(&ctx)?);
        }
        Ok(Self {
            run_id: publisher.run_id().to_owned(),
            writers,
            steps: Vec::with_capacity(ROWS_AT_ONCE),
            evals: Vec::new(),
            events: Vec::new(),
            metrics: Vec::new(),
        })
    }

    pub(super) fn step(&mut self, mut record: StepRecord) -> Result<(), RunError> {
        record.run_id.clone_from(&self.run_id);
        self.steps.push(record);
        if self.steps.len() == ROWS_AT_ONCE {
            hand_on(&mut self.writers, &mut self.steps)?;
            hand_on(&mut self.writers, &mut self.evals)?;
            hand_on(&mut self.writers, &mut self.events)?;
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

    /// Completes all files and publishes them.
    pub(super) fn finish(mut self, run: RunRecord, publisher: Publisher) -> Result<(), RunError> {
        hand_on(&mut self.writers, &mut vec![run])?;
        hand_on(&mut self.writers, &mut self.steps)?;
        hand_on(&mut self.writers, &mut self.evals)?;
        hand_on(&mut self.writers, &mut self.events)?;
        hand_on(&mut self.writers, &mut self.metrics)?;
        for writer in self.writers {
            publisher.tables(&writer.finish()?)?;
        }
        publisher.close()
    }
}

fn hand_on<R: Record>(
    writers: &mut [Box<dyn RecordWriter>],
    rows: &mut Vec<R>,
) -> Result<(), SinkError> {
    if rows.is_empty() {
        return Ok(());
    }
    let batch = R::to_batch(rows).expect("rows of a record type fit their own schema");
    rows.clear();
    writers.iter_mut().try_for_each(|writer| writer.write(R::TABLE, &batch))
}
