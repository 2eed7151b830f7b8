//! Time to plan and collate a batch, in the consumer's thread and ahead of it.

use std::sync::mpsc::{channel, sync_channel};
use std::time::{Duration, Instant};

use batchlab_core::{BatchBuffer, Graphs};
use clap::{Args, ValueEnum as _};
use serde::Serialize;

use crate::data::Data;
use crate::source::{Fields, Source, Strategy};
use crate::summary::Summary;

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The molecules.
    #[command(flatten)]
    pub data: Data,
    /// The study's B: B - 1 graphs and one slot for padding
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32, 64, 128])]
    pub batch_size: Vec<u32>,
    /// Only this strategy
    #[arg(long)]
    pub strategy: Option<Strategy>,
    /// Only these fields
    #[arg(long)]
    pub fields: Option<Fields>,
    /// Blocks; all rows are measured once in each
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: u32,
    /// Batches in a block
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub batches: u32,
    /// Prints JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub strategy: Strategy,
    pub batch_size: u32,
    pub fields: Fields,
    /// Size of a batch with padding, of the last one where sizes vary.
    pub n_byte: usize,
    /// Planning alone.
    pub plan: Summary,
    /// Planning and collating.
    pub prepare: Summary,
    /// Copying a finished batch in memory: a lower bound for anything that writes as much.
    pub copy: Summary,
    /// Planning, collating and copying out, as a consumer does, one after the other in one thread.
    pub one_thread: Summary,
    /// The same with another thread that prepares two batches ahead, seen by the consumer.
    pub ahead: Summary,
}

/// Measures all rows, interleaved.
pub fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let graphs = options.data.load()?;
    let mut cells = Vec::new();
    for &strategy in wanted(&[Strategy::Dynamic, Strategy::Static64], options.strategy.as_ref()) {
        for &batch_size in &options.batch_size {
            for &fields in wanted(Fields::value_variants(), options.fields.as_ref()) {
                let source = Source::open(&graphs, strategy, batch_size, fields)?;
                cells.push(Cell::new(strategy, batch_size, fields, source));
            }
        }
    }
    for _ in 0..=options.blocks {
        for cell in &mut cells {
            cell.block(&graphs, options.batches)?;
        }
    }
    Ok(cells.into_iter().map(Cell::row).collect())
}

fn wanted<'a, T>(all: &'a [T], one: Option<&'a T>) -> &'a [T] {
    one.map_or(all, std::slice::from_ref)
}

/// One row in the making.
struct Cell<'a> {
    strategy: Strategy,
    batch_size: u32,
    fields: Fields,
    source: Source<'a>,
    staging: Vec<u32>,
    /// Microseconds per batch of plan, prepare, copy, one thread and ahead, block by block.
    samples: [Vec<f64>; 5],
}

impl<'a> Cell<'a> {
    fn new(strategy: Strategy, batch_size: u32, fields: Fields, source: Source<'a>) -> Self {
        let samples = Default::default();
        Self { strategy, batch_size, fields, source, staging: Vec::new(), samples }
    }

    fn block(&mut self, graphs: &Graphs, n_batch: u32) -> anyhow::Result<()> {
        let prepare = self.source.time(n_batch)?;
        let source = &mut self.source;
        let plan = timed(|| (0..n_batch).try_for_each(|_| source.plan()))?;
        source.prepare()?;
        let copy = timed(|| {
            (0..n_batch).for_each(|_| copy_out(&source.buffer, &mut self.staging));
            Ok(())
        })?;
        let one_thread = timed(|| {
            (0..n_batch).try_for_each(|_| {
                source.prepare()?;
                copy_out(&source.buffer, &mut self.staging);
                Ok(())
            })
        })?;
        let another = Source::open(graphs, self.strategy, self.batch_size, self.fields)?;
        let ahead = time_ahead(another, n_batch, &mut self.staging)?;
        for (sample, time) in self.samples.iter_mut().zip([plan, prepare, copy, one_thread, ahead])
        {
            sample.push(time.as_secs_f64() * 1e6 / f64::from(n_batch));
        }
        Ok(())
    }

    fn row(self) -> Row {
        // The first block warms up memory and caches.
        let [plan, prepare, copy, one_thread, ahead] =
            self.samples.map(|blocks| Summary::of(&blocks[1..]));
        Row {
            strategy: self.strategy,
            batch_size: self.batch_size,
            fields: self.fields,
            n_byte: size_of_val(self.source.buffer.batch().words),
            plan,
            prepare,
            copy,
            one_thread,
            ahead,
        }
    }
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// What an upload to a device does with a batch.
fn copy_out(buffer: &BatchBuffer, staging: &mut Vec<u32>) {
    let words = buffer.batch().words;
    if staging.len() < words.len() {
        staging.resize(words.len(), 0);
    }
    staging[..words.len()].copy_from_slice(words);
    std::hint::black_box(staging);
}

/// Time of `n_batch` batches for a consumer that copies each out, while another thread prepares
/// two batches ahead. Starting the thread and the first batches are not counted.
fn time_ahead(
    mut source: Source<'_>,
    n_batch: u32,
    staging: &mut Vec<u32>,
) -> anyhow::Result<Duration> {
    const WARM_UP: u32 = 8;
    let (send_full, full) = sync_channel::<anyhow::Result<BatchBuffer>>(2);
    let (send_empty, empty) = channel::<BatchBuffer>();
    for _ in 0..3 {
        send_empty.send(BatchBuffer::new())?;
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Ends when the consumer has all its batches.
            while let Ok(buffer) = empty.recv() {
                source.buffer = buffer;
                let result = source.prepare().map(|()| std::mem::take(&mut source.buffer));
                if send_full.send(result).is_err() {
                    return;
                }
            }
        });
        let mut start = Instant::now();
        for batch in 0..WARM_UP + n_batch {
            if batch == WARM_UP {
                start = Instant::now();
            }
            let buffer = full.recv()??;
            copy_out(&buffer, staging);
            // The thread waits for it unless this was the last.
            let _ = send_empty.send(buffer);
        }
        let elapsed = start.elapsed();
        drop((send_empty, full));
        Ok(elapsed)
    })
}
