//! From a configuration to published results.
//!
//! * [`cache`]: loaded graphs, kept for the next time;
//! * [`mod@run`]: one run from top to bottom, and its parts: splitting, the pipeline that prepares
//!   batches, training, evaluation, the shape ledger, the records;
//! * [`journal`]: every record, on the disk while the run is at work;
//! * [`study`]: many runs that are compared, trained in turns;
//! * [`mod@checkpoint`]: what a run needs to go on as if it had never stopped;
//! * [`run::Judge`] and [`judged`]: a checkpoint judged afterwards, its predictions and its weights;
//! * [`publish`]: results are written elsewhere, verified, and renamed into place;
//! * [`doctor`]: salvages what crashed runs have left, and finds damaged files;
//! * [`provenance`]: what a reader must know to trust a number.
//!
//! The configuration itself is `batchlab_config`'s. This crate knows no plugin by name.

pub mod cache;
pub mod checkpoint;
pub mod doctor;
pub mod error;
pub mod journal;
pub mod judged;
pub mod observer;
pub mod provenance;
pub mod publish;
pub mod run;
pub mod study;

pub use cache::Cache;
pub use error::RunError;
pub use observer::Observer;
pub use run::{RunOptions, RunSummary, Status, resume, run};
pub use study::Study;
