//! The page: a single file that needs no network access and no scripts.

mod tables;

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use batchlab_core::record::Timestamp;
use batchlab_draw::{Ground, colors, escaped, text_sizes};
use batchlab_stats::mean;

use crate::draw;
use crate::figures::{Figure, Panel};
use crate::number::{count, percent, short};
use crate::verdict::{Verdict, caveats, sentence};
use crate::{Report, Results};

/// The beginning of every page, by which a page of this program is recognised.
pub const PAGE_BEGIN: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"generator\" content=\"batchlab\">";

const LAYOUT: &str = include_str!("page/layout.css");

/// The whole report as a self-contained page.
#[must_use]
pub fn html(report: &Report, results: &Results, command: &str) -> String {
    let mut body = String::new();
    head(&mut body, report, results);
    verdict_section(&mut body, report);
    contents(&mut body, report);
    for figure in report.figures.iter().filter(|figure| figure.id != "verdict") {
        figure_section(&mut body, figure, report);
    }
    numbers_section(&mut body, report);
    tables::environment(&mut body, report, results, command);
    format!(
        "{PAGE_BEGIN}<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
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
    let settings = match report.settings.len() {
        1 => "1 setting".to_owned(),
        n => format!("{n} settings"),
    };
    let _ = write!(
        html,
        "<h1>Which batching strategy?</h1><p class=\"lead\">{}</p><p class=\"note\">{}, of which \
         {n_used} are used, in {settings}. A setting is what must be equal for times to be compared: \
         engine, hardware, data, model, length of training. Machines and campaigns are never pooled.</p>",
        escaped(&origin(report, results)),
        count(results.runs.len(), "run"),
    );
    if !report.left_out.is_empty() {
        html.push_str("<p>Left out:");
        for (i, left) in report.left_out.iter().enumerate() {
            let comma = if i == 0 { "" } else { ";" };
            let _ = write!(html, "{comma} {} ({})", count(left.n_run, "run"), escaped(&left.why));
        }
        html.push_str(".</p>");
    }
    if report.n_unverified > 0 {
        let n = count(report.n_unverified, "run");
        let _ = write!(html, "<p>Used without checksums: {n}.</p>");
    }
}

fn contents(html: &mut String, report: &Report) {
    html.push_str("<nav>");
    for figure in &report.figures {
        let _ = write!(html, "<a href=\"#{}\">{}</a>", figure.id, escaped(figure.title));
    }
    html.push_str("<a href=\"#numbers\">Each strategy in numbers</a>");
    html.push_str("<a href=\"#environment\">Environment</a></nav>");
}

/// Studies, dates and machines.
fn origin(report: &Report, results: &Results) -> String {
    let listed = |values: &mut Vec<String>| {
        values.sort_unstable();
        values.dedup();
        match values.len() {
            n if n > 3 => format!("{}, ... ({n})", values[..3].join(", ")),
            _ => values.join(", "),
        }
    };
    let settings = || report.settings.iter();
    let mut studies: Vec<String> = settings().map(|setting| setting.study.clone()).collect();
    let mut machines: Vec<String> = settings().map(|setting| setting.hardware.clone()).collect();
    let mut days: Vec<String> =
        results.runs.iter().filter_map(|run| Some(day(run.run.started_at?))).collect();
    days.sort_unstable();
    let days = match (days.first(), days.last()) {
        (Some(first), Some(last)) if first == last => format!(" · {first}"),
        (Some(first), Some(last)) => format!(" · {first} to {last}"),
        _ => String::new(),
    };
    let loads =
        || results.runs.iter().flat_map(|run| &run.conditions).filter_map(|block| block.load);
    let load = mean(&loads().collect::<Vec<_>>()).map_or_else(String::new, |mean| {
        let most = short(loads().fold(0.0, f64::max));
        format!(
            " · other processes kept {} processors busy on average, at most {most}",
            short(mean)
        )
    });
    format!("{}{days} · {}{load}", listed(&mut studies), listed(&mut machines))
}

/// `2026-11-22`.
fn day(time: Timestamp) -> String {
    /// The end of the year 9999; later times do not fit the format.
    const LAST: u64 = 253_402_300_799_000_000;
    let since = Duration::from_micros(time.0.try_into().unwrap_or(0).min(LAST));
    let text = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string();
    text.chars().take(10).collect()
}

fn verdict_section(html: &mut String, report: &Report) {
    html.push_str("<section id=\"verdict\"><h2>Verdict</h2>");
    let figure = report.figures.iter().find(|figure| figure.id == "verdict");
    let Some(figure) = figure.filter(|_| !report.verdicts.is_empty()) else {
        html.push_str(if report.reaches.is_empty() {
            "<p>No setting has two strategies at one batch size; there is nothing to compare.</p></section>"
        } else {
            "<p>No setting has two strategies whose batches contain everything that their outputs depend on. \
             For the others, a fast step alone is no advantage: they are compared by the <a \
             href=\"#reach\">time to an accuracy</a>.</p></section>"
        });
        return;
    };
    let _ = write!(html, "<p class=\"summary\">{}</p>", escaped(&summary(report)));
    for (index, setting) in report.settings.iter().enumerate() {
        let own: Vec<&Verdict> = report.verdicts.iter().filter(|v| v.setting == index).collect();
        if own.is_empty() {
            continue;
        }
        let _ = write!(html, "<h3>{}</h3>", escaped(&setting.title));
        let of_setting: Vec<Panel> =
            figure.panels.iter().filter(|panel| panel.setting == setting.title).cloned().collect();
        panels(html, figure, &of_setting);
        html.push_str("<ul>");
        for verdict in &own {
            let caveats = caveats(verdict).join(" ");
            let (sentence, caveats) = (escaped(&sentence(verdict)), escaped(&caveats));
            let _ = write!(html, "<li>{sentence} <span class=\"grey-text\">{caveats}</span></li>");
        }
        html.push_str("</ul>");
    }
    html.push_str(HOW_TO_READ);
    tables::verdicts(html, report);
    query(html, &figure.query);
    html.push_str("</section>");
}

const HOW_TO_READ: &str = "\
<details class=\"inner\"><summary>How to read this</summary>\
<p class=\"note\">A line is the interval of a strategy's time per real graph relative to the fastest, \
whichever that is; the grey band is the margin within which strategies count as equal. A filled mark and a \
bold name may be the fastest; a hollow mark is slower. The values compared are mean logarithms of the times \
of a mirrored pair of blocks: two blocks, the second of which trains the strategies in reverse order. With \
five or more cells, the unit of replication is the cell, and the result holds for other seeds too. All \
intervals of one comparison hold simultaneously at 95&nbsp;%: the best of a sample is never the reference of \
its own test. Each comparison has its own 5&nbsp;%.</p></details>";

fn query(html: &mut String, query: &str) {
    let _ = write!(
        html,
        "<details class=\"inner\"><summary>Query (DuckDB, after the <a href=\"#views\">views</a> that all \
         queries use)</summary><pre>{}</pre></details>",
        escaped(query)
    );
}

/// How often each strategy is the fastest, and the largest factor.
fn summary(report: &Report) -> String {
    let verdicts = &report.verdicts;
    let fastest = verdicts.iter().filter_map(|verdict| Some(verdict.fastest()?.batcher.as_str()));
    let mut wins: Vec<(&str, usize)> = Vec::new();
    for name in fastest {
        match wins.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => wins.push((name, 1)),
        }
    }
    wins.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let n_fastest: usize = wins.iter().map(|(_, n)| n).sum();
    let n_tie = verdicts.iter().filter(|verdict| verdict.is_tie()).count();
    let n_few = verdicts.iter().filter(|verdict| !verdict.has_intervals()).count();
    let n_open = verdicts.len() - n_fastest - n_tie - n_few;
    let mut parts = Vec::new();
    if n_fastest > 0 {
        let wins: Vec<String> = wins.iter().map(|(name, n)| format!("{name} {n} times")).collect();
        parts.push(format!("in {n_fastest} one strategy is the fastest ({})", wins.join(", ")));
    }
    let margin = percent(verdicts.first().map_or(0.0, |verdict| verdict.margin));
    for (n, what) in [
        (n_tie, format!("the fastest are equal within {margin}")),
        (n_open, "the fastest cannot be told apart".to_owned()),
        (n_few, "there are too few pairs or runs to say".to_owned()),
    ] {
        if n > 0 {
            parts.push(format!("in {n} {what}"));
        }
    }
    let n = verdicts.len();
    let comparisons = count(n, "comparison");
    let mut text = format!("{comparisons} (a setting at one batch size): {}.", parts.join("; "));
    let low = |verdict: &&Verdict| verdict.strategies.last()?.interval.map(|(low, _)| low);
    let greatest = verdicts
        .iter()
        .filter_map(|verdict| Some((verdict, low(&verdict)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, low)| *low > 1.0);
    if let Some((verdict, _)) = greatest {
        let title = &report.settings[verdict.setting].title;
        let _ = write!(text, " The largest difference is in {title}: {}", sentence(verdict));
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
    if !figure.panels.is_empty() {
        let _ = write!(html, "<p class=\"legend\">{}</p>", draw::legend(figure));
    }
    if figure.is_flat() {
        html.push_str("<div class=\"panels\">");
        for panel in &figure.panels {
            let svg = draw::inline(panel, figure);
            let _ = write!(html, "<div><h3>{}</h3>{svg}</div>", escaped(&panel.setting));
        }
        html.push_str("</div>");
    } else {
        for of_setting in figure.by_setting() {
            let _ = write!(html, "<h3>{}</h3>", escaped(&of_setting[0].setting));
            panels(html, figure, of_setting);
        }
    }
    match figure.id {
        // Its table also includes the comparisons without a panel.
        "total-time" => tables::total_times(html, report),
        _ if figure.panels.is_empty() => html.push_str(
            "<p class=\"nothing\">None of these results has the numbers for this figure.</p>",
        ),
        id => {
            match id {
                "attribution" => tables::attribution(html, report),
                "reach" => tables::reaches(html, report),
                _ => {}
            }
            tables::points(html, figure);
        }
    }
    if !figure.panels.is_empty() || figure.id == "total-time" {
        query(html, &figure.query);
    }
    html.push_str("</section>");
}

fn numbers_section(html: &mut String, report: &Report) {
    html.push_str(
        "<section id=\"numbers\"><h2>Each strategy in numbers</h2><p class=\"note\">Rates are of real outputs \
         and edges: strategies put different numbers of outputs into a step, so a short step alone says \
         little. Batching is planning and copying; update is the rest of a step. A mean far above its median \
         indicates a few slow steps, such as the first ones of a shape. The share is the part of a step spent \
         planning and copying its batch, or waiting for it if batches are prepared ahead. Padding goes through \
         the same computation as real nodes and edges. Warm-up is excluded. Rates and shares are medians over \
         runs, everything else means.</p>",
    );
    tables::numbers(html, report);
    query(html, &report.numbers.query);
    html.push_str("</section>");
}

fn panels(html: &mut String, figure: &Figure, panels: &[Panel]) {
    html.push_str("<div class=\"panels\">");
    for panel in panels {
        html.push_str(&draw::inline(panel, figure));
    }
    html.push_str("</div>");
}
