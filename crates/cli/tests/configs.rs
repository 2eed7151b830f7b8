//! Every configuration that comes with batchlab is right, and its results go where its name says.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;
use std::process::Command;

#[test]
fn every_configuration_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut n_checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        n_checked += 1;
        let mut check = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        let output = check.arg("check").arg(&path).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let resolved: toml::Table =
            toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_str();
        assert_eq!(resolved["study"].as_str(), stem, "{}", path.display());
    }
    assert!(n_checked > 1, "no configurations in {}", folder.display());
}
