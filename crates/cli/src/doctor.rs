//! `batchlab doctor`: make the best of what crashed runs have left.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_experiment::doctor::{Diagnosis, Finding, Patient, Salvage, examine};

use crate::exit::{DATA, OTHER};
use crate::say::say;

/// Publish what runs recorded before they crashed, and find damaged result files.
///
/// Runs that are at work are left alone. Doing it twice changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of a study, such as `results/smoke`.
    dir: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print the findings as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let diagnosis = examine(&arguments.dir, arguments.dry_run)?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&diagnosis)? + "\n";
        std::io::stdout().write_all(text.as_bytes())?;
    } else {
        tell(&diagnosis, arguments);
    }
    let is_stuck = |patient: &Patient| matches!(patient.finding, Finding::Stuck { .. });
    let is_damaged = |patient: &Patient| match &patient.finding {
        Finding::Unreadable { .. } => true,
        Finding::Salvaged(salvage) => salvage.damaged_journal.is_some(),
        _ => false,
    };
    Ok(match () {
        () if diagnosis.runs.iter().any(is_stuck) => OTHER.into(),
        () if !diagnosis.damaged.is_empty() || diagnosis.runs.iter().any(is_damaged) => DATA.into(),
        () => ExitCode::SUCCESS,
    })
}

fn tell(diagnosis: &Diagnosis, arguments: &Arguments) {
    for Patient { run_id, finding } in &diagnosis.runs {
        match finding {
            Finding::AtWork => say!("{run_id}: at work"),
            Finding::Nothing if arguments.dry_run => say!("{run_id}: holds no rows, to be removed"),
            Finding::Nothing => say!("{run_id}: held no rows, removed"),
            Finding::Unreadable { path } => {
                say!(
                    "{run_id}: cannot be salvaged: its journal is damaged from its beginning on: {}",
                    path.display()
                );
            }
            Finding::Stuck { reason } => say!("{run_id}: cannot be salvaged: {reason}"),
            Finding::Salvaged(salvage) => {
                let verb = if arguments.dry_run { "to be salvaged" } else { "salvaged" };
                say!("{run_id}: {verb}: {}", describe(salvage));
                if let Some(path) = &salvage.damaged_journal {
                    say!("  the journal, for whoever can mend it: {}", path.display());
                }
                if salvage.resumes_after.is_some() {
                    let folder = arguments.dir.join("runs").join(run_id);
                    say!("  go on with: batchlab run --resume {}", folder.display());
                }
            }
        }
    }
    for damaged in &diagnosis.damaged {
        say!("{}: damaged: {}", damaged.path.display(), damaged.reason);
    }
    if !diagnosis.damaged.is_empty() {
        say!("move damaged files elsewhere: most readers fail over a whole table for one of them");
    }
    for stray in &diagnosis.strays {
        say!("{}: of no run; nothing was done about it", stray.display());
    }
    let n_whole = diagnosis.n_file - diagnosis.damaged.len();
    say!(
        "{n_whole} of {} files under tables are whole; {} were compared with their checksums",
        diagnosis.n_file,
        diagnosis.n_sealed
    );
}

fn describe(salvage: &Salvage) -> String {
    let rows = salvage.n_row.iter().map(|(table, n)| format!("{n} {table}"));
    let torn = match salvage.torn_bytes {
        0 => String::new(),
        n if salvage.damaged_journal.is_none() => format!("; the last {n} bytes were incomplete"),
        n => format!("; the journal is damaged, {n} bytes from there on were not read"),
    };
    let after = salvage.resumes_after.map(|step| format!("; checkpoint after step {step}"));
    format!(
        "{} after {} steps ({}){torn}{}",
        salvage.status,
        salvage.n_step,
        rows.collect::<Vec<_>>().join(", "),
        after.unwrap_or_default()
    )
}
