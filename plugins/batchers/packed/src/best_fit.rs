//! Best-fit decreasing.

use batchlab_core::Shape;

use crate::open_groups::OpenGroups;
use crate::pack::{Groups, Task};

/// Each graph, largest first, is added to the fullest group in which it fits: O(n log n).
pub(crate) fn pack(task: &Task<'_>) -> Groups {
    let least = task.least();
    let mut groups: Groups = Vec::new();
    let mut open = OpenGroups::new();
    for &position in &task.order {
        let graph = task.graph(position);
        let weight = task.weight(graph);
        let ((left, shape), group) =
            open.take_fullest(graph, weight, task.limits).unwrap_or_else(|| {
                groups.push(Vec::new());
                ((task.weight.capacity, Shape::default()), groups.len() - 1)
            });
        groups[group].push(position);
        let shape = shape.with(graph);
        if task.limits.fits(shape, least) {
            open.put((left.saturating_sub(weight), shape), group);
        }
    }
    groups
}
