//! Estimated times on an engine that compiles for every padded shape.
//!
//! Ours compiles nothing, and only its times are taken: those of other engines contain what they compile. XLA does, and the published study could not separate its cost from that of
//! padding. Here the number of shapes that training met, which is measured, is multiplied by a time
//! that the user assumes, which is not. The result enters no verdict.

use batchlab_stats::mean;
use serde::Serialize;

use crate::read::Run;
use crate::setting::{Group, Setting, is_own_engine};

/// The strategies of a setting at one batch size on an engine that compiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    pub setting: usize,
    pub batch_size: Option<i64>,
    /// Seconds for every shape: an assumption.
    pub compile_cost: f64,
    pub n_step: i64,
    /// The strategy with the least time per real graph, as measured.
    pub measured_fastest: String,
    /// All strategies, fastest first if compilations are counted.
    pub candidates: Vec<Candidate>,
}

/// One strategy. Times are means over runs, in nanoseconds per real graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    pub batcher: String,
    pub n_shape: f64,
    pub measured_ns: f64,
    /// The same with its share of the compilations.
    pub with_compilation_ns: f64,
    /// Steps of the measured fastest strategy after which it is ahead of this one in spite of its
    /// compilations; 0 if it always is. `None` for itself, and where both take equally long.
    pub break_even_steps: Option<f64>,
}

/// Counts `compile_cost` seconds for every shape. Settings without numbers of graphs or shapes, and
/// batch sizes with one strategy, are omitted.
#[must_use]
pub fn what_ifs(settings: &[Setting], compile_cost: f64) -> Vec<WhatIf> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        sizes.filter_map(|size| what_if(setting, index, size, compile_cost)).collect::<Vec<_>>()
    };
    let own = settings.iter().enumerate().filter(|(_, setting)| is_own_engine(&setting.engine));
    own.flat_map(of_setting).collect()
}

struct Means<'a> {
    batcher: &'a str,
    n_shape: f64,
    ns: f64,
    with_compilation: f64,
    outputs_per_step: f64,
}

fn what_if(
    setting: &Setting,
    index: usize,
    batch_size: Option<i64>,
    compile_cost: f64,
) -> Option<WhatIf> {
    let of_group = |group| means(group, compile_cost * 1e9);
    let mut all: Vec<Means<'_>> = setting.at(batch_size).filter_map(of_group).collect();
    if all.len() < 2 {
        return None;
    }
    all.sort_by(|a, b| a.ns.total_cmp(&b.ns));
    let fastest = &all[0];
    let break_even = |other: &Means<'_>| {
        let (saved, compiled) = (other.ns - fastest.ns, fastest.n_shape - other.n_shape);
        let n_graph = compile_cost * 1e9 * compiled / saved;
        (saved > 0.0).then(|| n_graph.max(0.0) / fastest.outputs_per_step)
    };
    let candidate = |one: &Means<'_>| Candidate {
        batcher: one.batcher.to_owned(),
        n_shape: one.n_shape,
        measured_ns: one.ns,
        with_compilation_ns: one.with_compilation,
        break_even_steps: break_even(one),
    };
    let mut candidates: Vec<Candidate> = all.iter().map(candidate).collect();
    candidates.sort_by(|a, b| a.with_compilation_ns.total_cmp(&b.with_compilation_ns));
    Some(WhatIf {
        setting: index,
        batch_size,
        compile_cost,
        n_step: setting.n_step,
        measured_fastest: fastest.batcher.to_owned(),
        candidates,
    })
}

fn means(group: &Group, compile_ns: f64) -> Option<Means<'_>> {
    let of = |of: &dyn Fn(&Run) -> Option<f64>| mean(&group.sample(of));
    let ns = |run: &Run| run.steps.parts.map(|parts| parts.total);
    let with_compilation = |run: &Run| {
        let n_graph = run.n_step_planned() as f64 * run.steps.parts?.outputs_per_step;
        Some(ns(run)? + compile_ns * run.run.n_shape? as f64 / n_graph)
    };
    Some(Means {
        batcher: &group.batcher,
        n_shape: of(&|run| run.steps.parts.and(run.run.n_shape).map(|n| n as f64))?,
        ns: of(&ns)?,
        with_compilation: of(&with_compilation)?,
        outputs_per_step: of(&|run| run.steps.parts.map(|parts| parts.outputs_per_step))?,
    })
}
