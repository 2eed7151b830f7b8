//! Tests collation against a slow, straightforward implementation.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "in a test a failure is a panic; copies are exact"
)]

use batchlab_core::graphs::{
    Edges, Graphs, ManyGraphs, NodeClass, NodeFeature, OneGraph, OwnField, Per, StoredEdges,
    Target, Topology,
};
use batchlab_core::plan::EdgeSelection;
use batchlab_core::{
    BatchBuffer, BatchFields, BatchPlan, CollateError, GraphSize, Level, PaddedBatch, Shape,
    collate,
};
use proptest::prelude::*;
use std::sync::Arc;

const ALL: BatchFields = BatchFields {
    node_class: true,
    node_feature: false,
    sparse_feature: false,
    distance: true,
    displacement: true,
    edge_weight: false,
    sender_order: true,
    own: Vec::new(),
};

/// One graph: node count, and edges as (sender, receiver).
#[derive(Debug, Clone)]
struct Small {
    n_node: u32,
    edges: Vec<(u32, u32)>,
}

fn small() -> impl Strategy<Value = Small> {
    (1_u32..8).prop_flat_map(|n_node| {
        let edge = (0..n_node, 0..n_node);
        prop::collection::vec(edge, 0..20).prop_map(move |edges| Small { n_node, edges })
    })
}

fn store(graphs: &[Small]) -> Graphs {
    let n_node: Vec<u32> = graphs.iter().map(|g| g.n_node).collect();
    let n_edge: Vec<u32> = graphs.iter().map(|g| g.edges.len() as u32).collect();
    let (sender, receiver): (Vec<u32>, Vec<u32>) =
        graphs.iter().flat_map(|g| g.edges.clone()).unzip();
    let distance: Vec<f32> = (0..sender.len()).map(|edge| edge as f32 + 0.5).collect();
    let displacement: Vec<[f32; 3]> = distance.iter().map(|&d| [d, -d, 2.0 * d]).collect();
    let edges = StoredEdges::new(&n_edge, &sender, &receiver, &distance, &displacement).unwrap();
    let many = ManyGraphs::new(&n_node, Edges::Stored(edges)).unwrap();
    let mut store = Graphs::new("test", Topology::Many(many)).unwrap();
    let total: u32 = n_node.iter().sum();
    store.node_class = Some(NodeClass {
        value: (0..total).map(|node| node % 5).collect(),
        name: vec![String::new(); 5],
    });
    let value = (0..graphs.len()).map(|graph| graph as f64 - 3.0).collect();
    store.target = Some(Target::regression("y", "eV", value));
    store.check().unwrap();
    store
}

fn plan_of(graphs: &[Small], members: &[u32], spare: [u32; 3]) -> BatchPlan {
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for &id in members {
        let graph = &graphs[id as usize];
        plan.push_graph(GraphSize { id, n_node: graph.n_node, n_edge: graph.edges.len() as u32 });
    }
    plan.shape = Shape {
        n_node: plan.real.n_node + spare[0],
        n_edge: plan.real.n_edge + spare[1],
        n_graph: plan.real.n_graph + spare[2],
        n_output: plan.real.n_graph + spare[2],
    };
    plan
}

/// Offsets and orders are consistent with senders and receivers.
fn check_indices(batch: &PaddedBatch<'_>) {
    let n_edge = batch.shape.n_edge as usize;
    assert!(batch.receiver.is_sorted());
    for node in 0..batch.shape.n_node as usize {
        let range = |offset: &[u32]| offset[node] as usize..offset[node + 1] as usize;
        for edge in range(batch.receiver_offset) {
            assert_eq!(batch.receiver[edge] as usize, node);
        }
        let of_sender = &batch.sender_order[range(batch.sender_offset)];
        assert!(of_sender.is_sorted(), "edges of one sender keep their order");
        for &edge in of_sender {
            assert_eq!(batch.sender[edge as usize] as usize, node);
        }
    }
    let mut order = batch.sender_order.to_vec();
    order.sort_unstable();
    assert!(order.into_iter().eq(0..n_edge as u32));
    assert_eq!(batch.receiver_offset[batch.shape.n_node as usize] as usize, n_edge);
}

proptest! {
    #[test]
    fn stored_edges(
        graphs in prop::collection::vec(small(), 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        spare in (1_u32..9, 0_u32..9, 1_u32..4),
    ) {
        let members: Vec<u32> = picks.iter().map(|pick| pick.index(graphs.len()) as u32).collect();
        let store = store(&graphs);
        let plan = plan_of(&graphs, &members, [spare.0, spare.1, spare.2]);
        let mut buffer = BatchBuffer::new();
        // Nothing of an earlier, larger batch may remain.
        let larger = plan_of(&graphs, &[members.clone(), members.clone()].concat(), [50, 50, 3]);
        collate(&store, &larger, &ALL, &mut buffer).unwrap();
        collate(&store, &plan, &ALL, &mut buffer).unwrap();
        let batch = buffer.batch();
        check_indices(&batch);

        // Edges are numbered through the data set in the order in which they were given.
        let first_edge = |id: u32| graphs[..id as usize].iter().map(|g| g.edges.len()).sum::<usize>();
        let first_node = |id: u32| graphs[..id as usize].iter().map(|g| g.n_node).sum::<u32>();
        let (mut node, mut edge) = (0, 0);
        for (slot, &id) in members.iter().enumerate() {
            let graph = &graphs[id as usize];
            let mut expected: Vec<(u32, u32, f32)> = graph.edges.iter().enumerate()
                .map(|(e, &(s, r))| (s + node, r + node, (first_edge(id) + e) as f32 + 0.5)).collect();
            expected.sort_by_key(|&(_, receiver, _)| receiver);
            for (s, r, distance) in expected {
                prop_assert_eq!((batch.sender[edge], batch.receiver[edge]), (s, r));
                prop_assert_eq!(batch.distance[edge], distance);
                prop_assert_eq!(&batch.displacement[3 * edge..3 * edge + 3], &[distance, -distance, 2.0 * distance]);
                edge += 1;
            }
            for local in 0..graph.n_node {
                let at = (node + local) as usize;
                prop_assert_eq!(batch.graph_of[at] as usize, slot);
                prop_assert_eq!(batch.node_class[at], (first_node(id) + local) % 5);
            }
            prop_assert_eq!((batch.n_node_of[slot], batch.n_edge_of[slot]), (graph.n_node, graph.edges.len() as u32));
            prop_assert_eq!((batch.graph_offset[slot], batch.origin[slot]), (node, id));
            prop_assert_eq!((batch.output_row[slot], batch.output_weight[slot]), (slot as u32, 1.0));
            prop_assert_eq!(batch.output_target[slot], id as f32 - 3.0);
            node += graph.n_node;
        }

        // Everything after the real members is valid padding.
        let (n_node, n_edge, n_graph) = (node as usize, edge, members.len());
        prop_assert!(batch.sender[n_edge..].iter().chain(&batch.receiver[n_edge..]).all(|&end| end == node));
        prop_assert!(batch.distance[n_edge..].iter().all(|&d| d == 0.0));
        prop_assert!(batch.displacement[3 * n_edge..].iter().all(|&d| d == 0.0));
        prop_assert!(batch.node_class[n_node..].iter().all(|&class| class == 0));
        prop_assert!(batch.graph_of[n_node..].iter().all(|&graph| graph as usize == n_graph));
        prop_assert!(batch.output_weight[n_graph..].iter().chain(&batch.output_target[n_graph..]).all(|&v| v == 0.0));
        prop_assert_eq!(batch.n_node_of.iter().sum::<u32>(), plan.shape.n_node);
        prop_assert_eq!(batch.n_edge_of.iter().sum::<u32>(), plan.shape.n_edge);
        prop_assert_eq!(batch.graph_offset[plan.shape.n_graph as usize], plan.shape.n_node);
        prop_assert!(batch.n_node_of[n_graph + 1..].iter().all(|&n| n == 0));
    }

    /// Implied edges equal the stored edges of the complete graph.
    #[test]
    fn implied_edges(n_nodes in prop::collection::vec(1_u32..30, 1..5), spare in 0_u32..9) {
        let complete: Vec<Small> = n_nodes.iter().map(|&n_node| {
            let pairs = (0..n_node).flat_map(|i| (0..n_node).filter(move |&j| j != i).map(move |j| (j, i)));
            Small { n_node, edges: pairs.collect() }
        }).collect();
        let position: Vec<[f32; 3]> = (0..n_nodes.iter().sum()).map(|node: u32| {
            let t = node as f32;
            [t.sin() * 3.0, t.cos() * 2.0, 0.1 * t]
        }).collect();
        let mut stored = store(&complete);
        let many = ManyGraphs::new(&n_nodes, Edges::FullyConnected).unwrap();
        let mut implied = Graphs { topology: Topology::Many(many), ..stored.clone() };
        implied.position = Some(position.clone());
        stored.position = None;

        let members: Vec<u32> = (0..n_nodes.len() as u32).rev().collect();
        // Without padding, nothing may be written past the last edge.
        let plan = plan_of(&complete, &members, [spare, 2 * spare, spare.min(1)]);
        let (mut a, mut b) = (BatchBuffer::new(), BatchBuffer::new());
        let larger = plan_of(&complete, &[members.clone(), members.clone()].concat(), [9, 99, 1]);
        collate(&implied, &larger, &ALL, &mut b).unwrap();
        collate(&stored, &plan, &ALL, &mut a).unwrap();
        collate(&implied, &plan, &ALL, &mut b).unwrap();
        let (a, b) = (a.batch(), b.batch());
        check_indices(&b);
        prop_assert_eq!((a.sender, a.receiver, a.sender_order), (b.sender, b.receiver, b.sender_order));
        prop_assert_eq!((a.receiver_offset, a.sender_offset), (b.receiver_offset, b.sender_offset));

        let at = |node: u32| {
            let slot = b.graph_of[node as usize] as usize;
            let first: u32 = n_nodes[..b.origin[slot] as usize].iter().sum();
            position[(first + node - b.graph_offset[slot]) as usize]
        };
        for edge in 0..b.real.n_edge as usize {
            let (r, s) = (at(b.receiver[edge]), at(b.sender[edge]));
            let d = [r[0] - s[0], r[1] - s[1], r[2] - s[2]];
            prop_assert_eq!(&b.displacement[3 * edge..3 * edge + 3], &d);
            // Bit-identical: distances do not depend on how they are computed.
            prop_assert_eq!(b.distance[edge], (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt());
        }
        prop_assert!(b.distance[b.real.n_edge as usize..].iter().all(|&d| d == 0.0));
        prop_assert!(b.displacement[3 * b.real.n_edge as usize..].iter().all(|&d| d == 0.0));
        let end = &b.sender[b.real.n_edge as usize..];
        prop_assert!(end.iter().chain(&b.receiver[b.real.n_edge as usize..]).all(|&n| n == b.real.n_node));
    }

    /// Node batches contain the edges between their members, with the full graph's weights.
    #[test]
    fn induced_edges(
        edges in prop::collection::btree_set((0_u32..12, 0_u32..12), 0..60),
        members in prop::collection::btree_set(0_u32..12, 1..12),
        spare in 1_u32..5,
    ) {
        let edges: Vec<(u32, u32)> = edges.into_iter().collect();
        let members: Vec<u32> = members.into_iter().collect();
        let mut offset = vec![0];
        for node in 0..12 {
            offset.push(edges.iter().filter(|&&(receiver, _)| receiver <= node).count());
        }
        let one = OneGraph {
            offset,
            sender: edges.iter().map(|&(_, sender)| sender).collect(),
            edge_weight: (0..edges.len()).map(|edge| edge as f32 + 1.0).collect(),
        };
        let mut graphs = Graphs::new("one", Topology::One(Arc::new(one))).unwrap();
        let classes = vec!["a".into(), "b".into()];
        graphs.target = Some(Target::classes("y", classes, (0..12).map(|n| f64::from(n % 2)).collect()));

        let mut plan = BatchPlan::default();
        plan.clear(Level::Nodes);
        plan.members.clone_from(&members);
        plan.output_row = vec![members.len() as u32 - 1, 0];
        plan.output_weight = vec![2.0, 0.5];
        plan.edges = EdgeSelection::Induced;
        plan.shape = Shape { n_node: 12 + spare, n_edge: 70, n_graph: 2, n_output: 2 + spare };
        let needs = BatchFields { edge_weight: true, sender_order: true, ..BatchFields::default() };
        let mut buffer = BatchBuffer::new();
        collate(&graphs, &plan, &needs, &mut buffer).unwrap();
        let batch = buffer.batch();
        check_indices(&batch);

        let row = |node: u32| members.iter().position(|&m| m == node).map(|row| row as u32);
        let expected: Vec<(u32, u32, f32)> = edges.iter().enumerate()
            .filter_map(|(edge, &(r, s))| Some((row(s)?, row(r)?, edge as f32 + 1.0))).collect();
        let got: Vec<(u32, u32, f32)> = (0..batch.real.n_edge as usize)
            .map(|e| (batch.sender[e], batch.receiver[e], batch.edge_weight[e])).collect();
        prop_assert_eq!(got, expected);
        prop_assert!(batch.edge_weight[batch.real.n_edge as usize..].iter().all(|&w| w == 0.0));
        prop_assert_eq!(&batch.output_weight[..2], &[2.0, 0.5]);
        prop_assert!(batch.output_weight[2..].iter().all(|&w| w == 0.0));
        let last = members[members.len() - 1];
        prop_assert_eq!(batch.output_target[0], (last % 2) as f32);
        prop_assert_eq!(&batch.origin[..members.len()], &members[..]);

        // The same edges, listed one by one.
        let by_name = batch.real.n_edge as usize;
        let mut listed = plan.clone();
        listed.edges = EdgeSelection::Listed;
        listed.listed.sender = batch.sender[..by_name].to_vec();
        listed.listed.receiver = batch.receiver[..by_name].to_vec();
        listed.listed.weight = batch.edge_weight[..by_name].to_vec();
        let mut again = BatchBuffer::new();
        collate(&graphs, &listed, &needs, &mut again).unwrap();
        prop_assert_eq!(again.batch().words, batch.words);
    }
}

/// Compressed rows are delivered unchanged to models that accept them, and unpacked to all others.
#[test]
fn sparse_features_come_as_compressed_rows_or_unpacked() {
    let one = OneGraph { offset: vec![0; 5], sender: Vec::new(), edge_weight: Vec::new() };
    let mut graphs = Graphs::new("one", Topology::One(Arc::new(one))).unwrap();
    let sparse = NodeFeature::Sparse {
        offset: vec![0, 2, 2, 3, 5],
        column: vec![0, 2, 1, 0, 1],
        value: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        width: 3,
    };
    graphs.node_feature = Some(sparse.clone());
    let mut plan = BatchPlan::default();
    plan.clear(Level::Nodes);
    plan.members = vec![0, 1, 3];
    plan.edges = EdgeSelection::Induced;
    plan.shape = Shape { n_node: 5, n_edge: 0, n_graph: 2, n_output: 0 };
    let unpacked = BatchFields { node_feature: true, ..BatchFields::default() };
    let rows = BatchFields { sparse_feature: true, ..unpacked.clone() };
    assert_eq!([&rows, &unpacked].map(|needs| graphs.batch_feature_width(needs)), [0, 3]);
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &rows, &mut buffer).unwrap();
    let batch = buffer.batch();
    assert_eq!(batch.feature_offset, [0, 2, 2, 4, 4, 4]);
    assert_eq!(batch.feature_column, [0, 2, 0, 1]);
    assert_eq!(batch.feature_value, [1.0, 2.0, 4.0, 5.0]);
    assert_eq!((batch.node_feature.len(), batch.node_feature_width), (0, 3));

    let expected = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    collate(&graphs, &plan, &unpacked, &mut buffer).unwrap();
    assert_eq!(buffer.batch().node_feature, expected);
    assert!(buffer.batch().feature_offset.is_empty());

    // For many graphs they are unpacked, because batches are small.
    let many = ManyGraphs::new(&[3, 1], Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("many", Topology::Many(many)).unwrap();
    graphs.node_feature = Some(sparse);
    let mut plan = BatchPlan::default();
    plan.push_graph(GraphSize { id: 1, n_node: 1, n_edge: 0 });
    plan.push_graph(GraphSize { id: 0, n_node: 3, n_edge: 6 });
    plan.shape = Shape { n_node: 4, n_edge: 6, n_graph: 2, n_output: 2 };
    collate(&graphs, &plan, &rows, &mut buffer).unwrap();
    let expected = [4.0, 5.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0];
    assert_eq!(buffer.batch().node_feature, expected);
}

/// A field does not depend on which other fields are collated with it.
#[test]
fn fields_do_not_depend_on_each_other() {
    let many = ManyGraphs::new(&[5, 1, 9], Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("test", Topology::Many(many)).unwrap();
    graphs.position = Some((0..15_u8).map(|i| [f32::from(i).sin(), 0.1, f32::from(i)]).collect());
    let mut plan = BatchPlan::default();
    for (id, n) in [(2, 9), (1, 1), (0, 5)] {
        plan.push_graph(GraphSize { id, n_node: n, n_edge: n * (n - 1) });
    }
    plan.shape = Shape { n_node: 20, n_edge: 99, n_graph: 4, n_output: 4 };
    let (mut every, mut one) = (BatchBuffer::new(), BatchBuffer::new());
    collate(&graphs, &plan, &BatchFields { node_class: false, ..ALL }, &mut every).unwrap();
    let every = every.batch();
    let mut only = |needs: BatchFields, check: &dyn Fn(&PaddedBatch<'_>)| {
        collate(&graphs, &plan, &needs, &mut one).unwrap();
        assert_eq!((one.batch().sender, one.batch().receiver), (every.sender, every.receiver));
        check(&one.batch());
    };
    only(BatchFields { distance: true, ..BatchFields::default() }, &|b| {
        assert_eq!(b.distance, every.distance);
        assert!(b.displacement.is_empty() && b.sender_order.is_empty());
    });
    only(BatchFields { displacement: true, ..BatchFields::default() }, &|b| {
        assert_eq!(b.displacement, every.displacement);
        assert!(b.distance.is_empty());
    });
    only(BatchFields { sender_order: true, ..BatchFields::default() }, &|b| {
        assert_eq!((b.sender_order, b.sender_offset), (every.sender_order, every.sender_offset));
    });
}

/// In a batch without edges every node has an empty range.
#[test]
fn batches_without_edges_have_offsets() {
    let graphs = [Small { n_node: 3, edges: vec![] }, Small { n_node: 2, edges: vec![(0, 1)] }];
    let mut buffer = BatchBuffer::new();
    collate(&store(&graphs), &plan_of(&graphs, &[1, 1], [0, 0, 0]), &ALL, &mut buffer).unwrap();
    collate(&store(&graphs), &plan_of(&graphs, &[0], [1, 0, 1]), &ALL, &mut buffer).unwrap();
    let batch = buffer.batch();
    assert_eq!((batch.receiver_offset, batch.sender_offset), (&[0; 5][..], &[0; 5][..]));
}

fn refused(change: impl Fn(&mut BatchPlan)) -> CollateError {
    let graphs = [Small { n_node: 3, edges: vec![(0, 1)] }, Small { n_node: 2, edges: vec![] }];
    let mut plan = plan_of(&graphs, &[0, 1], [1, 1, 1]);
    change(&mut plan);
    collate(&store(&graphs), &plan, &ALL, &mut BatchBuffer::new()).unwrap_err()
}

#[test]
fn plans_without_room_are_refused() {
    let error = refused(|plan| plan.shape.n_node = 5);
    assert_eq!(
        error.to_string(),
        "the plan's n_node is 5, but its graphs need 6: padding edges end at a padding node"
    );
    let error = refused(|plan| plan.shape.n_graph = 2);
    assert!(error.to_string().ends_with("padding nodes belong to a padding graph"), "{error}");
    assert!(matches!(refused(|plan| plan.shape.n_edge = 0), CollateError::NoRoom { .. }));
}

#[test]
fn plans_that_contradict_the_data_are_refused() {
    assert!(matches!(
        refused(|plan| plan.members[1] = 7),
        CollateError::OutOfRange { what: "graph", id: 7, len: 2 }
    ));
    assert!(matches!(refused(|plan| plan.level = Level::Nodes), CollateError::Inconsistent(_)));
    let error = refused(|plan| plan.output_weight = vec![1.0]);
    assert_eq!(error.to_string(), "inconsistent plan: 1 weights for 2 outputs");
}

#[test]
fn sizes_alone_cannot_be_collated() {
    let many = ManyGraphs::new(&[2], Edges::Counted(vec![2])).unwrap();
    let graphs = Graphs::new("sizes", Topology::Many(many)).unwrap();
    let mut plan = BatchPlan::default();
    plan.push_graph(GraphSize { id: 0, n_node: 2, n_edge: 2 });
    plan.shape = plan.real;
    let error =
        collate(&graphs, &plan, &BatchFields::default(), &mut BatchBuffer::new()).unwrap_err();
    assert!(error.to_string().contains("can be planned but not trained on"), "{error}");
}

fn own_needs(names: &[&str]) -> BatchFields {
    BatchFields {
        own: names.iter().map(|&name| name.to_owned()).collect(),
        ..BatchFields::default()
    }
}

/// Custom fields of one large graph; those of many graphs are tested by the batcher test kit.
#[test]
fn own_fields_of_one_graph_follow_nodes_and_edges() {
    let one =
        OneGraph { offset: vec![0, 2, 3, 5], sender: vec![1, 2, 0, 0, 1], edge_weight: Vec::new() };
    let mut graphs = Graphs::new("one", Topology::One(Arc::new(one))).unwrap();
    graphs.own = vec![
        OwnField::new("charge", Per::Node, 2, &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]),
        OwnField::new("kind", Per::Edge, 1, &[10_u8, 11, 12, 13, 14]),
        OwnField::new("date", Per::Graph, 1, &[1_i64 << 40]),
    ];
    graphs.check().unwrap();
    let mut plan = BatchPlan::default();
    plan.clear(Level::Nodes);
    plan.members = vec![0, 2];
    plan.edges = EdgeSelection::Induced;
    plan.shape = Shape { n_node: 4, n_edge: 3, n_graph: 2, n_output: 0 };
    let needs = own_needs(&["kind", "date", "charge"]);
    let mut buffer = BatchBuffer::new();
    collate(&graphs, &plan, &needs, &mut buffer).unwrap();
    let batch = buffer.batch();
    assert_eq!(batch.own.get::<f32>("charge").unwrap(), [1.0, 2.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
    // 2 -> 0 and 0 -> 2 are the second and the fourth edge.
    assert_eq!(batch.own.get::<u8>("kind").unwrap(), [11, 13, 0]);
    assert_eq!(batch.own.get::<i64>("date").unwrap(), [1 << 40, 0]);
    assert_eq!((batch.own.get::<f32>("kind"), batch.own.get::<f32>("mass")), (None, None));
    let own: Vec<_> = batch.layout().skip_while(|field| field.name != "kind").collect();
    let names: Vec<_> = own.iter().map(|field| (field.name, field.n_byte)).collect();
    assert_eq!(names, [("kind", 3), ("date", 16), ("charge", 32)], "in the order of the needs");

    // A batcher may list an edge that is not in the graph and so has no row.
    plan.edges = EdgeSelection::Listed;
    (plan.listed.sender, plan.listed.receiver) = (vec![0], vec![0]);
    let error = collate(&graphs, &plan, &needs, &mut buffer).unwrap_err().to_string();
    assert!(
        error.contains("an edge from node 0 to node 0, for which the data have no row"),
        "{error}"
    );
    collate(&graphs, &plan, &own_needs(&["charge"]), &mut buffer).unwrap();
    assert!(buffer.batch().own.get::<u8>("kind").is_none(), "only what is needed is copied");

    let error = collate(&graphs, &plan, &own_needs(&["mass"]), &mut buffer).unwrap_err();
    assert_eq!(error.to_string(), "the data set has no field \"mass\"");
}

#[test]
fn own_fields_that_do_not_fit_are_refused() {
    let check = |edges: Edges, own: Vec<OwnField>| {
        let mut graphs =
            Graphs::new("test", Topology::Many(ManyGraphs::new(&[2, 3], edges).unwrap())).unwrap();
        graphs.own = own;
        graphs.check().map_err(|error| error.to_string())
    };
    let stored = || Edges::Stored(StoredEdges::new(&[1, 0], &[0], &[1], &[], &[]).unwrap());
    let of = |name: &str, per, width, n| OwnField::new(name, per, width, &vec![0_i32; n]);
    for per_and_row in [(Per::Node, 5), (Per::Edge, 1), (Per::Graph, 2)] {
        assert_eq!(check(stored(), vec![of("x", per_and_row.0, 2, 2 * per_and_row.1)]), Ok(()));
    }
    for (edges, own, expected) in [
        (
            stored(),
            vec![of("x", Per::Node, 2, 8)],
            "the field \"x\" has 32 bytes, expected 5 rows of 8",
        ),
        (stored(), vec![of("x", Per::Node, 0, 0)], "expected 5 rows of 0 bytes"),
        (stored(), vec![of("x", Per::Node, usize::MAX, 5)], "has 20 bytes"),
        (
            stored(),
            vec![of("distance", Per::Edge, 1, 1)],
            "has the name of a field that every batch has",
        ),
        (stored(), vec![of("x", Per::Node, 1, 5), of("x", Per::Graph, 1, 2)], "is there twice"),
        (
            Edges::FullyConnected,
            vec![of("x", Per::Edge, 1, 8)],
            "has rows for edges, which are not stored",
        ),
    ] {
        let error = check(edges, own).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
