//! Compares every kernel with the CPU's, on random matrices of many widths.

use std::ops::Range;

use batchlab_core::model::{Loss, Precision};
use batchlab_core::random;
use dfdx::prelude::*;

#[cfg(feature = "cuda-check")]
use super::module::{Launch, memory};
use super::{device, open};
use crate::backend::{Attention, Blocks, LinearLayer, RowsToNormalise};
use crate::ops::{LinearKernels, SegmentKernels};
use crate::segments::sorted;
use crate::{
    Activation, Adam, Aggregate, Backend, Buffer, Dense, DeviceMemory, Dropout, GaussianBasis,
    Matrix, Outputs, Segments,
};

const WIDTHS: [usize; 5] = [1, 3, 7, 64, 150];

/// Random numbers between -1 and 1, the same on every device.
fn numbers(purpose: &str, n: usize) -> Vec<f32> {
    let mut rng = random::stream(11, purpose, 0);
    let unit = |rng: &mut _| random::below(rng, 1 << 20) as f32 / (1 << 20) as f32;
    (0..n).map(|_| 2.0 * unit(&mut rng) - 1.0).collect()
}

/// The inputs of a case on its device, and all resulting numbers.
struct Case<D: Backend> {
    device: D,
    /// Whether gradients start empty.
    is_first: bool,
    results: Vec<(String, Vec<f32>)>,
}

impl<D: Backend> Case<D> {
    fn matrix(&self, purpose: &str, [n_row, n_column]: [usize; 2]) -> Dense<D> {
        let values = numbers(purpose, n_row * n_column);
        let matrix = Matrix::constant(&self.device, values, [n_row, n_column]);
        matrix.expect("room for a matrix").tensor().clone()
    }

    /// A gradient for a kernel to add to.
    fn gradient(&self, purpose: &str, n: usize) -> Buffer<D> {
        if self.is_first {
            self.device.new_gradient(n).expect("room for a gradient")
        } else {
            self.buffer(purpose, n)
        }
    }

    fn buffer(&self, purpose: &str, n: usize) -> Buffer<D> {
        self.device.buffer_of(&numbers(purpose, n)).expect("room for a buffer")
    }

    fn take(&mut self, name: &str, matrix: Result<Dense<D>, D::Err>) -> Dense<D> {
        let matrix = matrix.unwrap_or_else(|error| panic!("{name}: {error}"));
        let values = Matrix::from_kernel(matrix.clone(), false).to_vec();
        self.results.push((name.into(), values));
        matrix
    }

    fn keep(&mut self, name: &str, buffer: &Buffer<D>) {
        let values = self.device.read(buffer).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.results.push((name.into(), values));
    }

    /// Items of random segments with one hub, and segments without items.
    fn segments(&self, n_item: usize, n_segment: usize, ordered: bool) -> std::rc::Rc<Segments<D>> {
        let mut rng = random::stream(11, "segments", n_item as u64);
        let mut of: Vec<u32> = (0..n_item)
            .map(|item| match item % 3 {
                0 => 5,
                // Even segments have no items of their own.
                _ => 2 * random::below(&mut rng, n_segment as u64 / 2) as u32 + 1,
            })
            .collect();
        if ordered {
            of.sort_unstable();
        }
        let (order, offset) = sorted(&of, n_segment);
        let order = (!ordered).then_some(&order[..]);
        Segments::upload(&self.device, &of, &offset, order).expect("room for segments")
    }
}

type Outcome<D> = Result<(), <D as HasErr>::Err>;

fn compare(on_cpu: impl FnOnce(&mut Case<Cpu>), on_cuda: impl FnOnce(&mut Case<Cuda>)) {
    let mut cpu = Case { device: Cpu::default(), is_first: false, results: Vec::new() };
    on_cpu(&mut cpu);
    let mut cuda = Case { device: open(0).expect("a GPU"), is_first: false, results: Vec::new() };
    on_cuda(&mut cuda);
    assert_eq!(cpu.results.len(), cuda.results.len());
    for ((name, expected), (_, got)) in cpu.results.iter().zip(&cuda.results) {
        if expected.is_empty() && got.iter().all(|x| *x == 0.0) {
            // A gradient without contributions.
            continue;
        }
        assert_eq!(expected.len(), got.len(), "{name}");
        let scale = expected.iter().filter(|x| x.is_finite()).fold(1.0_f32, |a, x| a.max(x.abs()));
        for (place, (a, b)) in expected.iter().zip(got).enumerate() {
            // A third of the items are in one segment, and their terms cancel in sums of another
            // order.
            let equal = (a - b).abs() <= 2e-5 * scale
                || a.to_bits() == b.to_bits()
                || (a.is_nan() && b.is_nan());
            assert!(equal, "{name}[{place}]: {a} on the processor, {b} on the GPU");
        }
    }
}

macro_rules! cases {
    ($($test:ident: $function:ident($($argument:expr),*);)*) => {
        $(
            #[test]
            fn $test() {
                for (width, is_first) in WIDTHS.into_iter().flat_map(|n| [(n, false), (n, true)]) {
                    compare(
                        |case| {
                            case.is_first = is_first;
                            $function(case, width $(, $argument)*);
                        },
                        |case| {
                            case.is_first = is_first;
                            $function(case, width $(, $argument)*);
                        },
                    );
                }
            }
        )*
    };
}

cases! {
    elementwise_kernels: elementwise(300);
    elementwise_kernels_without_rows: elementwise(0);
    parameters_and_their_moments: optimiser();
    segments_in_order: over_segments(2500, 40, true);
    segments_out_of_order: over_segments(2500, 40, false);
    as_many_items_as_a_part: over_segments(96, 7, true);
    no_items: over_segments(0, 7, false);
    sums_along_edges_both_ways: convolutions(1500, 30);
    sums_along_no_edges: convolutions(0, 7);
    norms_of_rows: norms(70);
    norms_of_no_rows: norms(0);
    layers_of_many_rows: layers(70);
    layers_of_one_row: layers(1);
    layers_without_rows: layers(0);
    vectors_of_nodes: vectors(45);
    parts_of_matrices: parts(33);
    geometry_of_edges: edges(333);
}

fn elementwise<D: Backend>(case: &mut Case<D>, width: usize, n_row: usize) {
    let n = n_row * width;
    let device = case.device.clone();
    let [a, b] = ["a", "b"].map(|name| case.matrix(name, [n_row, width]));
    let factor = case.matrix("factor", [n_row, 1]);
    let dy = case.buffer("dy", n);
    let scale = case.buffer("scale", 1);
    case.take("add", device.add(&a, &b));
    case.take("multiply", device.multiply(&a, &b));
    case.take("scale_rows", device.scale_rows(&a, &factor));
    let mut run = |name: &str, n, kernel: &dyn Fn(&mut Buffer<D>) -> Outcome<D>| {
        let mut out = case.gradient("out", n);
        kernel(&mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
        case.keep(name, &out);
    };
    run("accumulate", n, &|out| device.accumulate(out, &dy));
    run("accumulate_product", n, &|out| device.accumulate_product(out, &dy, &b));
    run("accumulate_scaled", n, &|out| device.accumulate_scaled(out, &scale, &dy));
    run("scale_rows_backward x", n, &|out| {
        device.scale_rows_backward(Some(out), None, &dy, &a, &factor)
    });
    run("scale_rows_backward factor", n_row, &|out| {
        device.scale_rows_backward(None, Some(out), &dy, &a, &factor)
    });
}

/// More parameters than fit into a launch, some without elements, some of several blocks.
fn optimiser<D: Backend>(case: &mut Case<D>, width: usize) {
    let rows: Vec<usize> = (0..230).map(|i| [1, 0, 40, 7, 256 / width][i % 5]).collect();
    let name = |what: &str, i: usize| format!("{what} {i}");
    let buffer = |what: &str, i: usize| case.buffer(&name(what, i), rows[i] * width);
    let all = || 0..rows.len();
    let parameters: Vec<_> =
        all().map(|i| case.matrix(&name("parameter", i), [rows[i], width])).collect();
    let gradients: Vec<_> = all().map(|i| buffer("gradient", i)).collect();
    let mut moments: Vec<_> = all()
        .map(|i| {
            let squares: Vec<_> =
                numbers(&name("second", i), rows[i] * width).iter().map(|x| x * x).collect();
            let mut second = buffer("second", i);
            case.device.write(&mut second, &squares).expect("room");
            [buffer("first", i), second]
        })
        .collect();
    let places: Vec<_> = parameters.iter().collect();
    let step = Adam::step(0.01, 3);
    let decay: Vec<f32> = all().map(|i| [0.0, 0.1, 3.0][i % 3]).collect();
    let values = case.device.adam(step, &decay, &places, &gradients, &mut moments).expect("a step");
    assert_eq!(values.len(), rows.len());
    for (i, value) in values.into_iter().enumerate() {
        case.take(&name("parameter", i), Ok(value));
        case.keep(&name("first", i), &moments[i][0]);
        case.keep(&name("second", i), &moments[i][1]);
    }
}

fn over_segments<D: Backend>(
    case: &mut Case<D>,
    width: usize,
    n_item: usize,
    n_segment: usize,
    ordered: bool,
) {
    let device = case.device.clone();
    let segments = case.segments(n_item, n_segment, ordered);
    let item = case.matrix("item", [n_item, width]);
    let row = case.matrix("row", [n_segment, width]);
    let of_item = case.buffer("of item", n_item * width);
    let of_row = case.buffer("of row", n_segment * width);
    case.take("gather", device.gather(&row, &segments));
    let mut dx = case.gradient("dx", n_segment * width);
    device.gather_backward(&mut dx, &of_item, &segments, width).expect("gather_backward");
    case.keep("gather_backward", &dx);
    for aggregate in [Aggregate::Sum, Aggregate::Mean] {
        case.take("segment", device.segment(&item, &segments, aggregate));
        let mut dx = case.gradient("dx", n_item * width);
        let result = device.segment_backward(&mut dx, &of_row, &segments, aggregate, width);
        result.expect("segment_backward");
        case.keep("segment_backward", &dx);
    }
    let largest = case.take("segment_max", device.segment_max(&item, &segments));
    let mut dx = case.gradient("dx", n_item * width);
    let result = device.segment_max_backward(&mut dx, &of_row, &item, &largest, &segments);
    result.expect("segment_max_backward");
    case.keep("segment_max_backward", &dx);
    let softmax = case.take("segment_softmax", device.segment_softmax(&item, &segments));
    let mut dx = case.gradient("dx", n_item * width);
    let result = device.segment_softmax_backward(&mut dx, &of_item, &softmax, &segments);
    result.expect("segment_softmax_backward");
    case.keep("segment_softmax_backward", &dx);
}

fn convolutions<D: Backend>(case: &mut Case<D>, width: usize, n_edge: usize, n_node: usize) {
    let device = case.device.clone();
    let to = case.segments(n_edge, n_node, true);
    let from = case.segments(n_edge, n_node, false);
    let weights = case.matrix("weight", [n_edge, 1]);
    let x = case.matrix("x", [n_node, width]);
    for aggregate in [Aggregate::Sum, Aggregate::Mean] {
        for weight in [Some(&weights), None] {
            case.take("propagate", device.propagate(&x, weight, &from, &to, aggregate));
            let mut dx = case.gradient("dx", n_node * width);
            let mut dy = case.buffer("dy", n_node * width);
            device
                .propagate_backward(&mut dx, &mut dy, weight, &from, &to, aggregate, width)
                .expect("propagate_backward");
            case.keep("propagate_backward", &dx);
        }
    }
    for n_head in [1, 3] {
        let x = case.matrix("x", [n_node, n_head * width]);
        let weight = case.matrix("weight", [n_head, width]);
        let own = case.take("head_scores", device.head_scores(&x, &weight));
        let theirs = case.matrix("theirs", [n_node, n_head]);
        let scores = [&theirs, &own];
        let attention = Attention { x: &x, scores, from: &from, to: &to, n_head };
        let [out, share] = device.attend(&attention).expect("attend");
        case.take("attend", Ok(out.clone()));
        case.take("attend, shares", Ok(share.clone()));
        let dy = case.buffer("dy", n_node * n_head * width);
        let mut dx = case.gradient("dx", n_node * n_head * width);
        let mut dscores = ["a", "b"].map(|name| case.gradient(name, n_node * n_head));
        device
            .attend_backward(&mut dx, &mut dscores, &dy, &attention, [&out, &share])
            .expect("attend_backward");
        case.keep("attend_backward x", &dx);
        case.keep("attend_backward senders", &dscores[0]);
        case.keep("attend_backward receivers", &dscores[1]);
        let mut dweight = case.gradient("dweight", n_head * width);
        device
            .head_scores_backward(&mut dx, &mut dweight, &dscores[0], &x, &weight)
            .expect("head_scores_backward");
        case.keep("head_scores_backward x", &dx);
        case.keep("head_scores_backward weight", &dweight);
        case.take("mean_of_heads", device.mean_of_heads(&x, n_head));
        let of_mean = case.buffer("of mean", n_node * width);
        device.mean_of_heads_backward(&mut dx, &of_mean, n_head, width).expect("mean_of_heads");
        case.keep("mean_of_heads_backward", &dx);
    }
}

/// Layer norm, activation and dropout, each with and without the others.
fn norms<D: Backend>(case: &mut Case<D>, width: usize, n_row: usize) {
    let device = case.device.clone();
    let x = case.matrix("x", [n_row, width]);
    let (scale, offset) = (case.matrix("scale", [1, width]), case.matrix("offset", [1, width]));
    let node = case.segments(n_row, 40, false);
    let row = case.matrix("row", [1, width]);
    case.take("add_row", device.add_row(&x, &row));
    let dy = case.buffer("dy", n_row * width);
    let mut drow = case.buffer("drow", width);
    device.add_row_backward(&mut drow, &dy).expect("add_row_backward");
    case.keep("add_row_backward", &drow);
    // A single column has no deviation: its gradient is mere rounding.
    let norms = [(width > 1).then_some([&scale, &offset]), None];
    for norm in norms {
        for activation in [Activation::Relu, Activation::Elu, Activation::Silu] {
            for (dropout, node) in [
                (None, None),
                (Some(Dropout::new(0.3, 77, 2)), None),
                (Some(Dropout::new(0.8, 1 << 40, 0)), Some(&*node)),
            ] {
                let rows = RowsToNormalise { x: &x, norm, activation, dropout, node };
                let [out, statistics] = device.normalise(&rows).expect("normalise");
                case.take("normalise", Ok(out));
                if norm.is_some() {
                    case.take("normalise, statistics", Ok(statistics.clone()));
                }
                let mut dx = case.gradient("dx", n_row * width);
                let mut dnorm = ["a", "b"].map(|name| case.gradient(name, width));
                let mut dy = case.buffer("dy", n_row * width);
                device
                    .normalise_backward(Some(&mut dx), &mut dnorm, &mut dy, &rows, &statistics)
                    .expect("normalise_backward");
                case.keep("normalise_backward x", &dx);
                if norm.is_some() {
                    case.keep("normalise_backward scale", &dnorm[0]);
                    case.keep("normalise_backward offset", &dnorm[1]);
                }
            }
        }
    }
}

fn layers<D: Backend>(case: &mut Case<D>, width: usize, n_row: usize) {
    let device = case.device.clone();
    let n_in = 20;
    let input = case.matrix("input", [n_row, n_in]);
    let weight = case.matrix("weight", [n_in, width]);
    let bias = case.matrix("bias", [1, width]);
    let activations = [
        Activation::Identity,
        Activation::ShiftedSoftplus,
        Activation::Silu,
        Activation::Relu,
        Activation::Elu,
        Activation::LeakyRelu,
    ];
    for activation in activations {
        for bias in [Some(&bias), None] {
            let precision = Precision::F32;
            let layer = LinearLayer { input: &input, weight: &weight, bias, activation, precision };
            let (output, sum) = device.linear(&layer, activation.keeps_input()).expect("linear");
            case.take("linear", Ok(output.clone()));
            if let Some(sum) = &sum {
                case.take("linear sum", Ok(sum.clone()));
            }
            let mut dx = case.gradient("dx", n_row * n_in);
            let mut dweight = case.gradient("dweight", n_in * width);
            let mut dbias = case.gradient("dbias", width);
            let mut dy = case.buffer("dy", n_row * width);
            let of_bias = bias.is_some().then_some(&mut dbias);
            let result = device.linear_backward(
                Some(&mut dx),
                &mut dweight,
                of_bias,
                &mut dy,
                &layer,
                sum.as_ref().unwrap_or(&output),
            );
            result.expect("linear_backward");
            case.keep("linear_backward x", &dx);
            case.keep("linear_backward weight", &dweight);
            if bias.is_some() {
                case.keep("linear_backward bias", &dbias);
            }
        }
    }
}

fn vectors<D: Backend>(case: &mut Case<D>, width: usize, n_node: usize) {
    let device = case.device.clone();
    let s = case.matrix("s", [n_node, width]);
    let mixed = case.matrix("mixed", [3 * n_node, 2 * width]);
    let gates = case.matrix("gates", [n_node, 3 * width]);
    let output = case.take("norms_beside", device.norms_beside(&s, &mixed, 0.1));
    let dy = case.buffer("dy", 2 * n_node * width);
    let mut ds = case.gradient("ds", n_node * width);
    let mut dmixed = case.gradient("dmixed", 6 * n_node * width);
    device
        .norms_beside_backward(Some(&mut ds), Some(&mut dmixed), &dy, &mixed, &output)
        .expect("norms_beside_backward");
    case.keep("norms_beside_backward s", &ds);
    case.keep("norms_beside_backward mixed", &dmixed);
    let v = case.matrix("v", [3 * n_node, width]);
    let received = case.matrix("received", [n_node, 4 * width]);
    let [scalar, vector] = device.add_received([&s, &v], &received, 0.3).expect("add_received");
    case.take("add_received s", Ok(scalar));
    case.take("add_received v", Ok(vector));
    let dv = case.buffer("dv", 3 * n_node * width);
    let mut dreceived = case.gradient("dreceived", 4 * n_node * width);
    device
        .add_received_backward(&mut dreceived, [&ds, &dv], &received, 0.3)
        .expect("add_received_backward");
    case.keep("add_received_backward", &dreceived);
    let [scalar, vector] =
        device.equivariant_update([&s, &v], &gates, &mixed, 0.3).expect("equivariant_update");
    case.take("equivariant_update s", Ok(scalar));
    case.take("equivariant_update v", Ok(vector));
    let mut dgates = case.gradient("dgates", 3 * n_node * width);
    device
        .equivariant_update_backward(
            Some(&mut dgates),
            Some(&mut dmixed),
            [&ds, &dv],
            &gates,
            &mixed,
            0.3,
        )
        .expect("equivariant_update_backward");
    case.keep("equivariant_update_backward gates", &dgates);
    case.keep("equivariant_update_backward mixed", &dmixed);
}

fn parts<D: Backend>(case: &mut Case<D>, width: usize, n_row: usize) {
    let device = case.device.clone();
    let x = case.matrix("x", [n_row, width + 5]);
    // Some overlap, and of columns there are more than fit into a launch.
    let of_rows = vec![3..n_row - 1, 0..3, 1..2];
    let of_columns = (0..9).map(|k| k % 5..k % 5 + width).collect();
    for (of_rows, ranges) in [(true, of_rows), (false, of_columns)] {
        let blocks = Blocks { of_rows, ranges };
        for block in device.blocks(&x, &blocks).expect("blocks") {
            case.take("block", Ok(block));
        }
        let mut dx = case.gradient("dx", n_row * (width + 5));
        let whole = [n_row, width + 5];
        // The second is not used.
        let of_block = |(k, [rows, columns]): (usize, [Range<usize>; 2])| {
            (k != 1).then(|| case.buffer("dy", rows.len() * columns.len()))
        };
        let dy: Vec<_> = blocks.each(whole).enumerate().map(of_block).collect();
        device.blocks_backward(&mut dx, &dy, whole, &blocks).expect("blocks_backward");
        case.keep("blocks_backward", &dx);
    }
}

fn edges<D: Backend>(case: &mut Case<D>, width: usize, n_edge: usize) {
    let device = case.device.clone();
    let displacement = case.matrix("displacement", [n_edge, 3]);
    let [distance, direction] = device.edge_geometry(&displacement, 1e-4).expect("geometry");
    case.take("distance", Ok(distance.clone()));
    case.take("direction", Ok(direction));
    case.take("cosine_cutoff", device.cosine_cutoff(&distance, 1.0));
    let basis = GaussianBasis { n: width, first: 0.1, spacing: 0.05, coefficient: 20.0 };
    case.take("gaussians", device.gaussians(&distance, &basis));
}

/// Unordered rows, one of them with weight 0 and NaN.
fn losses<D: Backend>(case: &mut Case<D>, loss: Loss, width: usize, n_row: usize) {
    let device = case.device.clone();
    let mut values = numbers("prediction", n_row * width);
    values[width..2 * width].fill(f32::NAN);
    let prediction = Matrix::constant(&device, values, [n_row, width]).expect("room");
    let row: Vec<u32> = (0..n_row as u32).rev().collect();
    let target: Vec<f32> = (0..n_row).map(|i| (i % width.max(2)) as f32).collect();
    let mut weight: Vec<f32> = numbers("weight", n_row).iter().map(|w| w.abs() + 0.1).collect();
    weight[n_row - 2] = 0.0;
    let weight_sum: f64 = weight.iter().map(|&w| f64::from(w)).sum();
    let bits = weight_sum.to_bits();
    let mut arena = D::Arena::default();
    device.begin_upload(&mut arena, 3 * row.len() + 300).expect("room");
    let words = [bits as u32, (bits >> 32) as u32];
    let outputs = Outputs {
        row: device.put_words(&mut arena, &row).expect("room"),
        target: device.put_numbers(&mut arena, &target).expect("room"),
        weight: device.put_numbers(&mut arena, &weight).expect("room"),
        weight_sum_on_device: device.put_words(&mut arena, &words).expect("room"),
        row_on_host: row,
        weight_sum,
    };
    device.finish_upload(&mut arena).expect("room");
    device.begin_use(&arena).expect("the device works");
    let (sum, unit) = device.loss(loss, prediction.tensor(), &outputs).expect("loss");
    let mut fetched = D::FetchedLoss::default();
    device.fetch_loss(&sum, &mut fetched).expect("loss");
    let sum = device.read_loss(&fetched).expect("loss");
    case.results.push(("loss".into(), vec![sum as f32]));
    case.keep("loss unit", &unit);
}

#[test]
fn losses_of_few_and_many_outputs() {
    for (loss, width) in [(Loss::Mse, 1), (Loss::Mae, 1), (Loss::CrossEntropy, 7)] {
        for n_row in [2, 30, 1000] {
            compare(
                |case| losses(case, loss, width, n_row),
                |case| losses(case, loss, width, n_row),
            );
        }
    }
}

/// Exact sums, so that the order of addition cannot matter; a hub in the middle.
#[test]
fn a_hub_of_many_items_is_summed_whole() {
    let cuda = open(0).expect("a GPU");
    let n_item = 100_000;
    let of: Vec<u32> =
        (0..n_item).map(|i| u32::from(i >= 10) + u32::from(i >= n_item - 3)).collect();
    let (_, offset) = sorted(&of, 4);
    let segments = Segments::upload(&cuda, &of, &offset, None).expect("room");
    let x = Matrix::constant(&cuda, vec![1.0; 2 * n_item], [n_item, 2]).expect("room");
    let sum = cuda.segment(x.tensor(), &segments, Aggregate::Sum).expect("segment");
    let sum = Matrix::from_kernel(sum, false).to_vec();
    assert_eq!(sum, [10.0, 10.0, 99_987.0, 99_987.0, 3.0, 3.0, 0.0, 0.0]);
}

/// A layer forward and backward: output, gradients of the input and of the weight.
fn layer_in(case: &Case<Cuda>, precision: Precision) -> [Vec<f32>; 3] {
    let [n_row, n_in, n_out] = [128, 64, 96];
    let input = case.matrix("input", [n_row, n_in]);
    let weight = case.matrix("weight", [n_in, n_out]);
    let activation = Activation::Identity;
    let layer = LinearLayer { input: &input, weight: &weight, bias: None, activation, precision };
    let (output, _) = case.device.linear(&layer, false).expect("linear");
    let zeros = |n: usize| case.device.zeros_buffer(n).expect("room");
    let (mut dx, mut dweight) = (zeros(n_row * n_in), zeros(n_in * n_out));
    let mut dy = case.buffer("dy", n_row * n_out);
    case.device
        .linear_backward(Some(&mut dx), &mut dweight, None, &mut dy, &layer, &output)
        .expect("linear_backward");
    let [dx, dweight] = [dx, dweight].map(|buffer| case.device.read(&buffer).expect("read"));
    [Matrix::from_kernel(output, false).to_vec(), dx, dweight]
}

#[test]
fn tensor_cores_are_coarser_and_only_used_where_they_are_asked_for() {
    let case = Case { device: open(0).expect("a GPU"), is_first: false, results: Vec::new() };
    let exact = layer_in(&case, Precision::F32);
    // Factors of up to 1 are rounded by up to 2^-11, or 2^-8; single precision would be within
    // 1e-6.
    for (precision, least, most) in [(Precision::Tf32, 1e-5, 1e-3), (Precision::Bf16, 1e-4, 1e-2)] {
        let coarse = layer_in(&case, precision);
        for (exact, coarse) in exact.iter().zip(&coarse) {
            let scale = exact.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
            let error = exact.iter().zip(coarse).fold(0.0_f32, |a, (x, y)| a.max((x - y).abs()));
            // cuBLAS may choose single precision for a product that does not benefit from tensor
            // cores; the emulated one never does.
            let least = if cfg!(feature = "cuda-check") { least } else { 0.0 };
            println!("{precision:?} differs by {:.1e} of the greatest number", error / scale);
            assert!((least..most).contains(&(error / scale)), "{error} of {scale}");
        }
    }
    assert!(layer_in(&case, Precision::F32) == exact);
}

#[test]
fn the_same_bits_every_time() {
    let run = || {
        let mut case =
            Case { device: open(0).expect("a GPU"), is_first: false, results: Vec::new() };
        over_segments(&mut case, 7, 2500, 40, false);
        layers(&mut case, 7, 500);
        case.results
            .into_iter()
            .flat_map(|(_, values)| values)
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let first = run();
    // Blocks run in a different order each time.
    assert!((0..3).all(|_| run() == first));
}

#[test]
fn a_gpu_that_is_not_there() {
    let error = open(700).expect_err("no such GPU").to_string();
    assert!(error.contains("GPUs that CUDA can use, counted from 0"), "{error}");
}

#[test]
fn a_kernel_that_does_not_compile_is_shown_with_the_compilers_words() {
    let gpu = device::of(&open(0).expect("a GPU")).expect("it is open");
    let error = gpu.module("extern \"C\" __global__ void broken() { no_such_name(); }").err();
    let error = error.expect("no such name").to_string();
    assert!(error.contains("no_such_name"), "{error}");
}

/// Each block reads a number, waits for its threads, and writes a larger one, which goes wrong as
/// soon as two blocks run at the same time.
#[cfg(feature = "cuda-check")]
const LOST_COUNTS: &str = r#"
extern "C" __global__ void count_blocks(float *total) {
    __shared__ float mine;
    if (threadIdx.x == 0) mine = *total;
    __syncthreads();
    if (threadIdx.x == 1) *total = mine + 1.0f;
}"#;

#[cfg(feature = "cuda-check")]
#[test]
fn blocks_of_the_emulated_gpu_run_at_the_same_time() {
    if std::env::var("EMULATED_CUDA_CHECK").is_ok_and(|check| check == "races") {
        // It finds that this is a race.
        return;
    }
    let cuda = open(0).expect("a GPU");
    let gpu = device::of(&cuda).expect("it is open");
    let module = gpu.module(LOST_COUNTS).expect("it compiles");
    let launch = Launch { blocks: [200, 1], threads: 2, shared: 0 };
    let counted: Vec<f32> = (0..40)
        .map(|_| {
            let total = cuda.zeros_buffer(1).expect("room");
            gpu.launch(&module, "count_blocks", launch, &[memory(&total)]).expect("a launch");
            cuda.read(&total).expect("a number")[0]
        })
        .collect();
    // Each launch draws how many blocks run at a time; with a single one, every block is counted.
    assert!(
        counted.iter().all(|counted| (1.0..=200.0).contains(counted)),
        "{counted:?} of 200 blocks"
    );
    assert!(counted.iter().any(|counted| *counted < 200.0), "one after the other, {counted:?}");
}
