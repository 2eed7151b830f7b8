//! Results that changed after they were published: none silently reaches a report, and nothing
//! outside the results is touched.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::small_run::{batchlab, doctor, names, run_folder, start, text};

/// Number of bits to flip in every file, one at a time.
const N_FLIP: usize = 16;

fn short_run(dir: &Path) {
    let output = start(dir, &["training.steps=12", "evaluation.every=6"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn report(dir: &Path) -> Value {
    let output = batchlab().arg("report").arg(dir).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Why a report excludes the only run, if it does.
fn left_out(dir: &Path) -> Option<String> {
    report(dir)["left_out"][0]["why"].as_str().map(str::to_owned)
}

fn table(dir: &Path, name: &str) -> PathBuf {
    let folder = dir.join("tables").join(name);
    folder.join(&names(&folder)[0])
}

#[test]
fn a_flipped_bit_anywhere_is_named_and_not_used() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    short_run(dir);
    assert_eq!(left_out(dir), None);
    for name in ["runs", "steps", "evals", "metrics"] {
        let path = table(dir, name);
        let whole = fs::read(&path).unwrap();
        for flip in 0..N_FLIP {
            let mut bytes = whole.clone();
            bytes[flip * (whole.len() - 1) / (N_FLIP - 1)] ^= 1 << (flip % 8);
            fs::write(&path, &bytes).unwrap();
            let why = left_out(dir).unwrap_or_default();
            assert!(why.contains(&format!("{name}/")) && why.contains("SHA-256"), "{flip}: {why}");
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(left_out(dir), None);
}

#[test]
fn a_file_that_is_missing_and_one_that_was_copied_are_named() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    short_run(dir);
    let steps = table(dir, "steps");
    let runs = table(dir, "runs");
    let copy = runs.with_file_name("copy.parquet");
    fs::copy(&runs, &copy).unwrap();
    let why = left_out(dir).unwrap();
    assert!(why.contains("copy.parquet") && why.contains("its row is that of run"), "{why}");
    fs::remove_file(&copy).unwrap();
    for path in [&steps, &runs] {
        let whole = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let why = left_out(dir).unwrap();
        assert!(why.contains("was published with") && why.contains("is missing"), "{why}");
        let exported = TempDir::new().unwrap();
        let mut export = batchlab();
        export.args(["export", "--to", "csv", "--out"]).arg(exported.path()).arg(dir);
        let output = export.output().unwrap();
        assert!(text(&output).contains("left out: "), "{}", text(&output));
        fs::write(path, whole).unwrap();
    }
    // A run without checksums is used, and the report says so.
    fs::remove_file(run_folder(dir).join("files.json")).unwrap();
    let unverified = report(dir);
    assert_eq!(
        (&unverified["n_unverified"], &unverified["left_out"][0]),
        (&1.into(), &Value::Null)
    );
}

#[test]
#[cfg(unix)]
fn a_doctor_touches_nothing_that_a_link_or_a_person_has_put_there() {
    use std::os::unix::fs::symlink;
    let (folder, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let dir = folder.path();
    short_run(dir);
    for name in ["lock", "journal", "letter"] {
        fs::write(home.path().join(name), "mine").unwrap();
    }
    let wip = dir.join("wip");
    fs::create_dir_all(wip.join("mine")).unwrap();
    symlink(home.path(), wip.join("evil")).unwrap();
    for name in ["lock", "letter"] {
        fs::write(wip.join("mine").join(name), "mine").unwrap();
    }
    let report = doctor(dir, &[]);
    assert_eq!(report["runs"], Value::Array(Vec::new()), "{report}");
    assert_eq!(report["strays"].as_array().unwrap().len(), 2);
    assert_eq!(names(home.path()), ["journal", "letter", "lock"]);
    assert_eq!(names(&wip.join("mine")), ["letter", "lock"]);
}

#[test]
fn a_doctor_says_what_it_cannot_look_at() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    short_run(dir);
    // A directory in place of the lock file: whether a process holds the lock is unknown.
    let run_id = run_folder(dir).file_name().unwrap().to_str().unwrap().to_owned();
    fs::create_dir_all(dir.join("wip").join(&run_id).join("lock")).unwrap();
    let output = batchlab().arg("doctor").arg(dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let words = text(&output);
    assert!(words.contains("cannot be salvaged: cannot read") && words.contains("lock"), "{words}");
    let mut resume = batchlab();
    let output = resume.args(["run", "--resume"]).arg(run_folder(dir)).output().unwrap();
    assert!(text(&output).contains("cannot read"), "{}", text(&output));
}
