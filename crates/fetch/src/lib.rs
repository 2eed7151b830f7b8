//! Downloads public data: files with a pinned SHA-256, and the pages of an AFLOW query.
//!
//! Data are written to a name that ends in `.part` and renamed once they are complete and verified,
//! so an interrupted download resumes and a partial file is never mistaken for the whole.
//! `SHA256SUMS` beside the files lists what has been downloaded, in the format of `sha256sum -c`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use batchlab_core::hash::{hexadecimal, sha256};
use batchlab_core::progress::Progress;
use batchlab_files::{
    MAX_TEXT, atomic_write, open_data, open_to_change, read, read_data, read_text, text,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const SUMS: &str = "SHA256SUMS";

/// Maximum size of a page in bytes; a page of 1,000 entries has about a megabyte.
const MAX_PAGE: u64 = 64 << 20;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    #[error(
        "this program was built without downloads; build it with `cargo build --release --features download`, or put \
         the files into their places by hand: the option --offline says which"
    )]
    NoDownloads,
    #[error("{name} could not be fetched:\n  {}\n{remedy}", reasons.join("\n  "))]
    AllFailed { name: String, reasons: Vec<String>, remedy: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} exists, but is not the file that was asked for: its SHA-256 is {found}, not {expected}; move it away",
        path.display()
    )]
    OtherFile { path: PathBuf, found: String, expected: String },
    #[error("{} was begun with another query; remove it, or fetch into another folder", path.display())]
    OtherQuery { path: PathBuf },
    #[error(
        "{}, line {line}: expected 64 hexadecimal digits, two spaces and a name without folders above, found `{found}`",
        path.display()
    )]
    Sums { path: PathBuf, line: usize, found: String },
}

/// A file and its addresses.
#[derive(Debug, Clone)]
pub struct Remote {
    pub name: String,
    /// In order of preference.
    pub urls: Vec<String>,
    pub n_byte: u64,
    pub sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    AlreadyPresent,
    Now,
}

impl Remote {
    /// Instructions for a manual download.
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

    /// Whether a directory has the file.
    ///
    /// # Errors
    /// If there is a different file of that name, or it cannot be read.
    pub fn is_in(&self, folder: &Path) -> Result<bool, FetchError> {
        let path = folder.join(&self.name);
        match hash(&path)? {
            None => Ok(false),
            Some(found) if found == self.sha256 => Ok(true),
            Some(found) => {
                Err(FetchError::OtherFile { path, found, expected: self.sha256.clone() })
            }
        }
    }

    /// Downloads the file into a directory, unless it is already there.
    ///
    /// # Errors
    /// [`FetchError::AllFailed`] with the reason for each address; or if there is a different file
    /// of that name, or the directory cannot be written.
    pub fn fetch(&self, folder: &Path, progress: &dyn Progress) -> Result<Arrived, FetchError> {
        if self.is_in(folder)? {
            return Ok(Arrived::AlreadyPresent);
        }
        can_download()?;
        fs::create_dir_all(folder).map_err(at(folder))?;
        let part = folder.join(format!("{}.part", self.name));
        let mut reasons = Vec::new();
        // Each address is tried twice: the second request resumes a broken download, or starts over
        // if a leftover part was wrong.
        for url in self.urls.iter().flat_map(|url| [url, url]) {
            progress.start(&format!("fetching {}", self.name), Some(self.n_byte));
            let received = self.receive(url, &part, progress);
            progress.finish();
            let reason = match received {
                Ok(()) => match hash(&part)? {
                    Some(found) if found == self.sha256 => {
                        fs::rename(&part, folder.join(&self.name)).map_err(at(&part))?;
                        return Ok(Arrived::Now);
                    }
                    found => {
                        fs::remove_file(&part).map_err(at(&part))?;
                        format!("the SHA-256 is {}, not {}", found.unwrap_or_default(), self.sha256)
                    }
                },
                Err(reason) => reason,
            };
            progress.note(&format!("{url}: {reason}"));
            reasons.push(format!("{url}: {reason}"));
        }
        reasons.dedup();
        Err(FetchError::AllFailed {
            name: self.name.clone(),
            reasons,
            remedy: self.by_hand(folder),
        })
    }

    /// Appends the missing bytes to the part, or replaces it if the server sends everything.
    fn receive(&self, url: &str, part: &Path, progress: &dyn Progress) -> Result<(), String> {
        let mut n_byte = fs::metadata(part).map_or(0, |part| part.len());
        if n_byte == self.n_byte {
            return Ok(());
        }
        let (is_rest, mut body) = get(url, if n_byte < self.n_byte { n_byte } else { 0 })?;
        let mut options = OpenOptions::new();
        options.append(is_rest).write(!is_rest).create(true).truncate(false);
        let mut file = open_to_change(part, &mut options).map_err(|error| error.to_string())?;
        n_byte = if is_rest { n_byte } else { 0 };
        file.set_len(n_byte).map_err(|error| error.to_string())?;
        progress.advance(n_byte);
        let mut block = vec![0; 1 << 16];
        loop {
            let n = body.read(&mut block).map_err(|error| format!("it broke off ({error})"))?;
            if n == 0 {
                break;
            }
            refuse_html(if n_byte == 0 { &block[..n] } else { &[] })?;
            n_byte += n as u64;
            if n_byte > self.n_byte {
                let _ = file.set_len(0);
                return Err(format!("it sends more than {} bytes", self.n_byte));
            }
            file.write_all(&block[..n]).map_err(|error| error.to_string())?;
            progress.advance(n as u64);
        }
        if n_byte < self.n_byte {
            return Err(format!("it ended after {n_byte} of {} bytes", self.n_byte));
        }
        file.sync_all().map_err(|error| error.to_string())
    }
}

/// A query to AFLUX, AFLOW's search interface (Rose and others, Comput. Mater. Sci. 137, 362,
/// 2017).
#[derive(Debug, Clone)]
pub struct Query {
    /// Address of the interface, without a question mark.
    pub url: String,
    /// The query in AFLUX syntax, without paging.
    pub matchbook: String,
    pub page_size: u32,
    pub max_page: u32,
}

impl Query {
    #[must_use]
    pub fn page_url(&self, page: u32) -> String {
        format!("{}?{},$paging({page},{})", self.url, self.matchbook, self.page_size)
    }

    /// Downloads pages into a directory until one is not full; returns the number of pages and of
    /// entries.
    ///
    /// # Errors
    /// If a response is not a page of entries, a partial download was started with another query,
    /// or the directory cannot be written.
    pub fn fetch(&self, folder: &Path, progress: &dyn Progress) -> Result<(u32, u64), FetchError> {
        can_download()?;
        let part = folder.with_extension("part");
        fs::create_dir_all(&part).map_err(at(&part))?;
        let query = part.join("query.txt");
        match read_text(&query, MAX_TEXT) {
            Ok(begun) if begun != self.page_url(1) => {
                return Err(FetchError::OtherQuery { path: part });
            }
            Ok(_) => {}
            Err(_) => write_whole(&query, self.page_url(1).as_bytes())?,
        }
        progress.start("fetching entries", None);
        let pages = self.pages(&part, progress);
        progress.finish();
        let pages = pages?;
        fs::rename(&part, folder).map_err(at(folder))?;
        Ok(pages)
    }

    fn pages(&self, part: &Path, progress: &dyn Progress) -> Result<(u32, u64), FetchError> {
        let (mut sums, mut before) = (BTreeMap::new(), String::new());
        let (mut n_page, mut n_entry) = (0, 0);
        for page in 1..=self.max_page {
            let name = format!("page-{page:05}.json");
            let path = part.join(&name);
            let fetched = read(&path, MAX_PAGE).map_err(|error| error.to_string());
            let is_kept = fetched.is_ok();
            let fetched = fetched.or_else(|_| self.page(page));
            let checked = fetched.and_then(|bytes| {
                let n = self.count(&bytes)?;
                let sum = sha256(&bytes);
                // A server that ignores the page number would never end.
                if n > 0 && sum == before {
                    Err("it sends the same page again".to_owned())
                } else {
                    Ok((bytes, n, sum))
                }
            });
            let (bytes, n, sum) = checked.map_err(|reason| FetchError::AllFailed {
                name: format!("page {page} of the query"),
                reasons: vec![format!("{}: {reason}", self.url)],
                remedy: format!(
                    "earlier pages are in {}; the same command continues there",
                    part.display()
                ),
            })?;
            if n > 0 {
                if !is_kept {
                    write_whole(&path, &bytes)?;
                }
                before.clone_from(&sum);
                sums.insert(name, sum);
                (n_page, n_entry) = (n_page + 1, n_entry + n);
                progress.advance(n);
            }
            if n < u64::from(self.page_size) {
                break;
            }
        }
        add_sums(part, sums)?;
        Ok((n_page, n_entry))
    }

    fn page(&self, page: u32) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let (_, body) = get(&self.page_url(page), 0)?;
        body.take(MAX_PAGE + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("it broke off ({error})"))?;
        if bytes.len() as u64 > MAX_PAGE {
            return Err(format!("its page has more than {MAX_PAGE} bytes"));
        }
        refuse_html(&bytes).map(|()| bytes)
    }

    /// Counts the entries of a page: a list of objects, or an object of objects.
    fn count(&self, bytes: &[u8]) -> Result<u64, String> {
        let content = serde_json::from_slice(bytes)
            .map_err(|error| format!("its page is not JSON ({error})"))?;
        let entries: Vec<&Value> = match &content {
            Value::Array(entries) => entries.iter().collect(),
            Value::Object(entries) => entries.values().collect(),
            _ => return Err("its page is neither a list nor an object of entries".to_owned()),
        };
        if entries.iter().any(|entry| !entry.is_object()) {
            return Err("its page holds something other than entries".to_owned());
        }
        if entries.len() > self.page_size as usize {
            let (n, asked) = (entries.len(), self.page_size);
            return Err(format!("its page holds {n} entries, but {asked} were asked for"));
        }
        Ok(entries.len() as u64)
    }
}

/// Requests a file from a byte offset; returns whether the response is that range, and its body.
#[cfg(feature = "download")]
fn get(url: &str, from: u64) -> Result<(bool, Box<dyn Read>), String> {
    let silence = Some(std::time::Duration::from_secs(60));
    let mut request = ureq::get(url)
        .config()
        .user_agent(concat!("batchlab/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(silence)
        .timeout_recv_response(silence)
        .timeout_per_read(silence)
        .build();
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let answer = request.call().map_err(|error| error.to_string())?;
    let header =
        |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("content-type").starts_with("text/html") {
        return Err(HTML.to_owned());
    }
    let is_rest = answer.status() == 206;
    if is_rest && !header("content-range").starts_with(&format!("bytes {from}-")) {
        return Err(format!("it continues with `{}` after {from} bytes", header("content-range")));
    }
    Ok((is_rest, Box::new(answer.into_body().into_reader())))
}

#[cfg(not(feature = "download"))]
fn get(_url: &str, _from: u64) -> Result<(bool, Box<dyn Read>), String> {
    Err(FetchError::NoDownloads.to_string())
}

fn can_download() -> Result<(), FetchError> {
    if cfg!(feature = "download") { Ok(()) } else { Err(FetchError::NoDownloads) }
}

/// Whether an address can be requested.
///
/// # Errors
/// If it is invalid; the message describes a valid URL.
pub fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', ':', '?']).next().unwrap_or_default());
    let problem = match host {
        None => "no http or https",
        Some("") => "no host",
        Some(_) if url.contains(|c: char| c.is_whitespace() || c.is_control()) => "with a blank",
        Some(_) => return Ok(()),
    };
    let url = batchlab_core::error::shown(url);
    Err(format!(
        "`{url}` is not an address ({problem}); write for example `https://example.org/data`"
    ))
}

const HTML: &str = "it answers with a page of HTML in place of the data";

fn refuse_html(start: &[u8]) -> Result<(), String> {
    let start = start.trim_ascii_start();
    let is_html = [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag));
    if is_html { Err(HTML.to_owned()) } else { Ok(()) }
}

/// A listed file that is missing or different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: PathBuf,
    pub expected: String,
    /// `None` if the file is missing.
    pub found: Option<String>,
}

/// The number of files in a directory's list, and those that differ from it.
///
/// # Errors
/// If the list or a file cannot be read.
pub fn check_sums(folder: &Path) -> Result<(usize, Vec<Difference>), FetchError> {
    let sums = read_sums(folder)?;
    let mut differences = Vec::new();
    for (name, expected) in &sums {
        let path = folder.join(name);
        let found = hash(&path)?;
        if found.as_ref() != Some(expected) {
            differences.push(Difference { path, expected: expected.clone(), found });
        }
    }
    Ok((sums.len(), differences))
}

/// Adds hashes to a directory's list.
pub fn add_sums(folder: &Path, new: BTreeMap<String, String>) -> Result<(), FetchError> {
    let mut sums = read_sums(folder)?;
    sums.extend(new);
    let text: String = sums.iter().flat_map(|(name, sum)| [sum, "  ", name, "\n"]).collect();
    write_whole(&folder.join(SUMS), text.as_bytes())
}

fn read_sums(folder: &Path) -> Result<BTreeMap<String, String>, FetchError> {
    let path = folder.join(SUMS);
    let text = match read_data(&path, MAX_TEXT).and_then(text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(at(&path))?,
    };
    let parse = |text: &str| {
        let (sum, name) = text.split_once(' ')?;
        let name = name.strip_prefix([' ', '*']).filter(|name| !name.is_empty())?;
        let is_hash = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        (is_hash && stays).then(|| (name.to_owned(), sum.to_ascii_lowercase()))
    };
    let lines = text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty());
    let line = |(line, text): (usize, &str)| {
        parse(text).ok_or_else(|| {
            let found = text.chars().filter(|c| !c.is_control()).take(100).collect();
            FetchError::Sums { path: path.clone(), line: line + 1, found }
        })
    };
    lines.map(line).collect()
}

/// SHA-256 of a file; `None` if it does not exist.
fn hash(path: &Path) -> Result<Option<String>, FetchError> {
    let hash = || -> io::Result<String> {
        let (mut file, mut hasher, mut block) = (open_data(path)?, Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hexadecimal(&hasher.finalize())),
                n => hasher.update(&block[..n]),
            }
        }
    };
    match hash() {
        Ok(hash) => Ok(Some(hash)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FetchError::Io { path: path.to_owned(), source }),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    atomic_write(path, bytes).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Io { path: path.clone(), source }
}
