//! Messages of all kinds, widths and numbers of edges.

use batchlab_core::model::Precision;
use batchlab_tensor::{Activation, Aggregate, Direction};

use super::case::{Case, Step, edge_updates, painn, schnet};
use super::compare::{batch, check, check_in, largest, run, small};

/// Number of random programs to try: compiling one takes seconds for an emulated GPU.
pub(super) const N_PROGRAM: &str = "BATCHLAB_TEST_PROGRAMS";

#[test]
fn random_programs() {
    let n = std::env::var(N_PROGRAM).map_or(20, |n| n.parse().expect("a number of programs"));
    let buffer = small();
    (0..n).for_each(|seed| check(&Case::random(seed), &buffer));
}

/// Widths that are not multiples of the tile sizes of tensor cores, and programs of all kinds,
/// except steps whose gradient jumps where a sum changes sign.
#[test]
fn all_widths_on_tensor_cores() {
    let buffer = small();
    let n = std::env::var(N_PROGRAM).map_or(8, |n| n.parse().expect("a number of programs"));
    let mut cases: Vec<Case> = (0..n).map(Case::random).collect();
    for step in cases.iter_mut().flat_map(|case| &mut case.steps) {
        if let Step::Linear { activation, .. } | Step::Sum(_, activation) = step
            && *activation == Activation::Relu
        {
            *activation = Activation::Silu;
        }
    }
    cases.extend([schnet(150, 33), edge_updates(100, 3), painn(40, 131, Activation::Silu)]);
    for (case, precision) in cases.iter().zip([Precision::Tf32, Precision::Bf16].iter().cycle()) {
        check_in(*precision, case, &buffer);
    }
}

/// Errors within the tolerance of the other tests.
#[test]
fn gaussians_are_left_out_where_they_are_nothing() {
    let buffer = batch(&[(6, 30), (9, 72)], 0, 10);
    let [cpu, cuda] = ["cpu", "cuda:0"].map(|device| run(&schnet(150, 64), device, &buffer).0);
    let scale = largest(&cpu);
    for (cuda, cpu) in cuda.iter().zip(&cpu) {
        assert!((cuda - cpu).abs() <= 2e-6 * scale, "{cuda} and {cpu}");
    }
}

#[test]
fn wide_messages() {
    let buffer = small();
    check(&schnet(150, 384), &buffer);
    check(&edge_updates(7, 150), &buffer);
    // Split into blocks of columns, the last of them partial; with and without kept sums.
    for activation in [Activation::Silu, Activation::Relu, Activation::Identity] {
        for width in [128, 130, 131] {
            check(&painn(40, width, activation), &buffer);
        }
    }
}

#[test]
fn widths_around_the_shared_memory_that_everyone_has() {
    // Tiles plus other shared memory of the kernels: just below, at and just above 48 KiB.
    let buffer = batch(&[(5, 17)], 3, 2);
    for n_gaussian in [17, 18, 20, 269, 273, 276] {
        check(&schnet(n_gaussian, 64), &buffer);
    }
    for width in [61, 62, 67] {
        check(&edge_updates(150, width), &buffer);
    }
    for n_gaussian in [45, 49, 52] {
        check(&painn(n_gaussian, 96, Activation::Identity), &buffer);
    }
}

#[test]
fn numbers_of_edges_around_a_tile() {
    for n_edge in [0, 1, 2, 31, 32, 33, 63, 64, 65, 96] {
        for direction in [Direction::ToReceiver, Direction::ToSender] {
            let buffer = batch(&[(7, n_edge)], 0, 0);
            check(&Case { direction, ..schnet(100, 7) }, &buffer);
            check(&Case { direction, ..edge_updates(100, 3) }, &buffer);
        }
    }
}

#[test]
fn a_hub() {
    let buffer = batch(&[(40, 12_000), (5, 20)], 11_000, 700);
    for direction in [Direction::ToReceiver, Direction::ToSender] {
        for aggregate in [Aggregate::Mean, Aggregate::Sum] {
            check(&Case { aggregate, direction, ..edge_updates(100, 4) }, &buffer);
        }
    }
}
