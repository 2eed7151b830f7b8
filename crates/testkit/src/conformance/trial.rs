//! One batcher on one view, and its plans.

use batchlab_core::{
    BatchContext, BatchPlan, BatchStream, Batcher, BatcherError, Cursor, GraphSize, Purpose, View,
};

/// Training continues until this epoch has begun, which covers two whole epochs after the first and
/// the boundary after them.
const N_EPOCH: u64 = 3;

/// A batcher and its graphs.
pub(crate) struct Trial<'a> {
    pub(crate) batcher: &'a dyn Batcher,
    /// Nodes and edges of each graph.
    pub(crate) sizes: &'a [[u32; 2]],
    /// The identifier of the graph at a position. Only the check of identifiers varies it.
    pub(crate) identifier: &'a dyn Fn(usize) -> u32,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(batcher: &'a dyn Batcher, sizes: &'a [[u32; 2]]) -> Self {
        Self { batcher, sizes, identifier: &|position| position as u32 }
    }

    pub(crate) fn graphs(&self) -> Vec<GraphSize> {
        let graph = |(position, &[n_node, n_edge]): (usize, &[u32; 2])| GraphSize {
            id: (self.identifier)(position),
            n_node,
            n_edge,
        };
        self.sizes.iter().enumerate().map(graph).collect()
    }

    pub(crate) fn open(
        &self,
        purpose: Purpose,
        seed: u64,
    ) -> Result<Box<dyn BatchStream>, BatcherError> {
        let view = View::ManyGraphs(self.graphs().into());
        self.batcher.open(view, BatchContext::new(purpose, seed))
    }

    /// A training stream that continues after the batch with this cursor.
    pub(crate) fn open_at(
        &self,
        seed: u64,
        cursor: &Cursor,
    ) -> Result<Box<dyn BatchStream>, String> {
        let mut stream = self.open(Purpose::Training, seed).map_err(|error| error.to_string())?;
        stream.seek(cursor).map_err(|error| format!("seeking {cursor:?} failed: {error}"))?;
        Ok(stream)
    }

    /// Training plans up to the first one of epoch 3, or the error. Every plan is written to a new
    /// `BatchPlan`; only the check of reuse passes one with content.
    pub(crate) fn train_or_stop(&self, seed: u64) -> Result<Vec<BatchPlan>, String> {
        let mut stream = self
            .open(Purpose::Training, seed)
            .map_err(|error| format!("it does not open: {error}"))?;
        let mut plans: Vec<BatchPlan> = Vec::new();
        // Every batch contains a graph, so an epoch has at most as many batches as graphs.
        let most = (N_EPOCH as usize + 1) * self.sizes.len() + 2;
        while plans.len() < most && plans.last().is_none_or(|plan| plan.cursor.epoch < N_EPOCH) {
            match take(&mut *stream, 1) {
                Ok(mut one) => plans.append(&mut one),
                Err(stop) => return Err(format!("after {} batches: {stop}", plans.len())),
            }
        }
        Ok(plans)
    }

    /// Training plans; `None` if training stops, which `goes_on` reports.
    pub(crate) fn train(&self, seed: u64) -> Option<Vec<BatchPlan>> {
        self.train_or_stop(seed).ok()
    }

    /// Training plans, if they are reproducible; `None` where `goes_on` or `determinism` has to
    /// fail.
    pub(crate) fn repeatable(&self, seed: u64) -> Option<Vec<BatchPlan>> {
        let plans = self.train(seed)?;
        (self.train(seed)? == plans).then_some(plans)
    }

    /// All plans of an evaluation, or the error.
    pub(crate) fn evaluate(&self, seed: u64) -> Result<Vec<BatchPlan>, String> {
        let mut stream = self
            .open(Purpose::Evaluation, seed)
            .map_err(|error| format!("it does not open for evaluation: {error}"))?;
        let mut plans = Vec::new();
        while plans.len() <= self.sizes.len() {
            let mut plan = BatchPlan::default();
            match stream.next(&mut plan) {
                Ok(true) => plans.push(plan),
                Ok(false) => return Ok(plans),
                Err(error) => return Err(format!("the evaluation failed: {error}")),
            }
        }
        Err(format!("an evaluation of {} graphs does not end", self.sizes.len()))
    }
}

/// The next plans of a training stream.
pub(crate) fn take(stream: &mut dyn BatchStream, n_plan: usize) -> Result<Vec<BatchPlan>, String> {
    let one = |_| {
        let mut plan = BatchPlan::default();
        match stream.next(&mut plan) {
            Ok(true) => Ok(plan),
            Ok(false) => Err("training ended, but must not".into()),
            Err(error) => Err(format!("training failed: {error}")),
        }
    };
    (0..n_plan).map(one).collect()
}

/// Describes the first difference between two lists of plans.
pub(crate) fn same(expected: &[BatchPlan], found: &[BatchPlan], when: &str) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{when}: {} batches, expected {}", found.len(), expected.len()));
    }
    let differing = expected.iter().zip(found).position(|(expected, found)| expected != found);
    differing.map_or(Ok(()), |batch| {
        let (expected, found) = (&expected[batch], &found[batch]);
        Err(format!(
            "{when}: batch {batch} differs\nexpected {}\nfound    {}",
            brief(expected),
            brief(found)
        ))
    })
}

/// The parts of a plan that usually identify the problem; a complete plan would fill a screen.
pub(crate) fn brief(plan: &BatchPlan) -> String {
    let (cursor, shape) = (&plan.cursor, plan.shape);
    let weights = if plan.output_weight.is_empty() {
        String::new()
    } else {
        format!(", weights {:?}", plan.output_weight)
    };
    let cache_key =
        plan.cache_key.map_or_else(String::new, |cache_key| format!(", cache key {cache_key}"));
    format!(
        "members {:?} in {} nodes, {} edges, {} graphs{weights}{cache_key}, cursor: epoch {}, batch {}, carried {:?}",
        plan.members,
        shape.n_node,
        shape.n_edge,
        shape.n_graph,
        cursor.epoch,
        cursor.batch,
        cursor.carried
    )
}
