//! Golden numbers of the reference implementation.

use std::path::PathBuf;

use serde::Deserialize;

/// Golden files whose name starts with `prefix` and ends with `suffix`.
///
/// The folder is `BATCHLAB_GOLDEN`, or `../shared/golden` beside the workspace. Without the
/// variable a missing folder skips the check, loudly; with it, missing files are a failure.
#[must_use]
pub fn files(prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let named = std::env::var_os("BATCHLAB_GOLDEN").map(PathBuf::from);
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let folder = named.clone().unwrap_or(default);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(
            named.is_none(),
            "BATCHLAB_GOLDEN names {}, which cannot be read",
            folder.display()
        );
        eprintln!("SKIPPED: no golden files; set BATCHLAB_GOLDEN to their folder");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    });
    files.sort();
    assert!(!files.is_empty(), "no {prefix}*{suffix} in {}", folder.display());
    files
}

/// One `batchers_*.json`: what the reference program does with one stream of graphs.
#[derive(Debug, Deserialize)]
pub struct BatcherGolden {
    /// Nodes and edges of each graph, in the order of the stream.
    pub sizes: Vec<[u32; 2]>,
    /// By `<algorithm>/B=<batch size>`.
    pub results: std::collections::BTreeMap<String, BatcherResult>,
}

/// The batches of one algorithm.
#[derive(Debug, Deserialize)]
pub struct BatcherResult {
    /// Nodes, edges, graphs.
    pub budget: [u32; 3],
    /// First graph, real graphs, real nodes, real edges, padded nodes, padded edges, padded graphs.
    pub batches: Vec<[u32; 7]>,
}

impl BatcherGolden {
    /// Reads one file.
    #[must_use]
    pub fn read(path: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a golden file can be read");
        serde_json::from_str(&text).expect("a golden file has the stated form")
    }

    /// Algorithm, B and result, for every key that starts with `prefix`.
    pub fn of<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, u32, &'a BatcherResult)> {
        self.results.iter().filter_map(move |(key, result)| {
            let (algorithm, size) = key.split_once("/B=")?;
            let size = size.parse().expect("the batch size is a number");
            algorithm.starts_with(prefix).then_some((algorithm, size, result))
        })
    }
}
