//! Communication between ranks.

use std::fmt;
use std::time::Duration;

/// The connection between the ranks of a training.
///
/// Every rank makes the same calls in the same order. Sums are computed in a fixed order, so that all
/// ranks get the same bits, and the same again when the run is repeated with as many ranks.
pub trait Communicator {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn n_rank(&self) -> usize;

    /// Waits until all ranks have called it.
    ///
    /// # Errors
    /// Ranks that did not call it within the connection's time limit.
    fn wait_for_all(&self) -> Result<(), LostRanks>;

    /// Replaces `values`, whose number is the same on all ranks, by their sums over the ranks.
    /// Called after [`Communicator::wait_for_all`], so it never waits for a rank.
    ///
    /// # Errors
    /// See [`Communicator::wait_for_all`].
    fn sum(&self, values: &mut [f64]) -> Result<(), LostRanks>;

    /// Ends the processes of all ranks.
    fn abort(&self, code: i32) -> !;

    /// The bytes of every rank, in rank order. Intended for small amounts of data.
    ///
    /// # Errors
    /// See [`Communicator::wait_for_all`].
    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, LostRanks> {
        self.wait_for_all()?;
        let mut lengths = vec![0.0; self.n_rank()];
        lengths[self.rank()] = own.len() as f64;
        self.sum(&mut lengths)?;
        #[allow(clippy::cast_sign_loss, reason = "they are lengths")]
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        // A sum with zeros everywhere else is a copy.
        let mut all = vec![0.0; lengths.iter().sum()];
        let begin: usize = lengths[..self.rank()].iter().sum();
        for (place, &byte) in all[begin..].iter_mut().zip(own) {
            *place = f64::from(byte);
        }
        self.wait_for_all()?;
        self.sum(&mut all)?;
        #[allow(clippy::cast_sign_loss, reason = "they are bytes")]
        let mut bytes = all.into_iter().map(|byte| byte as u8);
        Ok(lengths.into_iter().map(|length| bytes.by_ref().take(length).collect()).collect())
    }
}

impl fmt::Debug for dyn Communicator + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.n_rank())
    }
}

/// Ranks that did not respond in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} not answered for {} s; the others end{}", Named(names), waited.as_secs(), Self::REMEDY)]
pub struct LostRanks {
    /// Each with its process and host, such as `rank 1 (process 4711 on node7)`.
    pub names: Vec<String>,
    /// How long the others waited.
    pub waited: Duration,
}

impl LostRanks {
    const REMEDY: &'static str =
        ". If it was only slow, allow more with ranks.timeout (in seconds)";
}

struct Named<'a>(&'a [String]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("some rank has"),
            [one] => write!(f, "{one} has"),
            several => write!(f, "{} have", several.join(", ")),
        }
    }
}
