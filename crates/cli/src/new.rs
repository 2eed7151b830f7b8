//! `batchlab new`: creates a component.

mod component;
mod name;
mod standalone;
mod tree;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use batchlab_core::registry::find;
use batchlab_files::{atomic_write, make_folder};

use crate::exit::Usage;
use crate::output::print;
use crate::say::say;
use component::Component;
use name::Name;

/// Create a component: a working crate with tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    kind: NewKind,
}

#[derive(Debug, clap::Subcommand)]
enum NewKind {
    /// Create a working batcher that is registered and passes the conformance kit.
    ///
    /// Inside the source tree of batchlab this creates `plugins/batchers/NAME` and adds it to the
    /// lists of plugins. Elsewhere, or with --dir, it creates a separate crate with a binary that
    /// has everything that this one has, plus the new batcher.
    Batcher(Target),
    /// Create a working model that is registered, learns, and passes the conformance kit.
    ///
    /// Inside the source tree of batchlab this creates `plugins/models/NAME` and adds it to the
    /// lists of plugins. Elsewhere, or with --dir, it creates a separate crate with a binary that
    /// has everything that this one has, plus the new model.
    Model(Target),
}

/// Name and location of the component.
#[derive(Debug, clap::Args)]
struct Target {
    /// Name in a configuration: words of lower-case letters and digits, joined by hyphens.
    name: String,
    /// Create a separate crate in this directory, even inside the source tree.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Source tree of batchlab that a separate crate depends on; defaults to the one from which
    /// this program was built.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (place, make): (_, fn(Name) -> Component) = match &arguments.kind {
        NewKind::Batcher(place) => (place, Component::batcher),
        NewKind::Model(place) => (place, Component::model),
    };
    let component = make(Name::parse(&place.name).map_err(Usage)?);
    if let Some(taken) = find(component.kind, component.name.as_str()) {
        bail!(Usage(format!(
            "the name \"{}\" is taken by a {} of {}; choose another",
            component.name, component.kind, taken.package
        )));
    }
    let here = std::env::current_dir().context("cannot determine the current folder")?;
    let tree = if place.dir.is_some() { None } else { tree::find_root(&here) };
    let done = if let Some(root) = tree {
        let files = tree::plan(&root, &component)?;
        write_all(&files)?;
        tree::next_steps(&component)
    } else {
        let source = place.source.clone().unwrap_or_else(built_from);
        let parent = place.dir.as_ref().map_or(here.clone(), |dir| here.join(dir));
        let files = standalone::plan(&parent, &source, &component)?;
        write_all(&files)?;
        standalone::next_steps(&parent, &source, &component)
    };
    print(&done)
}

/// A file to write. All files are planned before the first one is written, so that an error leaves
/// nothing half done.
struct NewFile {
    path: PathBuf,
    text: String,
    is_change: bool,
}

impl NewFile {
    fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, is_change: false }
    }

    fn change(path: PathBuf, text: String) -> Self {
        Self { path, text, is_change: true }
    }
}

fn write_all(files: &[NewFile]) -> Result<()> {
    for file in files {
        let path = &file.path;
        let text = file.text.as_bytes();
        let written = if file.is_change {
            atomic_write(path, text)
        } else {
            make_folder(path.parent().unwrap_or(path))
                .and_then(|()| File::create_new(path)?.write_all(text))
        };
        written.with_context(|| format!("cannot write {}", path.display()))?;
        let verb = if file.is_change { "changed" } else { "wrote" };
        // A closed standard error must not stop this half-way.
        say!("{verb} {}", path.display());
    }
    Ok(())
}

/// The source tree from which this program was built, if it still exists.
fn built_from() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// Rejects an existing directory, so that nothing is overwritten.
fn check_free(folder: &Path) -> Result<()> {
    if folder.exists() {
        bail!(Usage(format!("{} exists; choose another name or remove it", folder.display())));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A list of commands with descriptions.
fn steps(intro: &str, steps: impl IntoIterator<Item = (String, &'static str)>) -> String {
    let mut text = format!("{intro}\n");
    for (command, what) in steps {
        let _ = writeln!(text, "  {command:<48} # {what}");
    }
    text
}
