//! Opens results of the real binary with the readers that analysts use, and tests engines in
//! Python.
//!
//! The readers are Python packages: DuckDB, pandas and pyarrow, polars if installed, and
//! safetensors for weights; jsonschema for the schemas that editors use. The interpreter is
//! `BATCHLAB_PYTHON`, or the one in `.venv` in the workspace directory, or `python3`. Tests whose
//! packages are missing are ignored and say so; with `BATCHLAB_REQUIRE_READERS=1` they fail. This
//! requires a custom harness, since Rust's cannot ignore a test at run time.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(clippy::print_stderr, reason = "says what was not checked")]

#[path = "../../report/tests/it/study.rs"]
mod study;

#[path = "readers/clusters.rs"]
mod clusters;
#[path = "readers/engines.rs"]
mod engines;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use batchlab_core::record::Table;
use libtest_mimic::{Arguments, Completion, Trial};

/// All sinks.
const SINKS: &str = "sink=[{ name = \"parquet\" }, { name = \"csv\" }, { name = \"jsonl\" }]";

fn main() -> ExitCode {
    let tables = &["duckdb", "pandas", "pyarrow"];
    let tests = vec![
        test("every_reader_sees_the_same_tables", tables, every_reader_sees_the_same_tables),
        test("queries_of_a_report_give_its_numbers", tables, check_numbers),
        test("weights_are_read", &["safetensors", "numpy"], check_weights),
        test("schemas_fit_the_files_that_come_along", &["jsonschema"], check_schemas),
        test("the_queries_for_duckdb_run", &["duckdb"], run_queries),
        test("twins_for_pandas_give_its_numbers", &["pandas", "pyarrow"], || check_twins("pandas")),
        test("twins_for_polars_give_its_numbers", &["polars"], || check_twins("polars")),
        // Spark needs Java, and minutes, so it is tested only where it is installed.
        test("twins_for_spark_give_its_numbers", &["pyspark", "pyarrow"], || check_twins("spark")),
        test("the_published_tables_of_the_study", &["duckdb", "scipy"], check_published),
        test("workers_of_xargs", &[], clusters::xargs),
        test("workers_of_hyperqueue", &["hyperqueue"], clusters::hyperqueue),
        test("workers_of_submitit", &["submitit"], clusters::submitit),
        test("engines_the_toy_learns", &["numpy", "duckdb"], engines::the_toy_learns),
        test("engines_go_on_exactly", &["numpy", "duckdb"], engines::training_goes_on_exactly),
        test("engines_see_whole_batches", &["numpy"], engines::batches_are_what_the_page_says),
        test("engines_have_no_stages", &["numpy", "duckdb"], engines::stages_are_not_invented),
        test("engines_see_no_edges", &["numpy"], engines::batches_without_edges_are_batches),
        test("engines_new_shapes", &["numpy"], engines::first_uses_of_shapes_are_measured),
        test("engines_get_own_fields", &["numpy"], engines::own_fields_arrive),
        test("engines_get_graphs_of_others", &["numpy"], engines::graphs_of_other_libraries_arrive),
        test("engines_that_fail_are_named", &["numpy"], engines::faults_are_named),
        test("engines_that_fail_while_timing", &["numpy"], engines::failures_while_timing_are_told),
        test("engines_in_jax", &["numpy", "jax"], engines::jax_trains_and_agrees),
        test("engines_end_with_the_run", &["numpy"], engines::an_interrupted_run_leaves_no_process),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A test that is ignored if the interpreter lacks one of the packages.
fn test(name: &str, packages: &'static [&str], check: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(missing) = missing(packages) {
            let reason = format!(
                "{missing}; install it in .venv, or name an interpreter in BATCHLAB_PYTHON"
            );
            let is_required = !packages.contains(&"pyspark");
            if is_required && env::var("BATCHLAB_REQUIRE_READERS").as_deref() == Ok("1") {
                return Err(reason.into());
            }
            return Ok(Completion::ignored_with(reason));
        }
        check();
        Ok(Completion::Completed)
    })
}

/// The packages that the interpreter lacks.
fn missing(packages: &[&str]) -> Option<String> {
    const FIND: &str = "import importlib.util as i, sys\n\
        print(*[name for name in sys.argv[1:] if i.find_spec(name) is None])";
    let python = python();
    match Command::new(&python).args(["-c", FIND]).args(packages).output() {
        Err(error) => Some(format!("{} does not start: {error}", python.display())),
        Ok(output) if !output.status.success() => {
            Some(format!("{} does not run", python.display()))
        }
        Ok(output) => match String::from_utf8_lossy(&output.stdout).trim() {
            "" => None,
            names => Some(format!("{} has no {names}", python.display())),
        },
    }
}

/// The page's tables match the authors' files, if these are available.
fn check_published() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join("../shared/data/study-csv").exists() {
        eprintln!("NOT CHECKED: the published files are not in ../shared/data/study-csv");
        return;
    }
    succeed(
        Command::new(python()).arg(root.join("crates/bench/pages/published.py")).arg("--check"),
    );
}

fn every_reader_sees_the_same_tables() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let dir = dir.path();
    for _ in 0..2 {
        short_run(dir);
    }
    let mut check = Command::new(python());
    check.arg(script("check.py")).arg(dir);
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
    check_text(dir);
}

/// Twenty steps, with a checkpoint and all sinks.
fn short_run(out: &Path) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    run.current_dir(root()).args(["run", "configs/smoke.toml", "training.steps=20"]);
    run.args(["training.checkpoint={ steps = 20 }", SINKS, "--out"]);
    succeed(run.arg(out));
}

/// The editor schemas accept every bundled configuration and study.
fn check_schemas() {
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
        let lines = given(Command::new(python()).arg(script("schemas.py")).args(&files), &schema);
        assert!(lines.contains(&format!("{} files fit", files.len())), "{lines}");
    }
}

/// The output of a script given `input`.
fn given(script: &mut Command, input: &[u8]) -> String {
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // A script that exits early does not read all of it.
    let _ = script.stdin.take().unwrap().write_all(input);
    let output = script.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    printed
}

/// The output of `batchlab sql` runs on the bundled study.
fn run_queries() {
    let printed = printed_queries(&root().join("results/example"), "duckdb");
    let lines = given(Command::new(python()).arg(script("snippets.py")), &printed);
    // The verdict, among others.
    assert!(lines.contains("5 ("), "{lines}");
}

fn printed_queries(dir: &Path, tool: &str) -> Vec<u8> {
    let mut print = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    let dir = dir.canonicalize().unwrap();
    succeed(print.arg("sql").arg(dir).args(["--tool", tool])).stdout
}

/// CSV and JSON Lines, written by a run or by an export, hold the same data as Parquet.
fn check_text(dir: &Path) {
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
    let output = succeed(Command::new(python()).arg(script("text.py")).arg(dir));
    let lines = String::from_utf8_lossy(&output.stdout);
    for reader in ["duckdb", "pandas"] {
        for format in ["csv", "jsonl"] {
            let line = format!("{reader} {format}: runs 2, steps 40,");
            assert!(lines.contains(&line), "{line} is missing:\n{lines}");
        }
    }
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn check_weights() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    short_run(dir.path());
    let runs = dir.path().join("runs");
    let weights = dir.path().join("weights.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    succeed(command.arg("weights").arg(runs.join(&names(&runs)[0])).arg("--out").arg(&weights));
    let output = succeed(Command::new(python()).arg(script("weights.py")).arg(&weights));
    let n_parameter: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(n_parameter > 1000, "{n_parameter}");
}

/// Two batch sizes, two data sets with the same name, two models and two timing modes, of invented
/// runs, some of which are excluded. Their reports differ from setting to setting.
fn several_settings(dir: &Path) {
    let settings = [
        ("a", "stages", "schnet", "0123456789abcdef"),
        ("b", "stages", "painn", "0123456789abcdef"),
        ("c", "stages", "schnet", "fedcba9876543210"),
        ("d", "combined", "schnet", "0123456789abcdef"),
    ];
    for (place, (name, timing, model, hash)) in settings.into_iter().enumerate() {
        for batch_size in [16, 32] {
            let noise = 0.01 + 0.003 * place as f64;
            // One pair of one setting is disturbed.
            let stalled = (place == 1 && batch_size == 16).then_some((1, 3, 0));
            let study = study::Study {
                name,
                timing,
                batch_size,
                noise,
                stalled,
                ..study::Study::default()
            };
            study::write(dir, &study, |run| {
                (run.model, run.dataset_hash) = (model.into(), Some(hash.into()));
                if run.batcher == "static-constant" && run.repeat == Some(1) {
                    run.n_attempt = Some(2);
                }
                // It continues from the checkpoint of another run.
                if run.batcher == "exact" && run.repeat == Some(0) && batch_size == 32 {
                    run.parent = Some("earlier".into());
                }
            });
        }
    }
}

/// The queries shown with a report's figures reproduce the figures' numbers.
fn check_numbers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    several_settings(dir.path());
    let report = report_of(dir.path());
    let mut script = Command::new(python());
    let lines = given(script.arg(self::script("figures.py")).arg(dir.path()), &report);
    let figures: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for figure in figures["figures"].as_array().unwrap() {
        assert_compared(&lines, figure["id"].as_str().unwrap());
    }
}

/// The queries printed for another tool reproduce them too.
fn check_twins(tool: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let results = dir.path().join("results");
    several_settings(&results);
    let code = dir.path().join("code.py");
    std::fs::write(&code, printed_queries(&results, tool)).unwrap();
    let mut script = Command::new(python());
    script.arg(self::script("figures.py")).arg(&results).arg(tool).arg(code);
    script.env("PYSPARK_PYTHON", python());
    let lines = given(&mut script, &report_of(&results));
    for id in ["verdict", "throughput", "padding", "curves", "errors"] {
        assert_compared(&lines, id);
    }
}

fn report_of(dir: &Path) -> Vec<u8> {
    let mut report = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    succeed(report.arg("report").arg(dir).args(["--json"])).stdout
}

fn assert_compared(lines: &str, id: &str) {
    let line = lines.lines().find_map(|line| line.strip_prefix(id)?.strip_prefix(' '));
    let n: usize = line.unwrap_or("0").parse().unwrap();
    assert!(n >= 40, "{id}: {n} numbers compared:\n{lines}");
}

/// Runs a command that must succeed.
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

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
