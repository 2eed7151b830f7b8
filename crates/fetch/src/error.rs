//! Why something did not arrive.

use std::path::PathBuf;

/// Why something did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The program was built without downloads.
    #[error(
        "this program was built without downloads; build it with `cargo build --release --features download`, \
         or put the files into their places by hand: the option --offline says which"
    )]
    #[cfg(not(feature = "download"))]
    NoDownload,
    /// No server gave what was asked for.
    #[error("{name} could not be fetched:\n{}\n{remedy}", reasons.iter().map(|reason| format!("  {reason}")).collect::<Vec<_>>().join("\n"))]
    Nobody {
        /// What was asked for.
        name: String,
        /// Each address, and what happened there.
        reasons: Vec<String>,
        /// What to do by hand.
        remedy: String,
    },
    /// A file or folder cannot be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What lies in the place of a file is another one.
    #[error(
        "{} exists, but is not the file that was asked for: its SHA-256 is {found}, not {expected}; move it away",
        path.display()
    )]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// As computed.
        found: String,
        /// As pinned.
        expected: String,
    },
    /// An unfinished folder belongs to another query.
    #[error("{} was begun with another query; remove it, or fetch into another folder", path.display())]
    OtherQuery {
        /// The folder.
        path: PathBuf,
    },
    /// A file of checksums cannot be read.
    #[error("{}, line {line}: expected 64 hexadecimal digits, two spaces and a name without folders above, found `{found}`", path.display())]
    Sums {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// The line.
        found: String,
    },
}

/// What happened to one request.
#[derive(Debug)]
pub(crate) enum Fault {
    /// May be better in a while; the server may say when.
    Passing { reason: String, wait_s: Option<u64> },
    /// Nobody is there to answer; that is seldom better in a while.
    #[cfg_attr(not(feature = "download"), expect(dead_code, reason = "nobody is asked"))]
    Unreachable(String),
    /// Will not be better here.
    Lasting(String),
    /// The trouble is on our side.
    Local(FetchError),
}

impl Fault {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait_s: None }
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        Self::Local(error)
    }
}
