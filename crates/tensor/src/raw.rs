//! Reads a dfdx tensor in place: the only pointer arithmetic on dfdx's memory.
//!
//! dfdx 0.13 gives access to single elements (`tensor[[i, j]]`) and copies, but not to the whole
//! buffer. Elements of a tensor are stored in one `Vec`. [`slice`] looks up the first element, its
//! neighbour along each axis and the last element, each bounds-checked by dfdx, and returns the
//! range between first and last if it has exactly the length of a contiguous tensor. [`check`]
//! tests this, and the other facts about dfdx that the crate relies on, before first use.

#![allow(unsafe_code, reason = "dfdx does not lend its buffers")]

use std::sync::OnceLock;

use dfdx::prelude::*;

/// All elements of a tensor in row-major order; `None` for any other layout.
pub(crate) fn slice<S: Shape, T>(tensor: &Tensor<S, f32, Cpu, T>) -> Option<&[f32]> {
    let shape = tensor.shape();
    let n = shape.num_elements();
    if n == 0 {
        return Some(&[]);
    }
    let size = shape.concrete();
    let mut index = S::Concrete::default();
    let first = &raw const tensor[index];
    let distance = |element: &f32| (&raw const *element).addr().wrapping_sub(first.addr());

    let mut step = 1;
    for axis in (0..S::NUM_DIMS).rev() {
        if size[axis] > 1 {
            index[axis] = 1;
            if distance(&tensor[index]) != step * size_of::<f32>() {
                return None;
            }
            index[axis] = 0;
        }
        step *= size[axis];
    }
    for axis in 0..S::NUM_DIMS {
        index[axis] = size[axis] - 1;
    }
    if distance(&tensor[index]) != (n - 1) * size_of::<f32>() {
        return None;
    }
    // SAFETY: first and last element are elements of the single `Vec<f32>` behind the tensor, n - 1
    // elements apart, so everything between them lies in that `Vec` and is initialised. The `Vec`
    // lives as long as the borrow of the tensor, and dfdx only changes it through `&mut`. The
    // pointer comes from a reference to one element: Tree Borrows accept reading the others through
    // it, Stacked Borrows would not, and dfdx provides nothing wider.
    Some(unsafe { std::slice::from_raw_parts(first, n) })
}

/// Checks this crate's assumptions about dfdx, once per process.
///
/// # Errors
/// The assumption that does not hold.
pub(crate) fn check() -> Result<(), &'static str> {
    static RESULT: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *RESULT.get_or_init(try_check)
}

fn try_check() -> Result<(), &'static str> {
    let device = Cpu::default();
    let values: Vec<f32> = (0..15_u8).map(f32::from).collect();
    let memory = values.as_ptr();
    let x = device.tensor_from_vec(values.clone(), (3, 5));
    require(slice(&x) == Some(&values[..]), "a tensor does not hold its values row by row")?;
    let moved = device.tensor_from_vec(values, (3, 5));
    let in_place = slice(&moved).is_some_and(|s| std::ptr::eq(s.as_ptr(), memory));
    require(in_place, "a tensor does not take over the memory it is made from")?;
    let shared = x.clone();
    require(slice(&shared) == slice(&x), "a clone shows other values")?;
    let turned = x.clone().permute::<(usize, usize), _>();
    require(slice(&turned).is_none(), "a transposed tensor passes for a contiguous one")?;

    let mut gradients = Gradients::<f32, Cpu>::leaky();
    let buffer = gradients.get_or_alloc_mut(&x).map_err(|_| "no memory for a gradient")?;
    require(**buffer == [0.0; 15], "a new gradient is not an array of zeros")?;
    buffer.fill(2.0);
    let again = gradients.get_or_alloc_mut(&shared).map_err(|_| "no memory for a gradient")?;
    require(**again == [2.0; 15], "a clone has a gradient of its own")
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_assume_about_dfdx_holds() {
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn tensors_that_are_not_contiguous_are_refused() {
        let device = Cpu::default();
        let row = device.tensor_from_vec(vec![1.0, 2.0, 3.0], (3,));
        let broadcast = row.clone().broadcast_like::<_, Axis<0>>(&(4, 3));
        assert!(slice(&broadcast).is_none());
        assert_eq!(slice(&row), Some(&[1.0, 2.0, 3.0][..]));
    }

    #[test]
    fn empty_tensors_and_single_elements() {
        let device = Cpu::default();
        let empty: Tensor<(usize, usize), f32, Cpu> = device.tensor_from_vec(vec![], (0, 7));
        assert_eq!(slice(&empty), Some(&[][..]));
        let single: Tensor<Rank0, f32, Cpu> = device.tensor(4.0);
        assert_eq!(slice(&single), Some(&[4.0][..]));
    }
}
