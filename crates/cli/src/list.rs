//! `batchlab list`: the components that a configuration can name.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_core::registry::{Kind, Registration, components};
use serde_json::json;

use crate::output::{json, print};

/// List the data sets, models, batchers and sinks that a configuration can name.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let text = if arguments.json { as_json()? } else { as_text() };
    print(&text)
}

fn as_text() -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let _ = writeln!(text, "{kind}");
        for (name, registration) in components(kind) {
            let _ = writeln!(text, "  {name:<12} {}", registration.summary());
        }
    }
    text.push_str("\nbatchlab explain KIND.NAME shows the keys of one of them.\n");
    text
}

fn as_json() -> Result<String> {
    let describe = |registration: &Registration| {
        json!({
            "kind": registration.kind.key(),
            "name": (registration.name)(),
            "summary": registration.summary(),
            "package": registration.package,
            "example": (registration.example)(),
        })
    };
    let all = Kind::ALL.into_iter().flat_map(components).map(|(_, r)| describe(r));
    json(&all.collect::<Vec<_>>())
}
