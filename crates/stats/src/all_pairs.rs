//! Derives statements about the best from intervals of all pairwise differences.

/// A strategy compared with the best one, which may be the strategy itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Mean of the logarithms.
    pub mean: f64,
    /// Lower end of the simultaneous interval of its log ratio to the best; at least 0.
    pub log_low: f64,
    /// Upper end of that interval.
    pub log_high: f64,
    /// Whether no other strategy is known to be better.
    pub may_be_best: bool,
}

impl Standing {
    /// The lower end of the interval as a ratio.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.log_low.exp()
    }

    /// The upper end of the interval as a ratio.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.log_high.exp()
    }
}

/// Simultaneous statements that hold if every difference of two means is within its half width:
/// which may have the smallest mean, and how far each is above the smallest (after Edwards and Hsu,
/// J. Am. Stat. Assoc. 78, 965 (1983)).
pub(crate) fn standings(means: &[f64], half_width: impl Fn(usize, usize) -> f64) -> Vec<Standing> {
    let k = means.len();
    let others = |i: usize| (0..k).filter(move |&j| j != i);
    let may_be_best = |i: usize| others(i).all(|j| means[i] - means[j] <= half_width(i, j));
    let set: Vec<bool> = (0..k).map(may_be_best).collect();
    let standing = |i: usize| {
        let low = others(i).map(|j| means[i] - means[j] - half_width(i, j));
        let high = others(i).filter(|&j| set[j]).map(|j| means[i] - means[j] + half_width(i, j));
        Standing {
            mean: means[i],
            log_low: low.fold(0.0, f64::max),
            log_high: high.fold(0.0, f64::max),
            may_be_best: set[i],
        }
    };
    (0..k).map(standing).collect()
}
