//! Items that belong to segments: edges to nodes, nodes to graphs, nodes to classes.

use std::rc::Rc;

use crate::DeviceMemory;
use crate::backend::ALIGNMENT;

/// Maps each item to its segment, and each segment to its items.
/// [`Pass::gather`](crate::Pass::gather) goes from segments to items,
/// [`Pass::segment_sum`](crate::Pass::segment_sum) back; each is the other's gradient, so neither
/// needs atomic additions.
pub struct Segments<D: DeviceMemory> {
    pub(crate) n_segment: usize,
    pub(crate) n_item: usize,
    /// Segment of each item, `[n_item]`.
    pub(crate) of: D::Words,
    /// Start of each segment's items in `order`, and the number of items, `[n_segment + 1]`.
    pub(crate) offset: D::Words,
    /// Items sorted by segment, `[n_item]`; `None` if they already are.
    pub(crate) order: Option<D::Words>,
}

/// How to aggregate the rows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// Their sum, divided by their number, or by 1 if there are none.
    Mean,
}

impl<D: DeviceMemory> Segments<D> {
    /// Copies segments to the device.
    ///
    /// `of` `[n_item]`, `offset` `[n_segment + 1]`, `order` `[n_item]` or none; see
    /// [`PaddedBatch`](batchlab_core::PaddedBatch).
    pub fn upload(
        device: &D,
        of: &[u32],
        offset: &[u32],
        order: Option<&[u32]>,
    ) -> Result<Rc<Self>, D::Err> {
        let mut arena = D::Arena::default();
        let n_word = 3 * ALIGNMENT + of.len() + offset.len() + order.map_or(0, <[u32]>::len);
        device.begin_upload(&mut arena, n_word)?;
        let segments = Self::put(device, &mut arena, of, offset, order)?;
        device.finish_upload(&mut arena)?;
        device.begin_use(&arena)?;
        Ok(segments)
    }

    pub(crate) fn put(
        device: &D,
        arena: &mut D::Arena,
        of: &[u32],
        offset: &[u32],
        order: Option<&[u32]>,
    ) -> Result<Rc<Self>, D::Err> {
        // A GPU does not check bounds. Data sets are checked when they are loaded.
        debug_assert_eq!(fault(of, offset, order), None);
        Ok(Rc::new(Self {
            n_segment: offset.len().saturating_sub(1),
            n_item: of.len(),
            of: device.put_words(arena, of)?,
            offset: device.put_words(arena, offset)?,
            order: order.map(|order| device.put_words(arena, order)).transpose()?,
        }))
    }

    /// Number of segments.
    #[must_use]
    pub fn n_segment(&self) -> usize {
        self.n_segment
    }

    /// Number of items.
    #[must_use]
    pub fn n_item(&self) -> usize {
        self.n_item
    }
}

/// The error in the segments of items, if any.
fn fault(of: &[u32], offset: &[u32], order: Option<&[u32]>) -> Option<String> {
    let (n_item, n_segment) = (of.len(), offset.len().saturating_sub(1));
    let beyond = |indices: &[u32], n: usize| indices.iter().copied().find(|&i| i as usize >= n);
    if let Some(segment) = beyond(of, n_segment) {
        return Some(format!("an item of segment {segment}, of {n_segment}"));
    }
    if let Some(item) = beyond(order.unwrap_or_default(), n_item) {
        return Some(format!("item {item} in the order of {n_item}"));
    }
    let ends = [offset.first(), offset.last()].map(|end| end.map_or(0, |&end| end as usize));
    let whole = offset.is_sorted() && ends == [0, n_item];
    let whole = whole && order.is_none_or(|order| order.len() == n_item);
    (!whole).then(|| format!("offsets from {} to {} for {n_item} items", ends[0], ends[1]))
}

/// Order and offsets of items by segment (counting sort).
pub(crate) fn sorted(of: &[u32], n_segment: usize) -> (Vec<u32>, Vec<u32>) {
    let mut offset = vec![0; n_segment + 1];
    for &segment in of {
        offset[segment as usize + 1] += 1;
    }
    for segment in 0..n_segment {
        offset[segment + 1] += offset[segment];
    }
    let mut next = offset.clone();
    let mut order = vec![0; of.len()];
    for (item, &segment) in (0..).zip(of) {
        let place = &mut next[segment as usize];
        order[*place as usize] = item;
        *place += 1;
    }
    (order, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_ordered_by_their_segment() {
        let (order, offset) = sorted(&[2, 0, 2, 1, 0], 4);
        assert_eq!(order, [1, 4, 3, 0, 2]);
        assert_eq!(offset, [0, 2, 3, 5, 5]);
    }

    #[test]
    fn segments_that_lead_beyond_an_array_are_found() {
        assert_eq!(fault(&[0, 1, 1], &[0, 1, 3], Some(&[0, 2, 1])), None);
        assert_eq!(fault(&[], &[0], None), None);
        let says = |of: &[u32], offset: &[u32], order: Option<&[u32]>, expected: &str| {
            assert_eq!(fault(of, offset, order).as_deref(), Some(expected));
        };
        says(&[0, 2], &[0, 1, 2], None, "an item of segment 2, of 2");
        says(&[0, 1], &[0, 1, 2], Some(&[0, 2]), "item 2 in the order of 2");
        says(&[0, 1], &[0, 1, 3], None, "offsets from 0 to 3 for 2 items");
        says(&[0, 1, 1], &[0, 3, 1], None, "offsets from 0 to 1 for 3 items");
        says(&[0, 1], &[0, 1, 2], Some(&[0]), "offsets from 0 to 2 for 2 items");
    }
}
