//! What a batching strategy will do to a data set, from sizes alone.
//!
//! A forecast opens the very stream that a run would open, with the same seed, and lets it plan; no
//! feature is loaded and no batch is collated. So its figures are not estimates: the first N steps
//! of a run show the same shapes and the same fill.
//!
//! * [`forecast()`], [`forecast_all`]: strategies to figures;
//! * [`census`]: the distinct padded shapes, counted or extrapolated;
//! * [`distribution`]: how sizes and targets of a data set are distributed;
//! * [`shuffle`]: how random the batches still are;
//! * [`picture`]: figures to SVG.
//!
//! This crate knows the contract of `batchlab-core` and no plugin by name. Every figure is defined
//! by a formula in `docs/forecast.md`.

pub mod census;
pub mod distribution;
mod forecast;
mod passes;
pub mod picture;
pub mod shuffle;
mod totals;

pub use forecast::{Forecast, ForecastError, Options, forecast, forecast_all};
pub use shuffle::Shuffle;
pub use totals::Totals;
