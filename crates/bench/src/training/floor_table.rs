//! The floor of a step as a table.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::batch::Choice;
use super::case::{Case, Engine};
use super::floor::{Floor, Measurements};
use super::structures::Structures;

/// Which step.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The model's table as JSON
    #[arg(long, default_value = r#"{"name": "schnet"}"#)]
    pub model: String,
    /// The graphs
    #[arg(long, default_value = "qm9")]
    pub structures: Structures,
    /// The study's B, with static-64
    #[arg(long, default_value_t = 32)]
    pub batch_size: u32,
    /// Threads that share each product
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// Measures the floor without savings and with them.
pub fn table(options: &Options) -> anyhow::Result<String> {
    let batcher = json!({ "name": "static", "batch_size": options.batch_size });
    let choice = Choice { batcher, at_least: None };
    let model = serde_json::from_str(&options.model)?;
    let case = Case::open(
        &options.structures.load()?,
        model,
        &choice,
        &Engine { device: "cpu".into(), ..Engine::default() },
    )?;
    let shape = case.batch().shape;
    let sizes = [shape.n_node as usize, shape.n_edge as usize];
    let name = case.model["name"].as_str().unwrap_or_default();
    let mut measurements = Measurements::default();
    let mut text = format!("{name}: {} nodes, {} edges\n", shape.n_node, shape.n_edge);
    for (what, savings) in [("all products", false), ("with savings", true)] {
        let floor = measurements.floor(name, &case.parameters()?, sizes, savings)?;
        write!(text, "\n{what}\n")?;
        write_lines(&mut text, &floor, sizes)?;
    }
    Ok(text)
}

fn write_lines(text: &mut String, floor: &Floor, [n_node, n_edge]: [usize; 2]) -> std::fmt::Result {
    for time in &floor.layers {
        let (name, ms, rate) = (&time.layer.name, time.milliseconds, time.giga_per_second);
        write!(text, "  {name:<40} {ms:>8.3} ms {rate:>6.0} GFLOP/s ")?;
        for product in time.layer.products(n_node, n_edge) {
            let [m, k, n] = product.size;
            write!(text, " {m}x{k}x{n}")?;
        }
        writeln!(text)?;
    }
    writeln!(
        text,
        "  products {:.2} ms ({:.2} GFLOP), {:.1} MB kept {:.2} ms: {:.2} ms",
        floor.products_ms,
        floor.giga_operations,
        floor.kept_bytes as f64 / 1e6,
        floor.traffic_ms,
        floor.milliseconds()
    )
}
