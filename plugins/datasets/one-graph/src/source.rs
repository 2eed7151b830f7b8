//! Detects the format of a file or directory.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use batchlab_core::{DatasetError, LoadContext};
use batchlab_npz::{Archive, NpzError};

use crate::tables::{FileFault, Tables};
use crate::{compressed_rows, masks, ogb, planetoid, reddit};

/// Maximum array size in bytes; a larger one would not fit into memory beside its graph.
const MAX_BYTE: u64 = 1 << 34;

/// Reads a file or directory, and returns its name. `split` is the index of a published split.
pub(crate) fn read(
    asked: &Path,
    split: usize,
    ctx: &LoadContext,
) -> Result<(String, Tables), DatasetError> {
    let found = ctx.resolve(asked)?;
    let own_name =
        || found.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    let refuse_number = |tables: Tables| match split {
        0 => Ok(tables),
        _ => Err(FileFault::error(
            &found,
            format!("it does not have several splits to choose from; leave out split = {split}"),
        )),
    };
    if let (true, Some(name)) = (found.is_file(), planetoid::name_of(asked)) {
        let tables = planetoid::read(asked, name, ctx)?;
        return Ok((name.to_owned(), refuse_number(tables)?));
    }
    if found.is_file() {
        let file = File::open(&found)
            .map_err(|source| DatasetError::Io { path: found.clone(), source })?;
        let tables = archive(&found, BufReader::new(file), split, ctx);
        let (tables, has_several) = tables.map_err(DatasetError::other)?;
        return Ok((own_name(), if has_several { tables } else { refuse_number(tables)? }));
    }
    if found.join("raw").is_dir() {
        let tables = ogb::read(&found, MAX_BYTE, &ctx.memory)?;
        return Ok((own_name(), refuse_number(tables)?));
    }
    if found.join(reddit::DATA).is_file() {
        return Ok(("reddit".into(), refuse_number(reddit::read(&found, MAX_BYTE, &ctx.memory)?)?));
    }
    let (file, name) = planetoid_in(&found)?;
    let tables = planetoid::read(&asked.join(file), &name, ctx)?;
    Ok((name, refuse_number(tables)?))
}

/// Reads an `.npz` file; also returns whether it has several splits.
pub(crate) fn archive<R: Read + Seek>(
    path: &Path,
    file: R,
    split: usize,
    ctx: &LoadContext,
) -> Result<(Tables, bool), NpzError> {
    let mut file = Archive::open(path, file, MAX_BYTE, &ctx.memory)?;
    if file.has("train_masks") && !file.has("indptr") {
        return Ok((masks::read(&mut file, split)?, true));
    }
    compressed_rows::read(&mut file, split, ctx.needs_target)
}

/// A file of the only Planetoid data set in a directory, and its name.
fn planetoid_in(folder: &Path) -> Result<(String, String), DatasetError> {
    let io = |source| DatasetError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if let (Some(name), Some(file)) = (planetoid::name_of(&path), path.file_name()) {
            found.push((name.to_owned(), file.to_string_lossy().into_owned()));
        }
    }
    found.sort_unstable();
    found.dedup_by(|a, b| a.0 == b.0);
    match &found[..] {
        [(name, file)] => Ok((file.clone(), name.clone())),
        [] => Err(FileFault::error(
            folder,
            "it is not a known data set: neither raw/ and split/ of the Open Graph Benchmark, \
             nor reddit_data.npz and reddit_graph.npz, nor Planetoid's ind.NAME.graph and others",
        )),
        _ => Err(FileFault::error(
            folder,
            format!(
                "it holds several data sets ({}); name one of their files, such as {}",
                found.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", "),
                found[0].1
            ),
        )),
    }
}
