//! Figures 3 and 5 of the study come out of our tables to the digit: always from the mean of every
//! group of its runs (`groups.csv`), and from the authors' own files. Those name no licence and are
//! not part of the project: `cargo test --release -p batchlab-published -- --ignored` tests them where
//! they lie in `../shared/data/study-csv`.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use batchlab_core::Sink;
use batchlab_core::sink::SinkContext;
use batchlab_published::{Counts, PublishedFile, read, tables};
use batchlab_report::{
    ErrorComparison, Figure, Plot, Report, Results, Run, Setting, compare_errors, settings,
};

const LONG: &str = "parsed_profiling_batching_2_000_000_steps_combined_19_01_2025";
const PAINN: &str = "parsed_profiling_painn_batching_2_000_000_steps_15_05_2025";

struct Published {
    counts: Vec<(String, Counts)>,
    results: Results,
    report: Report,
}

/// The authors' files, imported once.
fn published() -> &'static Published {
    static PUBLISHED: OnceLock<Published> = OnceLock::new();
    PUBLISHED.get_or_init(of_files)
}

fn of_files() -> Published {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/study-csv");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("parsed_"));
    paths.sort();
    import(&paths)
}

/// Through Parquet.
fn import(paths: &[PathBuf]) -> Published {
    let files: Vec<PublishedFile> = paths.iter().map(|path| read(path).unwrap()).collect();
    let out = tempfile::tempdir().unwrap();
    let imported = tables(&files).unwrap();
    for one in &imported {
        let ctx = SinkContext {
            dir: out.path().join("tables"),
            run_id: one.stem.clone(),
            metadata: Vec::new(),
        };
        std::fs::create_dir_all(&ctx.dir).unwrap();
        let mut writer = sink_parquet::Parquet::default().open(&ctx).unwrap();
        for (table, rows) in &one.tables {
            writer.write(*table, rows).unwrap();
        }
        writer.finish().unwrap();
    }
    let results = Results::read(&[out.path().to_owned()]).unwrap();
    let report = Report::of(&results);
    let counts = files.iter().zip(&imported).map(|(file, one)| (file.stem(), one.counts));
    Published { counts: counts.collect(), results, report }
}

/// The completed runs of one strategy on the A100, summed up.
struct Group {
    model: String,
    dataset: String,
    n_step: i64,
    batcher: String,
    batch_size: i64,
    n_run: usize,
    n_shape: i64,
    /// Mean over the runs of the mean time of a step, in ms.
    combined_mean: String,
}

fn groups() -> Vec<Group> {
    let group = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [model, dataset, n_step, batcher, batch_size, n_run, n_shape, combined_mean] =
            cells.try_into().unwrap();
        Group {
            model: model.to_owned(),
            dataset: dataset.to_owned(),
            n_step: n_step.parse().unwrap(),
            batcher: batcher.to_owned(),
            batch_size: batch_size.parse().unwrap(),
            n_run: n_run.parse().unwrap(),
            n_shape: n_shape.parse().unwrap(),
            combined_mean: combined_mean.to_owned(),
        }
    };
    include_str!("groups.csv").lines().skip(1).map(group).collect()
}

/// Files as the authors write them, with two runs in every group, a little faster and a little slower
/// than its mean.
fn of_groups() -> Report {
    let folder = tempfile::tempdir().unwrap();
    let paths = [100_000, 2_000_000].map(|n_step| {
        let mut text = "model,dataset,batching_type,batching_round_to_64,batch_size,\
            computing_type,iteration,experiment_completed,path,recompilation_counter"
            .to_owned();
        for time in ["batching_time_mean", "update_time_mean", "batching_time_median"] {
            write!(text, ",step_{n_step}_{time}").unwrap();
        }
        writeln!(text, ",step_{n_step}_update_time_median").unwrap();
        for group in groups().iter().filter(|group| group.n_step == n_step) {
            let Group { model, dataset, batcher, batch_size, n_shape, .. } = group;
            let batcher = match batcher.as_str() {
                "static-64" => "static,True",
                "static-2^N" => "static,False",
                other => &format!("{other},True"),
            };
            for (repeat, factor) in [0.99e-3, 1.01e-3].into_iter().enumerate() {
                let s = factor * group.combined_mean.parse::<f64>().unwrap();
                writeln!(
                    text,
                    "{model},{dataset},{batcher},{batch_size},gpu_a100,{repeat},True,job.sh,\
                     {n_shape},{},{s},{},{s}",
                    s / 10.0,
                    s / 10.0
                )
                .unwrap();
            }
        }
        let path = folder.path().join(format!("{n_step}.csv"));
        std::fs::write(&path, text).unwrap();
        path
    });
    import(&paths).report
}

fn setting<'a>(report: &'a Report, title: &str) -> &'a Setting {
    report.settings.iter().find(|setting| setting.title == title).unwrap_or_else(|| {
        let titles: Vec<_> = report.settings.iter().map(|s| &s.title).collect();
        panic!("{title} is not among {titles:?}")
    })
}

/// The values of a strategy over the batch sizes 16, 32, 64, 128 in the bar figure `id`.
fn bars(report: &Report, id: &str, title: &str, batcher: &str) -> Vec<f64> {
    let figure: &Figure = report.figures.iter().find(|figure| figure.id == id).unwrap();
    let panel = figure.panels.iter().find(|panel| panel.setting == title).unwrap();
    let Plot::Bars(chart) = &panel.plot else { panic!("{id} has bars") };
    assert_eq!(chart.x, ["16", "32", "64", "128"]);
    let series = chart.series.iter().find(|series| series.batcher == batcher).unwrap();
    series.points.iter().map(|point| point.unwrap().value).collect()
}

fn rounded(values: &[f64]) -> Vec<String> {
    values.iter().map(|value| format!("{value:.2}")).collect()
}

#[test]
#[ignore = "reads the authors' files, which are not part of the project"]
fn the_counts_of_faults_are_known() {
    let published = published();
    let of = |file: &str| published.counts.iter().find(|(name, _)| name == file).unwrap().1;
    let long = of(LONG);
    assert_eq!((long.n_row, long.n_back_filled), (957, 20));
    assert_eq!(of(PAINN).n_completed, 240);
    let back_filled: Vec<&Run> = published
        .results
        .runs
        .iter()
        .filter(|run| run.error.as_deref().is_some_and(|e| e.starts_with("back-filled")))
        .collect();
    assert_eq!(back_filled.len(), 20);
    for run in back_filled {
        assert_eq!((run.dataset.as_str(), run.batcher.as_str()), ("aflow", "dynamic"));
        assert_eq!((run.batch_size, run.hardware.as_str()), (Some(16), "gpu_a100"));
        let origin =
            if run.model == "schnet" { "(schnet on qm9, 100000" } else { "(mpeu on aflow, 100000" };
        assert!(run.error.as_ref().unwrap().contains(origin), "{:?}", run.error);
        assert!(!run.is_usable());
    }
    // 2,426 of 27,480 errors of the long runs on a GPU are mean absolute errors.
    let on_gpu =
        published.results.runs.iter().filter(|r| r.study == LONG && r.hardware == "gpu_a100");
    let evals: Vec<_> = on_gpu.flat_map(|run| &run.evals).collect();
    assert_eq!(evals.len(), 27_480);
    assert_eq!(evals.iter().filter(|eval| eval.mae.is_some()).count(), 2426);
}

#[test]
fn figures_3_and_5_from_the_means_of_groups() {
    let report = of_groups();
    assert_figure_3(&report);
    assert_figure_5(&report);
}

#[test]
#[ignore = "reads the authors' files, which are not part of the project"]
fn figures_3_and_5_from_the_files() {
    let Published { report, .. } = published();
    assert_figure_3(report);
    assert_figure_5(report);
}

#[test]
#[ignore = "reads the authors' files, which are not part of the project"]
fn the_means_of_groups_are_those_of_the_files() {
    let Published { report, .. } = published();
    for of in groups() {
        let steps = if of.n_step == 100_000 { "100k" } else { "2M" };
        let title = format!("{} on {}, gpu_a100, {steps} steps", of.model, of.dataset);
        let group = setting(report, &title).group(&of.batcher, Some(of.batch_size)).unwrap();
        assert_eq!(group.n_run, of.n_run, "{title}");
        let n_shape = group.sample(|run| Some(run.n_shape? as f64));
        assert_eq!(n_shape, vec![of.n_shape as f64; of.n_run], "{title}");
        let ms = group.sample(|run| Some(run.times.as_ref()?.combined_mean / 1e6));
        let mean = batchlab_stats::mean(&ms).unwrap();
        assert_eq!(format!("{mean:.4}"), of.combined_mean, "{title}");
    }
}

/// Recompilations.
fn assert_figure_3(report: &Report) {
    let of = |title: &str, batcher: &str| bars(report, "recompilations", title, batcher);
    let qm9 = "painn on qm9, gpu_a100, 2M steps";
    assert_eq!(of(qm9, "dynamic"), [0.0; 4]);
    assert_eq!(of(qm9, "static-2^N"), [2.0, 3.0, 2.0, 0.0]);
    assert_eq!(of(qm9, "static-64"), [68.0, 102.0, 157.0, 234.0]);
    let aflow = "painn on aflow, gpu_a100, 2M steps";
    assert_eq!(of(aflow, "static-2^N"), [7.0, 6.0, 5.0, 4.0]);
    assert_eq!(of(aflow, "static-64"), [175.0, 248.0, 358.0, 501.0]);
    for model in ["schnet", "mpeu"] {
        let qm9 = format!("{model} on qm9, gpu_a100, 2M steps");
        assert_eq!(of(&qm9, "static-64"), [73.0, 103.0, 154.0, 238.0]);
        assert_eq!(of(&qm9, "static-2^N"), [2.0, 3.0, 2.0, 0.0]);
        let short = format!("{model} on aflow, gpu_a100, 100k steps");
        assert_eq!(of(&short, "static-64"), [120.0, 173.0, 242.0, 341.0]);
        assert_eq!(of(&short, "static-2^N"), [6.0, 5.0, 4.0, 3.0]);
    }
}

/// Speed-ups of PaiNN.
fn assert_figure_5(report: &Report) {
    let of = |data: &str, batcher| {
        let title = format!("painn on {data}, gpu_a100, 2M steps");
        rounded(&bars(report, "speed-up", &title, batcher))
    };
    assert_eq!(of("aflow", "dynamic"), ["1.19", "1.44", "1.50", "1.49"]);
    assert_eq!(of("aflow", "static-64"), ["1.02", "1.17", "1.26", "1.34"]);
    assert_eq!(of("aflow", "static-2^N"), ["1.00", "1.00", "1.00", "1.00"]);
    assert_eq!(of("qm9", "dynamic"), ["1.87", "2.14", "2.55", "2.71"]);
    assert_eq!(of("qm9", "static-64"), ["1.94", "2.26", "2.57", "2.76"]);
    assert_eq!(of("qm9", "static-2^N"), ["1.00", "1.00", "1.00", "1.00"]);
}

#[test]
#[ignore = "reads the authors' files, which are not part of the project"]
fn times_of_the_table_of_painn() {
    let Published { report, .. } = published();
    let setting = setting(report, "painn on qm9, gpu_a100, 2M steps");
    let group = setting.group("static-2^N", Some(128)).unwrap();
    assert_eq!(group.n_run, 10);
    let ms =
        |of: fn(&batchlab_report::Times) -> f64| group.sample(|run| Some(of(&run.times?) / 1e6));
    let mean = |sample: Vec<f64>| format!("{:.3}", batchlab_stats::mean(&sample).unwrap());
    let median = |sample: Vec<f64>| format!("{:.3}", batchlab_stats::median(&sample).unwrap());
    assert_eq!(mean(ms(|t| t.combined_mean)), "33.167");
    assert_eq!(mean(ms(|t| t.batching_mean)), "2.600");
    assert_eq!(mean(ms(|t| t.update_mean)), "30.567");
    assert_eq!(median(ms(|t| t.combined_median)), "32.216");
    assert_eq!(median(ms(|t| t.batching_median)), "2.496");
}

#[test]
#[ignore = "reads the authors' files, which are not part of the project"]
fn t_tests_of_the_last_errors() {
    let Published { report, results, .. } = published();
    let compare = |settings: &[Setting]| {
        let all = compare_errors(settings);
        let is_long = |c: &ErrorComparison| {
            let setting = &settings[c.setting];
            setting.study == LONG && setting.hardware == "gpu_a100"
        };
        all.into_iter().filter(is_long).collect::<Vec<_>>()
    };
    let find = |all: &[ErrorComparison], title: &str, size, pair: [&str; 2]| {
        let is_it = |c: &&ErrorComparison| {
            report.settings[c.setting].title == title
                && c.batch_size == Some(size)
                && c.pair == pair
        };
        let found = all.iter().find(is_it).unwrap();
        (format!("{:.2}", found.t), format!("{:.3}", found.p))
    };
    let schnet = "schnet on qm9, gpu_a100, 2M steps";
    // As published: 14 settings with three pairs, two with one; one of the 42 is below 0.05.
    let mut as_published = Results { runs: results.runs.clone() };
    for eval in as_published.runs.iter_mut().flat_map(|run| &mut run.evals) {
        eval.rmse = eval.rmse.or(eval.mae);
    }
    let raw = compare(&settings(&as_published));
    assert_eq!(raw.len(), 44);
    let small: Vec<_> = raw.iter().filter(|c| c.p < 0.05).collect();
    assert_eq!(small.len(), 1);
    let text = |t: &str, p: &str| (t.to_owned(), p.to_owned());
    assert_eq!(find(&raw, schnet, 64, ["dynamic", "static-64"]), text("2.31", "0.039"));
    assert_eq!(find(&raw, schnet, 64, ["dynamic", "static-2^N"]), text("1.55", "0.140"));
    // Without mean absolute errors.
    let clean = compare(&report.settings);
    assert_eq!(find(&clean, schnet, 64, ["dynamic", "static-64"]).1, "0.021");
    assert_eq!(find(&clean, schnet, 128, ["dynamic", "static-64"]).1, "0.005");
    let aflow = "schnet on aflow, gpu_a100, 2M steps";
    assert_eq!(find(&clean, aflow, 64, ["dynamic", "static-64"]).1, "0.031");
    let between_static = clean.iter().filter(|c| c.pair == ["static-64", "static-2^N"]);
    let least = between_static.map(|c| c.p).fold(f64::INFINITY, f64::min);
    assert_eq!(format!("{least:.2}"), "0.10");
    let corrected = clean.iter().map(|c| c.corrected_p).fold(f64::INFINITY, f64::min);
    assert_eq!(format!("{corrected:.2}"), "0.09");
}
