//! Partitions the edges of a batch into tasks.
//!
//! A task is a range of edges. If no edge crosses the nodes between two ranges (graphs of a batch),
//! both ends of a task's edges belong to that task alone, and sums over nodes are done in place.
//! Tasks that share nodes, such as parts of a hub or of one large graph, have their own sums, which
//! are added in the order of the tasks. The partition depends only on the edges, never on the
//! number of threads, and that of the real edges never on padding.

use std::ops::Range;

use crate::segments::sorted;

/// A task has an eighth of the remaining edges, within these limits.
const MIN_EDGES: usize = 384;
const MAX_EDGES: usize = 2048;
/// A graph of at most this many edges is not split if the task can end elsewhere.
const GRAPH: usize = 1024;
/// Hardly any number of threads needs more tasks, and each has its own sums for weights.
const MAX_TASKS: usize = 64;

/// The edges of a batch in one direction, in the order of computation: by target node.
#[derive(Debug, Default)]
pub struct EdgePlan {
    /// Source node of the message, `[n_edge]`.
    pub(super) from: Vec<u32>,
    /// Target node of the message, ascending, `[n_edge]`.
    pub(super) to: Vec<u32>,
    /// The edge at each position, `[n_edge]`; `None` if edges are in this order.
    pub(super) order: Option<Vec<u32>>,
    pub(super) tasks: Vec<Task>,
    /// Whether the tasks sum the gradients for source nodes themselves. If not, because tasks share
    /// too many nodes, every edge's share is written to memory and summed afterwards.
    pub(super) scatter: bool,
    /// In the latter case: positions sorted by source node, and the start of each node's.
    pub(super) by_from: Option<(Vec<u32>, Vec<u32>)>,
}

/// A range of edges, and the nodes at their ends.
#[derive(Debug, PartialEq)]
pub(super) struct Task {
    pub(super) edges: Range<usize>,
    pub(super) from: NodeRange,
    pub(super) to: NodeRange,
}

/// Consecutive nodes that include the ends of a task's edges.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeRange {
    pub(super) nodes: Range<usize>,
    /// Whether no other task has an edge ending among these nodes.
    pub(super) own: bool,
}

impl EdgePlan {
    pub(in crate::cpu) fn n_byte(&self) -> u64 {
        let n_word = |words: &Vec<u32>| size_of_val(words.as_slice());
        let by_from = self.by_from.as_ref();
        let bytes = n_word(&self.from)
            + n_word(&self.to)
            + self.order.as_ref().map_or(0, n_word)
            + by_from.map_or(0, |(places, starts)| n_word(places) + n_word(starts))
            + size_of_val(self.tasks.as_slice());
        bytes as u64
    }

    /// Edges by their ends, and by their order if it differs from memory order. `n_from` is the
    /// number of possible source nodes; edges from `n_real` on are padding, in either order.
    pub(in crate::cpu) fn new(
        from: &[u32],
        to: &[u32],
        order: Option<&[u32]>,
        n_from: usize,
        n_real: usize,
    ) -> Self {
        let ordered = |of: &[u32]| match order {
            None => of.to_vec(),
            Some(order) => order.iter().map(|&edge| of[edge as usize]).collect(),
        };
        let (from, to) = (ordered(from), ordered(to));
        let tasks = divide(&from, &to, n_real);
        let scatter = share_few_nodes(&tasks, n_real);
        let by_from = (!scatter).then(|| sorted(&from, n_from));
        let order = order.map(<[u32]>::to_vec);
        Self { from, to, order, tasks, scatter, by_from }
    }
}

/// Whether separate sums per task are cheap. Those of padding share a single node.
fn share_few_nodes(tasks: &[Task], n_real: usize) -> bool {
    let real = tasks.iter().take_while(|task| task.edges.end <= n_real);
    let shared = real.map(|task| &task.from).filter(|range| !range.own);
    shared.map(|range| range.nodes.len()).sum::<usize>() <= 2 * n_real
}

/// Splits first the real edges, then those of padding, into tasks.
fn divide(from: &[u32], to: &[u32], n_real: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for edges in [0..n_real, n_real..from.len()] {
        let least = MIN_EDGES.max(edges.len().div_ceil(MAX_TASKS));
        let mut start = edges.start;
        while start < edges.end {
            // Decreasing sizes, so that threads finish at about the same time, however long each
            // task takes.
            let target = ((edges.end - start) / 8).min(MAX_EDGES).max(least);
            let end = end_of_task(from, to, start..edges.end, target);
            tasks.push(task(from, to, start..end));
            start = end;
        }
    }
    mark_shared(&mut tasks, |task| &mut task.from);
    mark_shared(&mut tasks, |task| &mut task.to);
    tasks
}

fn task(from: &[u32], to: &[u32], edges: Range<usize>) -> Task {
    let range = |ends: &[u32]| {
        let ends = &ends[edges.clone()];
        let first = ends.iter().min().map_or(0, |&node| node as usize);
        let last = ends.iter().max().map_or(0, |&node| node as usize);
        NodeRange { nodes: first..last + 1, own: true }
    };
    let (from, to) = (range(from), range(to));
    Task { edges, from, to }
}

/// The end of a task: the first position at least `target` after the start of `edges` where no edge
/// crosses; otherwise the end if it is near, or the start of another node's edges, or exactly that
/// position.
fn end_of_task(from: &[u32], to: &[u32], edges: Range<usize>, target: usize) -> usize {
    let Range { start, end } = edges;
    if edges.len() <= target + target / 4 {
        return end;
    }
    let beyond = (target / 4).max(GRAPH);
    let limit = (start + target + beyond).min(end - 1);
    // Graphs are consecutive: a new one begins where both ends are beyond all previous ones.
    let mut last = from[start..start + target].iter().max().copied().unwrap_or(0);
    (start + target..=limit)
        .find(|&place| {
            let begins = from[place].min(to[place]) > last.max(to[place - 1]);
            last = last.max(from[place]);
            begins
        })
        // The last graph ends with the edges.
        .or_else(|| (end <= start + target + beyond).then_some(end))
        .or_else(|| (start + target..=limit).find(|&place| to[place] != to[place - 1]))
        .unwrap_or(start + target)
}

/// Records which ranges overlap with another task's.
fn mark_shared(tasks: &mut [Task], side: impl Fn(&mut Task) -> &mut NodeRange) {
    let mut reached = 0;
    for task in tasks.iter_mut() {
        let range = side(task);
        range.own &= range.nodes.start >= reached;
        reached = reached.max(range.nodes.end);
    }
    let mut reached = usize::MAX;
    for task in tasks.iter_mut().rev() {
        let range = side(task);
        range.own &= range.nodes.end <= reached;
        reached = reached.min(range.nodes.start);
    }
}

/// Length of the buffer that [`share`] needs for the sums of tasks that share nodes.
pub(in crate::cpu) fn n_shared<'r>(
    ranges: impl Iterator<Item = &'r NodeRange>,
    width: usize,
) -> usize {
    ranges.filter(|range| !range.own).map(|range| range.nodes.len() * width).sum()
}

/// The rows of each task's nodes: in `sums` (`[n_node, width]`) itself if it owns them, otherwise
/// in `shared`, zeros of length [`n_shared`].
pub(in crate::cpu) fn share<'a, 'r>(
    sums: &'a mut [f32],
    shared: &'a mut [f32],
    ranges: impl Iterator<Item = &'r NodeRange>,
    width: usize,
) -> Vec<&'a mut [f32]> {
    let (mut rest, mut first) = (sums, 0);
    let mut shared = shared;
    ranges
        .map(|range| {
            let n = range.nodes.len() * width;
            if range.own {
                let skipped = (range.nodes.start - first) * width;
                let (own, after) = std::mem::take(&mut rest)[skipped..].split_at_mut(n);
                (rest, first) = (after, range.nodes.end);
                own
            } else {
                let (own, after) = std::mem::take(&mut shared).split_at_mut(n);
                shared = after;
                own
            }
        })
        .collect()
}

/// Adds the sums of tasks that share nodes, in the order of the tasks.
pub(in crate::cpu) fn add_shared<'r>(
    sums: &mut [f32],
    shared: &[f32],
    ranges: impl Iterator<Item = &'r NodeRange>,
    width: usize,
) {
    let mut shared = shared;
    for range in ranges.filter(|range| !range.own) {
        let (own, after) = shared.split_at(range.nodes.len() * width);
        let rows = &mut sums[range.nodes.start * width..range.nodes.end * width];
        crate::cpu::elementwise::add_to(rows, own);
        shared = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fully connected graphs of these sizes, then self-loops of a single node.
    fn edges(sizes: &[u32], n_padding: usize) -> [Vec<u32>; 2] {
        let (mut from, mut to, mut first) = (vec![], vec![], 0);
        for &n in sizes {
            for i in 0..n {
                let others = (0..n).filter(|&j| j != i).map(|j| first + j);
                from.extend(others);
                to.extend((1..n).map(|_| first + i));
            }
            first += n;
        }
        from.extend((0..n_padding).map(|_| first));
        to.extend((0..n_padding).map(|_| first));
        [from, to]
    }

    fn check(from: &[u32], to: &[u32], n_padding: usize) -> EdgePlan {
        let n_node = from.iter().chain(to).max().map_or(0, |&node| node as usize + 1);
        let n_real = from.len() - n_padding;
        let plan = EdgePlan::new(from, to, None, n_node, n_real);
        let mut next = 0;
        for task in &plan.tasks {
            assert_eq!(task.edges.start, next, "every edge once, in order");
            next = task.edges.end;
        }
        assert_eq!(next, from.len());
        // Counting the edges of each node by tasks gives the right number.
        for (ends, side) in [(from, 0), (to, 1)] {
            let range = |task| -> &NodeRange {
                let t: &Task = task;
                [&t.from, &t.to][side]
            };
            let mut sums = vec![0.0; n_node];
            let mut shared = vec![0.0; n_shared(plan.tasks.iter().map(range), 1)];
            let rows = share(&mut sums, &mut shared, plan.tasks.iter().map(range), 1);
            for (task, rows) in plan.tasks.iter().zip(rows) {
                for &node in &ends[task.edges.clone()] {
                    rows[node as usize - range(task).nodes.start] += 1.0;
                }
            }
            add_shared(&mut sums, &shared, plan.tasks.iter().map(range), 1);
            for (node, sum) in (0..).zip(sums) {
                let expected = ends.iter().filter(|&&end| end == node).count() as f32;
                assert!((sum - expected).abs() < 0.5, "node {node}: {sum}, not {expected}");
            }
        }
        let alone = EdgePlan::new(&from[..n_real], &to[..n_real], None, n_node, n_real);
        assert_eq!(plan.tasks[..alone.tasks.len()], alone.tasks, "with padding and without");
        assert_eq!(plan.scatter, alone.scatter, "with padding and without");
        plan
    }

    #[test]
    fn graphs_are_not_cut() {
        let [from, to] = edges(&[18; 31], 0);
        let plan = check(&from, &to, 0);
        assert!(plan.tasks.len() >= 7, "{} tasks", plan.tasks.len());
        assert!(
            plan.tasks.iter().all(|task| task.from.own && task.to.own && task.edges.len() < 1600)
        );
        assert!(plan.scatter);
        for size in 5..30 {
            let [from, to] = edges(&[size; 40], 0);
            let plan = check(&from, &to, 0);
            assert!(plan.tasks.iter().all(|task| task.from.own && task.to.own), "{size} nodes");
        }
    }

    #[test]
    fn edges_of_padding_are_shared_by_tasks() {
        let [from, to] = edges(&[18; 31], 9_000);
        let plan = check(&from, &to, 9_000);
        assert!(plan.tasks.iter().filter(|task| !task.to.own).count() > 2);
        assert!(plan.tasks.iter().filter(|task| task.to.own).count() > 3);
        assert!(plan.scatter);
    }

    #[test]
    fn one_large_graph() {
        let to: Vec<u32> = (0..40_000).map(|edge| edge / 4).collect();
        let from: Vec<u32> =
            (0..40_000_u32).map(|edge| edge.wrapping_mul(2_654_435_761) % 10_000).collect();
        let plan = check(&from, &to, 0);
        assert!(!plan.scatter, "tasks share all nodes");
        assert!(plan.tasks.len() > 15);
        let padded = |ends: Vec<u32>| [ends, vec![10_000; 90_000]].concat();
        assert!(!check(&padded(from), &padded(to), 90_000).scatter);
    }

    #[test]
    fn a_small_batch_and_none() {
        let [from, to] = edges(&[3, 4], 5);
        assert_eq!(check(&from, &to, 5).tasks.len(), 2, "one for the padding");
        assert_eq!(check(&from, &to, from.len()).tasks.len(), 1);
        assert!(check(&[], &[], 0).tasks.is_empty());
    }
}
