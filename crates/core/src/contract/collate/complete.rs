//! Edges of complete graphs, which no data set stores: all ordered pairs of distinct nodes, with
//! the receivers in the outer loop and the senders in the inner loop.
//!
//! A graph of n nodes has n runs of n - 1 edges. Runs are written in fixed-size chunks; entries
//! past the end of a run are overwritten by the next run, the next graph or the padding. Short
//! loops of constant length can be vectorised without knowledge of the target CPU; runs in a
//! molecule are about 17 edges long.

use std::ops::Range;

use crate::contract::buffer::{Columns, Scratch};

/// Entries of 4 bytes per chunk. Measured on 30 molecules: 6.6 us with 8, 8.0 us with 4, 7.3 us
/// with 16 (x86-64 without extensions).
pub(super) const WIDE: usize = 8;
/// Rows of 12 bytes per chunk, at most `WIDE`; 8 are no faster.
const WIDE_ROW: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct GraphStart {
    /// First node of the graph.
    pub(super) node: usize,
    pub(super) n_node: usize,
    /// First edge of the graph.
    pub(super) edge: usize,
}

/// Writes the edges of one graph into the requested fields. If distances or displacements are
/// requested, the positions of the batch's nodes must be in `columns.scratch`; graphs must be
/// connected in ascending order.
pub(super) fn connect(columns: &mut Columns<'_>, at: GraphStart) {
    let end = at.edge + at.n_node * (at.n_node - 1);
    // The last graph of a batch without padding has no room after its end.
    if end + WIDE <= columns.sender.len() {
        connect_in_chunks::<WIDE, WIDE_ROW>(columns, at);
    } else {
        connect_in_chunks::<1, 1>(columns, at);
    }
}

fn connect_in_chunks<const W: usize, const R: usize>(columns: &mut Columns<'_>, at: GraphStart) {
    let degree = at.n_node - 1;
    receivers::<W>(&mut columns.receiver[at.edge..], at);
    senders::<W>(&mut columns.sender[at.edge..], at);
    starts(&mut columns.receiver_offset[at.nodes()], at.edge, degree);
    // A graph of one node has offsets but no edges.
    if !columns.sender_offset.is_empty() {
        sender_order::<W>(&mut columns.sender_order[at.edge..], at);
        starts(&mut columns.sender_offset[at.nodes()], at.edge, degree);
    }
    if !columns.distance.is_empty() {
        distances::<W>(&mut columns.distance[at.edge..], columns.scratch, at);
    }
    if !columns.displacement.is_empty() {
        let (rows, _) = columns.displacement.as_chunks_mut::<3>();
        displacements::<R>(&mut rows[at.edge..], &columns.scratch.position[at.node..], at.n_node);
    }
}

impl GraphStart {
    fn nodes(self) -> Range<usize> {
        self.node..self.node + self.n_node
    }
}

/// Every node has one run, in both orders.
fn starts(offset: &mut [u32], first_edge: usize, degree: usize) {
    for (node, slot) in offset.iter_mut().enumerate() {
        *slot = (first_edge + node * degree) as u32;
    }
}

fn receivers<const W: usize>(receiver: &mut [u32], at: GraphStart) {
    let degree = at.n_node - 1;
    for i in 0..at.n_node {
        let node = (at.node + i) as u32;
        run::<_, W>(&mut receiver[i * degree..], degree).fill([node; W]);
    }
}

fn senders<const W: usize>(sender: &mut [u32], at: GraphStart) {
    for i in 0..at.n_node {
        put_others(sender, at.n_node, i, |first, to| {
            for (to, j) in to.iter_mut().zip((at.node + first..).step_by(W)) {
                *to = consecutive::<W>(j as u32, 1);
            }
        });
    }
}

fn sender_order<const W: usize>(order: &mut [u32], at: GraphStart) {
    let degree = at.n_node - 1;
    let (first_edge, step) = (at.edge as u32, degree as u32);
    for j in 0..at.n_node {
        put_others(order, at.n_node, j, |first, to| {
            // Sender j is entry j - 1 in the runs of receivers that precede it, else entry j.
            let rank = j - usize::from(j > first);
            for (to, i) in to.iter_mut().zip((first as u32..).step_by(W)) {
                *to = consecutive::<W>(first_edge + i * step + rank as u32, step);
            }
        });
    }
}

fn distances<const W: usize>(distance: &mut [f32], positions: &Scratch, at: GraphStart) {
    let axes = [0, 1, 2].map(|axis| &positions.axis[axis][at.node..]);
    for i in 0..at.n_node {
        let own = axes.map(|axis| axis[i]);
        put_others(distance, at.n_node, i, |first, to: &mut [[f32; W]]| {
            let [x, y, z] = axes.map(|axis| &axis[first..].as_chunks::<W>().0[..to.len()]);
            for (((to, x), y), z) in to.iter_mut().zip(x).zip(y).zip(z) {
                *to = std::array::from_fn(|lane| {
                    let d = [own[0] - x[lane], own[1] - y[lane], own[2] - z[lane]];
                    (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt()
                });
            }
        });
    }
}

fn displacements<const W: usize>(
    displacement: &mut [[f32; 3]],
    position: &[[f32; 3]],
    n_node: usize,
) {
    for i in 0..n_node {
        let receiver = position[i];
        put_others(displacement, n_node, i, |first, to: &mut [[[f32; 3]; W]]| {
            let senders = &position[first..].as_chunks::<W>().0[..to.len()];
            for (to, senders) in to.iter_mut().zip(senders) {
                *to = senders.map(|sender| [0, 1, 2].map(|axis| receiver[axis] - sender[axis]));
            }
        });
    }
}

/// Writes the `i`-th run, with one entry for each node of `0..n_node` except `i`, in chunks of `W`
/// entries. `fill` receives the first node of a sequence of consecutive entries.
fn put_others<T, const W: usize>(
    runs: &mut [T],
    n_node: usize,
    i: usize,
    fill: impl Fn(usize, &mut [[T; W]]),
) {
    let (before, behind) = (i, n_node - 1 - i);
    let start = i * (n_node - 1);
    fill(0, run(&mut runs[start..], before));
    fill(i + 1, run(&mut runs[start + i..], behind));
}

/// The first `n` entries, rounded up to whole chunks. Bounds are checked once per run, not once per
/// chunk.
fn run<T, const W: usize>(values: &mut [T], n: usize) -> &mut [[T; W]] {
    &mut values.as_chunks_mut().0[..n.div_ceil(W)]
}

fn consecutive<const W: usize>(first: u32, step: u32) -> [u32; W] {
    std::array::from_fn(|lane| first.wrapping_add(lane as u32 * step))
}
