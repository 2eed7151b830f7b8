//! Numbers, environment and commands as tables.

use std::fmt::Write;

use crate::draw::escaped;
use crate::figures::{Figure, Panel, Plot, Point};
use crate::number::{short, significant};
use crate::{Report, Results};

/// The numbers of a figure.
pub(super) fn numbers(html: &mut String, figure: &Figure) {
    html.push_str(
        "<details class=\"inner\"><summary>Numbers</summary><div class=\"scroll\"><table><tr>\
         <th>setting</th><th>panel</th><th>strategy</th><th>at</th><th>value</th><th>least run</th>\
         <th>greatest run</th></tr>",
    );
    for panel in &figure.panels {
        rows(html, panel);
    }
    html.push_str("</table></div></details>");
}

fn rows(html: &mut String, panel: &Panel) {
    let mut row = |strategy: &str, at: &str, point: &Point| {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&panel.setting),
            escaped(&panel.title),
            escaped(strategy),
            escaped(at),
            precise(point.value),
            precise(point.low),
            precise(point.high)
        );
    };
    match &panel.plot {
        Plot::Lines(chart) | Plot::Bars(chart) => {
            for series in &chart.series {
                for (x, point) in chart.x.iter().zip(&series.points) {
                    if let Some(point) = point {
                        row(&series.batcher, &format!("B = {x}"), point);
                    }
                }
            }
        }
        Plot::Curves(curves) => {
            for curve in &curves.curves {
                for (step, point) in &curve.points {
                    row(&curve.batcher, &format!("step {step}"), point);
                }
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

/// Five significant digits.
fn precise(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.abs() >= 1e5 || value.abs() < 1e-3 {
        return short(value);
    }
    significant(value, 5)
}

/// Where the numbers come from, and how to make them again.
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
            0 => "batches in turn".to_owned(),
            n => format!("{n} batches ahead"),
        };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}, {}</td><td>{}, {ahead}</td><td>{n_run}</td></tr>",
            escaped(&setting.title),
            escaped(&setting.engine),
            escaped(&setting.hardware),
            escaped(&setting.study),
            escaped(&setting.dataset),
            escaped(&hash.chars().take(14).collect::<String>()),
            escaped(&setting.timing),
        );
    }
    html.push_str("</table></div>");
    let mut commits: Vec<&str> =
        results.runs.iter().filter_map(|run| run.git_commit.as_deref()).collect();
    commits.sort_unstable();
    commits.dedup();
    if !commits.is_empty() {
        let _ = write!(html, "<p>Commits: <code>{}</code></p>", escaped(&commits.join(", ")));
    }
    let _ = write!(html, "<p>This page:</p><pre>{}</pre>", escaped(command));
    html.push_str("<details class=\"inner\"><summary>The runs</summary><pre>");
    let mut imported: Vec<&str> = Vec::new();
    for run in &results.runs {
        if !run.is_imported {
            let config = run.dir.join("runs").join(&run.run_id).join("config.toml");
            let _ = writeln!(html, "batchlab run {}", escaped(&config.display().to_string()));
        } else if !imported.contains(&run.study.as_str()) {
            imported.push(&run.study);
        }
    }
    if !imported.is_empty() {
        let files: Vec<String> = imported.iter().map(|study| format!("{study}.csv")).collect();
        let _ = writeln!(html, "batchlab import {} --out DIR", escaped(&files.join(" ")));
    }
    html.push_str("</pre></details></section>");
}
