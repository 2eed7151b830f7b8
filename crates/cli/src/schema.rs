//! `batchlab schema`: the JSON schema of a configuration file.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_experiment::schema::config_schema;

/// Print the JSON schema of a configuration file, with which editors complete and check it.
///
/// Save it, and start the configuration with `#:schema ./batchlab.schema.json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(&config_schema())? + "\n";
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
