//! Exports published tables through a sink.

use std::fs;
use std::path::Path;

use batchlab_core::Sink;
use batchlab_core::record::Table;
use batchlab_core::sink::SinkContext;

use super::Exported;
use crate::ResultsError;
use crate::files::rename;
use crate::read::{TableFile, path_of, published};

/// Writes every published table of a study with a sink to `<out>/<name of the
/// sink>/<table>/<run_id>.<ending>`, as a run does; `out` can be the results folder itself. Files
/// are written atomically and replace those of an earlier export.
///
/// # Errors
/// Results that cannot be read, a folder that cannot be written.
pub fn to_sink(dir: &Path, out: &Path, sink: &dyn Sink) -> Result<Exported, ResultsError> {
    let published = published(dir)?;
    let out = &out.join(sink.typetag_name());
    fs::create_dir_all(out).map_err(ResultsError::write(out))?;
    let mut exported = Exported { damaged: published.damaged, ..Exported::default() };
    for stem in published.stems {
        let unfinished = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(out);
        let unfinished = unfinished.map_err(ResultsError::write(out))?;
        // All files of a run have the same metadata.
        let runs = TableFile::open_if_there(&path_of(dir, Table::Runs, &stem))?;
        let metadata = runs.map_or_else(Vec::new, |file| file.metadata());
        let ctx = SinkContext { dir: unfinished.path().to_owned(), run_id: stem.clone(), metadata };
        let mut writer = sink.open(&ctx)?;
        for table in Table::ALL {
            let Some(file) = TableFile::open_if_there(&path_of(dir, table, &stem))? else {
                continue;
            };
            for rows in file.rows(table)? {
                writer.write(table, &rows?)?;
            }
        }
        for file in writer.finish()? {
            let folder = out.join(file.table.name());
            fs::create_dir_all(&folder).map_err(ResultsError::write(&folder))?;
            let path = folder.join(file.path.file_name().unwrap_or_default());
            rename(&file.path, &path)?;
            exported.n_row += file.n_row;
            exported.files.push(path);
        }
    }
    Ok(exported)
}
