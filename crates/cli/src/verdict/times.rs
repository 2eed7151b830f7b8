//! Reads recorded times from CSV or Parquet.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use batchlab_files::open_data;
use batchlab_report::{RecordedTime, Replicate};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::Value;

use crate::exit::DataFault;

#[derive(Deserialize)]
struct Row {
    strategy: String,
    seconds: f64,
    n_output: f64,
    block: Option<i64>,
    cell: Option<String>,
    run: Option<String>,
}

/// The times in a file, in its order.
pub(super) fn read(file: &Path) -> Result<Vec<RecordedTime>> {
    let name = file.display();
    let failed = || format!("cannot read {name}");
    let mut opened = open_data(file).with_context(failed)?;
    let mut start = Vec::new();
    opened.by_ref().take(4).read_to_end(&mut start).with_context(failed)?;
    opened.rewind().with_context(failed)?;
    let times = if start == b"PAR1" { of_parquet(opened) } else { of_csv(opened) };
    times.map_err(|error| DataFault(format!("{name}: {error:#}")).into())
}

fn of_csv(file: File) -> Result<Vec<RecordedTime>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let heading = reader.headers()?.clone();
    check_columns(heading.iter()).map_err(|error| error.context("line 1"))?;
    let mut times = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let time = record.deserialize(Some(&heading)).map_err(Into::into);
        times.push(
            time.and_then(|row| recorded(row, line)).with_context(|| format!("line {line}"))?,
        );
    }
    Ok(times)
}

/// Rows are counted from 1. A missing value is one that is not given.
fn of_parquet(file: File) -> Result<Vec<RecordedTime>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    check_columns(builder.schema().fields().iter().map(|field| field.name().as_str()))?;
    let mut rows = arrow_json::LineDelimitedWriter::new(Vec::new());
    for batch in builder.build()? {
        rows.write(&batch?)?;
    }
    rows.finish()?;
    let rows = rows.into_inner();
    let rows = serde_json::Deserializer::from_slice(&rows).into_iter::<Value>();
    let numbered = rows.zip(1..).map(|(row, number)| {
        let row = row.and_then(|row| serde_json::from_value(with_labels(row)));
        let time = row.map_err(Into::into).and_then(|row| recorded(row, number));
        time.with_context(|| format!("row {number}"))
    });
    numbered.collect()
}

/// Cells and runs may be numbered.
fn with_labels(mut row: Value) -> Value {
    for column in ["cell", "run"] {
        if let Some(label) = row.get_mut(column)
            && label.is_number()
        {
            *label = label.to_string().into();
        }
    }
    row
}

fn check_columns<'a>(found: impl Iterator<Item = &'a str>) -> Result<()> {
    let found: Vec<&str> = found.collect();
    match ["strategy", "seconds", "n_output"].iter().find(|column| !found.contains(column)) {
        None => Ok(()),
        Some(_) if found.iter().all(|name| name.is_empty()) => bail!("the file is empty"),
        Some(_) if found.iter().any(|name| name.contains(';')) => {
            bail!("columns are separated by ';'; separate them by ','")
        }
        Some(column) => bail!(
            "there is no column {column}; it has {}, and needs strategy, seconds, n_output, and block or run",
            found.join(", ")
        ),
    }
}

fn recorded(row: Row, line: u64) -> Result<RecordedTime> {
    if row.strategy.is_empty() {
        bail!("strategy is empty");
    }
    let replicate = match (row.block, row.run) {
        (Some(number), None) if number >= 0 => {
            Replicate::Block { cell: row.cell.unwrap_or_default(), number }
        }
        (Some(number), None) => bail!("block is {number}, but must be a whole number from 0 on"),
        (None, Some(run)) if !run.is_empty() => Replicate::Run(run),
        (None, _) => bail!(
            "neither block nor run is given, so nothing says which times are replicates: steps of one \
             process are none, because what slows that process slows all of them"
        ),
        (Some(_), Some(_)) => bail!("give either block or run, not both"),
    };
    let Row { strategy, seconds, n_output, .. } = row;
    Ok(RecordedTime { line, strategy, seconds, n_output, replicate })
}
