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
mod exchange;
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

use std::num::NonZeroU32;

use batchlab_core::Model;

use crate::check::{Outcome, checks};
use trial::Trial;

checks! {
    "model", &dyn Model;
    opens: parameters::opens,
        "a model opens, has uniquely named parameters, and computes their gradients";
    seeds: parameters::seeds,
        "equal seeds give equal parameters, different seeds different ones";
    inputs: symmetry::inputs,
        "predictions depend on every field that the model needs";
    node_order: symmetry::node_order,
        "predictions do not depend on the order of nodes or edges";
    rotation: symmetry::rotation,
        "predictions do not change when a graph is rotated or translated";
    companions: companions::companions,
        "the prediction of a graph does not depend on other graphs, its position in the batch, or padding";
    single_nodes: companions::single_nodes,
        "a graph without edges has a finite prediction and gradients, even if the batch has no edges";
    padding_forward: padding::forward,
        "padding is computed, and NaN in it changes no bit of real predictions or the loss";
    padding_gradients: padding::gradients,
        "garbage in the padding changes neither gradients nor four training steps";
    padding_bits: padding::bits,
        "more padding changes no bit of real predictions, losses, gradients or updates";
    threads: training::threads,
        "losses, gradients and parameters are bit-identical for any number of threads";
    loss: losses::loss,
        "the loss is the weighted sum computed from the predictions, and is additive over outputs";
    classification: losses::classification,
        "cross-entropy, if the model supports it, is the negative log-likelihood";
    zero_weight: losses::zero_weight,
        "an output of weight 0 has no effect, whatever its target";
    gradient: training::gradient,
        "gradients match finite differences of the loss";
    exchange: exchange::exchange,
        "replaced gradients update as own ones do, also on a trainer that has none";
    learns: training::learns,
        "ten optimiser steps on one batch lower its loss";
    slots: sequence::slots,
        "the two slots hold two independent batches";
    evaluation: sequence::evaluation,
        "an evaluation between forward and backward does not disturb training";
    steps: sequence::steps,
        "calls in the wrong order are errors";
    resume: state::resume,
        "training resumes from a saved state bit for bit";
    unfit_state: state::unfit,
        "a state that does not fit is rejected and changes nothing";
    bad_batches: refusals::batches,
        "a batch with an unknown class, or without a field that the model needs, is rejected";
    bad_data: refusals::data,
        "unsupported data, outputs and devices are rejected on opening";
    options: description::options,
        "the options survive a TOML round trip";
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
        panic!("two settings differ: {found}");
    }
}

/// Checks the stated size of a model of classes of nodes with this many layers: its parameters are
/// counted right, and each layer keeps more of a batch.
pub fn check_size(with_layers: impl Fn(NonZeroU32) -> Box<dyn Model>) {
    if let Err(found) = settings::size(with_layers) {
        panic!("its size: {found}");
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
            padding_gradients padding_bits threads loss classification zero_weight gradient
            exchange learns slots evaluation steps resume unfit_state bad_batches bad_data options
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
