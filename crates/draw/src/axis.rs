//! Maps numbers to pixels.

/// A linear or logarithmic axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    /// Pixel positions of the two ends.
    from: f64,
    to: f64,
}

impl Axis {
    /// From `low` at pixel `from` to `high` at pixel `to`.
    #[must_use]
    pub fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, is_log: false, from, to }
    }

    /// From 0 to a little above `high`.
    #[must_use]
    pub fn from_zero(high: f64, from: f64, to: f64) -> Self {
        let high = if high > 0.0 && high.is_finite() { high * 1.08 } else { 1.0 };
        Self::between(0.0, high, from, to)
    }

    /// Logarithmic, from a little below `low` to a little above `high`; both must be positive.
    #[must_use]
    pub fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        // Diverged values may be infinite.
        let (low, high) = ((low / 1.1).max(f64::MIN_POSITIVE), (high * 1.1).min(f64::MAX));
        Self { low, high, is_log: true, from, to }
    }

    /// For values that must all be distinguishable: logarithmic if the maximum is at least 1.5
    /// times the minimum, so that a large value does not hide the others; otherwise from 0.
    #[must_use]
    pub fn spread(low: f64, high: f64, from: f64, to: f64) -> Self {
        if low > 0.0 && high.is_finite() && high >= 1.5 * low {
            Self::log(low, high, from, to)
        } else {
            Self::from_zero(high, from, to)
        }
    }

    #[must_use]
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// The axis label: the unit, if any, and whether the scale is logarithmic.
    #[must_use]
    pub fn label(&self, unit: &str) -> String {
        match (unit, self.is_log) {
            (unit, false) => unit.to_owned(),
            ("", true) => "logarithmic axis".to_owned(),
            (unit, true) => format!("{unit}, logarithmic axis"),
        }
    }

    /// The position of a number, as a share of the axis.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            // Halved first, as the difference of very large numbers overflows.
            (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The pixel position of a number.
    #[must_use]
    pub fn pixel(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * self.share(value)
    }

    /// Round numbers, as many as fit about `distance` pixels apart.
    #[must_use]
    pub fn ticks(&self, distance: f64) -> Vec<f64> {
        let is_apart = |ticks: &Vec<f64>| {
            let gap = |pair: &[f64]| (self.pixel(pair[1]) - self.pixel(pair[0])).abs();
            ticks.len() >= 2 && ticks.windows(2).all(|pair| gap(pair) >= distance)
        };
        if self.is_log {
            let steps =
                [&[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0][..], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
            let powers = self.powers(&[1.0]);
            let few = (2..powers.len()).map(|n| powers.iter().copied().step_by(n).collect());
            let found = steps.map(|steps| self.powers(steps)).into_iter().chain(few).find(is_apart);
            if let Some(ticks) = found {
                return ticks;
            }
        }
        multiples(self.low, self.high, (self.to - self.from).abs() / distance)
    }

    /// Steps times powers of ten.
    fn powers(&self, steps: &[f64]) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let powers = (first..=last).flat_map(|power| {
            let unit = 10_f64.powi(power);
            steps.iter().map(move |step| step * unit)
        });
        powers.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, with at most `n` intervals.
fn multiples(low: f64, high: f64, n: f64) -> Vec<f64> {
    let least = high / n.max(1.0) - low / n.max(1.0);
    if least <= 0.0 || !least.is_finite() {
        return vec![low];
    }
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(steps[3]);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    // Give up if the steps are too small to be distinguishable at this magnitude.
    if last - first > 1 << 20 || first == i64::MAX || last == i64::MIN {
        return vec![low];
    }
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick label: `0.25`, `-40`, `2k`, `1.2M`, `2e-5`.
#[must_use]
pub fn tick_text(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if (1e3..1e6).contains(&v) => (value / 1e3, "k"),
        v if (1e6..1e9).contains(&v) => (value / 1e6, "M"),
        _ => (value, ""),
    };
    // Rounds away floating-point error (3 * 0.1 is not exactly 0.3); adding 0.0 turns -0 into 0.
    let value = format!("{value:.8e}").parse().unwrap_or(value) + 0.0;
    match value.abs() {
        v if v == 0.0 || (1e-4..1e9).contains(&v) => format!("{value}{unit}"),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_apart() {
        let ticks = |low, high, n| Axis::between(low, high, 0.0, 100.0 * n).ticks(100.0);
        assert_eq!(ticks(0.0, 35.9, 6.0), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(ticks(0.0, 14.2, 5.0), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(3.0, 30.0, 6.0), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ticks(-0.3, 0.3, 6.0).len(), 7, "both ends");
        assert_eq!(ticks(2.0, 2.0, 5.0).len(), 6, "a single number has room around it");
    }

    #[test]
    fn logarithmic_ticks_are_round_and_apart() {
        let axis = Axis::log(600.0, 26_000.0, 0.0, 240.0);
        let ticks = axis.ticks(30.0);
        assert_eq!(ticks, [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0]);
        assert!(axis.ticks(60.0).len() < ticks.len());
        assert_eq!(Axis::log(0.002, 3.0, 166.0, 0.0).ticks(28.0), [0.01, 0.1, 1.0]);
        assert_eq!(Axis::log(1e-6, 1e9, 166.0, 0.0).ticks(28.0).len(), 6, "every third power");
        for (low, high) in [(0.08, 0.6), (0.5, 0.6), (1.0, 1.0), (0.09, 0.24), (1e-6, 1e9)] {
            let n = Axis::log(low, high, 166.0, 0.0).ticks(28.0).len();
            assert!((2..=8).contains(&n), "{low} to {high}: {n}");
        }
    }

    #[test]
    fn numbers_are_short_and_told_apart() {
        let texts =
            [-0.0, 500.0, 2000.0, 1250.0, 50_000.0, 1_200_000.0, 3.0 * 0.1, -40.0].map(tick_text);
        assert_eq!(texts, ["0", "500", "2k", "1.25k", "50k", "1.2M", "0.3", "-40"]);
        assert_eq!([2e-5, 3e12, -76.404].map(tick_text), ["2e-5", "3e12", "-76.404"]);
    }

    #[test]
    fn any_numbers_have_an_axis_with_a_few_ticks() {
        let numbers =
            [0.0, -1.0, 1.0, f64::MIN_POSITIVE, 1e300, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN];
        for low in numbers {
            for high in numbers {
                let [line, log] =
                    [Axis::between, Axis::log].map(|axis| axis(low, high, 0.0, 240.0));
                for axis in [line, log, Axis::from_zero(high, 0.0, 240.0)] {
                    let n = axis.ticks(30.0).len();
                    assert!(n <= 12, "{n} ticks: {axis:?}");
                    assert!(
                        numbers.iter().all(|value| (0.0..=240.0).contains(&axis.pixel(*value))),
                        "{axis:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn ends_lie_inside_and_greater_numbers_are_nearer_to_the_second_end() {
        let axis = Axis::log(10.0, 1000.0, 100.0, 300.0);
        assert!(axis.pixel(10.0) > 100.0 && axis.pixel(1000.0) < 300.0);
        assert!((axis.pixel(100.0) - 200.0).abs() < 1e-9, "the geometric middle");
        let axis = Axis::from_zero(100.0, 200.0, 0.0);
        assert!(axis.pixel(0.0) > axis.pixel(50.0));
        assert!((axis.pixel(1e9) - 0.0).abs() < 1e-9, "what lies outside is at the end");
    }
}
