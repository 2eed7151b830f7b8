//! Conformance kit: adds the property tests of the contract to a batcher on many graphs in one
//! line.
//!
//! ```ignore
//! batchlab_testkit::conformance!(|batch_size| MyBatcher { batch_size, window: 64 });
//! ```
//!
//! This generates a module with one test per [`Check`], so that a failure names the broken promise.
//! A check varies one thing and passes wherever another check is meant to fail, so that a batcher
//! with one mistake fails one check (`tests/it/broken` has one such batcher per check). For the
//! meaning of each check, and of its failures, see docs/conformance.md.
//!
//! Failing random input is shrunk to a minimal case. The cases are the same in every run.

mod collated;
mod composition;
mod corners;
mod description;
mod epochs;
mod input;
mod order;
mod prefetch;
mod ranks;
mod resume;
mod room;
mod trial;

use batchlab_core::Batcher;
use batchlab_core::padding::BatchSize;

pub use crate::check::Failure;
use crate::check::{Outcome, checks};
pub(crate) use trial::Trial;

/// Creates the batcher under test for a batch size; batchers without one ignore it.
pub type Make<'a> = &'a dyn Fn(BatchSize) -> Box<dyn Batcher>;

checks! {
    "batcher", Make<'_>;
    goes_on: epochs::goes_on,
        "a batcher opens on ordinary graphs, and training never ends";
    exactly_once: epochs::exactly_once,
        "every training epoch contains every graph exactly once";
    evaluation: epochs::evaluation,
        "an evaluation contains every graph exactly once and then ends";
    evaluation_order: epochs::evaluation_order,
        "an evaluation does not depend on the seed, and is in view order unless the batcher reorders";
    batch_size: room::batch_size,
        "no batch is empty or has more than batch_size - 1 real graphs";
    shape: room::shape,
        "the padded shape has room for all members, and for the node and graph that padding needs";
    collated: collated::collated,
        "the collated batch matches its plan, including masks and weights";
    determinism: order::determinism,
        "the same options and seed give the same plans";
    seed: order::seed,
        "a different seed gives a different order";
    threads: order::threads,
        "plans do not depend on the thread, the number of threads or other streams";
    identifiers: order::identifiers,
        "plans refer to graphs by identifier, not by position";
    plan_reuse: order::plan_reuse,
        "a reused plan keeps nothing from the previous batch";
    composition: composition::composition,
        "batches are recomposed every epoch, or are fixed and have cache keys";
    cache_keys: composition::cache_keys,
        "plans with the same cache key are equal";
    resume: resume::resume,
        "a stream resumes exactly at every cursor, more than once, with every padding rule";
    carried: resume::carried,
        "a stream resumes exactly in an epoch that began with carried graphs";
    prefetched: prefetch::prefetched,
        "resumed training does not depend on the prefetch depth";
    ranks: ranks::ranks,
        "ranks share every epoch: each graph once, equal steps, agreed shapes, exact resuming";
    empty_view: corners::empty_view,
        "on an empty view, training is an error and an evaluation has no batches";
    wrong_level: corners::wrong_level,
        "opening on one large graph is an error";
    one_graph: corners::one_graph,
        "a single graph can be trained on and evaluated";
    edgeless: corners::edgeless,
        "graphs without edges are batched like any others";
    oversize: corners::oversize,
        "a graph larger than all others is batched, or rejected on opening";
    metrics: description::metrics,
        "label and metrics are well-formed and do not change";
    round_trip: description::round_trip,
        "the options survive a TOML round trip";
}

/// The promises that can be checked for any batcher and any graphs.
pub(crate) fn promises(trial: &Trial<'_>) -> Outcome {
    corners::sound(trial)?;
    let plans = trial.train_or_stop(7)?;
    plans.iter().try_for_each(|plan| room::graphs_fit(trial, plan))?;
    trial::same(&plans, &trial.train_or_stop(7)?, "opened a second time with the same seed")?;
    resume::resumes_where(trial, |_| true).map(drop)
}

/// Runs one check by name and panics on failure; called by the tests of
/// [`conformance!`](crate::conformance!).
pub fn check(name: &str, make: impl Fn(BatchSize) -> Box<dyn Batcher>) {
    Check::run_named(name, &make);
}

/// Runs every check and panics with all failures; for batchers that are known only at run time.
pub fn check_all(name: &str, make: impl Fn(BatchSize) -> Box<dyn Batcher>) {
    Check::run_all(name, &make);
}

/// Generates the property tests for a batcher on many graphs; see
/// [`conformance`](mod@crate::conformance).
///
/// The expression creates the batcher for a [`BatchSize`]. To test several settings of one batcher,
/// put a name before it: the tests are placed in a module of that name, by default `conformance`.
#[macro_export]
macro_rules! conformance {
    (|$batch_size:pat_param| $make:expr) => {
        $crate::conformance!(conformance, |$batch_size| $make);
    };
    ($module:ident, |$batch_size:pat_param| $make:expr) => {
        $crate::conformance!(@tests $module, |$batch_size| $make,
            goes_on exactly_once evaluation evaluation_order batch_size shape collated determinism
            seed threads identifiers plan_reuse composition cache_keys resume carried prefetched
            ranks empty_view wrong_level one_graph edgeless oversize metrics round_trip
        );
    };
    (@tests $module:ident, |$batch_size:pat_param| $make:expr, $($check:ident)*) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may name anything of its file")]
            use super::*;

            fn make(
                $batch_size: $crate::conformance::__private::BatchSize,
            ) -> Box<dyn $crate::conformance::__private::Batcher> {
                Box::new($make)
            }

            /// Names of the tests, to compare with `CHECKS`.
            #[allow(dead_code, reason = "only the kit's own tests ask")]
            pub(super) const TESTED: &[&str] = &[$(stringify!($check)),*];

            $(
                #[test]
                fn $check() {
                    $crate::conformance::check(stringify!($check), make);
                }
            )*
        }
    };
}

#[doc(hidden)]
pub mod __private {
    pub use batchlab_core::Batcher;
    pub use batchlab_core::padding::BatchSize;
}
