//! Forecasts of streams with known results.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::sync::Arc;

use batchlab_core::budget::Footprint;
use batchlab_core::{
    BatchContext, BatchFields, BatchPlan, BatchStream, Batcher, BatcherError, Cursor, GraphSize,
    Level, View,
};
use batchlab_forecast::census::Method;
use batchlab_forecast::{Forecast, Options, forecast, forecast_all};
use serde::{Deserialize, Serialize};

/// Graphs in the order of the view, `n` per batch, padded to multiples of 64, the same in every
/// epoch.
#[derive(Debug, Serialize, Deserialize)]
struct InOrder {
    n: usize,
    /// Drops the last graph of every batch.
    loses: bool,
}

#[typetag::serde(name = "in-order")]
impl Batcher for InOrder {
    fn label(&self) -> String {
        "in-order".into()
    }
    fn level(&self) -> Level {
        Level::Graphs
    }
    fn batch_size(&self) -> Option<u32> {
        Some(self.n as u32 + 1)
    }
    fn open(&self, view: View, _: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let View::ManyGraphs(graphs) = view else {
            return Err(BatcherError::WrongLevel { expected: Level::Graphs, got: Level::Nodes });
        };
        if graphs.len() < self.n {
            return Err(BatcherError::Options("the batch is longer than the data".into()));
        }
        let kept = self.n - usize::from(self.loses);
        Ok(Box::new(Walk { graphs, n: self.n, kept, cursor: Cursor::default() }))
    }
}

struct Walk {
    graphs: Arc<[GraphSize]>,
    n: usize,
    kept: usize,
    cursor: Cursor,
}

impl BatchStream for Walk {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        let n_batch = self.graphs.len() / self.n;
        if self.cursor.batch as usize == n_batch {
            self.cursor = Cursor { epoch: self.cursor.epoch + 1, ..Cursor::default() };
        }
        let first = self.cursor.batch as usize * self.n;
        self.cursor.batch += 1;
        plan.clear(Level::Graphs);
        self.graphs[first..first + self.kept].iter().for_each(|&graph| plan.push_graph(graph));
        plan.shape = plan.real;
        plan.shape.n_node = (plan.real.n_node + 1).next_multiple_of(64);
        plan.shape.n_edge = plan.real.n_edge.next_multiple_of(64);
        plan.cursor = self.cursor.clone();
        Ok(true)
    }
    fn seek(&mut self, _: &Cursor) -> Result<(), BatcherError> {
        Ok(())
    }
}

/// 200 graphs of 1, 1, 2, 2, 3, 3, ... nodes, with 10 edges per node.
fn view() -> View {
    let size = |id| GraphSize { id, n_node: 1 + id / 2, n_edge: 10 * (1 + id / 2) };
    View::ManyGraphs((0..200).map(size).collect())
}

fn options(n_step: u64) -> Options {
    Options {
        n_step,
        seed: 0,
        needs: BatchFields::default(),
        own: Footprint::NONE,
        node_feature_width: 0,
        max_member: Options::MAX_MEMBER,
    }
}

fn check(batcher: &InOrder, options: &Options) -> Forecast {
    forecast(batcher, &view(), options).unwrap()
}

#[test]
fn sorted_order_is_the_opposite_of_shuffled() {
    let forecast = check(&InOrder { n: 10, loses: false }, &options(60));
    assert!((forecast.steps_per_epoch - 20.0).abs() < 1e-12);
    // Always the same pairs: C / P = 199 / 9.
    assert!((forecast.shuffle.pair_recurrence.unwrap() - 199.0 / 9.0).abs() < 1e-9);
    assert!(forecast.shuffle.size_autocorrelation.unwrap() > 0.7);
    assert_eq!(forecast.shuffle.inclusion_by_decile, [1.0; 10]);
    assert_eq!(forecast.shuffle.n_epoch, 8);
}

#[test]
fn lost_graphs_are_missed_in_their_decile() {
    // The last of every 40 graphs is dropped: one of the 20 in every second decile.
    let forecast = check(&InOrder { n: 40, loses: true }, &options(60));
    let expected = [1.0, 0.95].repeat(5);
    let found = &forecast.shuffle.inclusion_by_decile;
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
}

#[test]
fn sums_and_shapes_as_counted_by_hand() {
    // Batches of 100: 2 (1 + ... + 50) = 2550 nodes, padded to 2560, and 2 (51 + ... + 100) = 7550,
    // padded to 7552; 25,500 edges to 25,536, and 75,500 to 75,520.
    let forecast = check(&InOrder { n: 100, loses: false }, &options(3));
    assert_eq!(forecast.totals.n_step, 3);
    assert_eq!(forecast.totals.n_node, 2 * 2550 + 7550);
    assert_eq!(forecast.totals.n_node_padded, 2 * 2560 + 7552);
    assert!((forecast.edge_fill.unwrap() - 126_500.0 / 126_592.0).abs() < 1e-12);
    assert!((forecast.padding_edges_per_real_edge.unwrap() - 92.0 / 126_500.0).abs() < 1e-12);
    assert!((forecast.outputs_per_step - 100.0).abs() < 1e-12);
    assert!((forecast.shapes_per_epoch - 2.0).abs() < 1e-12);
    assert_eq!((forecast.shapes.n_shape, forecast.shapes.method), (2.0, Method::Enumerated));
    assert_eq!(forecast.frequent_shapes[0].0.n_node, 2560);
}

#[test]
fn what_is_too_long_to_count_is_extrapolated_and_says_so() {
    let bounded = Options { max_member: 200, ..options(1000) };
    let forecast = check(&InOrder { n: 10, loses: false }, &bounded);
    assert_eq!(forecast.n_step_planned, 20);
    assert_eq!(forecast.shapes.method, Method::Extrapolated);
    // Every batch of the single epoch had its own shape, so the estimator expects more.
    assert!(forecast.shapes.n_shape > 20.0);
    assert_eq!(forecast.shuffle.n_epoch, 8, "randomness is measured nevertheless");
}

#[test]
fn a_strategy_that_cannot_work_is_named() {
    let batchers: Vec<Box<dyn Batcher>> =
        vec![Box::new(InOrder { n: 10, loses: false }), Box::new(InOrder { n: 300, loses: false })];
    let error = forecast_all(&batchers, &view(), &options(10)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "strategy \"in-order\" with batch_size = 301: the batch is longer than the data"
    );
}
