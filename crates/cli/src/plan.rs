//! `batchlab plan`: forecasts of batching strategies on a data set.

mod json;
mod ranks;
mod table;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use batchlab_builtin::PLANNED;
use batchlab_config::{Diagnostic, Split, ToForecast};
use batchlab_core::number::grouped;
use batchlab_core::padding::BatchSize;
use batchlab_core::{BatchFields, BatcherError, Dataset, Graphs, Level, LoadContext, Model, View};
use batchlab_forecast::break_even::Engine;
use batchlab_forecast::picture::{self, Section};
use batchlab_forecast::ranks::RankForecast;
use batchlab_forecast::{Forecast, ForecastError, Options, forecast_all};
use batchlab_run::cache::Keep;
use batchlab_run::{Cache, RunError, Subsets, memory, search_folders};

use crate::configuration::Configuration;
use crate::engine::start_threads;
use crate::exit::Usage;
use crate::out_file::{Force, Kind, OutFile};
use crate::output::print;
use crate::report::seconds;
use crate::say::say;

/// Batch sizes if neither the configuration nor the command line gives any: those of arXiv
/// 2502.00944.
const BATCH_SIZES: [u32; 4] = [16, 32, 64, 128];

/// Forecast steps, padding, shapes and randomness of every strategy from graph sizes alone.
///
/// Strategies and batch sizes are those of the configuration, or `batchers=static-64,dynamic` and
/// `batch_sizes=16,32`. Without a list of batchers, eight common ones are planned along with the
/// run's own. The training subset is split off and ordered as in a run with the same seeds, so the
/// numbers are those of the run. Several files are forecast one after the other. docs/forecast.md
/// defines each number.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Length of the training to forecast.
    #[arg(long, value_name = "N", default_value = "100000")]
    steps: NonZeroU64,
    /// Seconds to compile a step for one padded shape, as XLA does. Shows after how many steps less
    /// padding has paid for more shapes. About 2 for SchNet on an A100, 10 for PaiNN (arXiv
    /// 2502.00944).
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    compile_cost: Option<f64>,
    /// Seconds of a step without padding, for --compile-cost and --all-reduce. A padded step is
    /// assumed to take longer in proportion to its edges.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0.01")]
    step_time: f64,
    #[command(flatten)]
    ranks: ranks::RankArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw fill and shapes, and efficiency on ranks, into this file, `.svg` or `.png`.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
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
    /// Each strategy as a table, with its forecast.
    strategies: Vec<(serde_json::Value, Forecast)>,
    /// For each strategy, if asked for.
    ranks: Vec<Vec<RankForecast>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let asked = arguments.picture.as_deref();
    let picture = asked.map(|path| picture_file(path, arguments.force)).transpose()?;
    let sizes = BATCH_SIZES.into_iter().map(BatchSize::try_from).collect::<Result<Vec<_>, _>>()?;
    start_threads(None)?;
    let mut plans = Vec::new();
    for (name, file) in arguments.configuration.read_all()? {
        let all = file.to_forecast(PLANNED, &sizes)?;
        let is_one = all.len() == 1;
        for asked in all {
            let name = if is_one {
                name.clone()
            } else {
                format!("{name}, {}", asked.dataset.typetag_name())
            };
            plans.push(plan(name, &file.path, &asked, arguments)?);
        }
    }

    let step_time = arguments.step_time;
    let engine = arguments.compile_cost.map(|compile_cost| Engine { compile_cost, step_time });
    let model = arguments.ranks.step_model(step_time);
    let text = if arguments.json {
        json::print(&plans, engine, model)?
    } else {
        table::print(&plans, engine, model)
    };
    print(&text)?;
    if let Some((file, kind)) = picture {
        draw(&file, kind, &plans)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(config: String, path: &Path, asked: &ToForecast, arguments: &Arguments) -> Result<Plan> {
    let ToForecast { model, batchers, seeds, .. } = asked;
    let n_step = arguments.steps.get();
    let (graphs, view) = training_view(path, &*asked.dataset, asked.split, seeds.split)?;
    let needs = needs(model.as_deref());
    let options = Options {
        n_step,
        seed: seeds.order,
        node_feature_width: graphs.batch_feature_width(&needs),
        own: graphs.own_footprint(&needs),
        needs,
        max_member: Options::MAX_MEMBER,
    };
    let ranks = arguments.ranks.forecast(batchers, &view, seeds.order, arguments.step_time)?;
    let forecasts = forecast_all(batchers, &view, &options).map_err(classified)?;
    let tables = batchers.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan {
        config,
        dataset: graphs.dataset.clone(),
        level: view.level(),
        n_member: graphs.n_member(),
        n_train: n_output(&view),
        seed_split: seeds.split,
        seed_order: seeds.order,
        n_step,
        strategies: tables.into_iter().zip(forecasts).collect(),
        ranks,
    })
}

/// The data, and the training subset as drawn by a run.
pub(crate) fn training_view(
    path: &Path,
    dataset: &dyn Dataset,
    split: Split,
    seed: u64,
) -> Result<(Graphs, View)> {
    let memory = memory::budget()?;
    let ctx = LoadContext { search: search_folders(path), memory, ..LoadContext::new() };
    let loaded = Cache::from_environment().load(dataset, &ctx, Keep::WhenSlow);
    let graphs = loaded.map_err(RunError::Dataset)?.graphs;
    let train = Subsets::new(&graphs, split, seed)?.train;
    let view = graphs.view(&train);
    Ok((graphs, view))
}

fn n_output(view: &View) -> usize {
    match view {
        View::ManyGraphs(graphs) => graphs.len(),
        View::OneGraph(one) => one.output.len(),
    }
}

/// The batch fields that the model needs, or else those that `SchNet` needs.
fn needs(model: Option<&dyn Model>) -> BatchFields {
    let schnet = BatchFields {
        node_class: true,
        distance: true,
        sender_order: true,
        ..BatchFields::default()
    };
    model.map_or(schnet, Model::needs)
}

/// Tells wrong options from wrong data, which determines the exit code.
fn classified(error: ForecastError) -> RunError {
    match &error.source {
        BatcherError::Options(_) | BatcherError::WrongLevel { .. } => {
            Diagnostic::new(error.to_string()).into()
        }
        _ => RunError::Batcher(BatcherError::other(error)),
    }
}

fn picture_file(path: &Path, force: Force) -> Result<(OutFile<'_>, Kind)> {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Kind::Svg,
        Some("png") => Kind::Png,
        _ => bail!(Usage(format!("{}: a picture ends in .svg or .png", path.display()))),
    };
    Ok((OutFile::new(path, kind, force)?, kind))
}

fn draw(file: &OutFile<'_>, kind: Kind, plans: &[Plan]) -> Result<()> {
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
            ranks: plan.ranks.iter().map(Vec::as_slice).collect(),
        })
        .collect();
    let svg = picture::svg(&sections);
    let bytes = if kind == Kind::Png { batchlab_draw::png(&svg)? } else { svg.into_bytes() };
    say!("picture in {}", file.write(&bytes)?);
    Ok(())
}

fn noun(level: Level) -> &'static str {
    match level {
        Level::Graphs => "training graphs",
        Level::Nodes => "training nodes",
    }
}
