//! What batchers share: how batches are formed, padded, ordered and named.

pub mod batch_order;
pub mod budget;
pub mod grouping;
pub(crate) mod label;
mod limits;
pub mod next_fit;
pub mod node_groups;
mod options;
pub mod oversize;
pub mod padding;
mod shape_set;
pub mod weighting;
