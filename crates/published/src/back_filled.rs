//! Rows with times that were copied from another campaign.
//!
//! Two runs on a real machine never take the same time to the last bit. Where all four times of a
//! row are those of a row of another length of training, one of them is a copy. The copy is the
//! longer run: it has no errors at its checkpoints, as if it had not reached them. That is enough
//! evidence where the file with the origin is not given.

use crate::row::{PublishedFile, PublishedRow};

/// For each row of `files[file]`, why its times are not its own; `None` if they are.
pub(crate) fn find(files: &[PublishedFile], file: usize) -> Vec<Option<String>> {
    let n_step = files[file].n_step;
    let shorter: Vec<&PublishedFile> = files.iter().filter(|other| other.n_step < n_step).collect();
    let rows = &files[file].rows;
    let why = |row: &PublishedRow| match origin(row, &shorter) {
        Some(origin) => Some(format!("its four times are, to the last bit, those of {origin}")),
        None if lacks_errors(row, rows) => {
            let why = "it is marked as complete, but has none of the errors that complete runs of \
                       its model have";
            Some(why.to_owned())
        }
        None => None,
    };
    rows.iter().map(why).collect()
}

fn lacks_errors(row: &PublishedRow, rows: &[PublishedRow]) -> bool {
    let is_complete = row.is_complete == Some(true) && row.times.is_some();
    is_complete
        && row.errors.is_empty()
        && rows.iter().any(|other| other.model == row.model && !other.errors.is_empty())
}

fn origin(row: &PublishedRow, shorter: &[&PublishedFile]) -> Option<String> {
    let times = row.times.as_ref()?.bits();
    shorter.iter().find_map(|file| {
        let is_origin =
            |other: &&PublishedRow| other.times.as_ref().is_some_and(|t| t.bits() == times);
        let other = file.rows.iter().find(is_origin)?;
        Some(format!(
            "line {} of {}.csv ({} on {}, {} steps)",
            other.line,
            file.stem(),
            other.model,
            other.dataset,
            file.n_step
        ))
    })
}
