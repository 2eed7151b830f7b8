//! Time per real graph if every shape were compiled.

use super::{Chart, Figure, Panel, Plot, Point, Series};
use crate::number::short;
use crate::setting::{Setting, size_name};
use crate::what_if::WhatIf;

pub(super) fn figure(settings: &[Setting], what_ifs: &[WhatIf], cost: f64) -> Figure {
    let panels = settings.iter().enumerate().filter_map(|(index, setting)| {
        let own: Vec<&WhatIf> =
            what_ifs.iter().filter(|what_if| what_if.setting == index).collect();
        let x: Vec<String> = own.iter().map(|what_if| size_name(what_if.batch_size)).collect();
        let point = |what_if: &&WhatIf, batcher: &str| {
            let candidate = what_if.candidates.iter().find(|one| one.batcher == batcher)?;
            let value = candidate.with_compilation_ns / 1e3;
            Some(Point { value, low: value, high: value })
        };
        let series = setting.batchers().into_iter().map(|batcher| Series {
            batcher: batcher.to_owned(),
            points: own.iter().map(|what_if| point(what_if, batcher)).collect(),
        });
        let series: Vec<Series> =
            series.filter(|series| series.points.iter().any(Option::is_some)).collect();
        let title = format!("assumed: {} s per shape", short(cost));
        let plot = Plot::Lines(Chart {
            unit: format!("µs per real {}", setting.level().output()),
            x,
            series,
        });
        (!own.is_empty()).then(|| Panel { setting: setting.title.clone(), title, plot })
    });
    Figure::new(
        "what-if",
        "What if every shape were compiled?",
        format!(
            "An assumption, not a measurement: the measured time per real output plus {} s for every \
             padded shape that a run met, spread over the real outputs of the run. Our engine \
             compiles nothing.",
            short(cost)
        ),
        panels,
    )
}
