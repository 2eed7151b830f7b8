//! Personalised `PageRank` of all training nodes, with the options of IBMB on ogbn-arxiv.

use std::path::Path;
use std::time::Instant;

use batchlab_core::graphs::OneGraph;
use batchlab_ppr::{Push, Walk};
use serde_json::{Value, json};

use crate::export;

const PUSH: Push = Push { teleport: 0.25, epsilon: 2e-4, walk: Walk::Plain };

/// Seconds for the `k` best nodes of every root.
pub fn time(graph: &OneGraph, roots: &[u32], k: usize) -> anyhow::Result<Value> {
    let start = Instant::now();
    let nearest = PUSH.nearest(graph, roots, k, &())?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({ "seconds": seconds, "n_kept": nearest.iter().map(Vec::len).sum::<usize>() }))
}

/// Writes all scores of the roots: the number of each root's in `ppr_count`, then nodes and scores in
/// ascending order of the nodes.
pub fn write(graph: &OneGraph, roots: &[u32], folder: &Path) -> anyhow::Result<()> {
    let of_root = PUSH.from_roots(graph, roots, &(), |_, pushed| {
        let mut scores: Vec<(u32, f64)> = pushed.scores().collect();
        scores.sort_unstable_by_key(|&(node, _)| node);
        scores
    })?;
    let count: Vec<u32> = of_root.iter().map(|scores| scores.len() as u32).collect();
    let (node, score): (Vec<u32>, Vec<f32>) =
        of_root.into_iter().flatten().map(|(node, score)| (node, score as f32)).unzip();
    export::write(folder, "ppr_count", &count)?;
    export::write(folder, "ppr_node", &node)?;
    export::write(folder, "ppr_score", &score)
}
