//! Graph sizes only, from a CSV file: enough to plan batches and to forecast padding, steps and
//! shapes, without any features.

mod dataset;
mod read;

pub use dataset::Sizes;
