//! Graph sizes alone, from a CSV file: enough to plan batches and to forecast waste, steps and
//! shapes, without a single feature.

mod dataset;
mod read;

pub use dataset::Sizes;
