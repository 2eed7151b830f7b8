//! Interleaved strategies: verdicts over blocks, exclusions, attribution, and the effect of
//! compilation, on synthetic runs with known truth.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::Path;

use crate::study::{COPY, NEW_SHAPE, PLANNING, STRATEGIES, Strategy, Study, write};
use batchlab_forecast::census::ShapeCurve;
use batchlab_report::{
    Attribution, Cause, Conclusion, Parts, Questions, Report, Results, Share, Unit, caveats, html,
    sentence, text, total_time_text,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn read(dir: &Path) -> Results {
    Results::read(&[dir.to_owned()]).unwrap()
}

fn report(dir: &Path) -> Report {
    Report::of(&read(dir))
}

fn strategy(name: &str) -> &'static Strategy {
    STRATEGIES.iter().find(|strategy| strategy.name == name).unwrap()
}

#[track_caller]
fn assert_close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{what}: {a}, not {b}");
}

fn of<'a>(report: &'a Report, name: &str) -> &'a batchlab_report::Strategy {
    report.verdicts[0].strategies.iter().find(|strategy| strategy.batcher == name).unwrap()
}

#[test]
fn the_unit_is_the_mirrored_pair_and_what_disturbs_a_block_cancels() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study { n_block: 11, ..Study::default() }, |_| ());
    let results = read(dir.path());
    let numbers: Vec<i64> = results.runs[0].steps.blocks.iter().map(|block| block.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>(), "without block 0, the warm-up");
    let report = Report::of(&results);
    let [verdict] = &report.verdicts[..] else { panic!("one setting at one batch size") };
    assert_eq!(verdict.unit, Unit::Pairs { n_pair: 10, n_cell: 2 }, "the last block is alone");
    assert_eq!(verdict.fastest().unwrap().batcher, "dynamic-exact");
    let slower = of(&report, "static-constant");
    let time = |name| {
        let strategy = strategy(name);
        let copied = COPY * strategy.padded_n_edge as f64 / strategy.n_graph as f64;
        PLANNING + copied + strategy.work()
    };
    let truth = time("static-constant") / time("dynamic-exact");
    let (low, high) = slower.interval.unwrap();
    assert!(low < truth && truth < high, "{low} {truth} {high}");
    // The machine is up to 1.8 times slower in one block than in another.
    assert!(high / low < 1.08, "{low} {high}");
    assert_eq!(slower.place, Conclusion::Slower);
    assert!((slower.factor_of_totals / truth - 1.0).abs() < 0.05, "{slower:?}");
    assert!(
        sentence(verdict).ends_with(" (10 mirrored pairs in 2 cells)."),
        "{}",
        sentence(verdict)
    );
    let caveats = caveats(verdict).join("\n");
    assert!(caveats.contains("This holds for these seeds"), "{caveats}");
    insta::assert_snapshot!("verdict", text(verdict));
}

#[test]
fn many_cells_are_the_unit_and_few_pairs_say_little() {
    let study = |n_cell, n_block| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &Study { n_cell, n_block, n_strategy: 2, ..Study::default() }, |_| ());
        report(dir.path())
    };
    let many = study(5, 2);
    assert_eq!(many.verdicts[0].unit, Unit::Cells { n_cell: 5, n_pair: 5 });
    assert!(many.verdicts[0].has_intervals());
    assert!(caveats(&many.verdicts[0]).is_empty(), "it holds for other seeds");

    let few = study(1, 6);
    assert!(few.verdicts[0].has_few_pairs() && few.verdicts[0].has_intervals());
    assert!(caveats(&few.verdicts[0])[0].contains("few pairs"));

    let too_few = study(1, 5);
    let verdict = &too_few.verdicts[0];
    assert!(
        verdict.strategies.iter().all(|s| (s.place, s.interval) == (Conclusion::Unknown, None))
    );
    assert_eq!(verdict.fastest(), None);
    let text = sentence(verdict);
    assert!(text.contains("2 mirrored pairs in 1 cell are too few to quantify"), "{text}");
}

/// Cells of two strategies; `n_repeat` of each cell.
fn planned(n_repeat: &[i64], same_seeds: bool) -> (batchlab_report::Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let n_cell = n_repeat.len() as i64;
    let study = Study { n_cell, n_block: 10, n_strategy: 2, ..Study::default() };
    write(dir.path(), &study, |run| {
        run.n_repeat = Some(n_repeat[usize::try_from(run.repeat.unwrap()).unwrap()]);
        if same_seeds {
            (run.seed_split, run.seed_order, run.seed_init) = (Some(0), Some(0), Some(0));
            run.repeat = Some(0);
        }
    });
    let verdict = report(dir.path()).verdicts.remove(0);
    let text = text(&verdict);
    (verdict, text)
}

#[test]
fn verdicts_that_follow_one_another_share_the_level() {
    let (first, _) = planned(&[3, 3, 3], false);
    assert_eq!((first.n_verdict, first.level), (1, 0.05));
    // One cell was planned at first, then three.
    let (second, told) = planned(&[1, 3, 3], false);
    assert_eq!((second.n_verdict, second.level), (2, 0.005));
    assert!(told.contains("99.5 % intervals") && told.contains("verdict 2 on these"), "{told}");
    let width = |verdict: &batchlab_report::Verdict| {
        let (low, high) = verdict.strategies[1].interval.unwrap();
        high / low
    };
    assert!(width(&second) > width(&first));
    let (again, told) = planned(&[1, 1, 1], true);
    assert_eq!((again.n_verdict, again.unit), (3, Unit::Pairs { n_pair: 5, n_cell: 1 }), "{told}");
}

#[test]
fn nothing_is_said_before_the_last_cell() {
    let (verdict, told) = planned(&[5, 5, 5], false);
    let unfinished = verdict.unfinished.unwrap();
    assert_eq!((unfinished.n_cell, unfinished.n_planned), (3, 5));
    assert!(!verdict.has_intervals() && verdict.fastest().is_none());
    assert!(told.contains("unfinished: 3 of 5 cells"), "{told}");
}

#[test]
fn a_disturbed_pair_is_left_out_and_named() {
    let verdict = |stalled| {
        let dir = tempfile::tempdir().unwrap();
        let study = Study { n_block: 22, n_cell: 1, n_strategy: 2, stalled, ..Study::default() };
        write(dir.path(), &study, |_| ());
        report(dir.path()).verdicts.remove(0)
    };
    let (quiet, stalled) = (verdict(None), verdict(Some((0, 7, 1))));
    assert_eq!(quiet.left_out, []);
    let [left_out] = &stalled.left_out[..] else { panic!("{:?}", stalled.left_out) };
    assert_eq!((left_out.pair, left_out.batcher.as_str()), (4, "static-2^N"));
    assert!((2.5..4.0).contains(&left_out.factor), "{left_out:?}");
    assert_eq!(stalled.unit, Unit::Pairs { n_pair: 10, n_cell: 1 });
    assert!((stalled.strategies[1].factor / quiet.strategies[1].factor - 1.0).abs() < 0.01);
    insta::assert_snapshot!("left_out", text(&stalled));
}

#[test]
fn a_reference_that_was_named_has_intervals_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study { n_block: 10, ..Study::default() }, |_| ());
    let questions = Questions { reference: Some("static-64".into()), ..Questions::default() };
    let report = Report::answering(&read(dir.path()), &questions);
    assert_eq!(report.verdicts[0].reference.as_deref(), Some("static-64"));
    let (factor, (low, high)) = of(&report, "static-64").over_reference.unwrap();
    assert!([factor, low, high].iter().all(|x| (x - 1.0).abs() < 1e-12));
    let (factor, (low, high)) = of(&report, "dynamic-exact").over_reference.unwrap();
    assert!(low < factor && factor < high && high < 1.0, "{low} {factor} {high}");
    assert!(text(&report.verdicts[0]).contains("as long as static-64: "));
}

#[test]
fn equal_within_the_margin_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let study = Study { n_block: 20, noise: 0.001, ..Study::default() };
    write(dir.path(), &study, |run| {
        // A renamed copy of a strategy is equal to it.
        if run.batcher == "static-2^N" {
            run.batcher = "static-64".into();
        }
    });
    let [narrow, wide] = [0.0001, 0.5].map(|margin| {
        let questions = Questions { margin, ..Questions::default() };
        Report::answering(&read(dir.path()), &questions)
    });
    let within = |report: &Report| -> usize {
        report.verdicts[0].strategies.iter().filter(|s| s.is_within_margin).count()
    };
    assert!(within(&narrow) <= 1 && within(&wide) > 1);
}

#[test]
fn runs_of_several_processes_and_of_shared_devices_keep_their_errors_only() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study::default(), |run| {
        if run.batcher == "dynamic" {
            run.n_attempt = Some(2);
        }
        if run.batcher == "exact" && run.repeat == Some(1) {
            run.is_exclusive = Some(false);
        }
    });
    let report = report(dir.path());
    let why: Vec<(usize, &str)> =
        report.left_out.iter().map(|left| (left.n_run, left.why.as_str())).collect();
    assert_eq!(
        why,
        [
            (
                2,
                "interrupted and resumed: its times come from several processes; only its errors are shown"
            ),
            (1, "it did not have the device to itself; only its errors are shown"),
        ]
    );
    let verdict = &report.verdicts[0];
    assert!(verdict.strategies.iter().all(|strategy| strategy.batcher != "dynamic"));
    assert_eq!(verdict.unit, Unit::Pairs { n_pair: 3, n_cell: 1 }, "those of the other cell");
    let shows = |id: &str, batcher: &str| {
        let figure = report.figures.iter().find(|figure| figure.id == id).unwrap();
        serde_json::to_string(&figure.panels).unwrap().contains(&format!("{batcher:?}"))
    };
    assert!(shows("curves", "dynamic"));
    for id in ["course", "stages"] {
        assert!(!shows(id, "dynamic") && shows(id, "exact"), "{id}");
    }
    let has_numbers = |name| report.numbers.rows.iter().any(|row| row.batcher == name);
    assert!(!has_numbers("dynamic") && has_numbers("exact"));
}

/// Rewrites the tables in version 1 of the schema.
fn to_version_1(dir: &Path) {
    let new = ["cell", "repeat", "is_exclusive", "n_attempt", "block", "turn"];
    for table in ["runs", "steps"] {
        for entry in std::fs::read_dir(dir.join("tables").join(table)).unwrap() {
            let path = entry.unwrap().path();
            let file = std::fs::File::open(&path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            let rows: Vec<_> = reader.map(Result::unwrap).collect();
            let schema = rows[0].schema();
            let is_old = |i: &usize| !new.contains(&schema.field(*i).name().as_str());
            let old: Vec<usize> = (0..schema.fields().len()).filter(is_old).collect();
            let schema = std::sync::Arc::new(schema.project(&old).unwrap());
            let file = std::fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
            for rows in &rows {
                writer.write(&rows.project(&old).unwrap()).unwrap();
            }
            writer.close().unwrap();
        }
    }
}

#[test]
fn tables_of_version_1_have_runs_and_no_blocks() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study { n_strategy: 2, ..Study::default() }, |_| ());
    to_version_1(dir.path());
    let results = read(dir.path());
    assert!(results.runs.iter().all(|run| run.run.cell.is_none() && run.steps.blocks.is_empty()));
    let report = Report::of(&results);
    assert_eq!(report.left_out, []);
    assert_eq!(report.verdicts[0].unit, Unit::Seeds { n_seed: 2 });
    assert!(sentence(&report.verdicts[0]).contains("2 seeds are too few"));
}

fn share<'a>(attribution: &'a Attribution, name: &str) -> &'a Share {
    attribution.shares.iter().find(|share| share.batcher == name).unwrap()
}

fn assert_adds_up(attribution: &Attribution) {
    let reference = share(attribution, &attribution.reference).parts.total;
    for share in &attribution.shares {
        let saved: f64 = share.terms.iter().map(|term| term.ns).sum();
        assert!((saved - (reference - share.parts.total)).abs() < 1e-6 * reference, "{share:?}");
        let product: f64 = share.terms.iter().map(|term| term.factor).product();
        assert!((product / share.speed_up - 1.0).abs() < 1e-9, "{share:?}");
        let Parts { total, planning, collation, waiting, work, new_shapes, .. } = share.parts;
        let sum = planning + collation + waiting + work + new_shapes.unwrap_or(0.0);
        assert!((sum / total - 1.0).abs() < 1e-9, "{share:?}");
    }
}

#[test]
fn speed_ups_are_split_into_causes_that_add_up_and_are_true() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study { noise: 0.0, ..Study::default() }, |_| ());
    let report = report(dir.path());
    let [attribution] = &report.attributions[..] else { panic!("one") };
    assert_eq!(attribution.reference, "static-constant", "the slowest");
    assert_adds_up(attribution);
    // Mean slowness of the machine over the blocks of both cells.
    let factor = share(attribution, "exact").parts.planning / PLANNING;
    let (constant, exact) = (strategy("static-constant"), strategy("exact"));
    let unpadded = strategy("dynamic-exact");
    for of in &STRATEGIES {
        let share = share(attribution, of.name);
        let term = |cause| {
            share.terms.iter().find(|term| term.cause == cause).map_or(0.0, |term| term.ns / factor)
        };
        let copied = |of: &Strategy| COPY * of.padded_n_edge as f64 / of.n_graph as f64;
        let is_dynamic = of.name.starts_with("dynamic");
        let twin = if is_dynamic { unpadded } else { exact };
        let padded = (constant.work() - exact.work()) - (of.work() - twin.work());
        let new = NEW_SHAPE * of.n_new_shape as f64 / (10 * of.n_graph) as f64;
        assert_close(term(Cause::Planning), 0.0, "planning");
        assert_close(term(Cause::Collation), copied(constant) - copied(of), "collation");
        assert_close(term(Cause::NewShapes), -new, "new shapes");
        assert_close(term(Cause::PaddedWork), padded, of.name);
        assert_close(term(Cause::GraphsPerStep), exact.work() - twin.work(), of.name);
        assert_eq!(share.missing, None);
        let device = share.parts.device.unwrap();
        assert_close(device.forward / share.parts.work, 0.4, "forward");
    }
}

#[test]
fn what_cannot_be_told_apart_is_said() {
    let dir = tempfile::tempdir().unwrap();
    // Without dynamic-exact.
    let study = Study { n_strategy: 5, timing: "combined", ..Study::default() };
    write(dir.path(), &study, |_| ());
    let questions = Questions { reference: Some("static-64".into()), ..Questions::default() };
    let report = Report::answering(&read(dir.path()), &questions);
    let [attribution] = &report.attributions[..] else { panic!("one") };
    assert_eq!(attribution.reference, "static-64");
    assert_adds_up(attribution);
    let causes = |name| -> Vec<Cause> {
        let terms = share(attribution, name).terms.iter();
        terms.map(|term| term.cause).skip(4).collect()
    };
    assert_eq!(causes("static-2^N"), [Cause::PaddedWork]);
    assert_eq!(causes("dynamic"), [Cause::Work]);
    let over_constant = Report::of(&read(dir.path())).attributions.remove(0);
    assert_eq!(over_constant.reference, "static-constant");
    let terms = &share(&over_constant, "dynamic").terms;
    assert_eq!(terms.last().unwrap().cause, Cause::Grouping, "one rule of padding");
    assert_adds_up(&over_constant);
    let missing = share(attribution, "dynamic").missing.as_deref().unwrap();
    assert!(missing.starts_with("dynamic with padding = \"none\" was not measured"), "{missing}");
    assert_eq!(share(attribution, "static-2^N").missing, None);
    assert!(share(attribution, "dynamic").parts.device.is_none());
    let stages = report.figures.iter().find(|figure| figure.id == "stages").unwrap();
    assert!(stages.note.contains("use timing = \"stages\" to separate them"));
}

/// dynamic-exact has faster steps and a new shape in each of its first 600. At C seconds per shape,
/// dynamic is ahead until its padding has cost as much.
#[test]
fn first_uses_of_shapes_decide_for_short_trainings_and_known_steps_for_long_ones() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Study { n_block: 20, noise: 0.001, ..Study::default() }, |_| ());
    let results = read(dir.path());
    let report = Report::of(&results);
    assert!(report.total_times.iter().all(|total| !total.is_assumed && total.asked.is_none()));
    let shapes = |run: &batchlab_report::Run| {
        let first_steps = match run.run.batcher.as_str() {
            "exact" | "dynamic-exact" => (1..=600).collect(),
            _ => vec![1],
        };
        let (n_step, n_once, n_twice) = (100_000, 0, 0);
        Some(ShapeCurve { first_steps, n_step, n_once, n_twice })
    };
    let questions =
        Questions { compile_cost: Some(0.002), n_step: Some(50_000), ..Questions::default() };
    let asked = Report::planning(&results, &questions, &shapes);
    assert_eq!(asked.verdicts, report.verdicts);
    let [total] = &asked.total_times[..] else { panic!("one") };
    let of = |name: &str| total.strategies.iter().find(|s| s.batcher == name).unwrap();
    let (dynamic, exact) = (of("dynamic"), of("dynamic-exact"));
    assert_close(exact.shape_s.value, 0.002, "assumed");
    let course = |strategy: &batchlab_report::StrategyTime| strategy.course.last().unwrap().2.value;
    let known = exact.known_ns.value + 0.002e9 * 600.0 / (18.0 * 1e7);
    assert_close(course(exact), known, "after ten million steps");

    let crossing = 0.002e9 * 599.0 / 18.0 / (dynamic.known_ns.value - exact.known_ns.value);
    let names = |span: &batchlab_report::Span| -> Vec<&str> {
        span.may_be_fastest.iter().map(|&i| total.strategies[i].batcher.as_str()).collect()
    };
    let sets: Vec<Vec<&str>> = total.spans.iter().map(names).collect();
    assert_eq!(sets.first().unwrap(), &["dynamic"]);
    assert_eq!(sets.last().unwrap(), &["dynamic-exact"]);
    let untold = total.spans.iter().position(|span| names(span).len() == 2).unwrap();
    let (from, to) = (total.spans[untold].from as f64, total.spans[untold + 1].from as f64);
    assert!(from < crossing && crossing < to, "{from} {crossing} {to}");

    let at = total.asked.as_ref().unwrap();
    let set: Vec<&str> =
        at.may_be_fastest.iter().map(|&i| total.strategies[i].batcher.as_str()).collect();
    assert!(crossing < 50_000.0);
    assert_eq!(set, ["dynamic-exact"]);
    assert!(at.over_fastest.iter().all(|o| o.low <= o.value && o.value <= o.high && o.low >= 1.0));
    let page = html(&asked, &results, "");
    assert!(
        page.contains("id=\"total-time\"")
            && page.contains("What first uses of padded shapes cost")
    );
    insta::assert_snapshot!(total_time_text(total));
}

#[test]
fn the_share_for_data_is_batching_in_turn_and_waiting_ahead() {
    let dir = tempfile::tempdir().unwrap();
    for prefetch_depth in [0, 2] {
        let study =
            Study { prefetch_depth, timing: "combined", noise: 0.0, n_cell: 1, ..Study::default() };
        write(dir.path(), &study, |_| ());
    }
    let report = report(dir.path());
    assert_eq!(report.settings.len(), 2, "they are never pooled");
    let percent = |depth| {
        let of = |row: &&batchlab_report::Row| {
            row.batcher == "exact" && report.settings[row.setting].prefetch_depth == depth
        };
        report.numbers.rows.iter().find(of).unwrap().values["data_percent"].unwrap()
    };
    let exact = strategy("exact");
    let (work, copied) = (exact.work(), COPY * 10.0);
    assert_close(percent(0), 100.0 * (PLANNING + copied) / (PLANNING + copied + work), "");
    assert_close(percent(2), 100.0 * 0.1 * copied / (0.1 * copied + work), "");
}

#[test]
fn a_cell_that_is_trained_again_is_not_another_seed() {
    let dir = tempfile::tempdir().unwrap();
    let study = Study { n_cell: 6, ..Study::default() };
    write(dir.path(), &study, |run| {
        (run.seed_split, run.seed_order, run.seed_init) = (Some(0), Some(0), Some(0));
    });
    let report = report(dir.path());
    assert_eq!(report.verdicts[0].unit, Unit::Pairs { n_pair: 3, n_cell: 1 });
    let [left] = &report.left_out[..] else { panic!("{:?}", report.left_out) };
    assert_eq!(left.n_run, 5 * study.n_strategy);
    assert!(left.why.contains("trained again later with the same seeds"), "{}", left.why);
}
