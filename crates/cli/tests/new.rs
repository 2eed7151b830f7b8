//! `batchlab new batcher`: a crate of its own is built, tested and listed; in the tree, three lists
//! get a line each.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn batchlab(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.args(["new", "batcher"]).args(arguments).current_dir(folder).output().unwrap()
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

/// Every file below a folder, as sorted paths within it.
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

/// Builds with what is already built of this workspace.
fn cargo(folder: &Path, command: &str) -> String {
    let executable = Path::new(env!("CARGO_BIN_EXE_batchlab"));
    let target = executable.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--offline", "--quiet", "--target-dir"]).arg(target).current_dir(folder);
    succeed(cargo.output().unwrap())
}

#[test]
fn a_crate_of_its_own_passes_the_kit_and_is_listed() {
    let parent = TempDir::new().unwrap();
    let said = succeed(batchlab(parent.path(), &["half-full", "--dir", "."]));
    assert!(said.contains("cargo run -- list"), "{said}");
    let folder = parent.path().join("half-full");
    assert_eq!(
        files(&folder),
        ["Cargo.lock", "Cargo.toml", "src/lib.rs", "src/main.rs", "tests/contract.rs"]
    );
    check_formatted(&folder, &["src/main.rs", "src/lib.rs", "tests/contract.rs"]);
    let main = fs::read_to_string(folder.join("src/main.rs")).unwrap();
    assert!(main.contains("use batcher_half_full as _;"), "{main}");

    let tested = cargo(&folder, "test");
    assert!(tested.contains("25 passed"), "{tested}");

    cargo(&folder, "build");
    let name = format!("batchlab-half-full{}", std::env::consts::EXE_SUFFIX);
    let executable = Path::new(env!("CARGO_BIN_EXE_batchlab")).with_file_name(name);
    let ask =
        |arguments: &[&str]| succeed(Command::new(&executable).args(arguments).output().unwrap());
    let list = ask(&["list"]);
    assert!(
        list.contains("half-full    As many graphs as fit `max_node` nodes, in the order"),
        "{list}"
    );
    assert!(list.contains("dynamic"), "{list}");
    let explained = ask(&["explain", "batcher.half-full"]);
    assert!(explained.contains("max_node: integer (default 1000)"), "{explained}");

    check_refused(parent.path(), &["half-full", "--dir", "."], "half-full exists");
}

/// The three files with lists of plugins, and the folder of the batchers, are all that is looked at.
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

#[test]
fn in_the_tree_three_lists_get_a_line() {
    let tree = tree();
    let before = files(tree.path());
    // Somewhere below the root, as one who works there would call it.
    let said = succeed(batchlab(&tree.path().join("plugins/batchers"), &["half-full"]));
    assert!(said.contains("cargo test -p batcher-half-full"), "{said}");

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
fn nothing_is_written_for_a_bad_name() {
    let tree = tree();
    let before = files(tree.path());
    for (name, reason) in [
        ("HalfFull", "try \"half-full\""),
        ("half_full", "try \"half-full\""),
        ("2half", "starting with a letter"),
        ("../half", "is no name for a component"),
        ("", "is no name for a component"),
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
        "nowhere, the source tree of batchlab, is not there",
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
