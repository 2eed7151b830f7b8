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
        "every epoch of training names every graph exactly once";
    evaluation: epochs::evaluation,
        "an evaluation names every graph exactly once and then ends";
    evaluation_order: epochs::evaluation_order,
        "an evaluation does not depend on the seed, and goes in the order of the view as training in its own";
    batch_size: room::batch_size,
        "no batch is empty, and none holds more than batch_size - 1 real graphs";
    shape: room::shape,
        "the padded shape has room for the members, a padding node and a padding graph";
    collated: collated::collated,
        "the collated batch is what the plan says, masks and weights included";
    determinism: order::determinism,
        "the same options and the same seed give the same plans";
    seed: order::seed,
        "another seed gives another order";
    threads: order::threads,
        "plans depend neither on the thread, nor on the number of threads, nor on other streams";
    identifiers: order::identifiers,
        "plans name graphs by their identifiers and not by their positions";
    plan_reuse: order::plan_reuse,
        "a plan keeps nothing of what the caller's plan held before";
    composition: composition::composition,
        "batches are composed anew in every epoch, or are fixed and have cache keys";
    cache_keys: composition::cache_keys,
        "plans with the same cache key are the same plan";
    resume: resume::resume,
        "a stream resumes at every cursor as if it had never stopped, and again after that, with every padding";
    carried: resume::carried,
        "a stream also resumes in an epoch that began with carried graphs";
    prefetched: prefetch::prefetched,
        "training that stops and resumes does not depend on how many batches are prepared ahead";
    empty_view: corners::empty_view,
        "no graphs give an error, or an evaluation that ends at once";
    wrong_level: corners::wrong_level,
        "one large graph is refused when the batcher opens";
    one_graph: corners::one_graph,
        "one graph is trained on and evaluated";
    edgeless: corners::edgeless,
        "graphs without edges are graphs";
    oversize: corners::oversize,
        "a graph larger than all others is batched, or refused when the batcher opens";
    metrics: description::metrics,
        "label and metrics are finite, named once, and do not change";
    round_trip: description::round_trip,
        "the options survive their way through TOML";
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
            empty_view wrong_level one_graph edgeless oversize metrics round_trip
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
