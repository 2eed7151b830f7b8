//! Each strategy in numbers: throughput, step time and padding.

use std::collections::BTreeMap;

use batchlab_stats::{mean, median};
use serde::Serialize;

use crate::query;
use crate::read::Run;
use crate::setting::{Group, Setting};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// The query that computes them in `DuckDB`, given the views of the report.
    pub query: String,
    /// One row per strategy and batch size with at least one timed run.
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub setting: usize,
    pub batch_size: Option<i64>,
    pub batcher: String,
    /// Keyed by the names in `COLUMNS`.
    pub values: BTreeMap<&'static str, Option<f64>>,
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Column title in the page's table.
    pub(crate) title: &'static str,
    of_run: fn(&Run) -> Option<f64>,
    /// Aggregates over runs.
    centre: fn(&[f64]) -> Option<f64>,
}

const fn column(
    (name, title): (&'static str, &'static str),
    centre: fn(&[f64]) -> Option<f64>,
    of_run: fn(&Run) -> Option<f64>,
) -> Column {
    Column { name, title, of_run, centre }
}

pub(crate) const COLUMNS: [Column; 9] = [
    column(("outputs_per_s", "outputs per s"), median, |run| Some(run.steps.work?.outputs_per_s)),
    column(("edges_per_s", "real edges per s"), median, |run| Some(run.steps.work?.edges_per_s)),
    column(("batching_ms", "batching, ms"), mean, |run| Some(run.steps.times?.batching_mean / 1e6)),
    column(("update_ms", "update, ms"), mean, |run| Some(run.steps.times?.update_mean / 1e6)),
    column(("combined_ms", "whole step, ms"), mean, |run| {
        Some(run.steps.times?.combined_mean / 1e6)
    }),
    column(("combined_median_ms", "median, ms"), median, |run| {
        Some(run.steps.times?.combined_median / 1e6)
    }),
    column(("data_percent", "batching or waiting, %"), median, |run| {
        Some(100.0 * run.steps.work?.data_share)
    }),
    column(("node_padding_percent", "padding among nodes, %"), mean, |run| {
        Some(100.0 * (1.0 - run.steps.work?.node_fill))
    }),
    column(("edge_padding_percent", "padding among edges, %"), mean, |run| {
        Some(100.0 * (1.0 - run.steps.work?.edge_fill))
    }),
];

impl Numbers {
    pub(crate) fn of(settings: &[Setting]) -> Self {
        let row = |setting, group: &Group| {
            let value = |column: &Column| (column.centre)(&group.sample(column.of_run));
            let values: BTreeMap<_, _> =
                COLUMNS.iter().map(|column| (column.name, value(column))).collect();
            let (batch_size, batcher) = (group.batch_size, group.batcher.clone());
            let is_timed = values.values().any(Option::is_some);
            is_timed.then_some(Row { setting, batch_size, batcher, values })
        };
        let groups = settings.iter().enumerate();
        let groups = groups.flat_map(|(i, s)| s.groups.iter().map(move |group| (i, group)));
        let rows = groups.filter_map(|(setting, group)| row(setting, group)).collect();
        Self { query: query::of_figure("numbers"), rows }
    }
}
