//! Strategies on one graph, compared by the time to an accuracy, with seeds that never reach it.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;

use batchlab_core::Sink;
use batchlab_core::record::{EvalRecord, Record, RunRecord, StepRecord, Table};
use batchlab_core::sink::SinkContext;
use batchlab_report::{
    Goal, GoalTime, Plot, Questions, Report, Results, TimeToGoal, html, reach_text,
};
use batchlab_testkit::records;

/// A run that reaches its accuracies after 10, 20, 30 seconds of training.
struct Run<'a> {
    batcher: &'a str,
    is_whole: bool,
    seed: i64,
    prepare_s: i64,
    step_ms: i64,
    status: &'a str,
    accuracies: &'a [f64],
    /// Whether it records errors, 1 minus accuracy, instead.
    has_errors: bool,
    /// If it was chosen for the strategy.
    learning_rate: Option<f64>,
}

fn write(dir: &Path, run: &Run<'_>) {
    let run_id = format!("{}-{}", run.batcher, run.seed);
    let ctx = SinkContext { dir: dir.join("tables"), run_id: run_id.clone(), metadata: Vec::new() };
    std::fs::create_dir_all(&ctx.dir).unwrap();
    let mut writer = sink_parquet::Parquet::default().open(&ctx).unwrap();
    let mut record = RunRecord {
        run_id: run_id.clone(),
        status: run.status.into(),
        output: Some("node".into()),
        target_unit: Some("eV".into()),
        n_train: Some(100),
        n_step_planned: None,
        n_epoch_planned: Some(30),
        n_step: Some(10),
        batcher: run.batcher.into(),
        is_whole: Some(run.is_whole),
        evaluation_batcher: "full".into(),
        batch_size: None,
        prepare_ns: Some(run.prepare_s * 1_000_000_000),
        peak_host_bytes: Some(50_000_000),
        seed_init: Some(run.seed),
        ..records::run("")
    };
    if let Some(rate) = run.learning_rate {
        let mut config: serde_json::Value = serde_json::from_str(&record.config).unwrap();
        config["training"]["learning_rate"] = rate.into();
        config["training"]["tuned"] = ["learning_rate"].into();
        record.config = config.to_string();
    }
    let step = |step| StepRecord {
        run_id: run_id.clone(),
        step,
        n_output: 50,
        is_warmup: false,
        step_ns: run.step_ms * 1_000_000,
        ..records::step(1)
    };
    let steps: Vec<StepRecord> = (1..=10).map(step).collect();
    let eval = |place: usize, subset: &str, accuracy: f64, batcher: &str| EvalRecord {
        run_id: run_id.clone(),
        step: place as i64,
        subset: subset.into(),
        accuracy: (!run.has_errors).then_some(accuracy),
        rmse: run.has_errors.then_some(1.0 - accuracy),
        train_ns: Some(place as i64 * 10_000_000_000),
        eval_batcher: Some(batcher.into()),
        ..records::eval(0)
    };
    let mut evals = Vec::new();
    for (place, &accuracy) in run.accuracies.iter().enumerate() {
        evals.push(eval(place, "validation", accuracy, "full"));
        evals.push(eval(place, "test", accuracy - 0.05, "full"));
        // Evaluated in its own batches it would be right at once; this must be ignored.
        evals.push(eval(place, "validation", 1.0, "its-own"));
    }
    writer.write(Table::Runs, &RunRecord::to_batch(&[record]).unwrap()).unwrap();
    writer.write(Table::Steps, &StepRecord::to_batch(&steps).unwrap()).unwrap();
    writer.write(Table::Evals, &EvalRecord::to_batch(&evals).unwrap()).unwrap();
    writer.finish().unwrap();
}

/// Six seeds: `full` is slow, `part` fast; `lame` never gets there in half of its seeds and
/// diverges in one.
fn results(dir: &Path) -> Results {
    results_of(dir, false)
}

fn results_of(dir: &Path, has_errors: bool) -> Results {
    results_with(dir, has_errors, [None; 3])
}

/// With the learning rates of `full`, `part` and `lame`, if they were chosen for them.
fn results_with(dir: &Path, has_errors: bool, rates: [Option<f64>; 3]) -> Results {
    for seed in 0..6 {
        let own = Run {
            batcher: "full",
            is_whole: true,
            seed,
            prepare_s: 0,
            step_ms: 100,
            status: "completed",
            accuracies: &[0.1, 0.3, 0.5, 0.7, 0.72],
            has_errors,
            learning_rate: rates[0],
        };
        write(dir, &own);
        let soon = Run { batcher: "part", is_whole: false, prepare_s: 5, step_ms: 10, ..own };
        let part = Run { accuracies: &[0.1, 0.71, 0.69, 0.72], learning_rate: rates[1], ..soon };
        write(dir, &part);
        let arrives: &[f64] = if seed < 3 { &[0.1, 0.7] } else { &[0.1, 0.6, 0.4] };
        let status = if seed == 5 { "nan" } else { "completed" };
        let lame = Run { batcher: "lame", accuracies: arrives, status, ..soon };
        write(dir, &Run { learning_rate: rates[2], ..lame });
    }
    Results::read(&[dir.to_path_buf()]).unwrap()
}

fn reach(results: &Results, accuracy: Option<f64>) -> (Report, TimeToGoal) {
    let questions = Questions { accuracy, ..Questions::default() };
    let report = Report::answering(results, &questions);
    let [reach] = &report.reaches[..] else { panic!("one comparison") };
    let reach = reach.clone();
    (report, reach)
}

#[test]
fn seeds_that_never_arrive_are_late_and_not_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let results = results(dir.path());
    let (report, reach) = reach(&results, Some(0.7));
    let names: Vec<&str> = reach.strategies.iter().map(|s| s.batcher.as_str()).collect();
    assert_eq!(names, ["part", "full", "lame"]);
    let [part, full, lame] = &reach.strategies[..] else { panic!("three") };
    // Includes preparation.
    assert_eq!((part.median, full.median), (Some(15.0), Some(30.0)));
    // Three of lame's six seeds, which include the diverged one, get there: the median does not
    // exist.
    assert_eq!((lame.n_run, lame.n_reached, lame.median), (6, 3, None));
    assert_eq!(lame.interval, Some((Some(15.0), None, 1.0 - 2.0 / 64.0)));
    assert!(part.may_be_soonest && !full.may_be_soonest);
    assert!(lame.may_be_soonest, "three of six seeds are as soon as any");
    assert_eq!((part.prepare, full.peak_bytes), (Some(5.0), Some(5e7)));
    // 50 outputs in 10 ms, 100 outputs per epoch.
    assert!((part.epochs_per_s.unwrap() - 50.0).abs() < 1e-9);
    assert_eq!((part.best, part.test), (Some(0.72), Some(0.72 - 0.05)));
    let text = reach_text(&reach);
    assert!(text.contains("time to 70.0 % accuracy on the validation set, prep"), "{text}");
    assert!(text.contains("lame     never  15 s to never (97 %)  3 of 6 runs  may be"), "{text}");
    let page = html(&report, &results, "batchlab report");
    assert!(page.contains("Time to an accuracy") && page.contains("15 to not reached"), "the page");
    let figure = report.figures.iter().find(|figure| figure.id == "accuracy").unwrap();
    let Plot::Curves(curves) = &figure.panels[0].plot else { panic!("curves") };
    let part = curves.curves.iter().find(|curve| curve.batcher == "part").unwrap();
    let points: Vec<(f64, f64)> = part.points.iter().map(|(x, y)| (*x, y.value)).collect();
    assert_eq!(points, [(5.0, 10.0), (15.0, 71.0), (25.0, 69.0), (35.0, 72.0)]);
}

#[test]
fn without_a_stated_accuracy_it_is_one_that_all_reach() {
    let dir = tempfile::tempdir().unwrap();
    let (_, reach) = reach(&results(dir.path()), None);
    // The runs of lame reach 0.7, 0.7, 0.7, 0.6, 0.6 and, before it diverges, 0.6.
    assert_eq!((reach.goal, reach.is_stated), (Goal::Accuracy(0.6), false));
    assert!(reach.strategies.iter().all(|strategy| strategy.median.is_some()));
}

#[test]
fn strategies_are_compared_with_a_learning_rate_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let results = results_with(dir.path(), false, [Some(0.01), Some(0.03), Some(0.001)]);
    let (report, reach) = reach(&results, Some(0.7));
    let names: Vec<&str> = reach.strategies.iter().map(|s| s.batcher.as_str()).collect();
    assert_eq!(names, ["part", "full", "lame"]);
    let chosen = "options chosen for each strategy: part learning_rate = 0.03; full learning_rate \
                  = 0.01; lame learning_rate = 0.001";
    assert!(reach_text(&reach).contains(chosen), "{}", reach_text(&reach));
    assert!(html(&report, &results, "batchlab report").contains(chosen));
    let [first, ..] = &reach.strategies[..] else { panic!("three") };
    assert_eq!(serde_json::to_value(first).unwrap()["tuned"]["learning_rate"], "0.03");
}

#[test]
fn an_error_is_reached_from_above() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (_, of_accuracy) = reach(&results(dirs[0].path()), Some(0.7));
    let results = results_of(dirs[1].path(), true);
    assert!(Report::of(&results).reaches.is_empty(), "only if asked for");
    let asked = Questions { error: Some(0.301), ..Questions::default() };
    let report = Report::answering(&results, &asked);
    let [found] = &report.reaches[..] else { panic!("one comparison") };
    let times = |reach: &TimeToGoal| -> Vec<_> {
        let of = |s: &GoalTime| (s.batcher.clone(), s.median, s.n_reached, s.may_be_soonest);
        reach.strategies.iter().map(of).collect()
    };
    assert_eq!(times(found), times(&of_accuracy));
    let [best, test] = [found.strategies[0].best, found.strategies[0].test].map(Option::unwrap);
    assert!((best - 0.28).abs() < 1e-9 && (test - 0.33).abs() < 1e-9, "{best} {test}");
    let text = reach_text(found);
    assert!(text.contains("time to an RMSE of 0.301 eV on the validation set, prep"), "{text}");
    assert!(serde_json::to_value(found).unwrap()["rmse"] == 0.301);
    assert!(!report.figures.iter().any(|figure| figure.id == "accuracy"));
    assert!(html(&report, &results, "batchlab report").contains("to an RMSE of 0.301 eV"));
}

#[test]
fn time_per_output_ranks_only_what_computes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let report = Report::of(&results(dir.path()));
    assert!(report.verdicts.is_empty(), "only one strategy holds all that its outputs depend on");
    for seed in 0..6 {
        let other = Run {
            batcher: "chunks",
            is_whole: true,
            seed,
            prepare_s: 0,
            step_ms: 120,
            status: "completed",
            accuracies: &[0.1, 0.7],
            has_errors: false,
            learning_rate: None,
        };
        write(dir.path(), &other);
    }
    let report = Report::of(&Results::read(&[dir.path().to_path_buf()]).unwrap());
    let [verdict] = &report.verdicts[..] else { panic!("one comparison") };
    let names = |of: Vec<&str>| of.join(" ");
    let compared = names(verdict.strategies.iter().map(|s| s.batcher.as_str()).collect());
    let apart = names(verdict.apart.iter().map(|s| s.batcher.as_str()).collect());
    assert_eq!((compared.as_str(), apart.as_str()), ("full chunks", "lame part"));
}
