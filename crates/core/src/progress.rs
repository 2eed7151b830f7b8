//! How long-running parts tell a person what they do.

/// Receives news from loading and preparation. The default implementation `()` ignores it.
///
/// Calls may come from any thread; they must return quickly.
pub trait Progress: Send + Sync {
    /// A piece of work begins; `total` is its number of steps where that is known.
    fn start(&self, _what: &str, _total: Option<u64>) {}
    /// `n` more steps of the current piece of work are done.
    fn advance(&self, _n: u64) {}
    /// The current piece of work has ended.
    fn finish(&self) {}
    /// A fact that a person should read, for example how many molecules were left out and why.
    fn note(&self, _text: &str) {}
}

impl Progress for () {}
