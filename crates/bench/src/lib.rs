//! Benchmarks of batchlab. The binary `batchlab-bench` measures how long it takes to plan and
//! collate a batch; `peers/compare.py` measures the same work in jraph, `PyTorch` Geometric and `NumPy`,
//! interleaved with it, and compares the batches element by element.
//!
//! It also times the training step of any model, for `peers/compare_training.py`, which measures the
//! same step in JAX and `PyTorch` ([`training`]).
//!
//! It also connects crystals, for `peers/neighbors.py`, which has ASE and matscipy do the same
//! ([`neighbors`]).
//!
//! It also trains on the nodes of one graph, for `peers/compare_nodes.py` ([`nodes`]).
//!
//! It uses only the public contract: what is fast here is fast in a run.

pub mod batching;
pub mod data;
pub mod export;
pub mod neighbors;
pub mod nodes;
pub mod serve;
pub mod source;
pub mod summary;
pub mod training;
