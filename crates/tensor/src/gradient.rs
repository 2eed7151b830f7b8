//! Accumulation of gradients during backward.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use dfdx::tensor::Storage;

use crate::{Backend, Buffer, DeviceMemory};

/// The gradient of a matrix during backward. Clones share it.
///
/// dfdx's own store hands out zeros to add to; here the first contribution overwrites, later ones
/// add.
#[derive(Debug)]
pub(crate) struct Gradient<D: DeviceMemory> {
    /// `None` before the first contribution.
    sum: Rc<RefCell<Option<Buffer<D>>>>,
    /// Number of elements of the matrix.
    n: usize,
}

impl<D: DeviceMemory> Clone for Gradient<D> {
    fn clone(&self) -> Self {
        Self { sum: Rc::clone(&self.sum), n: self.n }
    }
}

impl<D: DeviceMemory> Gradient<D> {
    /// An empty gradient for a matrix of `n` numbers.
    pub(crate) fn new(n: usize) -> Self {
        Self { sum: Rc::default(), n }
    }
}

impl<D: Backend> Gradient<D> {
    /// The accumulator for a kernel, see [`DeviceMemory::new_gradient`].
    pub(crate) fn sum(&self, device: &D) -> Result<RefMut<'_, Buffer<D>>, D::Err> {
        let buffer = self.to_be_added(device)?;
        Ok(RefMut::map(self.sum.borrow_mut(), |sum| sum.insert(buffer)))
    }

    /// The same for a kernel that requires initialised memory, for example because it adds to some
    /// elements only.
    pub(crate) fn sum_from_zeros(&self, device: &D) -> Result<RefMut<'_, Buffer<D>>, D::Err> {
        let buffer = self.finish(device)?;
        Ok(RefMut::map(self.sum.borrow_mut(), |sum| sum.insert(buffer)))
    }

    /// Takes out the result of [`Gradient::sum`], so that several gradients can be added to at
    /// once, some possibly of the same matrix. [`Gradient::add`] puts it back.
    pub(crate) fn to_be_added(&self, device: &D) -> Result<Buffer<D>, D::Err> {
        self.take().map_or_else(|| device.new_gradient(self.n), Ok)
    }

    /// Adds a buffer that is no longer needed; the first one becomes the accumulator.
    pub(crate) fn add(&self, device: &D, buffer: Buffer<D>) -> Result<(), D::Err> {
        let mut sum = self.sum.borrow_mut();
        if let Some(sum) = &mut *sum {
            return device.accumulate(sum, &buffer);
        }
        *sum = Some(buffer);
        Ok(())
    }

    /// Whether anything has been added.
    pub(crate) fn is_some(&self) -> bool {
        self.sum.borrow().is_some()
    }

    /// The sum, if anything has been added.
    pub(crate) fn take(&self) -> Option<Buffer<D>> {
        self.sum.take()
    }

    /// The sum; zeros if nothing has been added.
    pub(crate) fn finish(&self, device: &D) -> Result<Buffer<D>, D::Err> {
        match self.take().filter(|sum| Storage::<f32>::len(device, sum) == self.n) {
            Some(sum) => Ok(sum),
            None => device.zeros_buffer(self.n),
        }
    }
}
