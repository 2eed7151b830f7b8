//! A study with the real binary: cells, turns, kills, and workers that share the work.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::small_run::{self, Tables, batchlab, names, start, text};

/// Two batch sizes and two repeats of three batchers, in a second or two.
const STUDY: &str = r#"
study = "small"
batchers = ["static-64", "dynamic", { name = "static", padding = { power = 2 } }]
batch_sizes = [8, 16]
repeats = 2

[[datasets]]
name = "qm9"
limit = 200

[[models]]
name = "schnet"
latent_size = 8
n_gaussian = 8
n_interaction = 1

[training]
steps = 25
warmup_steps = 2

[blocks]
steps = 5
seconds = 1e-6
pairs = 2
"#;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(study: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("study.toml"), study).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn out(&self) -> std::path::PathBuf {
        self.path().join("results/small")
    }

    /// The command; the lock of the device lies in the folder, so that tests do not meet.
    fn sweep(&self, arguments: &[&str]) -> Command {
        let mut command = batchlab();
        command.args(["sweep", "study.toml", "--threads", "1", "--hardware", "here"]);
        command.args(arguments).current_dir(self.path()).env("BATCHLAB_LOCKS", self.path());
        command
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.sweep(arguments).args(["--json", "--quiet"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn status(&self) -> Value {
        let command = ["status", "results/small", "--json"];
        let output = batchlab().args(command).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all["hardware"][0].clone()
    }

    /// Number of cells in each state.
    fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for cell in self.status()["cells"].as_array().unwrap() {
            let state = cell["progress"]["state"].as_str().unwrap().to_owned();
            *states.entry(state).or_default() += 1;
        }
        states
    }

    fn tables(&self) -> Tables {
        Tables::read(&self.out())
    }
}

/// Each cell of the tables: its runs' batchers; none twice among completed runs.
fn cells(tables: &Tables) -> BTreeMap<String, BTreeSet<String>> {
    let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in tables.runs.iter().filter(|run| run.status == "completed") {
        let batchers = cells.entry(run.cell.clone().unwrap()).or_default();
        assert!(batchers.insert(run.batcher.clone()), "{} twice in {:?}", run.batcher, run.cell);
    }
    cells
}

/// Every cell of the study was trained whole in one process. A process that was killed while it
/// published may have left a part of a cell.
fn assert_is_complete(tables: &Tables) {
    let mut whole = cells(tables);
    whole.retain(|_, batchers| batchers.len() == 3);
    // Without the part that is different in every process.
    let name = |cell: &String| cell.rsplit_once('-').unwrap().0.to_owned();
    let cells: BTreeSet<String> = whole.keys().map(name).collect();
    assert_eq!(cells.len(), 4, "{whole:?}");
}

#[test]
fn a_study_is_trained_in_turns_and_once() {
    let place = Place::new(STUDY);
    let done = place.done(&[]);
    assert_eq!((&done["n_cell"], &done["n_done"]), (&4.into(), &4.into()));
    let tables = place.tables();
    assert_is_complete(&tables);
    assert!(
        tables.runs.iter().all(|run| run.is_exclusive == Some(true) && run.n_attempt == Some(1))
    );
    let repeats: BTreeSet<_> = tables
        .runs
        .iter()
        .map(|run| (run.repeat, run.seed_order, run.seed_init, run.seed_split))
        .collect();
    let expected =
        [(Some(0), Some(42), Some(42), Some(42)), (Some(1), Some(43), Some(43), Some(42))];
    assert_eq!(repeats, BTreeSet::from(expected));

    for cell in cells(&tables).keys() {
        let runs = tables.runs.iter().filter(|run| run.cell.as_ref() == Some(cell));
        let ids: Vec<&String> = runs.map(|run| &run.run_id).collect();
        // Who was trained in each turn, and what.
        let mut turns: BTreeMap<i64, (i64, &String, Vec<i64>)> = BTreeMap::new();
        for step in tables.steps.iter().filter(|step| ids.contains(&&step.run_id)) {
            let turn = turns.entry(step.turn.unwrap()).or_insert((
                step.block.unwrap(),
                &step.run_id,
                vec![],
            ));
            assert_eq!((turn.0, turn.1), (step.block.unwrap(), &step.run_id));
            turn.2.push(step.step);
        }
        // Two pairs after the warm-up.
        let lengths: Vec<usize> = turns.values().map(|turn| turn.2.len()).collect();
        assert_eq!(lengths, [5; 5 * 3]);
        let order = |block: i64| -> Vec<&String> {
            turns.values().filter(|turn| turn.0 == block).map(|turn| turn.1).collect()
        };
        for block in [1, 3] {
            let mut backwards = order(block + 1);
            backwards.reverse();
            assert_eq!(order(block), backwards, "the second block mirrors the first");
            let everyone: BTreeSet<_> = order(block).into_iter().collect();
            assert_eq!(everyone, ids.iter().copied().collect());
        }
        // What the machine did is recorded turn by turn.
        let mut blocks: Vec<_> =
            tables.blocks.iter().filter(|block| ids.contains(&&block.run_id)).collect();
        blocks.sort_by_key(|block| block.turn);
        assert_eq!(blocks.len(), turns.len());
        for (block, (turn, (number, run_id, steps))) in blocks.iter().zip(&turns) {
            assert_eq!((block.turn, block.block, &block.run_id), (*turn, *number, *run_id));
            assert_eq!((block.first_step, block.n_step), (steps[0], steps.len() as i64));
            assert!(block.wall_ns > 0 && block.started_at.is_some() && !block.is_timing_only);
            let counts = [block.steal_ns, block.n_involuntary_switch];
            assert!(!cfg!(target_os = "linux") || counts.iter().all(|n| n.is_some_and(|n| n >= 0)));
        }
    }

    let again = place.done(&[]);
    assert_eq!((&again["n_done"], &again["n_done_before"]), (&0.into(), &4.into()));
    assert_eq!(place.tables().runs.len(), 12, "nothing is trained twice");
    assert_eq!(place.states(), BTreeMap::from([("done".to_owned(), 4)]));
    assert!(!place.out().join("wip").exists());
}

/// Turns are about time alone: what is trained does not change.
#[test]
fn a_run_in_turns_is_the_run_alone() {
    let place = Place::new(STUDY);
    place.done(&["batch_sizes=16", "repeats=1", "batchers=dynamic,static-64", "training.steps=40"]);
    let turns = place.tables();
    let alone = TempDir::new().unwrap();
    let output = start(
        alone.path(),
        &[
            "dataset.limit=200",
            "training.steps=40",
            "training.prefetch=1",
            "training.warmup_steps=2",
            "evaluation.every=1000",
            "evaluation.subsets=[\"validation\", \"test\"]",
            "training.learning_rate=1e-4",
        ],
    )
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let alone = Tables::read(alone.path());
    let run = turns.runs.iter().find(|run| run.batcher == "dynamic").unwrap();
    let losses = |tables: &Tables, run_id: &str| -> Vec<u64> {
        let steps = tables.steps.iter().filter(|step| step.run_id == run_id);
        steps.map(|step| step.loss.to_bits()).collect()
    };
    let expected = losses(&alone, &alone.runs[0].run_id);
    assert_eq!(expected.len(), 40);
    assert_eq!(losses(&turns, &run.run_id), expected);
}

/// One cell of two strategies.
const ONE_CELL: [&str; 3] = ["batch_sizes=16", "repeats=1", "batchers=dynamic,static-64"];

/// How a run went up to the steps that were asked for, without what differs from run to run.
fn errors(tables: &Tables, batcher: &str) -> Vec<String> {
    let run = tables.runs.iter().find(|run| run.batcher == batcher).unwrap();
    let steps = tables.timeless_steps().into_iter().zip(&tables.steps);
    let planned =
        steps.filter(|(_, own)| own.run_id == run.run_id && own.is_timing_only == Some(false));
    let steps = planned.map(|(step, _)| {
        let (loss, rate) = (step.loss.to_bits(), step.learning_rate);
        format!("{} {} {} {loss} {rate}", step.step, step.n_edge_padded, step.shape_id)
    });
    let evals = tables.timeless_evals().into_iter().zip(&tables.evals);
    let evals =
        evals.filter(|(_, own)| own.run_id == run.run_id).map(|(eval, _)| format!("{eval:?}"));
    let row = format!("{} {:?} {:?} {:?}", run.status, run.error, run.n_step, run.n_shape);
    steps.chain(evals).chain([row]).collect()
}

#[test]
fn timing_goes_on_after_the_last_step_and_errors_do_not() {
    let settings = [
        "training.steps=40",
        "training.learning_rate_decay_steps=7",
        "training.checkpoint={ steps = 10 }",
        "evaluation.every=10",
    ];
    let of_pairs = |pairs: &str| {
        let place = Place::new(STUDY);
        place.done(&[&ONE_CELL[..], &settings, &[pairs]].concat());
        place
    };
    let (short, long) = (of_pairs("blocks.pairs=0"), of_pairs("blocks.pairs=8"));
    let tables = [short.tables(), long.tables()];
    for batcher in ["dynamic", "static-64"] {
        assert_eq!(errors(&tables[0], batcher), errors(&tables[1], batcher));
        let run = tables[1].runs.iter().find(|run| run.batcher == batcher).unwrap();
        let of_run = || tables[1].steps.iter().filter(|step| step.run_id == run.run_id);
        // 5 steps, and 8 pairs of blocks of 5.
        assert_eq!(
            of_run().map(|step| step.step).collect::<Vec<_>>(),
            (1..=85).collect::<Vec<_>>()
        );
        assert!(of_run().all(|step| step.is_timing_only == Some(step.step > 40)));
        assert!(of_run().all(|step| step.is_warmup == (step.block == Some(0))));
        let rate = |step: i64| of_run().find(|row| row.step == step).unwrap().learning_rate;
        assert!(rate(36) < rate(35) && rate(40).to_bits() == rate(85).to_bits());
        let planned_ns = of_run().filter(|step| step.step <= 40).map(|step| step.step_ns).sum();
        assert_eq!(
            (run.n_step, run.n_step_planned, run.train_ns),
            (Some(40), Some(40), Some(planned_ns))
        );
        assert_eq!(run.n_look, Some(0));
        let blocks = tables[1].blocks.iter().filter(|block| block.run_id == run.run_id);
        let marks: Vec<bool> = blocks.map(|block| block.is_timing_only).collect();
        assert_eq!(marks, [[false; 8].to_vec(), vec![true; 9]].concat());
        let folder = long.out().join("runs").join(&run.run_id).join("checkpoints");
        let newest = names(&folder).pop().unwrap();
        let step = newest.strip_prefix("step-").and_then(|name| name.split_once('.')).unwrap().0;
        assert_eq!(step.parse::<u64>().unwrap(), 40, "{newest}");
    }
}

#[test]
fn a_cell_of_one_strategy_has_nothing_to_time() {
    let place = Place::new(STUDY);
    place.done(&["batch_sizes=16", "repeats=1", "batchers=dynamic", "training.steps=12"]);
    let errors_alone =
        ["blocks.exclusive=false", "training.steps=12", "batch_sizes=8", "repeats=1"];
    place.done(&errors_alone);
    let tables = place.tables();
    assert_eq!(tables.runs.len(), 1 + 3);
    assert_eq!(tables.steps.len(), 4 * 12);
}

#[test]
fn a_sweep_goes_on_until_intervals_are_narrow() {
    let place = Place::new(STUDY);
    let until = |width: &str, more: &[&str]| {
        place.done(&[&ONE_CELL[..], &["--until-width", width], more].concat())
    };
    let n_pair = |run_id: &str| {
        let blocks = place.tables().blocks;
        let last = blocks.iter().filter(|block| block.run_id == run_id).map(|block| block.block);
        last.max().unwrap() / 2
    };
    assert_eq!(until("99%", &["blocks.steps=20"])["n_done"], 1);
    let first = place.tables().runs[0].clone();
    assert_eq!(first.n_look, Some(6));
    assert!([5, 10, 20, 40, 80, 160].contains(&n_pair(&first.run_id)));
    // It is done, until more is asked for.
    assert_eq!(place.done(&[&ONE_CELL[..], &["blocks.steps=20"]].concat())["n_done"], 0);
    assert_eq!(until("99%", &["blocks.steps=20"])["n_done"], 0);
    let more = until("0.0001%", &["blocks.steps=20", "--at-most", "1s"]);
    assert_eq!((&more["n_done"], &more["is_time_up"]), (&1.into(), &false.into()));
    let runs = place.tables().runs;
    assert_eq!(runs.len(), 4);
    assert!(n_pair(&runs[3].run_id) < 160, "the time was up");
    assert_eq!(until("0.0001%", &["blocks.steps=20", "--at-most", "1s"])["n_done"], 0);
}

#[test]
fn cells_wait_when_the_time_is_up() {
    let place = Place::new(STUDY);
    let arguments = ["training.steps=2000", "--at-most", "1s"];
    let done = place.done(&arguments);
    assert_eq!((&done["n_done"], &done["is_time_up"]), (&1.into(), &true.into()), "{done}");
    let again = place.done(&arguments);
    assert_eq!((&again["n_done"], &again["n_done_before"]), (&1.into(), &1.into()), "{again}");
    assert_eq!(place.states(), BTreeMap::from([("done".to_owned(), 2), ("waiting".to_owned(), 2)]));
}

#[test]
fn widths_that_mean_nothing_are_refused() {
    let place = Place::new(STUDY);
    for width in ["0", "100%", "-1%", "narrow"] {
        let output = place.sweep(&["--until-width", width]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{width}: {}", text(&output));
    }
    let output = place.sweep(&["--until-width", "2%", "blocks.exclusive=false"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(!place.path().join("results").exists());
}

/// More threads than processors are said once, and recorded with every run.
#[test]
fn a_thread_too_many_is_said() {
    let place = Place::new(STUDY);
    let n_processor = std::thread::available_parallelism().unwrap().to_string();
    for (prefetch, is_said) in [("training.prefetch=1", true), ("training.prefetch=0", false)] {
        let mut sweep = batchlab();
        sweep.args(["sweep", "study.toml", "--threads", &n_processor, prefetch]).args(ONE_CELL);
        sweep
            .args(["--out", prefetch])
            .current_dir(place.path())
            .env("BATCHLAB_LOCKS", place.path());
        let output = sweep.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).matches("note: ").count();
        assert_eq!(said, usize::from(is_said), "{}", text(&output));
        let events = Tables::read(&place.path().join(prefetch)).events;
        let n_event = events.iter().filter(|event| event.kind == "threads").count();
        assert_eq!(n_event, if is_said { 2 } else { 0 });
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let place = Place::new(STUDY);
    // The last steps are for timing alone.
    let long = ["training.steps=300", "blocks.pairs=40"];
    for n_done in 0..3 {
        let child = place.sweep(&long).arg("--quiet").spawn().unwrap();
        let runs = place.out().join("tables/runs");
        // In the middle of a cell, after one more has been done.
        wait_for("a running cell", || {
            names(&runs).len() >= 3 * n_done && !names(&place.out().join("wip")).is_empty()
        });
        std::thread::sleep(Duration::from_millis(40 * (n_done as u64 + 1)));
        kill(child);
        let states = place.states();
        assert!(!states.contains_key("at-work"), "{states:?}");
    }
    let before: BTreeSet<String> = names(&place.out().join("tables/runs")).into_iter().collect();
    assert!(before.len() < 12, "the kills came too late");
    place.done(&long);
    let tables = place.tables();
    assert_is_complete(&tables);
    let after: BTreeSet<String> = names(&place.out().join("tables/runs")).into_iter().collect();
    assert!(before.is_subset(&after), "what was published stays");
    // What the killed processes had recorded is in wip/ until doctor publishes it as crashed.
    small_run::doctor(&place.out(), &[]);
    assert!(!place.out().join("wip").exists());
    let tables = place.tables();
    assert!(tables.runs.iter().any(|run| run.status == "crashed"));
    assert_is_complete(&tables);
}

#[test]
fn ctrl_c_ends_the_cell_and_the_same_command_goes_on() {
    let place = Place::new(STUDY);
    let long = ["training.steps=2000", "batch_sizes=8", "repeats=1"];
    let child = place.sweep(&long).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("a run", || !names(&place.out().join("wip")).is_empty());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert!(text(&output).contains("continue with the same command"), "{}", text(&output));
    let tables = place.tables();
    assert!(!tables.runs.is_empty() && tables.runs.iter().all(|run| run.status == "interrupted"));
    assert!(!place.out().join("wip").exists(), "everything is published");
    let run = place.out().join("runs").join(&tables.runs[0].run_id);
    let resumed = batchlab().args(["run", "--quiet", "--resume"]).arg(run).output().unwrap();
    assert!(resumed.status.success(), "{}", text(&resumed));
    let resumed = place.tables().runs.remove(0);
    assert_eq!((resumed.status.as_str(), resumed.n_attempt), ("completed", Some(2)));
    assert_eq!((&resumed.cell, resumed.repeat), (&tables.runs[0].cell, Some(0)));
    let short = place.done(&["training.steps=2000", "batch_sizes=8", "repeats=1"]);
    assert_eq!(short["n_done"], 1);
}

#[test]
fn ctrl_c_while_timing_leaves_errors_that_are_complete() {
    let place = Place::new(STUDY);
    let timing = [&ONE_CELL[..], &["training.steps=12", "blocks.pairs=400"]].concat();
    let child = place.sweep(&timing).arg("--quiet").spawn().unwrap();
    wait_for("timing", || {
        names(&place.out().join("cells")).len() == 1
            && place.status()["cells"][0]["progress"]["progress"]["block"].as_i64() > Some(9)
    });
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(6));
    let tables = place.tables();
    let statuses: Vec<&str> = tables.runs.iter().map(|run| run.status.as_str()).collect();
    assert_eq!(statuses, ["completed"; 2]);
    assert!(tables.runs.iter().all(|run| run.n_step == Some(12) && run.error.is_none()));
    let ended = tables.events.iter().filter(|event| event.kind == "timing_ended");
    assert_eq!(ended.filter(|event| event.message.contains("interrupted")).count(), 2);
    assert!(!place.out().join("wip").exists());
    // The cell itself begins again.
    let again = place.done(&[&ONE_CELL[..], &["training.steps=12", "blocks.pairs=400"]].concat());
    assert_eq!(again["n_done"], 1);
    let last = place.tables().blocks.iter().map(|block| block.block).max();
    assert_eq!(last, Some(800));
}

#[test]
fn workers_share_the_cells_where_times_do_not_matter() {
    let place = Place::new(STUDY);
    let shared = ["blocks.exclusive=false", "training.steps=100", "--quiet"];
    let workers: Vec<Child> = (0..3).map(|_| place.sweep(&shared).spawn().unwrap()).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let tables = place.tables();
    assert_is_complete(&tables);
    assert_eq!(tables.runs.len(), 12, "no cell is trained twice");
    assert!(tables.runs.iter().all(|run| run.is_exclusive == Some(false)));
}

/// One damaged file is one cell's, and the message says what to do.
#[test]
fn a_damaged_file_of_a_cell_affects_that_cell_alone() {
    let place = Place::new(STUDY);
    place.done(&["repeats=1"]);
    let of_cell = |n: usize, name: &str| {
        let id = place.status()["cells"][n]["cell"]["id"].as_str().unwrap().to_owned();
        let folder = place.out().join("cells/here").join(id);
        let paths = [folder.clone(), folder.join("done.1"), folder.join("claim.1")];
        paths.map(|folder| folder.join(name)).into_iter().find(|path| path.exists())
    };
    let path = of_cell(0, "done.json").unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    // Cut, another number, another key.
    let damages = [
        &whole[..40],
        &whole.replace("\"n_step\": 25", "\"n_step\": 27"),
        "",
        &whole.replace("status", "statuz"),
    ];
    for damaged in damages {
        assert_ne!(damaged, whole);
        fs::write(&path, damaged).unwrap();
        let status = place.status();
        let states = [0, 1].map(|n| status["cells"][n]["progress"].clone());
        assert_eq!(
            (&states[0]["state"], &states[1]["state"]),
            (&"unreadable".into(), &"done".into())
        );
        let reason = states[0]["reason"].as_str().unwrap();
        assert!(reason.contains("done.json") && reason.contains("--retry"), "{reason}");
        let shown = batchlab().arg("status").arg(place.out()).output().unwrap();
        assert!(
            text(&shown).contains("done.json") && text(&shown).contains("fastest"),
            "{}",
            text(&shown)
        );

        // Another cell is trained, and this one is named.
        let output = place.sweep(&["repeats=1", "batch_sizes=8,16"]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        assert!(
            text(&output).contains("done.json") && text(&output).contains("--retry"),
            "{}",
            text(&output)
        );
    }
    let n_run = place.tables().runs.len();
    let output = place.sweep(&["repeats=1", "--retry"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(place.tables().runs.len(), n_run + 3);
    assert_eq!(place.states(), BTreeMap::from([("done".to_owned(), 2)]));

    // How far a cell is, is only shown.
    let long = ["training.steps=100000", "batch_sizes=8", "repeats=1"];
    let child = place.sweep(&long).arg("--quiet").spawn().unwrap();
    wait_for("progress", || {
        let cell = &place.status()["cells"][0];
        cell["cell"]["n_step"] == 100_000
            && cell["progress"]["state"] != "waiting"
            && of_cell(0, "progress.json").is_some()
    });
    kill(child);
    fs::write(of_cell(0, "progress.json").unwrap(), "{").unwrap();
    let status = place.status();
    let state = &status["cells"][0]["progress"];
    assert_eq!(state["state"], "waiting", "{status}");
    assert!(state["fault"].as_str().unwrap().contains("progress.json"), "{state}");
    let list = place.out().join("cells/here/cells.json");
    let whole = fs::read_to_string(&list).unwrap();
    fs::write(&list, whole.replace("schnet", "schnat")).unwrap();
    let output = batchlab().arg("status").arg(place.out()).output().unwrap();
    assert!(
        text(&output).contains("cells.json") && text(&output).contains("batchlab sweep"),
        "{}",
        text(&output)
    );
}

/// Eight processes, two on each of four machines as far as they know, of which some are killed and some
/// stopped for longer than others wait for a sign of life.
#[test]
fn every_cell_counts_once_however_its_processes_end() {
    let place = Place::new(STUDY);
    let shared = ["blocks.exclusive=false", "training.steps=150", "repeats=3", "--quiet"];
    let worker = |n: usize| {
        let mut worker = place.sweep(&shared);
        worker.env("BATCHLAB_NODE", format!("node {}", n % 4));
        worker.envs([("BATCHLAB_BEAT", "100ms"), ("BATCHLAB_STALE", "1s")]);
        worker
    };
    let mut workers: Vec<Child> = (0..8).map(|n| worker(n).spawn().unwrap()).collect();
    wait_for("a run", || !names(&place.out().join("wip")).is_empty());
    let signal = |worker: &Child, signal: &str| {
        let pid = worker.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    // At different places in their cells.
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
    assert_eq!(place.states(), BTreeMap::from([("done".to_owned(), 6)]));

    let cells = place.out().join("cells/here");
    let tables = place.tables();
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
    // What others have published of these cells is left out of reports, and said.
    let output = batchlab().args(["report", "--json"]).arg(place.out()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let n_late =
        tables.runs.iter().filter(|run| run.status == "completed" && !counting(run)).count();
    let why = |left: &&Value| left["why"].as_str().unwrap().contains("another attempt");
    let n_left_out = report["left_out"].as_array().unwrap().iter().filter(why).count();
    assert_eq!(n_left_out, n_late, "{report}");
}

#[test]
fn a_timing_study_refuses_a_second_worker_on_the_device() {
    let place = Place::new(STUDY);
    let long = ["training.steps=4000"];
    let first = place.sweep(&long).arg("--quiet").spawn().unwrap();
    wait_for("a run", || !names(&place.out().join("wip")).is_empty());
    let second = place.sweep(&long).output().unwrap();
    let pid = first.id();
    kill(first);
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    let message = String::from_utf8(second.stderr).unwrap();
    insta::assert_snapshot!("device_busy", message.replace(&pid.to_string(), "[pid]"));
    // The system gives the device back, however its owner ended.
    place.done(&["training.steps=10", "repeats=1", "batch_sizes=8"]);
}

#[test]
fn a_run_that_fails_does_not_take_the_others_with_it() {
    // At this batch size, the budget of one batcher is too small for any graph.
    let batchers = "batchers=dynamic,{ name = \"dynamic\", budget = { n_node = 12, n_edge = 12 }, oversize = \"error\" }";
    let place = Place::new(STUDY);
    let arguments = [batchers, "batch_sizes=8", "repeats=1"];
    let output = place.sweep(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    let tables = place.tables();
    let completed = tables.runs.iter().filter(|run| run.status == "completed").count();
    assert_eq!(completed, 1, "{}", text(&output));
    let state = &place.status()["cells"][0]["progress"];
    let failed: Vec<&Value> =
        state["runs"].as_array().unwrap().iter().filter(|run| run["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{state}");
    assert!(failed[0]["reason"].as_str().unwrap().contains("oversize"), "{state}");
    // It is not tried again by itself.
    let again = place.sweep(&arguments).output().unwrap();
    assert_eq!((again.status.code(), place.tables().runs.len()), (Some(7), tables.runs.len()));
    let retried = place.sweep(&arguments).arg("--retry").output().unwrap();
    assert_eq!(retried.status.code(), Some(7));
    assert!(place.tables().runs.len() > tables.runs.len());
}

#[test]
fn a_dry_run_tells_what_it_will_take_and_writes_nothing() {
    let place = Place::new(STUDY);
    let output = place.sweep(&["--dry-run", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["n_cell"], &all["n_run"]), (&4.into(), &12.into()));
    assert!(all["seconds"].as_f64().unwrap() > 0.0 && all["n_byte"].as_u64().unwrap() > 100_000);
    assert_eq!(all["cells"][3]["cell"]["batch_size"], 16);
    assert_eq!(all["cells"][3]["n_pair"], 2);
    let difference = all["cells"][3]["difference"].as_f64().unwrap();
    assert!(difference > 0.0, "{all}");
    let narrow = place.sweep(&["--dry-run", "--json", "--until-width", "0.001%"]).output().unwrap();
    let narrow: Value = serde_json::from_slice(&narrow.stdout).unwrap();
    assert_eq!(narrow["cells"][3]["n_pair"], 160);
    assert!(narrow["seconds"].as_f64() > all["seconds"].as_f64());
    assert!(!place.path().join("results").exists());

    let missing = "datasets={ name = \"qm9\", path = \"nowhere.npz\" }";
    let missing = missing.replace("datasets={", "datasets=[{") + "]";
    let output = place.sweep(&["--dry-run", &missing]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("not counted, because it cannot run"), "{}", text(&output));
}

#[test]
fn what_is_done_is_not_counted_again() {
    let place = Place::new(STUDY);
    place.done(&["batch_sizes=8", "repeats=1"]);
    let output = place.sweep(&["--dry-run", "--json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&all["n_cell"], &all["n_cell_done"]), (&4.into(), &1.into()), "{all}");
    let cells = all["cells"].as_array().unwrap();
    let bytes = |cell: &&Value| cell["n_byte"].as_u64().unwrap();
    let waiting = cells.iter().filter(|cell| cell["is_done"] == false);
    assert_eq!(all["n_byte"], waiting.map(|cell| bytes(&cell)).sum::<u64>());
    assert!(all["n_byte"].as_u64() < Some(cells.iter().map(|cell| bytes(&cell)).sum()));
    let output = place.sweep(&["--dry-run"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("1 of 4 cells are done; 3 with 9 runs: about "), "{lines}");

    // A sweep with other choices lists other cells; the first one is not forgotten.
    place.done(&["batch_sizes=16", "repeats=1"]);
    let status = place.status();
    assert_eq!(
        (status["cells"].as_array().unwrap().len(), &status["n_done_beside"]),
        (1, &1.into())
    );
}

/// The message for a study that differs from a good one.
fn refusal(change: impl Fn(&str) -> String, arguments: &[&str]) -> String {
    let place = Place::new(&change(STUDY));
    let output = place.sweep(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(!place.path().join("results").exists(), "everything is checked before anything starts");
    String::from_utf8(output.stderr).unwrap()
}

macro_rules! refuses {
    ($($name:ident: $from:expr => $to:expr, $arguments:expr;)*) => {$(
        #[test]
        fn $name() {
            let message = refusal(
                |good| {
                    assert!(good.contains($from));
                    good.replace($from, $to)
                },
                &$arguments,
            );
            insta::assert_snapshot!(stringify!($name), message);
        }
    )*};
}

refuses! {
    unknown_key: "repeats = 2" => "repeat = 2", [];
    unknown_strategy: "\"dynamic\"" => "\"dynamik\"", [];
    unknown_model: "\"schnet\"" => "\"shnet\"", [];
    wrong_key_of_a_model: "latent_size = 8" => "latent_sise = 8", [];
    wrong_key_of_a_batcher: "padding = { power = 2 }" => "paddin = { power = 2 }", [];
    batcher_twice: "padding = { power = 2 }" => "padding = { multiple = 64 }", [];
    no_batch_sizes: "batch_sizes = [8, 16]" => "", [];
    batch_size_of_1: "[8, 16]" => "[8, 1]", [];
    both_forms: "study = \"small\"" => "study = \"small\"\nmodel = { name = \"mpeu\" }", [];
    impossible_variant: "study" => "study", ["training.timing=combined,stages", "training.prefetch=1"];
    unknown_choice: "study" => "study", ["models=painm"];
    changes_that_are_no_table: "limit = 200" => "limit = 200\nwith = 3", [];
}
