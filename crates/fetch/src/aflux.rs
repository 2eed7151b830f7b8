//! The pages of a query to AFLOW's search interface, AFLUX (Rose and others, Comput. Mater. Sci. 137,
//! 362, 2017).
//!
//! The pages become files of a folder, each as it was sent. The folder is `<name>.part` until the
//! last page is there, so an interrupted fetch goes on where it stopped and a part is never taken
//! for the whole.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use batchlab_core::hash::sha256;
use batchlab_core::progress::Progress;
use serde_json::Value;

use crate::client::is_html;
use crate::error::Fault;
use crate::part::beside;
use crate::{Client, FetchError, sums};

/// Longest page that is accepted, in bytes; one of 1,000 entries has about a megabyte.
const MAX_PAGE: u64 = 64 << 20;

/// Bytes of a page that are accepted for each entry, and for a page of few entries.
const MAX_ENTRY: u64 = 64 << 10;
const MIN_PAGE: u64 = 1 << 20;

/// What is asked, and how much of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Address of the interface, without a question mark.
    pub url: String,
    /// What is asked for, in AFLUX's own words, without paging.
    pub matchbook: String,
    pub page_size: u32,
    pub max_page: u32,
}

impl Query {
    fn max_page_bytes(&self) -> u64 {
        (u64::from(self.page_size) * MAX_ENTRY).clamp(MIN_PAGE, MAX_PAGE)
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Pages, those of an earlier attempt included.
    pub n_page: u32,
    pub n_entry: u64,
    /// Pages that an earlier attempt had left.
    pub n_before: u32,
}

impl Client {
    /// Fetches pages into a folder until one is short or empty.
    ///
    /// # Errors
    /// A server that gives no page after several attempts, a page that is no JSON, one that holds more
    /// than was asked for, one that came before; a folder that exists, or that was begun with another
    /// query.
    pub fn pages(
        &self,
        query: &Query,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Pages, FetchError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FetchError::Io { path, source }
        };
        let part = beside(folder, "part");
        fs::create_dir_all(&part).map_err(failed(&part))?;
        check_query(query, &part)?;
        let mut pages = Pages { n_page: 0, n_entry: 0, n_before: 0 };
        let mut listed = BTreeMap::new();
        let mut last = None;
        let mut seen = HashSet::new();
        progress.start("fetching entries", None);
        for page in 1..=query.max_page {
            let name = format!("page-{page:05}.json");
            let path = part.join(&name);
            let kept = batchlab_files::read(&path, query.max_page_bytes()).ok();
            let kept = kept.and_then(|bytes| Some((entries(&bytes, query, page).ok()?, bytes)));
            let is_kept = kept.is_some();
            let failed = |fault| {
                progress.finish();
                explain(fault, query, page, &part)
            };
            let (found, bytes) = match kept {
                Some(kept) => kept,
                None => self.page(query, page, &mut last, progress).map_err(failed)?,
            };
            let n = found.len() as u64;
            // A page of the same entries again would go on for ever.
            if n > 0 && found.iter().all(|entry| seen.contains(entry)) {
                let reason = format!("all {n} entries of page {page} were on pages before it");
                return Err(failed(Fault::Permanent(reason)));
            }
            seen.extend(found);
            if n > 0 {
                if is_kept {
                    pages.n_before += 1;
                } else {
                    sums::write_whole(&path, &bytes)?;
                }
                pages.n_page += 1;
                pages.n_entry += n;
                progress.advance(n);
                listed.insert(name, sha256(&bytes));
            }
            if n < u64::from(query.page_size) {
                break;
            }
        }
        progress.finish();
        sums::add(&part, listed)?;
        fs::rename(&part, folder).map_err(failed(folder))?;
        Ok(pages)
    }

    fn page(
        &self,
        query: &Query,
        page: u32,
        last: &mut Option<Instant>,
        progress: &dyn Progress,
    ) -> Result<(Vec<String>, Vec<u8>), Fault> {
        let url = format!("{}?{},$paging({page},{})", query.url, query.matchbook, query.page_size);
        self.retry(&query.url, progress, |_| {
            self.pace(*last);
            *last = Some(Instant::now());
            let answer = self.get(&url, &[])?;
            let most = query.max_page_bytes();
            let too_long = || {
                let asked = query.page_size;
                let reason = format!("its page of {asked} entries has more than {most} bytes");
                Err(Fault::Permanent(reason))
            };
            let stated = answer.header("content-length").and_then(|length| length.parse().ok());
            if stated.is_some_and(|stated: u64| stated > most) {
                return too_long();
            }
            let mut bytes = Vec::new();
            let read = answer.body.take(most + 1).read_to_end(&mut bytes);
            read.map_err(|error| Fault::temporary(format!("it broke off ({error})")))?;
            if bytes.len() as u64 > most {
                return too_long();
            }
            if is_html(&bytes) {
                return Err(crate::client::html(bytes.as_slice()));
            }
            match entries(&bytes, query, page) {
                Ok(found) => Ok((found, bytes)),
                Err(reason) => Err(Fault::temporary(reason)),
            }
        })
    }
}

/// A folder is continued with the query that it was begun with, and with no other.
fn check_query(query: &Query, part: &Path) -> Result<(), FetchError> {
    let text = format!("{}?{}\n{} entries per page\n", query.url, query.matchbook, query.page_size);
    let path = part.join("query.txt");
    match batchlab_files::read_text(&path, batchlab_files::MAX_TEXT) {
        Ok(before) if before == text => Ok(()),
        Ok(_) => Err(FetchError::OtherQuery { path: part.to_owned() }),
        Err(_) => sums::write_whole(&path, text.as_bytes()),
    }
}

fn explain(fault: Fault, query: &Query, page: u32, part: &Path) -> FetchError {
    match fault {
        Fault::Local(error) => error,
        Fault::Permanent(reason) | Fault::Unreachable(reason) | Fault::Temporary { reason, .. } => {
            FetchError::Nobody {
                name: format!("page {page} of the query"),
                reasons: vec![format!("{}: {reason}", query.url)],
                remedy: format!(
                    "what arrived is in {}; the same command goes on from there",
                    part.display()
                ),
            }
        }
    }
}

/// Hashes of the entries of a page: a list of objects, or one object of objects. An empty answer is an
/// empty page, but not in the place of the first.
fn entries(bytes: &[u8], query: &Query, page: u32) -> Result<Vec<String>, String> {
    if bytes.trim_ascii().is_empty() {
        return if page > 1 { Ok(Vec::new()) } else { Err("its first page is empty".to_owned()) };
    }
    let content: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("its page is not JSON ({error})"))?;
    let entries: Vec<&Value> = match &content {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        Value::Null => {
            return Err("its page is `null`, which does not say that it is the last".into());
        }
        _ => return Err("its page is neither a list nor an object".to_owned()),
    };
    if let Some(other) = entries.iter().find(|entry| !entry.is_object()) {
        let shown: String = other.to_string().chars().take(200).collect();
        return Err(format!("its page holds {shown} in the place of an entry"));
    }
    if entries.len() > query.page_size as usize {
        let (n, asked) = (entries.len(), query.page_size);
        return Err(format!("its page holds {n} entries, but {asked} were asked for"));
    }
    Ok(entries.iter().map(|entry| sha256(entry.to_string().as_bytes())).collect())
}
