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

/// Alignment of fields in bytes.
const ALIGN: usize = 64;

#[pymethods]
impl Arena {
    /// Name, element type and values per row of each field, in the order of memory.
    fn layout(&self) -> Vec<(String, String, usize)> {
        let batch = self.buffer.batch();
        let field = |of: FieldLayout<'_>| (of.name.to_owned(), of.number.to_string(), of.width);
        batch.layout().map(field).collect()
    }

    /// Start and end of each field, one after the other, counted in its own values.
    fn spans(&self) -> Vec<usize> {
        let mut start = 0;
        let batch = self.buffer.batch();
        let span = |of: FieldLayout<'_>| {
            let own = [start, start + of.n_byte].map(|byte| byte / of.number.n_byte());
            start += of.n_byte.next_multiple_of(ALIGN);
            own
        };
        batch.layout().flat_map(span).collect()
    }

    /// Nodes, edges and graphs, with and without padding.
    fn sizes(&self) -> [(u32, u32, u32); 2] {
        let batch = self.buffer.batch();
        [batch.shape, batch.real].map(|of: Shape| (of.n_node, of.n_edge, of.n_graph))
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
