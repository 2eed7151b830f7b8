//! What the runs of a cell train in their blocks, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use tempfile::TempDir;

use super::{ONE_CELL, STUDY, Study, assert_is_complete, cells};
use crate::small_run::{Tables, batchlab, names, start, text};

#[test]
fn a_study_is_trained_in_turns_and_once() {
    let study = Study::new(STUDY);
    let done = study.done(&[]);
    assert_eq!((&done["n_cell"], &done["n_done"]), (&4.into(), &4.into()));
    let tables = study.tables();
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
        // Which run was trained in each block, and on which steps.
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
        // The state of the machine is recorded block by block.
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

    let again = study.done(&[]);
    assert_eq!((&again["n_done"], &again["n_done_before"]), (&0.into(), &4.into()));
    assert_eq!(study.tables().runs.len(), 12, "nothing is trained twice");
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 4)]));
    assert!(!study.out().join("wip").exists());
}

/// Interleaving only concerns times: what is trained does not change.
#[test]
fn a_run_in_turns_is_the_run_alone() {
    let study = Study::new(STUDY);
    study.done(&["batch_sizes=16", "repeats=1", "batchers=dynamic,static-64", "training.steps=40"]);
    let turns = study.tables();
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

/// The course of a run up to the requested steps, without what varies between runs.
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
        let study = Study::new(STUDY);
        study.done(&[&ONE_CELL[..], &settings, &[pairs]].concat());
        study
    };
    let (short, long) = (of_pairs("blocks.pairs=0"), of_pairs("blocks.pairs=8"));
    let tables = [short.tables(), long.tables()];
    for batcher in ["dynamic", "static-64"] {
        assert_eq!(errors(&tables[0], batcher), errors(&tables[1], batcher));
        let run = tables[1].runs.iter().find(|run| run.batcher == batcher).unwrap();
        let of_run = || tables[1].steps.iter().filter(|step| step.run_id == run.run_id);
        // 5 steps, and 8 pairs of blocks of 5; up to two pairs more where some were disturbed.
        let last = of_run().map(|step| step.step).max().unwrap();
        assert!([85, 95, 105].contains(&last), "{last}");
        assert!(of_run().map(|step| step.step).eq(1..=last));
        assert!(of_run().all(|step| step.is_timing_only == Some(step.step > 40)));
        assert!(of_run().all(|step| step.is_warmup == (step.block == Some(0))));
        let rate = |step: i64| of_run().find(|row| row.step == step).unwrap().learning_rate;
        assert!(rate(36) < rate(35) && rate(40).to_bits() == rate(last).to_bits());
        let planned_ns = of_run().filter(|step| step.step <= 40).map(|step| step.step_ns).sum();
        assert_eq!(
            (run.n_step, run.n_step_planned, run.train_ns),
            (Some(40), Some(40), Some(planned_ns))
        );
        assert_eq!(run.n_look, Some(0));
        let blocks = tables[1].blocks.iter().filter(|block| block.run_id == run.run_id);
        let marks: Vec<bool> = blocks.map(|block| block.is_timing_only).collect();
        let n_beyond = usize::try_from((last - 40) / 5).unwrap();
        assert_eq!(marks, [[false; 8].to_vec(), vec![true; n_beyond]].concat());
        let folder = long.out().join("runs").join(&run.run_id).join("checkpoints");
        let newest = names(&folder).pop().unwrap();
        let step = newest.strip_prefix("step-").and_then(|name| name.split_once('.')).unwrap().0;
        assert_eq!(step.parse::<u64>().unwrap(), 40, "{newest}");
    }
}

#[test]
fn a_cell_of_one_strategy_has_nothing_to_time() {
    let study = Study::new(STUDY);
    study.done(&["batch_sizes=16", "repeats=1", "batchers=dynamic", "training.steps=12"]);
    let errors_alone =
        ["blocks.exclusive=false", "training.steps=12", "batch_sizes=8", "repeats=1"];
    study.done(&errors_alone);
    let tables = study.tables();
    assert_eq!(tables.runs.len(), 1 + 3);
    assert_eq!(tables.steps.len(), 4 * 12);
}

#[test]
fn a_sweep_goes_on_until_intervals_are_narrow() {
    let study = Study::new(STUDY);
    // A sweep also ends when a single strategy is left that may be the fastest, so these do the same work.
    let same = |rate: &str| {
        format!(
            "{{ name = \"static\", padding = {{ multiple = 64 }}, with.training.learning_rate = {rate} }}"
        )
    };
    let batchers = format!("batchers=[{}, {}, {}]", same("1e-3"), same("1e-4"), same("1e-5"));
    let one_cell = ["batch_sizes=16", "repeats=1", &batchers];
    let until = |width: &str, more: &[&str]| {
        study.done(&[&one_cell[..], &["--ci-width", width], more].concat())
    };
    let n_pair = |run_id: &str| {
        let blocks = study.tables().blocks;
        let last = blocks.iter().filter(|block| block.run_id == run_id).map(|block| block.block);
        last.max().unwrap() / 2
    };
    assert_eq!(until("99%", &["blocks.steps=20"])["n_done"], 1);
    let first = study.tables().runs[0].clone();
    assert_eq!(first.n_look, Some(6));
    assert!([5, 10, 20, 40, 80, 160].contains(&n_pair(&first.run_id)));
    // It is done until more is requested.
    assert_eq!(study.done(&[&one_cell[..], &["blocks.steps=20"]].concat())["n_done"], 0);
    assert_eq!(until("99%", &["blocks.steps=20"])["n_done"], 0);
    let more = until("0.0001%", &["blocks.steps=20", "--time-limit", "1s"]);
    assert_eq!((&more["n_done"], &more["is_time_up"]), (&0.into(), &true.into()));
    let runs = study.tables().runs;
    assert_eq!(runs.len(), 6);
    assert!(n_pair(&runs[5].run_id) < 160, "the time was up");
    assert_eq!(until("0.0001%", &["blocks.steps=20", "--time-limit", "1s"])["n_done"], 0);
    assert_eq!(study.tables().runs.len(), 6, "it would have no more pairs");
}

#[test]
fn cells_wait_when_the_time_is_up() {
    let study = Study::new(STUDY);
    let arguments = ["training.steps=2000", "--time-limit", "1s"];
    let second = study.done(&[&arguments[..], &["batch_sizes=16", "repeats=1"]].concat());
    assert_eq!(second["n_done"], 1);
    // Cells that it did not come to are counted too.
    let done = study.done(&arguments);
    assert_eq!((&done["n_done"], &done["is_time_up"]), (&1.into(), &true.into()), "{done}");
    assert_eq!(done["n_done_before"], 1, "{done}");
    assert_eq!(study.states(), BTreeMap::from([("done".to_owned(), 2), ("waiting".to_owned(), 2)]));
}

/// Oversubscription is reported once, and recorded with every run.
#[test]
fn a_thread_too_many_is_said() {
    let study = Study::new(STUDY);
    let n_processor = std::thread::available_parallelism().unwrap().to_string();
    for (prefetch, is_said) in [("training.prefetch=1", true), ("training.prefetch=0", false)] {
        let mut sweep = batchlab();
        sweep.args(["sweep", "study.toml", "--threads", &n_processor, prefetch]).args(ONE_CELL);
        sweep
            .args(["--out", prefetch])
            .current_dir(study.path())
            .env("BATCHLAB_LOCKS", study.path());
        let output = sweep.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).matches("note: ").count();
        assert_eq!(said, usize::from(is_said), "{}", text(&output));
        let events = Tables::read(&study.path().join(prefetch)).events;
        let n_event = events.iter().filter(|event| event.kind == "threads").count();
        assert_eq!(n_event, if is_said { 2 } else { 0 });
    }
}
