//! A new component: its kind, its name, and what is derived from them.

use std::path::Path;

use batchlab_core::registry::Kind;

use super::NewFile;
use super::name::Name;

pub(super) struct Component {
    pub(super) kind: Kind,
    pub(super) name: Name,
    templates: Templates,
}

/// Text templates to be filled with names.
struct Templates {
    /// Manifest in the source tree, and of a separate crate.
    manifest: [&'static str; 2],
    /// Path within the crate, and text.
    sources: &'static [(&'static str, &'static str)],
}

const BATCHER: Templates = Templates {
    manifest: [
        include_str!("templates/batcher_tree.toml.txt"),
        include_str!("templates/batcher_standalone.toml.txt"),
    ],
    sources: &[
        ("src/lib.rs", include_str!("templates/batcher_lib.rs.txt")),
        ("tests/contract.rs", include_str!("templates/batcher_contract.rs.txt")),
    ],
};

const MODEL: Templates = Templates {
    manifest: [
        include_str!("templates/model_tree.toml.txt"),
        include_str!("templates/model_standalone.toml.txt"),
    ],
    sources: &[
        ("src/lib.rs", include_str!("templates/model_lib.rs.txt")),
        ("src/network.rs", include_str!("templates/model_network.rs.txt")),
        ("tests/contract.rs", include_str!("templates/model_contract.rs.txt")),
    ],
};

impl Component {
    pub(super) fn batcher(name: Name) -> Self {
        Self { kind: Kind::Batcher, name, templates: BATCHER }
    }

    pub(super) fn model(name: Name) -> Self {
        Self { kind: Kind::Model, name, templates: MODEL }
    }

    /// The package name, for example `batcher-best-fit`.
    pub(super) fn package(&self) -> String {
        format!("{}-{}", self.kind, self.name)
    }

    /// The library name, for example `batcher_best_fit`.
    pub(super) fn library(&self) -> String {
        self.package().replace('-', "_")
    }

    /// Its directory in the source tree, for example `plugins/batchers/best-fit`.
    pub(super) fn folder(&self) -> String {
        format!("plugins/{}s/{}", self.kind, self.name)
    }

    /// Fills a template with these names. Types end in `Batcher`, `Grouping`, `Model` or `Network`,
    /// so that no name collides with an import or a keyword.
    pub(super) fn fill_in(&self, template: &str) -> String {
        template
            .replace("@KIND@", self.kind.key())
            .replace("@NAME@", self.name.as_str())
            .replace("@PACKAGE@", &self.package())
            .replace("@LIBRARY@", &self.library())
            .replace("@CAMEL@", &self.name.camel())
    }

    pub(super) fn tree_manifest(&self) -> String {
        self.fill_in(self.templates.manifest[0])
    }

    pub(super) fn standalone_manifest(&self) -> String {
        self.fill_in(self.templates.manifest[1])
    }

    /// The plugin's own files, the same inside and outside the source tree.
    pub(super) fn source_files(&self, folder: &Path) -> Vec<NewFile> {
        let file = |(path, template): &(&str, &str)| {
            NewFile::new(folder.join(path), self.fill_in(template))
        };
        self.templates.sources.iter().map(file).collect()
    }

    /// The arguments to `batchlab` that try out the component. `configs` is the directory of the
    /// examples.
    pub(super) fn trial(&self, configs: &str) -> Option<String> {
        (self.kind == Kind::Model)
            .then(|| format!("run {configs}/smoke.toml 'model={{ name = \"{}\" }}'", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_cargo_and_rust() {
        let filled =
            |component: Component| component.fill_in("@KIND@ @NAME@ @PACKAGE@ @LIBRARY@ @CAMEL@");
        let name = || Name::parse("k-2-hop").unwrap();
        assert_eq!(
            filled(Component::batcher(name())),
            "batcher k-2-hop batcher-k-2-hop batcher_k_2_hop K2Hop"
        );
        assert_eq!(
            filled(Component::model(name())),
            "model k-2-hop model-k-2-hop model_k_2_hop K2Hop"
        );
        assert_eq!(Component::model(name()).folder(), "plugins/models/k-2-hop");
    }
}
