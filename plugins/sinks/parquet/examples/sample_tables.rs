//! Writes the tables of two invented runs, to try queries on.
//!
//! `cargo run -p sink-parquet --example sample_tables -- DIR N_STEP`

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use batchlab_core::Sink;
use batchlab_core::record::{EvalRecord, MetricRecord, Record, RunRecord, StepRecord, Timestamp};
use batchlab_core::sink::{SinkContext, WrittenFile};
use batchlab_testkit::records;
use sink_parquet::Parquet;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(n_step), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("give a folder and a number of steps".into());
    };
    for timing in ["combined", "stages"] {
        let start = Instant::now();
        let files = write_run(dir.as_ref(), timing, n_step.parse()?)?;
        for file in files {
            let n_byte = std::fs::metadata(&file.path)?.len();
            println!("{}: {} rows, {n_byte} bytes", file.path.display(), file.n_row);
        }
        println!("written in {:.2} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn write_run(dir: &Path, timing: &str, n_step: i64) -> Result<Vec<WrittenFile>, Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let run_id = format!("sample-{timing}");
    let metadata = vec![("config_hash".to_owned(), "0".repeat(64))];
    let ctx = SinkContext { dir: dir.to_owned(), run_id: run_id.clone(), metadata };
    let mut writer = Parquet::default().open(&ctx)?;

    let mut noise = Noise(42);
    let mut first = 1;
    while first <= n_step {
        let last = n_step.min(first + 4095);
        let rows: Vec<_> =
            (first..=last).map(|step| step_row(&run_id, timing, step, &mut noise)).collect();
        writer.write(StepRecord::TABLE, &StepRecord::to_batch(&rows)?)?;
        first = last + 1;
    }
    let eval = EvalRecord {
        run_id: run_id.clone(),
        step: n_step,
        subset: "test".to_owned(),
        rmse: Some(0.1),
        rmse_of_mean: Some(1.0),
        ..records::eval(0)
    };
    writer.write(EvalRecord::TABLE, &EvalRecord::to_batch(&[eval])?)?;
    let metric = |name: &str| MetricRecord {
        run_id: run_id.clone(),
        step: None,
        name: name.to_owned(),
        value: 0.5,
    };
    let metrics = [metric("batcher.budget_n_node"), metric("batcher.budget_n_edge")];
    writer.write(MetricRecord::TABLE, &MetricRecord::to_batch(&metrics)?)?;
    let run = RunRecord {
        run_id,
        started_at: Some(Timestamp(1_790_000_000_000_000)),
        finished_at: Some(Timestamp(1_790_000_060_000_000)),
        status: "completed".to_owned(),
        config: r#"{"training": {"learning_rate": 0.001}}"#.to_owned(),
        batcher: "dynamic-64".to_owned(),
        batch_size: Some(32),
        timing: timing.to_owned(),
        n_step: Some(n_step),
        ..records::run("")
    };
    writer.write(RunRecord::TABLE, &RunRecord::to_batch(&[run])?)?;
    Ok(writer.finish()?)
}

/// A step of dynamic batching with QM9's sizes and realistically scattered times.
fn step_row(run_id: &str, timing: &str, step: i64, noise: &mut Noise) -> StepRecord {
    let n_graph = 29 + noise.below(3);
    let n_node = n_graph * 18 + noise.below(30);
    let n_edge = n_node * 17 + noise.below(400);
    let mut time = |mean: i64| mean * 9 / 10 + noise.below(mean / 5);
    let (plan, collate, upload) = (time(3_000), time(90_000), time(20_000));
    let (forward, backward, optimiser) = (time(4_000_000), time(8_000_000), time(400_000));
    let stage = |ns| (timing == "stages").then_some(ns);
    StepRecord {
        run_id: run_id.to_owned(),
        step,
        epoch: step / 3_600,
        n_graph,
        n_output: n_graph,
        n_node,
        n_edge,
        n_graph_padded: 32,
        n_output_padded: 32,
        n_node_padded: (n_node / 64 + 1) * 64,
        n_edge_padded: (n_edge / 64 + 1) * 64,
        shape_id: n_edge / 64 % 200,
        is_new_shape: step < 200,
        is_warmup: step < 20,
        plan_ns: stage(plan),
        collate_ns: stage(collate),
        upload_ns: stage(upload),
        forward_ns: stage(forward),
        backward_ns: stage(backward),
        optimiser_ns: stage(optimiser),
        step_ns: plan + collate + upload + forward + backward + optimiser,
        loss: 1.0 / (1.0 + step as f64).sqrt() + noise.below(1 << 30) as f64 * 1e-10,
        weight_sum: n_graph as f64,
        learning_rate: 1e-3 * 0.96_f64.powi((step / 100_000) as i32),
        is_timing_only: Some(false),
        ..StepRecord::default()
    }
}

struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).cast_signed() % limit
    }
}
