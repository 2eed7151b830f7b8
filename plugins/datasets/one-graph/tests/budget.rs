//! Files of one graph are read within the budget: with an allocator that fails above it, whatever
//! they contain ends with a graph or with a message.

use std::alloc::System;
use std::fs;
use std::io::Write;
use std::path::Path;

use batchlab_core::{Dataset, LoadContext, MemoryBudget};
use cap::Cap;
use dataset_one_graph::OneGraphFile;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const BUDGET: usize = 32 << 20;

/// Uncounted memory: buffers, the decoder, a line of a table.
const UNCOUNTED: usize = 2 << 20;

fn refusal(path: &Path) -> String {
    let dataset = OneGraphFile { path: Some(path.to_owned()), ..OneGraphFile::default() };
    let ctx = LoadContext { memory: MemoryBudget::new(BUDGET as u64), ..LoadContext::new() };
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + BUDGET + UNCOUNTED).expect("a limit");
    let loaded = dataset.load(&ctx).map(drop);
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    loaded.expect_err("too large").to_string()
}

#[test]
fn files_of_one_graph_stay_within_their_budget() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    // Instructions that each create a value.
    for part in ["x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"] {
        fs::write(file(&format!("ind.a.{part}")), b"").expect("a file");
    }
    for again in [")", "]", "(", "K\x01"] {
        for n_byte in [90_000, 2_000_000] {
            let body = again.repeat(n_byte / again.len());
            let pickle = [b"\x80\x02", body.as_bytes(), b"."].concat();
            fs::write(file("ind.a.allx"), pickle).expect("a file");
            let refused = refusal(folder.path());
            assert_eq!(refused.contains("would take"), n_byte > 90_000, "{again}: {refused}");
        }
    }
    // Columns of a table, and edges.
    let write = |name: &str, text: &str| {
        let path = file("ogb").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut gz = GzEncoder::new(fs::File::create(path).expect("a file"), Compression::fast());
        gz.write_all(text.as_bytes()).expect("a file");
        gz.finish().expect("a file");
    };
    let n = 3_000_000;
    for (n_node, n_edge) in [(n, 1), (2, n)] {
        write("raw/num-node-list.csv.gz", &n_node.to_string());
        write("raw/num-edge-list.csv.gz", &n_edge.to_string());
        write("raw/node-label.csv.gz", &"1\n".repeat(n_node));
        write("raw/node-feat.csv.gz", &"1,2\n".repeat(n_node));
        write("raw/edge.csv.gz", &"0,1\n".repeat(n_edge));
        let refused = refusal(&file("ogb"));
        assert!(refused.contains("would take"), "{n_node} {n_edge}: {refused}");
    }
}
