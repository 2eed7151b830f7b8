//! Forecasts as a table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use batchlab_core::{BatchFields, Batcher, Graphs, View};
use batchlab_forecast::{Forecast, ForecastError, Options, forecast as forecast_one};
use pyo3::prelude::*;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::error::value_error;
use crate::interrupt::interruptible;
use crate::planner::batcher_of;
use crate::results::Table;

/// Forecasts of strategies, given as TOML tables, at every batch size. Batches have all fields.
pub(crate) fn forecast(
    py: Python<'_>,
    graphs: &Graphs,
    tables: &[String],
    batch_sizes: &[u32],
    n_step: u64,
    seed: u64,
) -> PyResult<Table> {
    let batchers = batch_sizes.iter().flat_map(|&size| tables.iter().map(move |of| (of, size)));
    let batchers =
        batchers.map(|(table, size)| batcher_of(table, size)).collect::<PyResult<Vec<_>>>()?;
    let needs: BatchFields = graphs.fields();
    let options = Options {
        n_step,
        seed,
        node_feature_width: graphs.batch_feature_width(&needs),
        own: graphs.own_footprint(&needs),
        needs,
        max_member: Options::MAX_MEMBER,
    };
    let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
    let view: View = graphs.view(&members);
    // Threads do not survive a fork, so each call has its own.
    let threads = ThreadPoolBuilder::new().build().map_err(value_error)?;
    let work =
        move |stop: &AtomicBool| threads.install(|| forecast_all(&batchers, &view, &options, stop));
    let all = interruptible(py, work)?.map_err(value_error)?;
    Ok(Table::new("plan", rows(&all, batch_sizes, tables.len()).map_err(value_error)?))
}

/// Forecasts in the given order. With `stop`, those that are left are left out.
fn forecast_all(
    batchers: &[Box<dyn Batcher>],
    view: &View,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Vec<Forecast>, ForecastError> {
    let wanted = batchers.par_iter().filter(|_| !stop.load(Ordering::Relaxed));
    let all: Vec<_> = wanted.map(|batcher| forecast_one(&**batcher, view, options)).collect();
    all.into_iter().collect()
}

fn rows(
    all: &[Forecast],
    batch_sizes: &[u32],
    n_strategy: usize,
) -> Result<RecordBatch, impl std::fmt::Display> {
    let number = |of: &dyn Fn(&Forecast) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<Float64Array>())
    };
    let count = |of: &dyn Fn(&Forecast) -> u64| -> ArrayRef {
        Arc::new(all.iter().map(|row| of(row) as i64).collect::<Int64Array>())
    };
    let labels: StringArray = all.iter().map(|row| Some(row.label.as_str())).collect();
    let sizes =
        batch_sizes.iter().flat_map(|&size| std::iter::repeat_n(i64::from(size), n_strategy));
    RecordBatch::try_from_iter([
        ("strategy", Arc::new(labels) as ArrayRef),
        ("batch_size", Arc::new(sizes.collect::<Int64Array>())),
        ("steps_per_epoch", number(&|row| Some(row.steps_per_epoch))),
        ("graphs_per_step", number(&|row| Some(row.outputs_per_step))),
        ("node_fill", number(&|row| row.node_fill)),
        ("edge_fill", number(&|row| row.edge_fill)),
        ("shapes", number(&|row| Some(row.shapes.n_shape))),
        ("peak_bytes", count(&|row| row.peak_bytes)),
    ])
}
