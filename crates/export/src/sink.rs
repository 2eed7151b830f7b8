//! Published tables through a sink.

use std::fs;
use std::path::Path;

use batchlab_core::Sink;
use batchlab_core::record::Table;
use batchlab_core::sink::SinkContext;

use crate::{ExportError, Exported, tables};

/// Writes every published table of a study with a sink, into
/// `<out>/<name of the sink>/<table>/<run_id>.<ending>`, as a run does: the folder of results itself
/// can be `out`. Each file appears when it is complete, and replaces the one of an export before.
///
/// # Errors
/// Results that cannot be read, a folder that cannot be written.
pub fn to_sink(dir: &Path, out: &Path, sink: &dyn Sink) -> Result<Exported, ExportError> {
    let stems = tables::stems(dir)?;
    let out = &out.join(sink.typetag_name());
    fs::create_dir_all(out).map_err(ExportError::io(out))?;
    let mut exported = Exported::default();
    for stem in stems {
        let unfinished = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(out);
        let unfinished = unfinished.map_err(ExportError::io(out))?;
        // What the files say of the run is the same in all of them.
        let metadata = tables::each(dir, Table::Runs, &stem, |_| Ok(()))?;
        let ctx = SinkContext { dir: unfinished.path().to_owned(), run_id: stem.clone(), metadata };
        let mut writer = sink.open(&ctx)?;
        for table in Table::ALL {
            tables::each(dir, table, &stem, |rows| Ok(writer.write(table, rows)?))?;
        }
        for file in writer.finish()? {
            let folder = out.join(file.table.name());
            fs::create_dir_all(&folder).map_err(ExportError::io(&folder))?;
            let path = folder.join(file.path.file_name().unwrap_or_default());
            fs::rename(&file.path, &path).map_err(ExportError::io(&path))?;
            exported.n_row += file.n_row;
            exported.files.push(path);
        }
    }
    Ok(exported)
}
