//! Forecasts as JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::Plan;
use crate::output::json;

/// Raised when a field changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

pub(super) fn print(plans: &[Plan]) -> Result<String> {
    let plans = plans.iter().map(of_plan).collect::<Result<Vec<_>>>()?;
    let all = json!({ "schema_version": SCHEMA_VERSION, "plans": plans });
    json(&all)
}

fn of_plan(plan: &Plan) -> Result<Value> {
    let strategies = plan.strategies.iter().map(|(batcher, forecast)| {
        let mut value = serde_json::to_value(forecast)?;
        value["batcher"] = batcher.clone();
        Ok(value)
    });
    Ok(json!({
        "config": plan.config,
        "dataset": plan.dataset,
        "subset": "train",
        "n_member": plan.n_member,
        "n_planned": plan.n_train,
        "seeds": { "split": plan.seed_split, "order": plan.seed_order },
        "n_step": plan.n_step,
        "strategies": strategies.collect::<Result<Vec<_>>>()?,
    }))
}
