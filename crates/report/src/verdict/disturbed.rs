//! Checks whether the machine was busier during one strategy than during another.

use batchlab_core::record::BlockRecord;
use serde::Serialize;

use crate::setting::Group;

/// A condition that was not the same for all strategies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disturbance {
    /// Name of the condition, with its unit.
    pub what: &'static str,
    /// Strategy with the highest value, and the value.
    pub most: (String, f64),
    pub least: (String, f64),
}

struct Condition {
    what: &'static str,
    /// Mean over blocks; `None` if the system does not report it.
    of: fn(&[&BlockRecord]) -> Option<f64>,
    /// Differences up to this, and up to this share of the minimum, are not mentioned.
    tolerance: f64,
    share: f64,
}

const CONDITIONS: [Condition; 3] = [
    Condition {
        what: "processors kept busy by other processes",
        of: |blocks| mean(blocks, |block| block.load),
        tolerance: 0.1,
        share: 0.0,
    },
    Condition {
        what: "percent of the time taken by other virtual machines",
        of: |blocks| mean(blocks, |block| Some(100.0 * per_second(block, block.steal_ns?) / 1e9)),
        tolerance: 1.0,
        share: 0.0,
    },
    Condition {
        what: "MHz of the processors",
        of: |blocks| mean(blocks, |block| block.cpu_mhz),
        tolerance: 0.0,
        share: 0.02,
    },
];

/// Conditions that differed between interleaved strategies.
pub(super) fn disturbances(groups: &[&Group]) -> Vec<Disturbance> {
    let of = |condition: &Condition| {
        let value = |group: &&Group| Some((group.batcher.clone(), (condition.of)(&blocks(group))?));
        let mut values: Vec<(String, f64)> = groups.iter().filter_map(value).collect();
        values.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (least, most) = (values.first()?.clone(), values.last()?.clone());
        let what = condition.what;
        let tolerance = condition.tolerance + condition.share * least.1;
        (most.1 - least.1 > tolerance).then_some(Disturbance { what, most, least })
    };
    CONDITIONS.iter().filter_map(of).collect()
}

/// Block 0 is the warm-up.
fn blocks(group: &Group) -> Vec<&BlockRecord> {
    let all = group.runs.iter().flat_map(|run| &run.conditions);
    all.filter(|block| block.block > 0).collect()
}

fn mean(blocks: &[&BlockRecord], of: impl Fn(&BlockRecord) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = blocks.iter().filter_map(|block| of(block)).collect();
    batchlab_stats::mean(&values)
}

fn per_second(block: &BlockRecord, n: i64) -> f64 {
    n as f64 / (block.wall_ns.max(1) as f64 / 1e9)
}
