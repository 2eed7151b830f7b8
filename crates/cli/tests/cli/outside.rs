//! A crate outside the source tree links ours and adds its own batcher.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::standalone;

/// As short as docs/plugins.md promises.
const MAIN: &str = r#"
use batchlab_core::grouping::{EpochGraphs, GroupOptions, Grouping, open_groups};
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{BatchContext, BatchStream, Batcher, BatcherError, GraphSize, Level, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Three graphs in every batch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Triplets {}

#[typetag::serde(name = "triplets")]
impl Batcher for Triplets {
    fn level(&self) -> Level {
        Level::Graphs
    }
    fn batch_size(&self) -> Option<u32> {
        Some(4)
    }
    fn open(&self, view: View, ctx: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        let options = GroupOptions::new(BatchSize::try_from(4)?, Padding::None);
        open_groups(view, ctx, Three::default(), options)
    }
}
batchlab_core::register!(Batcher, Triplets, example = Triplets {});

#[derive(Default)]
struct Three(Vec<GraphSize>);

impl Grouping for Three {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        self.0.extend(graphs.take(3 - self.0.len()));
        if self.0.len() < 3 {
            return Ok(false);
        }
        group.append(&mut self.0);
        Ok(true)
    }
    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        group.append(&mut self.0);
        Ok(!group.is_empty())
    }
    fn pending(&self) -> &[GraphSize] {
        &self.0
    }
    fn restore(&mut self, carried: &[GraphSize]) {
        self.0 = carried.to_vec();
    }
}

fn main() -> std::process::ExitCode {
    batchlab_cli::main()
}
"#;

const CONFIG: &str = r#"
[dataset]
name = "qm9"
limit = 40

[model]
name = "schnet"

[batcher]
name = "triplets"

[training]
steps = 3
"#;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The manifest of the crate. With the workspace's profiles, crates from the registry need not be
/// rebuilt.
fn manifest() -> String {
    let root = workspace();
    let workspace_manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let profiles = &workspace_manifest[workspace_manifest.find("[profile.").unwrap()..];
    let crates = root.join("crates");
    format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n\
         batchlab-core = {{ path = \"{0}/core\" }}\n\
         batchlab-cli = {{ path = \"{0}/cli\" }}\n\
         schemars = \"1.2\"\nserde = {{ version = \"1\", features = [\"derive\"] }}\ntypetag = \"0.2\"\n\n\
         [workspace]\n\n{profiles}",
        crates.display()
    )
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}\n{stderr}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_crate_outside_the_tree_adds_a_batcher() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("src")).unwrap();
    fs::write(path("src/main.rs"), MAIN).unwrap();
    fs::write(path("Cargo.toml"), manifest()).unwrap();
    fs::write(path("study.toml"), CONFIG).unwrap();
    fs::copy(workspace().join("Cargo.lock"), path("Cargo.lock")).unwrap();

    succeed(&mut standalone::cargo("build", folder.path()));
    let outside = standalone::program("outside");
    let list = succeed(Command::new(&outside).arg("list"));
    assert!(list.contains("triplets     Three graphs in every batch"), "{list}");
    assert!(list.contains("dynamic"), "{list}");

    let run = ["run", "study.toml", "--json", "--quiet"];
    let summary = succeed(Command::new(&outside).args(run).current_dir(folder.path()));
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["header"]["batcher"], "triplets");
    assert_eq!(
        (summary["status"].as_str(), summary["n_step"].as_u64()),
        (Some("completed"), Some(3))
    );

    // It was built without optional features, and says so if one is requested.
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = Command::new(&outside).args(arguments).current_dir(folder.path()).output();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(expected.iter().all(|words| stderr.contains(words)), "{arguments:?}: {stderr}");
    };
    let plan = ["plan", "study.toml", "batchers=triplets", "--steps", "3", "--picture", "a.png"];
    refused(&plan, &["built without pictures as PNG", "write .svg", "--features png"]);
    refused(
        &["data", "fetch", "qm9"],
        &["built without downloads", "--features download", "--offline"],
    );
    fs::write(path("a.db"), "SQLite format 3\0").unwrap();
    let database = ["data", "stats", "structures", "dataset.path=a.db", "dataset.target=energy"];
    refused(&database, &["a.db is an SQLite database", "--features ase", "extended XYZ"]);
}
