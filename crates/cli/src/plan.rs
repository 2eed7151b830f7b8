//! `batchlab plan`: forecasts of batching strategies on a data set.

mod config;
mod json;
mod strategies;
mod table;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_config::Diagnostic;
use batchlab_core::{BatcherError, Level};
use batchlab_forecast::picture::{self, Section};
use batchlab_forecast::{Forecast, ForecastError, Options, forecast_all};
use batchlab_run::RunError;

use crate::engine::start_threads;
use crate::exit::Usage;
use crate::out_file::{place, write};
use crate::output::print;
use crate::say::say;
use config::PlanConfig;
pub(crate) use strategies::of_text as batcher_of_text;
use strategies::{Choice, expand};

/// Forecast steps, padding, shapes and randomness of every strategy, from sizes alone.
///
/// The training subset is split off and ordered as in a run with the same seeds, so the figures are
/// those of the run. docs/forecast.md defines each of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Configuration files, each with a [dataset]; changes such as `training.seeds.order=1` hold
    /// for all of them.
    #[arg(value_name = "CONFIG|KEY=VALUE", required = true)]
    inputs: Vec<String>,
    /// A strategy: a label such as `static-64`, or a table such as
    /// `name = "static", padding = { multiple = 32 }`; may be given several times.
    #[arg(long = "batcher", value_name = "LABEL|TOML")]
    batchers: Vec<String>,
    /// Batch sizes B, such as `16,32,64,128`.
    #[arg(long = "batch-size", value_name = "B", value_delimiter = ',')]
    batch_sizes: Vec<u32>,
    /// Length of the training that is forecast.
    #[arg(long, value_name = "N", default_value = "100000")]
    steps: NonZeroU64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw fill and shapes into this file, `.svg` or `.png`.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

struct Plan {
    config: String,
    dataset: String,
    level: Level,
    n_member: usize,
    n_train: usize,
    seed_split: u64,
    seed_order: u64,
    n_step: u64,
    /// Each strategy as a table, and its forecast.
    strategies: Vec<(serde_json::Value, Forecast)>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let format = arguments.picture.as_deref().map(Format::of).transpose()?;
    let (overrides, configs): (Vec<String>, Vec<String>) =
        arguments.inputs.iter().cloned().partition(|input| input.contains('='));
    if configs.is_empty() {
        bail!(Usage("name a configuration file, for example configs/plan/qm9.toml".into()));
    }
    start_threads(None)?;
    let choice = Choice { batchers: &arguments.batchers, batch_sizes: &arguments.batch_sizes };
    let plans: Vec<Plan> = configs
        .iter()
        .map(|config| plan(config, &overrides, &choice, arguments.steps.get()))
        .collect::<Result<_>>()?;

    let text = if arguments.json { json::print(&plans)? } else { table::print(&plans) };
    print(&text)?;
    if let (Some(path), Some(format)) = (&arguments.picture, format) {
        draw(path, format, &plans)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(file: &str, overrides: &[String], choice: &Choice<'_>, n_step: u64) -> Result<Plan> {
    let path = Path::new(file);
    let config = PlanConfig::read(path, overrides)?;
    let batchers = expand(&config, choice)?;
    let data = config.load(path)?;
    let options = Options {
        n_step,
        seed: config.seeds().order,
        needs: config.needs(),
        node_feature_width: data.node_feature_width,
        max_member: Options::MAX_MEMBER,
    };
    let forecasts = forecast_all(&batchers, &data.view, options).map_err(classified)?;
    let tables = batchers.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan {
        config: file.to_owned(),
        dataset: data.dataset,
        level: data.view.level(),
        n_member: data.n_member,
        n_train: data.n_train,
        seed_split: config.seeds().split,
        seed_order: config.seeds().order,
        n_step,
        strategies: tables.into_iter().zip(forecasts).collect(),
    })
}

/// Distinguishes wrong options from wrong data, which decides the exit code.
fn classified(error: ForecastError) -> RunError {
    match &error.source {
        BatcherError::Options(_) | BatcherError::WrongLevel { .. } => {
            Diagnostic::new(error.to_string()).into()
        }
        _ => RunError::Batcher(BatcherError::other(error)),
    }
}

#[derive(Clone, Copy)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!(Usage(format!("{}: a picture ends in .svg or .png", path.display()))),
        }
    }
}

fn draw(path: &Path, format: Format, plans: &[Plan]) -> Result<()> {
    let sections: Vec<Section<'_>> = plans
        .iter()
        .map(|plan| Section {
            title: format!(
                "{} ({} {})",
                plan.config,
                grouped(plan.n_train as u64),
                noun(plan.level)
            ),
            n_step: plan.n_step,
            forecasts: plan.strategies.iter().map(|(_, forecast)| forecast).collect(),
        })
        .collect();
    let svg = picture::svg(&sections);
    let bytes = match format {
        Format::Svg => svg.into_bytes(),
        Format::Png => batchlab_draw::png(&svg)?,
    };
    let place = place(path);
    write(path, &bytes)?;
    say!("picture in {place}");
    Ok(())
}

fn noun(level: Level) -> &'static str {
    match level {
        Level::Graphs => "training graphs",
        Level::Nodes => "training nodes",
    }
}

pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
