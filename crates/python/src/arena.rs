//! Memory of one batch, shared with NumPy.

use std::ffi::c_int;
use std::sync::mpsc::SyncSender;

use batchlab_core::buffer::FieldLayout;
use batchlab_core::{BatchBuffer, Shape};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A collated batch. Arrays are read-only views of it; when the last one is gone, its memory is
/// used for another batch.
#[pyclass(frozen, module = "batchlab._batchlab")]
pub(crate) struct Arena {
    buffer: BatchBuffer,
    free: SyncSender<BatchBuffer>,
}

impl Arena {
    pub(crate) fn new(buffer: BatchBuffer, free: SyncSender<BatchBuffer>) -> Self {
        Self { buffer, free }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Without a loader, or with enough free memory, it is released.
        let _ = self.free.try_send(std::mem::take(&mut self.buffer));
    }
}

/// Name, element type, length in bytes, and values per row.
type FieldOf = (String, String, usize, usize);

#[pymethods]
impl Arena {
    /// The fields in the order of memory, each at the next multiple of 64 bytes.
    fn layout(&self) -> Vec<FieldOf> {
        let batch = self.buffer.batch();
        let field =
            |of: FieldLayout<'_>| (of.name.to_owned(), of.number.to_string(), of.n_byte, of.width);
        batch.layout().map(field).collect()
    }

    /// Lengths in bytes of the fields.
    fn lengths(&self) -> Vec<usize> {
        self.buffer.batch().layout().map(|field| field.n_byte).collect()
    }

    /// Padded and real `[n_node, n_edge, n_graph, n_output]`, and the sum of `output_weight`.
    fn sizes(&self) -> ([u32; 4], [u32; 4], f32) {
        let batch = self.buffer.batch();
        let sizes = |of: Shape| [of.n_node, of.n_edge, of.n_graph, of.n_output];
        (sizes(batch.shape), sizes(batch.real), batch.output_weight.iter().sum())
    }

    #[allow(unsafe_code, reason = "Python's buffer protocol is a C interface")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let words = slf.get().buffer.batch().words;
        let n_byte = size_of_val(words).cast_signed();
        let start = words.as_ptr().cast_mut().cast();
        // SAFETY: `view` is Python's to fill in this call. The memory stays where it is and is not
        // written to as long as the arena lives: it is frozen, and the view holds a reference to
        // it, which `PyBuffer_FillInfo` takes. The 1 makes the view read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, n_byte, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
