//! Histograms of the content of batches.

use crate::BatcherError;
use crate::contract::graphs::{GraphSize, OneGraphView};

/// Number of size bins.
const N_BIN: usize = 8;

/// Number of outputs of each class per group. Outputs without a class are not counted, and neither
/// are nodes that are not outputs, which may belong to another subset.
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

/// Number of graphs of each size per group. Bins are separated by the quantiles of the number of
/// nodes, the only property of a graph that a batcher knows.
pub(crate) fn of_sizes(groups: &[Vec<GraphSize>]) -> Result<Vec<Vec<u32>>, BatcherError> {
    let mut sizes: Vec<u32> = groups.iter().flatten().map(|graph| graph.n_node).collect();
    sizes.sort_unstable();
    let mut border: Vec<u32> = (1..N_BIN).map(|bin| sizes[bin * sizes.len() / N_BIN]).collect();
    border.dedup();
    // The lowest bin may be empty.
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
