//! Dropout masks, a pure function of key, row and column. They do not depend on threads, device,
//! padding, or previous computations.

/// Dropout (Srivastava et al., JMLR 15, 2014) of one matrix of one forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    pub(crate) key: [u32; 2],
    /// A number is kept if its random bits do not exceed this.
    pub(crate) keep_below: u32,
    /// Factor for kept numbers that preserves their mean.
    pub(crate) factor: f32,
}

impl Dropout {
    /// Drops each number with probability `rate`. `key` selects the random stream of a forward
    /// pass, `place` that of one matrix within it.
    pub(crate) fn new(rate: f32, key: u64, place: u32) -> Self {
        let keep = 1.0 - f64::from(rate);
        let low = mix(key as u32 ^ place.wrapping_mul(0x9E37_79B9));
        let high = mix((key >> 32) as u32 ^ low);
        #[allow(clippy::cast_sign_loss, reason = "a rate is between 0 and 1")]
        let keep_below = (keep * f64::from(u32::MAX)) as u32;
        Self { key: [low, high], keep_below, factor: (1.0 / keep) as f32 }
    }

    /// The state shared by all columns of a row.
    pub(crate) fn of_row(self, row: u32) -> [u32; 2] {
        let low = mix(row ^ self.key[0]);
        [low, mix(low ^ self.key[1])]
    }

    /// 32 random bits, given [`Dropout::of_row`].
    #[allow(clippy::inline_always, reason = "it takes on the processor features of the loop")]
    #[inline(always)]
    pub(crate) fn bits(row: [u32; 2], column: u32) -> u32 {
        mix(column.wrapping_mul(0x9E37_79B9) ^ row[0]) ^ row[1]
    }
}

/// A permutation of 32 bits in which each bit depends on all (Wellons, "prospecting for hash
/// functions", 2018, `lowbias32`).
#[allow(clippy::inline_always, reason = "it takes on the processor features of the loop")]
#[inline(always)]
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(dropout: Dropout, row: u32) -> Vec<bool> {
        let own = dropout.of_row(row);
        (0..256).map(|column| Dropout::bits(own, column) <= dropout.keep_below).collect()
    }

    #[test]
    fn as_many_are_kept_as_the_rate_says_in_all_rows_columns_and_keys() {
        for rate in [0.1, 0.5, 0.9] {
            let mut of_column = [0; 256];
            for row in 0..4000 {
                let kept = kept(Dropout::new(rate, u64::from(row) << 20, 3), row);
                kept.iter().zip(&mut of_column).for_each(|(&k, n)| *n += i32::from(k));
            }
            let (mean, n) = (4000.0 * (1.0 - f64::from(rate)), 4000.0 * f64::from(rate));
            let deviation = (n * (1.0 - f64::from(rate))).sqrt();
            for (column, &count) in of_column.iter().enumerate() {
                let off = (f64::from(count) - mean) / deviation;
                assert!(off.abs() < 5.0, "{count} in column {column}, at rate {rate}");
            }
            let total = f64::from(of_column.iter().sum::<i32>());
            let off = (total - 256.0 * mean) / (16.0 * deviation);
            assert!(off.abs() < 4.0, "{total} of {}", 256.0 * mean);
        }
    }

    /// Two rows, columns or keys agree as often as two coins.
    #[test]
    fn rows_and_keys_do_not_resemble_each_other() {
        let one = Dropout::new(0.5, 7, 0);
        let all: Vec<Vec<bool>> = (0..1000).map(|row| kept(one, row)).collect();
        let others =
            [Dropout::new(0.5, 8, 0), Dropout::new(0.5, 7, 1), Dropout::new(0.5, 7 << 32, 0)];
        let same = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64;
        for (row, first) in all.iter().enumerate() {
            let mut companions = vec![&all[(row + 1) % 1000], &all[(row + 256) % 1000]];
            let of_others: Vec<_> = others.iter().map(|o| kept(*o, row as u32)).collect();
            companions.extend(&of_others);
            for other in companions {
                // 128 of 256, standard deviation 8.
                assert!((same(first, other) - 128.0).abs() < 48.0, "row {row}");
            }
        }
    }
}
