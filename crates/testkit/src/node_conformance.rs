//! Conformance kit for batchers on the nodes of one graph.
//!
//! ```ignore
//! batchlab_testkit::node_conformance!(MyBatcher { n_output: 16 });
//! batchlab_testkit::node_conformance!(sampled: MySampler { n_root: 16 });
//! ```
//!
//! This generates a module with one test per [`Check`]. A batcher with one mistake fails one check
//! (`tests/it/broken_nodes` has one such batcher per check). For the meaning of each check see
//! docs/conformance.md. The kit's graphs have 64 to 90 nodes, of which a third to two thirds are
//! outputs.

mod graphs;
mod plans;

use batchlab_core::batcher::Purpose;
use batchlab_core::{BatchPlan, Batcher};

pub use crate::check::Failure;
use crate::check::{Outcome, checks};
use crate::nodes::Case;
use graphs::{for_all, with_classes};
use plans::{evaluate, foreign, open, resumes, same, sound, times_named, train};

/// The batcher under test.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub make: &'a dyn Fn() -> Box<dyn Batcher>,
    /// Whether a training epoch may contain an output several times, or never.
    pub sampled: bool,
}

checks! {
    "batcher", Subject<'_>;
    node_batches: node_batches,
        "members, edges, outputs and sizes match the graph, and the batch can be collated";
    output_permutation: output_permutation,
        "every output occurs once per training epoch (unless sampled), at most once per batch; \
         batches_per_epoch() is correct";
    output_evaluation: output_evaluation,
        "an evaluation contains every output exactly once and then ends";
    foreign_outputs: foreign_outputs,
        "no output is a node of another subset";
    foreign_labels: foreign_labels,
        "plans do not depend on the classes of nodes that are not outputs";
    node_resume: node_resume,
        "the same seed gives the same plans, and a stream resumes exactly at every cursor";
    isolated_nodes: isolated_nodes,
        "outputs without edges are not dropped";
    directed_graph: directed_graph,
        "a directed graph is batched correctly, or rejected on opening";
    hub_node: hub_node,
        "a node of very high degree is batched correctly";
}

fn node_batches(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        let mut plans = train(batcher, case)?;
        plans.extend(evaluate(batcher, case)?);
        sound(case, &plans)
    })
}

fn output_permutation(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        let plans = train(batcher, case)?;
        for plan in &plans {
            once(case, std::slice::from_ref(plan), "a batch", true)?;
        }
        let epochs = plans.last().map_or(0, |plan| plan.cursor.epoch + 1);
        for epoch in (0..epochs).filter(|_| !subject.sampled) {
            let of_epoch: Vec<BatchPlan> =
                plans.iter().filter(|plan| plan.cursor.epoch == epoch).cloned().collect();
            once(case, &of_epoch, &format!("epoch {epoch}"), false)?;
        }
        let stream = open(batcher, case, Purpose::Training).map_err(|error| error.to_string())?;
        let Some(stated) = stream.batches_per_epoch() else {
            return Ok(());
        };
        let n_batch = |epoch| plans.iter().filter(|plan| plan.cursor.epoch == epoch).count() as u64;
        let other =
            (0..epochs).map(|epoch| (epoch, n_batch(epoch))).find(|&(_, n)| n != stated.get());
        other.map_or(Ok(()), |(epoch, n)| {
            Err(format!("epoch {epoch} has {n} batches, but batches_per_epoch() is {stated}"))
        })
    })
}

fn output_evaluation(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        once(case, &evaluate(batcher, case)?, "the evaluation", false)
    })
}

/// Nodes that are not outputs are checked by `foreign_outputs`.
fn once(case: &Case, plans: &[BatchPlan], what: &str, at_most: bool) -> Outcome {
    let named = times_named(plans);
    for output in &case.output {
        let n = named.get(output).copied().unwrap_or(0);
        if n > 1 || n == 0 && !at_most {
            return Err(format!("{what} contains output {output} {n} times"));
        }
    }
    Ok(())
}

fn foreign_outputs(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        let mut plans = train(batcher, case)?;
        plans.extend(evaluate(batcher, case)?);
        foreign(case, &plans).map_or(Ok(()), |node| {
            Err(format!("node {node} is an output of a batch, but not one of {:?}", case.output))
        })
    })
}

fn foreign_labels(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        let other = with_classes(
            case,
            |node, class| {
                if case.output.contains(&node) { class } else { 2 - class }
            },
        );
        let what = "with other classes for nodes that are not outputs";
        let plans = train(batcher, case)?;
        // Plans that are not reproducible are reported by `node_resume`.
        if plans == train(batcher, case)? {
            same(&plans, &train(batcher, &other)?, what)?;
        }
        same(&evaluate(batcher, case)?, &evaluate(batcher, &other)?, what)
    })
}

fn node_resume(subject: Subject<'_>) -> Outcome {
    for_all(subject, graphs::ordinary(), |batcher, case| {
        let plans = train(batcher, case)?;
        same(&plans, &train(batcher, case)?, "opened a second time with the same seed")?;
        resumes(batcher, case, &plans)
    })
}

fn isolated_nodes(subject: Subject<'_>) -> Outcome {
    // Failures on ordinary graphs are reported by these checks.
    if [node_batches, output_permutation, output_evaluation].iter().any(|c| c(subject).is_err()) {
        return Ok(());
    }
    for_all(subject, graphs::isolated(), |batcher, case| {
        let evaluated = evaluate(batcher, case)?;
        once(case, &evaluated, "the evaluation", false)?;
        let trained = train(batcher, case)?;
        if !subject.sampled {
            let first: Vec<BatchPlan> =
                trained.iter().filter(|plan| plan.cursor.epoch == 0).cloned().collect();
            once(case, &first, "epoch 0", false)?;
        }
        sound(case, &evaluated)?;
        sound(case, &trained)
    })
}

fn directed_graph(subject: Subject<'_>) -> Outcome {
    if node_batches(subject).is_err() {
        return Ok(());
    }
    for_all(subject, graphs::directed(), |batcher, case| {
        for purpose in [Purpose::Training, Purpose::Evaluation] {
            match plans::open(batcher, case, purpose) {
                Err(error) if error.to_string().trim().is_empty() => {
                    return Err("it is rejected without a reason".into());
                }
                Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        let mut plans = train(batcher, case)?;
        plans.extend(evaluate(batcher, case)?);
        sound(case, &plans)
    })
}

fn hub_node(subject: Subject<'_>) -> Outcome {
    if node_batches(subject).is_err() {
        return Ok(());
    }
    let case = graphs::hub();
    let batcher = (subject.make)();
    let mut plans = evaluate(&*batcher, &case)?;
    plans.extend(train(&*batcher, &case)?);
    sound(&case, &plans)
}

/// Runs one check by name and panics on failure.
pub fn check(name: &str, sampled: bool, make: impl Fn() -> Box<dyn Batcher>) {
    Check::run_named(name, Subject { make: &make, sampled });
}

/// Runs every check and panics with all failures; for batchers that are known only at run time.
pub fn check_all(name: &str, sampled: bool, make: impl Fn() -> Box<dyn Batcher>) {
    Check::run_all(name, Subject { make: &make, sampled });
}

/// Generates the tests for a batcher on the nodes of one graph; see
/// [`node_conformance`](mod@crate::node_conformance).
///
/// To test several settings of one batcher, put a name before the expression: the tests are placed
/// in a module of that name, by default `conformance`.
#[macro_export]
macro_rules! node_conformance {
    (sampled: $make:expr) => {
        $crate::node_conformance!(@tests conformance, true, $make);
    };
    ($module:ident, $make:expr) => {
        $crate::node_conformance!(@tests $module, false, $make);
    };
    ($make:expr) => {
        $crate::node_conformance!(@tests conformance, false, $make);
    };
    (@tests $module:ident, $sampled:literal, $make:expr) => {
        $crate::node_conformance!(@each $module, $sampled, $make,
            node_batches output_permutation output_evaluation foreign_outputs foreign_labels
            node_resume isolated_nodes directed_graph hub_node
        );
    };
    (@each $module:ident, $sampled:literal, $make:expr, $($check:ident)*) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may name anything of its file")]
            use super::*;

            /// Names of the tests, to compare with `CHECKS`.
            #[allow(dead_code, reason = "only the kit's own tests ask")]
            pub(super) const TESTED: &[&str] = &[$(stringify!($check)),*];

            $(
                #[test]
                fn $check() {
                    $crate::node_conformance::check(stringify!($check), $sampled, || Box::new($make));
                }
            )*
        }
    };
}
