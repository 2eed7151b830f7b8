//! Numbers, environment and commands as tables.

use std::fmt::Write;
use std::path::Path;

use batchlab_core::quote::shell;
use batchlab_draw::escaped;
use batchlab_results::commands;

use crate::attribution::Cause;
use crate::figures::{Figure, Panel, Plot, Point};
use crate::number::{percent, short, significant};
use crate::numbers::{COLUMNS, Row};
use crate::setting::{after_size, size_name};
use crate::total_time::{cost, span_text};
use crate::{GoalTime, Report, Results, TimeToGoal};

pub(super) fn numbers(html: &mut String, report: &Report) {
    html.push_str("<div class=\"scroll\"><table><tr><th>setting</th><th>B</th><th>strategy</th>");
    for column in &COLUMNS {
        let _ = write!(html, "<th>{}</th>", column.title);
    }
    html.push_str("</tr>");
    for Row { setting, batch_size, batcher, values } in &report.numbers.rows {
        let number = |value: &Option<f64>| value.map_or_else(|| "–".to_owned(), precise);
        let numbers = COLUMNS.each_ref().map(|column| number(&values[column.name]));
        let size = size_name(*batch_size);
        let mut row = vec![report.settings[*setting].title.as_str(), &size, batcher];
        row.extend(numbers.iter().map(String::as_str));
        cells(html, &row);
    }
    html.push_str("</table></div>");
}

pub(super) fn points(html: &mut String, figure: &Figure) {
    html.push_str(
        "<details class=\"inner\"><summary>Numbers</summary><div class=\"scroll\"><table><tr>\
         <th>setting</th><th>panel</th><th>strategy</th><th>at</th><th>value</th><th>min</th>\
         <th>max</th></tr>",
    );
    for panel in &figure.panels {
        rows(html, panel);
    }
    html.push_str("</table></div></details>");
}

fn rows(html: &mut String, panel: &Panel) {
    let mut row = |strategy: &str, at: &str, point: &Point| {
        let [value, low, high] = [point.value, point.low, point.high].map(precise);
        cells(html, &[&panel.setting, &panel.title, strategy, at, &value, &low, &high]);
    };
    match &panel.plot {
        Plot::Curves(curves) => {
            for curve in &curves.curves {
                for (step, point) in &curve.points {
                    row(&curve.batcher, &format!("{} {step}", curves.x), point);
                }
            }
        }
        Plot::Stacks(stacks) => {
            for bar in &stacks.bars {
                for (part, value) in stacks.parts.iter().zip(&bar.parts).filter(|(_, v)| **v != 0.0)
                {
                    row(&bar.batcher, part, &Point { value: *value, low: *value, high: *value });
                }
            }
        }
        Plot::Forest(forest) => {
            for one in &forest.rows {
                let (low, high) = one.interval.unwrap_or((one.value, one.value));
                row(&one.batcher, "", &Point { value: one.value, low, high });
            }
        }
        Plot::Heat(heat) => {
            for (pair, cells) in heat.rows.iter().zip(&heat.cells) {
                for (column, cell) in heat.columns.iter().zip(cells) {
                    if let Some(cell) = cell {
                        let value = cell.value;
                        row(pair, column, &Point { value, low: value, high: value });
                    }
                }
            }
        }
    }
}

/// Columns of the table of times to an accuracy or an error. Columns that are empty in every row are omitted.
const REACH: [&str; 14] = [
    "setting",
    "B",
    "goal",
    "strategy",
    "runs that reach it",
    "median s",
    "interval s",
    "coverage",
    "",
    "preparation s",
    "epochs per s",
    "best validation",
    "its test",
    "memory MB",
];

pub(super) fn reaches(html: &mut String, report: &Report) {
    let of_reach = |reach| rows_of_reach(report, reach);
    let rows: Vec<[String; REACH.len()]> = report.reaches.iter().flat_map(of_reach).collect();
    let is_filled = |&column: &usize| rows.iter().any(|row| row[column] != "–");
    let columns: Vec<usize> = (0..REACH.len()).filter(is_filled).collect();
    html.push_str("<div class=\"scroll\"><table><tr>");
    for &column in &columns {
        let _ = write!(html, "<th>{}</th>", REACH[column]);
    }
    html.push_str("</tr>");
    for row in &rows {
        let filled: Vec<&str> = columns.iter().map(|&column| row[column].as_str()).collect();
        cells(html, &filled);
    }
    html.push_str("</table></div>");
    for reach in &report.reaches {
        for note in reach.notes() {
            let title = &report.settings[reach.setting].title;
            let _ = write!(html, "<p>{}: {}.</p>", escaped(title), escaped(&note));
        }
    }
}

fn rows_of_reach(report: &Report, reach: &TimeToGoal) -> Vec<[String; REACH.len()]> {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    let unit = reach.unit.as_deref();
    let value = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| reach.goal.in_words(value, unit))
    };
    let time = |value: Option<f64>| value.map_or_else(|| "not reached".to_owned(), short);
    let row = |strategy: &GoalTime| {
        let (interval, coverage) = match strategy.interval {
            None => ("–".to_owned(), "–".to_owned()),
            Some((low, high, p)) => {
                (format!("{} to {}", time(low), time(high)), format!("{:.1} %", 100.0 * p))
            }
        };
        let place = reach.place_of(strategy);
        [
            report.settings[reach.setting].title.clone(),
            reach.batch_size.map_or_else(|| "–".to_owned(), |size| size.to_string()),
            reach.title(),
            strategy.batcher.clone(),
            format!("{} of {}", strategy.n_reached, strategy.n_run),
            time(strategy.median),
            interval,
            coverage,
            place.to_owned(),
            number(strategy.prepare),
            number(strategy.epochs_per_s),
            value(strategy.best),
            value(strategy.test),
            number(strategy.peak_bytes.map(|bytes| bytes / 1e6)),
        ]
    };
    reach.strategies.iter().map(row).collect()
}

pub(super) fn verdicts(html: &mut String, report: &Report) {
    html.push_str(
        "<details class=\"inner\"><summary>Numbers</summary><div class=\"scroll\"><table><tr>\
         <th>setting</th><th>B</th><th>compared by</th><th>strategy</th><th>times the fastest</th>\
         <th>interval</th><th>total times</th><th>against the reference</th><th>unit</th><th></th><th>error</th></tr>",
    );
    for verdict in &report.verdicts {
        let title = &report.settings[verdict.setting].title;
        let (size, measure) = (size_name(verdict.batch_size), verdict.measure.name());
        for strategy in &verdict.strategies {
            let interval = strategy.interval.map_or_else(|| "–".to_owned(), range);
            let reference = match (&strategy.over_reference, &verdict.reference) {
                (Some((_, ends)), Some(name)) if *name != strategy.batcher => {
                    format!("{} of {name}", range(*ends))
                }
                _ => "–".to_owned(),
            };
            let place = verdict.place_of(strategy);
            let error = match (&verdict.error, strategy.error) {
                (Some(name), Some(error)) => format!("{name} {}", significant(error, 4)),
                _ => "–".to_owned(),
            };
            let (factor, totals) =
                (format!("{:.3}", strategy.factor), format!("{:.3}", strategy.factor_of_totals));
            let unit = verdict.unit.name();
            let name = &strategy.batcher;
            cells(
                html,
                &[
                    title, &size, measure, name, &factor, &interval, &totals, &reference, &unit,
                    place, &error,
                ],
            );
        }
    }
    html.push_str("</table></div></details>");
}

fn range((low, high): (f64, f64)) -> String {
    format!("{low:.3} to {high:.3}")
}

/// Appends a row to a table.
pub(super) fn cells(html: &mut String, cells: &[&str]) {
    html.push_str("<tr>");
    for cell in cells {
        let _ = write!(html, "<td>{}</td>", escaped(cell));
    }
    html.push_str("</tr>");
}

/// Five significant digits.
fn precise(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.abs() >= 1e5 || value.abs() < 1e-3 {
        return short(value);
    }
    significant(value, 5)
}

pub(super) fn attribution(html: &mut String, report: &Report) {
    html.push_str(
        "<details class=\"inner\"><summary>The causes as factors, whose product is the \
         speed-up</summary><div class=\"scroll\"><table><tr><th>setting</th><th>B</th><th>strategy</th>\
         <th>over</th><th>as fast</th>",
    );
    for cause in Cause::ALL {
        let _ = write!(html, "<th>{}</th>", cause.name());
    }
    html.push_str("<th>graphs per step</th></tr>");
    for of in &report.attributions {
        for share in of.shares.iter().filter(|share| share.batcher != of.reference) {
            let factors = Cause::ALL.map(|cause| {
                let term = share.terms.iter().find(|term| term.cause == cause);
                term.map_or_else(|| "–".to_owned(), |term| format!("{:.3}", term.factor))
            });
            let (size, speed_up) = (size_name(of.batch_size), format!("{:.3}", share.speed_up));
            let title = report.settings[of.setting].title.as_str();
            let mut row = vec![title, &size, &share.batcher, &of.reference, &speed_up];
            row.extend(factors.iter().map(String::as_str));
            let outputs = precise(share.parts.outputs_per_step);
            row.push(&outputs);
            cells(html, &row);
        }
    }
    html.push_str("</table></div></details>");
}

/// One row per comparison, including those where first uses of shapes take hardly any time.
pub(super) fn total_times(html: &mut String, report: &Report) {
    html.push_str("<ul>");
    for total in report.total_times.iter().filter(|total| total.matters) {
        let said = after_size(total.batch_size, ": ", &span_text(total));
        let setting = &report.settings[total.setting].title;
        let _ = write!(html, "<li>{}, {}.</li>", escaped(setting), escaped(&said));
    }
    html.push_str(
        "</ul><details class=\"inner\"><summary>What first uses of padded shapes cost</summary>\
         <div class=\"scroll\"><table><tr><th>setting</th><th>B</th><th>strategy</th>\
         <th>µs per graph, shape known</th><th>shapes</th><th>a new shape costs, s</th>\
         <th>share of time</th><th>shapes counted up to step</th></tr>",
    );
    for total in &report.total_times {
        for strategy in &total.strategies {
            let row = [
                report.settings[total.setting].title.clone(),
                size_name(total.batch_size),
                strategy.batcher.clone(),
                precise(strategy.known_ns.value / 1e3),
                short(strategy.n_shape),
                cost(strategy.shape_s),
                percent(strategy.share),
                strategy.n_step_counted.to_string(),
            ];
            cells(html, &row.each_ref().map(String::as_str));
        }
    }
    html.push_str("</table></div></details>");
}

pub(super) fn environment(html: &mut String, report: &Report, results: &Results, command: &str) {
    html.push_str(
        "<section id=\"environment\"><h2>Environment and commands</h2><div class=\"scroll\"><table>\
         <tr><th>setting</th><th>engine</th><th>hardware</th><th>study</th><th>data</th>\
         <th>timing</th><th>runs</th></tr>",
    );
    for setting in &report.settings {
        let n_run: usize = setting.groups.iter().map(|group| group.n_run).sum();
        let hash = setting.dataset_hash.as_deref().unwrap_or("hash not known");
        let ahead = match setting.prefetch_depth {
            0 => "no prefetching".to_owned(),
            n => format!("{n} batches prefetched"),
        };
        let hash: String = hash.chars().take(14).collect();
        let (data, timing) =
            (format!("{}, {hash}", setting.dataset), format!("{}, {ahead}", setting.timing));
        let (title, engine) = (&setting.title, &setting.engine);
        let (hardware, study) = (&setting.hardware, &setting.study);
        cells(html, &[title, engine, hardware, study, &data, &timing, &n_run.to_string()]);
    }
    html.push_str("</table></div>");
    let mut commits: Vec<&str> =
        results.runs.iter().filter_map(|run| run.run.git_commit.as_deref()).collect();
    commits.sort_unstable();
    commits.dedup();
    if !commits.is_empty() {
        let _ = write!(html, "<p>Commits: <code>{}</code></p>", escaped(&commits.join(", ")));
    }
    let _ = write!(html, "<p>This page:</p><pre>{}</pre>", escaped(command));
    html.push_str("<details class=\"inner\"><summary>The runs</summary><pre>");
    // A single command trains all runs of a sweep.
    let mut dirs: Vec<&Path> = Vec::new();
    for run in &results.runs {
        let is_of_sweep = run.run.cell.is_some() && !commands::all(&run.dir).is_empty();
        if is_of_sweep && !dirs.contains(&run.dir.as_path()) {
            dirs.push(&run.dir);
            for command in commands::all(&run.dir) {
                let _ = writeln!(html, "{}", escaped(&command));
            }
        }
        if is_of_sweep {
            continue;
        }
        let config = run.dir.join("runs").join(&run.run.run_id).join("config.toml");
        let config = std::path::absolute(&config).unwrap_or(config);
        let _ = writeln!(html, "batchlab run {}", escaped(&shell(&config)));
    }
    let _ = write!(
        html,
        "</pre></details><details class=\"inner\" id=\"views\"><summary>Views that all queries use (DuckDB, in \
         the folder of the results; `batchlab sql` prints all)</summary><pre>{}</pre></details></section>",
        escaped(&report.views)
    );
}
