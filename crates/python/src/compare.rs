//! Turns of Python callables, and the verdict on their times.

use batchlab_report::{Questions, RecordedTime, Replicate, text, verdict_of_times};
use batchlab_study::interleave::{Arms, interleave};
use pyo3::prelude::*;

use crate::error::value_error;

/// Calls `train(arm, block)`, which returns seconds per output, in mirrored pairs of blocks.
#[pyfunction]
pub(crate) fn turns(
    py: Python<'_>,
    n: usize,
    pairs: u32,
    seed: u64,
    train: &Bound<'_, PyAny>,
) -> PyResult<()> {
    interleave(Arms { n, pairs, seed }, |arm, block| {
        py.check_signals()?;
        train.call1((arm, block))?.extract()
    })
}

/// The verdict on rows of strategy, seconds, outputs, cell and block: as text and as JSON.
#[pyfunction]
#[pyo3(signature = (times, margin = None))]
pub(crate) fn verdict(
    times: Vec<(String, f64, f64, String, i64)>,
    margin: Option<f64>,
) -> PyResult<(String, String)> {
    let times: Vec<RecordedTime> = times
        .into_iter()
        .zip(1..)
        .map(|((strategy, seconds, n_output, cell, number), line)| {
            let replicate = Replicate::Block { cell, number };
            RecordedTime { line, strategy, seconds, n_output, replicate }
        })
        .collect();
    let margin = margin.unwrap_or(Questions::default().margin);
    let questions = Questions { margin, ..Questions::default() };
    let verdict = verdict_of_times(&times, &questions).map_err(value_error)?;
    Ok((text(&verdict), serde_json::to_string(&verdict).map_err(value_error)?))
}
