//! Assignments of graphs to ranks: what holds for any data, and cases counted by hand.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::num::NonZeroU32;

use batchlab_core::grouping::{EpochGraphs, Grouping, open_groups};
use batchlab_core::registry::from_toml;
use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, BatcherError, GraphSize, Level, Padding,
    Purpose, Shape, View,
};
use batchlab_forecast::ranks::{
    Assignment, Batch, Cost, Epoch, RankForecast, RankOptions, RanksError, forecast_ranks, size,
};
use proptest::prelude::*;

batchlab_core::batcher_options! {
    /// As many graphs as there are slots, in the order in which they come.
    pub struct FirstCome with GroupOptions {}
    padding = Padding::None
}

#[typetag::serde(name = "first-come")]
impl Batcher for FirstCome {
    fn level(&self) -> Level {
        Level::Graphs
    }
    fn batch_size(&self) -> Option<u32> {
        Some(self.batch_size.get())
    }
    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let n_graph = self.batch_size.max_graph() as usize;
        open_groups(view, ctx, Count { n_graph, pending: Vec::new() }, self.group_options())
    }
}

struct Count {
    n_graph: usize,
    pending: Vec<GraphSize>,
}

impl Grouping for Count {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        while self.pending.len() < self.n_graph {
            let Some(graph) = graphs.next() else { return Ok(false) };
            self.pending.push(graph);
        }
        group.append(&mut self.pending);
        Ok(true)
    }
    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        group.append(&mut self.pending);
        Ok(!group.is_empty())
    }
    fn pending(&self) -> &[GraphSize] {
        &self.pending
    }
    fn restore(&mut self, carried: &[GraphSize]) {
        self.pending = carried.to_vec();
    }
}

fn batcher(padding: &str, boundary: &str) -> Box<dyn Batcher> {
    let table = format!("batch_size = 5\npadding = {padding}\nepoch_boundary = \"{boundary}\"");
    Box::new(from_toml::<FirstCome>(&table))
}

fn view(sizes: &[(u32, u32)]) -> View {
    let graph = |(id, &(n_node, n_edge)): (u32, &(u32, u32))| GraphSize { id, n_node, n_edge };
    View::ManyGraphs((0..).zip(sizes).map(graph).collect())
}

/// The first epochs of the stream, read apart from the forecast.
fn epochs(batcher: &dyn Batcher, view: &View, n_epoch: usize) -> Vec<Epoch> {
    let mut stream = batcher.open(view.clone(), BatchContext::new(Purpose::Training, 0)).unwrap();
    let mut plan = BatchPlan::default();
    let graphs = view.many_graphs().unwrap();
    let mut epochs = vec![Vec::new(); n_epoch];
    loop {
        stream.next(&mut plan).unwrap();
        let Some(epoch) = epochs.get_mut(plan.cursor.epoch as usize) else { break };
        let members = plan.members.iter().map(|&id| graphs[id as usize]).collect();
        epoch.push(Batch { graphs: members, shape: plan.shape });
    }
    epochs.into_iter().map(Epoch::new).collect()
}

fn forecasts(
    batcher: Box<dyn Batcher>,
    view: &View,
    n_rank: &[u32],
    assignments: &[Assignment],
    all_reduce: f64,
) -> Result<Vec<RankForecast>, RanksError> {
    let options = RankOptions {
        n_rank: n_rank.iter().map(|&n| NonZeroU32::new(n).unwrap()).collect(),
        assignments: assignments.to_vec(),
        cost: Cost::Edges,
        all_reduce,
        seed: 0,
    };
    Ok(forecast_ranks(&[batcher], view, &options)?.remove(0))
}

fn ids(graphs: impl IntoIterator<Item = GraphSize>) -> Vec<u32> {
    let mut ids: Vec<u32> = graphs.into_iter().map(|graph| graph.id).collect();
    ids.sort_unstable();
    ids
}

fn assignment() -> impl Strategy<Value = Assignment> {
    prop::sample::select(Assignment::ALL.to_vec())
}

fn cost() -> impl Strategy<Value = Cost> {
    prop::sample::select(vec![Cost::Edges, Cost::Nodes])
}

fn padding() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\"none\"", "{ multiple = 64 }", "{ power = 2 }", "{ shapes = 3 }"])
}

fn sizes() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((1_u32..50, 0_u32..300), 20..120)
}

proptest! {
    #[test]
    fn every_graph_is_trained_once_in_equally_many_steps_within_the_planned_sizes(
        sizes in sizes(),
        padding in padding(),
        assignment in assignment(),
        cost in cost(),
        n_rank in 1_usize..20,
    ) {
        for epoch in epochs(&*batcher(padding, "carry-over"), &view(&sizes), 2) {
            let batches = epoch.batches();
            let steps = assignment.steps(&epoch, n_rank, cost);
            prop_assert_eq!(steps.len(), batches.len().div_ceil(n_rank));
            prop_assert_eq!(steps.iter().map(|step| step.n_batch).sum::<usize>(), batches.len());
            let planned = ids(batches.iter().flat_map(|batch| batch.graphs.clone()));
            let trained = steps.iter().flat_map(|step| step.ranks.iter().flatten().copied());
            prop_assert_eq!(ids(trained), planned);
            let most = |of: fn(Shape) -> u32| batches.iter().map(|b| of(b.shape)).max().unwrap();
            for step in &steps {
                prop_assert_eq!(step.ranks.len(), n_rank);
                prop_assert!(step.shape.n_node <= most(|shape| shape.n_node));
                prop_assert!(step.shape.n_edge <= most(|shape| shape.n_edge));
                for rank in &step.ranks {
                    let real = size(rank);
                    let n_padding = u32::from(padding != "\"none\"");
                    prop_assert!(real.n_node + n_padding <= step.shape.n_node);
                    prop_assert!(real.n_edge <= step.shape.n_edge);
                    prop_assert!(real.n_graph + n_padding <= step.shape.n_graph);
                }
                if assignment == Assignment::LptEqual && step.is_regrouped {
                    let counts = step.ranks.iter().map(Vec::len);
                    let (low, high) = (counts.clone().min().unwrap(), counts.max().unwrap());
                    prop_assert!(high - low <= 1);
                }
            }
        }
    }

    #[test]
    fn one_rank_has_the_plan_of_the_batcher(
        sizes in sizes(),
        padding in padding(),
        assignment in assignment(),
        cost in cost(),
    ) {
        for epoch in epochs(&*batcher(padding, "emit-partial"), &view(&sizes), 2) {
            let steps = assignment.steps(&epoch, 1, cost);
            let plan = steps.iter().map(|step| (&step.ranks[0], step.shape));
            prop_assert!(plan.eq(epoch.batches().iter().map(|b| (&b.graphs, b.shape))));
        }
    }

    #[test]
    fn efficiencies_and_fills_are_shares(
        sizes in sizes(),
        padding in padding(),
        n_rank in 1_u32..20,
    ) {
        let view = view(&sizes);
        let all = forecasts(
            batcher(padding, "carry-over"), &view, &[n_rank], &Assignment::ALL, 0.1,
        );
        let is_share = |share: Option<f64>| share.is_none_or(|share| share > 0.0 && share <= 1.0);
        for forecast in all.unwrap() {
            prop_assert!(is_share(forecast.efficiency), "{:?}", forecast);
            prop_assert!(is_share(forecast.efficiency_full_steps), "{:?}", forecast);
            prop_assert!(is_share(forecast.node_fill), "{:?}", forecast);
            prop_assert!(is_share(forecast.edge_fill), "{:?}", forecast);
            prop_assert!((0.0..1.0).contains(&forecast.weightless), "{:?}", forecast);
        }
    }
}

/// Batches of one graph each with these numbers of edges, not padded.
fn single(edges: &[u32]) -> Epoch {
    let graph = |(id, &n_edge)| GraphSize { id, n_node: 1, n_edge };
    let batch = |graph| Batch { graphs: vec![graph], shape: Shape::default().with(graph) };
    Epoch::new((0..).zip(edges).map(graph).map(batch).collect())
}

fn edges(epoch: &Epoch, assignment: Assignment, n_rank: usize) -> Vec<Vec<u32>> {
    let steps = assignment.steps(epoch, n_rank, Cost::Edges);
    steps.iter().map(|s| s.ranks.iter().map(|rank| size(rank).n_edge).collect()).collect()
}

#[test]
fn steps_as_assigned_by_hand() {
    let epoch = single(&[4, 9, 1, 8, 5]);
    assert_eq!(edges(&epoch, Assignment::Fixed, 2), [[4, 9], [1, 8], [5, 0]]);
    // Sorted: 9 8, 5 4, 1. In the order of their first batches: 5 4, 9 8, 1, the second of them
    // rotated by one rank.
    assert_eq!(edges(&epoch, Assignment::SortedRotated, 2), [[5, 4], [8, 9], [1, 0]]);
    // Two batches of two graphs: 9 and 1 + 4, then 8; 4 and 9 + 1 would be the plan.
    let graph = |(id, n_edge)| GraphSize { id, n_node: 1, n_edge };
    let batch = |edges: [u32; 2]| {
        let graphs = edges.map(|n_edge| graph((n_edge, n_edge))).to_vec();
        Batch { shape: size(&graphs), graphs }
    };
    let pairs = Epoch::new(vec![batch([9, 8]), batch([1, 4])]);
    assert_eq!(edges(&pairs, Assignment::Lpt, 2), [[10, 12]]);
    assert_eq!(edges(&pairs, Assignment::LptEqual, 2), [[10, 12]]);
}

#[test]
fn a_graph_without_room_leaves_the_step_as_planned() {
    // By nodes the plan is full, and the most expensive graphs have the fewest nodes.
    let graph = |id, n_node, n_edge| GraphSize { id, n_node, n_edge };
    let batch = |graphs: Vec<GraphSize>| Batch { shape: size(&graphs), graphs };
    let epoch = Epoch::new(vec![
        batch(vec![graph(0, 4, 10), graph(1, 4, 9)]),
        batch(vec![graph(2, 3, 8), graph(3, 5, 1)]),
    ]);
    let step = &Assignment::Lpt.steps(&epoch, 2, Cost::Edges)[0];
    assert!(!step.is_regrouped);
    assert_eq!(step.ranks[0], epoch.batches()[0].graphs);
}

#[test]
fn figures_as_computed_by_hand() {
    // Every batch has the same four graphs' worth of edges except for one graph of 100.
    let sizes: Vec<(u32, u32)> = (0..16).map(|i| (1, if i == 0 { 100 } else { 20 })).collect();
    let fixed = |n_rank, all_reduce| {
        let batcher = batcher("\"none\"", "emit-partial");
        let all = forecasts(batcher, &view(&sizes), &[n_rank], &[Assignment::Fixed], all_reduce);
        all.unwrap().remove(0)
    };
    // Four batches: 80, 80, 80, 160. On four ranks the step takes 160.
    let four = fixed(4, 0.0);
    let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-12;
    assert!(close(four.efficiency, 400.0 / 640.0) && close(four.speed_up, 2.5), "{four:?}");
    assert!(close(four.edge_fill, 400.0 / 640.0) && four.weightless < 1e-12, "{four:?}");
    // An all-reduce that takes as long as the mean batch, 100.
    assert!(close(fixed(4, 1.0).speed_up, 400.0 / 260.0));
    assert!(close(fixed(1, 1.0).speed_up, 1.0), "one rank does not communicate");
    // On eight ranks half of them have no batch.
    let eight = fixed(8, 0.0);
    assert!(close(eight.efficiency, 400.0 / 1280.0) && eight.efficiency_full_steps.is_none());
    assert!((eight.weightless - 0.5).abs() < 1e-12 && close(eight.speed_up, 2.5), "{eight:?}");
}

#[test]
fn what_cannot_work_is_refused() {
    let few = view(&[(1, 1); 6]);
    let batcher = || batcher("\"none\"", "emit-partial");
    let error = forecasts(batcher(), &few, &[2, 7], &Assignment::ALL, 0.0).unwrap_err();
    assert_eq!(error.to_string(), "7 ranks are more than the 6 graphs to train on; give at most 6");
    assert_eq!(
        "lpt-equl".parse::<Assignment>().unwrap_err().to_string(),
        "unknown assignment \"lpt-equl\", did you mean \"lpt-equal\"?\n\
         known: fixed, lpt, lpt-equal, sorted-rotated"
    );
}
