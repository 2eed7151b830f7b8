//! Forecasts of a batching strategy on a data set, from graph sizes alone.
//!
//! A forecast opens the same stream as a run, with the same seed, but only plans: no features are
//! loaded and no batches are collated. Its numbers are therefore not estimates: the first N steps
//! of a run have the same shapes and the same fill.
//!
//! * [`forecast()`], [`forecast_all`]: the forecasts;
//! * [`break_even`]: when less padding has paid for more compilations;
//! * [`census`]: the distinct padded shapes, counted or extrapolated;
//! * [`distribution`]: distribution of the sizes and targets of a data set;
//! * [`ranks`]: how even the shares of several ranks are;
//! * [`shuffle`]: how random the batches are;
//! * [`picture`]: forecasts as SVG.
//!
//! This crate names no plugin. `docs/forecast.md` defines every number by a formula.

pub mod break_even;
pub mod census;
pub mod distribution;
mod forecast;
mod passes;
pub mod picture;
pub mod ranks;
pub mod shuffle;
mod totals;

pub use forecast::{Forecast, ForecastError, Options, forecast, forecast_all, shape_curve};
pub use shuffle::Shuffle;
pub use totals::Totals;
