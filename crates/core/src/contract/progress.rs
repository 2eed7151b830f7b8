//! Progress reports of long-running work.

/// Receives the progress of loading and preparation. The implementation for `()` ignores it.
///
/// Calls may come from any thread and must return quickly.
pub trait Progress: Send + Sync {
    /// A task begins; `total` is its number of steps, if known.
    fn start(&self, _what: &str, _total: Option<u64>) {}
    /// `n` more steps of the current task are done.
    fn advance(&self, _n: u64) {}
    /// The current task has ended.
    fn finish(&self) {}
    /// A message for the user, for example how many molecules were left out and why.
    fn note(&self, _text: &str) {}
    /// Something is damaged or lost. Shown even where notes are not.
    fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }
}

impl Progress for () {}
