//! Reusable memory for steps.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// A cache line, the alignment of all buffers: a vector that straddles two is slower.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Uninitialised scratch memory that returns to the thread's stock on drop. It contains whatever
/// the previous user left.
#[derive(Debug)]
pub(super) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

thread_local! {
    /// At most as many buffers as were in use at once.
    static STOCK: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// `len` arbitrary numbers.
    pub(super) fn new(len: usize) -> Self {
        if len == 0 {
            return Self { lines: Vec::new(), len };
        }
        let n_line = len.div_ceil(16);
        let mut lines = STOCK.with_borrow_mut(|stock| take(stock, n_line)).unwrap_or_default();
        if lines.len() < n_line {
            lines.resize(n_line, Line([0.0; 16]));
        }
        Self { lines, len }
    }

    pub(super) fn zeros(len: usize) -> Self {
        let mut scratch = Self::new(len);
        scratch.fill(0.0);
        scratch
    }
}

/// The smallest buffer that is large enough, or else the largest.
fn take(stock: &mut Vec<Vec<Line>>, n_line: usize) -> Option<Vec<Line>> {
    let fits = |lines: &Vec<Line>| lines.len() >= n_line;
    let place = (0..stock.len()).min_by_key(|&i| {
        let n = stock[i].len();
        if fits(&stock[i]) { (0, n) } else { (1, usize::MAX - n) }
    })?;
    Some(stock.swap_remove(place))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        // The stock is gone when a thread exits.
        let _ = STOCK.try_with(|stock| stock.borrow_mut().push(lines));
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let first = Scratch::new(1000);
        let address = first.as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop(first);
        let small = Scratch::new(10);
        assert_eq!(small.as_ptr(), address, "there is no smaller one");
        let zeros = Scratch::zeros(100);
        assert!(zeros.iter().all(|&x| x == 0.0) && zeros.len() == 100);
        drop((small, zeros));
        assert_eq!(Scratch::new(900).as_ptr(), address, "the one that is large enough");
    }

    #[test]
    fn no_numbers_at_all() {
        assert!(Scratch::new(0).is_empty());
    }
}
