//! Output files named on the command line.

use std::fs::{self, File, FileType};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use batchlab_draw::{is_png_of_ours, is_svg_of_ours};
use batchlab_files::{atomic_write, open_data};
use batchlab_run::predictions::{is_predictions, is_weights};

use crate::exit::Usage;

/// The kind of content. An existing file is replaced only if it is of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Svg,
    Png,
    Page,
    Predictions,
    Weights,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Svg => "SVG",
            Self::Png => "PNG",
            Self::Page => "a page of HTML",
            Self::Predictions => "Parquet",
            Self::Weights => "safetensors",
        }
    }

    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Svg => &["svg"],
            Self::Png => &["png"],
            Self::Page => &["html", "htm", "xhtml"],
            Self::Predictions => &["parquet"],
            Self::Weights => &["safetensors"],
        }
    }

    /// Whether a file holds this program's output of this kind, whatever its name.
    fn is_in(self, path: &Path) -> bool {
        match self {
            Self::Svg => is_svg_of_ours(&head(path)),
            Self::Png => is_png_of_ours(&head(path)),
            Self::Page => head(path).starts_with(batchlab_report::PAGE_BEGIN.as_bytes()),
            Self::Predictions => is_predictions(path),
            Self::Weights => is_weights(path),
        }
    }
}

fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // Unreadable files are of no kind.
    let _ = open_data(path).and_then(|file| file.take(4 << 10).read_to_end(&mut head));
    head
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Force {
    /// Replace an existing file even if this program did not write it.
    #[arg(long)]
    force: bool,
}

/// A file that may be written.
#[derive(Debug)]
pub(crate) struct OutFile<'a> {
    path: &'a Path,
    kind: Kind,
    force: Force,
}

impl<'a> OutFile<'a> {
    /// Rejects in advance what [`OutFile::write`] would reject, before anything is computed.
    pub(crate) fn new(path: &'a Path, kind: Kind, force: Force) -> Result<Self> {
        check_ending(path, kind)?;
        let file = Self { path, kind, force };
        file.target()?;
        Ok(file)
    }

    pub(crate) fn of(path: Option<&'a PathBuf>, kind: Kind, force: Force) -> Result<Option<Self>> {
        path.map(|path| Self::new(path, kind, force)).transpose()
    }

    /// Writes the file atomically: an existing file stays until the new one is complete. Anything
    /// but a regular file, such as `/dev/stdout` or a pipe, is written directly. Returns the file's
    /// name for a message.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<String> {
        let cannot = || format!("cannot write {}", self.path.display());
        let name = self.path.display().to_string();
        match self.target()? {
            Target::Stream => {
                let mut stream =
                    File::options().write(true).open(self.path).with_context(cannot)?;
                stream.write_all(bytes).with_context(cannot)?;
                Ok(name)
            }
            Target::New => atomic_write(self.path, bytes).map(|()| name).with_context(cannot),
            Target::Old(path) => {
                atomic_write(&path, bytes).with_context(cannot)?;
                Ok(format!("{name}, replacing the existing file"))
            }
        }
    }

    fn target(&self) -> Result<Target> {
        let (path, shown) = (self.path, self.path.display());
        if let Some(folder) = own_folder_around(path) {
            bail!(Usage(format!(
                "{shown} would lie in {}, where only runs write; name another place",
                folder.display()
            )));
        }
        let Ok(found) = fs::metadata(path) else { return Ok(Target::New) };
        if is_stream(found.file_type()) {
            return Ok(Target::Stream);
        }
        if !found.is_file() {
            let is = if found.is_dir() { "a folder" } else { "a device" };
            bail!(Usage(format!("{shown} is {is}; name a file")));
        }
        // An empty file has nothing to lose.
        if found.len() > 0 && !self.force.force && !self.kind.is_in(path) {
            bail!(Usage(format!(
                "{shown} does not hold {} that this program has written; name another file, or replace it with \
                 --force",
                self.kind.name()
            )));
        }
        // A link is resolved to the file to replace.
        Ok(Target::Old(fs::canonicalize(path).with_context(|| format!("cannot find {shown}"))?))
    }
}

enum Target {
    New,
    Old(PathBuf),
    Stream,
}

#[cfg(unix)]
fn is_stream(found: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.is_fifo() || found.is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_: FileType) -> bool {
    false
}

/// Rejects a file whose extension belongs to another format. A name without an extension is fine.
fn check_ending(path: &Path, kind: Kind) -> Result<()> {
    let Some(found) = path.extension() else { return Ok(()) };
    let endings = kind.endings();
    if endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)) {
        return Ok(());
    }
    let endings: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
    bail!(Usage(format!(
        "{}: {} is written, and such a file ends in {}; rename it",
        path.display(),
        kind.name(),
        endings.join(" or ")
    )))
}

/// The enclosing results directory, if the path lies where only runs write: readers would open any
/// other file there, and a run's own file would be lost.
pub(crate) fn own_folder_around(path: &Path) -> Option<PathBuf> {
    // Resolves links as far as the path exists.
    let path = std::path::absolute(path).ok()?;
    let real = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(fs::canonicalize(there).ok()?.join(rest))
    })?;
    let is_own = |folder: &&Path| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| ["tables", "runs", "cells", "wip"].contains(&name))
            && folder.parent().is_some_and(holds_results)
    };
    real.ancestors().find(is_own).map(Path::to_owned)
}

fn holds_results(folder: &Path) -> bool {
    let inside = |name: &str| fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
    folder.join("tables/runs").is_dir()
        || inside("runs").any(|run| run.path().join("config.toml").exists())
        || inside("cells").any(|hardware| hardware.path().join("cells.json").exists())
}
