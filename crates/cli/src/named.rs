//! Resolves runs and studies named on the command line, and suggests names for typos.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use batchlab_core::error::nearest_path;
use batchlab_core::registry::suggestion;

use crate::exit::Usage;
use crate::run::{find_run, newest_run};

/// The ID of an existing run and the directory of its study. Accepts `<study>/runs/<run_id>`,
/// `<study>` for its newest run, or an ID, which is searched for in all studies in `results/`.
pub(crate) fn named_run(run: &Path) -> Result<(String, PathBuf)> {
    if let Some(newest) = newest_run(run) {
        return Ok((newest, run.to_owned()));
    }
    if run.parent().is_none_or(|folder| folder.as_os_str().is_empty()) {
        let known: Vec<String> = names(Path::new("results"))
            .iter()
            .flat_map(|study| names(&Path::new("results").join(study).join("runs")))
            .collect();
        let name = run.display().to_string();
        if !known.contains(&name) {
            let near = suggestion(&name, &known);
            bail!(Usage(format!(
                "no study in results/ has a run \"{name}\"{near}\ngive <study>/runs/<run_id> for a run \
                 in another folder"
            )));
        }
    } else if !run.is_dir() {
        bail!(Usage(format!("there is no {}{}", run.display(), nearest_path(run))));
    }
    find_run(run, None)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
