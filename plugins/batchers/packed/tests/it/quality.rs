//! How close packings come to the volume bound.

use std::io::Read;
use std::path::Path;

use batcher_packed::{Algorithm, Packed, pack};
use batchlab_core::budget::Limits;
use batchlab_core::padding::{BatchSize, Padding};
use batchlab_core::{BatchContext, BatchPlan, Batcher, GraphSize, Purpose, View};

const ALL: [Algorithm; 3] = [Algorithm::BestFit, Algorithm::Lpfhp, Algorithm::Balanced];

fn limits(batch_size: u32, n_node: u32, n_edge: u32) -> Limits {
    let slots = BatchSize::try_from(batch_size).unwrap();
    Limits::new(Some(slots), Some(n_node), Some(n_edge), Padding::Constant)
}

fn graphs(sizes: impl IntoIterator<Item = [u32; 2]>) -> Vec<GraphSize> {
    let graph = |(id, [n_node, n_edge]): (u32, [u32; 2])| GraphSize { id, n_node, n_edge };
    (0..).zip(sizes).map(graph).collect()
}

fn qm9() -> Vec<GraphSize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../data/qm9_sizes.csv.xz");
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    liblzma::read::XzDecoder::new(file).read_to_string(&mut text).unwrap();
    let size = |line: &str| {
        let (n_node, n_edge) = line.split_once(',').unwrap();
        [n_node.parse().unwrap(), n_edge.parse().unwrap()]
    };
    graphs(text.lines().skip(1).map(size))
}

fn excess(algorithm: Algorithm, graphs: &[GraphSize], limits: &Limits) -> f64 {
    let groups = pack(algorithm, graphs, limits);
    let mut seen: Vec<u32> = groups.iter().flatten().copied().collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..graphs.len() as u32), "every graph is in one group");
    groups.len() as f64 / limits.lower_bound(graphs) as f64 - 1.0
}

#[test]
fn two_sizes_that_fill_a_batch_exactly() {
    // 30 graphs of 70 edges and 30 of 30 edges: 30 groups of 100.
    let graphs = graphs((0..60).map(|i| if i % 2 == 0 { [7, 70] } else { [3, 30] }));
    let limits = limits(20, 64, 100);
    assert_eq!(limits.lower_bound(&graphs), 30);
    for algorithm in ALL {
        assert_eq!(pack(algorithm, &graphs, &limits).len(), 30, "{algorithm:?}");
    }
}

#[test]
fn nodes_bind_where_edges_are_few() {
    let graphs = graphs((0..100).map(|i| [if i % 2 == 0 { 21 } else { 42 }, 3]));
    for algorithm in ALL {
        assert!(excess(algorithm, &graphs, &limits(64, 64, 1000)).abs() < 1e-9, "{algorithm:?}");
    }
}

#[test]
fn an_oversize_graph_is_alone() {
    let graphs = graphs([[5, 5], [500, 5], [5, 5]]);
    for algorithm in ALL {
        let groups = pack(algorithm, &graphs, &limits(9, 64, 64));
        assert!(groups.contains(&vec![1]) && groups.len() == 2, "{algorithm:?}: {groups:?}");
    }
}

#[test]
fn qm9_is_packed_close_to_the_volume_bound() {
    let graphs = qm9();
    assert_eq!(graphs.len(), 128_744);
    // The study's budget for B = 32. With 32 slots, graphs are the tightest limit for small
    // molecules and edges for large ones; with 64 slots nodes and edges; with more nodes, only
    // edges.
    let cases = [
        ((32, 640), [0.11, 0.11, 0.0]),
        ((64, 640), [0.04, 0.04, 0.01]),
        ((128, 2048), [0.003, 0.003, 0.005]),
    ];
    for ((slots, n_node), at_most) in cases {
        let limits = limits(slots, n_node, 10_304);
        for (algorithm, at_most) in ALL.into_iter().zip(at_most) {
            let start = std::time::Instant::now();
            let excess = excess(algorithm, &graphs, &limits);
            println!(
                "{slots} slots, {n_node} nodes, {algorithm:?}: {:.3} % over the bound of {} groups, {:?}",
                100.0 * excess,
                limits.lower_bound(&graphs),
                start.elapsed()
            );
            assert!(excess <= at_most, "{algorithm:?}: {excess}");
        }
    }
}

#[test]
fn a_longer_window_packs_better() {
    let graphs = qm9();
    let n_group = |window: &str| {
        let options = format!(
            "batch_size = 64\nalgorithm = \"best-fit\"\n{window}\nbudget = {{ n_node = 640, n_edge = 10304 }}"
        );
        let packed: Packed = toml::from_str(&options).unwrap();
        let view = View::ManyGraphs(graphs.clone().into());
        let mut stream = packed.open(view, BatchContext::new(Purpose::Evaluation, 1)).unwrap();
        let mut plan = BatchPlan::default();
        let mut n = 0;
        while stream.next(&mut plan).unwrap() {
            n += 1;
        }
        n
    };
    let windows = ["window = 64", "window = 512", "window = 4096", ""].map(n_group);
    println!("groups by window of 64, 512, 4096, all: {windows:?}");
    assert!(windows.is_sorted_by(|a, b| a > b), "{windows:?}");
}
