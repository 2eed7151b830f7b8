//! The output of commands that need no data.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn batchlab(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let output = command.args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help() {
    insta::assert_snapshot!("help", batchlab(&["--help"]));
    insta::assert_snapshot!("help_run", batchlab(&["run", "--help"]));
    for command in ["sweep", "status", "evaluate", "predict", "weights", "export", "compare"] {
        insta::assert_snapshot!(format!("help_{command}"), batchlab(&[command, "--help"]));
    }
}

#[test]
fn list() {
    insta::assert_snapshot!("list", batchlab(&["list"]));
    let all: Vec<Value> = serde_json::from_str(&batchlab(&["list", "--json"])).unwrap();
    assert!(all.iter().any(|c| c["kind"] == "batcher" && c["name"] == "dynamic"));
}

#[test]
fn explain() {
    insta::assert_snapshot!("explain_dynamic", batchlab(&["explain", "batcher.dynamic"]));
    insta::assert_snapshot!("explain_training", batchlab(&["explain", "training"]));
    insta::assert_snapshot!("explain_blocks", batchlab(&["explain", "blocks"]));
    insta::assert_snapshot!("explain_batchers", batchlab(&["explain", "batchers"]));
}

#[test]
fn a_checked_configuration_can_be_read_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let first = batchlab(&["check", root.join("configs/smoke.toml").to_str().unwrap()]);
    let folder = tempfile::TempDir::new().unwrap();
    let resolved = folder.path().join("resolved.toml");
    std::fs::write(&resolved, &first).unwrap();
    assert_eq!(batchlab(&["check", resolved.to_str().unwrap()]), first);
}

/// Editors read these files; the first line of a configuration may name one.
#[test]
fn the_schemas_are_up_to_date() {
    check_schema("batchlab.schema.json", &["schema"]);
    check_schema("batchlab-study.schema.json", &["schema", "--study"]);
}

fn check_schema(name: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let schema = batchlab(arguments);
    if std::env::var("BATCHLAB_BLESS").as_deref() == Ok("1") {
        std::fs::write(&path, &schema).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        found == schema,
        "docs/{name} is stale; write it anew with\n\
         BATCHLAB_BLESS=1 cargo test -p batchlab-cli --test cli output::"
    );
}
