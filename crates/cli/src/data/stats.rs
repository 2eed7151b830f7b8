//! `batchlab data stats`: counts, sizes and targets of graphs.

mod json;
mod picture;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use batchlab_run::Cache;
use batchlab_run::cache::Keep;

use super::source::named;
use crate::configuration::Configuration;
use crate::out_file::{Force, Kind, OutFile};
use crate::output::print;
use crate::say::say;
use summary::DatasetSummary;

/// Count graphs, nodes and edges, and show the distributions of sizes and targets.
///
/// Accepts any number of data set names, data files and configurations.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON, including histograms.
    #[arg(long)]
    json: bool,
    /// Draw the histograms into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw the histograms into this file, at twice the resolution of the SVG.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let svg = OutFile::of(arguments.svg.as_ref(), Kind::Svg, arguments.force)?;
    let png = OutFile::of(arguments.png.as_ref(), Kind::Png, arguments.force)?;
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
    if svg.is_some() || png.is_some() {
        let picture = picture::draw(&summaries);
        if let Some(svg) = svg {
            say!("picture in {}", svg.write(picture.as_bytes())?);
        }
        if let Some(png) = png {
            say!("picture in {}", png.write(&batchlab_draw::png(&picture)?)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
