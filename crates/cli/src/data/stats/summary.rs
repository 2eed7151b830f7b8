//! The statistics of one data set.

use std::time::Duration;

use batchlab_core::graphs::TargetKind;
use batchlab_core::{Graphs, Level};
use batchlab_forecast::distribution::{Distribution, sizes};

use crate::data::source::{Read, Source};

pub(super) struct DatasetSummary {
    pub(super) source: String,
    pub(super) dataset: String,
    pub(super) level: Level,
    pub(super) n_member: usize,
    pub(super) n_node: usize,
    pub(super) n_edge: u64,
    /// Nodes per graph; `None` for a single graph.
    pub(super) nodes: Option<Distribution>,
    /// Edges per graph, or in-degree of the nodes of a single graph.
    pub(super) edges: Option<Distribution>,
    pub(super) target: Option<Target>,
    /// Node classes, for example elements, with the number of nodes in each.
    pub(super) node_class: Vec<(String, u64)>,
    pub(super) notes: Vec<(String, u64)>,
    pub(super) content_hash: String,
    pub(super) from_cache: bool,
    pub(super) time: Duration,
}

pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Number { unit: Option<String>, distribution: Option<Distribution> },
    Classes { count: Vec<(String, u64)>, n_without: u64 },
}

impl DatasetSummary {
    pub(super) fn of(source: &Source, read: &Read) -> Self {
        let graphs = &read.loaded.graphs;
        let (nodes, edges) = sizes(graphs);
        #[allow(clippy::cast_sign_loss, reason = "counts are not negative")]
        let n_edge = edges.iter().sum::<f64>() as u64;
        Self {
            source: source.name.clone(),
            dataset: source.dataset_name().to_owned(),
            level: graphs.level(),
            n_member: graphs.n_member(),
            n_node: graphs.n_node(),
            n_edge,
            nodes: Distribution::of(&nodes),
            edges: Distribution::of(&edges),
            target: target(graphs),
            node_class: node_class(graphs),
            notes: graphs.notes.clone(),
            content_hash: graphs.content_hash(),
            from_cache: read.loaded.from_cache,
            time: read.time,
        }
    }
}

fn target(graphs: &Graphs) -> Option<Target> {
    let target = graphs.target.as_ref()?;
    let kind = match &target.kind {
        TargetKind::Regression { unit } => {
            Kind::Number { unit: unit.clone(), distribution: Distribution::of(&target.value) }
        }
        TargetKind::Classes { name } => {
            let mut count: Vec<(String, u64)> = name.iter().map(|name| (name.clone(), 0)).collect();
            let mut n_without = 0;
            for &value in &target.value {
                // A negative class means that the node is unlabelled.
                #[allow(clippy::cast_sign_loss, reason = "checked to be non-negative")]
                match (value >= 0.0).then(|| count.get_mut(value as usize)).flatten() {
                    Some((_, n)) => *n += 1,
                    None => n_without += 1,
                }
            }
            Kind::Classes { count, n_without }
        }
    };
    Some(Target { name: target.name.clone(), kind })
}

fn node_class(graphs: &Graphs) -> Vec<(String, u64)> {
    let Some(class) = &graphs.node_class else { return Vec::new() };
    let mut count: Vec<(String, u64)> = class.name.iter().map(|name| (name.clone(), 0)).collect();
    for &value in &class.value {
        count[value as usize].1 += 1;
    }
    count.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    count
}
