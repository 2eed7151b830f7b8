//! Which attempts at a cell of a study count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use batchlab_files::{MAX_TEXT, read_text};
use serde_json::Value;

/// Every attempt at a cell has a name of its own (`runs.cell`): that of the cell, and a mark. What has
/// come out of a cell (`cells/<hardware>/<cell>/done.<round>/done.json`) names the attempt that counts.
/// Another one may have published runs too: its process was stopped for so long that it was taken to be
/// dead, or was killed while it published.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// By cell; none: of some attempt that has ended nobody can say its name.
    attempts: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Counted {
    pub(crate) fn read(dir: &Path) -> Self {
        let mut counted = Self::default();
        let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        for cell in folders(&dir.join("cells")).flat_map(|hardware| folders(&hardware.path())) {
            let Ok(name) = cell.file_name().into_string() else { continue };
            for done in folders(&cell.path()) {
                if done.file_name().to_string_lossy().starts_with("done.") {
                    let of_cell = counted.attempts.entry(name.clone());
                    let of_cell = of_cell.or_insert_with(|| Some(BTreeSet::new()));
                    match (attempt(&done.path()), of_cell.as_mut()) {
                        (Some(attempt), Some(known)) => drop(known.insert(attempt)),
                        _ => *of_cell = None,
                    }
                }
            }
        }
        counted
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

fn attempt(done: &Path) -> Option<String> {
    let text = read_text(&done.join("done.json"), MAX_TEXT).ok()?;
    let content: Value = serde_json::from_str(&text).ok()?;
    content["cell"].as_str().map(str::to_owned)
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
            let content = format!("{{ \"cell\": \"a-B16-r0-0123-{attempt}\" }}");
            fs::write(done.join("done.json"), content).unwrap();
        }
        let counted = Counted::read(dir.path());
        assert!(counted.counts("a-B16-r0-0123-first") && counted.counts("a-B16-r0-0123-second"));
        assert!(!counted.counts("a-B16-r0-0123-late") && counted.counts("b-B16-r0-0123-late"));
        // Nobody knows which one it is.
        fs::write(cell.join("done.1/done.json"), "{").unwrap();
        assert!(Counted::read(dir.path()).counts("a-B16-r0-0123-late"));
    }
}
