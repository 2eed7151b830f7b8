//! Exports published runs as event files.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use batchlab_core::record::{EvalRecord, StepRecord};
use batchlab_files::atomic_write_with;

use super::Exported;
use super::event_file::{Event, FILE_VERSION, Summary, Value, write_event};
use crate::ResultsError;
use crate::files::plain_name;
use crate::read::{published, records};
use crate::summary::row_of;

/// Writes one event file per run, `<out>/<run_id>/events.out.tfevents.<start>.batchlab`, replacing
/// that of an earlier export.
///
/// The time of an event is the start of the run plus the time of all steps and evaluations up to
/// it.
///
/// # Errors
/// Results that cannot be read, a folder that cannot be written.
pub fn to_tensorboard(dir: &Path, out: &Path) -> Result<Exported, ResultsError> {
    let published = published(dir)?;
    let mut exported = Exported { damaged: published.damaged, ..Exported::default() };
    for stem in published.stems {
        let Some(row) = row_of(dir, &stem)? else { continue };
        let mut points = Vec::new();
        records(dir, &stem, |step: StepRecord| {
            // Error curves end with the requested steps.
            if step.is_timing_only != Some(true) {
                points.push(Point::of_step(&step));
            }
        })?;
        records(dir, &stem, |eval: EvalRecord| points.push(Point::of_eval(&eval)))?;
        if !points.is_empty() {
            exported.n_row += points.iter().map(|point| point.values.len() as u64).sum::<u64>();
            let started_at = row.started_at.map_or(0.0, |start| start.0 as f64 / 1e6);
            exported.files.push(Run { started_at, points }.write(out, &stem)?);
        }
    }
    Ok(exported)
}

struct Run {
    /// Seconds since 1970.
    started_at: f64,
    points: Vec<Point>,
}

/// Values known after a step.
struct Point {
    step: i64,
    /// Duration of the step or evaluation.
    duration_ns: i64,
    values: Vec<(String, f64)>,
}

impl Point {
    fn of_step(step: &StepRecord) -> Self {
        let mut values = vec![
            ("train/loss".to_owned(), step.loss),
            ("train/learning_rate".to_owned(), step.learning_rate),
        ];
        if step.step_ns > 0 {
            let seconds = step.step_ns as f64 / 1e9;
            values.push(("time/step_ms".to_owned(), seconds * 1e3));
            values.push(("time/graphs_per_second".to_owned(), step.n_graph as f64 / seconds));
        }
        Self { step: step.step, duration_ns: step.step_ns.max(0), values }
    }

    fn of_eval(eval: &EvalRecord) -> Self {
        let kinds = [
            ("loss", eval.loss),
            ("rmse", eval.rmse),
            ("mae", eval.mae),
            ("accuracy", eval.accuracy),
        ];
        let value =
            |(name, value): (&str, Option<f64>)| Some((format!("{}/{name}", eval.subset), value?));
        Self {
            step: eval.step,
            duration_ns: eval.eval_ns.unwrap_or(0),
            values: kinds.into_iter().filter_map(value).collect(),
        }
    }
}

impl Run {
    fn write(mut self, out: &Path, run_id: &str) -> Result<PathBuf, ResultsError> {
        // In chronological order: steps first, then the evaluation after the last of them.
        self.points.sort_by_key(|point| point.step);
        let folder = out.join(plain_name(run_id)?);
        let path =
            folder.join(format!("events.out.tfevents.{:.0}.batchlab", self.started_at.floor()));
        let write = atomic_write_with(&path, |file| {
            let mut file = BufWriter::new(file);
            for event in self.events() {
                write_event(&mut file, &event)?;
            }
            file.flush()
        });
        write.map_err(ResultsError::write(&path))?;
        Ok(path)
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        let file_version = Some(FILE_VERSION.to_owned());
        let first = Event { wall_time: self.started_at, file_version, ..Event::default() };
        let mut passed_ns = 0;
        let points = self.points.iter().map(move |point| {
            passed_ns = point.duration_ns.saturating_add(passed_ns);
            let value = point
                .values
                .iter()
                .map(|(tag, value)| Value { tag: tag.clone(), simple_value: Some(*value as f32) });
            Event {
                wall_time: self.started_at + passed_ns as f64 / 1e9,
                step: point.step,
                file_version: None,
                summary: Some(Summary { value: value.collect() }),
            }
        });
        std::iter::once(first).chain(points)
    }
}
