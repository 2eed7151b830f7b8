use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use batchlab_core::graphs::TargetKind;
use batchlab_core::registry::{self, Kind};
use batchlab_core::{BatchBuffer, BatchPlan, Shape, collate};
use batchlab_npz::encode;
use batchlab_testkit::damage::{damaged, damages, loads_or_refuses};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn ints(values: &[i32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    encode("<i4", &format!("({},)", values.len()), &bytes)
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    encode("<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// A path of three nodes with unordered edges, and a single edge.
fn arrays() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("n_node", ints(&[3, 2])),
        ("n_edge", ints(&[4, 1])),
        ("senders", ints(&[1, 0, 2, 1, 0])),
        ("receivers", ints(&[2, 1, 1, 0, 1])),
        ("node.class", ints(&[0, 1, 0, 2, 2])),
        (
            "node.position",
            floats("(5, 3)", &[0., 0., 0., 1., 0., 0., 1., 2., 0., 0., 0., 0., 0., 3., 4.]),
        ),
        (
            "node.forces",
            floats("(5, 3)", &[1., 2., 3., 4., 5., 6., 7., 8., 9., -1., -2., -3., 0., 0., 0.5]),
        ),
        ("edge.bond", encode("|u1", "(5,)", &[12, 1, 21, 10, 1])),
        ("graph.energy", floats("(2, 1)", &[-1.5, 2.5])),
        (
            "graph.charge",
            encode("<i8", "(2,)", &[[1_i64, -1].map(i64::to_le_bytes).concat()].concat()),
        ),
    ]
}

fn write(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).expect("a file"));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}.npy"), options).expect("a file");
        zip.write_all(bytes).expect("a file");
    }
    zip.finish().expect("a file");
}

fn config(path: &Path) -> Graphs {
    let fields = ["forces", "bond", "charge"].map(str::to_owned).to_vec();
    let (target, path) = ("energy".to_owned(), path.to_owned());
    Graphs { path, target, unit: Some("eV".into()), classes: Vec::new(), fields, limit: None }
}

/// Loads the arrays, some of them replaced or, if empty, left out.
fn load_with(
    replaced: &[(&'static str, Vec<u8>)],
    change: impl Fn(&mut Graphs),
) -> Result<Store, String> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("mine.npz");
    let mut all = arrays();
    for (name, bytes) in replaced {
        all.retain(|(known, _)| known != name);
        if !bytes.is_empty() {
            all.push((name, bytes.clone()));
        }
    }
    write(&path, &all);
    let mut config = config(&path);
    change(&mut config);
    config.load(&LoadContext::new()).map_err(|error| error.to_string())
}

#[test]
fn arrays_become_graphs_with_all_their_fields() {
    let graphs = load_with(&[], |_| ()).expect("two graphs");
    let needs = BatchFields { node_class: true, displacement: true, ..graphs.fields() };
    let needs = BatchFields { sender_order: false, node_feature: false, ..needs };
    let mut plan = BatchPlan::default();
    let view = graphs.view(&[1, 0]);
    for &size in view.many_graphs().expect("graphs").iter() {
        plan.push_graph(size);
    }
    plan.shape = Shape { n_node: 6, n_edge: 6, n_graph: 3, n_output: 3 };
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &needs, &mut buffer).expect("a batch");
    let batch = buffer.batch();
    assert_eq!(batch.receiver, [1, 2, 3, 3, 4, 5]);
    assert_eq!(batch.sender, [0, 3, 2, 4, 3, 5]);
    assert_eq!(batch.own.get::<u8>("bond").expect("bytes"), [1, 10, 1, 21, 12, 0]);
    assert_eq!(batch.own.get::<i64>("charge").expect("integers"), [-1, 1, 0]);
    assert_eq!(
        batch.own.get::<f32>("forces").expect("floats")[..7],
        [-1., -2., -3., 0., 0., 0.5, 1.]
    );
    assert_eq!(batch.node_class, [2, 2, 0, 1, 0, 0]);
    // Receiver minus sender.
    assert_eq!(batch.displacement[..6], [0., 3., 4., -1., 0., 0.]);
    assert_eq!(batch.distance, [5., 1., 1., 2., 2., 0.]);
    let target = graphs.target.expect("a target");
    assert_eq!((target.value, target.kind.unit()), (vec![-1.5, 2.5], Some("eV")));
}

#[test]
fn classes_and_a_limit() {
    let graphs = load_with(&[("graph.energy", ints(&[1, 0]))], |config| {
        config.classes = vec!["metal".into(), "other".into()];
        (config.unit, config.limit) = (None, NonZeroUsize::new(1));
    });
    let graphs = graphs.expect("one graph");
    let target = graphs.target.as_ref().expect("a target");
    assert!(matches!(target.kind, TargetKind::Classes { .. }));
    assert_eq!((&*target.value, graphs.n_node(), graphs.own[0].n_row()), (&[1.0][..], 3, 3));
}

#[test]
fn what_does_not_fit_is_named_by_array_place_and_remedy() {
    let check = |replaced: &[(&'static str, Vec<u8>)], expected: &str| {
        let error = load_with(replaced, |_| ()).expect_err(expected);
        assert!(error.contains("mine.npz") && error.contains(expected), "{error}");
    };
    check(
        &[("senders", Vec::new())],
        "has no array \"senders\"; its arrays are: edge.bond, graph.charge",
    );
    check(
        &[("n_edge", ints(&[5]))],
        "array \"n_edge\": it has 1 entries, expected 2, the length of `n_node`",
    );
    check(
        &[("n_edge", ints(&[4, 2]))],
        "array \"senders\": it has 5 entries, expected 6 rows, the sum of `n_edge`",
    );
    check(
        &[("receivers", ints(&[2, 1, 1, 0, 4]))],
        "array \"receivers\": entry 4 is 4, expected a node of graph 1, 0 to 1; nodes are counted from 0 within each",
    );
    check(&[("n_node", ints(&[3, 0]))], "array \"n_node\": entry 1 is 0");
    check(
        &[("node.forces", floats("(4, 3)", &[0.0; 12]))],
        "array \"node.forces\": it has 4 entries, expected 5 rows",
    );
    check(
        &[("edge.forces", floats("(5,)", &[0.0; 5]))],
        "has both `node.forces` and `edge.forces`",
    );
    check(
        &[("graph.energy", floats("(2,)", &[1.0, f32::NAN]))],
        "\"graph.energy\": entry 1 is NaN, expected a finite",
    );
    check(
        &[("graph.energy", floats("(2, 2)", &[1.0; 4]))],
        "its shape is rows of 2, expected one number for each graph",
    );
    check(
        &[("graph.charge", Vec::new())],
        "has no array `node.charge` or `edge.charge` or `graph.charge` for dataset.fields \"charge\"; its arrays are",
    );
    check(&[("node.class", ints(&[0, -1, 0, 0, 0]))], "array \"node.class\": entry 1 is -1");
    check(
        &[("graph.energy", Vec::new()), ("graph.energie", floats("(2,)", &[1.0; 2]))],
        "dataset.target \"energy\", did you mean \"energie\"?",
    );
}

#[test]
fn every_key_is_described() {
    let schema = (registry::find(Kind::Dataset, "graphs").expect("registered").schema)();
    for (key, schema) in schema["properties"].as_object().expect("keys") {
        assert!(schema["description"].is_string(), "{key}");
    }
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused(damages in damages()) {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("mine.npz");
        write(&path, &arrays());
        let bytes = std::fs::read(&path).expect("a file");
        loads_or_refuses(&config(&path), &path, &damaged(&bytes, &damages)).map_err(TestCaseError::fail)?;
    }
}
