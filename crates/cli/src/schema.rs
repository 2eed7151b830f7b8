//! `batchlab schema`: the JSON schema of a configuration or study.

use std::process::ExitCode;

use anyhow::Result;
use batchlab_config::schema::{config_schema, for_editors, study_schema};

use crate::output::{json, print};

/// Print the JSON schema of a configuration or study, for completion and validation in editors.
///
/// Save it, and begin a file with `#:schema ./batchlab.schema.json`. The configurations and studies
/// in `configs` already do so.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print the schema of study files, in which components may be lists, instead of that of single
    /// runs.
    #[arg(long)]
    study: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let schema = if arguments.study { study_schema() } else { config_schema() };
    let text = json(&for_editors(schema))?;
    print(&text)
}
