//! The bundled study is complete and has the documented results.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::small_run::{Tables, batchlab, text};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/example")
}

fn json(command: &str) -> Value {
    let output = batchlab().arg(command).arg(example()).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_file_is_as_it_was_published() {
    // Five strategies.
    let doctor = json("doctor");
    let run = Tables::read(&example());
    assert_eq!(run.runs.len(), 5);
    assert!(run.runs.iter().all(|run| run.status == "completed" && run.build_profile.as_deref() == Some("release")));
    assert_eq!(doctor["damaged"].as_array().map(Vec::len), Some(0), "{doctor}");
    assert_eq!(doctor["n_verified"], 30, "all were compared with their checksums");
}

/// A consequence of arithmetic, independent of the machine: padding does not change what is learnt.
#[test]
fn strategies_that_group_alike_learn_alike() {
    let tables = Tables::read(&example());
    let mut error: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in &tables.runs {
        let of_run = tables.evals.iter().filter(|e| e.run_id == run.run_id && e.subset == "test");
        let last = of_run.max_by_key(|eval| eval.step).unwrap();
        let grouping = if run.batcher.starts_with("dynamic") { "dynamic" } else { "static" };
        error.entry(grouping).or_default().push(last.rmse.unwrap());
    }
    assert_eq!(error.len(), 2);
    for (grouping, errors) in error {
        let spread = errors.iter().fold(0.0_f64, |most, e| most.max((e / errors[0] - 1.0).abs()));
        let n = if grouping == "dynamic" { 1 } else { 4 };
        assert!(errors.len() == n && spread < 1e-3, "{grouping}: {errors:?}");
    }
}

/// Pages that show this verdict match the program's output.
#[test]
fn pages_show_what_is_printed() {
    let output = batchlab().arg("report").arg(example()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().map(str::trim).collect();
    for page in ["README.md", "docs/report.md"] {
        let text = std::fs::read_to_string(example().join("../..").join(page)).unwrap();
        let blocks = text.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let shown = blocks
            .into_iter()
            .find(|block| block.contains("time per graph over 10 mirrored pairs in 1 cell"))
            .unwrap();
        for line in shown.lines().map(str::trim) {
            assert!(
                printed.contains(&line),
                "{page} shows {line:?}, printed is:\n{}",
                printed.join("\n")
            );
        }
    }
}

#[test]
fn its_report_has_a_verdict_over_mirrored_pairs() {
    let report = json("report");
    let [verdict] = &report["verdicts"].as_array().unwrap()[..] else { panic!("{report}") };
    let strategies = verdict["strategies"].as_array().unwrap();
    assert_eq!((strategies.len(), &verdict["unit"]["kind"]), (5, &"pairs".into()), "{verdict}");
    let slowest = strategies.last().unwrap();
    assert_eq!(
        (&slowest["batcher"], &slowest["place"]),
        (&"static-constant".into(), &"slower".into())
    );
    assert!(slowest["interval"][0].as_f64().unwrap() > 1.2, "{slowest}");
    assert_eq!(report["left_out"].as_array().unwrap().len(), 0);
}
