//! Effects of the length of an edge.

use batchlab_testkit::two_nodes::predict;
use model_schnet::Schnet;

const FORTH: &[[u32; 2]] = &[[0, 1]];

#[test]
fn edges_at_the_cutoff_and_beyond_count_nothing() {
    let model: Schnet = toml::from_str("cutoff_angstrom = 5.0").expect("a right table");
    let at = |distance| predict(&model, FORTH, distance);
    assert_eq!(at(5.0).to_bits(), at(9.0).to_bits());
    assert_ne!(at(4.9).to_bits(), at(5.0).to_bits());
    assert!((at(4.99) - at(5.0)).abs() < 1e-3 * (at(3.0) - at(5.0)).abs(), "it falls smoothly");
}

#[test]
fn without_a_cutoff_every_edge_counts() {
    let model = Schnet::default();
    assert_ne!(predict(&model, FORTH, 5.0).to_bits(), predict(&model, FORTH, 9.0).to_bits());
}
