//! The order of batches of fixed composition: random, or such that consecutive batches differ.
//!
//! After Gasteiger, Qian and Günnemann (arXiv 2212.09083): batches of similar nodes have similar
//! labels, and a sequence of similar batches biases the parameters. The difference between two
//! batches is the distance between the histograms of their outputs' classes (or of their graphs'
//! sizes).

mod distances;
mod histograms;
mod tour;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BatcherError, random};

pub use distances::Distances;
pub(crate) use histograms::{of_classes, of_sizes};

/// The order in which batches of fixed composition are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BatchOrder {
    /// A new random order in every epoch.
    #[default]
    Random,
    /// The next batch is drawn from the remaining batches of the epoch, with probability
    /// proportional to its distance from the last one.
    Sample,
    /// The same order in every epoch: the longest round trip through all batches found by simulated
    /// annealing.
    Tour,
}

/// Distance between the histograms p and q of two batches; 1 is added to each count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderDistance {
    /// The symmetrised Kullback-Leibler divergence: the sum of (p - q) ln(p / q).
    #[default]
    Kl,
    /// The sum of |p - q|.
    L1,
}

/// Order options shared by batchers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderOptions {
    /// The order.
    pub order: BatchOrder,
    /// The distance, if the order uses one.
    pub distance: Option<OrderDistance>,
}

impl BatchOrder {
    /// Whether this is the default, which recorded configurations omit.
    #[must_use]
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub fn is_random(&self) -> bool {
        *self == Self::Random
    }
}

impl OrderOptions {
    /// Rejects options without effect.
    ///
    /// # Errors
    /// An order for batches that are recomposed every epoch; a distance for a random order.
    pub fn check(self, batches_are_kept: bool) -> Result<(), BatcherError> {
        let name = match self.order {
            BatchOrder::Random if self.distance.is_some() => {
                return Err(BatcherError::Options(
                    "order_distance is given, but order is \"random\"; drop it, or use order = \
                     \"sample\" or \"tour\""
                        .into(),
                ));
            }
            BatchOrder::Random => return Ok(()),
            BatchOrder::Sample => "sample",
            BatchOrder::Tour => "tour",
        };
        if batches_are_kept {
            return Ok(());
        }
        Err(BatcherError::Options(format!(
            "order = \"{name}\" needs batches that stay the same, but here they are composed anew in \
             every epoch; use composition = \"fixed\" or order = \"random\""
        )))
    }
}

/// A non-random order of given batches.
pub(crate) struct DistanceOrder {
    seed: u64,
    distances: Distances,
    /// Empty for [`BatchOrder::Sample`].
    tour: Vec<u32>,
}

impl DistanceOrder {
    /// `None` for the random order. `histogram` is only called for the other orders and returns the
    /// counts of each batch's content.
    pub(crate) fn open(
        options: OrderOptions,
        seed: u64,
        histogram: impl FnOnce() -> Result<Vec<Vec<u32>>, BatcherError>,
    ) -> Result<Option<Self>, BatcherError> {
        if options.order == BatchOrder::Random {
            return Ok(None);
        }
        let distances = Distances::new(&histogram()?, options.distance.unwrap_or_default());
        let tour = match options.order {
            BatchOrder::Tour => distances.longest_tour(seed),
            _ => Vec::new(),
        };
        Ok(Some(Self { seed, distances, tour }))
    }

    /// The order of one epoch; `last` is the last batch of the previous epoch.
    pub(crate) fn order(&self, epoch: u64, last: Option<u32>) -> Vec<u32> {
        if !self.tour.is_empty() {
            return self.tour.clone();
        }
        let mut rng = random::stream(self.seed, "sampled batch order", epoch);
        let mut left: Vec<u32> = (0..self.distances.n_batch() as u32).collect();
        let mut order = Vec::with_capacity(left.len());
        // As in the authors' code, the first epoch follows batch 0.
        let mut last = last.unwrap_or(0);
        while !left.is_empty() {
            let place = self.distances.draw(last, &left, &mut rng);
            last = left.remove(place);
            order.push(last);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of the first two batches of an epoch, for each possible last batch of the previous
    /// epoch.
    #[test]
    fn sampled_orders_go_on_as_often_with_a_batch_as_its_distance_says() {
        let histograms = vec![vec![9, 0, 0], vec![6, 3, 0], vec![0, 9, 0], vec![0, 3, 6]];
        let options = OrderOptions { order: BatchOrder::Sample, distance: None };
        let order = DistanceOrder::open(options, 7, || Ok(histograms)).unwrap().unwrap();
        let (all, n_epoch) = ([0_u32, 1, 2, 3], 20_000);
        for last in all {
            let mut count = [[0.0_f64; 4]; 4];
            for epoch in 0..n_epoch {
                let drawn = order.order(epoch, Some(last));
                count[drawn[0] as usize][drawn[1] as usize] += 1.0;
            }
            let next = order.distances.probabilities(last, &all);
            for (first, of_first) in all.into_iter().zip(next) {
                let left: Vec<u32> = all.into_iter().filter(|&batch| batch != first).collect();
                let after = order.distances.probabilities(first, &left);
                for (second, of_second) in left.into_iter().zip(after) {
                    let count = count[first as usize][second as usize];
                    let (n, p) = (n_epoch as f64, of_first * of_second);
                    // Five standard deviations of a binomial distribution.
                    let most = 5.0 * (n * p * (1.0 - p)).sqrt();
                    assert!(
                        (count - n * p).abs() <= most,
                        "{count} times {first}, {second} after {last} instead of {}",
                        n * p
                    );
                }
            }
        }
    }

    #[test]
    fn every_order_holds_each_batch_once() {
        let histograms: Vec<Vec<u32>> = (0..9).map(|batch| vec![batch, 9 - batch]).collect();
        for order in [BatchOrder::Sample, BatchOrder::Tour] {
            let options = OrderOptions { order, distance: Some(OrderDistance::L1) };
            let open = DistanceOrder::open(options, 1, || Ok(histograms.clone()));
            let order = open.unwrap().unwrap();
            for epoch in 0..5 {
                let mut batches = order.order(epoch, None);
                batches.sort_unstable();
                assert_eq!(batches, (0..9).collect::<Vec<u32>>());
            }
        }
    }
}
