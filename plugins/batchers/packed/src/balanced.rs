//! Groups of equal weight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use batchlab_core::{GraphSize, Shape};

use crate::pack::{Groups, Task};

/// Opens as many groups as the volume bound requires; each graph, largest first, is added to the
/// group with the least weight, or to a new one if it does not fit there: O(n log n).
pub(crate) fn pack(task: &Task<'_>) -> Groups {
    let members: Vec<GraphSize> = task.order.iter().map(|&i| task.graph(i)).collect();
    let n_group = task.limits.lower_bound(&members);
    let least = task.least();
    let mut groups: Groups = vec![Vec::new(); n_group];
    let mut shapes = vec![Shape::default(); n_group];
    // Weight and index of every group with room, lightest first.
    let mut open: BinaryHeap<Reverse<(u64, usize)>> =
        (0..n_group).map(|i| Reverse((0, i))).collect();
    for (&position, &graph) in task.order.iter().zip(&members) {
        let lightest = open.peek().map(|&Reverse(lightest)| lightest);
        let (load, group) = match lightest {
            Some((load, group)) if task.limits.fits(shapes[group], graph) => {
                open.pop();
                (load, group)
            }
            _ => {
                groups.push(Vec::new());
                shapes.push(Shape::default());
                (0, groups.len() - 1)
            }
        };
        groups[group].push(position);
        shapes[group] = shapes[group].with(graph);
        if task.limits.fits(shapes[group], least) {
            open.push(Reverse((load + task.weight(graph), group)));
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}
