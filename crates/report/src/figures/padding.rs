//! Share of padding in what is computed.

use super::{Centre, Figure, Part, Plot, chart_panels};
use crate::setting::Setting;

const PARTS: [Part; 2] = [
    ("padding among edges", Centre::Mean, |run| Some(100.0 * (1.0 - run.work?.edge_fill))),
    ("padding among nodes", Centre::Mean, |run| Some(100.0 * (1.0 - run.work?.node_fill))),
];

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let panels = chart_panels(settings, "%", &PARTS, Plot::Bars);
    let note = "Padding goes through the same computation as real edges and nodes.";
    Figure::new("padding", "Padding waste", note, panels)
}
