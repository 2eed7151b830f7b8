//! The plugin: from a configuration to columnar storage.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use batchlab_core::graphs::{Edges, ManyGraphs, Topology};
use batchlab_core::{Dataset, DatasetError, Graphs, LoadContext, Provides};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::read;

/// Graph sizes only, read from a CSV file. There is nothing to train on; use it for plans and
/// forecasts of batching strategies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// A CSV file with a header and the columns `n_node` and `n_edge`, one graph per line; other
    /// columns are ignored. Plain or compressed with xz (detected by content, not by name).
    /// Relative paths are resolved like all paths of the configuration.
    pub path: PathBuf,
    /// Keep only the first graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
}

#[typetag::serde(name = "sizes")]
impl Dataset for Sizes {
    fn provides(&self) -> Provides {
        Provides::default()
    }

    fn load(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let path = ctx.resolve(&self.path)?;
        let counts =
            read::file(&path, self.limit.map_or(usize::MAX, NonZeroUsize::get), &ctx.memory)?;
        let n_read = counts.n_node.len() as u64;
        if n_read == 0 {
            return Err(DatasetError::Empty(format!(
                "{} holds a header and no graph below it",
                path.display()
            )));
        }
        let many = ManyGraphs::new(&counts.n_node, Edges::Counted(counts.n_edge))?;
        let mut graphs = Graphs::new("sizes", Topology::Many(many))?;
        graphs.notes = vec![("graphs read".to_owned(), n_read)];
        Ok(graphs)
    }
}

batchlab_core::register!(
    Dataset,
    Sizes,
    example = Sizes { path: PathBuf::from("data/qm9_sizes.csv.xz"), limit: None }
);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use batchlab_core::registry::{self, Kind};
    use batchlab_core::{Level, View};

    use batchlab_testkit::damage::{damaged, damages, loads_or_refuses};
    use proptest::prelude::*;

    use super::*;

    fn at_the_root() -> LoadContext {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        LoadContext { search: vec![root], ..LoadContext::new() }
    }

    #[test]
    fn the_registered_example_loads_all_sizes_of_qm9() {
        let registration = registry::find(Kind::Dataset, "sizes").expect("registered");
        let example: Box<dyn Dataset> =
            serde_json::from_value((registration.example)()).expect("an example");
        let start = Instant::now();
        let graphs = example.load(&at_the_root()).expect("the file that comes with the code");
        assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
        assert_eq!((graphs.n_member(), graphs.level()), (128_744, Level::Graphs));
        assert_eq!(graphs.notes, [("graphs read".to_owned(), 128_744)]);
        assert_eq!(graphs.fields(), example.provides().fields);
        assert!(graphs.target.is_none());
        let View::ManyGraphs(sizes) = graphs.view(&(0..128_744).collect::<Vec<_>>()) else {
            panic!("many graphs")
        };
        assert_eq!((sizes[0].n_node, sizes[0].n_edge), (5, 20));
        assert_eq!(sizes.iter().map(|size| u64::from(size.n_edge)).sum::<u64>(), 40_939_402);
        assert_eq!(graphs.n_node(), 2_330_532);
    }

    #[test]
    fn a_limit_keeps_the_first() {
        let sizes = Sizes { path: "data/qm9_sizes.csv.xz".into(), limit: NonZeroUsize::new(3) };
        assert_eq!(sizes.load(&at_the_root()).expect("three graphs").n_node(), 5 + 4 + 3);
    }

    #[test]
    fn an_absent_or_empty_file_is_an_error() {
        let absent = Sizes { path: "no/such.csv".into(), limit: None };
        assert!(matches!(absent.load(&LoadContext::new()), Err(DatasetError::NotFound { .. })));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "n_node,n_edge\n").expect("a file");
        let empty = Sizes { path: file.path().to_owned(), limit: None };
        assert!(matches!(empty.load(&LoadContext::new()), Err(DatasetError::Empty(_))));
    }

    #[test]
    fn the_configuration_is_read_strictly() {
        let parse = |text: &str| serde_json::from_str::<Box<dyn Dataset>>(text);
        assert!(parse(r#"{"name": "sizes", "path": "x.csv"}"#).is_ok());
        assert!(parse(r#"{"name": "sizes"}"#).expect_err("no path").to_string().contains("`path`"));
        assert!(
            parse(r#"{"name": "sizes", "path": "x", "n": 1}"#)
                .expect_err("a typo")
                .to_string()
                .contains("`n`")
        );
    }

    #[test]
    fn every_field_is_described() {
        let schema = (registry::find(Kind::Dataset, "sizes").expect("registered").schema)();
        for (field, schema) in schema["properties"].as_object().expect("fields") {
            assert!(schema["description"].is_string(), "{field}");
        }
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_or_refused(damages in damages()) {
            let text = b"n_node,id,n_edge\n5,7,20\n3, 8, 6\n12,9,132\n";
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sizes.csv");
            let dataset = Sizes { path: path.clone(), limit: None };
            loads_or_refuses(&dataset, &path, &damaged(text, &damages)).map_err(TestCaseError::fail)?;
        }
    }
}
