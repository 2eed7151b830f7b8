//! Errors of downloads.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    #[error(
        "this program was built without downloads; build it with `cargo build --release --features download`, \
         or put the files into their places by hand: the option --offline says which"
    )]
    #[cfg(not(feature = "download"))]
    NoDownload,
    #[error("{name} could not be fetched:\n{}\n{remedy}", reasons.iter().map(|reason| format!("  {reason}")).collect::<Vec<_>>().join("\n"))]
    Nobody { name: String, reasons: Vec<String>, remedy: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} exists, but is not the file that was asked for: its SHA-256 is {found}, not {expected}; move it away",
        path.display()
    )]
    OtherFile { path: PathBuf, found: String, expected: String },
    #[error("{} was begun with another query; remove it, or fetch into another folder", path.display())]
    OtherQuery { path: PathBuf },
    #[error("{}, line {line}: expected 64 hexadecimal digits, two spaces and a name without folders above, found `{found}`", path.display())]
    Sums {
        path: PathBuf,
        /// 1-based.
        line: usize,
        found: String,
    },
}

/// What happened to one request.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Worth trying again later; the server may say when.
    Temporary { reason: String, wait_s: Option<u64> },
    /// The server cannot be reached; trying again rarely helps.
    #[cfg_attr(not(feature = "download"), expect(dead_code, reason = "nobody is asked"))]
    Unreachable(String),
    /// Trying again does not help.
    Permanent(String),
    /// A local failure, for example a full disk.
    Local(FetchError),
}

impl Fault {
    pub(crate) fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), wait_s: None }
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        Self::Local(error)
    }
}
