//! What batches hold, as counts.

use crate::BatcherError;
use crate::contract::graphs::{GraphSize, OneGraphView};

/// Bins of sizes of graphs.
const N_BIN: usize = 8;

/// How many outputs of each class the groups hold. Outputs without a class count nowhere. Classes of
/// nodes that are no outputs are not looked at: they may belong to another subset.
pub(crate) fn of_classes(
    view: &OneGraphView,
    groups: &[Vec<u32>],
) -> Result<Vec<Vec<u32>>, BatcherError> {
    let class = |&node: &u32| view.class.get(node as usize).copied().filter(|&c| c != u32::MAX);
    let Some(largest) = view.output.iter().filter_map(class).max() else {
        return Err(BatcherError::Options(
            "the order of batches follows from the classes of their outputs, but these have none; \
             use order = \"random\""
                .into(),
        ));
    };
    let count = |group: &Vec<u32>| {
        let mut count = vec![0; largest as usize + 1];
        for class in group.iter().filter_map(class) {
            count[class as usize] += 1;
        }
        count
    };
    Ok(groups.iter().map(count).collect())
}

/// How many graphs of each size the groups hold: bins between the quantiles of the numbers of nodes,
/// all that a batcher knows about a graph.
pub(crate) fn of_sizes(groups: &[Vec<GraphSize>]) -> Result<Vec<Vec<u32>>, BatcherError> {
    let mut sizes: Vec<u32> = groups.iter().flatten().map(|graph| graph.n_node).collect();
    sizes.sort_unstable();
    let mut border: Vec<u32> = (1..N_BIN).map(|bin| sizes[bin * sizes.len() / N_BIN]).collect();
    border.dedup();
    // Below the first border there may be nothing.
    border.retain(|&size| size > sizes[0]);
    if border.is_empty() {
        return Err(BatcherError::Options(format!(
            "the order of batches follows from the sizes of their graphs, but (nearly) all have {} \
             nodes; use order = \"random\"",
            sizes[0]
        )));
    }
    let count = |group: &Vec<GraphSize>| {
        let mut count = vec![0; border.len() + 1];
        for graph in group {
            count[border.partition_point(|&border| border <= graph.n_node)] += 1;
        }
        count
    };
    Ok(groups.iter().map(count).collect())
}
