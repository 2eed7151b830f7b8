//! Arithmetic of a model that is linear in its counts, written out by hand so that its gradients
//! can be checked by eye.

use batchlab_core::PaddedBatch;
use batchlab_core::model::Loss;

pub(crate) const N_CLASS: usize = 4;
/// Gaussians of a distance, one per angstrom from 1.
pub(crate) const N_GAUSSIAN: usize = 4;

/// Means over the nodes of one graph: class frequencies, and the mean Gaussians of the incoming
/// edges.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) class: [f64; N_CLASS],
    pub(crate) gaussian: [f64; N_GAUSSIAN],
}

/// Variants of counting; a correct model uses the default.
#[derive(Debug, Clone, Copy, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent mistakes, each named where it is made"
)]
pub(crate) struct Counting {
    pub(crate) first_node_twice: bool,
    pub(crate) last_edge_twice: bool,
    pub(crate) direction: bool,
    pub(crate) ignores_distance: bool,
    pub(crate) mean_over_nothing: bool,
}

/// The counts of every graph of a batch, including padding.
pub(crate) fn count(batch: &PaddedBatch<'_>, how: Counting) -> Vec<Counts> {
    let graphs = batch.graph_offset.windows(2);
    graphs.map(|nodes| count_graph(batch, nodes[0] as usize..nodes[1] as usize, how)).collect()
}

fn count_graph(batch: &PaddedBatch<'_>, nodes: std::ops::Range<usize>, how: Counting) -> Counts {
    let mut counts = Counts::default();
    let n_node = nodes.len().max(1) as f64;
    let mut n_edge = 0;
    for node in nodes.clone() {
        let weight = if how.first_node_twice && node == nodes.start { 2.0 } else { 1.0 };
        counts.class[batch.node_class[node] as usize] += weight / n_node;
        let edges = batch.receiver_offset[node] as usize..batch.receiver_offset[node + 1] as usize;
        let n_received = edges.len().max(1) as f64;
        n_edge += edges.len();
        for edge in edges.clone() {
            let weight = if how.last_edge_twice && edge + 1 == edges.end { 2.0 } else { 1.0 };
            for (k, sum) in counts.gaussian.iter_mut().enumerate() {
                let distance = f64::from(batch.distance[edge]);
                let mut value = (-(distance - (k + 1) as f64).powi(2)).exp();
                if how.ignores_distance {
                    value = 1.0;
                }
                if how.direction {
                    value *= 1.0 + 0.1 * f64::from(batch.displacement[3 * edge]);
                }
                *sum += weight * value / n_received / n_node;
            }
        }
    }
    if how.mean_over_nothing && n_edge == 0 && !nodes.is_empty() {
        counts.gaussian = [f64::NAN; N_GAUSSIAN];
    }
    counts
}

/// Loss of one output and its derivatives with respect to each prediction.
pub(crate) fn loss(loss: Loss, row: &[f64], target: f64, with_normaliser: bool) -> (f64, Vec<f64>) {
    match loss {
        Loss::Mse => ((row[0] - target).powi(2), vec![2.0 * (row[0] - target)]),
        Loss::Mae => ((row[0] - target).abs(), vec![(row[0] - target).signum()]),
        Loss::CrossEntropy => {
            #[allow(clippy::cast_sign_loss, reason = "classes are not negative")]
            let own = target as usize;
            let exponentials: Vec<f64> = row.iter().map(|value| value.exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            let slope = |(k, e): (usize, &f64)| e / sum - f64::from(u8::from(k == own));
            let normaliser = if with_normaliser { sum.ln() } else { 0.0 };
            (normaliser - row[own], exponentials.iter().enumerate().map(slope).collect())
        }
    }
}
