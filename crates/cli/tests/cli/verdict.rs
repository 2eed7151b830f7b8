//! End-to-end tests of `batchlab verdict` and `batchlab bench`.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use assert_cmd::Command;
use batchlab_report::Results;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

fn batchlab() -> Command {
    Command::cargo_bin("batchlab").unwrap()
}

fn json(command: &mut Command) -> Value {
    let output = command.arg("--json").assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn refused(csv: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("times.csv");
    fs::write(&file, csv).unwrap();
    let output =
        batchlab().arg("verdict").arg(&file).assert().failure().get_output().stderr.clone();
    String::from_utf8(output).unwrap()
}

/// The blocks of a sweep, written as CSV, get the same verdict as in the report.
#[test]
fn the_verdict_is_that_of_the_report() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/example");
    let report = json(batchlab().arg("report").arg(&example));
    let results = Results::read(std::slice::from_ref(&example)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for expected in report["verdicts"].as_array().unwrap() {
        let mut csv = String::from("strategy,seconds,n_output,cell,block\n");
        let of_size = |run: &&batchlab_report::Run| {
            Some(run.run.batch_size) == Some(expected["batch_size"].as_i64())
        };
        for run in results.runs.iter().filter(of_size) {
            for block in &run.steps.blocks {
                let (name, cell) = (&run.run.batcher, run.run.cell.as_ref().unwrap());
                let seconds = block.ns / 1e9;
                writeln!(csv, "{name},{seconds},{},{cell},{}", block.n_output, block.number)
                    .unwrap();
            }
        }
        let file = dir.path().join("times.csv");
        fs::write(&file, csv).unwrap();
        let found = json(batchlab().arg("verdict").arg(&file));
        assert_eq!(found["unit"], expected["unit"]);
        let strategies = |verdict: &Value| verdict["strategies"].as_array().unwrap().clone();
        let (found, expected) = (strategies(&found), strategies(expected));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            for key in ["batcher", "place", "is_within_margin"] {
                assert_eq!(found[key], expected[key]);
            }
            let near =
                |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9;
            assert!(near(&found["factor"], &expected["factor"]), "{found} {expected}");
            for bound in 0..2 {
                assert!(near(&found["interval"][bound], &expected["interval"][bound]));
            }
        }
    }
}

#[test]
fn runs_in_processes_of_their_own_are_compared_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("times.csv");
    let mut csv = String::from("strategy, seconds, n_output, run\n");
    for (run, noise) in [0.01, -0.02, 0.0, 0.015, -0.01].iter().enumerate() {
        for (strategy, seconds) in [("a", 1.0), ("b", 1.3)] {
            // Two parts of one run are added up.
            for _ in 0..2 {
                writeln!(csv, "{strategy}, {}, 50, {run}", seconds * (1.0 + noise)).unwrap();
            }
        }
    }
    fs::write(&file, csv).unwrap();
    let verdict = json(batchlab().arg("verdict").arg(&file));
    assert_eq!(verdict["unit"]["kind"], "runs");
    assert_eq!(verdict["unit"]["least"], 5);
    assert_eq!(verdict["strategies"][0]["batcher"], "a");
    assert!((verdict["strategies"][1]["factor"].as_f64().unwrap() - 1.3).abs() < 1e-9);
    assert_eq!(verdict["strategies"][1]["place"], "slower");
}

/// One pair of blocks of two strategies in each of five cells; `change` spoils one column.
fn parquet(file: &Path, change: impl Fn(usize) -> Option<i64>) {
    let (mut strategy, mut seconds, mut cell, mut block) = (vec![], vec![], vec![], vec![]);
    for at in 0..5_u8 {
        for number in 1..=2_i64 {
            for (name, factor) in [("a", 1.0), ("b", 1.2)] {
                strategy.push(name);
                seconds.push(factor * (1.0 + 0.01 * f64::from(at % 3)));
                cell.push(i64::from(at));
                block.push(number);
            }
        }
    }
    let n_row = strategy.len();
    let columns: [(&str, ArrayRef); 5] = [
        ("strategy", Arc::new(StringArray::from(strategy))),
        ("seconds", Arc::new(Float64Array::from(seconds))),
        ("n_output", Arc::new((0..n_row).map(&change).collect::<Int64Array>())),
        ("cell", Arc::new(Int64Array::from(cell))),
        ("block", Arc::new(Int64Array::from(block))),
    ];
    let table = RecordBatch::try_from_iter(columns).unwrap();
    let created = fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(created, table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
}

#[test]
fn times_in_parquet_get_a_verdict_too() {
    let dir = tempfile::tempdir().unwrap();
    // The content decides, not the name.
    let file = dir.path().join("times");
    parquet(&file, |_| Some(100));
    let verdict = json(batchlab().arg("verdict").arg(&file));
    assert_eq!(verdict["unit"], serde_json::json!({ "kind": "cells", "n_cell": 5, "n_pair": 5 }));
    assert_eq!(verdict["strategies"][1]["batcher"], "b");
    assert!((verdict["strategies"][1]["factor"].as_f64().unwrap() - 1.2).abs() < 1e-9);

    parquet(&file, |row| (row != 6).then_some(100));
    let said = batchlab().arg("verdict").arg(&file).assert().code(3).get_output().stderr.clone();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("row 7: missing field `n_output`"), "{said}");
}

#[test]
fn times_from_which_nothing_follows_are_refused() {
    let heading = "strategy,seconds,n_output,block\n";
    for (csv, expected) in [
        (String::new(), "the file is empty"),
        (heading.to_owned(), "there are no times"),
        ("strategy,seconds\na,1\n".to_owned(), "there is no column n_output"),
        ("strategy,seconds,n_output\na,1,1\nb,1,1\n".to_owned(), "neither block nor run"),
        (format!("{heading}a,1,1,1\na,1,1,2\n"), "all times are of \"a\""),
        (format!("{heading}a,1,1,1\nb,0,1,1\n"), "line 3: seconds is 0"),
        (format!("{heading}a,1,1,1\nb,1,nan,1\n"), "line 3: n_output is NaN"),
        (format!("{heading}a,x,1,1\n"), "line 2"),
        (
            format!("{heading}a,1,1,1\nb,1,1,1\na,2,1,1\n"),
            "line 4: there is a time of \"a\" in block 1 already, in line 2",
        ),
        (
            format!("{heading}a,1,1,1\na,1,1,2\nb,1,1,3\nb,1,1,4\n"),
            "no two strategies have times in both blocks of a mirrored pair",
        ),
        (
            format!("{heading}a,1,1,-1\n"),
            "line 2: block is -1, but must be a whole number from 0 on",
        ),
        (format!("{heading},1,1,1\n"), "line 2: strategy is empty"),
        ("strategy;seconds;n_output\n".to_owned(), "columns are separated by ';'"),
    ] {
        let said = refused(&csv);
        assert!(said.contains(expected), "{csv}\nexpected: {expected}\n{said}");
        assert!(said.contains("times.csv"), "{said}");
    }
}

fn arms(dir: &Path, second: &str) -> std::path::PathBuf {
    let file = dir.join("arms.toml");
    let answer = |s: &str| {
        format!("while read line; do echo '{{\"seconds\": {s}, \"n_output\": 100}}'; done")
    };
    let text = format!(
        "steps = 5\npairs = 4\ntimeout_seconds = 2\n[[arm]]\nname = \"one\"\ncommand = ['sh', '-c', '''{}''']\n\
         [[arm]]\nname = \"two\"\ncommand = ['sh', '-c', '''{second}''']\n",
        answer("0.0010'$(date +%N)'"),
    );
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn programs_are_timed_in_turns_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let slower =
        "while read line; do echo '{\"seconds\": 0.0015'$(date +%N)', \"n_output\": 100}'; done";
    let file = arms(dir.path(), slower);
    let out = dir.path().join("times.csv");
    let mut bench = batchlab();
    let verdict = json(bench.arg("bench").arg(&file).arg("--out").arg(&out));
    assert_eq!(verdict["unit"]["n_pair"], 4);
    assert_eq!(verdict["strategies"][0]["batcher"], "one");
    let times = fs::read_to_string(&out).unwrap();
    assert_eq!(times.lines().count(), 1 + 2 * 9);
    // Mirrored: the order of block 2 is the reverse of that of block 1.
    let order = |block: &str| -> Vec<&str> {
        let of_block = times.lines().filter(|line| line.ends_with(&format!(",{block}")));
        of_block.map(|line| line.split(',').next().unwrap()).collect()
    };
    assert_eq!(order("1").into_iter().rev().collect::<Vec<_>>(), order("2"));
    // An existing file is not replaced.
    let again = batchlab().arg("bench").arg(&file).arg("--out").arg(&out).assert().failure();
    assert!(String::from_utf8_lossy(&again.get_output().stderr).contains("already exists"));
}

/// Of nine blocks of a process, the sixth takes six times as long; its pair is repeated and
/// excluded.
#[test]
fn a_disturbed_pair_of_blocks_is_repeated_in_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let stalls = "i=0; while read line; do i=$((i+1)); s=0.0015; [ $i = 6 ] && s=0.0090; \
                  echo '{\"seconds\": '$s$(date +%N)', \"n_output\": 100}'; done";
    let file = arms(dir.path(), stalls);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("processes = 2\n{text}")).unwrap();
    let out = dir.path().join("times.csv");
    let verdict = json(batchlab().arg("bench").arg(&file).arg("--out").arg(&out));
    assert_eq!(verdict["unit"], serde_json::json!({ "kind": "pairs", "n_pair": 8, "n_cell": 2 }));
    let times = fs::read_to_string(&out).unwrap();
    assert_eq!(times.lines().count(), 1 + 2 * 2 * 11, "a pair more in each process");
    for left_out in verdict["left_out"].as_array().unwrap() {
        assert_eq!((&left_out["pair"], &left_out["batcher"]), (&3.into(), &"two".into()));
    }
    assert_eq!(verdict["left_out"].as_array().unwrap().len(), 2);
    assert!(verdict["strategies"][1]["factor"].as_f64().unwrap() < 1.7);
}

#[test]
fn programs_that_fail_are_named() {
    for (second, expected) in [
        ("exit 3", "\"two\" ended (exit status: 3) instead of training 5 steps"),
        ("read line; echo hello", "\"two\" answered \"hello\""),
        ("read line; echo '{\"seconds\": 0, \"n_output\": 1}'", "\"two\": seconds is 0, but"),
        (
            "read line; echo '{\"seconds\": 9, \"n_output\": 1}'",
            "\"two\" says that 5 steps took 9 s, but answered after 0.0",
        ),
        (
            "while read line; do for i in 1 2; do echo '{\"seconds\": 1e-9, \"n_output\": 1}'; done; done",
            "\"two\" printed \"{\\\"seconds\\\": 1e-9, \\\"n_output\\\": 1}\" without being asked",
        ),
        (
            "read line; printf '\\377\\n'; exec sleep 60",
            "\"two\" printed something that is not text",
        ),
        ("exec >&-; exec sleep 60", "\"two\" closed its standard input or output instead of"),
        ("exec sleep 60", "\"two\" has not answered within 2 s, timeout_seconds"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = arms(dir.path(), second);
        let mut bench = batchlab();
        let bench = bench.arg("bench").arg(&file).arg("--out").arg(dir.path().join("t.csv"));
        let said = String::from_utf8(bench.assert().failure().get_output().stderr.clone()).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}
