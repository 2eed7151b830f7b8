//! Cora in numbers, and files with one error each.

#![allow(clippy::float_cmp, reason = "what is copied is equal to the last bit")]

use std::io::Write;

use batchlab_core::View;
use batchlab_core::graphs::{FixedSplit, OneGraph};
use batchlab_core::hash::sha256;
use batchlab_core::registry::{self, Kind};

use super::*;

mod forms;
use batchlab_npz::encode as write;
use batchlab_testkit::damage::{damaged, damages, loads_or_refuses, loads_or_refuses_in};
use proptest::prelude::*;

fn load(options: &OneGraphFile) -> Graphs {
    let graphs = options.load(&LoadContext::new()).expect("a good file");
    graphs.check().expect("consistent");
    // Whether rows are sparse is known only after reading them.
    let fields = BatchFields { sparse_feature: false, ..graphs.fields() };
    assert_eq!(fields, options.provides().fields);
    graphs
}

fn one(graphs: &Graphs) -> &OneGraph {
    let Topology::One(one) = &graphs.topology else { panic!("one graph") };
    one
}

fn note(graphs: &Graphs, what: &str) -> u64 {
    graphs.notes.iter().find(|note| note.0 == what).expect(what).1
}

#[test]
fn cora_is_cora() {
    assert_eq!(sha256(CORA), "fd5394b8b8db92f736b6ed462e67c8f9d80b4cae0b48932727a2e88504ca1ff8");
    let graphs = load(&OneGraphFile::default());
    let (graph, target) = (one(&graphs), graphs.target.as_ref().expect("classes"));
    assert_eq!((graphs.dataset.as_str(), graphs.n_member()), ("cora", 2708));
    assert_eq!((graph.sender.len(), graph.edge_weight.len()), (10_556, 0));
    for what in ["edges in one direction only", "nodes that receive no edge", "self loops added"] {
        assert_eq!(note(&graphs, what), 0, "{what}");
    }
    // Class sizes of Planetoid's Cora.
    let size = |class: u32| target.value.iter().filter(|&&v| v == f64::from(class)).count();
    assert_eq!((0..7).map(size).collect::<Vec<_>>(), [351, 217, 418, 818, 426, 298, 180]);
    let feature = graphs.node_feature.as_ref().expect("features");
    // One word in 79 is present, so the features stay sparse.
    assert!(matches!(feature, NodeFeature::Sparse { .. }));
    assert_eq!((feature.width(), feature.value().len()), (1433, 49_216));
    let split = graphs.split.as_ref().expect("the published split");
    let sizes = [&split.train, &split.validation, &split.test].map(Vec::len);
    assert_eq!(sizes, [140, 500, 1000]);
    // 20 nodes per class are for training.
    let View::OneGraph(view) = graphs.view(&split.train) else { panic!("one graph") };
    for class in 0..7 {
        assert_eq!(split.train.iter().filter(|&&n| view.class[n as usize] == class).count(), 20);
    }
}

#[test]
fn weights_are_those_of_the_full_graph_with_its_loops() {
    let options =
        OneGraphFile { self_loops: true, edge_weight: EdgeWeight::Row, ..OneGraphFile::default() };
    let row = load(&options);
    assert_eq!(note(&row, "self loops added"), 2708);
    assert_eq!(one(&row).sender.len(), 10_556 + 2708);
    for node in 0..2708 {
        let sum: f32 = one(&row).edge_weight[one(&row).incoming(node)].iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "node {node}: {sum}");
    }
    let options = OneGraphFile { edge_weight: EdgeWeight::Symmetric, ..options };
    let graphs = load(&options);
    let graph = one(&graphs);
    let degree = |node: u32| graph.incoming(node).len() as f32;
    let neighbour = graph.sender[graph.incoming(5).start];
    let expected = 1.0 / (degree(5) * degree(neighbour)).sqrt();
    assert!((graph.edge_weight[graph.incoming(5).start] - expected).abs() < 1e-7);
    assert_ne!(graphs.content_hash(), row.content_hash());
}

#[test]
fn rows_are_normalised() {
    let raw = load(&OneGraphFile::default()).node_feature.expect("features");
    let options = OneGraphFile { row_normalise: true, ..OneGraphFile::default() };
    let feature = load(&options).node_feature.expect("features");
    for node in 0..2708 {
        let (row, raw) = (&feature.value()[feature.row(node)], &raw.value()[raw.row(node)]);
        assert!(!raw.is_empty() && raw.iter().all(|&value| value == 1.0));
        assert!(row.iter().all(|&value| value == 1.0 / raw.len() as f32));
    }
}

#[test]
fn the_registered_example_loads() {
    let registration = registry::find(Kind::Dataset, "one-graph").expect("registered");
    let example: Box<dyn Dataset> =
        serde_json::from_value((registration.example)()).expect("an example");
    assert_eq!(example.load(&LoadContext::new()).expect("Cora").n_node(), 2708);
}

/// Four nodes, 0 - 1 and 0 - 2; the last is isolated and unlabelled.
struct Small(Vec<(&'static str, Vec<u8>)>);

const SPLIT: &[&str] = &["train_idx", "val_idx", "test_idx"];

fn integers(values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write("<i8", &format!("({},)", values.len()), &bytes)
}

fn floats(values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write("<f4", &format!("({},)", values.len()), &bytes)
}

impl Small {
    fn new() -> Self {
        Self(vec![
            ("indptr", integers(&[0, 2, 3, 4, 4])),
            ("indices", integers(&[2, 1, 0, 0])),
            ("labels", integers(&[0, 2, 1, -7])),
            ("feat_indptr", integers(&[0, 1, 1, 3, 3])),
            ("feat_indices", integers(&[1, 0, 1])),
            ("feat_data", floats(&[0.5, 3.0, -1.0])),
            ("feat_shape", integers(&[4, 2])),
            ("train_idx", integers(&[1])),
            ("val_idx", integers(&[0])),
            ("test_idx", integers(&[2])),
        ])
    }

    fn with(mut self, array: &'static str, bytes: Vec<u8>) -> Self {
        self.0.iter_mut().find(|entry| entry.0 == array).expect(array).1 = bytes;
        self
    }

    fn without(mut self, arrays: &[&str]) -> Self {
        self.0.retain(|entry| !arrays.contains(&entry.0));
        self
    }

    fn packed(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in &self.0 {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{name}.npy"), options).expect("memory");
            zip.write_all(bytes).expect("memory");
        }
        zip.finish().expect("memory").into_inner()
    }

    fn load(&self) -> Result<Graphs, DatasetError> {
        self.load_in(&LoadContext::new())
    }

    fn load_in(&self, ctx: &LoadContext) -> Result<Graphs, DatasetError> {
        let file = tempfile::Builder::new().prefix("small").suffix(".npz").tempfile();
        let mut file = file.expect("a file");
        file.write_all(&self.packed()).expect("a file");
        let path = Some(file.path().to_owned());
        OneGraphFile { path, ..OneGraphFile::default() }.load(ctx)
    }

    fn broken(&self, part: &str) {
        let message = self.load().expect_err(part).to_string();
        assert!(message.contains("small") && message.contains(".npz"), "the file: {message}");
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
}

#[test]
fn a_small_file_is_read_to_the_last_value() {
    let graphs = Small::new().load().expect("a good file");
    let expected =
        OneGraph { offset: vec![0, 2, 3, 4, 4], sender: vec![1, 2, 0, 0], edge_weight: vec![] };
    assert_eq!(one(&graphs), &expected);
    let target = graphs.target.as_ref().expect("classes");
    assert_eq!(target.value, [0.0, 2.0, 1.0, -1.0]);
    let feature = graphs.node_feature.as_ref().expect("features");
    assert_eq!(feature.value(), [0.0, 0.5, 0.0, 0.0, 3.0, -1.0, 0.0, 0.0]);
    let split = FixedSplit { train: vec![1], validation: vec![0], test: vec![2] };
    assert_eq!(graphs.split, Some(split));
    assert_eq!(note(&graphs, "nodes without a class"), 1);

    let unsplit = Small::new().without(SPLIT);
    assert_eq!(unsplit.load().expect("a good file").split, None);

    // Predictions need no classes.
    let ctx = LoadContext { needs_target: false, ..LoadContext::new() };
    let graphs = Small::new().without(&["labels"]).load_in(&ctx).expect("a good file");
    assert_eq!((graphs.split, graphs.target.expect("classes").value), (None, vec![-1.0; 4]));
}

#[test]
fn masks_are_a_split_of_compressed_rows_too() {
    let flags = |shape: &str, flags: &[u8]| write("|b1", shape, flags);
    let with = |names: [&'static str; 3], masks: [Vec<u8>; 3]| {
        let mut small = Small::new().without(SPLIT);
        small.0.extend(names.into_iter().zip(masks));
        small
    };
    let one = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]].map(|mask| flags("(4,)", &mask));
    let split = FixedSplit { train: vec![1], validation: vec![0], test: vec![2] };
    for names in
        [["train_mask", "val_mask", "test_mask"], ["train_mask", "valid_mask", "test_mask"]]
    {
        let graphs = with(names, one.clone()).load().expect("a good file");
        assert_eq!(graphs.split.as_ref(), Some(&split), "{names:?}");
    }
    // Several splits, as rows or as columns.
    let rows = [[0, 1, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 1, 0]];
    let columns = [[0, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0]];
    let by_row =
        with(["train_masks", "val_masks", "test_masks"], rows.map(|m| flags("(2, 4)", &m)));
    let by_column =
        with(["train_mask", "val_mask", "test_mask"], columns.map(|m| flags("(4, 2)", &m)));
    for small in [by_row, by_column] {
        assert_eq!(small.load().expect("a good file").split.as_ref(), Some(&split));
    }
    let less = with(["train_mask", "val_mask", "other"], one);
    less.broken("no array \"test_mask\"");
    with(["train_mask", "val_mask", "test_mask"], [(); 3].map(|()| flags("(3,)", &[1, 0, 0])))
        .broken("array \"train_mask\": its shape is (1, 3), expected a row for each split");
}

#[test]
fn every_mistake_names_its_array() {
    let small = Small::new;
    small().without(&["labels"]).broken("no array \"labels\"; its arrays are: feat_data, ");
    small().without(&["test_idx"]).broken("no array \"test_idx\"");
    let indptr = |values: &[i64]| small().with("indptr", integers(values));
    indptr(&[0]).broken("array \"indptr\": it has 1 entries, expected one more than nodes");
    indptr(&[1, 2, 3, 4, 4]).broken("array \"indptr\": entry 0 is 1, expected 0");
    indptr(&[0, 3, 2, 4, 4]).broken("array \"indptr\": entry 2 is 2, expected at least 3");
    indptr(&[0, 2, 3, 4, 5]).broken("entry 4 is 5, expected 4, the length of indices");
    indptr(&[0, -2, 3, 4, 4]).broken("entry 1 is -2, expected a whole number from 0");
    let indices = |values: &[i64]| small().with("indices", integers(values));
    indices(&[2, 4, 0, 0])
        .broken("array \"indices\": entry 1 is 4, expected a whole number from 0 to 3");
    indices(&[2, 2, 0, 0]).broken("is 2, expected each neighbour once in its row");
    small().with("indices", floats(&[0.0; 4])).broken("array \"indices\": its type is a float");
    small().with("labels", integers(&[0, 1])).broken("\"labels\": it has 2 entries, expected 4");
    small()
        .with("labels", integers(&[0, 1, 4, 1]))
        .broken("\"labels\": entry 2 is 4, expected a whole number");
    let unlabelled = small().with("labels", integers(&[-1; 4])).without(SPLIT);
    let error = unlabelled.load().expect_err("no labels").to_string();
    assert!(error.contains("no node of \"small") && error.contains("has a class"), "{error}");
    small().with("feat_shape", integers(&[5, 2])).broken("entry 0 is 5, expected 4, the number");
    small().with("feat_shape", integers(&[4, 0])).broken("entry 1 is 0, expected at least one");
    small().with("feat_shape", integers(&[3])).broken("\"feat_shape\": it has 1 entries");
    small().with("feat_shape", integers(&[4, 1])).broken("\"feat_indices\": entry 0 is 1");
    small().with("feat_data", floats(&[0.0; 2])).broken("\"feat_data\": it has 2 entries");
    small().with("feat_data", floats(&[0.0, f32::NAN, 0.0])).broken("entry 1 is NaN");
    small().with("feat_data", b"nonsense".to_vec()).broken("\"feat_data\": it is not an array");
    small().with("val_idx", integers(&[1])).broken("\"val_idx\": entry 0 is 1, expected each node");
    small()
        .with("val_idx", integers(&[3]))
        .broken("entry 0 is 3, expected nodes that have a label");
    small().with("val_idx", integers(&[4])).broken("\"val_idx\": entry 0 is 4");
    small().with("test_idx", integers(&[])).broken("\"test_idx\": it has 0 entries, expected at");
}

#[test]
fn what_is_no_archive_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &CORA[..5000]).expect("a file");
    let options = OneGraphFile { path: Some(file.path().to_owned()), ..OneGraphFile::default() };
    let error = options.load(&LoadContext::new()).expect_err("cut off").to_string();
    assert!(error.contains("is not a readable .npz file"), "{error}");
    let absent = OneGraphFile { path: Some("no/such.npz".into()), ..OneGraphFile::default() };
    assert!(matches!(absent.load(&LoadContext::new()), Err(DatasetError::NotFound { .. })));
}

#[test]
fn a_width_without_data_is_refused() {
    let wide = |n: i64| Small::new().with("feat_shape", integers(&[4, n]));
    assert!(wide(1_000_000).load().is_ok());
    wide(2_000_000_000).broken("at most 2560000 columns");
}

proptest! {
    /// Checksums usually detect damage to the archive, but not damage to an array before it was
    /// compressed.
    #[test]
    fn damaged_files_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        in_archive in damages(),
        in_array in damages(),
        of_array in any::<bool>(),
    ) {
        let mut small = Small::new();
        let array = &mut small.0[which.index(10)].1;
        let bytes = if of_array {
            *array = damaged(array, &in_array);
            small.packed()
        } else {
            damaged(&small.packed(), &in_archive)
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("small.npz");
        let dataset = OneGraphFile { path: Some(path.clone()), ..OneGraphFile::default() };
        loads_or_refuses(&dataset, &path, &bytes).map_err(TestCaseError::fail)?;
    }
}
