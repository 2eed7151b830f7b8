//! Comparisons of invented runs.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;

use batchlab_core::Sink;
use batchlab_core::record::{EvalRecord, Record, RunRecord, StepRecord, Table};
use batchlab_core::sink::SinkContext;
use batchlab_report::compare::{Comparison, Replicates, Side, compare, text};
use batchlab_testkit::records;
use sink_parquet::Parquet;

/// A run whose graphs take `graph_us`, in blocks if it has a cell.
struct Invented<'a> {
    run_id: &'a str,
    batcher: &'a str,
    graph_us: f64,
    seed: i64,
    cell: Option<&'a str>,
}

/// Interrupted, or sharing its device.
#[derive(Clone, Copy)]
enum Spoiled {
    Resumed,
    Shared,
}

impl Invented<'_> {
    fn publish(&self, dir: &Path) {
        self.publish_steps(dir, 60, None);
    }

    /// Publishes a run in blocks of ten steps.
    fn publish_steps(&self, dir: &Path, n_step: i64, spoiled: Option<Spoiled>) {
        let run_id = self.run_id.to_owned();
        let config = format!(
            r#"{{"batcher":{{"name":"{}","batch_size":32}},"training":{{"seeds":{{"order":{}}},"steps":60}}}}"#,
            self.batcher, self.seed
        );
        let run = RunRecord {
            run_id: run_id.clone(),
            status: "completed".into(),
            model: "schnet".into(),
            dataset: "qm9".into(),
            batcher: self.batcher.into(),
            batch_size: Some(32),
            config,
            cell: self.cell.map(str::to_owned),
            seed_split: Some(0),
            seed_order: Some(self.seed),
            seed_init: Some(0),
            n_shape: Some(3),
            host: Some(if self.seed == 9 { "elsewhere" } else { "here" }.into()),
            target_unit: Some("eV".into()),
            n_attempt: Some(if matches!(spoiled, Some(Spoiled::Resumed)) { 2 } else { 1 }),
            is_exclusive: Some(!matches!(spoiled, Some(Spoiled::Shared))),
            ..records::run("")
        };
        let step = |step: i64| {
            // Each block has its own slowdown, the same for all runs, so pairs cancel it.
            let block = step / 10;
            let disturbed = 1.0 + 0.5 * block as f64 + 0.001 * (step % 3) as f64;
            let is_warmup = if self.cell.is_some() { block == 0 } else { step < 5 };
            StepRecord {
                run_id: run_id.clone(),
                step: step + 1,
                n_graph: 30,
                n_output: 30,
                n_node: 540,
                n_node_padded: 600,
                n_edge: 800,
                n_edge_padded: 1000,
                is_warmup,
                // Counting the warm-up would show.
                step_ns: if is_warmup {
                    1_000_000_000
                } else {
                    (self.graph_us * 30e3 * disturbed) as i64
                },
                block: self.cell.map(|_| block),
                ..records::step(1)
            }
        };
        let steps: Vec<StepRecord> = (0..n_step).map(step).collect();
        let eval = |step, rmse| EvalRecord {
            run_id: run_id.clone(),
            step,
            subset: "test".into(),
            rmse: Some(rmse),
            mae: Some(rmse / 2.0),
            ..records::eval(0)
        };
        let evals = [eval(60, 0.25 + 0.001 * self.seed as f64), eval(0, 9.0)];
        let ctx = SinkContext {
            dir: dir.join("tables"),
            run_id: self.run_id.into(),
            metadata: Vec::new(),
        };
        let mut writer = Parquet::default().open(&ctx).unwrap();
        writer.write(Table::Runs, &RunRecord::to_batch(&[run]).unwrap()).unwrap();
        writer.write(Table::Steps, &StepRecord::to_batch(&steps).unwrap()).unwrap();
        writer.write(Table::Evals, &EvalRecord::to_batch(&evals).unwrap()).unwrap();
        writer.finish().unwrap();
    }
}

fn ratio(comparison: &Comparison, name: &str) -> (f64, Option<(f64, f64)>) {
    let measure = comparison.pairs[0].measures.iter().find(|m| m.name.starts_with(name)).unwrap();
    (measure.ratio.unwrap(), measure.interval)
}

fn of_runs(dir: &Path, a: &str, b: &str) -> Comparison {
    let side = |run_id: &str| Side::of_run(run_id, dir, run_id).unwrap();
    compare(&side(a), &side(b)).unwrap()
}

#[test]
fn errors_are_those_after_the_last_step_which_is_said_where_another_state_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run =
        |run_id, seed| Invented { run_id, batcher: "dynamic", graph_us: 20.0, seed, cell: None };
    run("a", 1).publish(dir.path());
    run("b", 2).publish(dir.path());
    let side = |run_id: &str| Side::of_run(run_id, dir.path(), run_id).unwrap();
    let (a, mut b) = (side("a"), side("b"));
    let plain = text(&compare(&a, &b).unwrap());
    assert!(
        plain.contains("RMSE on test after the last step, eV ") && !plain.contains("best"),
        "{plain}"
    );
    b.runs[0].config["training"]["early_stopping"] = serde_json::json!({ "patience": 3 });
    let early = text(&compare(&a, &b).unwrap());
    assert!(early.contains("keep the state of their best evaluation"), "{early}");
}

#[test]
fn two_runs_alone_are_too_few_to_conclude() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = ("dynamic", "static-64");
    Invented { run_id: "a", batcher: a, graph_us: 10.0, seed: 1, cell: None }.publish(dir.path());
    Invented { run_id: "b", batcher: b, graph_us: 13.0, seed: 9, cell: None }.publish(dir.path());
    let comparison = of_runs(dir.path(), "a", "b");
    let (factor, interval) = ratio(&comparison, "time per graph");
    assert!((factor - 1.3).abs() < 1e-3 && interval.is_none(), "{factor}");
    assert_eq!(comparison.pairs[0].replicates, Replicates::TooFew(1, 1));
    insta::assert_snapshot!("two_runs", text(&comparison));
}

#[test]
fn mirrored_pairs_of_one_cell_give_an_interval() {
    let dir = tempfile::tempdir().unwrap();
    let cell = Some("cell");
    let a = Invented { run_id: "a", batcher: "dynamic", graph_us: 10.0, seed: 1, cell };
    a.publish_steps(dir.path(), 90, None);
    Invented { run_id: "b", batcher: "static-64", graph_us: 11.0, ..a }.publish_steps(
        dir.path(),
        90,
        None,
    );
    Invented { run_id: "c", batcher: "exact", graph_us: 11.0, seed: 1, cell: Some("other") }
        .publish(dir.path());
    let comparison = of_runs(dir.path(), "a", "b");
    assert_eq!(comparison.pairs[0].replicates, Replicates::Pairs(4));
    let (factor, interval) = ratio(&comparison, "time per graph");
    let (low, high) = interval.unwrap();
    assert!(low <= factor && factor <= high, "{low} {factor} {high}");
    // Blocks differ by a factor of 3.5, their pairs only by rounding.
    assert!(low > 1.09 && high < 1.11, "{low} {high}");
    assert!(ratio(&comparison, "RMSE").1.is_none(), "blocks say nothing of errors");
    let printed = text(&comparison);
    assert!(
        printed.contains(
            "B takes 1.100 times as long per graph as A, over 4 mirrored pairs of blocks"
        ),
        "{printed}"
    );
    let step = ratio(&comparison, "time of a step");
    assert!((step.0 - factor).abs() < 1e-9, "equal numbers of graphs");
    assert!((step.1.unwrap().0 - low).abs() < 1e-9, "the same quantity");
    // Blocks of different cells are unrelated.
    assert_eq!(of_runs(dir.path(), "a", "c").pairs[0].replicates, Replicates::TooFew(1, 1));
}

#[test]
fn two_pairs_are_too_few_and_only_shared_ones_count() {
    let dir = tempfile::tempdir().unwrap();
    let cell = Some("cell");
    Invented { run_id: "a", batcher: "dynamic", graph_us: 10.0, seed: 1, cell }.publish(dir.path());
    Invented { run_id: "b", batcher: "exact", graph_us: 13.0, seed: 1, cell }.publish_steps(
        dir.path(),
        50,
        None,
    );
    let comparison = of_runs(dir.path(), "a", "b");
    assert_eq!(comparison.pairs[0].replicates, Replicates::TooFew(1, 1), "two pairs and a warm-up");
    let (factor, interval) = ratio(&comparison, "time per graph");
    assert!((factor - 1.3).abs() < 1e-6 && interval.is_none(), "only shared blocks: {factor}");
}

#[test]
fn spoiled_times_have_no_interval() {
    for (spoiled, why) in [
        (Spoiled::Resumed, "b was interrupted and resumed"),
        (Spoiled::Shared, "b did not have the device to itself"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let cell = Some("cell");
        let a = Invented { run_id: "a", batcher: "dynamic", graph_us: 10.0, seed: 1, cell };
        a.publish_steps(dir.path(), 90, None);
        Invented { run_id: "b", batcher: "exact", ..a }.publish_steps(
            dir.path(),
            90,
            Some(spoiled),
        );
        let comparison = of_runs(dir.path(), "a", "b");
        assert_eq!(ratio(&comparison, "time per graph").1, None);
        assert_eq!(ratio(&comparison, "time of a step").1, None);
        let printed = text(&comparison);
        assert!(printed.contains(why), "{printed}");
    }
}

#[test]
fn folders_are_compared_strategy_by_strategy() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for seed in 1..=5 {
        for (dir, speed) in [(&first, 1.0), (&second, 1.2)] {
            let noise = 1.0 + 0.01 * speed * (seed % 3) as f64;
            let run = |run_id: &str, batcher: &str| {
                let graph_us = 10.0 * speed * noise;
                Invented { run_id, batcher, graph_us, seed, cell: None }.publish(dir.path());
            };
            run(&format!("d{seed}"), "dynamic");
            run(&format!("s{seed}"), "static-64");
        }
    }
    let only = Invented { run_id: "e", batcher: "exact", graph_us: 1.0, seed: 1, cell: None };
    only.publish(first.path());
    let side = |name: &str, dir: &Path| Side::of_study(name, dir).unwrap();
    let comparison = compare(&side("one", first.path()), &side("two", second.path())).unwrap();
    assert_eq!(comparison.pairs.len(), 2);
    assert_eq!(comparison.only_a, ["schnet on qm9, exact, B = 32"]);
    let pair = &comparison.pairs[0];
    assert_eq!(pair.replicates, Replicates::Runs(5, 5));
    assert_eq!(pair.configuration, [], "seeds are no difference of repeats");
    let (factor, interval) = ratio(&comparison, "time per graph");
    let (low, high) = interval.unwrap();
    assert!((factor - 1.2).abs() < 0.01 && low > 1.15 && high < 1.25, "{low} {factor} {high}");
    let (error, interval) = ratio(&comparison, "RMSE");
    assert!((error - 1.0).abs() < 1e-12 && interval.is_none(), "equal for every seed");

    // The same seeds again are not new repeats, and other hardware is no repeat at all.
    let again = tempfile::tempdir().unwrap();
    for n in 0..5 {
        let run_id = format!("g{n}");
        Invented {
            run_id: &run_id,
            batcher: "dynamic",
            graph_us: 9.0,
            seed: 1 + n % 2,
            cell: None,
        }
        .publish(again.path());
    }
    let few = compare(&side("one", first.path()), &side("again", again.path())).unwrap();
    assert_eq!(few.pairs[0].replicates, Replicates::TooFew(5, 2));
    assert_eq!(few.pairs[0].mixed, Vec::<String>::new());
    for seed in [3, 4, 9] {
        let run_id = format!("h{seed}");
        Invented { run_id: &run_id, batcher: "dynamic", graph_us: 9.0, seed, cell: None }
            .publish(again.path());
    }
    let mixed = compare(&side("one", first.path()), &side("again", again.path())).unwrap();
    assert_eq!(mixed.pairs[0].mixed, ["host"]);
    assert!(ratio(&mixed, "time per graph").1.is_none());
    assert!(text(&mixed).contains("Runs of one side differ in host"), "{}", text(&mixed));

    let alone = tempfile::tempdir().unwrap();
    only.publish(alone.path());
    Invented { run_id: "f", batcher: "packed", graph_us: 1.0, seed: 1, cell: None }
        .publish(alone.path());
    let error = compare(&side("three", alone.path()), &side("two", second.path())).unwrap_err();
    assert!(error.to_string().contains("nothing in three has a counterpart"), "{error}");
    let error = Side::of_run("g", alone.path(), "g").unwrap_err().to_string();
    assert!(error.contains("run g has no published results"), "{error}");
}
