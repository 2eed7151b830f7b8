//! Statistics of repeated measurements: which strategies may be the best, and with what confidence.
//!
//! Pure functions on slices of numbers. They know nothing about runs or batchers; the caller
//! decides what a number stands for. **For times of batching strategies, a number is a mirrored
//! pair of blocks, a cell or a seed, never a step**: consecutive steps on the same warm machine are
//! not independent, so a test on steps finds differences where there are none.
//!
//! - [`compare_with_best`]: strategies measured side by side;
//! - [`compare_independent`]: strategies measured independently;
//! - [`disturbed`]: pairs to exclude, by a rule that is blind to strategies;
//! - [`rows_of_groups`]: what counts as a row; [`level_of_verdict`]: levels of successive verdicts;
//! - [`compare_with`]: all strategies against one named beforehand; [`difference`]: two samples;
//! - [`pairs_needed`], [`detectable`]: how many measurements it takes to see a difference;
//! - [`rank_sum`] and [`median_interval`]: rank-based, for times of which some are infinite (never
//!   reached);
//! - [`mean_interval`], [`pooled_intervals`]: means and their uncertainty;
//! - [`welch_t_test`] and [`holm`]: differences of errors.
//!
//! ```
//! use batchlab_stats::compare_with_best;
//!
//! // Logarithms of the seconds of two strategies in five pairs of blocks.
//! let pairs = [[1.02, 1.31], [1.05, 1.36], [0.99, 1.29], [1.01, 1.30], [1.04, 1.37]];
//! let pairs: Vec<Vec<f64>> = pairs.iter().map(|pair| pair.map(f64::ln).to_vec()).collect();
//!
//! let best = compare_with_best(&pairs, 0.05)?;
//! assert!(best.strategies[0].may_be_best && !best.strategies[1].may_be_best);
//! assert!(best.strategies[1].low() > 1.2, "the second takes at least a fifth longer");
//! # Ok::<(), batchlab_stats::StatsError>(())
//! ```

mod all_pairs;
mod best;
mod describe;
mod disturbed;
mod error;
mod holm;
mod independent;
mod interval;
mod planning;
mod quantile;
mod rank_sum;
mod verdicts;
mod welch;

pub use all_pairs::Standing;
pub use best::{Best, FEW_PAIRS, compare_with, compare_with_best};
pub use describe::{mean, median};
pub use disturbed::{Unusual, disturbed, most_unusual};
pub use error::StatsError;
pub use holm::holm;
pub use independent::{compare_independent, difference};
pub use interval::{mean_interval, pooled_intervals};
pub use planning::{detectable, pairs_needed};
pub use rank_sum::{median_interval, rank_sum};
pub use verdicts::{GROUPS, level_of_verdict, rows_of_groups};
pub use welch::{Outcome, welch_t_test};
