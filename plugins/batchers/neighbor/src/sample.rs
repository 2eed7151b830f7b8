//! Sampling without replacement.

use batchlab_core::random::below;
use rand_chacha::rand_core::Rng;

/// Writes `k` of the numbers `0..n` to `drawn`, ascending, with equal probability for every subset;
/// all of them if there are no more than `k`.
///
/// Floyd's algorithm (Bentley and Floyd 1987), which draws `k` random numbers for any `n`.
pub(crate) fn sample_sorted(rng: &mut impl Rng, n: u32, k: u32, drawn: &mut Vec<u32>) {
    drawn.clear();
    if n <= k {
        drawn.extend(0..n);
        return;
    }
    for last in n - k..n {
        let number = below(rng, u64::from(last) + 1) as u32;
        match drawn.binary_search(&number) {
            Err(place) => drawn.insert(place, number),
            // Already taken. `last` cannot have been drawn before, and it is larger than all
            // earlier candidates.
            Ok(_) => drawn.push(last),
        }
    }
}

/// Writes to `drawn`, ascending, the indices of the `k` nodes whose random numbers under `key` are
/// the smallest; all of them if there are no more than `k`.
pub(crate) fn take_smallest(key: u64, nodes: &[u32], k: u32, drawn: &mut Vec<u32>) {
    drawn.clear();
    drawn.extend(0..nodes.len() as u32);
    let k = k as usize;
    if k < nodes.len() {
        drawn.select_nth_unstable_by_key(k, |&place| {
            let node = nodes[place as usize];
            (keyed(key, node), node)
        });
        drawn.truncate(k);
        drawn.sort_unstable();
    }
}

/// The random number of a node: the output function of `SplitMix64` (Steele, Lea and Flood 2014).
fn keyed(key: u64, node: u32) -> u64 {
    let mut mixed = key.wrapping_add((u64::from(node) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use batchlab_core::random::stream;

    use super::*;

    #[test]
    fn every_subset_is_equally_likely() {
        let mut rng = stream(3, "test", 0);
        let mut drawn = Vec::new();
        let mut count: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        for _ in 0..35_000 {
            sample_sorted(&mut rng, 7, 3, &mut drawn);
            *count.entry(drawn.clone()).or_default() += 1;
        }
        assert_eq!(count.len(), 35, "7 choose 3");
        assert!(count.keys().all(|subset| subset.is_sorted_by(|a, b| a < b)));
        // Five standard deviations of a binomial distribution with p = 1/35.
        assert!(count.values().all(|&n| n.abs_diff(1000) < 156), "{count:?}");
    }

    #[test]
    fn smallest_numbers_make_every_subset_equally_likely() {
        let (mut drawn, mut count) = (Vec::new(), BTreeMap::<Vec<u32>, u32>::new());
        let nodes = [3, 4, 8, 15, 16, 23, 42];
        let mut rng = stream(3, "test", 0);
        for _ in 0..35_000 {
            take_smallest(rng.next_u64(), &nodes, 3, &mut drawn);
            *count.entry(drawn.clone()).or_default() += 1;
        }
        assert_eq!(count.len(), 35, "7 choose 3");
        assert!(count.values().all(|&n| n.abs_diff(1000) < 156), "{count:?}");
    }

    #[test]
    fn few_are_all_taken() {
        let mut rng = stream(3, "test", 0);
        let mut drawn = vec![9];
        for (n, k) in [(0, 3), (2, 3), (3, 3)] {
            sample_sorted(&mut rng, n, k, &mut drawn);
            assert!(drawn.iter().copied().eq(0..n), "{k} of {n}");
        }
    }
}
