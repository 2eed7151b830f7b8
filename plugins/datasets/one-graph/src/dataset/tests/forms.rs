//! The other file formats: small files written here and, where available, real ones.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

/// Files in a directory, by name.
struct Folder(Vec<(String, Vec<u8>)>);

impl Folder {
    fn with(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.0.iter_mut().find(|file| file.0 == name).expect(name).1 = bytes;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|file| file.0 != name);
        self
    }

    fn write(&self) -> TempDir {
        let folder = tempfile::Builder::new().prefix("small").tempdir().expect("a folder");
        for (name, bytes) in &self.0 {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
        folder
    }

    fn load(&self) -> Result<Graphs, DatasetError> {
        self.load_with(|path| OneGraphFile { path: Some(path.to_owned()), ..Default::default() })
    }

    fn load_with(&self, of: impl Fn(&Path) -> OneGraphFile) -> Result<Graphs, DatasetError> {
        let folder = self.write();
        let graphs = of(folder.path()).load(&LoadContext::new())?;
        graphs.check().expect("consistent");
        Ok(graphs)
    }

    fn broken(&self, name: &str, part: &str) {
        let message = self.load().expect_err(part).to_string();
        assert!(message.contains(name) && message.contains(part), "{name}, `{part}`: {message}");
    }
}

fn labels(graphs: &Graphs) -> &[f64] {
    &graphs.target.as_ref().expect("classes").value
}

fn features(graphs: &Graphs) -> &[f32] {
    graphs.node_feature.as_ref().expect("features").value()
}

fn split(train: &[u32], validation: &[u32], test: &[u32]) -> FixedSplit {
    let [train, validation, test] = [train, validation, test].map(<[u32]>::to_vec);
    FixedSplit { train, validation, test }
}

/// Four nodes, 0 - 1 and 1 - 2, the first listed twice; two splits.
fn masks() -> Small {
    let flags = |flags: &[u8]| write("|b1", "(2, 4)", flags);
    Small(vec![
        (
            "node_features",
            write("<f4", "(4, 1)", &[1_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat()),
        ),
        ("node_labels", integers(&[1, 0, 1, 0])),
        ("edges", write("<i8", "(3, 2)", &[0_i64, 1, 2, 1, 0, 1].map(i64::to_le_bytes).concat())),
        ("train_masks", flags(&[1, 0, 0, 0, 0, 1, 0, 0])),
        ("val_masks", flags(&[0, 1, 0, 0, 0, 0, 0, 1])),
        ("test_masks", flags(&[0, 0, 1, 1, 1, 0, 1, 0])),
    ])
}

#[test]
fn masks_hold_several_splits() {
    let with = |split: u32| {
        let file = Folder(vec![("small.npz".into(), masks().packed())]);
        file.load_with(|folder| OneGraphFile {
            path: Some(folder.join("small.npz")),
            split,
            ..OneGraphFile::default()
        })
    };
    let graphs = with(0).expect("a good file");
    assert_eq!(
        (one(&graphs).offset.as_slice(), one(&graphs).sender.as_slice()),
        (&[0, 1, 3, 4, 4][..], &[1, 0, 2, 1][..])
    );
    assert_eq!(
        (features(&graphs), labels(&graphs)),
        (&[1.0, 2.0, 3.0, 4.0][..], &[1.0, 0.0, 1.0, 0.0][..])
    );
    assert_eq!(note(&graphs, "repeated edges left out"), 1);
    assert_eq!(graphs.split, Some(split(&[0], &[1], &[2, 3])));
    assert_eq!(with(1).expect("a good file").split, Some(split(&[1], &[3], &[0, 2])));
    let error = with(2).expect_err("two splits").to_string();
    assert!(
        error.contains("it has 2 entries, expected 3 (dataset.split = 2, counted from 0)"),
        "{error}"
    );
    let flags = |flags: &[u8]| write("|b1", "(2, 4)", flags);
    masks()
        .with("val_masks", flags(&[1, 0, 0, 0, 0, 0, 0, 1]))
        .broken("\"val_masks\": entry 0 is 1 for node 0, expected each node once");
    masks()
        .with("val_masks", flags(&[0; 8]))
        .broken("\"val_masks\": it has 0 entries, expected at least one node");
    masks()
        .with("val_masks", flags(&[2; 8]))
        .broken("\"val_masks\": entry 0 is 2, expected a whole number from 0 to 1");
    masks().with("node_labels", integers(&[1, 0, 1, 4])).broken("\"node_labels\": entry 3 is 4");
    masks()
        .with("node_labels", integers(&[1, 0, 1, -1]))
        .broken("entry 3 is 1 for node 3, expected nodes that have a label");
    masks()
        .with("edges", write("<i8", "(1, 2)", &[0_i64, 4].map(i64::to_le_bytes).concat()))
        .broken("\"edges\": entry 1 is 4");
    masks()
        .with("node_features", write("<f4", "(4, 0)", &[]))
        .broken("expected at least one feature");
    let error = OneGraphFile { split: 1, ..Default::default() }.load(&LoadContext::new());
    assert!(error.expect_err("one split").to_string().contains("use split = 0"));
}

/// Three nodes, 0 - 1 in both directions, and a self-loop at 2.
fn reddit() -> Folder {
    let data = Small(vec![
        (
            "feature",
            write(
                "<f4",
                "(3, 2)",
                &[1_f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_le_bytes).concat(),
            ),
        ),
        ("label", integers(&[2, 0, 1])),
        ("node_types", integers(&[3, 1, 2])),
    ]);
    let graph = Small(vec![
        ("row", integers(&[0, 1, 2])),
        ("col", integers(&[1, 0, 2])),
        ("data", integers(&[1, 1, 1])),
        ("shape", integers(&[3, 3])),
    ]);
    Folder(vec![
        ("reddit_data.npz".into(), data.packed()),
        ("reddit_graph.npz".into(), graph.packed()),
    ])
}

#[test]
fn reddit_comes_in_two_files() {
    let graphs = reddit().load().expect("good files");
    assert_eq!(one(&graphs).sender, [1, 0, 2]);
    assert_eq!(
        (features(&graphs), labels(&graphs)),
        (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..], &[2.0, 0.0, 1.0][..])
    );
    assert_eq!(graphs.split, Some(split(&[1], &[2], &[0])));
    reddit().without("reddit_graph.npz").broken("reddit_graph.npz", "cannot read");
    let data = |types: &[i64]| {
        let bytes = [0_f32; 6].map(f32::to_le_bytes).concat();
        let arrays = vec![
            ("feature", write("<f4", "(3, 2)", &bytes)),
            ("label", integers(&[2, 0, 1])),
            ("node_types", integers(types)),
        ];
        reddit().with("reddit_data.npz", Small(arrays).packed())
    };
    data(&[1, 1, 2]).broken("reddit_data.npz", "no node is 3");
    data(&[1, 2, 0]).broken("reddit_data.npz", "\"node_types\": entry 2 is 0");
    data(&[1, 2]).broken("reddit_data.npz", "\"node_types\": it has 2 entries, expected 3");
    let graph = |row: &[i64], shape: i64| {
        let arrays = vec![
            ("row", integers(row)),
            ("col", integers(&[1, 0, 2])),
            ("shape", integers(&[shape, shape])),
        ];
        reddit().with("reddit_graph.npz", Small(arrays).packed())
    };
    graph(&[0, 1, 3], 3).broken("reddit_graph.npz", "\"row\": entry 2 is 3");
    graph(&[0, 1], 3).broken("reddit_graph.npz", "\"col\": it has 3 entries, expected 2");
    graph(&[0, 1, 2], 4).broken("reddit_graph.npz", "\"shape\": entry 0 is 4, expected 3");
}

fn packed(text: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(text.as_bytes()).expect("memory");
    writer.finish().expect("memory")
}

/// Four nodes; 0 -> 1 twice, 2 -> 1; the last is unlabelled.
fn ogb() -> Folder {
    let file = |name: &str, text: &str| (name.to_owned(), packed(text));
    Folder(vec![
        file("raw/num-node-list.csv.gz", "4\n"),
        file("raw/num-edge-list.csv.gz", "3\n"),
        file("raw/edge.csv.gz", "0,1\n2,1\n0,1\n"),
        file("raw/node-feat.csv.gz", "0.5,1\n-2e-1,0\n3,4\n5,6\n"),
        file("raw/node-label.csv.gz", "2\n0\n1.0\nnan\n"),
        file("raw/node_year.csv.gz", "2010\n2011\n2012\n2013\n"),
        file("split/time/train.csv.gz", "2\n"),
        file("split/time/valid.csv.gz", "0\n"),
        file("split/time/test.csv.gz", "1\n"),
    ])
}

#[test]
fn the_open_graph_benchmarks_folders_are_read() {
    let graphs = ogb().load().expect("good files");
    assert_eq!(
        (one(&graphs).offset.as_slice(), one(&graphs).sender.as_slice()),
        (&[0, 0, 2, 2, 2][..], &[0, 2][..])
    );
    assert_eq!(features(&graphs), [0.5, 1.0, -0.2, 0.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(labels(&graphs), [2.0, 0.0, 1.0, -1.0]);
    assert_eq!(graphs.split, Some(split(&[2], &[0], &[1])));
    assert_eq!((note(&graphs, "repeated edges left out"), note(&graphs, "files not read")), (1, 1));
    assert_eq!(note(&graphs, "edges in one direction only"), 2);
    let undirected = ogb().load_with(|path| OneGraphFile {
        path: Some(path.to_owned()),
        undirected: true,
        ..OneGraphFile::default()
    });
    let undirected = undirected.expect("good files");
    assert_eq!(one(&undirected).sender, [1, 0, 2, 1]);
    assert_eq!(note(&undirected, "reverse edges added"), 2);
    assert_eq!(note(&undirected, "edges in one direction only"), 0);
}

/// Tables as written by pandas and editors: uncompressed, with blank lines, Windows line endings, a
/// byte-order mark.
#[test]
fn tables_of_the_benchmark_may_be_unpacked_and_edited() {
    let expected = ogb().load().expect("good files").content_hash();
    let unpacked = |change: fn(String) -> String| {
        let plain = |(name, bytes): &(String, Vec<u8>)| {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("text");
            (name.trim_end_matches(".gz").to_owned(), change(text).into_bytes())
        };
        let graphs = Folder(ogb().0.iter().map(plain).collect()).load().expect("good files");
        assert_eq!((graphs.content_hash(), note(&graphs, "files not read")), (expected.clone(), 1));
    };
    unpacked(|text| text);
    unpacked(|text| text.replace('\n', "\r\n"));
    unpacked(|text| format!("\n{}  \n\n", text.replace('\n', "\n\n")));
    unpacked(|text| format!("\u{feff}{text}"));
    unpacked(|text| text.replace("nan", "\"\""));
}

#[test]
fn large_data_sets_of_the_benchmark_are_arrays() {
    let data = |edges: &[i64], shape: &str| {
        Small(vec![
            ("num_nodes_list", integers(&[4])),
            ("num_edges_list", integers(&[3])),
            (
                "edge_index",
                write(
                    "<i8",
                    shape,
                    &edges.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>(),
                ),
            ),
            // 0.5, 1, -2, 0, 3, 4, 5 and 6 in half precision.
            (
                "node_feat",
                write(
                    "<f2",
                    "(4, 2)",
                    &[0x3800_u16, 0x3c00, 0xc000, 0, 0x4200, 0x4400, 0x4500, 0x4600]
                        .map(u16::to_le_bytes)
                        .concat(),
                ),
            ),
        ])
    };
    let label = |labels: [f32; 4]| {
        Small(vec![("node_label", write("<f4", "(4, 1)", &labels.map(f32::to_le_bytes).concat()))])
    };
    let folder = |data: &Small, label: &Small| {
        let mut folder = ogb();
        folder.0.retain(|file| !file.0.starts_with("raw/"));
        folder.0.push(("raw/data.npz".into(), data.packed()));
        folder.0.push(("raw/node-label.npz".into(), label.packed()));
        folder
    };
    let (good, labelled) = (data(&[0, 2, 0, 1, 1, 1], "(2, 3)"), label([2.0, 0.0, 1.0, f32::NAN]));
    let graphs = folder(&good, &labelled).load().expect("good files");
    assert_eq!(one(&graphs), one(&ogb().load().expect("good files")));
    assert_eq!(features(&graphs), [0.5, 1.0, -2.0, 0.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(labels(&graphs), [2.0, 0.0, 1.0, -1.0]);
    assert_eq!(graphs.split, Some(split(&[2], &[0], &[1])));
    let broken = |data: &Small, label: &Small, part| folder(data, label).broken("raw", part);
    broken(&data(&[0, 2, 0, 1, 1, 4], "(2, 3)"), &labelled, "\"edge_index\": entry 5 is 4");
    broken(
        &data(&[0, 1, 2, 1, 0, 1], "(3, 2)"),
        &labelled,
        "its shape is (3, 2), expected senders",
    );
    broken(&good, &label([0.5; 4]), "\"node_label\": entry 0 is 0.5, expected a class or NaN");
    folder(&good, &labelled).without("raw/node-label.npz").broken("node-label.npz", "cannot read");
}

#[test]
fn a_folder_that_is_not_whole_is_refused() {
    let wrong =
        |name: &str, text: &str, part: &str| ogb().with(name, packed(text)).broken(name, part);
    for name in ["raw/edge.csv.gz", "raw/node-feat.csv.gz", "split/time/valid.csv.gz"] {
        ogb().without(name).broken(name, "it is missing; the folder is not a complete data set");
        let file = &ogb().0.into_iter().find(|file| file.0 == name).expect(name).1;
        ogb().with(name, file[..file.len() - 3].to_vec()).broken(name, "it is cut off or damaged");
    }
    wrong("raw/edge.csv.gz", "0,1\n", "it has 1 lines, expected 3, as num-edge-list");
    // No more is read than is stated.
    let endless = |line: &str| line.repeat(100_000) + "x\n";
    for (name, line, n) in [
        ("raw/edge.csv.gz", "0,1\n", 3),
        ("raw/node-feat.csv.gz", "1,2\n", 4),
        ("raw/node-label.csv.gz", "1\n", 4),
        ("split/time/train.csv.gz", "0\n", 4),
    ] {
        wrong(name, &endless(line), &format!(":{}: more than {n} lines, expected", n + 1));
    }
    wrong("raw/edge.csv.gz", "0,1\n2,4\n0,1\n", "edge.csv.gz:2: \"4\", expected a node below 4");
    wrong("raw/edge.csv.gz", "0,1\n2\n0,1\n", ":2: 1 columns, expected a sender and a receiver");
    wrong("raw/node-feat.csv.gz", "1,2\n", "it has 1 lines, expected 4");
    wrong("raw/node-feat.csv.gz", "1,2\n3\n", ":2: 1 features, expected 2 as in line 1");
    wrong("raw/node-feat.csv.gz", "1,2\n3,x\n", ":2: feature 2 is \"x\", expected a finite number");
    wrong("raw/node-label.csv.gz", "0\n1\n4\n1\n", ":3: \"4\", expected a class");
    wrong("raw/node-label.csv.gz", "0\n1\n-1\n1\n", ":3: \"-1\", expected a class");
    wrong("raw/num-node-list.csv.gz", "4\n5\n", "several graphs are not read");
    wrong("raw/num-node-list.csv.gz", "", "it is empty");
    wrong("split/time/valid.csv.gz", "2\n", "node 2, expected each node once");
    wrong("split/time/valid.csv.gz", "", "it names no node");
    wrong("split/time/test.csv.gz", "3\n", "node 3, expected nodes that have a label");
    let long = format!("0,1\n2,1\n{}", "1".repeat(17 << 20));
    wrong("raw/edge.csv.gz", &long, ":3: a line of more than 16 MiB, which no table");
    let mut two = ogb();
    two.0.push(("split/random/train.csv.gz".into(), packed("0\n")));
    two.broken("split", "it holds 2 folders, expected one");
    let file = Folder(vec![("readme".into(), Vec::new())]);
    file.broken("small", "it is not a known data set");
}

/// An array as pickled by Python 2.
fn array(kind: &[u8], shape: &[u16], data: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> =
        shape.iter().flat_map(|n| [b'M', n.to_le_bytes()[0], n.to_le_bytes()[1]]).collect();
    let length = (data.len() as u32).to_le_bytes();
    [
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("
            .as_slice(),
        &sizes,
        b"tcnumpy\ndtype\nU\x02",
        kind,
        b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T",
        &length,
        data,
        b"tb",
    ]
    .concat()
}

fn classes(rows: &[[i32; 2]]) -> Vec<u8> {
    let data: Vec<u8> = rows.as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect();
    [b"\x80\x02".as_slice(), &array(b"i4", &[rows.len() as u16, 2], &data), b"."].concat()
}

/// One entry per row: its column, and its row index plus 1 as value.
fn rows(columns: &[i32], width: u8) -> Vec<u8> {
    let n = columns.len();
    let whole = |values: Vec<i32>| -> Vec<u8> {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        array(b"i4", &[values.len() as u16], &data)
    };
    let value: Vec<u8> = (0..n).flat_map(|row| (row as f32 + 1.0).to_le_bytes()).collect();
    [
        b"\x80\x02cscipy.sparse.csr\ncsr_matrix\n)\x81}(U\x06_shapeM".as_slice(),
        &(n as u16).to_le_bytes(),
        &[b'K', width],
        b"\x86U\x06indptr",
        &whole((0..=n as i32).collect()),
        b"U\x07indices",
        &whole(columns.to_vec()),
        b"U\x04data",
        &array(b"f4", &[n as u16], &value),
        b"ub.",
    ]
    .concat()
}

/// 503 nodes in `allx`, two of them for training; the tests are 505 and 503, and 504 is in neither.
fn planetoid() -> Folder {
    let n_first = 502;
    let file = |part: &str, bytes: Vec<u8>| (format!("ind.mini.{part}"), bytes);
    let first: Vec<i32> = (0..n_first).map(|node| node % 3).collect();
    let class: Vec<[i32; 2]> = (0..n_first).map(|node| [1 - node % 2, node % 2]).collect();
    // 0 - 1 twice, a self-loop at 1, 505 - 0.
    let mut graph = b"\x80\x02}(K\x00](K\x01M\xf9\x01eK\x01](K\x00K\x00K\x01e".to_vec();
    for node in 2..506_u16 {
        graph.push(b'M');
        graph.extend(node.to_le_bytes());
        graph.push(b']');
    }
    graph.extend(b"u.");
    Folder(vec![
        file("x", rows(&first[..2], 3)),
        file("y", classes(&class[..2])),
        file("allx", rows(&first, 3)),
        file("ally", classes(&class)),
        file("tx", rows(&[2, 1], 3)),
        file("ty", classes(&[[0, 1], [1, 0]])),
        file("graph", graph),
        file("test.index", b"505\n503\n".to_vec()),
    ])
}

#[test]
fn planetoids_isolated_nodes_stay_in_their_places() {
    let graphs = planetoid().load().expect("good files");
    let by_name = planetoid().load_with(|folder| OneGraphFile {
        path: Some(folder.join("ind.mini.graph")),
        ..OneGraphFile::default()
    });
    assert_eq!(by_name.expect("good files").content_hash(), graphs.content_hash());
    assert_eq!((graphs.dataset.as_str(), graphs.n_node()), ("mini", 506));
    assert_eq!(one(&graphs).sender, [1, 505, 0, 0]);
    assert_eq!(labels(&graphs)[500..], [0.0, 1.0, -1.0, 0.0, -1.0, 1.0]);
    assert_eq!(
        features(&graphs)[501 * 3..],
        [
            502.0, 0.0, 0.0, // node 501: the last of allx
            0.0, 0.0, 0.0, // 502 and 504: in neither
            0.0, 2.0, 0.0, // 503: the second of tx
            0.0, 0.0, 0.0, 0.0, 0.0, 1.0, // 505: the first of tx
        ]
    );
    let validation: Vec<u32> = (2..502).collect();
    assert_eq!(graphs.split, Some(split(&[0, 1], &validation, &[503, 505])));
    assert_eq!(note(&graphs, "test nodes without features"), 2);
    assert_eq!(
        (note(&graphs, "self loops left out"), note(&graphs, "repeated edges left out")),
        (1, 1)
    );
}

/// `pickle.dumps` of Python 3.11, `NumPy` 2.4 and `SciPy` 1.17: an adjacency of Python and of
/// `NumPy` integers, a matrix and compressed rows.
#[test]
fn pickles_of_all_protocols_since_2_say_the_same() {
    let fixture = |name: &str| fs::read(batchlab_testkit::fixture(&format!("pickles/{name}")));
    for protocol in 2..=5 {
        for (part, of) in [("ty", "matrix"), ("tx", "rows")] {
            let bytes = fixture(&format!("{of}-{protocol}.pickle")).expect("a fixture");
            let graphs = planetoid().with(&format!("ind.mini.{part}"), bytes).load();
            let expected = planetoid().load().expect("good files").content_hash();
            assert_eq!(graphs.expect(of).content_hash(), expected, "{of} {protocol}");
        }
        for of in ["graph", "graph-numpy"] {
            let bytes = fixture(&format!("{of}-{protocol}.pickle")).expect("a fixture");
            let graphs = planetoid().with("ind.mini.graph", bytes).load().expect(of);
            assert_eq!(one(&graphs).sender, [1, 0, 300, 1], "{of} {protocol}");
        }
    }
}

/// 450 kB in which 50,000 nodes share one list would be 2.5 billion edges.
#[test]
fn a_list_that_many_nodes_share_is_counted_for_each() {
    let n = 50_000_u16;
    let mut graph = b"\x80\x02}(K\x00](".to_vec();
    for node in 0..n {
        graph.push(b'M');
        graph.extend(node.to_le_bytes());
    }
    graph.extend(b"eq\x01");
    for node in 1..n {
        graph.push(b'M');
        graph.extend(node.to_le_bytes());
        graph.extend(b"h\x01");
    }
    graph.extend(b"u.");
    planetoid().with("ind.mini.graph", graph).broken("ind.mini.graph", "its edges would take");
}

#[test]
fn planetoids_files_must_fit_each_other() {
    planetoid().without("ind.mini.tx").broken("ind.mini.tx", "does not exist");
    let wrong = |name: &str, bytes: Vec<u8>, part: &str| {
        planetoid().with(name, bytes).broken("small", part);
    };
    wrong("ind.mini.tx", rows(&[2, 3], 3), "column 3 of a matrix with 3");
    wrong("ind.mini.tx", rows(&[2, 1], 4), "differ in columns");
    wrong("ind.mini.tx", classes(&[[0, 1]]), "it is not a csr_matrix");
    wrong("ind.mini.ty", classes(&[[0, 1]]), "ind.mini.ty has 1 rows, but ind.mini.tx 2");
    wrong("ind.mini.ty", rows(&[1], 2), "something else where an array of NumPy should be");
    wrong("ind.mini.test.index", b"505\n".to_vec(), "test.index has 1 rows, but");
    wrong(
        "ind.mini.test.index",
        b"505\nx\n".to_vec(),
        "index:2: \"x\", expected the number of a node",
    );
    wrong("ind.mini.test.index", b"505\n501\n".to_vec(), "index:2: node 501, expected one behind");
    wrong(
        "ind.mini.test.index",
        b"505\n505\n".to_vec(),
        "node 505 of test: expected each node once",
    );
    wrong("ind.mini.test.index", b"505\n4000000000\n".to_vec(), "node 4000000000 is far beyond");
    wrong(
        "ind.mini.graph",
        b"\x80\x02}(K\x00](K\x01eu.".to_vec(),
        "it names node 1, but it has lists for 1",
    );
    let mut two = planetoid();
    two.0.push(("ind.other.graph".into(), Vec::new()));
    two.broken("small", "it holds several data sets (mini, other); name one of their files");
}

proptest! {
    #[test]
    fn damaged_pickles_are_read_or_refused(which in 0..7_usize, how in damages()) {
        let folder = planetoid().write();
        let (name, bytes) = &planetoid().0[which];
        let path = folder.path().join(name);
        let dataset =
            OneGraphFile { path: Some(folder.path().to_owned()), ..OneGraphFile::default() };
        loads_or_refuses(&dataset, &path, &damaged(bytes, &how)).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn damaged_folders_are_read_or_refused(which in 0..9_usize, how in damages()) {
        let folder = ogb().write();
        let (name, bytes) = &ogb().0[which];
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("text");
        let changed = damaged(text.as_bytes(), &how);
        let path = folder.path().join(name);
        let dataset =
            OneGraphFile { path: Some(folder.path().to_owned()), ..OneGraphFile::default() };
        let bytes = packed(&String::from_utf8_lossy(&changed));
        // A missing label is noticed when the split names its node.
        loads_or_refuses_in(folder.path(), &dataset, &path, &bytes).map_err(TestCaseError::fail)?;
    }
}

#[test]
#[ignore = "reads larger graphs, which are not part of the project, in ../shared/data/graphs"]
fn real_graphs_of_every_form_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data/graphs");
    let read = |name: &str, split: u32| {
        load(&OneGraphFile { path: Some(folder.join(name)), split, ..OneGraphFile::default() })
    };
    for (name, n_node, n_edge) in [
        ("amazon_photo", 7650, 238_162),
        ("dblp", 17_716, 105_734),
        ("coauthor_phy", 34_493, 495_924),
    ] {
        let graphs = read(&format!("{name}.npz"), 0);
        assert_eq!((graphs.n_node(), one(&graphs).sender.len()), (n_node, n_edge));
        assert_eq!((graphs.dataset.as_str(), graphs.split.is_none()), (name, true));
        // Of 8,415 features of Physics, 33 are non-zero; of 745 of Photo, 259.
        let is_sparse = matches!(graphs.node_feature, Some(NodeFeature::Sparse { .. }));
        assert_eq!(is_sparse, name != "amazon_photo", "{name}");
    }

    let citeseer = read("planetoid_citeseer", 0);
    assert_eq!((citeseer.n_node(), one(&citeseer).sender.len()), (3327, 9104));
    assert_eq!(note(&citeseer, "test nodes without features"), 15);
    assert_eq!(note(&citeseer, "nodes without a class"), 15);
    let FixedSplit { train, validation, test } = citeseer.split.expect("the published split");
    assert_eq!([train.len(), validation.len(), test.len()], [120, 500, 1000]);

    let tolokers = [read("tolokers.npz", 0), read("tolokers.npz", 9)];
    assert_eq!((tolokers[0].n_node(), one(&tolokers[0]).sender.len()), (11_758, 1_038_000));
    let [first, last] = tolokers.map(|graphs| graphs.split.expect("a published split"));
    assert_ne!(first.train, last.train);
    assert_eq!([first.train.len(), first.validation.len(), first.test.len()], [5879, 2939, 2940]);
}
