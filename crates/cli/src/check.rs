//! `batchlab check`: checks a configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_config::LoadedConfig;

use crate::output::print;
use crate::say::say;

/// Check a configuration without loading data; print it with all defaults filled in.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file.
    config: PathBuf,
    /// Changes, such as `batcher.batch_size=64`; values are TOML, or plain text.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print JSON instead of TOML.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let defaults = batchlab_builtin::DEFAULTS;
    let loaded = LoadedConfig::read(&arguments.config, &arguments.overrides, defaults)?;
    let text = if arguments.json { loaded.to_json() + "\n" } else { loaded.to_toml() };
    print(&text)?;
    say!("{} is valid; its hash is {}", arguments.config.display(), &loaded.hash()[..8]);
    Ok(ExitCode::SUCCESS)
}
