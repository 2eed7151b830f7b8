//! Requests, and when to repeat them.

use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use batchlab_core::error::shown;
use batchlab_core::progress::Progress;
use http::{HeaderMap, StatusCode, Uri};

use crate::agent::Agent;
use crate::error::Fault;

/// How long to wait, and how often to ask.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Requests in a row that bring a file no hundredth further before a server is given up; for a page,
    /// requests in a row that fail.
    pub attempts: u32,
    /// Pause after the first of them; it doubles with each.
    pub pause: Duration,
    /// The longest pause, also where the server asks for a longer one.
    pub longest_pause: Duration,
    /// Silence after which a connection counts as broken.
    pub silence: Duration,
    /// Least time between two requests for pages.
    pub between_pages: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(120),
            silence: Duration::from_secs(60),
            between_pages: Duration::from_secs(1),
        }
    }
}

pub struct Client {
    agent: Agent,
    pub(crate) patience: Patience,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Box<dyn Read>,
}

impl Client {
    /// A client that names itself to servers.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { agent: Agent::new(&patience), patience }
    }

    /// Asks, and judges the status and the kind of the answer.
    pub(crate) fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Fault> {
        let answer = self.agent.ask(url, headers)?;
        let status = answer.status;
        match status.as_u16() {
            200 | 206 | 416 => {}
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                let wait_s =
                    answer.header("retry-after").and_then(|value| value.trim().parse().ok());
                return Err(Fault::Temporary { reason: format!("it answers {status}"), wait_s });
            }
            _ => return Err(Fault::Permanent(format!("it answers {status}"))),
        }
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(html(answer.body));
        }
        Ok(answer)
    }

    /// Repeats what fails temporarily, with growing pauses and a note before each. `ask` reports
    /// whether there is more than ever before; if so, the count starts again. A server that cannot be
    /// reached is asked twice at most.
    pub(crate) fn retry<T>(
        &self,
        url: &str,
        progress: &dyn Progress,
        mut ask: impl FnMut(&mut bool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut pause = self.patience.pause;
        let mut n_idle = 0;
        loop {
            let mut is_further = false;
            let (reason, wait_s, attempts) = match ask(&mut is_further) {
                Err(Fault::Temporary { reason, wait_s }) => {
                    (reason, wait_s, self.patience.attempts)
                }
                Err(Fault::Unreachable(reason)) => (reason, None, self.patience.attempts.min(2)),
                other => return other,
            };
            if is_further {
                (n_idle, pause) = (0, self.patience.pause);
            }
            n_idle += 1;
            if n_idle >= attempts {
                return Err(Fault::Permanent(format!("{reason}, {n_idle} times")));
            }
            let wait = wait_s.map_or(pause, Duration::from_secs);
            if wait > self.patience.longest_pause {
                let reason =
                    format!("{reason} and asks to wait {} s; try again later", wait.as_secs());
                return Err(Fault::Permanent(reason));
            }
            let wait_s = wait.as_secs_f64();
            progress.note(&format!("{url}: {reason}; trying again in {wait_s} s"));
            sleep(wait);
            pause = (2 * pause).min(self.patience.longest_pause);
        }
    }

    /// Waits until enough time has passed since the last request.
    pub(crate) fn pace(&self, last: Option<Instant>) {
        if let Some(last) = last {
            sleep(self.patience.between_pages.saturating_sub(last.elapsed()));
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Whether an address is one that can be asked.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check_url(url: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().map_err(|error| error.to_string());
    let problem = match &uri {
        Err(problem) => problem,
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => "no http or https",
        Ok(uri) if uri.host().is_none_or(str::is_empty) => "no host",
        Ok(_) => return Ok(()),
    };
    let url = shown(url);
    Err(format!(
        "`{url}` is not an address ({problem}); write for example `https://example.org/data`"
    ))
}

/// An HTML page instead of data; its title often says why.
pub(crate) fn html(body: impl Read) -> Fault {
    let mut start = Vec::new();
    let _ = body.take(4096).read_to_end(&mut start);
    Fault::Permanent(format!("it answers with a page of HTML{}", title(&start)))
}

fn title(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        Some(page[start..start + lower[start..].find('<')?].trim().to_owned())
    });
    let plain =
        |title: String| title.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
    title.map_or_else(String::new, |title| format!(", \"{}\"", plain(title)))
}

pub(crate) fn is_html(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    ["<!doctype html", "<html"].iter().any(|tag| {
        start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag.as_bytes()))
    })
}
