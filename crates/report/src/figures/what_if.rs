//! Time per real output if every shape were compiled.

use super::{Figure, Panel, Plot, Stack, Stacks};
use crate::number::{short, significant};
use crate::setting::{Setting, size_name};
use crate::what_if::{Candidate, WhatIf};

pub(super) fn figure(settings: &[Setting], what_ifs: &[WhatIf], cost: f64) -> Figure {
    let parts = || ["measured", "compilation"].map(str::to_owned).to_vec();
    let bar = |one: &Candidate| {
        let (measured, all) = (one.measured_ns / 1e3, one.with_compilation_ns / 1e3);
        Stack {
            batcher: one.batcher.clone(),
            label: format!("{} µs", significant(all, 4)),
            parts: vec![measured, all - measured],
        }
    };
    let panel = |what_if: &WhatIf| Panel {
        setting: settings[what_if.setting].title.clone(),
        title: format!("B = {}", size_name(what_if.batch_size)),
        plot: Plot::Stacks(Stacks {
            unit: format!("µs per real {}", settings[what_if.setting].level().output()),
            parts: parts(),
            bars: what_if.candidates.iter().map(bar).collect(),
        }),
    };
    Figure {
        strategies: parts(),
        ..Figure::new(
            "what-if",
            "What if every shape were compiled?",
            format!(
                "An assumption, not a measurement: the measured time per real output plus {} s for every \
                 padded shape that a run met, spread over the real outputs of the run. Only of \
                 batchlab's engine, which compiles nothing: times of others contain what they compile.",
                short(cost)
            ),
            what_ifs.iter().map(panel),
        )
    }
}
