//! Statistics of repeated measurements: centre, tests, intervals.
//!
//! Pure functions on slices of numbers. They know nothing of runs or batchers; the caller decides
//! what one number is. **For times of batching strategies one number is one block or one seed,
//! never one step**: steps follow one another on the same warm machine and are not independent, so
//! that a test on steps finds differences where there are none.
//!
//! ```
//! use batchlab_stats::interval_of_blocks;
//!
//! // Seconds of five blocks under two strategies, measured alternately.
//! let dynamic = [1.02, 1.05, 0.99, 1.01, 1.04];
//! let fixed = [1.31, 1.36, 1.29, 1.30, 1.37];
//!
//! let cell: Vec<(f64, f64)> = fixed.into_iter().zip(dynamic).collect();
//! let ratio = interval_of_blocks(&[cell], 0.95, 1)?;
//! assert!(ratio.interval.low > 1.2, "the second strategy takes at least a fifth longer");
//! # Ok::<(), batchlab_stats::StatsError>(())
//! ```

mod blocks;
mod bootstrap;
mod describe;
mod error;
mod holm;
mod t_test;

pub use blocks::{RatioOfBlocks, Replication, interval_of_blocks, ratio_of_blocks};
pub use bootstrap::{Interval, Pairing, ratio_of_medians};
pub use describe::{mean, median};
pub use error::StatsError;
pub use holm::holm;
pub use t_test::{Outcome, student_t_test};
