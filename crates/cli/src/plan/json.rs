//! Forecasts as JSON.

use anyhow::Result;
use batchlab_forecast::Forecast;
use batchlab_forecast::break_even::{Engine, break_even};
use serde_json::{Value, json};

use super::Plan;
use super::ranks::StepModel;
use crate::output::json;

/// Incremented when a field changes its meaning or is removed.
const SCHEMA_VERSION: u32 = 1;

pub(super) fn print(
    plans: &[Plan],
    engine: Option<Engine>,
    model: Option<StepModel>,
) -> Result<String> {
    let plan = |plan: &Plan| of_plan(plan, engine, model);
    let plans = plans.iter().map(plan).collect::<Result<Vec<_>>>()?;
    let all = json!({ "schema_version": SCHEMA_VERSION, "plans": plans });
    json(&all)
}

fn of_plan(plan: &Plan, engine: Option<Engine>, model: Option<StepModel>) -> Result<Value> {
    let forecasts: Vec<&Forecast> = plan.strategies.iter().map(|(_, forecast)| forecast).collect();
    let costs = engine.map(|engine| break_even(&forecasts, engine));
    let strategies = plan.strategies.iter().enumerate().map(|(at, (batcher, forecast))| {
        let mut value = serde_json::to_value(forecast)?;
        if let Some(costs) = &costs {
            value["break_even"] = serde_json::to_value(costs[at])?;
        }
        if let Some(ranks) = plan.ranks.get(at) {
            value["ranks"] = serde_json::to_value(ranks)?;
        }
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
        "engine": engine,
        "step_model": model,
        "strategies": strategies.collect::<Result<Vec<_>>>()?,
    }))
}
