//! Seconds to find the nearest 16 nodes of 91,290 roots on a graph of the size of ogbn-arxiv with
//! power-law degrees: `cargo run --release -p batchlab-ppr --example speed`.

#![allow(clippy::print_stdout, reason = "the figures are to be read")]

use std::collections::BTreeSet;
use std::time::Instant;

use batchlab_core::graphs::OneGraph;
use batchlab_core::random::{below, fraction, stream};
use batchlab_ppr::{Push, Walk};

const N_NODE: u32 = 169_343;
const N_EDGE: usize = 1_166_243;
const N_ROOT: u32 = 91_290;

fn main() -> Result<(), batchlab_ppr::PprError> {
    let graph = graph();
    let roots: Vec<u32> =
        (0..N_ROOT).map(|i| (u64::from(i) * 13 % u64::from(N_NODE)) as u32).collect();
    let push = Push { teleport: 0.25, epsilon: 2e-4, walk: Walk::Plain };
    println!(
        "{} nodes, {} edges with both directions and loops",
        graph.n_node(),
        graph.sender.len()
    );
    for _ in 0..5 {
        let start = Instant::now();
        let of_root = push.from_roots(&graph, &roots, &(), |_, pushed| {
            (pushed.top(16).len(), pushed.scores().len(), pushed.n_push())
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let n_score: usize = of_root.iter().map(|of| of.1).sum();
        let n_push: usize = of_root.iter().map(|of| of.2).sum();
        println!("{seconds:.3} s, {n_score} scores, {n_push} pushes");
    }
    Ok(())
}

/// Nodes in 40 communities, with three of four edges within one; low-numbered nodes have higher
/// degrees.
fn graph() -> OneGraph {
    let mut rng = stream(1, "speed", 0);
    let mut edges: BTreeSet<(u32, u32)> = (0..N_NODE).map(|node| (node, node)).collect();
    while edges.len() < 2 * N_EDGE + N_NODE as usize {
        let a = below(&mut rng, u64::from(N_NODE)) as u32;
        let size = N_NODE / 40;
        #[allow(clippy::cast_sign_loss, reason = "u is from 0 to 1")]
        let skewed = |n: u32, u: f64| ((u * u * f64::from(n)) as u32).min(n - 1);
        let far = fraction(&mut rng) < 0.25;
        let u = fraction(&mut rng);
        let b = if far {
            skewed(N_NODE, u)
        } else {
            (a / size * size + skewed(size, u)).min(N_NODE - 1)
        };
        edges.extend([(a, b), (b, a)]);
    }
    let mut offset = vec![0; N_NODE as usize + 1];
    for &(receiver, _) in &edges {
        offset[receiver as usize + 1] += 1;
    }
    for node in 0..N_NODE as usize {
        offset[node + 1] += offset[node];
    }
    let sender = edges.iter().map(|edge| edge.1).collect();
    OneGraph { offset, sender, edge_weight: Vec::new() }
}
