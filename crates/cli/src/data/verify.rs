//! `batchlab data verify`: checks files against their checksums.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use batchlab_fetch::{SUMS, check_sums};
use batchlab_report::count;
use serde_json::json;

use super::fetch::remedy;
use crate::exit::{DATA, Usage};
use crate::output::Out;

/// Check files against the `SHA256SUMS` beside them, and files with pinned hashes against those.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directories to search recursively; `data` by default.
    folders: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Maximum depth of the recursive search.
const MAX_DEPTH: usize = 4;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let default = [PathBuf::from("data")];
    let folders = if arguments.folders.is_empty() { &default[..] } else { &arguments.folders };
    let mut listed = Vec::new();
    for folder in folders {
        if !folder.is_dir() {
            bail!(Usage(format!("{} is not a folder; give one that holds data", folder.display())));
        }
        find(folder, 0, &mut listed)?;
    }
    if listed.is_empty() {
        bail!(Usage(format!(
            "nothing to check: no {} in {}",
            SUMS,
            folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
        )));
    }
    let mut out = Out;
    let (mut n_file, mut wrong) = (0, Vec::new());
    for folder in &listed {
        let (n, differences) = check_sums(folder)?;
        n_file += n;
        wrong.extend(differences);
    }
    if arguments.json {
        let wrong: Vec<_> = wrong
            .iter()
            .map(|w| json!({ "file": w.path.to_string_lossy(), "expected": w.expected, "found": w.found, "remedy": remedy(&w.path) }))
            .collect();
        let all = json!({ "schema_version": 1, "n_file": n_file, "wrong": wrong });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        for w in &wrong {
            let found = w.found.as_deref().unwrap_or("no such file");
            writeln!(
                out,
                "{}\n  expected  {}\n  found     {found}\n  {}",
                w.path.display(),
                w.expected,
                remedy(&w.path)
            )?;
        }
        let folders = count(listed.len(), "folder");
        writeln!(out, "{} of {n_file} files in {folders} are correct", n_file - wrong.len())?;
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { DATA.into() })
}

/// Directories with a list of hashes. Links are not followed.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if folder.join(SUMS).is_file() {
        found.push(folder.to_owned());
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    let cannot = || format!("cannot read {}", folder.display());
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if entry.file_type().with_context(cannot)?.is_dir() {
            inside.push(entry.path());
        }
    }
    inside.sort_unstable();
    inside.iter().try_for_each(|inside| find(inside, depth + 1, found))
}
