//! The edges of complete graphs, which no data set stores: every ordered pair of different nodes,
//! receivers in the outer loop and senders in the inner one.
//!
//! A graph of n nodes has n runs of n - 1 edges. They are written several entries at a time, whatever
//! their length: what is written behind the end of a run is overwritten by the next run, the next
//! graph or the padding. Short loops of known length are what a compiler turns into vector
//! instructions, also without knowing the processor; runs of a molecule are about 17 edges long.

use std::ops::Range;

use crate::contract::buffer::{Columns, Scratch};

/// Entries of 4 bytes written at a time: measured on molecules, 8 take 9.2 us for a batch of 31 where
/// 4 take 10.6 us (x86-64 without extensions).
pub(super) const WIDE: usize = 8;
/// Rows of 12 bytes written at a time, at most `WIDE`: with 8 they no longer fit the registers.
const WIDE_ROW: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its first node.
    pub(super) node: usize,
    pub(super) n_node: usize,
    /// Its first edge.
    pub(super) edge: usize,
}

/// Writes the edges of one graph into those fields that are wanted. The positions of the batch's
/// nodes are in `columns.scratch` if distances or displacements are; graphs are connected in
/// ascending order.
pub(super) fn connect(columns: &mut Columns<'_>, at: Place) {
    let end = at.edge + at.n_node * (at.n_node - 1);
    // The last graph of a batch without padding has nothing behind it.
    if end + WIDE <= columns.sender.len() {
        connect_in_chunks::<WIDE, WIDE_ROW>(columns, at);
    } else {
        connect_in_chunks::<1, 1>(columns, at);
    }
}

fn connect_in_chunks<const W: usize, const R: usize>(columns: &mut Columns<'_>, at: Place) {
    let degree = at.n_node - 1;
    receivers::<W>(&mut columns.receiver[at.edge..], at);
    senders::<W>(&mut columns.sender[at.edge..], at);
    starts(&mut columns.receiver_offset[at.nodes()], at.edge, degree);
    // A graph of one node has offsets and no edge.
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

impl Place {
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

fn receivers<const W: usize>(receiver: &mut [u32], at: Place) {
    let degree = at.n_node - 1;
    for i in 0..at.n_node {
        let node = (at.node + i) as u32;
        for k in (0..degree).step_by(W) {
            put(receiver, i * degree + k, [node; W]);
        }
    }
}

fn senders<const W: usize>(sender: &mut [u32], at: Place) {
    for i in 0..at.n_node {
        put_others(sender, at.n_node, i, |j| consecutive::<W>((at.node + j) as u32, 1));
    }
}

fn sender_order<const W: usize>(order: &mut [u32], at: Place) {
    let degree = at.n_node - 1;
    let (first, step) = (at.edge as u32, degree as u32);
    for j in 0..at.n_node {
        put_others(order, at.n_node, j, |i| {
            // Sender j is the (j - 1)-th of a receiver that stands before it, else the j-th.
            let rank = j - usize::from(j > i);
            consecutive::<W>(first + i as u32 * step + rank as u32, step)
        });
    }
}

fn distances<const W: usize>(distance: &mut [f32], positions: &Scratch, at: Place) {
    let [x, y, z] = [0, 1, 2].map(|axis| &positions.axis[axis][at.node..]);
    for i in 0..at.n_node {
        put_others(distance, at.n_node, i, |j| {
            let [x_j, y_j, z_j] = [x, y, z].map(|axis| take::<_, W>(axis, j));
            std::array::from_fn::<_, W, _>(|lane| {
                let d = [x[i] - x_j[lane], y[i] - y_j[lane], z[i] - z_j[lane]];
                (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt()
            })
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
        put_others(displacement, n_node, i, |j| {
            take::<_, W>(position, j)
                .map(|sender| [0, 1, 2].map(|axis| receiver[axis] - sender[axis]))
        });
    }
}

/// Writes the `i`-th run: one entry for each node of `0..n_node` but `i`, where `chunk(j)` holds the
/// entries of `W` nodes from `j`.
fn put_others<T: Copy, const W: usize>(
    runs: &mut [T],
    n_node: usize,
    i: usize,
    chunk: impl Fn(usize) -> [T; W],
) {
    let start = i * (n_node - 1);
    for j in (0..i).step_by(W) {
        put(runs, start + j, chunk(j));
    }
    for j in (i + 1..n_node).step_by(W) {
        put(runs, start + j - 1, chunk(j));
    }
}

fn consecutive<const W: usize>(first: u32, step: u32) -> [u32; W] {
    std::array::from_fn(|lane| first.wrapping_add(lane as u32 * step))
}

fn put<T: Copy, const W: usize>(values: &mut [T], at: usize, chunk: [T; W]) {
    values[at..at + W].copy_from_slice(&chunk);
}

fn take<T: Copy, const W: usize>(values: &[T], at: usize) -> [T; W] {
    let chunk = values[at..].first_chunk();
    *chunk.expect("behind the last position are as many as are taken at a time")
}
