//! `batchlab report`: from results to verdicts, figures and one page.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use batchlab_forecast::picture::png;
use batchlab_report::{Report, ReportError, Results, html, picture, sentence};

use crate::exit::{DataFault, Usage};
use crate::say::say;

/// Compare the strategies in results: verdicts, figures, one page to send on.
///
/// Results of several machines are read together and grouped, never pooled. Without --json, the
/// verdicts are printed. docs/report.md says how every number is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folders of results, each with `tables/`.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Write a self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write every figure as a picture into this folder.
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// Print all settings, verdicts and figures with their numbers as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let results = Results::read(&arguments.dirs).map_err(fault)?;
    let report = Report::of(&results);
    if let Some(path) = &arguments.html {
        write(path, html(&report, &results, &command(arguments)).as_bytes())?;
        say!("page in {}", path.display());
    }
    if let Some(folder) = &arguments.png {
        pictures(folder, &report)?;
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        verdicts(&report)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn fault(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::NoTables { .. } => Usage(error.to_string()).into(),
        error => DataFault::of(error).into(),
    }
}

fn verdicts(report: &Report) -> String {
    let mut text = String::new();
    for (index, setting) in report.settings.iter().enumerate() {
        let _ = writeln!(text, "{}", setting.title);
        let mut own = report.verdicts.iter().filter(|verdict| verdict.setting == index).peekable();
        if own.peek().is_none() {
            text += "  one strategy at each batch size; nothing to compare\n";
        }
        for verdict in own {
            let _ = writeln!(text, "  {}", sentence(verdict));
        }
    }
    for left in &report.left_out {
        let _ = writeln!(text, "left out: {} runs ({})", left.n_run, left.why);
    }
    text
}

fn pictures(folder: &Path, report: &Report) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut n = 0;
    for figure in &report.figures {
        if let Some(svg) = picture(figure) {
            let bytes = png(&svg).with_context(|| format!("figure {}", figure.id))?;
            write(&folder.join(format!("{}.png", figure.id)), &bytes)?;
            n += 1;
        }
    }
    say!("{n} pictures in {}", folder.display());
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The command that makes this page again.
fn command(arguments: &Arguments) -> String {
    let mut words = vec!["batchlab".to_owned(), "report".to_owned()];
    words.extend(arguments.dirs.iter().map(|dir| quoted(dir)));
    for (option, path) in [("--html", &arguments.html), ("--png", &arguments.png)] {
        if let Some(path) = path {
            words.extend([option.to_owned(), quoted(path)]);
        }
    }
    words.join(" ")
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,@".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}
