//! Planetoid's pickles.

use super::*;

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
pub(super) fn planetoid() -> Folder {
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
