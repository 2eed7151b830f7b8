//! Figures for programs.

use anyhow::Result;
use batchlab_core::Level;
use batchlab_forecast::distribution::{Distribution, SHARES};
use serde_json::{Map, Value, json};

use super::portrait::{Kind, Portrait};

/// Raised when a field changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

pub(super) fn print(portraits: &[Portrait]) -> Result<String> {
    let all: Vec<Value> = portraits.iter().map(of_portrait).collect();
    let all = json!({ "schema_version": SCHEMA_VERSION, "shares": SHARES, "datasets": all });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

fn of_portrait(portrait: &Portrait) -> Value {
    let counts = |count: &[(String, u64)]| {
        count.iter().map(|(name, n)| (name.clone(), json!(n))).collect::<Map<_, _>>()
    };
    let target = portrait.target.as_ref().map(|target| match &target.kind {
        Kind::Number { unit, distribution } => {
            json!({ "name": target.name, "unit": unit, "distribution": distribution })
        }
        Kind::Classes { count, n_without } => {
            json!({ "name": target.name, "classes": counts(count), "n_without": n_without })
        }
    });
    let of = |distribution: &Option<Distribution>| json!(distribution);
    json!({
        "source": portrait.source,
        "dataset": portrait.dataset,
        "level": match portrait.level { Level::Graphs => "graphs", Level::Nodes => "nodes" },
        "n_member": portrait.n_member,
        "n_node": portrait.n_node,
        "n_edge": portrait.n_edge,
        "node_distribution": of(&portrait.nodes),
        "edge_distribution": of(&portrait.edges),
        "target": target,
        "node_class": counts(&portrait.node_class),
        "notes": counts(&portrait.notes),
        "content_hash": portrait.content_hash,
        "from_cache": portrait.from_cache,
        "load_ns": u64::try_from(portrait.time.as_nanos()).unwrap_or(u64::MAX),
    })
}
