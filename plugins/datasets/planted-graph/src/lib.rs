//! A synthetic graph with planted communities and power-law degrees, by default of the size of
//! ogbn-arxiv: locality to exploit, without a download.
//!
//! `graph` draws communities, degrees and edges, `features` draws classes and features, and
//! `dataset` assembles the columnar storage. Every random number is keyed by the seed, its purpose
//! and its position, so the graph does not depend on the number of threads.

mod dataset;
mod features;
mod graph;

pub use dataset::PlantedGraph;

use batchlab_core::random::stream;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Number of nodes or edges per random stream.
const CHUNK: usize = 4096;

fn chunk_stream(seed: u64, purpose: &str, chunk: usize) -> ChaCha8Rng {
    stream(seed, purpose, chunk as u64)
}

/// A uniform number in [0, 1).
fn fraction(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
