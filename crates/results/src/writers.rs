//! The open sinks of a run.

use arrow_array::RecordBatch;
use batchlab_core::Sink;
use batchlab_core::record::Table;
use batchlab_core::sink::{RecordWriter, SinkContext, WrittenFile};

use crate::{Publisher, ResultsError};

/// The sinks of a run, and the number of rows passed to them.
#[derive(Default)]
pub(crate) struct Writers {
    writers: Vec<(String, Box<dyn RecordWriter>)>,
    n_row: [u64; Table::ALL.len()],
}

impl Writers {
    pub(crate) fn open(
        sinks: &[Box<dyn Sink>],
        publisher: &Publisher,
        metadata: &[(String, String)],
    ) -> Result<Self, ResultsError> {
        let mut writers = Vec::new();
        for sink in sinks {
            let ctx = SinkContext {
                dir: publisher.sink_folder(sink.typetag_name())?,
                run_id: publisher.run_id().to_owned(),
                metadata: metadata.to_vec(),
            };
            writers.push((sink.typetag_name().to_owned(), sink.open(&ctx)?));
        }
        Ok(Self { writers, n_row: [0; Table::ALL.len()] })
    }

    /// Passes rows on. The row of the run itself comes last, with [`Writers::finish`].
    pub(crate) fn write_all(
        &mut self,
        batches: &[(Table, RecordBatch)],
    ) -> Result<(), ResultsError> {
        let is_row =
            |(table, rows): &&(Table, RecordBatch)| *table != Table::Runs && rows.num_rows() > 0;
        batches.iter().filter(is_row).try_for_each(|(table, rows)| self.write(*table, rows))
    }

    /// Rows of a table so far.
    pub(crate) fn n_row(&self, table: Table) -> u64 {
        self.n_row[table as usize]
    }

    fn write(&mut self, table: Table, rows: &RecordBatch) -> Result<(), ResultsError> {
        self.n_row[table as usize] += rows.num_rows() as u64;
        for (_, writer) in &mut self.writers {
            writer.write(table, rows)?;
        }
        Ok(())
    }

    /// Completes all files; publishes them if all are complete and contain what was recorded.
    pub(crate) fn finish(
        mut self,
        run: &RecordBatch,
        publisher: &Publisher,
    ) -> Result<(), ResultsError> {
        self.write(Table::Runs, run)?;
        let mut files = Vec::new();
        for (sink, writer) in self.writers {
            let written = writer.finish()?;
            check_rows(&sink, &written, &self.n_row)?;
            files.extend(written);
        }
        publisher.tables(&files)
    }
}

/// A sink may split a table into several files, or leave out a table.
fn check_rows(sink: &str, files: &[WrittenFile], n_row: &[u64]) -> Result<(), ResultsError> {
    for table in Table::ALL {
        let of_table = || files.iter().filter(|file| file.table == table);
        let written = of_table().map(|file| file.n_row).sum();
        let recorded = n_row[table as usize];
        if of_table().next().is_some() && written != recorded {
            let (sink, table) = (sink.to_owned(), table.name());
            return Err(ResultsError::Rows { sink, table, written, recorded });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_loses_rows_is_found_out() {
        let file = |table, n_row| WrittenFile { table, path: "a".into(), n_row };
        let n_row = [1, 5, 0, 0, 0, 0];
        let split = [file(Table::Steps, 3), file(Table::Steps, 2), file(Table::Runs, 1)];
        assert!(check_rows("a", &split, &n_row).is_ok());
        let error = check_rows("a", &split[1..], &n_row).unwrap_err().to_string();
        assert_eq!(error, "sink \"a\" wrote 2 rows of table \"steps\", but 5 were recorded");
    }
}
