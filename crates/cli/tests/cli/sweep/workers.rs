//! What workers of a study agree on: time limits, failures, threads, locks.

use std::collections::BTreeMap;
use std::process::Child;

use super::{ONE_CELL, STUDY, Study};
use crate::small_run::{names, text};

/// The budget of this strategy is too small for any graph.
const FAILING: &str =
    "batchers={ name = \"dynamic\", budget = { n_node = 12, n_edge = 12 }, oversize = \"error\" }";

#[test]
fn a_cell_that_a_time_limit_ended_is_not_done() {
    let study = Study::new(STUDY);
    let many = [&ONE_CELL[..], &["blocks.pairs=400", "blocks.steps=10"]].concat();
    let short = study.done(&[&many[..], &["--time-limit", "1s"]].concat());
    assert_eq!((&short["n_done"], &short["is_time_up"]), (&0.into(), &true.into()), "{short}");
    assert_eq!(short["cut_short"].as_array().unwrap().len(), 1, "{short}");
    assert_eq!(study.states(), BTreeMap::from([("cut-short".to_owned(), 1)]));
    assert_eq!(study.status()["totals"]["n_cut_short"], 1);
    // Its results count until there are more.
    let n_run = study.tables().runs.len();
    let planned = study.sweep(&many).arg("--dry-run").output().unwrap();
    assert!(text(&planned).contains("1 cell with 2 runs"), "{}", text(&planned));
    let done = study.done(&many);
    assert_eq!((&done["n_done"], done["cut_short"].as_array().unwrap().len()), (&1.into(), 0));
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 1)]));
    assert_eq!(study.tables().runs.len(), n_run + 2);
    assert_eq!(study.done(&many)["n_done"], 0);
}

#[test]
fn if_all_cells_have_failed_the_exit_code_says_so() {
    let study = Study::new(STUDY);
    let arguments = [FAILING, "repeats=1", "blocks.exclusive=false"];
    let output = study.sweep(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    let totals = &study.status()["totals"];
    assert_eq!((&totals["n_cell"], &totals["n_failed"]), (&2.into(), &2.into()), "{totals}");

    // Each cell is tried again by one of three workers.
    let now = batchlab_study::now();
    let retry = format!("--retry={now}");
    let again = [&arguments[..], &[&retry, "--quiet"]].concat();
    let workers: Vec<Child> = (0..3).map(|_| study.sweep(&again).spawn().unwrap()).collect();
    // One that finds both cells taken has seen no failure.
    let code = |mut worker: Child| worker.wait().unwrap().code();
    let codes: Vec<_> = workers.into_iter().map(code).collect();
    assert!(codes.contains(&Some(7)), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 7))), "{codes:?}");
    let cells = study.out().join("cells/here");
    for cell in names(&cells).into_iter().filter(|name| cells.join(name).is_dir()) {
        let inside = names(&cells.join(&cell));
        assert_eq!(inside.iter().filter(|name| name.starts_with("done.")).count(), 2, "{inside:?}");
    }
}

#[test]
fn times_with_other_threads_are_refused() {
    let study = Study::new(STUDY);
    study.done(&ONE_CELL);
    let with = |threads: &str, more: &[&str]| {
        let mut sweep = crate::small_run::batchlab();
        sweep.args(["sweep", "study.toml", "--hardware", "here", "--threads", threads]);
        sweep.args(ONE_CELL).args(more).current_dir(study.path());
        sweep.env("BATCHLAB_LOCKS", study.path()).output().unwrap()
    };
    let refused = with("2", &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("used 1 threads, but this one uses 2"), "{}", text(&refused));
    assert!(with("2", &["blocks.exclusive=false"]).status.success(), "no times are compared");
}

#[test]
fn a_folder_for_locks_that_is_not_there_is_named() {
    let study = Study::new(STUDY);
    let mut sweep = study.sweep(&ONE_CELL);
    let output = sweep.env("BATCHLAB_LOCKS", study.path().join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("BATCHLAB_LOCKS=") && text(&output).contains("Make it"));
}
