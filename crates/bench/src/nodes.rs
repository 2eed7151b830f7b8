//! Training on the nodes of one graph, on request, so that `peers/compare_nodes.py` can interleave the
//! same work of `PyTorch` Geometric.
//!
//! A [`Case`](case::Case) is a model with a batcher on the graph, trained epoch by epoch as a run does.

pub mod case;
pub mod influence;
pub mod serve;

use batcher_cluster as _;
use batcher_full as _;
use batcher_ibmb as _;
use batcher_neighbor as _;
use dataset_planted_graph as _;
use model_gcn as _;
