//! Points in the work of a stream, for other streams and the host to wait for.

use cudarc::driver::{result, sys};

use super::error::Error;

type Result<T> = std::result::Result<T, Error>;

/// A point in the work of a stream, once recorded.
pub(super) struct Event(sys::CUevent);

#[allow(unsafe_code, reason = "the driver takes events by their handles")]
impl Event {
    pub(super) fn new() -> Result<Self> {
        result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
            .map(Self)
            .map_err(Error::driver("make an event"))
    }

    /// Records the work queued on the stream so far.
    pub(super) fn record(&self, stream: sys::CUstream) -> Result<()> {
        // SAFETY: both exist; the event until this is dropped, streams as long as the process.
        unsafe { result::event::record(self.0, stream) }.map_err(Error::driver("record an event"))
    }

    /// Makes work queued on the stream from now on wait for the event.
    pub(super) fn hold_back(&self, stream: sys::CUstream) -> Result<()> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: as above.
        unsafe { result::stream::wait_event(stream, self.0, flags) }
            .map_err(Error::driver("wait for an event"))
    }

    /// Makes the host wait for the event, in order to do something.
    pub(super) fn wait(&self, to: &str) -> Result<()> {
        // SAFETY: as above.
        unsafe { sys::cuEventSynchronize(self.0) }.result().map_err(Error::driver(to))
    }
}

#[allow(unsafe_code, reason = "the driver takes events by their handles")]
impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle; the driver keeps what streams still wait for.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
