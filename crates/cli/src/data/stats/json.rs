//! Statistics as JSON.

use anyhow::Result;
use batchlab_core::Level;
use batchlab_forecast::distribution::{Distribution, SHARES};
use serde_json::{Map, Value, json};

use super::summary::{DatasetSummary, Kind};
use crate::output::json;

/// Incremented when a field changes its meaning or is removed.
const SCHEMA_VERSION: u32 = 1;

pub(super) fn print(summaries: &[DatasetSummary]) -> Result<String> {
    let all: Vec<Value> = summaries.iter().map(of_summary).collect();
    let all = json!({ "schema_version": SCHEMA_VERSION, "shares": SHARES, "datasets": all });
    json(&all)
}

fn of_summary(summary: &DatasetSummary) -> Value {
    let counts = |count: &[(String, u64)]| {
        count.iter().map(|(name, n)| (name.clone(), json!(n))).collect::<Map<_, _>>()
    };
    let target = summary.target.as_ref().map(|target| match &target.kind {
        Kind::Number { unit, distribution } => {
            json!({ "name": target.name, "unit": unit, "distribution": distribution })
        }
        Kind::Classes { count, n_without } => {
            json!({ "name": target.name, "classes": counts(count), "n_without": n_without })
        }
    });
    let of = |distribution: &Option<Distribution>| json!(distribution);
    json!({
        "source": summary.source,
        "dataset": summary.dataset,
        "level": match summary.level { Level::Graphs => "graphs", Level::Nodes => "nodes" },
        "n_member": summary.n_member,
        "n_node": summary.n_node,
        "n_edge": summary.n_edge,
        "node_distribution": of(&summary.nodes),
        "edge_distribution": of(&summary.edges),
        "target": target,
        "node_class": counts(&summary.node_class),
        "notes": counts(&summary.notes),
        "content_hash": summary.content_hash,
        "from_cache": summary.from_cache,
        "load_ns": u64::try_from(summary.time.as_nanos()).unwrap_or(u64::MAX),
    })
}
