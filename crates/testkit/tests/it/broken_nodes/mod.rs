//! The kit for one graph finds mistakes: each broken batcher fails its own check and passes all others.

mod faulty;

use batchlab_core::Batcher;
use batchlab_testkit::node_conformance::{CHECKS, Check, Subject};
use faulty::{Fault, Faulty};

use crate::table::{self, Row};

const BROKEN: &[(Fault, &str, &str)] = &[
    (Fault::WrongRealSize, "real size counts an extra edge", "node_batches"),
    (Fault::UnknownEdge, "lists an edge that does not exist", "node_batches"),
    (Fault::ForgetsOutput, "an epoch misses an output", "output_permutation"),
    (Fault::RepeatsOutput, "an output occurs twice", "output_permutation"),
    (Fault::MiscountsBatches, "states one batch too many", "output_permutation"),
    (Fault::DropsTail, "evaluation drops the last batch", "output_evaluation"),
    (Fault::LearnsForeign, "a validation node is an output", "foreign_outputs"),
    (Fault::LooksAtForeign, "sorts batches by foreign labels", "foreign_labels"),
    (Fault::RepeatsBatch, "repeats a batch after seek", "node_resume"),
    (Fault::CountsOpenings, "depends on global state", "node_resume"),
    (Fault::LeavesOutIsolated, "drops outputs without edges", "isolated_nodes"),
    (Fault::AssumesUndirected, "assumes reverse edges", "directed_graph"),
    (Fault::CrashesOnDirected, "panics on a directed graph", "directed_graph"),
    (Fault::CountsInBytes, "counts at most 255 neighbours", "hub_node"),
];

fn failing(fault: Fault) -> Vec<(&'static str, String)> {
    let make = || -> Box<dyn Batcher> { Box::new(Faulty { fault }) };
    let subject = Subject { make: &make, sampled: false };
    let run = |check: &'static Check| check.run(subject).err().map(|f| (check.name, f.found));
    CHECKS.iter().filter_map(run).collect()
}

// The line that a plugin writes in its tests, and the resulting tests.
batchlab_testkit::node_conformance!(sound, Faulty { fault: Fault::None });

table::tests!("on one graph:", "broken_nodes");
