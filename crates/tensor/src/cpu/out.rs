//! Output memory of kernels: a new result, or accumulators to add to.
//!
//! New memory is initialised by the computing thread, one chunk at a time while it is in the cache.
//! Zeroing it beforehand would be a separate single-threaded pass through memory.

#![allow(unsafe_code, reason = "new memory has no values before it is written")]

use std::mem::MaybeUninit;

use super::team::each;

/// Numbers per chunk: 64 KiB, which fits into a core's own cache along with its inputs.
const CHUNK: usize = 1 << 14;
/// Numbers to zero at a time, shortly before they are written: 8 KiB.
const PART: usize = 1 << 11;

/// Uninitialised memory.
type New<'a> = &'a mut [MaybeUninit<f32>];

/// The output of a kernel.
#[derive(Debug)]
pub(super) enum Out<'a> {
    /// Uninitialised; stands for zeros.
    New(New<'a>),
    /// Accumulators.
    Sums(&'a mut [f32]),
}

/// A new array of `n` numbers, all of which `kernel` writes and returns.
pub(super) fn new(n: usize, kernel: impl for<'o> FnOnce(Out<'o>) -> &'o mut [f32]) -> Vec<f32> {
    let mut values = Vec::with_capacity(n);
    complete(Out::New(&mut values.spare_capacity_mut()[..n]), kernel);
    // SAFETY: `complete` only returns when all n numbers are initialised.
    unsafe { values.set_len(n) };
    values
}

/// A new array of `n` zeros.
pub(super) fn zeros(n: usize) -> Vec<f32> {
    new(n, |out| out.values())
}

/// Two new arrays of the given lengths. `kernel(index, block, block)` writes blocks of the given
/// sizes of each and returns them, in parallel.
pub(super) fn new_pair(
    n: [usize; 2],
    size: [usize; 2],
    kernel: impl for<'a, 'b> Fn(usize, New<'a>, New<'b>) -> (&'a mut [f32], &'b mut [f32]) + Sync + Send,
) -> [Vec<f32>; 2] {
    let mut first = Vec::with_capacity(n[0]);
    let n_block = [0, 1].map(|i| n[i].div_ceil(size[i].max(1)));
    assert_eq!(n_block[0], n_block[1], "as many blocks of both");
    let rooms = room_by_blocks(&mut first, n[0], size[0]);
    let second = new_beside(n[1], size[1], rooms, |index, second, first: New<'_>| {
        let all = extent(first);
        let (first, second) = kernel(index, first, second);
        assert_all(all, first);
        second
    });
    // SAFETY: every number is in one of the blocks, which were checked to be written.
    unsafe { first.set_len(n[0]) };
    [first, second]
}

/// A new array of `n` numbers. `kernel(index, block, input)` writes blocks of `size` numbers, one
/// for each of `inputs`, and returns them, in parallel.
pub(super) fn new_beside<T: Send>(
    n: usize,
    size: usize,
    inputs: impl Iterator<Item = T>,
    kernel: impl for<'o> Fn(usize, New<'o>, T) -> &'o mut [f32] + Sync + Send,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(n);
    let blocks: Vec<_> = room_by_blocks(&mut values, n, size).zip(inputs).enumerate().collect();
    let n_in_blocks: usize = blocks.iter().map(|(_, (block, _))| block.len()).sum();
    assert_eq!(n_in_blocks, n, "an input for every block");
    each(blocks, |(index, (block, input))| {
        let all = extent(block);
        assert_all(all, kernel(index, block, input));
    });
    // SAFETY: every number is in one of the blocks, which were checked to be written.
    unsafe { values.set_len(n) };
    values
}

fn room_by_blocks(
    values: &mut Vec<f32>,
    n: usize,
    size: usize,
) -> impl Iterator<Item = &mut [MaybeUninit<f32>]> {
    values.spare_capacity_mut()[..n].chunks_mut(size.max(1))
}

/// Adds to `n` accumulators; an empty array stands for zeros.
pub(super) fn add(
    sums: &mut Vec<f32>,
    n: usize,
    kernel: impl for<'o> FnOnce(Out<'o>) -> &'o mut [f32],
) {
    if sums.is_empty() {
        *sums = new(n, kernel);
    } else {
        assert_eq!(sums.len(), n, "sums of another length");
        complete(Out::Sums(sums), kernel);
    }
}

/// Start and length of new memory.
fn extent(room: &[MaybeUninit<f32>]) -> (*const f32, usize) {
    (room.as_ptr().cast(), room.len())
}

/// A reference to numbers, unlike one to uninitialised memory, only exists if all of them are
/// initialised.
fn assert_all((start, n): (*const f32, usize), written: &[f32]) {
    let is_all = std::ptr::eq(written.as_ptr(), start) && written.len() == n;
    assert!(is_all, "a kernel gives back all that it was to write");
}

/// Makes `kernel` write all of `out`.
fn complete<'o>(out: Out<'o>, kernel: impl FnOnce(Out<'o>) -> &'o mut [f32]) -> &'o mut [f32] {
    let all = match &out {
        Out::New(room) => extent(room),
        Out::Sums(sums) => (sums.as_ptr(), sums.len()),
    };
    let written = kernel(out);
    assert_all(all, written);
    written
}

impl<'a> Out<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::New(room) => room.len(),
            Self::Sums(sums) => sums.len(),
        }
    }

    /// Calls `kernel(first row, rows)` for chunks of whole rows, in parallel. Rows of new memory
    /// are zeroed first.
    pub(super) fn rows(
        self,
        width: usize,
        kernel: impl Fn(usize, &mut [f32]) + Sync + Send,
    ) -> &'a mut [f32] {
        let size = |most: usize| (most / width.max(1)).max(1) * width.max(1);
        let [chunk, part] = [CHUNK, PART].map(size);
        self.by_blocks(chunk, |index, out| {
            let first = index * chunk / width.max(1);
            match out {
                Out::Sums(sums) => {
                    kernel(first, sums);
                    sums
                }
                Out::New(room) => by_parts(room, part, |index, room| {
                    let rows = zeroed(room);
                    kernel(first + index * part / width.max(1), rows);
                    rows
                }),
            }
        })
    }

    /// Calls `kernel(index, block)` for blocks of `size` numbers, in parallel.
    pub(super) fn by_blocks(
        self,
        size: usize,
        kernel: impl for<'o> Fn(usize, Out<'o>) -> &'o mut [f32] + Sync + Send,
    ) -> &'a mut [f32] {
        match self {
            Self::Sums(sums) => {
                each_block(sums, size, |index, sums| {
                    kernel(index, Out::Sums(sums));
                });
                sums
            }
            Self::New(room) => {
                each_block(room, size, |index, room| {
                    complete(Out::New(room), |out| kernel(index, out));
                });
                // SAFETY: every number is in one of the blocks, which were checked by `complete`.
                unsafe { written(room) }
            }
        }
    }

    /// The accumulators, or as many zeros.
    pub(super) fn values(self) -> &'a mut [f32] {
        match self {
            Self::Sums(sums) => sums,
            Self::New(_) => self.rows(1, |_, _| ()),
        }
    }
}

/// Zeroes new memory.
pub(super) fn zeroed(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    room.fill(MaybeUninit::new(0.0));
    // SAFETY: all have just been written.
    unsafe { written(room) }
}

/// Copies into new memory.
pub(super) fn copied<'o>(room: New<'o>, values: &[f32]) -> &'o mut [f32] {
    assert_eq!(room.len(), values.len(), "room for a copy");
    for (place, &value) in room.iter_mut().zip(values) {
        place.write(value);
    }
    // SAFETY: all have just been written, one for each value.
    unsafe { written(room) }
}

/// Copies the beginning of `values` into new memory of any length up to theirs.
pub(super) fn copied_from<'o>(room: New<'o>, values: &[f32]) -> &'o mut [f32] {
    let n = room.len();
    copied(room, &values[..n])
}

/// Calls `kernel(index, part)` for parts of new memory, `size` numbers each, sequentially.
pub(super) fn by_parts<'o>(
    room: New<'o>,
    size: usize,
    mut kernel: impl for<'p> FnMut(usize, New<'p>) -> &'p mut [f32],
) -> &'o mut [f32] {
    for (index, part) in room.chunks_mut(size.max(1)).enumerate() {
        let all = extent(part);
        assert_all(all, kernel(index, part));
    }
    // SAFETY: every part was checked to be written.
    unsafe { written(room) }
}

/// # Safety
/// All numbers must be initialised.
pub(super) unsafe fn written(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    // SAFETY: the caller guarantees it; `MaybeUninit<f32>` has the same layout as `f32`.
    unsafe { &mut *(std::ptr::from_mut(room) as *mut [f32]) }
}

/// Calls `kernel(index, block)` for blocks of `size` values, in parallel.
pub(super) fn each_block<T: Send>(
    values: &mut [T],
    size: usize,
    kernel: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    each(values.chunks_mut(size.max(1)).enumerate().collect(), |(index, block)| {
        kernel(index, block);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_new_memory_are_zeros_and_sums_are_added_to() {
        for [n_row, width] in [[0, 3], [1, 1], [5, 3], [70, 700], [3, 20_000], [40_000, 1]] {
            let expected: Vec<f32> = (0..n_row * width).map(|i| (i / width) as f32).collect();
            let kernel = |first: usize, rows: &mut [f32]| {
                for (row, values) in rows.chunks_exact_mut(width).enumerate() {
                    for value in values {
                        *value += (first + row) as f32;
                    }
                }
            };
            let mut sums = new(n_row * width, |out| out.rows(width, kernel));
            assert_eq!(sums, expected, "{n_row} rows of {width}");
            add(&mut sums, n_row * width, |out| out.rows(width, kernel));
            let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
            assert_eq!(sums, twice, "{n_row} rows of {width}, added to");
            let mut nothing = Vec::new();
            add(&mut nothing, n_row * width, |out| out.rows(width, kernel));
            assert_eq!(nothing, expected, "{n_row} rows of {width}, added to nothing");
        }
    }

    #[test]
    #[should_panic(expected = "gives back all")]
    fn a_part_is_not_all() {
        new(8, |out| &mut out.values()[1..]);
    }

    #[test]
    #[should_panic(expected = "another length")]
    fn sums_of_another_length() {
        add(&mut vec![0.0; 3], 4, |out| out.values());
    }
}
