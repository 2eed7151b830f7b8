//! Results of the real binary, opened by the readers that analysts use.
//!
//! The readers are Python packages: DuckDB, pandas and pyarrow, polars where it is installed, and
//! safetensors for weights; jsonschema for the schemas that editors use.
//! The interpreter is that of `BATCHLAB_PYTHON`, or of `.venv` in the folder of the workspace, or
//! `python3`. Without the packages the test says so and passes; with `BATCHLAB_REQUIRE_READERS=1`
//! it fails.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use batchlab_core::record::Table;

use crate::study::{self, Study};

/// All that there are.
const SINKS: &str = "sink=[{ name = \"parquet\" }, { name = \"csv\" }, { name = \"jsonl\" }]";

/// The exit code of the script where a package is absent.
const ABSENT: i32 = 77;

#[test]
fn every_reader_sees_the_same_tables() {
    let python = python();
    if let Err(reason) = find_readers(&python) {
        let advice = format!(
            "the readers of results were NOT tested: {reason}\n\
             install them with `python3 -m venv .venv && .venv/bin/pip install duckdb pandas \
             pyarrow safetensors`, or name an interpreter that has them in BATCHLAB_PYTHON"
        );
        assert!(env::var("BATCHLAB_REQUIRE_READERS").as_deref() != Ok("1"), "{advice}");
        // Written past the test harness, which would keep it to itself.
        let line = "=".repeat(72);
        writeln!(std::io::stderr(), "{line}\nSKIPPED: {advice}\n{line}").expect("standard error");
        return;
    }

    let dir = tempfile::tempdir().expect("a temporary folder");
    for _ in 0..2 {
        let mut run = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        run.current_dir(root()).args(["run", "configs/smoke.toml", "training.steps=20"]);
        run.args(["training.checkpoint={ steps = 20 }", SINKS, "--out"]);
        succeed(run.arg(dir.path()));
    }

    let mut check = Command::new(&python);
    check.arg(script()).arg(dir.path());
    for table in Table::ALL {
        let columns: Vec<&str> = table.dictionary().1.iter().map(|column| column.name).collect();
        check.arg(format!("{table}={}", columns.join(",")));
    }
    let output = succeed(&mut check);
    let lines = String::from_utf8_lossy(&output.stdout);
    for reader in ["duckdb", "pandas", "pyarrow"] {
        let line = lines.lines().find(|line| line.starts_with(reader)).unwrap_or_default();
        assert!(line.contains("runs 2, steps 40,"), "{reader} sees other rows:\n{lines}");
    }
    println!("{lines}");
    check_queries(&python, dir.path());
    println!("{}", check_text(&python, dir.path()));
    check_weights(&python, dir.path());
    check_numbers(&python);
    check_snippets(&python);
    check_schemas(&python);
}

/// The schemas for editors take every configuration and study that comes with batchlab.
fn check_schemas(python: &Path) {
    for (folder, arguments) in
        [("configs", &["schema"][..]), ("configs/study", &["schema", "--study"])]
    {
        let mut print = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        let schema = succeed(print.args(arguments)).stdout;
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let files: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .collect();
        assert!(files.len() > 1, "no files in {folder}");
        let mut check = Command::new(python);
        check.arg(script().with_file_name("schemas.py")).args(&files);
        let Some(lines) = given(&mut check, &schema) else {
            writeln!(std::io::stderr(), "SKIPPED: jsonschema is absent, {folder} was NOT checked")
                .expect("standard error");
            assert!(env::var("BATCHLAB_REQUIRE_READERS").as_deref() != Ok("1"));
            continue;
        };
        assert!(lines.contains(&format!("{} files fit", files.len())), "{lines}");
    }
}

/// What a script says that gets `input`; none where a package that it needs is absent.
fn given(script: &mut Command, input: &[u8]) -> Option<String> {
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // A script that ends early does not read all of it.
    let _ = script.stdin.take().unwrap().write_all(input);
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(ABSENT) {
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(said)
}

/// What `batchlab sql` prints runs, on the study that comes with batchlab.
fn check_snippets(python: &Path) {
    let expected = [
        ("duckdb", "12 ('qm9', 'schnet', 'cpu', "),
        ("pandas", "static-2^N"),
        ("polars", "(12, 4)"),
    ];
    for (tool, expected) in expected {
        let mut print = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        let print = print.current_dir(root()).args(["sql", "results/example", "--tool", tool]);
        let mut script = Command::new(python);
        script.arg(self::script().with_file_name("snippets.py")).arg(tool).current_dir(root());
        let Some(lines) = given(&mut script, &succeed(print).stdout) else {
            writeln!(std::io::stderr(), "SKIPPED: the snippet for {tool} was NOT run")
                .expect("standard error");
            continue;
        };
        assert!(lines.contains(expected), "{tool}: {lines}");
    }
}

/// CSV and JSON Lines, as a run writes them and as an export does, hold what Parquet holds.
fn check_text(python: &Path, dir: &Path) -> String {
    let exported = dir.join("exported");
    std::fs::create_dir(&exported).unwrap();
    for format in ["csv", "jsonl"] {
        let mut export = Command::new(env!("CARGO_BIN_EXE_batchlab"));
        export.arg("export").arg(dir).args(["--to", format, "--out"]).arg(&exported);
        succeed(&mut export);
        for table in Table::ALL {
            let of = |folder: &Path| names(&folder.join(format).join(table.name()));
            assert_eq!(of(dir), of(&exported));
            for name in of(dir) {
                let text = |folder: &Path| {
                    std::fs::read_to_string(folder.join(format).join(table.name()).join(&name))
                };
                assert!(
                    text(dir).unwrap() == text(&exported).unwrap(),
                    "{format} {table} {}",
                    name.display()
                );
            }
        }
    }
    let output = succeed(Command::new(python).arg(script().with_file_name("text.py")).arg(dir));
    let lines = String::from_utf8_lossy(&output.stdout);
    for reader in ["duckdb", "pandas"] {
        for format in ["csv", "jsonl"] {
            let line = format!("{reader} {format}: runs 2, steps 40,");
            assert!(lines.contains(&line), "{line} is missing:\n{lines}");
        }
    }
    lines.into_owned()
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// Python reads the weights, where it has safetensors; without it, this says so.
fn check_weights(python: &Path, dir: &Path) {
    let run = dir.join("runs").join(&names(&dir.join("runs"))[0]);
    let weights = dir.join("weights.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    succeed(command.arg("weights").arg(run).arg("--out").arg(&weights));
    let mut read = Command::new(python);
    let output = read.arg(script().with_file_name("weights.py")).arg(&weights).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(ABSENT) {
        writeln!(std::io::stderr(), "SKIPPED: weights were NOT read in Python: {said}")
            .expect("standard error");
        return;
    }
    assert!(output.status.success(), "{said}");
    let n_parameter: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(n_parameter > 1000, "{n_parameter}");
}

/// The queries under the figures of a report, and under its verdict, give the figures' numbers; here
/// for invented runs, of which some are left out. On tables of an older version they still run.
fn check_numbers(python: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for batch_size in [16, 32] {
        let study = Study { batch_size, ..Study::default() };
        study::write(dir.path(), &study, |run| {
            if run.batcher == "static-constant" && run.repeat == Some(1) {
                run.n_attempt = Some(2);
            }
        });
    }
    let mut report = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let report = report.arg("report").arg(dir.path()).args(["--json", "--compile-cost", "0.002"]);
    let lines = fed(python, "figures.py", dir.path(), &succeed(report).stdout);
    for figure in ["attribution", "stages", "blocks", "what-if", "waiting", "throughput", "curves"]
    {
        let line = lines.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(' '));
        let n: usize = line.unwrap_or("0").parse().unwrap();
        assert!(n >= 10, "{figure}: {n} numbers compared:\n{lines}");
    }
    assert!(lines.contains("\nverdict 30\n"), "{lines}");
    assert!(lines.contains("\nversion 1: times 12\n"), "{lines}");
    assert!(lines.contains("\nversion 1: verdict 0\n"), "{lines}");
}

/// What a script says of a folder and a report.
fn fed(python: &Path, name: &str, dir: &Path, report: &[u8]) -> String {
    let mut script = Command::new(python);
    script.arg(self::script().with_file_name(name)).arg(dir);
    given(&mut script, report).unwrap_or_else(|| panic!("{name} lacks a package"))
}

/// The queries under the figures of a report give rows.
fn check_queries(python: &Path, dir: &Path) {
    let mut report = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let report = succeed(report.arg("report").arg(dir).arg("--json"));
    let lines = fed(python, "queries.py", dir, &report.stdout);
    // Two runs of one strategy: one row each.
    for figure in ["throughput 1", "speed-up 1", "times 1", "recompilations 1", "padding 1"] {
        assert!(lines.lines().any(|line| line == figure), "{figure} is missing:\n{lines}");
    }
}

/// Whether the interpreter has the packages; why not, if it has not.
fn find_readers(python: &Path) -> Result<(), String> {
    let output = Command::new(python)
        .arg(script())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(ABSENT) => Err(said),
        _ => panic!("{} {}: {}\n{said}", python.display(), script().display(), output.status),
    }
}

/// Runs a command that has to succeed.
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn python() -> PathBuf {
    let local = root().join(".venv/bin/python");
    match env::var_os("BATCHLAB_PYTHON") {
        Some(named) => named.into(),
        None if local.exists() => local,
        None => "python3".into(),
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/readers/check.py")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
