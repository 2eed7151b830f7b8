//! One file from one of several places.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use batchlab_core::progress::Progress;
use batchlab_files::open_data;

use crate::client::{Answer, html, is_html};
use crate::error::Fault;
use crate::part::{Origin, Part, beside, hash};
use crate::{Client, FetchError};

#[derive(Debug, Clone)]
pub struct Remote {
    /// The name under which it is kept.
    pub name: String,
    /// Where it can be had, the best place first.
    pub urls: Vec<String>,
    pub n_byte: u64,
    /// Its SHA-256, as 64 hexadecimal digits.
    pub sha256: String,
}

/// How a file came to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    BeforeHand,
    Now,
}

/// Bytes read at once.
const BLOCK: usize = 1 << 16;

/// A server that brings less than this part of a file, in all the attempts that it has, is given up.
const N_PROGRESS: u64 = 100;

impl Remote {
    /// Instructions for getting the file by hand.
    #[must_use]
    pub fn by_hand(&self, folder: &Path) -> String {
        format!(
            "put the file {} ({} bytes, SHA-256 {}) into {}; it can be had from {}",
            self.name,
            self.n_byte,
            self.sha256,
            folder.display(),
            self.urls.join(" or ")
        )
    }

    /// Whether the file lies in a folder already.
    ///
    /// # Errors
    /// Another file in its place, or one that cannot be read.
    pub fn is_in(&self, folder: &Path) -> Result<bool, FetchError> {
        let path = folder.join(&self.name);
        let failed = |source| FetchError::Io { path: path.clone(), source };
        let mut file = match open_data(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let found = hash(&mut file).map_err(failed)?;
        if found == self.sha256 {
            return Ok(true);
        }
        Err(FetchError::OtherFile { path, found, expected: self.sha256.clone() })
    }
}

impl Client {
    /// Brings a file into a folder, unless it is there.
    ///
    /// # Errors
    /// [`FetchError::Nobody`] with what happened at every address; another file in its place; a folder
    /// that cannot be written.
    pub fn file(
        &self,
        remote: &Remote,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Arrived, FetchError> {
        if remote.is_in(folder)? {
            return Ok(Arrived::BeforeHand);
        }
        fs::create_dir_all(folder)
            .map_err(|source| FetchError::Io { path: folder.to_owned(), source })?;
        let place = folder.join(&remote.name);
        let mut part = Part::open(&beside(&place, "part"))?;
        progress.start(&format!("fetching {}", remote.name), Some(remote.n_byte));
        progress.advance(part.n_byte);
        let fetched = self.try_all(remote, &mut part, progress);
        progress.finish();
        match fetched? {
            Ok(()) => part.publish(&place).map(|()| Arrived::Now),
            Err(reasons) => {
                let remedy = remote.by_hand(folder);
                Err(FetchError::Nobody { name: remote.name.clone(), reasons, remedy })
            }
        }
    }

    /// The inner error lists why each address failed.
    fn try_all(
        &self,
        remote: &Remote,
        part: &mut Part,
        progress: &dyn Progress,
    ) -> Result<Result<(), Vec<String>>, FetchError> {
        let mut reasons = Vec::new();
        for url in &remote.urls {
            // What an earlier attempt left may be wrong: then everything is fetched once more.
            for continued in [part.n_byte > 0, false] {
                // What counts is the file's length beyond any before: a server that always begins anew, or
                // that sends a byte per connection, gets nowhere.
                let mut mark = part.n_byte;
                let attempt = self.retry(url, progress, |is_further| {
                    let piece = self.piece(url, remote, part, progress);
                    *is_further = part.n_byte > mark + remote.n_byte / N_PROGRESS;
                    if *is_further {
                        mark = part.n_byte;
                    }
                    piece
                });
                let wrong = match attempt {
                    Ok(()) => match part.sha256()? {
                        found if found == remote.sha256 => return Ok(Ok(())),
                        found => format!("the SHA-256 is {found}, not {}", remote.sha256),
                    },
                    Err(Fault::Local(error)) => return Err(error),
                    Err(
                        Fault::Permanent(reason)
                        | Fault::Unreachable(reason)
                        | Fault::Temporary { reason, .. },
                    ) => {
                        reasons.push(format!("{url}: {reason}"));
                        break;
                    }
                };
                part.clear()?;
                if !continued {
                    reasons.push(format!("{url}: {wrong}"));
                    break;
                }
                progress.note(&format!(
                    "{wrong} after continuing an unfinished file; fetching it whole"
                ));
            }
        }
        Ok(Err(reasons))
    }

    /// One request, for what is still missing.
    fn piece(
        &self,
        url: &str,
        remote: &Remote,
        part: &mut Part,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        if part.n_byte == remote.n_byte {
            return Ok(());
        }
        if part.n_byte > remote.n_byte {
            part.clear()?;
        }
        let origin = part.origin().filter(|origin| origin.url == url).unwrap_or_default();
        let range = format!("bytes={}-", part.n_byte);
        let mut headers = Vec::new();
        if part.n_byte > 0 {
            headers.push(("range", range.as_str()));
            // Only a strong ETag guarantees the same bytes. Without one the hash decides.
            if let Some(etag) = origin.etag.as_deref().filter(|etag| etag.starts_with('"')) {
                headers.push(("if-range", etag));
            }
        }
        let answer = self.get(url, &headers)?;
        match answer.status.as_u16() {
            206 => check_range(&answer, part, remote)?,
            416 => {
                part.clear()?;
                return Err(Fault::temporary("it does not continue the file"));
            }
            _ => {
                // The server begins anew: ranges are refused, or the file has changed.
                part.clear()?;
                check_length(&answer, remote)?;
            }
        }
        let etag = answer.header("etag").map(str::to_owned);
        part.set_origin(&Origin { url: url.to_owned(), etag })?;
        receive(answer, remote, part, progress)
    }
}

fn check_length(answer: &Answer, remote: &Remote) -> Result<(), Fault> {
    let stated = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
    match stated {
        Some(stated) if stated != remote.n_byte => {
            Err(Fault::Permanent(format!("its file has {stated} bytes, not {}", remote.n_byte)))
        }
        _ => Ok(()),
    }
}

/// `bytes 100-199/200`: it must begin where we stopped, and be a part of the same length.
fn check_range(answer: &Answer, part: &mut Part, remote: &Remote) -> Result<(), Fault> {
    let range = answer.header("content-range").unwrap_or_default().to_owned();
    let numbers = range.strip_prefix("bytes ").and_then(|range| {
        let (span, total) = range.split_once('/')?;
        let (first, _) = span.split_once('-')?;
        Some((first.parse::<u64>().ok()?, total.parse::<u64>().ok()))
    });
    match numbers {
        Some((first, total))
            if first == part.n_byte && total.is_none_or(|total| total == remote.n_byte) =>
        {
            Ok(())
        }
        _ => {
            part.clear()?;
            Err(Fault::temporary(format!(
                "it continues the file with `{range}`, which does not fit"
            )))
        }
    }
}

fn receive(
    mut answer: Answer,
    remote: &Remote,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), Fault> {
    let mut block = vec![0; BLOCK];
    loop {
        let n = match answer.body.read(&mut block) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fault::temporary(format!("it broke off ({error})"))),
        };
        if n == 0 {
            break;
        }
        let bytes = &block[..n];
        if part.n_byte == 0 && is_html(bytes) {
            return Err(html(bytes.chain(answer.body)));
        }
        if part.n_byte + n as u64 > remote.n_byte {
            part.clear()?;
            return Err(Fault::Permanent(format!("it sends more than {} bytes", remote.n_byte)));
        }
        part.append(bytes)?;
        progress.advance(n as u64);
    }
    if part.n_byte == remote.n_byte {
        Ok(())
    } else {
        let n_byte = part.n_byte;
        Err(Fault::temporary(format!("it ended after {n_byte} of {} bytes", remote.n_byte)))
    }
}
