//! Warnings before training about probable mistakes: data and batches that teach little. All such
//! checks are here.

use std::collections::BTreeSet;

use batchlab_config::{Config, Fraction, Subset, Timing};
use batchlab_core::graphs::{GraphSize, TargetKind, Topology, View};
use batchlab_core::number::grouped;
use batchlab_core::{BatchEvent, Graphs, Trainer};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Subsets, unseen};

/// Shown before and after training, and recorded as an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warning {
    /// Kind of the event.
    pub kind: &'static str,
    pub message: String,
    #[serde(skip)]
    pub(crate) payload: Value,
}

/// All warnings about a run. `events` are those of the batcher when it opened.
pub(crate) fn find(
    config: &Config,
    graphs: &Graphs,
    subsets: &Subsets,
    events: &[BatchEvent],
) -> Vec<Warning> {
    let mut found = unseen_classes(config, graphs, subsets);
    if let View::ManyGraphs(sizes) = graphs.view(&subsets.train) {
        let batcher = config.batcher.label();
        found.extend(oversize(&batcher, &sizes, events));
        found.extend(small_training_set(config.batcher.batch_size(), &sizes));
        found.extend(without_edges(&sizes));
    }
    found.extend(empty_subsets(config, graphs, subsets));
    found.extend(constant_target(graphs, subsets));
    found.extend(untrained_class(config, graphs, subsets));
    found.extend(edges_without_weights(config, graphs));
    found
}

/// Timing by stages for a model whose step has no stages.
pub(crate) fn stages_not_timed(config: &Config, trainer: &dyn Trainer) -> Option<Warning> {
    if config.training.timing != Timing::Stages || !trainer.is_one_call() {
        return None;
    }
    let message = format!(
        "training.timing = \"stages\" cannot time upload, forward, backward and optimiser separately for the model \
         \"{}\", which computes a step in one call: only planning, collation and the whole step are timed",
        config.model.typetag_name()
    );
    Some(Warning { kind: "stages_not_timed", message, payload: Value::Null })
}

/// Subsets requested in the split that have no members.
fn empty_subsets(config: &Config, graphs: &Graphs, subsets: &Subsets) -> Option<Warning> {
    let split = &config.split;
    let is_published = split.published && graphs.split.is_some();
    let shares = [(Subset::Validation, split.validation), (Subset::Test, split.test)];
    let is_empty = |&(subset, share): &(Subset, Fraction)| {
        subsets.of(subset).is_empty() && (is_published || f64::from(share) > 0.0)
    };
    let empty: Vec<(Subset, Fraction)> = shares.into_iter().filter(is_empty).collect();
    let names: Vec<&str> = empty.iter().map(|(subset, _)| subset.name()).collect();
    let (n, output) = (grouped(graphs.n_member() as u64), graphs.level().output());
    let (_, share) = empty.first()?;
    let (reason, remedy) = if is_published {
        (
            "the published split has none".to_owned(),
            "split.published = false draws another split".to_owned(),
        )
    } else {
        let keys: Vec<String> = names.iter().map(|name| format!("split.{name}")).collect();
        (
            format!("{} of {n} rounds down to none", f64::from(*share)),
            format!("give a larger {}, or more data", keys.join(" and ")),
        )
    };
    Some(Warning {
        kind: "empty_subset",
        message: format!(
            "there are no {output}s for {}: {reason}, so there is no evaluation; {remedy}",
            names.join(" and ")
        ),
        payload: json!({ "subsets": names, "n_member": graphs.n_member() }),
    })
}

/// A useless target: it is constant over the training set.
fn constant_target(graphs: &Graphs, subsets: &Subsets) -> Option<Warning> {
    let (target, train) = (graphs.target.as_ref()?, &subsets.train);
    if !target.is_constant(train) {
        return None;
    }
    let value = target.value[train[0] as usize];
    #[allow(clippy::cast_sign_loss, reason = "what is trained on has a class")]
    let shown = match &target.kind {
        TargetKind::Regression { unit: Some(unit) } => format!("{value} {unit}"),
        TargetKind::Regression { unit: None } => value.to_string(),
        TargetKind::Classes { name } => format!("class \"{}\"", name[value as usize]),
    };
    let (n, output) = (grouped(train.len() as u64), graphs.level().output());
    let all = if train.len() == 1 {
        format!("there is one training {output}")
    } else {
        format!("all {n} training {output}s have the same target")
    };
    Some(Warning {
        kind: "constant_target",
        message: format!(
            "{all}, \"{}\" = {shown}: there is nothing to learn; choose another target, another split, or \
             more data",
            target.name
        ),
        payload: json!({ "target": target.name, "value": value, "n_train": train.len() }),
    })
}

/// Target classes that are evaluated but not trained.
fn untrained_class(config: &Config, graphs: &Graphs, subsets: &Subsets) -> Option<Warning> {
    let target = graphs.target.as_ref()?;
    let TargetKind::Classes { name } = &target.kind else { return None };
    #[allow(
        clippy::cast_sign_loss,
        reason = "members of subsets have a class, and none is negative"
    )]
    let classes = |members: &[u32]| -> BTreeSet<usize> {
        members.iter().map(|&member| target.value[member as usize] as usize).collect()
    };
    let trained = classes(&subsets.train);
    let of_evaluated = |&subset: &Subset| classes(subsets.of(subset));
    let evaluated: BTreeSet<usize> =
        config.evaluation.subsets.iter().flat_map(of_evaluated).collect();
    let untrained: Vec<&str> =
        evaluated.difference(&trained).map(|&class| name[class].as_str()).collect();
    let first = untrained.first()?;
    Some(Warning {
        kind: "untrained_class",
        message: format!(
            "{} of {} classes are evaluated, but no training {} has them (the first is \"{first}\"): they cannot \
             be predicted; choose another split",
            untrained.len(),
            name.len(),
            graphs.level().output()
        ),
        payload: json!({ "classes": untrained }),
    })
}

fn edges_without_weights(config: &Config, graphs: &Graphs) -> Option<Warning> {
    let Topology::One(one) = &graphs.topology else { return None };
    let is_plain = config.model.needs().edge_weight && one.edge_weight.is_empty();
    is_plain.then(|| Warning {
        kind: "edges_without_weights",
        message: format!(
            "the edges have no weights, so \"{}\" sums over the incoming edges of a node without normalisation; \
             dataset.edge_weight = \"symmetric\" or \"row\" is usual",
            config.model.typetag_name()
        ),
        payload: json!({}),
    })
}

/// Node classes that are evaluated but not trained.
fn unseen_classes(config: &Config, graphs: &Graphs, subsets: &Subsets) -> Vec<Warning> {
    if !config.model.needs().node_class {
        return Vec::new();
    }
    let warning = |unseen: unseen::Unseen| Warning {
        kind: "unseen_class",
        message: unseen.message(),
        payload: json!({ "class": unseen.class, "name": unseen.name, "subset": unseen.subset.name(),
            "n_graph": unseen.graphs.len(), "graphs": unseen.graphs }),
    };
    unseen::find(graphs, subsets, &config.evaluation.subsets).into_iter().map(warning).collect()
}

fn oversize(batcher: &str, train: &[GraphSize], events: &[BatchEvent]) -> Option<Warning> {
    let mut large = events.iter().filter(|event| event.kind == "oversize").peekable();
    let done =
        large.peek().and_then(|event| event.message.rsplit_once(": ")).map_or("", |(_, done)| done);
    let n = large.clone().count();
    is_most(n, train).then(|| Warning {
        kind: "mostly_oversize",
        message: format!(
            "{} of {} training graphs are larger than a batch of \"{batcher}\" allows; for each of them, {done}. Use a \
             larger batcher.batch_size or batcher.budget",
            grouped(n as u64),
            grouped(train.len() as u64)
        ),
        payload: json!({ "n_graph": n, "n_train": train.len() }),
    })
}

fn small_training_set(batch_size: Option<u32>, train: &[GraphSize]) -> Option<Warning> {
    let most = batch_size?.saturating_sub(1);
    (train.len() < most as usize).then(|| Warning {
        kind: "small_training_set",
        message: format!(
            "a batch has room for {} graphs, but there are only {} to train on: every batch covers a whole epoch or more; \
             use a smaller batcher.batch_size, or more data",
            grouped(u64::from(most)),
            grouped(train.len() as u64)
        ),
        payload: json!({ "n_train": train.len(), "max_graph": most }),
    })
}

fn without_edges(train: &[GraphSize]) -> Option<Warning> {
    let n = train.iter().filter(|graph| graph.n_edge == 0).count();
    is_most(n, train).then(|| Warning {
        kind: "mostly_without_edges",
        message: format!(
            "{} of {} training graphs have no edge, but a model sees atoms only through edges: use a larger \
             radius in dataset.edges, or check the unit of the positions",
            grouped(n as u64),
            grouped(train.len() as u64)
        ),
        payload: json!({ "n_graph": n, "n_train": train.len() }),
    })
}

fn is_most(n: usize, train: &[GraphSize]) -> bool {
    n > 0 && 2 * n >= train.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graphs(n_edge: &[u32]) -> Vec<GraphSize> {
        let graph = |(id, &n_edge)| GraphSize { id, n_node: 3, n_edge };
        (0..).zip(n_edge).map(graph).collect()
    }

    #[test]
    fn most_is_half_or_more() {
        assert_eq!(without_edges(&graphs(&[0, 2, 2])), None);
        let found = without_edges(&graphs(&[0, 0, 2, 2])).unwrap();
        assert!(found.message.starts_with("2 of 4 training graphs have no edge"), "{found:?}");
        assert_eq!(without_edges(&[]), None);
    }

    #[test]
    fn a_batch_may_hold_the_whole_training_set_but_not_more() {
        let three = graphs(&[2, 2, 2]);
        assert_eq!(
            (small_training_set(Some(4), &three), small_training_set(None, &three)),
            (None, None)
        );
        let found = small_training_set(Some(2001), &three).unwrap();
        assert!(
            found.message.starts_with("a batch has room for 2,000 graphs, but there are only 3"),
            "{found:?}"
        );
    }

    #[test]
    fn oversize_graphs_are_counted() {
        let event = |kind| BatchEvent {
            kind,
            graph: Some(0),
            message: "graph 0 has too many: it is left out".into(),
        };
        let train = graphs(&[2, 2, 2]);
        assert_eq!(oversize("x", &train, &[event("oversize"), event("note")]), None);
        let found = oversize("x", &train, &[event("oversize"), event("oversize")]).unwrap();
        assert!(
            found.message.contains("2 of 3") && found.message.contains("it is left out"),
            "{found:?}"
        );
    }
}
