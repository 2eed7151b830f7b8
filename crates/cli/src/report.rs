//! `batchlab report`: verdicts and figures from results.

mod shapes;

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use batchlab_draw::png;
use batchlab_report::{
    Questions, Report, ReportError, Results, batchers, count, html, picture, settings,
    total_time_text,
};
use batchlab_results::ResultsError;

use crate::exit::{DataFault, Usage};
use crate::out_file::{Force, Kind, OutFile, own_folder_around};
use crate::output::{json, print};
use crate::say::say;
use crate::share::share;
use crate::shell::{self, absolute};
use shapes::Planner;

/// At most so many reasons for leaving out runs are listed: every damaged run has its own.
const MAX_LEFT_OUT: usize = 10;

/// Compare the strategies in results: verdicts, figures, and a self-contained page.
///
/// Results of several machines are grouped, never pooled. Without --json, the verdicts are printed.
/// docs/report.md defines every number.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Results directories, each with `tables/`.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Write a self-contained HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write every figure as a picture into this directory.
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// Strategy to compare all others with, such as `static-64`, named before looking at the
    /// results. By default it is the fastest one, and speed-ups are attributed relative to the
    /// slowest.
    #[arg(long, value_name = "LABEL")]
    reference: Option<String>,
    /// Differences up to this share count as equal; 2% by default.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    margin: Option<f64>,
    /// Length of training, in steps, at which to compare strategies, including the cost of first
    /// uses of padded shapes up to then.
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroU64>,
    /// Assumed cost in seconds of each padded shape for batchlab's own engine, as if it compiled
    /// like XLA.
    ///
    /// From published times on an A100: about 2 s for SchNet, 2.4 s for MPEU, 10 s for PaiNN. As an
    /// assumption it never enters a verdict. For other engines the cost is measured.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    compile_cost: Option<f64>,
    /// Validation accuracy, such as 70%, for comparing times to accuracy. By default the highest
    /// that every strategy reaches in more than half of its runs.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    accuracy: Option<f64>,
    /// Validation RMSE, in the unit of the target, for comparing the times until it is reached.
    #[arg(long, value_name = "RMSE", value_parser = rmse)]
    error: Option<f64>,
    /// Print all settings, verdicts and figures with their numbers as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    force: Force,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let page = OutFile::of(arguments.html.as_ref(), Kind::Page, arguments.force)?;
    if let Some(own) = arguments.png.as_deref().and_then(own_folder_around) {
        return Err(
            Usage(format!("only runs write into {}; name another folder", own.display())).into()
        );
    }
    let results = Results::read(&arguments.dirs).map_err(fault)?;
    if let Some(reference) = &arguments.reference {
        let known = batchers(&settings(&results));
        if !known.contains(reference) {
            let known = known.join(", ");
            return Err(
                Usage(format!("there is no strategy \"{reference}\"; there are {known}")).into()
            );
        }
    }
    let Arguments { margin, compile_cost, accuracy, error, .. } = *arguments;
    let margin = margin.unwrap_or(Questions::default().margin);
    let reference = arguments.reference.clone();
    let n_step = arguments.steps.map(NonZeroU64::get);
    let questions = Questions { reference, margin, compile_cost, n_step, accuracy, error };
    let report = answer(&results, &questions);
    if let Some(page) = page {
        let place = page.write(html(&report, &results, &command(arguments)).as_bytes())?;
        say!("page in {place}");
    }
    if let Some(folder) = &arguments.png {
        pictures(folder, &report, arguments.force)?;
    }
    let text = if arguments.json { json(&report)? } else { verdicts(&report) };
    print(&text)
}

/// A report that plans shapes beyond the steps of the runs where that matters.
pub(crate) fn answer(results: &Results, questions: &Questions) -> Report {
    let planner = Planner::new(questions.n_step);
    let report = Report::planning(results, questions, &|run| planner.plan(run));
    planner.say_what_failed();
    report
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if seconds.is_finite() && seconds > 0.0 {
        Ok(seconds)
    } else {
        Err(format!("{text} s is not a cost; give seconds above 0, for example 2"))
    }
}

fn rmse(text: &str) -> Result<f64, String> {
    let rmse: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if rmse.is_finite() && rmse > 0.0 {
        Ok(rmse)
    } else {
        Err(format!("{text} is not an error; give a number above 0, for example 1.5"))
    }
}

fn fault(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Results(ResultsError::NoTables { .. }) => Usage(error.to_string()).into(),
        error => DataFault::of(error).into(),
    }
}

/// The printed verdicts, also used at the end of a sweep.
pub(crate) fn verdicts(report: &Report) -> String {
    let mut text = String::new();
    for (index, setting) in report.settings.iter().enumerate() {
        let _ = writeln!(text, "{}", setting.title);
        if setting.is_debug() {
            text += "  debug build: a release build may order the strategies otherwise\n";
        }
        let mut own = report.verdicts.iter().filter(|verdict| verdict.setting == index).peekable();
        let mut reaches = report.reaches.iter().filter(|reach| reach.setting == index).peekable();
        if own.peek().is_none() && reaches.peek().is_none() {
            let is_alone = |size: &Option<i64>| setting.at(*size).count() < 2;
            text += if setting.batch_sizes().iter().all(is_alone) {
                "  one strategy at each batch size; nothing to compare\n"
            } else {
                "  no times that can be compared\n"
            };
        }
        for verdict in own {
            text += &batchlab_report::text(verdict);
        }
        let totals = report.total_times.iter().filter(|total| total.setting == index);
        for total in totals.filter(|total| total.matters) {
            text += &total_time_text(total);
        }
        for reach in reaches {
            text += &batchlab_report::reach_text(reach);
        }
    }
    for left in report.left_out.iter().take(MAX_LEFT_OUT) {
        let _ = writeln!(text, "left out: {} ({})", count(left.n_run, "run"), left.why);
    }
    let others: usize = report.left_out.iter().skip(MAX_LEFT_OUT).map(|left| left.n_run).sum();
    if others > 0 {
        let _ = writeln!(text, "left out: {} more (--json says why)", count(others, "run"));
    }
    if report.n_unverified > 0 {
        let _ = writeln!(text, "used without checksums: {}", count(report.n_unverified, "run"));
    }
    text
}

fn pictures(folder: &Path, report: &Report, force: Force) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut n = 0;
    for figure in &report.figures {
        if let Some(svg) = picture(figure) {
            let bytes = png(&svg).with_context(|| format!("figure {}", figure.id))?;
            let path = folder.join(format!("{}.png", figure.id));
            OutFile::new(&path, Kind::Png, force)?.write(&bytes)?;
            n += 1;
        }
    }
    say!("{n} pictures in {}", folder.display());
    Ok(())
}

/// The command that reproduces this page, from any directory.
fn command(arguments: &Arguments) -> String {
    let mut words = vec!["report".to_owned()];
    words.extend(arguments.dirs.iter().map(|dir| absolute(dir)));
    for (option, path) in [("--html", &arguments.html), ("--png", &arguments.png)] {
        if let Some(path) = path {
            words.extend([option.to_owned(), absolute(path)]);
        }
    }
    if let Some(reference) = &arguments.reference {
        words.extend(["--reference".to_owned(), reference.clone()]);
    }
    if let Some(margin) = arguments.margin {
        words.extend(["--margin".to_owned(), margin.to_string()]);
    }
    if let Some(cost) = arguments.compile_cost {
        words.extend(["--compile-cost".to_owned(), cost.to_string()]);
    }
    if let Some(n_step) = arguments.steps {
        words.extend(["--steps".to_owned(), n_step.to_string()]);
    }
    if let Some(accuracy) = arguments.accuracy {
        words.extend(["--accuracy".to_owned(), accuracy.to_string()]);
    }
    if let Some(error) = arguments.error {
        words.extend(["--error".to_owned(), error.to_string()]);
    }
    shell::command(words)
}
