//! Crates outside the source tree, built with the existing build artefacts of this workspace.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo build` or `cargo test` in a directory, with the target directory of this program.
pub(crate) fn cargo(subcommand: &str, folder: &Path) -> Command {
    let (target, profile) = target();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([subcommand, "--offline", "--quiet", "--target-dir"]).arg(target);
    if profile == "release" {
        cargo.arg("--release");
    }
    // Do not keep files for incremental builds of a crate that is gone after the test.
    cargo.env("CARGO_INCREMENTAL", "0").current_dir(folder);
    cargo
}

/// Where such a build puts its program.
pub(crate) fn program(name: &str) -> PathBuf {
    let (target, profile) = target();
    target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The target directory, and the directory of this build within it.
fn target() -> (&'static Path, &'static str) {
    let folder = Path::new(env!("CARGO_BIN_EXE_batchlab")).parent().unwrap();
    (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap())
}
