//! Errors over the course of training.

use std::collections::BTreeMap;

use super::{Curve, Curves, Figure, Panel, Plot};
use crate::setting::{Group, Setting};

/// The subset to show, in order of preference.
const SUBSETS: [&str; 3] = ["test", "validation", "train"];

/// Curves whose relative difference is at most this at every step coincide in the picture.
const ALIKE: f64 = 1e-3;

pub(super) fn figure(settings: &[Setting]) -> Figure {
    let mut panels = Vec::new();
    let mut hidden = Hidden::default();
    for setting in settings {
        for size in setting.batch_sizes() {
            let of_subset = |subset: &&'static str| {
                let curves: Vec<Curve> =
                    setting.at(size).filter_map(|g| curve(g, subset)).collect();
                (!curves.is_empty()).then_some((*subset, curves))
            };
            if let Some((subset, curves)) = SUBSETS.iter().find_map(of_subset) {
                hidden.note(&curves);
                let unit = setting.unit.clone().unwrap_or_default();
                panels.push(Panel {
                    setting: setting.title.clone(),
                    title: format!(
                        "{subset} RMSE{}",
                        size.map_or_else(String::new, |size| format!(", B = {size}"))
                    ),
                    plot: Plot::Curves(Curves {
                        unit,
                        x: "steps",
                        is_linear: false,
                        is_log_x: false,
                        curves,
                    }),
                });
            }
        }
    }
    Figure::new(
        "curves",
        "Learning curves",
        format!(
            "Root mean squared error, median over runs; the band spans the runs. The subset is the test set if \
             it was evaluated at least twice, or else the validation or training set. Runs with fewer than two \
             evaluations have no curve.{}",
            hidden.text(panels.len())
        ),
        panels,
    )
}

/// Strategies with coinciding curves, and the number of panels in which they coincide.
#[derive(Default)]
struct Hidden(BTreeMap<Vec<String>, usize>);

impl Hidden {
    fn note(&mut self, curves: &[Curve]) {
        for alike in coinciding(curves) {
            *self.0.entry(alike).or_default() += 1;
        }
    }

    fn text(&self, n_panel: usize) -> String {
        let sentence = |(names, n): (&Vec<String>, &usize)| {
            let (last, others) = names.split_last().expect("more than one coincide");
            let others = others.join(", ");
            format!(" {others} and {last} coincide within 0.1 % in {n} of {n_panel} panels.")
        };
        self.0.iter().map(sentence).collect()
    }
}

/// The batchers of coinciding curves, in groups of two or more.
fn coinciding(curves: &[Curve]) -> Vec<Vec<String>> {
    let is_alike = |a: &Curve, b: &Curve| {
        a.points.len() == b.points.len()
            && a.points.iter().zip(&b.points).all(|((x, a), (y, b))| {
                x.to_bits() == y.to_bits() && (a.value - b.value).abs() <= ALIKE * a.value
            })
    };
    let mut groups: Vec<Vec<&Curve>> = Vec::new();
    for curve in curves {
        match groups.iter_mut().find(|group| is_alike(group[0], curve)) {
            Some(group) => group.push(curve),
            None => groups.push(vec![curve]),
        }
    }
    let several = groups.into_iter().filter(|group| group.len() > 1);
    several.map(|group| group.into_iter().map(|curve| curve.batcher.clone()).collect()).collect()
}

fn curve(group: &Group, subset: &str) -> Option<Curve> {
    let errors = group.runs.iter().flat_map(|run| run.rmse(subset));
    super::curve(group, errors.filter(|(_, rmse)| rmse.is_finite() && *rmse > 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Point;

    fn curve(batcher: &str, values: [f64; 2]) -> Curve {
        let point = |value| Point { value, low: value, high: value };
        let points = vec![(0.0, point(values[0])), (10.0, point(values[1]))];
        Curve { batcher: batcher.into(), points }
    }

    #[test]
    fn curves_that_hide_each_other_are_named() {
        let curves = [
            curve("static-64", [2.0, 1.0]),
            curve("dynamic", [2.0, 1.002]),
            curve("static-2^N", [2.0, 1.0005]),
        ];
        assert_eq!(coinciding(&curves), [["static-64", "static-2^N"]]);
        let mut hidden = Hidden::default();
        hidden.note(&curves);
        hidden.note(&curves[..2]);
        assert_eq!(
            hidden.text(2),
            " static-64 and static-2^N coincide within 0.1 % in 1 of 2 panels."
        );
    }
}
