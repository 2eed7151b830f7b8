//! `batchlab new`: a separate crate is built, tested, listed and, for a model, trained; in the
//! source tree, three lists get a line each.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::standalone;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn batchlab(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.args(["new", "batcher"]).args(arguments).current_dir(folder).output().unwrap()
}

fn new_model(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.args(["new", "model"]).args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn check_refused(folder: &Path, arguments: &[&str], reason: &str) {
    let output = batchlab(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
}

/// Every file in a directory, as sorted relative paths.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

fn check_formatted(folder: &Path, sources: &[&str]) {
    let config = workspace().join(".rustfmt.toml");
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--check", "--config-path"]).arg(config).args(sources);
    succeed(rustfmt.current_dir(folder).output().unwrap());
}

#[test]
fn a_crate_of_its_own_passes_the_kit_and_is_listed() {
    let parent = TempDir::new().unwrap();
    let printed = succeed(batchlab(parent.path(), &["half-full", "--dir", "."]));
    assert!(printed.contains("cargo run --release -- list"), "{printed}");
    assert!(printed.contains("the first command builds batchlab as well"), "{printed}");
    let folder = parent.path().join("half-full");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[profile.release]").count(), 1, "{manifest}");
    assert!(!manifest.contains("[profile.dev]"), "all is built once: {manifest}");
    assert_eq!(
        files(&folder),
        ["Cargo.lock", "Cargo.toml", "src/lib.rs", "src/main.rs", "tests/contract.rs"]
    );
    check_formatted(&folder, &["src/main.rs", "src/lib.rs", "tests/contract.rs"]);
    let main = fs::read_to_string(folder.join("src/main.rs")).unwrap();
    assert!(main.contains("use batcher_half_full as _;"), "{main}");

    let tested = standalone::cargo("test", &folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&tested.stderr).into_owned();
    assert!(!stderr.contains("warning"), "{stderr}");
    let tested = succeed(tested);
    let n_check = batchlab_testkit::conformance::CHECKS.len();
    assert!(tested.contains(&format!("{} passed", n_check + 1)), "{tested}");

    // `cargo test` has also built it.
    let executable = standalone::program("batchlab-half-full");
    let ask =
        |arguments: &[&str]| succeed(Command::new(&executable).args(arguments).output().unwrap());
    let list = ask(&["list"]);
    assert!(
        list.contains("half-full    As many graphs as fit into `max_node` nodes, in"),
        "{list}"
    );
    assert!(list.contains("dynamic"), "{list}");
    let explained = ask(&["explain", "batcher.half-full"]);
    assert!(explained.contains("max_node: integer (default 1000)"), "{explained}");

    let config = workspace().join("configs/smoke.toml").display().to_string();
    let out = parent.path().join("out").display().to_string();
    let batcher = "batcher={ name = \"half-full\" }";
    let steps = "training.steps=3";
    let summary = ask(&["run", &config, batcher, steps, "--out", &out, "--json", "--quiet"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["header"]["batcher"], "half-full");
    assert_eq!((&summary["status"], &summary["n_step"]), (&"completed".into(), &3.into()));
    check_missing_features(&executable, &config, parent.path());

    check_refused(parent.path(), &["half-full", "--dir", "."], "half-full exists");
}

/// Such a program is built without optional features, and says so if one is requested.
fn check_missing_features(program: &Path, config: &str, folder: &Path) {
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(expected.iter().all(|words| stderr.contains(words)), "{arguments:?}: {stderr}");
    };
    let plan = ["plan", config, "batchers=half-full", "--steps", "3", "--picture", "a.png"];
    refused(&plan, &["built without pictures as PNG", "write .svg", "--features png"]);
    refused(
        &["data", "fetch", "qm9"],
        &["built without downloads", "--features download", "--offline"],
    );
    fs::write(folder.join("a.db"), "SQLite format 3\0").unwrap();
    let database = ["data", "stats", "structures", "dataset.path=a.db", "dataset.target=energy"];
    refused(&database, &["a.db is an SQLite database", "--features ase", "extended XYZ"]);
}

#[test]
fn a_new_model_passes_the_kit_and_learns() {
    let parent = TempDir::new().unwrap();
    let printed = succeed(new_model(parent.path(), &["near-by", "--dir", "."]));
    assert!(printed.contains("configs/smoke.toml 'model={ name = \"near-by\" }'"), "{printed}");
    let folder = parent.path().join("near-by");
    let sources = ["src/lib.rs", "src/main.rs", "src/network.rs", "tests/contract.rs"];
    assert_eq!(files(&folder), [&["Cargo.lock", "Cargo.toml"], &sources[..]].concat());
    check_formatted(&folder, &sources);
    let n_line = fs::read_to_string(folder.join("src/network.rs")).unwrap().lines().count();
    assert!(n_line <= 80, "a page of network, not {n_line} lines");

    let tested = succeed(standalone::cargo("test", &folder).output().unwrap());
    let n_check = batchlab_testkit::model::CHECKS.len();
    assert!(tested.contains(&format!("{} passed", n_check + 1)), "{tested}");

    // `cargo test` has also built it.
    let executable = standalone::program("batchlab-near-by");
    let ask =
        |arguments: &[&str]| succeed(Command::new(&executable).args(arguments).output().unwrap());
    let list = ask(&["list"]);
    assert!(list.contains("near-by"), "{list}");
    assert!(list.contains("Message passing with filters of the distance"), "{list}");

    let config = workspace().join("configs/smoke.toml").display().to_string();
    let out = parent.path().join("out").display().to_string();
    let model = "model={ name = \"near-by\" }";
    let summary = ask(&["run", &config, model, "--out", &out, "--json", "--quiet"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["header"]["model"], "near-by");
    let evals = summary["evals"].as_array().unwrap();
    let rmse = |eval: &Value| eval["rmse"].as_f64().unwrap();
    let (first, last) = (rmse(&evals[0]), rmse(evals.last().unwrap()));
    assert!(last < 0.75 * first, "the RMSE went from {first} to {last}");
}

/// docs/plugins.md shows the output of `batchlab new model`; `BATCHLAB_BLESS=1` updates it.
#[test]
fn the_document_shows_the_new_model() {
    let parent = TempDir::new().unwrap();
    succeed(new_model(parent.path(), &["my-own", "--dir", "."]));
    let path = workspace().join("docs/plugins.md");
    let mut page = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let mut is_stale = false;
    for file in ["src/lib.rs", "src/network.rs"] {
        let source = fs::read_to_string(parent.path().join("my-own").join(file)).unwrap();
        let opening = format!("`{file}`:\n\n```rust,ignore\n");
        let start = page.find(&opening).expect("the place of the example") + opening.len();
        let end = start + page[start..].find("\n```\n").expect("the end of the example") + 1;
        is_stale |= page[start..end] != source;
        page.replace_range(start..end, &source);
    }
    if std::env::var("BATCHLAB_BLESS").as_deref() == Ok("1") {
        fs::write(&path, page).unwrap();
    } else {
        assert!(
            !is_stale,
            "the model in docs/plugins.md is stale; write it anew with\n\
             BATCHLAB_BLESS=1 cargo test --release -p batchlab-cli --test cli new::"
        );
    }
}

/// Only the three files with lists of plugins and the batchers directory are needed.
fn tree() -> TempDir {
    let tree = TempDir::new().unwrap();
    for file in ["Cargo.toml", "crates/builtin/Cargo.toml", "crates/builtin/src/lib.rs"] {
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(workspace().join(file), path).unwrap();
    }
    fs::create_dir_all(tree.path().join("plugins/batchers/taken-folder")).unwrap();
    tree
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_list_is_replaced_and_not_followed() {
    let tree = tree();
    let list = tree.path().join("crates/builtin/src/lib.rs");
    let elsewhere = tree.path().join("elsewhere.rs");
    fs::rename(&list, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &list).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    succeed(batchlab(tree.path(), &["half-full"]));
    assert!(fs::symlink_metadata(&list).unwrap().is_file());
    assert!(fs::read_to_string(&list).unwrap().contains("half_full"));
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[test]
fn in_the_tree_three_lists_get_a_line() {
    let tree = tree();
    let before = files(tree.path());
    // Somewhere below the root, as a user working there would call it.
    let printed = succeed(batchlab(&tree.path().join("plugins/batchers"), &["half-full"]));
    assert!(printed.contains("cargo test --release -p batcher-half-full"), "{printed}");
    for variable in ["INSTA_UPDATE=always writes", "BATCHLAB_BLESS=1 writes"] {
        assert!(printed.contains(variable), "{printed}");
    }

    let new = ["Cargo.toml", "src/lib.rs", "tests/contract.rs"];
    let mut expected = before;
    expected.extend(new.map(|file| format!("plugins/batchers/half-full/{file}")));
    expected.sort();
    assert_eq!(files(tree.path()), expected);
    let folder = tree.path().join("plugins/batchers/half-full");
    check_formatted(&folder, &["src/lib.rs", "tests/contract.rs"]);

    for (file, line) in [
        ("Cargo.toml", "batcher-half-full = { path = \"plugins/batchers/half-full\" }\n"),
        ("crates/builtin/Cargo.toml", "batcher-half-full.workspace = true\n"),
        ("crates/builtin/src/lib.rs", "use batcher_half_full as _;\n"),
    ] {
        let after = fs::read_to_string(tree.path().join(file)).unwrap();
        assert_eq!(after.matches(line).count(), 1, "{file}");
        let original = fs::read_to_string(workspace().join(file)).unwrap();
        assert_eq!(after.replace(line, ""), original, "{file}: nothing else changes");
    }
    check_formatted(tree.path(), &["crates/builtin/src/lib.rs"]);
    let manifest = fs::read_to_string(tree.path().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let ours = &manifest["workspace"]["dependencies"]["batcher-half-full"]["path"];
    assert_eq!(ours.as_str(), Some("plugins/batchers/half-full"));
}

#[test]
fn in_the_tree_a_model_goes_to_the_models() {
    let tree = tree();
    let printed = succeed(new_model(tree.path(), &["near-by"]));
    assert!(printed.contains("cargo test --release -p model-near-by"), "{printed}");
    let found = files(&tree.path().join("plugins/models/near-by"));
    assert_eq!(found, ["Cargo.toml", "src/lib.rs", "src/network.rs", "tests/contract.rs"]);
    let list = fs::read_to_string(tree.path().join("crates/builtin/src/lib.rs")).unwrap();
    assert_eq!(list.matches("use model_near_by as _;\n").count(), 1, "{list}");
    check_formatted(tree.path(), &["crates/builtin/src/lib.rs"]);
    let manifest = fs::read_to_string(tree.path().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let ours = &manifest["workspace"]["dependencies"]["model-near-by"]["path"];
    assert_eq!(ours.as_str(), Some("plugins/models/near-by"));

    // The longest name does not overflow any line of the templates.
    let longest = "as-long-as-a-name-may-be";
    succeed(new_model(tree.path(), &[longest]));
    let folder = tree.path().join("plugins/models").join(longest);
    check_formatted(&folder, &["src/lib.rs", "src/network.rs", "tests/contract.rs"]);

    let output = new_model(tree.path(), &["schnet"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("\"schnet\" is taken by a model of model-schnet"), "{stderr}");
}

#[test]
fn nothing_is_written_for_a_bad_name() {
    let tree = tree();
    let before = files(tree.path());
    for (name, reason) in [
        ("HalfFull", "try \"half-full\""),
        ("half_full", "try \"half-full\""),
        ("2half", "starting with a letter"),
        ("../half", "is not a valid component name"),
        ("", "is not a valid component name"),
        ("a-name-that-never-comes-to-an-end", "at most 24"),
        ("dynamic", "is taken by a batcher of batcher-dynamic"),
        ("taken-folder", "exists; choose another name or remove it"),
    ] {
        check_refused(tree.path(), &[name], reason);
    }
    assert_eq!(files(tree.path()), before);
}

#[test]
fn a_source_tree_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let of = |source| ["half-full", "--dir", ".", "--source", source];
    check_refused(
        folder.path(),
        &of("nowhere"),
        "nowhere, the source tree of batchlab, does not exist",
    );
    check_refused(
        folder.path(),
        &of("."),
        "is not the source tree of batchlab; name it with --source",
    );
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn lists_that_are_missing_are_said_to_be() {
    let tree = tree();
    fs::write(tree.path().join("crates/builtin/src/lib.rs"), "//! Nothing.\n").unwrap();
    let before = files(tree.path());
    check_refused(tree.path(), &["half-full"], "lib.rs lists no plugins");
    assert_eq!(files(tree.path()), before);
}
