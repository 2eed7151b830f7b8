//! From intervals of all differences to statements about the best.

/// One strategy beside the best one, which it may be itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Mean of its logarithms.
    pub mean: f64,
    /// Simultaneous interval of the logarithm of its ratio to the best; it begins at 0 or above.
    pub log_low: f64,
    /// The end of that interval.
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

/// The statements that hold together if every difference of two means lies within its half width:
/// who may have the least mean, and how far each is above the least (after Edwards and Hsu,
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
