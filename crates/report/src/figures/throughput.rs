//! Real graphs and real edges per second.

use batchlab_core::Level;

use super::{Centre, Figure, Panel, Part, Plot, chart_panels};
use crate::setting::Setting;

const fn parts(outputs: &'static str) -> [Part; 2] {
    [
        (outputs, Centre::Median, |run| Some(run.work?.outputs_per_s)),
        ("real edges per second", Centre::Median, |run| Some(run.work?.edges_per_s)),
    ]
}

fn panels(setting: &Setting) -> Vec<Panel> {
    let outputs = match setting.level() {
        Level::Graphs => "graphs per second",
        Level::Nodes => "output nodes per second",
    };
    chart_panels(std::slice::from_ref(setting), "per second", &parts(outputs), Plot::Lines)
}

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels: Vec<Panel> = settings.iter().flat_map(panels).collect();
    let note = "What training works through, padding not counted: strategies put different \
                    numbers of outputs into a step, so a short step alone says little. Medians over \
                    runs; bars reach from the least to the greatest run.";
    Figure::new("throughput", "Real work per second", note, panels)
}
