//! Causes of speed-ups, and the breakdown of the time.

use std::fmt::Write as _;

use super::{Figure, Panel, Plot, Stack, Stacks};
use crate::attribution::{Attribution, Cause, Share};
use crate::number::{factor, significant};
use crate::setting::{Setting, after_size, size_title};
use batchlab_results::Parts;

type Part = (&'static str, fn(&Parts) -> f64);

/// No pipeline has more than eight of them, the number of colours.
const PARTS: [Part; 9] = [
    ("upload", |p| p.device.map_or(0.0, |d| d.upload)),
    ("planning", |p| p.planning),
    ("collation", |p| p.collation),
    ("forward", |p| p.device.map_or(0.0, |d| d.forward)),
    ("backward", |p| p.device.map_or(0.0, |d| d.backward)),
    ("optimiser", |p| p.device.map_or(0.0, |d| d.optimiser)),
    ("other work", |p| {
        p.work - p.device.map_or(0.0, |d| d.upload + d.forward + d.backward + d.optimiser)
    }),
    ("new shapes", |p| p.new_shapes.unwrap_or(0.0)),
    ("waiting", |p| p.waiting),
];

pub(super) fn figure(settings: &[Setting], attributions: &[Attribution]) -> Figure {
    let panel = |of: &Attribution| {
        let bars = of.shares.iter().filter(|share| share.batcher != of.reference).map(|share| {
            let part = |cause: &Cause| {
                let term = share.terms.iter().find(|term| term.cause == *cause);
                term.map_or(0.0, |term| term.ns / 1e3)
            };
            Stack {
                batcher: share.batcher.clone(),
                label: format!("{} as fast", factor(share.speed_up)),
                parts: Cause::ALL.iter().map(part).collect(),
            }
        });
        let (unit, parts) =
            (format!("µs saved per real {}", settings[of.setting].level().output()), causes());
        Panel {
            setting: settings[of.setting].title.clone(),
            title: after_size(of.batch_size, ", ", &format!("over {}", of.reference)),
            plot: Plot::Stacks(Stacks { unit, parts, bars: bars.collect() }),
        }
    };
    let mut missing: Vec<&str> = attributions
        .iter()
        .flat_map(|of| &of.shares)
        .filter_map(|s| s.missing.as_deref())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let mut note = "Time saved per real output relative to the reference, by cause; bars to the left of 0 are \
                    additional costs. The terms add up to the total difference. Padded work is the difference \
                    from the same grouping without padding, and real graphs per step is the difference between \
                    groupings without padding; grouping is both together, for groupings with the same padding \
                    rule. These are means over runs, so a factor may differ from the verdict's in its last \
                    digit."
        .to_owned();
    if !missing.is_empty() {
        let _ = write!(note, " Missing: {}.", missing.join("; "));
    }
    Figure {
        id: "attribution",
        title: "Why: the speed-up split into its causes",
        note,
        query: String::new(),
        strategies: causes(),
        panels: attributions.iter().map(panel).collect(),
    }
}

fn causes() -> Vec<String> {
    Cause::ALL.iter().map(|cause| cause.name().to_owned()).collect()
}

pub(super) fn stages(settings: &[Setting], attributions: &[Attribution]) -> Figure {
    let names = || PARTS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let bar = |share: &Share| Stack {
        batcher: share.batcher.clone(),
        label: format!("{} µs", significant(share.parts.total / 1e3, 4)),
        parts: PARTS.iter().map(|(_, of)| of(&share.parts) / 1e3).collect(),
    };
    let panel = |of: &Attribution| Panel {
        setting: settings[of.setting].title.clone(),
        title: size_title(of.batch_size),
        plot: Plot::Stacks(Stacks {
            unit: format!("µs per real {}", settings[of.setting].level().output()),
            parts: names(),
            bars: of.shares.iter().map(bar).collect(),
        }),
    };
    let shares = || attributions.iter().flat_map(|of| &of.shares);
    let mut note =
        "Wall-clock training time per real output, mean over runs. New shapes is the additional cost of steps \
         whose shape had not occurred before."
            .to_owned();
    if shares().any(|share| share.parts.device.is_none()) {
        note += " With timing = \"combined\" the stages on the device are not measured separately and appear \
                 together as other work; use timing = \"stages\" to separate them.";
    }
    Figure {
        id: "stages",
        title: "Where the time goes",
        note,
        query: String::new(),
        strategies: names(),
        panels: attributions.iter().map(panel).collect(),
    }
}
