//! Pushes residues along edges until little is left anywhere.

use std::sync::{Mutex, PoisonError};

use batchlab_core::graphs::OneGraph;
use batchlab_core::progress::Progress;
use rayon::prelude::*;

use crate::scratch::{Pushed, Scratch};
use crate::{PprError, check_graph, check_roots, check_teleport};

/// Approximate scores by pushing (Andersen, Chung and Lang 2006, algorithm `ApproximatePageRank`).
///
/// The state is a score `p` and a residue `r` for every node. Pushing a node moves a share of its
/// residue to its score and the rest to the residues of its neighbours; a node is pushed again when
/// its residue has grown to the threshold. Nodes that are never pushed have no score. The cost is
/// at most about 1 / (teleport x epsilon) steps along edges per root, however large the graph is.
///
/// ```
/// use batchlab_core::graphs::OneGraph;
/// use batchlab_ppr::{Push, Walk};
///
/// // 0 - 1 - 2, with self loops.
/// let graph = OneGraph {
///     offset: vec![0, 2, 5, 7],
///     sender: vec![0, 1, 0, 1, 2, 1, 2],
///     edge_weight: Vec::new(),
/// };
/// let push = Push { teleport: 0.25, epsilon: 1e-6, walk: Walk::Plain };
/// let best = push.from_roots(&graph, &[0, 2], &(), |_, pushed| pushed.top(2)).unwrap();
/// assert_eq!(best, [[0, 1], [2, 1]]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Push {
    /// Probability of returning to the root in a step, between 0 and 1 (`alpha` of IBMB; 1 -
    /// `alpha` of the published `ShaDow` options).
    pub teleport: f64,
    /// Residue per degree below which a node is not pushed; positive.
    pub epsilon: f64,
    /// How the residue of a node is divided.
    pub walk: Walk,
}

/// How the residue of a node is divided when it is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// As in IBMB (arXiv 2212.09083): residues start at `teleport`. All of the residue becomes
    /// score, and (1 - teleport) / degree of it is added to each neighbour. The threshold is
    /// teleport x epsilon x degree.
    Plain,
    /// As in `ShaDow` (arXiv 2201.07858): residues start at 1. The share `teleport` becomes score,
    /// half of the rest stays, the other half is divided among the neighbours. The threshold is
    /// epsilon x degree.
    Lazy,
}

/// Roots per task: enough to make its overhead negligible.
const N_ROOT: usize = 128;

impl Push {
    /// Pushes from each root, and collects the values of `result` for the index of the root and its
    /// scores, in the order of the roots. Runs in parallel; the result does not depend on the
    /// number of threads.
    ///
    /// # Errors
    /// If an option is out of range, the graph is directed, or a root does not exist.
    pub fn from_roots<T: Send>(
        &self,
        graph: &OneGraph,
        roots: &[u32],
        progress: &dyn Progress,
        result: impl Fn(usize, &Pushed<'_>) -> T + Sync,
    ) -> Result<Vec<T>, PprError> {
        check_teleport(self.teleport)?;
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(PprError::Epsilon(self.epsilon));
        }
        check_roots(graph, roots.iter())?;
        check_graph(graph)?;
        progress.start("personalised PageRank", Some(roots.len() as u64));
        // One per thread, each of the size of the graph.
        let unused: Mutex<Vec<Scratch>> = Mutex::default();
        let lock = || unused.lock().unwrap_or_else(PoisonError::into_inner);
        let of_task = |(task, roots): (usize, &[u32])| -> Vec<T> {
            let kept = lock().pop();
            let mut scratch = kept.unwrap_or_else(|| self.scratch(graph));
            let of_root = |(place, &root): (usize, &u32)| {
                self.push(graph, root, &mut scratch);
                let result = result(task * N_ROOT + place, &scratch.pushed());
                scratch.clear();
                result
            };
            let results = roots.iter().enumerate().map(of_root).collect();
            lock().push(scratch);
            progress.advance(roots.len() as u64);
            results
        };
        let results: Vec<Vec<T>> = roots.par_chunks(N_ROOT).enumerate().map(of_task).collect();
        progress.finish();
        Ok(results.into_iter().flatten().collect())
    }

    /// For each root the `k` nodes with the highest scores, plus the root itself if it is not among
    /// them; ascending.
    ///
    /// # Errors
    /// As for [`Push::from_roots`].
    pub fn nearest(
        &self,
        graph: &OneGraph,
        roots: &[u32],
        k: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<u32>>, PprError> {
        self.from_roots(graph, roots, progress, |place, pushed| with(pushed.top(k), roots[place]))
    }

    fn scratch(&self, graph: &OneGraph) -> Scratch {
        let per_degree = match self.walk {
            Walk::Plain => self.teleport * self.epsilon,
            Walk::Lazy => self.epsilon,
        };
        Scratch::new(graph.offset.windows(2).map(|ends| per_degree * (ends[1] - ends[0]) as f64))
    }

    fn push(&self, graph: &OneGraph, root: u32, scratch: &mut Scratch) {
        let first = match self.walk {
            Walk::Plain => self.teleport,
            Walk::Lazy => 1.0,
        };
        scratch.start(root, first);
        while let Some(node) = scratch.take() {
            let neighbours = &graph.sender[graph.incoming(node)];
            let degree = neighbours.len() as f64;
            let residue = scratch.residue(node);
            match self.walk {
                _ if neighbours.is_empty() => scratch.settle(node, residue / first, 0.0),
                Walk::Plain => {
                    scratch.settle(node, residue, 0.0);
                    scratch.spread(neighbours, (1.0 - self.teleport) * residue / degree);
                }
                Walk::Lazy => {
                    let half = (1.0 - self.teleport) * residue / 2.0;
                    scratch.settle(node, self.teleport * residue, half);
                    scratch.spread(neighbours, half / degree);
                }
            }
        }
    }
}

/// Adds a node to a set of nodes, ascending.
fn with(mut nodes: Vec<u32>, node: u32) -> Vec<u32> {
    nodes.sort_unstable();
    if let Err(place) = nodes.binary_search(&node) {
        nodes.insert(place, node);
    }
    nodes
}
