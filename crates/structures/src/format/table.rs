//! Tables (CSV): AFLOW's columns with lists as printed by Python, or a column of CIF text.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use csv::{ErrorKind, StringRecord};
use serde_json::Value as Json;

use crate::error::Problem;
use crate::format::aflow::{self, Content};
use crate::format::cif;
use crate::lines::{Counted, Fault, UnixLines};
use crate::structure::is_absent;

/// Columns that hold a structure, or identify an AFLOW entry.
const KNOWN: [&str; 4] = ["cif", "compound", "auid", "aurl"];

pub(crate) fn is_header(line: &str) -> bool {
    line.contains(',') && line.split(',').any(|name| KNOWN.contains(&name.trim().trim_matches('"')))
}

pub(crate) fn read(
    stream: impl BufRead,
    take: cif::Take,
    visit: &mut dyn FnMut(usize, Content) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let (stream, left) = Counted::new(stream);
    let mut reader = csv::ReaderBuilder::new().from_reader(UnixLines::new(BufReader::new(stream)));
    let header = reader.headers().map_err(|error| fault(1, error))?.clone();
    let header: Vec<&str> = header.iter().map(str::trim).collect();
    let cif_column = header.iter().position(|&name| name == "cif");
    let mut row = StringRecord::new();
    loop {
        left.renew();
        let before = reader.position().line() as usize;
        if !reader.read_record(&mut row).map_err(|error| fault(before, error))? {
            return Ok(());
        }
        let line = row.position().map_or(before, |position| position.line() as usize);
        let content = match cif_column {
            Some(column) => with_cif(&header, &row, column, take)
                .map_err(|(at, fault)| (line + at - 1, fault))?,
            None => aflow_row(&header, &row).map_err(|problem| (line, problem.into()))?,
        };
        visit(line, content).map_err(|fault| (line, fault))?;
    }
}

/// Lines within a cell of CIF text are counted from 1.
fn with_cif(
    header: &[&str],
    row: &StringRecord,
    column: usize,
    take: cif::Take,
) -> Result<Content, (usize, Fault)> {
    let mut found = None;
    cif::parse(row.get(column).unwrap_or_default(), take, &mut |at, (structure, _)| {
        if found.is_some() {
            let expected = "one structure in a cell";
            return Err(Problem::Expected {
                expected,
                value: format!("another one in line {at} of it"),
            }
            .into());
        }
        found = structure;
        Ok(())
    })?;
    if found.is_none() {
        let remedy = "write CIF text into the cell, or remove the row";
        return Err((1, Problem::Missing { key: "cif", remedy }.into()));
    }
    let mut property = BTreeMap::new();
    for (at, (name, cell)) in header.iter().zip(row).enumerate() {
        if at != column && !name.is_empty() {
            property.insert((*name).to_owned(), cell.trim().to_owned());
        }
    }
    Ok((found, property))
}

fn aflow_row(header: &[&str], row: &StringRecord) -> Result<Content, Problem> {
    let cells = header.iter().zip(row).filter(|(name, cell)| !name.is_empty() && !is_absent(cell));
    let entry = cells.map(|(&name, cell)| (name.to_owned(), Json::String(cell.to_owned())));
    aflow::content(entry.collect())
}

fn fault(line: usize, error: csv::Error) -> (usize, Fault) {
    let line = error.position().map_or(line, |position| position.line() as usize).max(1);
    let fault = match error.into_kind() {
        ErrorKind::Io(source)
            if source
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Problem>) =>
        {
            Problem::TooLong.into()
        }
        ErrorKind::Io(source) => Fault::Io(source),
        ErrorKind::Utf8 { .. } => Problem::NotUtf8.into(),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let message = format!("expected {expected_len} columns as in the header, found {len}");
            Problem::syntax(message).into()
        }
        other => Problem::syntax(format!("{other:?}")).into(),
    };
    (line, fault)
}
