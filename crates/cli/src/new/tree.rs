//! A plugin inside the source tree: its directory, and a line in each of three lists.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::component::Component;
use super::{NewFile, check_free, read, steps};
use crate::exit::Usage;

/// The root of the batchlab source tree that contains a directory.
pub(super) fn find_root(folder: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| {
        folder.join("Cargo.toml").is_file()
            && folder.join("crates/builtin/Cargo.toml").is_file()
            && folder.join("plugins/batchers").is_dir()
    };
    folder.ancestors().find(is_root).map(Path::to_path_buf)
}

pub(super) fn plan(root: &Path, component: &Component) -> Result<Vec<NewFile>> {
    let folder = root.join(component.folder());
    check_free(&folder)?;
    let mut files = vec![NewFile::new(folder.join("Cargo.toml"), component.tree_manifest())];
    files.extend(component.source_files(&folder));
    for (path, line, places) in entries(component) {
        let path = root.join(path);
        let Some(text) = insert(&read(&path)?, &line, places) else {
            bail!(Usage(format!(
                "{} lists no plugins, so the line `{line}` has no place; is this the source tree of batchlab?",
                path.display()
            )));
        };
        files.push(NewFile::change(path, text));
    }
    Ok(files)
}

/// Prefixes of the lines that list plugins.
type Places = [&'static str; 4];

/// For each list: its file, the new line, and the prefixes of its lines.
fn entries(component: &Component) -> [(&'static str, String, Places); 3] {
    let manifest = ["batcher-", "dataset-", "model-", "sink-"];
    let source = ["use batcher_", "use dataset_", "use model_", "use sink_"];
    let package = component.package();
    let path = component.folder();
    [
        ("Cargo.toml", format!("{package} = {{ path = \"{path}\" }}"), manifest),
        ("crates/builtin/Cargo.toml", format!("{package}.workspace = true"), manifest),
        ("crates/builtin/src/lib.rs", format!("use {} as _;", component.library()), source),
    ]
}

/// Inserts a line, sorted by name, into the list whose lines start with one of the prefixes
/// `places`. `None` if there is no such list.
fn insert(text: &str, line: &str, places: Places) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let listed = |line: &&str| places.iter().any(|start| line.starts_with(start));
    let first = lines.iter().position(listed)?;
    let n_listed = lines[first..].iter().take_while(|line| listed(line)).count();
    let before = lines[first..first + n_listed].iter().filter(|other| key(other) < key(line));
    let at = first + before.count();
    let (above, below) = lines.split_at(at);
    let all = above.iter().chain(std::iter::once(&line)).chain(below);
    Some(all.fold(String::new(), |text, line| text + line + "\n"))
}

fn key(line: &str) -> &str {
    let name = line.strip_prefix("use ").unwrap_or(line);
    name.split([' ', '.', ';']).next().unwrap_or(name)
}

pub(super) fn next_steps(component: &Component) -> String {
    let Component { kind, name, .. } = component;
    let package = component.package();
    let trial = component
        .trial("configs")
        .map(|trial| (format!("cargo run --release -- {trial}"), "train it"));
    let intro = format!(
        "{kind} \"{name}\" is in {} and passes the conformance kit. Next:",
        component.folder()
    );
    let first = [
        (format!("cargo test --release -p {package}"), "the kit, and your own tests"),
        ("cargo run --release -- list".into(), "lists it"),
    ];
    let next = steps(&intro, first.into_iter().chain(trial));
    format!(
        "{next}Some tests compare what the program prints, and pages in docs/, with what is stored; both name all\n\
         components. This stores them with the new one; `git diff` shows what has changed:\n  \
         INSTA_UPDATE=always BATCHLAB_BLESS=1 cargo test --release -p batchlab-cli\n\
         (INSTA_UPDATE=always writes the printed texts, *.snap; BATCHLAB_BLESS=1 writes the pages.)\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new::name::Name;

    const LIST: &str = "\
[workspace.dependencies]
# ours
batchlab-core = { path = \"crates/core\" }
batcher-dynamic = { path = \"plugins/batchers/dynamic\" }
batcher-static = { path = \"plugins/batchers/static\" }
dataset-qm9 = { path = \"plugins/datasets/qm9\" }

# registry
serde = \"1\"
";

    fn batcher(name: &str) -> Component {
        Component::batcher(Name::parse(name).unwrap())
    }

    fn check(name: &str, after: &str) {
        let [(_, line, places), ..] = entries(&batcher(name));
        let text = insert(LIST, &line, places).unwrap();
        let at = text.lines().position(|other| other == line).unwrap();
        assert!(text.lines().nth(at - 1).unwrap().starts_with(after), "{text}");
        assert_eq!(text.replace(&format!("{line}\n"), ""), LIST, "nothing else changes");
    }

    #[test]
    fn a_line_goes_where_its_name_belongs() {
        check("alpha", "batchlab-core");
        check("packed", "batcher-dynamic");
        check("static-2", "batcher-static");
        check("zeta", "batcher-static");
    }

    #[test]
    fn without_a_list_nothing_is_inserted() {
        let [(_, line, places), ..] = entries(&batcher("packed"));
        assert_eq!(insert("[package]\nname = \"other\"\n", &line, places), None);
    }
}
