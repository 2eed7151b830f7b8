//! The distinct padded shapes of a forecast run.
//!
//! Their number is the number of compilations of an engine that compiles per shape, which arXiv
//! 2502.00944 counts.

use std::collections::HashMap;

use batchlab_core::Shape;
use serde::Serialize;

/// Number of occurrences of each padded shape.
#[derive(Debug, Clone, Default)]
pub struct Census {
    count: HashMap<Shape, u64>,
    first_steps: Vec<u64>,
    n_step: u64,
}

impl Census {
    pub fn add(&mut self, shape: Shape) {
        self.n_step += 1;
        let count = self.count.entry(shape).or_default();
        *count += 1;
        if *count == 1 {
            self.first_steps.push(self.n_step);
        }
    }

    #[must_use]
    pub fn n_step(&self) -> u64 {
        self.n_step
    }

    #[must_use]
    pub fn n_shape(&self) -> u64 {
        self.count.len() as u64
    }

    /// Every shape with its number of occurrences, most frequent first; ties by size, smallest
    /// first.
    #[must_use]
    pub fn by_frequency(&self) -> Vec<(Shape, u64)> {
        let mut all: Vec<(Shape, u64)> =
            self.count.iter().map(|(&shape, &count)| (shape, count)).collect();
        all.sort_unstable_by_key(|&(shape, count)| (std::cmp::Reverse(count), shape));
        all
    }

    /// The number of distinct shapes as a function of the number of steps.
    #[must_use]
    pub fn curve(&self) -> ShapeCurve {
        let seen = |times: u64| self.count.values().filter(|&&count| count == times).count() as u64;
        ShapeCurve {
            first_steps: self.first_steps.clone(),
            n_step: self.n_step,
            n_once: seen(1),
            n_twice: seen(2),
        }
    }
}

/// When new shapes appeared in the observed steps, with statistics for extrapolation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapeCurve {
    /// Steps, from 1, at which a shape occurred for the first time; ascending.
    pub first_steps: Vec<u64>,
    /// Number of observed steps.
    pub n_step: u64,
    /// Number of shapes that occurred exactly once, and exactly twice.
    pub n_once: u64,
    pub n_twice: u64,
}

impl ShapeCurve {
    /// Distinct shapes after `n_step` batches: counted if that many were observed, otherwise
    /// extrapolated.
    #[must_use]
    pub fn after(&self, n_step: u64) -> ShapesAfter {
        if n_step <= self.n_step {
            let n_shape = self.first_steps.partition_point(|&first| first <= n_step) as f64;
            return ShapesAfter { n_shape, method: Method::Enumerated };
        }
        let (distinct, n) = (self.first_steps.len() as f64, self.n_step as f64);
        let (once, twice) = (self.n_once as f64, self.n_twice as f64);
        let n_shape = extrapolated(distinct, n, once, twice, (n_step - self.n_step) as f64);
        ShapesAfter { n_shape, method: Method::Extrapolated }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShapesAfter {
    pub n_shape: f64,
    pub method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Enumerated,
    /// Fewer steps were planned; the number is an estimate.
    Extrapolated,
}

/// Expected number of distinct shapes after `more` further batches, given that `n` batches had
/// `distinct` shapes, of which `once` occurred once and `twice` occurred twice.
///
/// Colwell et al. 2012 (J. Plant Ecol. 5, 3), eq. 9, with the number of unseen shapes from Chao
/// 1984 (Chao1, in its form for finite samples). Intended for `more` up to about `2 n`, and for
/// independent batches.
#[must_use]
pub fn extrapolated(distinct: f64, n: f64, once: f64, twice: f64, more: f64) -> f64 {
    if n == 0.0 || once == 0.0 {
        return distinct;
    }
    let finite = (n - 1.0) / n;
    let unseen = if twice > 0.0 {
        finite * once * once / (2.0 * twice)
    } else {
        finite * once * (once - 1.0) / 2.0
    };
    if unseen == 0.0 {
        return distinct;
    }
    distinct + unseen * (1.0 - (1.0 - once / (n * unseen + once)).powf(more))
}

#[cfg(test)]
mod tests {
    use batchlab_core::random::{below, stream};

    use super::*;

    fn shape(n_node: u32) -> Shape {
        Shape { n_node, ..Shape::default() }
    }

    #[test]
    fn shapes_are_counted_and_ordered() {
        let mut census = Census::default();
        for n_node in [64, 128, 64, 192, 128, 64] {
            census.add(shape(n_node));
        }
        assert_eq!(census.by_frequency(), [(shape(64), 3), (shape(128), 2), (shape(192), 1)]);
        let after = census.curve().after(6);
        assert_eq!(after, ShapesAfter { n_shape: 3.0, method: Method::Enumerated });
        assert_eq!(census.curve().first_steps, [1, 2, 4]);
        let after = [1, 3, 4].map(|n| format!("{}", census.curve().after(n).n_shape));
        assert_eq!(after, ["1", "2", "3"]);
    }

    /// n = 10, S = 4, f1 = 2, f2 = 1: f0 = 0.9 * 4 / 2 = 1.8, and after 5 more
    /// 4 + 1.8 (1 - (1 - 2 / 20)^5) = 4 + 1.8 * 0.40951.
    #[test]
    fn the_estimator_as_computed_by_hand() {
        assert!((extrapolated(4.0, 10.0, 2.0, 1.0, 5.0) - 4.737_118).abs() < 1e-9);
        assert!((extrapolated(4.0, 10.0, 2.0, 1.0, 1e9) - 5.8).abs() < 1e-9);
        let saturated = extrapolated(4.0, 10.0, 0.0, 1.0, 1e9);
        assert!((saturated - 4.0).abs() < 1e-12, "without singletons nothing is unseen");
    }

    /// Shapes with geometrically decreasing probability: 2,000 draws predict the result of 4,000.
    #[test]
    fn the_estimator_predicts_a_known_distribution() {
        let mut rng = stream(1, "census", 0);
        let mut census = Census::default();
        let mut draw = |census: &mut Census| {
            // The number of heads before a tail, for a coin that shows heads with probability
            // 40/41.
            let heads = (0..5000).find(|_| below(&mut rng, 41) == 0).unwrap_or(0);
            census.add(shape(heads));
        };
        (0..2000).for_each(|_| draw(&mut census));
        let predicted = census.curve().after(4000);
        let before = census.n_shape() as f64;
        (0..2000).for_each(|_| draw(&mut census));
        let found = census.n_shape() as f64;
        assert_eq!(predicted.method, Method::Extrapolated);
        assert!(found > before + 10.0, "{before} and {found}");
        assert!((predicted.n_shape / found - 1.0).abs() < 0.1, "{} and {found}", predicted.n_shape);
    }
}
