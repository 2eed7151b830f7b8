//! A table of targets beside the structures.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use batchlab_core::MemoryBudget;
use batchlab_core::error::{excerpt, shown};
use batchlab_core::memory::OverBudget;
use batchlab_core::registry::suggestion;
use batchlab_structures::UnixLines;

use crate::error::StructuresError;

/// Bytes per row, besides its text.
const ROW_BYTES: u64 = 192;

/// The values of one column, keyed by the names in another.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) path: PathBuf,
    row: HashMap<String, Row>,
}

/// The value of one row.
#[derive(Debug)]
pub(crate) struct Row {
    /// 1-based.
    pub(crate) line: u64,
    pub(crate) value: String,
}

impl Rows {
    pub(crate) fn read(
        path: &Path,
        id: &str,
        target: &str,
        memory: &MemoryBudget,
    ) -> Result<Self, StructuresError> {
        let fault = |line, message| StructuresError::Table { path: path.to_owned(), line, message };
        let wrong = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            fault(line, format!("{error}; correct the line"))
        };
        let file = File::open(path).map_err(|error| wrong(error.into()))?;
        let text = UnixLines::new(BufReader::new(file));
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let header: Vec<String> =
            reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        let column = |name: &str| {
            header.iter().position(|known| known == name).ok_or_else(|| {
                let (near, all) = (suggestion(name, &header), excerpt(&header.join(", "), 300));
                fault(1, format!("the table has no column `{name}`{near}; the columns are: {all}"))
            })
        };
        let (id, target) = (column(id)?, column(target)?);
        let mut rows = HashMap::new();
        for row in reader.records() {
            let row = row.map_err(wrong)?;
            let line = row.position().map_or(1, csv::Position::line);
            let cell = |column: usize| row.get(column).unwrap_or_default().to_owned();
            let n_byte = 2 * (cell(id).len() + cell(target).len()) as u64 + ROW_BYTES;
            let over = |over: OverBudget| fault(line, format!("{over}; {}", over.remedy()));
            memory.take(n_byte, "the rows").map_err(over)?;
            if let Some(before) = rows.insert(cell(id), Row { line, value: cell(target) }) {
                let message = format!(
                    "`{}` has the value `{}` already; remove one of the rows",
                    shown(&cell(id)),
                    shown(&before.value)
                );
                return Err(fault(line, message));
            }
        }
        Ok(Self { path: path.to_owned(), row: rows })
    }

    /// The row of the first of these names that has one, along with that name.
    pub(crate) fn find(&self, names: &[String]) -> Option<(&str, &Row)> {
        let row = names.iter().find_map(|name| self.row.get_key_value(name))?;
        Some((row.0, row.1))
    }
}
