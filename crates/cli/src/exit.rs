//! Exit codes, and the errors from which they are derived.

use std::process::ExitCode;

use batchlab_config::Diagnostic;
use batchlab_run::{RunError, Status};
use batchlab_study::StudyError;

pub(crate) const OTHER: u8 = 1;
const CONFIG: u8 = 2;
pub(crate) const DATA: u8 = 3;
const NOT_FINITE: u8 = 5;
pub(crate) const INTERRUPTED: u8 = 6;
pub(crate) const PARTIAL: u8 = 7;
/// No later call to the GPU succeeds in this process. A sweep continues in a new one.
pub(crate) const DEVICE_LOST: u8 = 8;

pub(crate) fn code_of_status(status: Status) -> ExitCode {
    match status {
        Status::Completed => ExitCode::SUCCESS,
        Status::NotFinite => NOT_FINITE.into(),
        Status::Interrupted => INTERRUPTED.into(),
        Status::Failed => OTHER.into(),
    }
}

pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    number_of(error).into()
}

/// The same as a number.
pub(crate) fn number_of(error: &anyhow::Error) -> u8 {
    match run_error(error) {
        Some(error) if error.is_config() => CONFIG,
        Some(error) if error.is_data() => DATA,
        Some(error) if error.is_device_lost() => DEVICE_LOST,
        None if error.is::<Diagnostic>() || error.is::<Usage>() => CONFIG,
        None if error.is::<DataFault>() => DATA,
        _ => OTHER,
    }
}

/// The run error contained in an error, also if it comes from a run of a study.
pub(crate) fn run_error(error: &anyhow::Error) -> Option<&RunError> {
    match error.downcast_ref::<StudyError>() {
        Some(StudyError::Run(error)) => Some(error),
        _ => error.downcast_ref::<RunError>(),
    }
}

/// `batchlab list | head` closes our output, which is not an error.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Missing, damaged or unavailable data.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DataFault(pub(crate) String);

impl DataFault {
    #[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn of(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Wrong arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);
