//! Handmade results in which every number is known.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::{Path, PathBuf};

use batchlab_core::Sink;
use batchlab_core::record::{EvalRecord, Record, RunRecord, StepRecord, Table};
use batchlab_core::sink::SinkContext;
use batchlab_report::{
    Measure, Report, ReportError, Results, Strategy, Unit, compare_errors, html, picture, sentence,
    settings,
};
use batchlab_results::ResultsError;
use batchlab_testkit::records;

/// One run: a strategy, a seed, and its step time in milliseconds.
struct Run<'a> {
    id: &'a str,
    batcher: &'a str,
    host: &'a str,
    seed: i64,
    ms: i64,
    n_graph: i64,
    prefetch_depth: i64,
    config: &'a str,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            id: "a",
            batcher: "dynamic",
            host: "one",
            seed: 1,
            ms: 10,
            n_graph: 4,
            prefetch_depth: 0,
            config: "{}",
        }
    }
}

/// Ten steps, of which the first two are warm-up and a hundred times slower, and two evaluations.
fn write(dir: &Path, run: &Run<'_>) {
    let ctx = SinkContext { dir: dir.join("tables"), run_id: run.id.into(), metadata: Vec::new() };
    std::fs::create_dir_all(&ctx.dir).unwrap();
    let mut writer = sink_parquet::Parquet::default().open(&ctx).unwrap();
    let record = RunRecord {
        run_id: run.id.into(),
        study: "<study> & co".into(),
        status: "completed".into(),
        config: run.config.into(),
        version: Some("0.1.0".into()),
        host: Some(run.host.into()),
        cpu_model: Some("Processor".into()),
        device: "cpu".into(),
        n_thread: Some(2),
        dataset: "qm9".into(),
        dataset_hash: Some("<script>alert(1)</script>".into()),
        model: "schnet".into(),
        batcher: run.batcher.into(),
        batch_size: Some(8),
        target_unit: Some("eV".into()),
        timing: "combined".into(),
        prefetch_depth: run.prefetch_depth,
        seed_split: Some(0),
        seed_order: Some(run.seed),
        seed_init: Some(0),
        n_step_planned: Some(10),
        n_shape: Some(3),
        ..records::run("")
    };
    let steps: Vec<StepRecord> = (1..=10)
        .map(|step| {
            let factor = if step <= 2 { 100 } else { 1 };
            StepRecord {
                run_id: run.id.into(),
                step,
                n_graph: run.n_graph,
                n_output: run.n_graph,
                n_node: 30,
                n_edge: 600,
                n_node_padded: 40,
                n_edge_padded: 800,
                is_warmup: step <= 2,
                plan_ns: Some(1_000_000),
                collate_ns: Some(2_000_000),
                wait_ns: (run.prefetch_depth > 0).then_some(500_000),
                step_ns: factor * run.ms * 1_000_000,
                ..records::step(1)
            }
        })
        .collect();
    let eval = |step, subset: &str, rmse| EvalRecord {
        run_id: run.id.into(),
        step,
        subset: subset.into(),
        rmse: Some(rmse),
        ..records::eval(0)
    };
    let noise = 0.001 * run.seed as f64;
    let evals = ["validation", "test"]
        .map(|subset| [eval(5, subset, 2.0 + noise), eval(10, subset, 1.0 + noise)]);
    writer.write(Table::Runs, &RunRecord::to_batch(&[record]).unwrap()).unwrap();
    writer.write(Table::Steps, &StepRecord::to_batch(&steps).unwrap()).unwrap();
    writer.write(Table::Evals, &EvalRecord::to_batch(&evals.concat()).unwrap()).unwrap();
    writer.finish().unwrap();
}

fn read(dirs: &[&Path]) -> Result<Results, ReportError> {
    Results::read(&dirs.iter().map(|dir| dir.to_path_buf()).collect::<Vec<PathBuf>>())
}

/// Five seeds of two strategies; the second takes `ms` per step of `n_graph` graphs.
fn two_strategies(dir: &Path, host: &str, ms: i64, n_graph: i64) {
    for seed in 1..=5 {
        let id = |name: &str| format!("{name}-{}-{seed}", host.replace('/', "_"));
        write(dir, &Run { id: &id("a"), host, seed, ms: 10 + seed, ..Run::default() });
        let batcher = "static-64";
        write(
            dir,
            &Run { id: &id("b"), batcher, host, seed, ms: ms + seed, n_graph, ..Run::default() },
        );
    }
}

#[test]
fn a_run_is_reduced_to_its_typical_step_without_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run::default());
    write(dir.path(), &Run { id: "b", prefetch_depth: 2, ..Run::default() });
    let results = read(&[dir.path()]).unwrap();
    let [serial, ahead] = &results.runs[..] else { panic!("two runs") };
    let (times, work) = (serial.steps.times.unwrap(), serial.steps.work.as_ref().unwrap());
    assert_eq!((times.combined_mean, times.combined_median), (1e7, 1e7));
    assert_eq!((times.batching_mean, times.update_mean), (3e6, 7e6));
    assert_eq!((work.outputs_per_s, work.edges_per_s), (400.0, 60_000.0));
    assert_eq!((work.node_fill, work.edge_fill), (0.75, 0.75));
    assert_eq!(serial.steps.stretches.first(), Some(&(1.0, 1e9)), "the course has the warm-up");
    let ends: Vec<f64> = serial.steps.stretches.iter().map(|(step, _)| *step).collect();
    assert_eq!(ends, (1..=10).map(f64::from).collect::<Vec<_>>(), "no stretch is empty");
    let times = ahead.steps.times.unwrap();
    assert!((times.update_mean - 9.5e6).abs() < 1e-6, "without waiting");
    assert_eq!(serial.rmse("test").collect::<Vec<_>>(), [(5, 2.001), (10, 1.001)]);
}

#[test]
fn strategies_are_compared_by_graphs_and_not_by_steps() {
    let dir = tempfile::tempdir().unwrap();
    // 1.5 times as long per step, but three times the graphs.
    two_strategies(dir.path(), "one", 15, 12);
    let report = Report::of(&read(&[dir.path()]).unwrap());
    let [verdict] = &report.verdicts[..] else { panic!("one batch size") };
    assert_eq!((verdict.measure, verdict.unit), (Measure::TimePerGraph, Unit::Seeds { n_seed: 5 }));
    assert_eq!(verdict.fastest().unwrap().batcher, "static-64");
    let slower: &Strategy = &verdict.strategies[1];
    let logs = (1..=5).map(|seed| f64::from(3 * (10 + seed)) / f64::from(15 + seed));
    let factor = (logs.map(f64::ln).sum::<f64>() / 5.0).exp();
    assert!((slower.factor - factor).abs() < 1e-9, "{}", slower.factor);
    let (low, high) = slower.interval.unwrap();
    assert!(low < factor && factor < high && low > 1.9, "{low} {high}");
    let text = sentence(verdict);
    let start = "B = 8: static-64 is the fastest; times as long as the fastest: dynamic 1.9";
    assert!(text.starts_with(start) && text.ends_with(" (5 seeds)."), "{text}");
    let rows = &report.numbers.rows;
    let [dynamic, other] = ["dynamic", "static-64"].map(|name| {
        let row = rows.iter().find(|row| row.batcher == name).unwrap();
        row.values["outputs_per_s"].unwrap()
    });
    assert!((other / dynamic - factor).abs() < 0.05, "as in the verdict: {other} {dynamic}");
}

#[test]
fn what_is_not_told_apart_is_said_and_few_runs_say_little() {
    let dir = tempfile::tempdir().unwrap();
    for (seed, ms) in [(1, 10), (2, 12), (3, 11), (4, 10), (5, 13)] {
        let id = |name: &str| format!("{name}-{seed}");
        write(dir.path(), &Run { id: &id("a"), seed, ms, ..Run::default() });
        let batcher = "static-64";
        write(dir.path(), &Run { id: &id("b"), batcher, seed, ms: 23 - ms, ..Run::default() });
    }
    let report = Report::of(&read(&[dir.path()]).unwrap());
    assert_eq!(report.verdicts[0].may_be_fastest().count(), 2);
    let text = sentence(&report.verdicts[0]);
    let bound =
        "static-64 may be the fastest (5 seeds). None of them takes more than 39.9 % longer";
    assert!(text.contains(bound), "{text}");
    assert!(text.contains("To tell 2 % apart takes about 1768 to 4284 seeds."), "{text}");

    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run::default());
    write(dir.path(), &Run { id: "b", batcher: "exact", ms: 20, ..Run::default() });
    let report = Report::of(&read(&[dir.path()]).unwrap());
    assert!(!report.verdicts[0].has_intervals());
    let text = sentence(&report.verdicts[0]);
    assert!(text.contains("exact 2.00 times as long; 1 seed is too few to quantify"), "{text}");
}

#[test]
fn errors_that_are_all_equal_are_not_tested() {
    let dir = tempfile::tempdir().unwrap();
    two_strategies(dir.path(), "one", 10, 4);
    let mut results = read(&[dir.path()]).unwrap();
    assert_eq!(compare_errors(&settings(&results)).len(), 1);
    for run in results.runs.iter_mut().filter(|run| run.run.batcher == "static-64") {
        run.summary.evals.iter_mut().for_each(|eval| eval.rmse = Some(0.5));
    }
    assert_eq!(compare_errors(&settings(&results)), []);
}

#[test]
fn runs_that_stopped_early_are_compared_by_the_error_after_their_last_step() {
    let dir = tempfile::tempdir().unwrap();
    two_strategies(dir.path(), "one", 10, 4);
    let mut results = read(&[dir.path()]).unwrap();
    let note = |results: &Results| {
        let report = Report::of(results);
        report.figures.iter().find(|figure| figure.id == "errors").unwrap().note.clone()
    };
    assert!(!note(&results).contains("ended early"), "{}", note(&results));
    for run in results.runs.iter_mut().filter(|run| run.run.batcher == "static-64") {
        run.summary.run.n_step = Some(5);
    }
    let [comparison] = &compare_errors(&settings(&results))[..] else { panic!("one pair") };
    // Means 1 and 2 with the same scatter.
    assert!(comparison.n_run == [5, 5] && comparison.p < 1e-9, "{comparison:?}");
    assert!(note(&results).contains("5 runs ended early; their errors"), "{}", note(&results));
}

#[test]
fn an_evaluation_that_stands_twice_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run::default());
    let evals = dir.path().join("tables/evals");
    // A second file with the same rows.
    std::fs::copy(evals.join("a.parquet"), evals.join("again.parquet")).unwrap();
    let results = read(&[dir.path()]).unwrap();
    assert_eq!(results.runs[0].rmse("test").collect::<Vec<_>>(), [(5, 2.001), (10, 1.001)]);
}

#[test]
fn machines_are_read_together_and_never_pooled() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    two_strategies(one.path(), "one", 30, 4);
    two_strategies(two.path(), "two", 3, 4);
    let report = Report::of(&read(&[one.path(), two.path()]).unwrap());
    assert_eq!(report.settings.len(), 2);
    assert_ne!(report.settings[0].title, report.settings[1].title, "titles tell them apart");
    let fastest = report.verdicts.iter().map(|verdict| verdict.fastest().unwrap().batcher.as_str());
    let best: Vec<&str> = fastest.collect();
    assert_eq!(best, ["dynamic", "static-64"]);
}

#[test]
fn figures_have_the_numbers_and_pages_have_no_markup_from_results() {
    let dir = tempfile::tempdir().unwrap();
    two_strategies(dir.path(), "one</svg><b>", 20, 4);
    let results = read(&[dir.path()]).unwrap();
    let report = Report::of(&results);
    let padding = report.numbers.rows[0].values["edge_padding_percent"].unwrap();
    assert!((padding - 25.0).abs() < 1e-9);
    for figure in &report.figures {
        // Without new shapes the length of training does not matter.
        let is_empty = figure.id == "total-time";
        assert_eq!(figure.panels.is_empty(), is_empty, "{}", figure.id);
        let Some(svg) = picture(figure) else { continue };
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", figure.id);
        batchlab_draw::png(&svg).unwrap();
    }
    let page = html(&report, &results, "batchlab report 'a <b>'");
    for markup in ["<script", "<b>", "one</svg>", "<study>", "http:", "https:", "NaN"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;study&gt; &amp; co") && page.contains("&lt;script&gt;alert"));
    for figure in &report.figures {
        assert!(page.contains(&format!("id=\"{}\"", figure.id)));
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn faults_of_results_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = read(&[dir.path()]).unwrap_err();
    assert!(matches!(error, ReportError::Results(ResultsError::NoTables { .. })), "{error}");
    write(dir.path(), &Run::default());
    let twin = tempfile::tempdir().unwrap();
    write(twin.path(), &Run::default());
    let error = read(&[dir.path(), twin.path()]).unwrap_err().to_string();
    assert!(error.contains("run a is in"), "{error}");
    let steps = dir.path().join("tables/steps/a.parquet");
    let bytes = std::fs::read(&steps).unwrap();
    std::fs::write(&steps, &bytes[..bytes.len() / 2]).unwrap();
    let why = || {
        let results = read(&[dir.path()]).unwrap();
        assert!(results.runs.is_empty());
        let report = Report::of(&results);
        assert_eq!(report.left_out.len(), 1);
        report.left_out[0].why.clone()
    };
    assert!(why().contains("steps/a.parquet: "), "{}", why());
    std::fs::copy(dir.path().join("tables/evals/a.parquet"), &steps).unwrap();
    assert!(why().contains("steps/a.parquet: ") && why().contains("column \"epoch\""), "{}", why());
}

#[test]
fn a_time_below_0_is_no_result() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run { ms: -1, ..Run::default() });
    let report = Report::of(&read(&[dir.path()]).unwrap());
    let why = &report.left_out[0].why;
    assert!(why.contains("a time or a number of outputs below 0"), "{why}");
}

#[test]
fn an_interrupted_run_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run::default());
    let mut results = read(&[dir.path()]).unwrap();
    results.runs[0].summary.run.status = "interrupted".into();
    let report = Report::of(&results);
    assert!(report.settings.is_empty() && report.figures.iter().all(|f| f.panels.is_empty()));
    assert_eq!(report.left_out[0].why, "status interrupted");
    assert!(html(&report, &results, "").contains("1 run (status interrupted)"));
}

#[test]
fn other_options_are_other_settings_and_other_strategies() {
    let folder = tempfile::tempdir().unwrap();
    let config = |width: u32, n_node: u32, seed: u32| {
        format!(
            r#"{{"model": {{"latent_size": {width}}}, "training": {{"loss": "mse", "seeds": {{"order": {seed}}}}},
                 "batcher": {{"batch_size": 8, "budget": {{"n_node": {n_node}}}}}}}"#
        )
    };
    for (i, (width, n_node)) in [(8, 200), (8, 200), (8, 600), (32, 200)].into_iter().enumerate() {
        let (id, config) = (format!("run-{i}"), config(width, n_node, i as u32));
        write(folder.path(), &Run { id: &id, config: &config, seed: i as i64, ..Run::default() });
    }
    let settings = settings(&read(&[folder.path()]).unwrap());
    let titles: Vec<&str> = settings.iter().map(|s| s.title.rsplit(" (").next().unwrap()).collect();
    assert_eq!(titles, ["model.latent_size = 32)", "model.latent_size = 8)"]);
    let groups: Vec<(&str, usize)> =
        settings[1].groups.iter().map(|g| (g.batcher.as_str(), g.n_run)).collect();
    assert_eq!(
        groups,
        [("dynamic (budget.n_node = 200)", 2), ("dynamic (budget.n_node = 600)", 1)]
    );
    assert_eq!(settings[0].groups[0].batcher, "dynamic");
}

/// A line over batch sizes is one strategy, and options shared by all strategies are not part of
/// names.
#[test]
fn options_that_differ_between_batch_sizes_are_named_and_equal_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &Run::default());
    write(folder.path(), &Run { id: "b", ..Run::default() });
    let mut results = read(&[folder.path()]).unwrap();
    for (run, size, n_node) in [(0, 8, "200"), (1, 16, "400")] {
        results.runs[run].summary.run.batch_size = Some(size);
        results.runs[run].strategy =
            [("n_node", n_node), ("oversize", "single")].map(|(k, v)| (k.into(), v.into())).into();
    }
    let names = |results: &Results| -> Vec<String> {
        settings(results)[0].groups.iter().map(|group| group.batcher.clone()).collect()
    };
    assert_eq!(names(&results), ["dynamic (n_node = 200)", "dynamic (n_node = 400)"]);
    results.runs[1].strategy = results.runs[0].strategy.clone();
    assert_eq!(names(&results), ["dynamic", "dynamic"]);
}
