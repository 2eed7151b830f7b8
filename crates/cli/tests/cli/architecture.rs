//! The invariants of docs/architecture.md that concern dependencies.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Package name to its normal and its development dependencies.
type Dependencies = BTreeMap<String, (Vec<String>, Vec<String>)>;

fn dependencies() -> Dependencies {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_kind = |package: &Value, is_dev: bool| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let wanted = all.filter(|d| (d["kind"] == "dev") == is_dev);
        wanted.map(|d| d["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|p| (p["name"].as_str().unwrap().to_owned(), (of_kind(p, false), of_kind(p, true))))
        .collect()
}

fn is_plugin(name: &str) -> bool {
    ["dataset-", "model-", "batcher-", "sink-"].iter().any(|kind| name.starts_with(kind))
}

#[test]
fn only_tensor_knows_dfdx() {
    for (package, (normal, dev)) in dependencies() {
        let knows = normal.iter().chain(&dev).any(|d| d == "dfdx" || d == "cudarc");
        assert_eq!(knows, package == "batchlab-tensor", "{package}");
    }
}

#[test]
fn plugins_know_the_contract_and_not_each_other() {
    for (package, (normal, _)) in dependencies().into_iter().filter(|(p, _)| is_plugin(p)) {
        let may_compute = package.starts_with("model-");
        let may_connect = package.starts_with("dataset-");
        let may_batch = package.starts_with("batcher-");
        let may_write = package.starts_with("sink-");
        let readers = ["batchlab-files", "batchlab-npz", "batchlab-structures"];
        for dependency in normal.iter().filter(|d| d.starts_with("batchlab-") || is_plugin(d)) {
            let allowed = dependency == "batchlab-core"
                || dependency == "batchlab-tensor" && may_compute
                || dependency == "batchlab-neighbors" && may_connect
                || dependency == "batchlab-text" && may_write
                || ["batchlab-ppr", "batchlab-partition"].contains(&dependency.as_str())
                    && may_batch
                || readers.contains(&dependency.as_str()) && may_connect;
            assert!(allowed, "{package} must not know {dependency}");
        }
    }
}

#[test]
fn crates_know_only_those_below_them() {
    let all = dependencies();
    let ours = |package: &str| {
        let (normal, _) = &all[package];
        let ours = normal.iter().filter(|d| d.starts_with("batchlab-") || is_plugin(d));
        ours.cloned().collect::<Vec<_>>()
    };
    assert_eq!(ours("batchlab-core"), Vec::<String>::new());
    assert_eq!(ours("batchlab-files"), Vec::<String>::new());
    assert_eq!(ours("batchlab-config"), ["batchlab-core", "batchlab-files", "batchlab-ranks"]);
    assert_eq!(ours("batchlab-results"), ["batchlab-core", "batchlab-files", "batchlab-stats"]);
    let below_run = [
        "batchlab-config",
        "batchlab-core",
        "batchlab-files",
        "batchlab-ranks",
        "batchlab-results",
    ];
    assert_eq!(ours("batchlab-run"), below_run);
    let below_study = [
        "batchlab-config",
        "batchlab-core",
        "batchlab-files",
        "batchlab-results",
        "batchlab-run",
        "batchlab-stats",
    ];
    assert_eq!(ours("batchlab-study"), below_study);
    let below_report = [
        "batchlab-core",
        "batchlab-draw",
        "batchlab-forecast",
        "batchlab-results",
        "batchlab-stats",
    ];
    assert_eq!(ours("batchlab-report"), below_report);
    assert_eq!(ours("batchlab-tensor"), ["batchlab-core"]);
    assert_eq!(ours("batchlab-draw"), Vec::<String>::new());
    assert_eq!(ours("batchlab-ranks"), ["batchlab-core"]);
    assert_eq!(ours("batchlab-mpi"), ["batchlab-ranks"]);
}

#[test]
fn the_testkit_is_for_tests() {
    for (package, (normal, _)) in dependencies() {
        assert!(!normal.iter().any(|d| d == "batchlab-testkit"), "{package}");
    }
}

/// Names of strategies are the only exception: the default of `Batcher::label` follows the scheme of
/// all batchers.
#[test]
fn the_contract_does_not_know_how_batches_are_formed() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut known = Vec::new();
    let mut folders = vec![core.join("contract")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            known.extend(
                code.filter(|line| line.contains("batching::")).map(|line| line.trim().to_owned()),
            );
        }
    }
    assert_eq!(known, ["pub use crate::batching::label::{NamedStrategies, label};"]);
}

/// Crates from the registry, each with its features, as a build of these packages compiles them.
fn compiled(packages: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p} {f}"])
        .args(packages)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter(|line| !line.contains(" (/")).map(str::to_owned).collect()
}

/// Otherwise the program's build compiles most crates again after that of the tests, and so does every
/// crate outside of the tree (docs/decisions/011-one-build.md).
#[test]
fn the_program_asks_for_the_same_features_as_the_workspace() {
    let workspace = compiled(&["--workspace"]);
    let program = compiled(&["--package", "batchlab-cli", "--edges", "normal,build"]);
    let only_there: Vec<&String> = program.difference(&workspace).collect();
    assert!(only_there.is_empty(), "other features than in the workspace: {only_there:#?}");
}
