//! Determines which attempts at a cell of a study count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use batchlab_files::{MAX_TEXT, read_text};
use serde_json::Value;

/// Every attempt at a cell has its own name (`runs.cell`): that of the cell, with a suffix. The
/// outcome of a cell (`cells/<hardware>/<cell>/done.<round>/done.json`) names the attempt that
/// counts. Other attempts may have published runs too: their process was suspended for so long that
/// it was considered dead, or was killed while publishing.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// By cell; `None`: the name of some finished attempt is unknown.
    attempts: BTreeMap<String, Option<BTreeSet<String>>>,
    /// The cell and run of everything that the last attempts published.
    pub(crate) runs: Vec<(String, String)>,
    /// Cells that were started but have no outcome.
    begun: BTreeSet<String>,
}

impl Counted {
    pub(crate) fn read(dir: &Path) -> Self {
        let mut counted = Self::default();
        let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        for cell in folders(&dir.join("cells")).flat_map(|hardware| folders(&hardware.path())) {
            let Ok(name) = cell.file_name().into_string() else { continue };
            let (mut last, mut last_runs, mut is_begun) = (0, Vec::new(), false);
            for done in folders(&cell.path()) {
                let folder = done.file_name();
                is_begun |= folder.to_string_lossy().starts_with("claim.");
                if let Some(round) = folder.to_str().and_then(|name| name.strip_prefix("done.")) {
                    let of_cell = counted.attempts.entry(name.clone());
                    let of_cell = of_cell.or_insert_with(|| Some(BTreeSet::new()));
                    let outcome = outcome(&done.path());
                    match (outcome["cell"].as_str(), of_cell.as_mut()) {
                        (Some(attempt), Some(known)) => drop(known.insert(attempt.to_owned())),
                        _ => *of_cell = None,
                    }
                    let round: u64 = round.parse().unwrap_or(0);
                    if round >= last {
                        (last, last_runs) = (round, run_ids(&outcome));
                    }
                }
            }
            if is_begun && !counted.attempts.contains_key(&name) {
                counted.begun.insert(name.clone());
            }
            counted.runs.extend(last_runs.into_iter().map(|run| (name.clone(), run)));
        }
        counted
    }

    /// Whether the cell of an attempt was started but is not done in any round.
    pub(crate) fn is_unfinished(&self, attempt: &str) -> bool {
        attempt.rsplit_once('-').is_some_and(|(cell, _)| self.begun.contains(cell))
    }

    /// Whether a completed run of an attempt counts.
    pub(crate) fn counts(&self, attempt: &str) -> bool {
        let of_cell = attempt.rsplit_once('-').and_then(|(cell, _)| self.attempts.get(cell));
        match of_cell {
            Some(Some(attempts)) => attempts.contains(attempt),
            _ => true,
        }
    }
}

/// What an attempt has published, or null if it cannot be read.
fn outcome(done: &Path) -> Value {
    let text = read_text(&done.join("done.json"), MAX_TEXT).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn run_ids(outcome: &Value) -> Vec<String> {
    let runs = outcome["runs"].as_array().into_iter().flatten();
    runs.filter_map(|run| run["run_id"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_count_that_a_cell_names() {
        let dir = tempfile::tempdir().unwrap();
        let cell = dir.path().join("cells/here/a-B16-r0-0123");
        assert!(Counted::read(dir.path()).counts("a-B16-r0-0123-late"), "nothing is done");
        for (round, attempt) in [(1, "first"), (2, "second")] {
            let done = cell.join(format!("done.{round}"));
            fs::create_dir_all(&done).unwrap();
            let content = format!(
                "{{ \"cell\": \"a-B16-r0-0123-{attempt}\", \"runs\": [{{ \"run_id\": \"{attempt}\" }}] }}"
            );
            fs::write(done.join("done.json"), content).unwrap();
        }
        let counted = Counted::read(dir.path());
        assert!(counted.counts("a-B16-r0-0123-first") && counted.counts("a-B16-r0-0123-second"));
        assert!(!counted.counts("a-B16-r0-0123-late") && counted.counts("b-B16-r0-0123-late"));
        assert_eq!(counted.runs, [("a-B16-r0-0123".to_owned(), "second".to_owned())]);
        // It is unknown which attempt counts.
        fs::write(cell.join("done.1/done.json"), "{").unwrap();
        assert!(Counted::read(dir.path()).counts("a-B16-r0-0123-late"));
    }
}
