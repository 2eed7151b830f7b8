//! Time of a SchNet training step on a batch like those of static-64 on QM9: 31 fully connected
//! molecules, 576 nodes and 9,984 edges including padding. Prints the median and the minimum over
//! the steps for one and for two threads, and again with half of the edges being padding, which
//! must cost the same.
//!
//! `cargo run --release -p model-schnet --example step_time`, with options of the model such as `--
//! 'latent_size = 128'`.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::time::Instant;

use batchlab_core::graphs::{
    Edges, GraphSize, Graphs, Level, ManyGraphs, NodeClass, Target, Topology,
};
use batchlab_core::model::{Mode, Slot};
use batchlab_core::plan::{BatchPlan, Shape};
use batchlab_core::{BatchBuffer, Model, ModelContext, collate, random};
use model_schnet::Schnet;

const N_STEP: usize = 60;
const STAGES: [&str; 4] = ["upload", "forward", "backward", "update"];

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let options = std::env::args().nth(1).unwrap_or_default();
    let model: Schnet = toml::from_str(&options)?;
    for (what, n_graph) in [("real", 31_usize), ("half padding", 15)] {
        for n_thread in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build()?;
            let samples = pool.install(|| measure(&model, n_graph))?;
            print!("{what:<12} {n_thread} thread(s)");
            let mut total: Vec<f64> = samples.iter().map(|s| s.iter().sum()).collect();
            total.sort_by(f64::total_cmp);
            print!("  step {:6.2} ms (min {:6.2})", total[N_STEP / 2], total[0]);
            for (stage, name) in STAGES.iter().enumerate() {
                let mut time: Vec<f64> = samples.iter().map(|s| s[stage]).collect();
                time.sort_by(f64::total_cmp);
                print!("  {name} {:.2}", time[N_STEP / 2]);
            }
            println!();
        }
    }
    Ok(())
}

/// Milliseconds of the stages of each step.
fn measure(
    model: &Schnet,
    n_graph: usize,
) -> Result<Vec<[f64; 4]>, Box<dyn std::error::Error + Send + Sync>> {
    let mut buffer = BatchBuffer::new();
    fill(&mut buffer, n_graph)?;
    let ctx = ModelContext { n_node_class: 5, ..ModelContext::default() };
    let mut trainer = model.open(&ctx)?;
    let mut samples = Vec::new();
    for step in 0..N_STEP + 10 {
        let mut clock = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            (now - std::mem::replace(&mut clock, now)).as_secs_f64() * 1e3
        };
        trainer.upload(Slot::A, &buffer.batch())?;
        let upload = lap();
        trainer.forward(Slot::A, Mode::Training, 0)?;
        let forward = lap();
        trainer.backward(1.0)?;
        let backward = lap();
        trainer.update(1e-4)?;
        let update = lap();
        if step >= 10 {
            samples.push([upload, forward, backward, update]);
        }
    }
    Ok(samples)
}

/// The first molecules of a batch of 31, padded to the shape of all.
fn fill(
    buffer: &mut BatchBuffer,
    n_graph: usize,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let n_node: Vec<u32> = (0..n_graph).map(|graph| if graph % 7 < 2 { 19 } else { 18 }).collect();
    let total = n_node.iter().sum::<u32>() as usize;
    let mut rng = random::stream(1, "positions", 0);
    let mut draw = |n| random::below(&mut rng, n) as u32;
    let mut graphs =
        Graphs::new("molecules", Topology::Many(ManyGraphs::new(&n_node, Edges::FullyConnected)?))?;
    let name = ["H", "C", "N", "O", "F"].map(str::to_owned).to_vec();
    graphs.node_class = Some(NodeClass { value: (0..total).map(|_| draw(5)).collect(), name });
    let mut position = || draw(1000) as f32 * 6e-3;
    graphs.position = Some((0..total).map(|_| [position(), position(), position()]).collect());
    graphs.target = Some(Target::regression("U0", "eV", vec![1.0; n_graph]));
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for (id, &n) in (0..).zip(&n_node) {
        plan.push_graph(GraphSize { id, n_node: n, n_edge: n * (n - 1) });
    }
    plan.shape = Shape { n_node: 576, n_edge: 9984, n_graph: 32, n_output: 32 };
    collate(&graphs, &plan, &Schnet::default().needs(), buffer)?;
    Ok(())
}
