//! `batchlab data`: statistics, downloads and checks of data sets.

mod convert;
mod fetch;
pub(crate) mod source;
mod stats;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Inspect, download and check data sets, and convert them for fast loading.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Stats(stats::Arguments),
    Convert(convert::Arguments),
    Fetch(fetch::Arguments),
    Verify(verify::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.command {
        Command::Stats(arguments) => stats::run(arguments),
        Command::Convert(arguments) => convert::run(arguments),
        Command::Fetch(arguments) => fetch::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}

pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{} kB", n / 1000),
        10_000_000..10_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}
