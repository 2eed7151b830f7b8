//! From numbers to pixels.

/// A logarithmic axis.
pub(super) struct LogAxis {
    low: f64,
    high: f64,
    start: f64,
    length: f64,
}

impl LogAxis {
    /// An axis from `low` to `high` with a little room at both ends, over `length` pixels from
    /// `start`. Both ends must be above 0.
    pub(super) fn new(low: f64, high: f64, start: f64, length: f64) -> Self {
        Self { low: low / 1.08, high: high * 1.08, start, length }
    }

    /// Where a number lies, as a share of the axis.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value / self.low).ln() / (self.high / self.low).ln()).clamp(0.0, 1.0)
    }

    pub(super) fn pixel(&self, value: f64) -> f64 {
        self.start + self.length * self.share(value)
    }

    /// Numbers 1, 2 and 5 times a power of ten, as many as fit with `distance` pixels between them.
    pub(super) fn ticks(&self, distance: f64) -> Vec<f64> {
        for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0][..], &[1.0][..]] {
            let ticks = self.multiples(steps);
            let apart = |pair: &[f64]| self.pixel(pair[1]) - self.pixel(pair[0]) >= distance;
            if ticks.len() >= 2 && ticks.windows(2).all(apart) {
                return ticks;
            }
        }
        // A narrow range holds no round number twice, a wide one too many.
        let middle = (self.low * self.high).sqrt();
        let ends = [self.low * 1.08, self.high / 1.08];
        if ends[0] < ends[1] && self.length * 0.8 > distance { ends.to_vec() } else { vec![middle] }
    }

    fn multiples(&self, steps: &[f64]) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut power = 10_f64.powf(self.low.log10().floor());
        while power <= self.high {
            let inside = |tick: &f64| (self.low..=self.high).contains(tick);
            ticks.extend(steps.iter().map(|step| step * power).filter(inside));
            power *= 10.0;
        }
        ticks
    }
}

/// A number for a tick: 500, 2k, 50k, 1.2M.
pub(super) fn tick_text(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    if value < 10.0 && (value - value.round()).abs() > 0.05 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_apart() {
        let axis = LogAxis::new(600.0, 26_000.0, 0.0, 240.0);
        let ticks = axis.ticks(30.0);
        assert_eq!(ticks, [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0]);
        assert!(axis.ticks(60.0).len() < ticks.len());
        assert!(!LogAxis::new(5.0, 5.0, 0.0, 240.0).ticks(30.0).is_empty());
    }

    #[test]
    fn numbers_are_short() {
        let texts = [500.0, 2000.0, 1200.0, 50_000.0, 1_200_000.0].map(tick_text);
        assert_eq!(texts, ["500", "2k", "1.2k", "50k", "1.2M"]);
    }

    #[test]
    fn ends_lie_inside() {
        let axis = LogAxis::new(10.0, 1000.0, 100.0, 200.0);
        assert!(axis.pixel(10.0) > 100.0 && axis.pixel(1000.0) < 300.0);
        assert!((axis.pixel(100.0) - 200.0).abs() < 1e-9, "the geometric middle");
    }
}
