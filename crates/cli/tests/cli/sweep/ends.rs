//! Sweeps that are killed, interrupted or damaged, and workers that share the cells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{ONE_CELL, STUDY, Study, assert_is_complete, kill, wait_for};
use crate::small_run::{self, batchlab, names, text};

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let study = Study::new(STUDY);
    // The last steps are for timing only.
    let long = ["training.steps=300", "blocks.pairs=40"];
    for n_done in 0..3 {
        let child = study.sweep(&long).arg("--quiet").spawn().unwrap();
        let runs = study.out().join("tables/runs");
        // In the middle of a cell, after one more has been done.
        wait_for("a cell that is being timed", || {
            if names(&runs).len() < 3 * n_done || names(&study.out().join("cells")).is_empty() {
                return false;
            }
            let is_timed = |cell: &Value| {
                let cell = &cell["progress"];
                cell["state"] == "at-work" && cell["progress"]["block"].as_u64() > Some(0)
            };
            study.status()["cells"].as_array().unwrap().iter().any(is_timed)
        });
        kill(child);
        let states = study.states();
        assert!(!states.contains_key("at-work"), "{states:?}");
    }
    let before: BTreeSet<String> = names(&study.out().join("tables/runs")).into_iter().collect();
    assert!(before.len() < 12, "the kills came too late");
    study.done(&long);
    let tables = study.tables();
    assert_is_complete(&tables);
    let after: BTreeSet<String> = names(&study.out().join("tables/runs")).into_iter().collect();
    assert!(before.is_subset(&after), "what was published stays");
    // What the killed processes had recorded stays in wip/ until doctor publishes it as crashed.
    small_run::doctor(&study.out(), &[]);
    assert!(!study.out().join("wip").exists());
    let tables = study.tables();
    assert!(tables.runs.iter().any(|run| run.status == "crashed"));
    assert_is_complete(&tables);
}

#[test]
fn ctrl_c_ends_the_cell_and_the_same_command_goes_on() {
    let study = Study::new(STUDY);
    let long = ["training.steps=2000", "batch_sizes=8", "repeats=1"];
    let child = study.sweep(&long).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("a run", || !names(&study.out().join("wip")).is_empty());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert!(text(&output).contains("continue with the same command"), "{}", text(&output));
    let tables = study.tables();
    assert!(!tables.runs.is_empty() && tables.runs.iter().all(|run| run.status == "interrupted"));
    assert!(!study.out().join("wip").exists(), "everything is published");
    let run = study.out().join("runs").join(&tables.runs[0].run_id);
    let resumed = batchlab().args(["run", "--quiet", "--resume"]).arg(run).output().unwrap();
    assert!(resumed.status.success(), "{}", text(&resumed));
    let resumed = study.tables().runs.remove(0);
    assert_eq!((resumed.status.as_str(), resumed.n_attempt), ("completed", Some(2)));
    assert_eq!((&resumed.cell, resumed.repeat), (&tables.runs[0].cell, Some(0)));
    let short = study.done(&["training.steps=2000", "batch_sizes=8", "repeats=1"]);
    assert_eq!(short["n_done"], 1);
}

/// Each cell has its own process, which knows the warnings of the earlier ones.
#[test]
fn warnings_are_given_once_and_again_at_the_end() {
    let study = Study::new(STUDY);
    let few = ["batch_sizes=16", "batchers=dynamic,static-64", "training.steps=12"];
    let output = study.sweep(&few).arg("split.validation=0.001").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.len() >= 2, "{said}");
    let (first, again) = warnings.split_at(warnings.len() / 2);
    assert_eq!(first, again, "{said}");
    let mut distinct = first.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), first.len(), "{said}");
}

#[test]
fn ctrl_c_while_timing_leaves_errors_that_are_complete() {
    let study = Study::new(STUDY);
    let timing = [&ONE_CELL[..], &["training.steps=12", "blocks.pairs=400"]].concat();
    let child = study.sweep(&timing).arg("--quiet").spawn().unwrap();
    wait_for("timing", || {
        names(&study.out().join("cells")).len() == 1
            && study.status()["cells"][0]["progress"]["progress"]["block"].as_i64() > Some(9)
    });
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(6));
    let tables = study.tables();
    let statuses: Vec<&str> = tables.runs.iter().map(|run| run.status.as_str()).collect();
    assert_eq!(statuses, ["completed"; 2]);
    assert!(tables.runs.iter().all(|run| run.n_step == Some(12) && run.error.is_none()));
    let ended = tables.events.iter().filter(|event| event.kind == "timing_ended");
    assert_eq!(ended.filter(|event| event.message.contains("interrupted")).count(), 2);
    assert!(!study.out().join("wip").exists());
    // The cell itself starts again.
    let again = study.done(&[&ONE_CELL[..], &["training.steps=12", "blocks.pairs=400"]].concat());
    assert_eq!(again["n_done"], 1);
    let last = study.tables().blocks.iter().map(|block| block.block).max();
    // Up to a third more pairs, to replace disturbed ones.
    assert!(last.is_some_and(|last| (800..=1066).contains(&last)), "{last:?}");
}

/// The training process, once it has a cell.
fn process_of(study: &Study) -> String {
    let mut process = None;
    wait_for("a process that trains", || {
        if !names(&study.out().join("wip")).is_empty() {
            let status = study.status();
            let mut owners = status["cells"].as_array().unwrap().iter();
            process = owners.find_map(|cell| cell["progress"]["owner"]["process"].as_u64());
        }
        process.is_some()
    });
    process.unwrap().to_string()
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[test]
fn a_process_that_dies_costs_its_cell_alone() {
    let study = Study::new(STUDY);
    let long = ["--restart", "training.steps=300", "blocks.pairs=40"];
    let sweep = study.sweep(&long).stderr(Stdio::piped()).spawn().unwrap();
    signal("-ABRT", &process_of(&study));
    let output = sweep.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert!(text(&output).contains("was ended by signal 6; continuing in"), "{}", text(&output));
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 4)]));
    let reasons = study.status()["cells"].to_string().matches("ended by signal 6").count();
    assert_eq!(reasons, 1);
    study.done(&[&long[..], &["--retry"]].concat());
    assert_is_complete(&study.tables());
}

#[test]
fn the_process_that_trains_ends_with_the_one_that_watches_it() {
    for (name, code) in [("-TERM", Some(6)), ("-KILL", None)] {
        let study = Study::new(STUDY);
        let long = ["--restart", "training.steps=20000", "batch_sizes=8", "repeats=1", "--quiet"];
        let mut sweep = study.sweep(&long).spawn().unwrap();
        process_of(&study);
        signal(name, &sweep.id().to_string());
        assert_eq!(sweep.wait().unwrap().code(), code);
        wait_for("the end", || !study.states().contains_key("at-work"));
        assert!(study.tables().runs.iter().all(|run| run.status == "interrupted"), "{name}");
    }
}

#[test]
fn workers_share_the_cells_where_times_do_not_matter() {
    let study = Study::new(STUDY);
    let shared = ["blocks.exclusive=false", "training.steps=100", "--quiet"];
    let workers: Vec<Child> = (0..3).map(|_| study.sweep(&shared).spawn().unwrap()).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let tables = study.tables();
    assert_is_complete(&tables);
    assert_eq!(tables.runs.len(), 12, "no cell is trained twice");
    assert!(tables.runs.iter().all(|run| run.is_exclusive == Some(false)));
}

/// A damaged file affects only its own cell, and the message says what to do.
#[test]
fn a_damaged_file_of_a_cell_affects_that_cell_alone() {
    let study = Study::new(STUDY);
    study.done(&["repeats=1"]);
    let of_cell = |n: usize, name: &str| {
        let id = study.status()["cells"][n]["cell"]["id"].as_str().unwrap().to_owned();
        let folder = study.out().join("cells/here").join(id);
        let paths = [folder.clone(), folder.join("done.1"), folder.join("claim.1")];
        paths.map(|folder| folder.join(name)).into_iter().find(|path| path.exists())
    };
    let path = of_cell(0, "done.json").unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    // Truncated, another number, another key.
    let damages = [
        &whole[..40],
        &whole.replace("\"n_step\": 25", "\"n_step\": 27"),
        "",
        &whole.replace("status", "statuz"),
    ];
    for damaged in damages {
        assert_ne!(damaged, whole);
        fs::write(&path, damaged).unwrap();
        let status = study.status();
        let states = [0, 1].map(|n| status["cells"][n]["progress"].clone());
        assert_eq!(
            (&states[0]["state"], &states[1]["state"]),
            (&"unreadable".into(), &"done".into())
        );
        let reason = states[0]["reason"].as_str().unwrap();
        assert!(reason.contains("done.json") && reason.contains("--retry"), "{reason}");
        let shown = batchlab().arg("status").arg(study.out()).output().unwrap();
        assert!(
            text(&shown).contains("done.json") && text(&shown).contains("fastest"),
            "{}",
            text(&shown)
        );

        // The other cell is trained, and this one is named.
        let output = study.sweep(&["repeats=1", "batch_sizes=8,16"]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        assert!(
            text(&output).contains("done.json") && text(&output).contains("--retry"),
            "{}",
            text(&output)
        );
    }
    let n_run = study.tables().runs.len();
    let output = study.sweep(&["repeats=1", "--retry"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(study.tables().runs.len(), n_run + 3);
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 2)]));

    // The progress of a cell is for display only.
    let long = ["training.steps=100000", "batch_sizes=8", "repeats=1"];
    let child = study.sweep(&long).arg("--quiet").spawn().unwrap();
    wait_for("progress", || {
        let cell = &study.status()["cells"][0];
        cell["cell"]["n_step"] == 100_000
            && cell["progress"]["state"] != "waiting"
            && of_cell(0, "progress.json").is_some()
    });
    kill(child);
    fs::write(of_cell(0, "progress.json").unwrap(), "{").unwrap();
    let status = study.status();
    let state = &status["cells"][0]["progress"];
    assert_eq!(state["state"], "waiting", "{status}");
    assert!(state["fault"].as_str().unwrap().contains("progress.json"), "{state}");
    let list = study.out().join("cells/here/cells.json");
    let whole = fs::read_to_string(&list).unwrap();
    fs::write(&list, whole.replace("schnet", "schnat")).unwrap();
    let output = batchlab().arg("status").arg(study.out()).output().unwrap();
    assert!(
        text(&output).contains("cells.json") && text(&output).contains("batchlab sweep"),
        "{}",
        text(&output)
    );
}

/// Eight processes, two on each of four machines as far as they know. Some are killed, and some are
/// stopped for longer than the heartbeat timeout of the others.
#[test]
fn every_cell_counts_once_however_its_processes_end() {
    let study = Study::new(STUDY);
    let shared = ["blocks.exclusive=false", "training.steps=150", "repeats=3", "--quiet"];
    let worker = |n: usize| {
        let mut worker = study.sweep(&shared);
        worker.env("BATCHLAB_NODE", format!("node {}", n % 4));
        worker.envs([("BATCHLAB_BEAT", "100ms"), ("BATCHLAB_STALE", "1s")]);
        worker
    };
    let mut workers: Vec<Child> = (0..8).map(|n| worker(n).spawn().unwrap()).collect();
    wait_for("a run", || !names(&study.out().join("wip")).is_empty());
    let signal = |worker: &Child, signal: &str| {
        let pid = worker.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    // At different points in their cells.
    for (n, victim) in workers.iter().enumerate().take(6) {
        std::thread::sleep(Duration::from_millis(60));
        signal(victim, if n % 3 == 0 { "-KILL" } else { "-STOP" });
    }
    std::thread::sleep(Duration::from_millis(2500));
    for stopped in [1, 2, 4, 5] {
        signal(&workers[stopped], "-CONT");
    }
    for worker in &mut workers {
        let code = worker.wait().unwrap().code();
        assert!(matches!(code, None | Some(0)), "{code:?}");
    }
    let output = worker(0).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 6)]));

    let cells = study.out().join("cells/here");
    let tables = study.tables();
    let (mut n_claim, mut attempts) = (0, BTreeSet::new());
    for cell in names(&cells).into_iter().filter(|name| cells.join(name).is_dir()) {
        let inside = names(&cells.join(&cell));
        let of = |prefix: &str| inside.iter().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(of("done."), 1, "{inside:?}");
        n_claim += of("claim.");
        let done = fs::read_to_string(cells.join(&cell).join("done.1/done.json")).unwrap();
        let done: Value = serde_json::from_str(&done).unwrap();
        attempts.insert(done["cell"].as_str().unwrap().to_owned());
    }
    let counting = |run: &&batchlab_core::record::RunRecord| {
        run.status == "completed" && run.cell.as_ref().is_some_and(|cell| attempts.contains(cell))
    };
    let counted: BTreeSet<_> =
        tables.runs.iter().filter(counting).map(|run| (&run.cell, &run.batcher)).collect();
    assert_eq!((attempts.len(), counted.len()), (6, 18));
    assert_eq!(tables.runs.iter().filter(counting).count(), 18, "no run twice");
    println!("{n_claim} claims to 6 cells; {} runs, of which 18 count", tables.runs.len());
    // What others have published for these cells is excluded from reports, with a message.
    let output = batchlab().args(["report", "--json"]).arg(study.out()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let n_late =
        tables.runs.iter().filter(|run| run.status == "completed" && !counting(run)).count();
    let why = |left: &&Value| left["why"].as_str().unwrap().contains("another attempt");
    let left_out = report["left_out"].as_array().unwrap().iter().filter(why);
    let n_left_out: u64 = left_out.map(|left| left["n_run"].as_u64().unwrap()).sum();
    assert_eq!(n_left_out as usize, n_late, "{}", report["left_out"]);
}
