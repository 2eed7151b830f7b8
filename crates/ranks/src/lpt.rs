//! Longest processing time first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use batchlab_core::{GraphSize, Shape};

use crate::batch::Cost;

/// Limits on the graphs that a rank may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) n_rank: usize,
    pub(crate) cost: Cost,
    /// Maximum nodes and edges of a rank.
    pub(crate) room: Shape,
    /// Whether the numbers of graphs of two ranks may differ by at most one.
    pub(crate) equal: bool,
}

/// Assigns the graphs, most expensive first, each to the rank with the lowest cost so far that has
/// room for it (Graham 1969, *SIAM J. Appl. Math.* 17, 416: without limits of room, the maximum is
/// at most 4/3 of the optimum). Within a rank, graphs keep their order. `None` if a graph finds no
/// room.
pub(crate) fn assign(graphs: &[GraphSize], rules: Rules) -> Option<Vec<Vec<GraphSize>>> {
    let Rules { n_rank, cost, room, equal } = rules;
    let mut by_cost: Vec<usize> = (0..graphs.len()).collect();
    by_cost.sort_by_key(|&at| (Reverse(cost.of_graph(graphs[at])), at));
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_rank];
    let mut size = vec![Shape::default(); n_rank];
    // By cost, then by number of graphs, as some may cost nothing.
    let mut ranks: BinaryHeap<Reverse<(u64, usize, usize)>> =
        (0..n_rank).map(|rank| Reverse((0, 0, rank))).collect();
    let (n_each, mut n_extra) = (graphs.len() / n_rank, graphs.len() % n_rank);
    let mut passed_over = Vec::new();
    for at in by_cost {
        let rank = loop {
            let Reverse((_, n_graph, rank)) = ranks.pop()?;
            if equal && n_graph >= n_each + usize::from(n_extra > 0) {
                continue; // full, and stays so
            }
            let with = size[rank].with(graphs[at]);
            if with.n_node <= room.n_node && with.n_edge <= room.n_edge {
                size[rank] = with;
                break rank;
            }
            passed_over.push(rank);
        };
        n_extra -= usize::from(equal && members[rank].len() == n_each);
        members[rank].push(at);
        passed_over.push(rank);
        let key = |rank: usize| Reverse((cost.of(size[rank]), members[rank].len(), rank));
        ranks.extend(passed_over.drain(..).map(key));
    }
    Some(members.into_iter().map(|members| in_order(members, graphs)).collect())
}

fn in_order(mut members: Vec<usize>, graphs: &[GraphSize]) -> Vec<GraphSize> {
    members.sort_unstable();
    members.into_iter().map(|at| graphs[at]).collect()
}
