//! The number of steps after which less padding has paid for more compilations, on an engine that
//! compiles once per padded shape.

use serde::Serialize;

use crate::Forecast;

/// Assumptions about an engine, as nothing is trained here.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Engine {
    /// Seconds to compile a step for one padded shape.
    pub compile_cost: f64,
    /// Seconds of a step without padding; a padded step takes longer in proportion to its edges.
    pub step_time: f64,
}

/// The cost of shapes and padding for a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BreakEven {
    /// Total seconds of compilation.
    pub compile_s: f64,
    /// Seconds that padding adds to a step.
    pub padding_s_per_step: f64,
    /// Steps after which it has caught up with the strategy that has the fewest shapes at its batch
    /// size; 0 for that one, `None` if it never does.
    pub steps: Option<f64>,
}

/// The costs of each forecast; `None` without edges.
#[must_use]
pub fn break_even(forecasts: &[&Forecast], engine: Engine) -> Vec<Option<BreakEven>> {
    let cost = |forecast: &Forecast| {
        let padding = forecast.padding_edges_per_real_edge?;
        Some((engine.compile_cost * forecast.shapes.n_shape, engine.step_time * padding))
    };
    let of = |forecast: &&Forecast| {
        let (compile_s, padding_s_per_step) = cost(forecast)?;
        let rivals = forecasts.iter().filter(|other| other.batch_size == forecast.batch_size);
        let fewest = rivals.filter_map(|other| cost(other));
        let fewest = fewest.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
        let (more, saved) = (compile_s - fewest.0, fewest.1 - padding_s_per_step);
        let steps = if more > 0.0 { (saved > 0.0).then(|| more / saved) } else { Some(0.0) };
        let steps = steps.filter(|_| saved >= 0.0);
        Some(BreakEven { compile_s, padding_s_per_step, steps })
    };
    forecasts.iter().map(of).collect()
}
