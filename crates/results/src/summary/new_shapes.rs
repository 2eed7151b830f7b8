//! First uses of padded shapes, and their cost.

use std::collections::HashMap;

use batchlab_core::record::StepRecord;
use serde::Serialize;

/// First uses of padded shapes in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NewShapes {
    /// Requested steps with a new shape, in ascending order.
    pub first_steps: Vec<u64>,
    /// Number of shapes that occurred once, and twice, in these steps.
    pub n_once: u64,
    pub n_twice: u64,
    /// Number of steps with a new shape, including warm-up and steps for timing only.
    pub n: u64,
    /// Excess time of such a step over a mean step with a known shape, in nanoseconds: the mean,
    /// and the sum of squared deviations from it. 0 if there is no step to compare with.
    pub excess_ns: f64,
    pub squares: f64,
}

/// Tracks the shapes of a run's steps.
#[derive(Debug, Clone, Default)]
pub(super) struct ShapeLog {
    count: HashMap<i64, u64>,
    first_steps: Vec<u64>,
    new: Moments,
    known: Moments,
}

impl ShapeLog {
    pub(super) fn add(&mut self, step: &StepRecord) {
        if step.is_timing_only != Some(true) {
            *self.count.entry(step.shape_id).or_default() += 1;
            if step.is_new_shape {
                self.first_steps.push(u64::try_from(step.step).unwrap_or_default());
            }
        }
        if step.is_new_shape {
            self.new.add(step.step_ns as f64);
        } else if !step.is_warmup {
            self.known.add(step.step_ns as f64);
        }
    }

    pub(super) fn reduce(&self) -> NewShapes {
        let seen = |times: u64| self.count.values().filter(|&&count| count == times).count() as u64;
        let is_comparable = self.known.n > 0;
        NewShapes {
            first_steps: self.first_steps.clone(),
            n_once: seen(1),
            n_twice: seen(2),
            n: self.new.n,
            excess_ns: if is_comparable { self.new.mean - self.known.mean } else { 0.0 },
            squares: if is_comparable { self.new.squares } else { 0.0 },
        }
    }
}

/// Running mean and sum of squared deviations (Welford, Technometrics 4, 419 (1962)).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
    }
}
