//! Classes of communities, and features that depend on them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rayon::prelude::*;

use batchlab_core::random::below;

use crate::dataset::PlantedGraph;
use crate::{CHUNK, chunk_stream, fraction};

/// Class of each node: that of its community, except for a share of nodes with a random class.
pub(crate) fn classes(options: &PlantedGraph, community: &[u32]) -> Vec<u32> {
    let class = |chunk: usize, communities: &[u32]| -> Vec<u32> {
        let mut rng = chunk_stream(options.seed, "classes", chunk);
        let mut class = |community: &u32| {
            let is_random = fraction(&mut rng) < options.label_noise;
            let random = below(&mut rng, options.n_class.into()) as u32;
            if is_random { random } else { community % options.n_class }
        };
        communities.iter().map(&mut class).collect()
    };
    community
        .par_chunks(CHUNK)
        .enumerate()
        .flat_map_iter(|(chunk, communities)| class(chunk, communities))
        .collect()
}

/// Features of each node, `[n_node, n_feature]`: the centre of its community's class times
/// `signal`, plus noise with standard deviation 1.
pub(crate) fn features(options: &PlantedGraph, community: &[u32]) -> Vec<f32> {
    let (width, n_class) = (options.n_feature as usize, options.n_class as usize);
    let mut rng = chunk_stream(options.seed, "centres", 0);
    let centre: Vec<f32> = (0..n_class * width).map(|_| normal(&mut rng)).collect();
    let signal = options.signal as f32;
    let mut value = vec![0.0; community.len() * width];
    let chunks = value.par_chunks_mut(CHUNK * width).zip(community.par_chunks(CHUNK));
    chunks.enumerate().for_each(|(chunk, (value, communities))| {
        let mut rng = chunk_stream(options.seed, "features", chunk);
        for (row, &community) in value.chunks_exact_mut(width).zip(communities) {
            let class = community as usize % n_class;
            for (value, centre) in row.iter_mut().zip(&centre[class * width..]) {
                *value = signal * centre + normal(&mut rng);
            }
        }
    });
    value
}

/// The sum of four uniform numbers, with mean 0 and standard deviation 1: close to normal, and
/// bit-identical on every machine, unlike a logarithm.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u16).map(u32::from).sum();
    let centred = f64::from(sum) - 2.0 * 65_535.0;
    (centred / 65_536.0 * 3.0_f64.sqrt()) as f32
}
