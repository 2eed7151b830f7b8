//! Effects of the length and the direction of an edge.

use batchlab_testkit::two_nodes::predict;
use model_painn::{Messages, Painn};

const FORTH: &[[u32; 2]] = &[[0, 1]];
const BACK: &[[u32; 2]] = &[[1, 0]];
const BOTH: &[[u32; 2]] = &[[0, 1], [1, 0]];

fn narrow(options: &str) -> Painn {
    toml::from_str(&format!("latent_size = 24\n{options}")).expect("a right table")
}

#[test]
fn edges_at_the_cutoff_and_beyond_count_nothing() {
    let model = narrow("cutoff_angstrom = 5.0");
    let at = |distance| predict(&model, FORTH, distance);
    assert_eq!(at(5.001).to_bits(), at(9.0).to_bits());
    assert_ne!(at(4.9).to_bits(), at(9.0).to_bits());
    assert!((at(4.99) - at(9.0)).abs() < 1e-3 * (at(3.0) - at(9.0)).abs(), "it falls smoothly");
}

#[test]
fn messages_run_against_the_edges_in_the_study_and_along_them_as_published() {
    let study = narrow("");
    let published = narrow("messages = \"published\"");
    assert_eq!(study.messages, Messages::Study);
    let of_study = predict(&study, FORTH, 2.0);
    assert_eq!(of_study.to_bits(), predict(&published, BACK, 2.0).to_bits());
    assert_ne!(of_study.to_bits(), predict(&published, FORTH, 2.0).to_bits());
    // If every edge has a reverse edge, the two are indistinguishable.
    let [of_study, of_published] = [&study, &published].map(|model| predict(model, BOTH, 2.0));
    assert!((of_study - of_published).abs() < 1e-6 * of_study.abs());
}

#[test]
fn changes_are_clipped() {
    let [free, default, tight] =
        ["clip = 1e30", "", "clip = 1e-4"].map(|clip| predict(&narrow(clip), FORTH, 2.0));
    assert_eq!(free.to_bits(), default.to_bits());
    // Scalars move by 1e-4 in each of six blocks, and without them there is no edge to see.
    let without_edge = predict(&narrow("clip = 1e-4"), FORTH, 9.0);
    assert!((tight - without_edge).abs() < 2e-2 * (free - without_edge).abs());
}
