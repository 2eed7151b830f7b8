//! The command line of batchlab, as a library.
//!
//! A crate with its own plugins links them along with the built-in ones in three lines:
//!
//! ```no_run
//! // use my_batcher as _;
//! fn main() -> std::process::ExitCode {
//!     batchlab_cli::main()
//! }
//! ```
//!
//! Results and machine-readable output go to standard output, messages to standard error.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what a command line does")]

mod bench;
mod check;
mod compare;
mod configuration;
mod data;
mod doctor;
mod engine;
mod evaluate;
mod exit;
mod explain;
mod export;
mod invocation;
mod list;
mod named;
mod new;
mod out_file;
mod output;
mod plan;
mod predict;
mod progress;
mod report;
mod run;
mod say;
mod schema;
mod share;
mod shell;
mod signals;
mod slurm;
mod sql;
mod status;
mod sweep;
mod trained;
mod unit;
mod verdict;
mod weights;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

pub use configuration::DEFAULTS;

/// Compare batching strategies for graph neural networks.
///
/// A configuration file names a data set, a model, a batcher and a sink; `batchlab run` trains the
/// model and writes Parquet files.
#[derive(Debug, Parser)]
#[command(name = "batchlab", version, propagate_version = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  batchlab run configs/smoke.toml
  batchlab run configs/smoke.toml batcher.batch_size=64 training.steps=500
  batchlab run --resume results/smoke/runs/20260101-120000-0123abcd
  batchlab doctor results/smoke
  batchlab sweep configs/study/quick.toml --dry-run
  batchlab sweep configs/study/quick.toml models=schnet batch_sizes=32,64
  batchlab plan configs/plan/qm9.toml --picture plan.svg
  batchlab data stats qm9
  batchlab report results/smoke --html report.html
  batchlab evaluate results/smoke/runs/20260101-120000-0123abcd --batcher static-64
  batchlab list
  batchlab explain batcher.dynamic

Exit codes:
  0 done, 1 other failure, 2 configuration, 3 data, 5 loss not finite, 6 interrupted,
  7 some cells of a sweep have failed, 8 the GPU has failed";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Sweep(sweep::Arguments),
    Status(status::Arguments),
    Check(check::Arguments),
    Plan(plan::Arguments),
    Report(report::Arguments),
    Compare(compare::Arguments),
    Bench(bench::Arguments),
    Verdict(verdict::Arguments),
    Evaluate(evaluate::Arguments),
    Predict(predict::Arguments),
    Weights(weights::Arguments),
    Export(export::Arguments),
    Data(data::Arguments),
    Doctor(doctor::Arguments),
    List(list::Arguments),
    Explain(explain::Arguments),
    Schema(schema::Arguments),
    Sql(sql::Arguments),
    New(new::Arguments),
}

/// Runs the command line with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    run_command(std::env::args_os().skip(1).collect())
}

/// Runs the command line inside of a process that is not this program: `program` is the command
/// that would start it, such as `python -m batchlab`, and `arguments` follow it. A sweep starts
/// further processes with them.
#[must_use]
pub fn main_as(program: Vec<OsString>, arguments: Vec<OsString>) -> ExitCode {
    invocation::set(program, &arguments);
    run_command(arguments)
}

fn run_command(arguments: Vec<OsString>) -> ExitCode {
    batchlab_builtin::link();
    exit_when_device_is_lost();
    let all = std::iter::once("batchlab".into()).chain(arguments);
    let arguments = Arguments::try_parse_from(all).unwrap_or_else(|error| explained(error).exit());
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Verdict(arguments) => verdict::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Weights(arguments) => weights::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Data(arguments) => data::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        if exit::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        let message = message(&error);
        // Configuration diagnostics already have the prefix.
        let prefix = if message.starts_with("error") { "" } else { "error: " };
        say::say!("{prefix}{message}");
        exit::code_of(&error)
    })
}

/// Exits with the reason when memory of a GPU that has failed cannot be freed, instead of aborting.
fn exit_when_device_is_lost() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let Some(loss) = batchlab_tensor::device::loss_behind(panic) else {
            return otherwise(panic);
        };
        say::say!("error: {loss}");
        sweep::leave_reason(&loss);
        std::process::exit(exit::DEVICE_LOST.into());
    }));
}

/// An error with its causes, most of which already appear in its message.
fn message(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |message, cause| {
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    })
}

/// Adds how to write a setting that was mistakenly given as an option, such as `--batcher dynamic`.
fn explained(mut error: clap::Error) -> clap::Error {
    let takes_settings =
        error.get(ContextKind::Usage).is_some_and(|usage| usage.to_string().contains("KEY=VALUE"));
    let is_like_another = error.get(ContextKind::SuggestedArg).is_some();
    if error.kind() == ErrorKind::UnknownArgument && takes_settings && !is_like_another {
        let tip = "settings are written without dashes: batcher=static-64, training.steps=500";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}
