//! A graph made with planted communities and power-law degrees, of the size of ogbn-arxiv by default:
//! locality that is there to be found, without a download.
//!
//! `graph` draws communities, degrees and edges, `features` what the nodes know of their classes, and
//! `dataset` puts the store together. Every random number is keyed by the seed, its purpose and the
//! place in which it is used, so the graph does not depend on the number of threads.

mod dataset;
mod features;
mod graph;

pub use dataset::PlantedGraph;

use batchlab_core::random::stream;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Nodes or edges whose random numbers come from one stream.
const CHUNK: usize = 4096;

fn chunk_stream(seed: u64, purpose: &str, chunk: usize) -> ChaCha8Rng {
    stream(seed, purpose, chunk as u64)
}

/// A number from 0 up to 1, which is left out.
fn fraction(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
