//! Benchmarks of batchlab: `cargo run --release -p batchlab-bench -- batching`.

use std::path::PathBuf;

use batchlab_bench::batching::{self, Row};
use batchlab_bench::data::Data;
use batchlab_bench::summary::Summary;
use batchlab_bench::{export, neighbors, nodes, serve, training};
use batchlab_core::model::Precision;
use clap::{Parser, ValueEnum};

/// Benchmarks of batchlab
#[derive(Debug, Parser)]
enum Command {
    /// Time to plan and collate a batch
    Batching(batching::Options),
    /// Writes the molecules and their order as .npy files, for the peers
    Export {
        #[command(flatten)]
        data: Data,
        /// Epochs whose order is written
        #[arg(long, default_value_t = 50)]
        epochs: u64,
        /// Where the files go
        folder: PathBuf,
    },
    /// Answers requests on standard input with measurements, for peers/compare.py
    Serve {
        #[command(flatten)]
        data: Data,
    },
    /// Answers requests on standard input with neighbour lists, for `peers/neighbors.py`
    ServeNeighbors,
    /// Answers requests on standard input with epochs on one graph, for `peers/compare_nodes.py`
    ServeNodes {
        /// Threads of the engine
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Answers requests on standard input with training steps, for `peers/compare_training.py`
    ServeTraining {
        /// Threads of the engine
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Device of the engine: `cpu`, or `cuda:0` with the feature `cuda`
        #[arg(long, default_value = "cpu")]
        device: String,
        /// How layers multiply: `f32`, or `tf32` or `bf16` on a GPU
        #[arg(long, default_value = "f32", value_parser = precision)]
        precision: Precision,
        /// Record the step of a batch on a GPU, and replay it.
        #[arg(long)]
        cuda_graphs: bool,
    },
}

/// By its name in configurations.
fn precision(name: &str) -> Result<Precision, String> {
    let all = [Precision::F32, Precision::Tf32, Precision::Bf16];
    let known = all.into_iter().find(|precision| precision.name() == name);
    known.ok_or_else(|| "a precision is \"f32\", \"tf32\" or \"bf16\"".into())
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Batching(options) => {
            let rows = batching::measure(&options)?;
            if options.json {
                print_json(&rows)
            } else {
                print_table(&rows);
                Ok(())
            }
        }
        Command::Export { data, epochs, folder } => {
            export::molecules(&data.load()?, epochs, &folder)
        }
        Command::Serve { data } => {
            serve::serve(&data.load()?, std::io::stdin().lock(), std::io::stdout().lock())
        }
        Command::ServeNeighbors => {
            neighbors::serve(std::io::stdin().lock(), std::io::stdout().lock())
        }
        Command::ServeNodes { threads } => pool(threads)?
            .install(|| nodes::serve::serve(std::io::stdin().lock(), std::io::stdout().lock())),
        Command::ServeTraining { threads, device, precision, cuda_graphs } => pool(threads)?
            .install(|| {
                precision.check(&device)?;
                let engine = training::case::Engine { device, precision, cuda_graphs };
                training::serve::serve(engine, std::io::stdin().lock(), std::io::stdout().lock())
            }),
    }
}

/// The engine's threads.
fn pool(n_thread: usize) -> anyhow::Result<rayon::ThreadPool> {
    batchlab_tensor::keep_freed();
    Ok(rayon::ThreadPoolBuilder::new().num_threads(n_thread).build()?)
}

#[allow(clippy::print_stdout, reason = "the result goes to standard output")]
fn print_json(rows: &[Row]) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(rows)?);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the result goes to standard output")]
fn print_table(rows: &[Row]) {
    println!("microseconds per batch: median over blocks (95 % interval)");
    println!(
        "{:<10} {:>4} {:<13} {:>8}  {:<21} {:<21} {:<21} {:<21} ahead + copy",
        "strategy", "B", "fields", "kB", "plan", "plan + collate", "copy", "plan + collate + copy"
    );
    for row in rows {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        println!(
            "{:<10} {:>4} {:<13} {:>8.1}  {:<21} {:<21} {:<21} {:<21} {}",
            name(row.strategy.to_possible_value()),
            row.batch_size,
            name(row.fields.to_possible_value()),
            row.n_byte as f64 / 1e3,
            cell(row.plan),
            cell(row.prepare),
            cell(row.copy),
            cell(row.one_thread),
            cell(row.ahead),
        );
    }
}

fn cell(summary: Summary) -> String {
    format!("{:.2} ({:.2}-{:.2})", summary.median_us, summary.low_us, summary.high_us)
}
