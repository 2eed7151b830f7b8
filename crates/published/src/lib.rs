//! Published results of others as rows of our tables.
//!
//! The authors of arXiv 2502.00944 publish their measurements as CSV files, one row per run, with
//! means and medians of times and the errors at checkpoints. [`read`] takes such files apart,
//! [`tables`] finds what is not what it says, and turns the rest into records. Nothing is dropped:
//! what is doubtful keeps its value, under a name that says so.
//!
//! | in the CSV | in our tables |
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
pub use row::{Cell, PublishedFile, PublishedRow, Split, Times, read};

/// Why published results were not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not CSV.
    #[error("{path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the reader says, with the line.
        source: csv::Error,
    },
    /// A column is missing.
    #[error(
        "{path}: there is no column `{column}`; give a file of results as the authors of arXiv \
         2502.00944 publish them"
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// Times of several lengths of training stand in one file.
    #[error("{path}: times after {first} and after {second} steps in one file; split it")]
    TwoLengths {
        /// The file.
        path: PathBuf,
        /// One length.
        first: i64,
        /// The other.
        second: i64,
    },
    /// A value that cannot be what its column says.
    #[error("{path}, line {line}, column `{column}`: \"{value}\" is not {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Two rows are the same run.
    #[error("{path}, line {line}: the same run as line {first}; remove one of them")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line of the second row, from 1.
        line: u64,
        /// The line of the first.
        first: u64,
    },
    /// Arrow refuses the rows.
    #[error("cannot make columns of the rows: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
}
