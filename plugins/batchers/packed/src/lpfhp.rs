//! Longest-pack-first histogram packing on node and edge counts.

use batchlab_core::{GraphSize, Shape};

use crate::open_groups::OpenGroups;
use crate::pack::{Groups, Task};

/// Groups of equal composition.
#[derive(Clone)]
struct Strategy {
    /// Number of groups.
    n_group: usize,
    /// Sizes, by histogram index, and their multiplicity in each group.
    parts: Vec<(usize, usize)>,
}

/// All graphs of one size.
struct Bar<'a> {
    size: GraphSize,
    /// Their positions.
    members: &'a [u32],
}

/// Packs sizes instead of graphs, and assigns the graphs at the end.
pub(crate) fn pack(task: &Task<'_>) -> Groups {
    let histogram = histogram(task);
    let strategies = strategies(task, &histogram);
    let mut rest: Vec<&[u32]> = histogram.iter().map(|bar| bar.members).collect();
    let mut groups = Vec::new();
    for Strategy { n_group, parts } in strategies {
        for _ in 0..n_group {
            let mut group = Vec::new();
            for &(bar, repeat) in &parts {
                let (dealt, left) = rest[bar].split_at(repeat);
                group.extend_from_slice(dealt);
                rest[bar] = left;
            }
            groups.push(group);
        }
    }
    groups
}

/// Runs of equal sizes, largest first.
fn histogram<'a>(task: &'a Task<'_>) -> Vec<Bar<'a>> {
    let size = |&position: &u32| GraphSize { id: 0, ..task.graph(position) };
    let runs = task.order.chunk_by(|a, b| size(a) == size(b));
    runs.map(|members| Bar { size: size(&members[0]), members }).collect()
}

fn strategies(task: &Task<'_>, histogram: &[Bar<'_>]) -> Vec<Strategy> {
    let least = task.least();
    let mut complete = Vec::new();
    let mut open: OpenGroups<Strategy> = OpenGroups::new();
    for (i, bar) in histogram.iter().enumerate() {
        let weight = task.weight(bar.size);
        let mut n_left = bar.members.len();
        while n_left > 0 {
            let found = open.take_fullest(bar.size, weight, task.limits);
            let (key, mut strategy) = found.unwrap_or_else(|| {
                let empty = Strategy { n_group: n_left, parts: Vec::new() };
                ((task.weight.capacity, Shape::default()), empty)
            });
            // At least one fits, as ensured by the search and by the construction of the task.
            let (repeat, shape) = fill(task, key.1, bar.size, n_left);
            let n_group = strategy.n_group.min(n_left / repeat);
            n_left -= n_group * repeat;
            if n_group < strategy.n_group && !strategy.parts.is_empty() {
                let untouched =
                    Strategy { n_group: strategy.n_group - n_group, ..strategy.clone() };
                open.put(key, untouched);
            }
            strategy.n_group = n_group;
            strategy.parts.push((i, repeat));
            if task.limits.fits(shape, least) {
                let left = key.0.saturating_sub(weight * repeat as u64);
                open.put((left, shape), strategy);
            } else {
                complete.push(strategy);
            }
        }
    }
    complete.extend(open.into_groups());
    complete
}

/// As many graphs of one size as fit in a group, at least one and at most `n_left`.
fn fill(task: &Task<'_>, shape: Shape, size: GraphSize, n_left: usize) -> (usize, Shape) {
    let (mut repeat, mut shape) = (1, shape.with(size));
    while repeat < n_left && task.limits.fits(shape, size) {
        shape = shape.with(size);
        repeat += 1;
    }
    (repeat, shape)
}
