//! Imports published results of others into batchlab's tables.
//!
//! The authors of arXiv 2502.00944 publish their measurements as CSV files, one row per run, with
//! means and medians of times and the errors at checkpoints. [`read`] parses such files;
//! [`tables`] converts them to records, and flags wrong values. Nothing is dropped: a doubtful value is
//! kept under a name that says so.
//!
//! | in the CSV | in the tables |
//! |---|---|
//! | a row | a row of `runs`; the text of the row is in `config` under `imported` |
//! | `experiment_completed` other than `True` | `status = 'failed'` and why, in `error` |
//! | `recompilation_counter` | `runs.n_shape` |
//! | `step_N_batching_time_mean`, `_median` | `metrics`: `published.batching_mean_ns`, `published.batching_median_ns` |
//! | `step_N_update_time_mean`, `_median`, which include batching | `metrics`: `published.combined_mean_ns`, `published.combined_median_ns` |
//! | `step_N_{train,val,test}_rmse` | `evals.rmse` |
//! | the same, where the number is a mean absolute error | `evals.mae`, no `rmse`, and an event `import.mae_as_rmse` |
//! | a row whose times are those of another campaign | `status = 'failed'`, an event `import.back_filled` |

mod back_filled;
mod header;
mod mae_as_rmse;
mod records;
mod row;

use std::path::PathBuf;

pub use records::{Counts, Imported, tables};
pub use row::{Cell, PublishedFile, PublishedRow, Times, read};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Csv { path: PathBuf, source: csv::Error },
    #[error(
        "{path}: there is no column `{column}`; give a file of results as the authors of arXiv \
         2502.00944 publish them"
    )]
    MissingColumn { path: PathBuf, column: String },
    #[error("{path}: times after {first} and after {second} steps in one file; split it")]
    TwoLengths { path: PathBuf, first: i64, second: i64 },
    #[error("{path}, line {line}, column `{column}`: \"{value}\" is not {expected}")]
    Value {
        path: PathBuf,
        /// From 1.
        line: u64,
        column: String,
        value: String,
        expected: &'static str,
    },
    #[error("{path}, line {line}: the same run as line {first}; remove one of them")]
    Twice {
        path: PathBuf,
        /// The line of the second row, from 1.
        line: u64,
        /// The line of the first.
        first: u64,
    },
    #[error("cannot make columns of the rows: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
}
