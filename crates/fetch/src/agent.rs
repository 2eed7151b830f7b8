//! The HTTP client: `ureq`.

use std::io::ErrorKind;

use crate::client::{Answer, Patience};
use crate::error::Fault;

pub(crate) struct Agent(ureq::Agent);

impl Agent {
    pub(crate) fn new(patience: &Patience) -> Self {
        let config = ureq::Agent::config_builder()
            .user_agent(concat!("batchlab/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence))
            .max_redirects(10)
            .build();
        Self(config.new_agent())
    }

    pub(crate) fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Fault> {
        let mut request = self.0.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = request.call().map_err(|error| judge(&error))?.into_parts();
        let body = Box::new(body.into_reader());
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

fn judge(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::TooManyRedirects
        | ureq::Error::RedirectFailed
        | ureq::Error::Rustls(_)
        | ureq::Error::Tls(_)
        | ureq::Error::HostNotFound => Fault::Permanent(error.to_string()),
        ureq::Error::Io(source) if is_unreachable(source) => Fault::Unreachable(error.to_string()),
        other => Fault::temporary(other.to_string()),
    }
}

/// Whether the server cannot be reached: unknown name, no route, or connection refused.
fn is_unreachable(error: &std::io::Error) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    );
    // A failed look-up of a name has no kind of its own.
    kind || error.to_string().contains("lookup address information")
}
