//! A plugin in a separate crate, with a binary that has all built-in components and the new one.

use std::path::Path;

use anyhow::{Result, bail};

use super::component::Component;
use super::{NewFile, check_free, read, steps};
use crate::exit::Usage;

pub(super) fn plan(parent: &Path, source: &Path, component: &Component) -> Result<Vec<NewFile>> {
    let folder = parent.join(component.name.as_str());
    check_free(&folder)?;
    let Ok(source) = source.canonicalize() else {
        bail!(Usage(format!(
            "{}, the source tree of batchlab, does not exist; name it with --source",
            source.display()
        )));
    };
    if !source.join("crates/cli/Cargo.toml").is_file() {
        bail!(Usage(format!(
            "{} is not the source tree of batchlab; name it with --source",
            source.display()
        )));
    }
    let workspace = read(&source.join("Cargo.toml"))?;
    let manifest = component
        .standalone_manifest()
        .replace("@CORE@", &quoted(&source.join("crates/core")))
        .replace("@CLI@", &quoted(&source.join("crates/cli")))
        .replace("@TENSOR@", &quoted(&source.join("crates/tensor")))
        .replace("@TESTKIT@", &quoted(&source.join("crates/testkit")))
        .replace("@PROFILES@", &profiles(&workspace));
    let mut files = vec![
        NewFile::new(folder.join("Cargo.toml"), manifest),
        NewFile::new(
            folder.join("src/main.rs"),
            component.fill_in(include_str!("templates/main.rs.txt")),
        ),
    ];
    files.extend(component.source_files(&folder));
    // Use the versions with which batchlab itself was tested.
    if let Ok(lock) = std::fs::read_to_string(source.join("Cargo.lock")) {
        files.push(NewFile::new(folder.join("Cargo.lock"), lock));
    }
    Ok(files)
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// The release profile, as in the source tree. Profiles come last in the manifest.
fn profiles(manifest: &str) -> String {
    let all = manifest.find("\n[profile.").map_or("", |at| &manifest[at + 1..]);
    let end = all.find("\n[profile.profiling]").map_or(all.len(), |at| at + 1);
    let release = all[..end].trim_end();
    format!("{release}\n")
}

pub(super) fn next_steps(parent: &Path, source: &Path, component: &Component) -> String {
    let folder = parent.join(component.name.as_str());
    let configs = source.join("configs").display().to_string();
    let trial = component
        .trial(&configs)
        .map(|trial| (format!("cargo run --release -- {trial}"), "train it"));
    let first = [
        ("cargo test --release".into(), "the conformance kit, and your own tests"),
        ("cargo run --release -- list".into(), "lists it with all others"),
    ];
    steps(
        &format!(
            "the crate is in {}. Next, in that folder (the first command builds batchlab as well, about five \
             minutes of processor time; the others do not):",
            folder.display()
        ),
        first.into_iter().chain(trial),
    )
}
