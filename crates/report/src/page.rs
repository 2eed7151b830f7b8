//! The page: one file without network access and scripts.

mod tables;

use std::fmt::Write;

use batchlab_draw::{Ground, colors, escaped, text_sizes};

use crate::draw;
use crate::figures::{Figure, Panel};
use crate::setting::size_name;
use crate::verdict::{Significance, Verdict, sentence};
use crate::{Report, Results};

const LAYOUT: &str = include_str!("page/layout.css");

/// The whole report as a self-contained page.
#[must_use]
pub fn html(report: &Report, results: &Results, command: &str) -> String {
    let mut body = String::new();
    head(&mut body, report, results);
    verdict_section(&mut body, report);
    for figure in &report.figures {
        figure_section(&mut body, figure, report);
    }
    tables::environment(&mut body, report, results, command);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Which batching strategy?</title><style>{LAYOUT}{}{}\
         @media (prefers-color-scheme:dark){{{}}}</style></head>\n<body><main>\n{body}</main></body></html>\n",
        text_sizes(draw::TEXT),
        colors(Ground::Light),
        colors(Ground::Dark),
    )
}

fn head(html: &mut String, report: &Report, results: &Results) {
    let n_used: usize = report.settings.iter().flat_map(|s| &s.groups).map(|g| g.n_run).sum();
    let _ = write!(
        html,
        "<h1>Which batching strategy?</h1><p class=\"lead\">{}, of which {} are used, in {}. A \
         setting is what must be equal for times to be compared: engine, hardware, data, model, \
         length of training. Machines and campaigns are never pooled.</p>",
        runs(results.runs.len()),
        n_used,
        match report.settings.len() {
            1 => "1 setting".to_owned(),
            n => format!("{n} settings"),
        },
    );
    if !report.left_out.is_empty() {
        html.push_str("<p>Left out:");
        for (i, left) in report.left_out.iter().enumerate() {
            let comma = if i == 0 { "" } else { ";" };
            let _ = write!(html, "{comma} {} ({})", runs(left.n_run), escaped(&left.why));
        }
        html.push_str(".</p>");
    }
    html.push_str("<nav><a href=\"#verdict\">Verdict</a>");
    for figure in &report.figures {
        let _ = write!(html, "<a href=\"#{}\">{}</a>", figure.id, escaped(figure.title));
    }
    html.push_str("<a href=\"#environment\">Environment</a></nav>");
}

fn verdict_section(html: &mut String, report: &Report) {
    html.push_str("<section id=\"verdict\"><h2>Verdict</h2>");
    if report.verdicts.is_empty() {
        html.push_str(
            "<p>No setting has two strategies at one batch size; there is nothing to compare.</p></section>",
        );
        return;
    }
    let _ = write!(html, "<p class=\"summary\">{}</p>", escaped(&summary(report)));
    html.push_str(
        "<p class=\"note\">Strategies that were trained in turns, in cells, are compared block by \
         block: factors are geometric means of the ratios of blocks. Other factors are ratios of \
         medians over runs. Intervals are 95&nbsp;% bootstrap intervals; the unit of replication is \
         the block, the cell or the run, as stated, never the step. With fewer than five cells they \
         do not cover other seeds. A strategy whose interval \
         contains 1 is not distinguishable from the fastest. Intervals are not corrected for their \
         number: of a hundred, about five miss the true factor. Published repetitions share one seed \
         and vary with the machine only.</p>",
    );
    html.push_str("<div class=\"verdicts\">");
    for (index, setting) in report.settings.iter().enumerate() {
        let own: Vec<&Verdict> = report.verdicts.iter().filter(|v| v.setting == index).collect();
        if own.is_empty() {
            continue;
        }
        let _ = write!(html, "<details open><summary>{}</summary><ul>", escaped(&setting.title));
        for verdict in &own {
            let _ = write!(html, "<li>{}</li>", escaped(&sentence(verdict)));
        }
        html.push_str("</ul>");
        verdict_table(html, &own);
        html.push_str("</details>");
    }
    html.push_str("</div>");
    if report
        .settings
        .iter()
        .flat_map(|s| &s.groups)
        .flat_map(|g| &g.runs)
        .any(|r| r.cell.is_some())
    {
        query(html, &report.verdict_query);
    }
    html.push_str("</section>");
}

fn query(html: &mut String, query: &str) {
    let _ = write!(
        html,
        "<details class=\"inner\"><summary>Query (DuckDB, in the folder of the results)</summary>\
         <pre>{}</pre></details>",
        escaped(query)
    );
}

fn verdict_table(html: &mut String, verdicts: &[&Verdict]) {
    html.push_str(
        "<details class=\"inner\"><summary>All factors</summary><div class=\"scroll\"><table><tr><th>B</th>\
         <th>compared by</th><th>fastest</th><th>strategy</th><th>slower by</th><th>95 % interval</th>\
         <th>measured by</th><th></th></tr>",
    );
    for verdict in verdicts {
        for comparison in &verdict.comparisons {
            let interval = comparison
                .interval
                .map_or_else(|| "–".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
            let significance = match comparison.significance {
                Significance::Slower => "slower",
                Significance::NotDistinguishable => "not distinguishable",
                Significance::TooFew => "too few",
            };
            let (size, measure) = (size_name(verdict.batch_size), verdict.measure.name());
            let (best, other) = (&verdict.best, &comparison.batcher);
            let (factor, unit) = (format!("{:.3}", comparison.factor), comparison.unit.name());
            tables::cells(
                html,
                &[&size, measure, best, other, &factor, &interval, &unit, significance],
            );
        }
    }
    html.push_str("</table></div></details>");
}

/// How often each strategy is the fastest, and the greatest factor.
fn summary(report: &Report) -> String {
    let clear = report.verdicts.iter().filter(|verdict| verdict.is_clear());
    let mut wins: Vec<(&str, usize)> = Vec::new();
    for verdict in clear.clone() {
        match wins.iter_mut().find(|(name, _)| *name == verdict.best) {
            Some((_, n)) => *n += 1,
            None => wins.push((&verdict.best, 1)),
        }
    }
    wins.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let (n_clear, n) = (clear.count(), report.verdicts.len());
    let n_few = report
        .verdicts
        .iter()
        .filter(|v| {
            v.comparisons.iter().any(|comparison| comparison.significance == Significance::TooFew)
        })
        .count();
    let mut text = match (n_clear, n) {
        (_, 0) => return "No setting has two strategies at one batch size to compare.".to_owned(),
        (0, 1) => {
            "In the only comparison (a setting at one batch size) no strategy is faster than all \
                   others with 95 % intervals above 1"
                .to_owned()
        }
        (0, n) => format!(
            "In none of {n} comparisons (a setting at one batch size) is one strategy faster than all \
             others with 95 % intervals above 1"
        ),
        (n_clear, n) => format!(
            "In {n_clear} of {n} comparisons (a setting at one batch size) one strategy is faster than \
             all others with 95 % intervals above 1"
        ),
    };
    if !wins.is_empty() {
        let wins: Vec<String> = wins.iter().map(|(name, n)| format!("{name} in {n}")).collect();
        let _ = write!(text, ": {}", wins.join(", "));
    }
    text.push('.');
    if n_few > 0 {
        let _ = write!(text, " In {n_few} there are too few blocks or runs to decide.");
    }
    let n_equal = n - n_clear - n_few;
    if n_equal > 0 {
        let _ = write!(text, " In {n_equal} the fastest is not distinguishable from the next.");
    }
    let slower = |verdict: &&Verdict| {
        verdict.slowest().is_some_and(|comparison| comparison.significance == Significance::Slower)
    };
    let factor = |verdict: &&Verdict| verdict.slowest().map_or(1.0, |comparison| comparison.factor);
    let greatest =
        report.verdicts.iter().filter(slower).max_by(|a, b| factor(a).total_cmp(&factor(b)));
    if let Some(verdict) = greatest {
        let _ = write!(
            text,
            " The greatest factor between the slowest and the fastest strategy is in {}: {}",
            report.settings[verdict.setting].title,
            sentence(verdict)
        );
    }
    text
}

fn figure_section(html: &mut String, figure: &Figure, report: &Report) {
    let _ = write!(
        html,
        "<section id=\"{}\"><h2>{}</h2><p class=\"note\">{}</p>",
        figure.id,
        escaped(figure.title),
        escaped(&figure.note)
    );
    if figure.panels.is_empty() {
        html.push_str(
            "<p class=\"nothing\">None of these results has the numbers for this figure.</p>",
        );
    } else {
        let _ = write!(html, "<p class=\"legend\">{}</p>", draw::legend(figure));
    }
    if figure.is_flat() {
        panels(html, figure, &figure.panels);
    } else {
        for of_setting in figure.by_setting() {
            let _ = write!(html, "<h3>{}</h3>", escaped(&of_setting[0].setting));
            panels(html, figure, of_setting);
        }
    }
    if !figure.panels.is_empty() {
        match figure.id {
            "attribution" => tables::attribution(html, report),
            "what-if" => tables::what_if(html, report),
            _ => {}
        }
        tables::numbers(html, figure);
        query(html, &figure.query);
    }
    html.push_str("</section>");
}

fn panels(html: &mut String, figure: &Figure, panels: &[Panel]) {
    html.push_str("<div class=\"panels\">");
    for panel in panels {
        html.push_str(&draw::inline(panel, figure));
    }
    html.push_str("</div>");
}

fn runs(n: usize) -> String {
    if n == 1 { "1 run".to_owned() } else { format!("{n} runs") }
}
