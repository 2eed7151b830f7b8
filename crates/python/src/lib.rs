//! The extension module of the Python package `batchlab`.
//!
//! Python prepares arrays and options; this crate plans, collates, reads results and judges times
//! with the other crates of the workspace. `crates/python/python/batchlab` wraps it and is the
//! public interface; docs/python.md describes it.

#![allow(clippy::needless_pass_by_value, reason = "functions own what Python passes")]

mod arena;
mod batches;
mod compare;
mod error;
mod forecast;
mod groups;
mod interrupt;
mod planner;
mod ranks;
mod results;
mod store;

use std::ffi::OsString;
use std::process::ExitCode;

use pyo3::prelude::*;

/// Runs the command line. `program` is the command that starts it, such as `python -m batchlab`,
/// and `arguments` are those behind it. Returns the exit code.
#[pyfunction]
fn main(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    let code = py.detach(|| batchlab_cli::main_as(program, arguments));
    // `ExitCode` does not tell its value.
    (0..=u8::MAX).find(|&value| ExitCode::from(value) == code).unwrap_or(1)
}

#[pymodule(gil_used = false)]
fn _batchlab(module: &Bound<'_, PyModule>) -> PyResult<()> {
    batchlab_builtin::link();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<arena::Arena>()?;
    module.add_class::<batches::Batches>()?;
    module.add_class::<planner::Epoch>()?;
    module.add_class::<planner::Planner>()?;
    module.add_class::<results::Table>()?;
    module.add_class::<store::Store>()?;
    module.add_function(wrap_pyfunction!(compare::turns, module)?)?;
    module.add_function(wrap_pyfunction!(compare::verdict, module)?)?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(planner::labels, module)?)?;
    module.add_function(wrap_pyfunction!(planner::options, module)?)?;
    module.add_function(wrap_pyfunction!(planner::permutation, module)?)?;
    module.add_function(wrap_pyfunction!(planner::strategy, module)?)?;
    module.add_function(wrap_pyfunction!(ranks::assignments, module)?)?;
    module.add_function(wrap_pyfunction!(results::read, module)?)
}
