//! Published runs as event files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use batchlab_core::record::Table;

use crate::event_file::{FILE_VERSION, write_event};
use crate::tables::{column, each, stems};
use crate::{Event, ExportError, Exported, Summary, Value};

/// Writes one event file per run, `<out>/<run_id>/events.out.tfevents.<start>.batchlab`, which replaces
/// the one of an export before.
///
/// The moment of an event is the start of the run and the time of all steps and evaluations up to it.
///
/// # Errors
/// Results that cannot be read, a folder that cannot be written.
pub fn to_tensorboard(dir: &Path, out: &Path) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for stem in stems(dir)? {
        let mut runs: BTreeMap<String, Run> = BTreeMap::new();
        each(dir, Table::Runs, &stem, |rows| {
            let starts = rows["started_at"].as_primitive::<TimestampMicrosecondType>().iter();
            for (run_id, start) in column::<String>(rows, "run_id").into_iter().zip(starts) {
                let started_at = start.unwrap_or(0) as f64 / 1e6;
                runs.insert(run_id.unwrap_or_default(), Run { started_at, ..Run::default() });
            }
            Ok(())
        })?;
        add_steps(dir, &stem, &mut runs)?;
        add_evals(dir, &stem, &mut runs)?;
        for (run_id, run) in runs.into_iter().filter(|(_, run)| !run.points.is_empty()) {
            exported.n_row += run.points.iter().map(|point| point.values.len() as u64).sum::<u64>();
            exported.files.push(run.write(out, &run_id)?);
        }
    }
    Ok(exported)
}

#[derive(Default)]
struct Run {
    /// Seconds since 1970.
    started_at: f64,
    points: Vec<Point>,
}

/// What is known after a step.
struct Point {
    step: i64,
    /// How long it took, a step or an evaluation.
    duration_ns: i64,
    values: Vec<(String, f64)>,
}

fn add_steps(dir: &Path, stem: &str, runs: &mut BTreeMap<String, Run>) -> Result<(), ExportError> {
    each(dir, Table::Steps, stem, |rows| {
        let ids = column::<String>(rows, "run_id");
        let (steps, times) = (column::<i64>(rows, "step"), column::<i64>(rows, "step_ns"));
        let n_graph = column::<i64>(rows, "n_graph");
        let (losses, rates) = (column::<f64>(rows, "loss"), column::<f64>(rows, "learning_rate"));
        for row in 0..rows.num_rows() {
            let run = ids[row].as_ref().and_then(|id| runs.get_mut(id));
            let (Some(run), Some(step)) = (run, steps[row]) else { continue };
            let ns = times[row].filter(|&ns| ns > 0);
            let speed = n_graph[row].zip(ns).map(|(n, ns)| n as f64 / (ns as f64 / 1e9));
            let values = [
                ("train/loss", losses[row]),
                ("train/learning_rate", rates[row]),
                ("time/step_ms", ns.map(|ns| ns as f64 / 1e6)),
                ("time/graphs_per_second", speed),
            ];
            let values =
                values.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
            let values = values.collect();
            run.points.push(Point { step, duration_ns: ns.unwrap_or(0), values });
        }
        Ok(())
    })
    .map(drop)
}

fn add_evals(dir: &Path, stem: &str, runs: &mut BTreeMap<String, Run>) -> Result<(), ExportError> {
    each(dir, Table::Evals, stem, |rows| {
        let ids = column::<String>(rows, "run_id");
        let (steps, splits) = (column::<i64>(rows, "step"), column::<String>(rows, "split"));
        let times = column::<i64>(rows, "eval_ns");
        let kinds =
            ["loss", "rmse", "mae", "accuracy"].map(|name| (name, column::<f64>(rows, name)));
        for row in 0..rows.num_rows() {
            let run = ids[row].as_ref().and_then(|id| runs.get_mut(id));
            let (Some(run), Some(step), Some(split)) = (run, steps[row], &splits[row]) else {
                continue;
            };
            let value = |(name, values): &(&str, Vec<Option<f64>>)| {
                Some((format!("{split}/{name}"), values[row]?))
            };
            let values = kinds.iter().filter_map(value).collect();
            run.points.push(Point { step, duration_ns: times[row].unwrap_or(0), values });
        }
        Ok(())
    })
    .map(drop)
}

impl Run {
    fn write(mut self, out: &Path, run_id: &str) -> Result<PathBuf, ExportError> {
        // In the order of time: the steps come first, then the evaluation after the last of them.
        self.points.sort_by_key(|point| point.step);
        let folder = out.join(run_id);
        fs::create_dir_all(&folder).map_err(ExportError::io(&folder))?;
        let path =
            folder.join(format!("events.out.tfevents.{:.0}.batchlab", self.started_at.floor()));
        let unfinished = folder.join(".unfinished");
        let write = || {
            let mut file = BufWriter::new(fs::File::create(&unfinished)?);
            for event in self.events() {
                write_event(&mut file, &event)?;
            }
            file.flush()?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(ExportError::io(&path))?;
        Ok(path)
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        let file_version = Some(FILE_VERSION.to_owned());
        let first = Event { wall_time: self.started_at, file_version, ..Event::default() };
        let mut passed_ns = 0;
        let points = self.points.iter().map(move |point| {
            passed_ns += point.duration_ns;
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
