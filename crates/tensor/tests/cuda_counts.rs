//! Counts what a training step of each model asks of a GPU; decision 018 has the table.

#![cfg(feature = "cuda-check")]

// A separate process, as the emulated GPU counts for the whole process.
#[path = "it/common.rs"]
mod common;

use std::fmt::Write;

use batchlab_core::graphs::{Edges, Graphs, ManyGraphs, NodeClass, Target, Topology};
use batchlab_core::model::{Loss, ModelContext, Slot, StepOptions};
use batchlab_core::{BatchBuffer, BatchPlan, GraphSize, Level, Model, Shape, collate};
use batchlab_tensor::emulation::{Counts, counts, only_count};
use common::context;
use model_mpeu::Mpeu;
use model_painn::Painn;
use model_schnet::Schnet;

/// A step is recorded when its batch has this layout for the fourth time, and repeated afterwards.
const N_STEP: usize = 6;

#[test]
fn a_step_asks_for_what_decision_018_says() {
    only_count();
    let models: [(&str, Box<dyn Model>); 3] = [
        ("SchNet", Box::new(Schnet::default())),
        ("MPEU", Box::new(Mpeu::default())),
        ("PaiNN", Box::new(Painn::default())),
    ];
    let counted = [false, true].map(|cuda_graphs| {
        models.each_ref().map(|(name, model)| (*name, step(&**model, cuda_graphs)))
    });
    let [plain, recorded] = counted.each_ref();
    let columns: Vec<_> = plain.iter().chain(recorded).collect();
    let names = columns.iter().enumerate().map(|(i, (name, _))| {
        if i < plain.len() { (*name).to_owned() } else { format!("{name}, recorded") }
    });
    let mut table = format!("| per step | {} |\n", names.collect::<Vec<_>>().join(" | "));
    let _ = writeln!(table, "|---|{}", "--:|".repeat(columns.len()));
    for (what, count) in ROWS {
        let numbers = columns.iter().map(|(_, counts)| count(counts).to_string());
        let _ = writeln!(table, "| {what} | {} |", numbers.collect::<Vec<_>>().join(" | "));
    }
    println!("{table}");
    let decision = include_str!("../../../docs/decisions/018-recorded-steps.md");
    assert!(decision.contains(&table), "docs/decisions/018-recorded-steps.md has another table");
}

type Row = (&'static str, fn(&Counts) -> u64);

const ROWS: [Row; 15] = [
    ("starts of a recording", |counts| counts.graph_launches),
    ("own kernels", |counts| counts.launches),
    ("products by cuBLAS", |counts| counts.products),
    ("kernels and products within recordings", |counts| counts.repeated_kernels),
    ("fills with zeros, within recordings or not", |counts| counts.fills + counts.repeated_fills),
    ("kB filled", |counts| counts.filled_bytes / 1000),
    ("allocations", |counts| counts.allocations),
    ("kB allocated", |counts| counts.allocated_bytes / 1000),
    ("copies to the device", |counts| counts.copies_to_device),
    ("kB to the device", |counts| counts.bytes_to_device / 1000),
    ("copies on the device", |counts| counts.copies_on_device),
    ("copies to the host", |counts| counts.copies_to_host),
    ("bytes to the host", |counts| counts.bytes_to_host),
    ("waits for all that is queued", |counts| counts.synchronisations),
    ("waits for an event", |counts| counts.event_synchronisations),
];

/// The last of some steps on one batch, with its upload.
fn step(model: &dyn Model, cuda_graphs: bool) -> Counts {
    let ctx = ModelContext {
        device: "cuda:0".into(),
        n_node_class: 5,
        node_feature_width: 0,
        cuda_graphs,
        ..context(Loss::Mse, 1)
    };
    let mut trainer = model.open(&ctx).expect("a GPU");
    let buffer = molecules(model);
    let options = StepOptions { learning_rate: 1e-3, key: 0, scale: &|_| 1.0 };
    let mut before = counts();
    for _ in 0..N_STEP {
        before = counts();
        trainer.upload(Slot::A, &buffer.batch()).expect("a complete batch");
        let loss = trainer.step(Slot::A, &options).expect("a step");
        assert!(loss.mean().is_finite(), "the step ended before its update");
    }
    counts() - before
}

/// As large as a batch of QM9 with B = 32: 32 molecules of 17 atoms, each bound to all others, and
/// padding.
fn molecules(model: &dyn Model) -> BatchBuffer {
    const N_GRAPH: u32 = 32;
    const N_NODE: u32 = 17;
    let many = ManyGraphs::new(&[N_NODE; N_GRAPH as usize], Edges::FullyConnected).expect("sizes");
    let mut graphs = Graphs::new("molecules", Topology::Many(many.clone())).expect("not empty");
    let nodes = 0..N_GRAPH * N_NODE;
    let place = |node: u32| [node as f32 * 0.7 % 3.0, node as f32 * 0.3 % 2.0, node as f32 % 1.7];
    graphs.position = Some(nodes.clone().map(place).collect());
    graphs.node_class = Some(NodeClass {
        value: nodes.map(|node| node % 5).collect(),
        name: vec![String::new(); 5],
    });
    graphs.target = Some(Target::regression("y", "eV", vec![0.0; N_GRAPH as usize]));
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for id in 0..N_GRAPH {
        plan.push_graph(GraphSize { id, ..many.size(id as usize) });
    }
    plan.shape = Shape { n_node: 576, n_edge: 10_176, n_graph: 33, n_output: 33 };
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &model.needs(), &mut buffer).expect("the plan fits");
    buffer
}
