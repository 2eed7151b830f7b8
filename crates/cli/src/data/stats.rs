//! `batchlab data stats`: numbers and sizes of graphs, and their targets.

mod json;
mod picture;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_draw::png;
use batchlab_run::Cache;
use batchlab_run::cache::Keep;

use super::source::named;
use crate::configuration::Configuration;
use crate::out_file::{check_ending, place, write};
use crate::output::print;
use crate::say::say;
use summary::DatasetSummary;

/// Count graphs, nodes and edges, and show how sizes and targets are distributed.
///
/// Names of data sets, data files and configurations are taken, several of each.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON, histograms included.
    #[arg(long)]
    json: bool,
    /// Draw the histograms into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw the histograms into this file, in twice the resolution of the SVG.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    for (path, what, ending) in [(&arguments.svg, "SVG", "svg"), (&arguments.png, "PNG", "png")] {
        path.as_ref().map_or(Ok(()), |path| check_ending(path, what, &[ending]))?;
    }
    let cache = Cache::from_environment();
    let mut summaries = Vec::new();
    for source in named(&arguments.configuration)? {
        let read = source.read(&cache, Keep::WhenSlow)?;
        summaries.push(DatasetSummary::of(&source, &read));
    }
    let text = if arguments.json {
        json::print(&summaries)?
    } else {
        summaries.iter().map(table::print).collect::<Vec<_>>().join("\n")
    };
    print(&text)?;
    if arguments.svg.is_some() || arguments.png.is_some() {
        let svg = picture::draw(&summaries);
        for (path, bytes) in [
            (&arguments.svg, Some(svg.clone().into_bytes())),
            (&arguments.png, arguments.png.as_ref().map(|_| png(&svg)).transpose()?),
        ] {
            if let (Some(path), Some(bytes)) = (path, bytes) {
                let place = place(path);
                write(path, &bytes)?;
                say!("picture in {place}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
