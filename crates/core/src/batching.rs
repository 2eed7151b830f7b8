//! Building blocks shared by batchers: forming, padding, ordering and naming batches.

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
