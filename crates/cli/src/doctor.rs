//! `batchlab doctor`: recovers crashed runs and checks result files.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_core::quote::shell;
use batchlab_results::recover::{CrashedRun, Finding, Recovery, RecoveryReport, Salvage};
use batchlab_run::checkpoint::newest_with_rows;

use crate::exit::{DATA, OTHER};
use crate::output::{json, print};
use crate::say::say;

/// Publish what crashed runs recorded, and find damaged result files.
///
/// Runs in progress are left alone. Running it a second time changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of a study, such as `results/smoke`.
    dir: PathBuf,
    /// Only report what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print the findings as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let recovery = Recovery { dry_run: arguments.dry_run, newest_checkpoint: &newest_with_rows };
    let report = recovery.recover(&arguments.dir)?;
    if arguments.json {
        let text = json(&report)?;
        print(&text)?;
    } else {
        print_report(&report, arguments);
    }
    let is_stuck = |run: &CrashedRun| matches!(run.finding, Finding::Stuck { .. });
    let is_damaged = |run: &CrashedRun| match &run.finding {
        Finding::Unreadable { .. } => true,
        Finding::Salvaged(salvage) => salvage.damaged_journal.is_some(),
        _ => false,
    };
    Ok(match () {
        () if report.runs.iter().any(is_stuck) => OTHER.into(),
        () if !report.damaged.is_empty() || report.runs.iter().any(is_damaged) => DATA.into(),
        () => ExitCode::SUCCESS,
    })
}

fn print_report(report: &RecoveryReport, arguments: &Arguments) {
    for CrashedRun { run_id, finding } in &report.runs {
        match finding {
            Finding::Running => say!("{run_id}: running"),
            Finding::Nothing if arguments.dry_run => say!("{run_id}: holds no rows, to be removed"),
            Finding::Nothing => say!("{run_id}: held no rows, removed"),
            Finding::Unreadable { path } => {
                say!(
                    "{run_id}: cannot be salvaged: its journal is damaged from its beginning: {}",
                    path.display()
                );
            }
            Finding::Stuck { reason } => say!("{run_id}: cannot be salvaged: {reason}"),
            Finding::Salvaged(salvage) => {
                let verb = if arguments.dry_run { "to be salvaged" } else { "salvaged" };
                say!("{run_id}: {verb}: {}", describe(salvage));
                if let Some(path) = &salvage.damaged_journal {
                    say!("  the damaged journal is kept: {}", path.display());
                }
                if salvage.resumes_after.is_some() {
                    let folder = arguments.dir.join("runs").join(run_id);
                    say!("  continue with: batchlab run --resume {}", shell(&folder));
                }
            }
        }
    }
    for damaged in &report.damaged {
        say!("{}: damaged: {}", damaged.path.display(), damaged.reason);
    }
    if !report.damaged.is_empty() {
        say!(
            "move damaged files out of tables/: most readers refuse a whole table because of one of them"
        );
    }
    for stray in &report.strays {
        say!("{}: not part of any run; left unchanged", stray.display());
    }
    let n_whole = report.n_file - report.damaged.len();
    say!(
        "{n_whole} of {} files under tables are undamaged; {} were compared with their checksums",
        report.n_file,
        report.n_verified
    );
}

fn describe(salvage: &Salvage) -> String {
    let rows = salvage.n_row.iter().map(|(table, n)| format!("{n} {table}"));
    let mut torn = String::new();
    if salvage.torn_bytes > 0 {
        let _ = write!(torn, "; the last {} bytes were incomplete", salvage.torn_bytes);
    }
    if salvage.damaged_bytes > 0 {
        let _ = write!(torn, "; {} bytes of the journal are damaged", salvage.damaged_bytes);
    }
    if let Some(n_step) = salvage.n_step_kept {
        let _ = write!(torn, "; the tables are left as they are: they hold {n_step} steps");
    }
    let after = salvage.resumes_after.map(|step| format!("; checkpoint after step {step}"));
    format!(
        "{} after {} steps ({}){torn}{}",
        salvage.status,
        salvage.n_step,
        rows.collect::<Vec<_>>().join(", "),
        after.unwrap_or_default()
    )
}
