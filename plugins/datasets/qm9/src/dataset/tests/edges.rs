//! The option `edges`.

use batchlab_core::graphs::{Edges, Topology};
use batchlab_core::registry::{Kind, find};
use batchlab_core::{BatchBuffer, BatchPlan, Shape, collate};
use serde_json::json;

use super::*;

/// The sample, or the file, with the given rule.
fn with(edges: &serde_json::Value, path: Option<&Path>) -> Result<Graphs, DatasetError> {
    let edges = serde_json::from_value(edges.clone()).expect("a rule");
    let config = Qm9 { edges, path: path.map(Path::to_owned), ..Qm9::default() };
    let graphs = config.load(&LoadContext::new())?;
    assert_eq!(graphs.fields(), config.provides().fields, "{edges:?}");
    Ok(graphs)
}

fn sizes(graphs: &Graphs) -> Arc<[batchlab_core::GraphSize]> {
    let members: Vec<u32> = (0..graphs.n_member() as u32).collect();
    let View::ManyGraphs(sizes) = graphs.view(&members) else { panic!("many graphs") };
    sizes
}

fn n_edge(graphs: &Graphs) -> u64 {
    sizes(graphs).iter().map(|size| u64::from(size.n_edge)).sum()
}

/// A file with a molecule of hydrogen atoms on a line, at the given positions.
fn line_of_atoms(gdb: &str, x: &[f64]) -> tempfile::NamedTempFile {
    let mut text = format!(
        "{}\nProperties=species:S:1:pos:R:3 {gdb} A=0 B=0 C=0 mu=0 alpha=0 homo=0 lumo=0 gap=0 r2=0 zpve=0 U0=-1 \
         U=-1 H=-1 G=-1 Cv=0\n",
        x.len()
    );
    for x in x {
        writeln!(text, "H {x} 0 0").expect("memory");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    file
}

/// Receiver, sender, distance and displacement of every real edge, sorted by receiver and sender.
type Row = ((u32, u32), f32, [f32; 3]);

fn rows(graphs: &Graphs, members: std::ops::Range<u32>, buffer: &mut BatchBuffer) -> Vec<Row> {
    let mut plan = BatchPlan::default();
    plan.clear(Level::Graphs);
    for &size in &sizes(graphs)[members.start as usize..members.end as usize] {
        plan.push_graph(size);
    }
    plan.shape = Shape {
        n_node: plan.real.n_node + 3,
        n_edge: plan.real.n_edge + 7,
        n_graph: plan.real.n_graph + 1,
        n_output: plan.real.n_output + 1,
    };
    let needs = graphs.fields();
    collate(graphs, &plan, &needs, buffer).expect("a batch");
    let batch = buffer.batch();
    assert!(batch.receiver.is_sorted());
    let by_sender = batch.sender_order.iter().map(|&edge| batch.sender[edge as usize]);
    assert!(by_sender.is_sorted());
    let mut rows: Vec<Row> = (0..plan.real.n_edge as usize)
        .map(|edge| {
            let displacement = [0, 1, 2].map(|axis| batch.displacement[3 * edge + axis]);
            ((batch.receiver[edge], batch.sender[edge]), batch.distance[edge], displacement)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    rows
}

#[test]
fn a_radius_beyond_every_molecule_stores_what_full_connection_implies() {
    let implied = with(&json!("fully-connected"), None).expect("the sample");
    let stored = with(&json!({ "radius": 100.0 }), None).expect("the sample");
    assert_ne!(implied.content_hash(), stored.content_hash());
    assert_eq!(
        stored.notes[2..],
        [
            ("graphs without edges".to_owned(), 0),
            ("graphs with an atom without edges".to_owned(), 0),
        ]
    );
    let (mut buffer, mut other) = (BatchBuffer::new(), BatchBuffer::new());
    let mut largest = 0.0_f32;
    for start in (0..2000).step_by(50) {
        let implied = rows(&implied, start..start + 50, &mut buffer);
        let stored = rows(&stored, start..start + 50, &mut other);
        assert_eq!(implied.len(), stored.len());
        for (a, b) in implied.iter().zip(&stored) {
            assert_eq!(a.0, b.0);
            let differences = [0, 1, 2].map(|axis| (a.2[axis] - b.2[axis]).abs());
            largest = differences.into_iter().fold(largest.max((a.1 - b.1).abs()), f32::max);
        }
    }
    // Implicit distances use positions rounded to f32, whose last bit is 5e-7 angstrom from 8
    // angstrom on; stored ones are rounded once, at the end.
    assert!(largest < 3e-6, "{largest}");
}

#[test]
fn a_radius_stores_what_is_near() {
    let all = with(&json!("fully-connected"), None).expect("the sample");
    let start = Instant::now();
    let graphs = with(&json!({ "radius": 5.0 }), None).expect("the sample");
    // Generous, because the test may share its cores; it takes a fifth of a second unoptimised.
    assert!(start.elapsed().as_secs_f64() < 5.0, "{:?}", start.elapsed());
    assert_eq!(n_edge(&graphs), 563_870);
    let mut buffer = BatchBuffer::new();
    let ends = |rows: Vec<Row>| rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
    let mut near = rows(&all, 0..500, &mut buffer);
    near.retain(|row| row.1 < 5.0);
    assert_eq!(ends(rows(&graphs, 0..500, &mut buffer)), ends(near));
    assert!(
        matches!(&graphs.topology, Topology::Many(many) if matches!(many.edges(), Edges::Stored(_)))
    );
}

#[test]
fn the_nearest_are_as_many_for_every_atom() {
    let graphs = with(&json!({ "nearest": 7 }), None).expect("the sample");
    assert!(sizes(&graphs).iter().all(|size| size.n_edge == 7 * size.n_node));
    // Without a radius, no atom can lack edges.
    assert_eq!(graphs.notes.len(), 2);
}

#[test]
fn molecules_without_edges_are_kept_and_counted() {
    let mut text = String::new();
    for (index, places) in [(1, &[0., 1.][..]), (2, &[0., 9.]), (3, &[0., 1., 9.]), (4, &[0.])] {
        let file = line_of_atoms(&format!("gdb={index}"), places);
        text += &std::fs::read_to_string(file.path()).expect("a file");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    let graphs = with(&json!({ "radius": 2 }), Some(file.path())).expect("four molecules");
    assert_eq!(sizes(&graphs).iter().map(|size| size.n_edge).collect::<Vec<_>>(), [2, 0, 2, 0]);
    assert_eq!(
        graphs.notes[2..],
        [
            ("graphs without edges".to_owned(), 2),
            ("graphs with an atom without edges".to_owned(), 3),
        ]
    );
    let rows = rows(&graphs, 0..4, &mut BatchBuffer::new());
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [(0, 1), (1, 0), (4, 5), (5, 4)]);

    let error = with(&json!({ "radius": 0.5 }), Some(file.path())).expect_err("no edge at all");
    assert!(error.to_string().starts_with("none of the 4 structures has an edge"), "{error}");
}

#[test]
fn a_molecule_that_cannot_be_connected_is_named() {
    let message = |gdb: &str, x: &[f64], rule| {
        let file = line_of_atoms(gdb, x);
        let path = file.path().display().to_string();
        let error = with(&rule, Some(file.path())).expect_err("too few atoms").to_string();
        error.strip_prefix(&path).expect("the path").to_owned()
    };
    assert_eq!(
        message("gdb=3", &[0., 1., 2.], json!({ "nearest": 12 })),
        ": molecule gdb 3: the structure has 3 atoms, so each of them has 2 others, fewer than nearest = 12; \
         choose a smaller number or a radius, or leave out such structures"
    );
    let unnamed = message("", &[0., 1.], json!({ "nearest": 2 }));
    assert!(
        unnamed.starts_with(": molecule 1 of the file: the structure has 2 atoms"),
        "{unnamed}"
    );
    let lost = message("gdb=4", &[0., 1e9], json!({ "radius": 2 }));
    assert!(lost.starts_with(": molecule gdb 4: coordinate 1000000000 of atom 1"), "{lost}");
}

#[test]
fn a_wrong_rule_is_refused_at_its_place() {
    let registration = find(Kind::Dataset, "qm9").expect("registered");
    let check = |edges: &str| {
        let text = format!("name = \"qm9\"\nedges = {edges}\nlimit = 3\n");
        let table = toml::de::DeTable::parse(&text).expect("TOML");
        registration.read_table(&table).map(drop).map_err(|error| {
            let place = error.span().map(|span| text[span].to_owned()).expect("a place");
            (place, error.message().to_owned())
        })
    };
    for edges in ["\"fully-connected\"", "{ radius = 5 }", "{ nearest = 12 }"] {
        assert_eq!(check(edges), Ok(()), "{edges}");
    }
    for edges in ["{ radius = -1.0 }", "{ nearest = 0 }", "\"everything\""] {
        let (place, message) = check(edges).expect_err("a wrong rule");
        assert!(!place.is_empty() && edges.contains(&place), "{edges}: {place:?} {message}");
    }
}

#[test]
fn a_configuration_with_a_rule_is_written_so_that_it_can_be_read_again() {
    for edges in [json!("fully-connected"), json!({ "radius": 2.5 }), json!({ "nearest": 12 })] {
        let edges = serde_json::from_value(edges).expect("a rule");
        let config = Qm9 { edges, limit: NonZeroUsize::new(3), ..Qm9::default() };
        let text = toml::to_string(&config).expect("plain values");
        assert_eq!(toml::from_str::<Qm9>(&text).expect("as written"), config, "{text}");
    }
}
