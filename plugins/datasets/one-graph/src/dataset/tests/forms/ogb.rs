//! Folders of the Open Graph Benchmark.

use super::*;

/// Four nodes; 0 -> 1 twice, 2 -> 1; the last is unlabelled.
pub(super) fn ogb() -> Folder {
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
