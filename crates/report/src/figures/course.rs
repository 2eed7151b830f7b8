//! Step time over the course of training.

use super::{Curve, Figure, curve_panels};
use crate::setting::{Group, Setting};

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = curve_panels(settings, ("ms per step", "steps", false), curve);
    let note = "Mean combined time per fortieth of training, or per step of a shorter training; median over \
                runs, warm-up included.";
    Figure::new("course", "Combined time over the course of training", note, panels)
}

fn curve(group: &Group) -> Option<Curve> {
    let stretches = group.runs.iter().flat_map(|run| &run.steps.stretches);
    super::curve(group, stretches.map(|(step, time)| (step.round() as i64, time / 1e6)))
}
