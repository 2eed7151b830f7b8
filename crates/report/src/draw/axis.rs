//! From numbers to pixels.

use crate::number::short;

/// An axis, usually a vertical one: greater numbers are higher.
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    /// Pixels of the lower and the upper end.
    bottom: f64,
    top: f64,
}

impl Axis {
    /// From 0 to a little above `high`.
    pub(super) fn linear(high: f64, bottom: f64, top: f64) -> Self {
        let high = if high > 0.0 && high.is_finite() { high * 1.08 } else { 1.0 };
        Self { low: 0.0, high, is_log: false, bottom, top }
    }

    /// From `low` to `high`, which are at most and at least 0, from pixel to pixel.
    pub(super) fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, is_log: false, bottom: from, top: to }
    }

    /// From a little below `low` to a little above `high`, both above 0.
    pub(super) fn log(low: f64, high: f64, bottom: f64, top: f64) -> Self {
        Self { low: low / 1.1, high: high * 1.1, is_log: true, bottom, top }
    }

    /// The unit as it stands above the axis, which must say that equal distances are equal factors.
    pub(super) fn named(&self, unit: &str) -> String {
        if self.is_log { format!("{unit}, logarithmic axis") } else { unit.to_owned() }
    }

    pub(super) fn pixel(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.bottom + (self.top - self.bottom) * share.clamp(0.0, 1.0)
    }

    /// Round numbers, three to seven of them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            return multiples(self.low, self.high);
        }
        for steps in
            [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]]
        {
            let ticks = self.powers(steps);
            if ticks.len() >= 3 {
                return ticks;
            }
        }
        multiples(self.low, self.high)
    }

    fn powers(&self, steps: &[f64]) -> Vec<f64> {
        let mut ticks = Vec::new();
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        for power in first..=last {
            let tick = |step: &f64| step * 10_f64.powi(power);
            ticks.extend(steps.iter().map(tick).filter(|t| (self.low..=self.high).contains(t)));
        }
        ticks
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn multiples(low: f64, high: f64) -> Vec<f64> {
    let width = high - low;
    let power = 10_f64.powf((width / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|s| s * power).find(|s| width / s <= 6.0);
    let Some(step) = step.filter(|step| *step > 0.0) else { return Vec::new() };
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number beside a tick.
pub(super) fn tick_text(value: f64) -> String {
    match value {
        v if v < 0.0 => format!("-{}", tick_text(-v)),
        v if v >= 1e6 => format!("{}M", short(v / 1e6)),
        v if v >= 1e4 => format!("{}k", short(v / 1e3)),
        v => short(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::linear(33.2, 0.0, 1.0).ticks(), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(Axis::linear(0.9, 0.0, 1.0).ticks().len(), 5);
        assert_eq!(Axis::log(0.002, 3.0, 0.0, 1.0).ticks(), [0.01, 0.1, 1.0]);
        for (low, high) in [(0.08, 0.6), (0.5, 0.6), (1.0, 1.0), (0.09, 0.24)] {
            let n = Axis::log(low, high, 0.0, 1.0).ticks().len();
            assert!((2..=8).contains(&n), "{low} to {high}: {n}");
        }
    }

    #[test]
    fn logarithmic_axes_are_named() {
        assert_eq!(Axis::log(1.0, 100.0, 200.0, 0.0).named("ms"), "ms, logarithmic axis");
        assert_eq!(Axis::linear(100.0, 200.0, 0.0).named("ms"), "ms");
    }

    #[test]
    fn greater_numbers_are_higher() {
        let axis = Axis::log(1.0, 100.0, 200.0, 0.0);
        assert!((axis.pixel(10.0) - 100.0).abs() < 1e-9);
        let axis = Axis::linear(100.0, 200.0, 0.0);
        assert!(axis.pixel(0.0) > axis.pixel(50.0));
    }
}
