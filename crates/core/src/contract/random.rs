//! Random numbers as a pure function of (seed, purpose, epoch).
//!
//! Each use of randomness names its purpose and gets its own stream (`ChaCha8`, whose output is the
//! same on every machine). The order of epoch *e* can therefore be computed without the preceding
//! epochs, which makes resuming exact and cheap.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The stream for one seed, purpose and epoch.
///
/// ```
/// use batchlab_core::random::stream;
/// use rand_chacha::rand_core::Rng;
///
/// let first = stream(42, "order", 3).next_u64();
/// assert_eq!(first, stream(42, "order", 3).next_u64());
/// assert_ne!(first, stream(42, "order", 4).next_u64());
/// assert_ne!(first, stream(42, "split", 3).next_u64());
/// ```
#[must_use]
pub fn stream(seed: u64, purpose: &str, epoch: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(&purpose_key(purpose).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The first number of the stream, for generators that are seeded with a number.
///
/// ```
/// assert_ne!(
///     batchlab_core::random::key(42, "dropout", 3),
///     batchlab_core::random::key(42, "dropout", 4),
/// );
/// ```
#[must_use]
pub fn key(seed: u64, purpose: &str, epoch: u64) -> u64 {
    stream(seed, purpose, epoch).next_u64()
}

/// A random permutation of `0..n`.
///
/// ```
/// let mut order = batchlab_core::random::permutation(42, "order", 0, 5);
/// order.sort_unstable();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
#[must_use]
pub fn permutation(seed: u64, purpose: &str, epoch: u64, n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    shuffle(&mut stream(seed, purpose, epoch), &mut order);
    order
}

/// Fisher-Yates, implemented here because the order of a published run must not change with a
/// library version.
pub fn shuffle<T>(rng: &mut impl Rng, values: &mut [T]) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

/// A uniform number in `0..n`, without bias (Lemire 2019, arXiv 1805.10941).
///
/// # Panics
/// If `n` is 0.
pub fn below(rng: &mut impl Rng, n: u64) -> u64 {
    assert!(n > 0, "a number below 0 does not exist");
    let threshold = n.wrapping_neg() % n;
    loop {
        let wide = u128::from(rng.next_u64()) * u128::from(n);
        if wide as u64 >= threshold {
            return (wide >> 64) as u64;
        }
    }
}

/// A uniform number in [0, 1) with 53 random bits.
pub fn fraction(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// 128-bit FNV-1a of the purpose, which maps names of any length to keys that do not collide in
/// practice.
fn purpose_key(purpose: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    purpose.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_equally_likely() {
        let mut rng = stream(7, "test", 0);
        let mut count = [0_u32; 6];
        for _ in 0..60_000 {
            count[below(&mut rng, 6) as usize] += 1;
        }
        // Five standard deviations of a binomial with p = 1/6.
        assert!(count.iter().all(|&c| c.abs_diff(10_000) < 460), "{count:?}");
    }

    #[test]
    fn the_order_of_a_published_run_is_frozen() {
        assert_eq!(permutation(42, "order", 0, 8), FROZEN);
    }
    const FROZEN: [u32; 8] = [1, 6, 2, 4, 0, 3, 7, 5];
}
