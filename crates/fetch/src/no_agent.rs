//! Stands in for the HTTP client in a program that was built without downloads.

use crate::client::{Answer, Patience};
use crate::error::{Fault, FetchError};

pub(crate) struct Agent;

impl Agent {
    pub(crate) fn new(_patience: &Patience) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as the one that speaks HTTP")]
    pub(crate) fn ask(&self, _url: &str, _headers: &[(&str, &str)]) -> Result<Answer, Fault> {
        Err(FetchError::NoDownload.into())
    }
}
