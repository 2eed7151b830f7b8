//! Conformance kit for models: tests the contract of every model in one line.
//!
//! ```ignore
//! batchlab_testkit::model_conformance!(MyModel::default());
//! ```
//!
//! A model of the nodes of one graph is tested on the same graphs as disconnected parts of a single
//! graph, each with one output.
//!
//! This generates a module with one test per [`Check`], so that a failure names the broken promise.
//! Checks only use the traits `Model` and `Trainer`, so they work for any engine. The kit's graphs
//! provide what the model [needs](batchlab_core::Model::needs). A model with one mistake fails one
//! check (`tests/it/broken_models` has one such model per check). For the meaning of each check,
//! and of its failures, see docs/conformance.md.

mod alter;
mod companions;
mod description;
mod fixture;
mod losses;
mod padding;
mod parameters;
mod refusals;
mod sequence;
mod settings;
mod state;
mod symmetry;
mod training;
mod trial;

use batchlab_core::Model;

use crate::check::{Outcome, checks};
use trial::Trial;

checks! {
    "model", &dyn Model;
    opens: parameters::opens,
        "a model opens, has parameters with names of their own, and takes a step";
    seeds: parameters::seeds,
        "equal seeds give equal parameters, other seeds others";
    inputs: symmetry::inputs,
        "predictions depend on everything that the model asks for";
    node_order: symmetry::node_order,
        "predictions depend neither on the order of nodes nor on that of edges";
    rotation: symmetry::rotation,
        "predictions do not change when a graph is turned or moved in space";
    companions: companions::companions,
        "the prediction of a graph depends neither on its companions, nor on its place, nor on padding";
    single_nodes: companions::single_nodes,
        "a graph without edges has a prediction and gradients, also in a batch without any edge";
    padding_forward: padding::forward,
        "NaN in the padding is computed with and changes no bit of real predictions and of the loss";
    padding_gradients: padding::gradients,
        "garbage in the padding changes neither gradients nor four steps of training";
    padding_bits: padding::bits,
        "more padding changes no bit of real predictions, losses, gradients and updates";
    threads: training::threads,
        "losses, gradients and parameters are equal to the last bit for any number of threads";
    loss: losses::loss,
        "the loss is the weighted sum over outputs that the predictions give, and adds up";
    classification: losses::classification,
        "with cross-entropy, if the model takes it, the loss is the negative log-likelihood";
    zero_weight: losses::zero_weight,
        "an output of weight 0 counts nothing, whatever its target";
    gradient: training::gradient,
        "gradients are those of the loss";
    learns: training::learns,
        "ten steps of the optimiser on one batch lower its loss";
    slots: sequence::slots,
        "the two slots hold two batches that do not disturb each other";
    evaluation: sequence::evaluation,
        "an evaluation leaves what training has recorded untouched";
    steps: sequence::steps,
        "steps in the wrong order are refused";
    resume: state::resume,
        "training goes on from a saved state, to the last bit, as if it had not stopped";
    unfit_state: state::unfit,
        "a state that does not fit is refused and changes nothing";
    bad_batches: refusals::batches,
        "a batch with an unknown class, or without what the model needs, is refused";
    bad_data: refusals::data,
        "data, outputs and devices that the model cannot work with are refused when it opens";
    options: description::options,
        "the options survive their way through TOML";
}

/// Runs one check by name and panics on failure; called by the tests of
/// [`model_conformance!`](crate::model_conformance!).
pub fn check(name: &str, model: &dyn Model) {
    Check::run_named(name, model);
}

/// Runs every check and panics with all failures; for models that are known only at run time.
pub fn check_all(name: &str, model: &dyn Model) {
    Check::run_all(name, model);
}

/// Checks that two settings of one model, which accepts classes, compute the same: predictions, and
/// in training losses and gradients, with the same dropout.
pub fn check_equal(one: &dyn Model, other: &dyn Model) {
    if let Err(found) = settings::equal(one, other) {
        panic!("two settings do not compute the same: {found}");
    }
}

/// Generates the contract tests for a model; see [`model`](mod@crate::model).
///
/// To test several settings of one model, put a name before it: the tests are placed in a module of
/// that name, by default `conformance`.
#[macro_export]
macro_rules! model_conformance {
    ($make:expr) => {
        $crate::model_conformance!(conformance, $make);
    };
    ($module:ident, $make:expr) => {
        $crate::model_conformance!(@tests $module, $make,
            opens seeds inputs node_order rotation companions single_nodes padding_forward
            padding_gradients padding_bits threads loss classification zero_weight gradient learns
            slots evaluation steps resume unfit_state bad_batches bad_data options
        );
    };
    (@tests $module:ident, $make:expr, $($check:ident)*) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may name anything of its file")]
            use super::*;

            /// Names of the tests, to compare with `CHECKS`.
            #[allow(dead_code, reason = "only the kit's own tests ask")]
            pub(super) const TESTED: &[&str] = &[$(stringify!($check)),*];

            $(
                #[test]
                fn $check() {
                    $crate::model::check(stringify!($check), &$make);
                }
            )*
        }
    };
}
