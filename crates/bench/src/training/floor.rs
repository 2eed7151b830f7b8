//! Estimate of the time that a step cannot do without: its matrix products at the rate measured for
//! each, plus the memory traffic of the activations kept for the gradients, at the bandwidth measured
//! for that size. Products are timed on whole batches; one that works in blocks that stay in the cache
//! can be faster.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use batchlab_core::model::NamedTensor;
use batchlab_tensor::measure::{self, Layout};
use serde::Serialize;

/// The estimate for a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Floor {
    /// Products and traffic together, in milliseconds.
    pub ms: f64,
    /// Milliseconds of all products.
    pub products_ms: f64,
    /// Operations of all products, in units of 10^9.
    pub giga_operations: f64,
    /// Bytes that layers on edges leave behind for the gradients: written once, read once.
    pub kept_bytes: usize,
    /// Milliseconds to copy as many bytes, which reads and writes as much.
    pub traffic_ms: f64,
}

/// Measures the floor of a step on a padded batch, with the threads of the current rayon pool. It
/// counts what the mathematics needs: a band of the Gaussians instead of all, and parts that depend
/// on one node once per node.
pub fn floor(
    model: &str,
    parameters: &[NamedTensor],
    [n_node, n_edge]: [usize; 2],
) -> anyhow::Result<Floor> {
    let layers = layers(model, parameters)?;
    let kept_bytes = layers.iter().map(Layer::kept_bytes_per_edge).sum::<usize>() * n_edge;
    let products: Vec<Product> =
        layers.iter().flat_map(|layer| layer.products(n_node, n_edge)).collect();
    // Each is measured once, however often it occurs.
    let mut seconds_of = HashMap::new();
    let seconds = products.iter().map(|&of| *seconds_of.entry(of).or_insert_with(|| seconds(of)));
    let (products_ms, traffic_ms) = (1e3 * seconds.sum::<f64>(), 1e3 * copy(kept_bytes));
    Ok(Floor {
        ms: products_ms + traffic_ms,
        products_ms,
        giga_operations: products.iter().map(Product::n_operation).sum::<u64>() as f64 / 1e9,
        kept_bytes,
        traffic_ms,
    })
}

/// Seconds of one product: the minimum of several, by the better of two ways to share it.
#[must_use]
pub fn seconds(product: Product) -> f64 {
    by_gemm(product).min(by_rows(product))
}

/// Seconds to copy this many bytes.
fn copy(n_byte: usize) -> f64 {
    let mut from = vec![1.0_f32; n_byte / 4];
    let mut to = vec![0.0_f32; n_byte / 4];
    min_seconds(|| {
        let part = from.len().div_ceil(rayon::current_num_threads()).max(1);
        rayon::scope(|scope| {
            for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                scope.spawn(|_| to.copy_from_slice(from));
            }
        });
        std::mem::swap(&mut from, &mut to);
    })
}

/// The minimum of as many runs as fit into 60 milliseconds, but no fewer than five.
fn min_seconds(mut work: impl FnMut()) -> f64 {
    const ENOUGH: Duration = Duration::from_millis(60);
    work();
    let (start, mut min, mut n_run) = (Instant::now(), f64::INFINITY, 0);
    while n_run < 5 || start.elapsed() < ENOUGH {
        let run = Instant::now();
        work();
        min = min.min(run.elapsed().as_secs_f64());
        n_run += 1;
    }
    min
}

/// Numbers at an address that is a multiple of 64 bytes, as wide loads want it.
struct Aligned {
    values: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        const LINE: usize = 16;
        let values: Vec<f32> = (0..len + LINE).map(|i| 1.0 + (i % 7) as f32 / 8.0).collect();
        let first = values.as_ptr().align_offset(64).min(LINE);
        Self { values, first, len }
    }

    fn get(&self) -> &[f32] {
        &self.values[self.first..self.first + self.len]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.first..self.first + self.len]
    }
}

/// The product is shared as the crate gemm does it.
fn by_gemm(Product { size, layout }: Product) -> f64 {
    let [m, k, n] = size;
    let (mut out, a, b) = (Aligned::new(m * n), Aligned::new(m * k), Aligned::new(k * n));
    let n_thread = rayon::current_num_threads();
    min_seconds(|| {
        measure::product(out.get_mut(), a.get(), b.get(), size, layout, n_thread);
        std::hint::black_box(out.get());
    })
}

/// The rows of the layer are shared: each thread computes its rows, or for the gradient of a weight
/// the sum over its rows, and the sums are added.
fn by_rows(Product { size: [m, k, n], layout }: Product) -> f64 {
    let n_thread = rayon::current_num_threads();
    let over_rows = layout == Layout::FirstTransposed;
    let part = if over_rows { [m, k.div_ceil(n_thread), n] } else { [m.div_ceil(n_thread), k, n] };
    let [m, k, n] = part;
    let mut parts: Vec<(Aligned, Aligned)> =
        (0..n_thread).map(|_| (Aligned::new(m * n), Aligned::new(m * k))).collect();
    // The gradient of the outputs is divided like the rows, a weight is common to all.
    let second: Vec<Aligned> =
        (0..if over_rows { n_thread } else { 1 }).map(|_| Aligned::new(k * n)).collect();
    let mut total = Aligned::new(m * n);
    min_seconds(|| {
        rayon::scope(|scope| {
            for ((out, a), b) in parts.iter_mut().zip(second.iter().cycle()) {
                scope.spawn(|_| {
                    measure::product(out.get_mut(), a.get(), b.get(), part, layout, 1);
                });
            }
        });
        if over_rows {
            for (out, _) in &parts {
                total.get_mut().iter_mut().zip(out.get()).for_each(|(total, x)| *total += x);
            }
        }
        std::hint::black_box((&total.values, &parts[0].0.values));
    })
}

/// What the rows of a layer's input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Edges,
    Nodes,
    /// Three axes of each node.
    Axes,
}

#[derive(Debug)]
struct Layer {
    rows: Rows,
    n_in: usize,
    n_out: usize,
    /// Incoming features that have a gradient; those of distances have none.
    n_in_gradient: usize,
}

/// `[m, k]` times `[k, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product {
    /// Sizes m, k and n.
    pub size: [usize; 3],
    pub layout: Layout,
}

impl Product {
    /// Floating-point operations: a multiplication and an addition each.
    #[must_use]
    pub fn n_operation(&self) -> u64 {
        2 * self.size.iter().map(|&size| size as u64).product::<u64>()
    }
}

/// Gaussians that are not negligible for a distance: 1.35 angstrom to both sides at a spacing of
/// 0.1, beyond which they are below 1.3e-8, and 32 instead of 28 because instructions take 16.
const BAND: usize = 32;

/// The layers of a model.
fn layers(model: &str, parameters: &[NamedTensor]) -> anyhow::Result<Vec<Layer>> {
    let of_model = match model {
        "schnet" => schnet,
        "mpeu" => mpeu,
        "painn" => painn,
        _ => anyhow::bail!("the products of the model {model:?} are not known; see floor.rs"),
    };
    let (mut all, mut latent) = (Vec::new(), 0);
    for NamedTensor { name, shape, .. } in parameters {
        let name = name.strip_prefix(super::tensors::PARAMETER).unwrap_or(name);
        // A bias is no matrix.
        let &[n_in, n_out] = &shape[..] else { continue };
        if name == "embedding.weight" {
            latent = n_out;
            continue;
        }
        let part: Vec<&str> =
            name.split('.').filter(|part| !matches!(*part, "interaction" | "weight")).collect();
        let found = of_model(&part, n_in, latent);
        let found =
            found.with_context(|| format!("rows of the weight {name} of {model} are not known"))?;
        all.extend(found.into_iter().map(|(rows, n_in, n_in_gradient)| Layer {
            rows,
            n_in,
            n_out,
            n_in_gradient,
        }));
    }
    Ok(all)
}

/// Rows, incoming features, and those of them with a gradient.
type Part = (Rows, usize, usize);

fn schnet(name: &[&str], n_in: usize, _latent: usize) -> Option<Vec<Part>> {
    Some(vec![match name {
        [_, "filter", "0"] => (Rows::Edges, n_in.min(BAND), 0),
        [_, "filter", _] => (Rows::Edges, n_in, n_in),
        [_, "sender" | "update", ..] | ["readout", _] => (Rows::Nodes, n_in, n_in),
        _ => return None,
    }])
}

/// The first layer on edges takes the features of sender, receiver and edge; in the first
/// interaction the edge's are the Gaussians.
fn mpeu(name: &[&str], n_in: usize, latent: usize) -> Option<Vec<Part>> {
    Some(match name {
        [step, "edge_update", "0"] => {
            let edge = n_in.checked_sub(2 * latent)?;
            let (edge, with_gradient) =
                if *step == "0" { (edge.min(BAND), 0) } else { (edge, edge) };
            let of_node = (Rows::Nodes, latent, latent);
            vec![of_node, of_node, (Rows::Edges, edge, with_gradient)]
        }
        [_, "edge_update" | "gate", _] => vec![(Rows::Edges, n_in, n_in)],
        [_, "sender" | "update", ..] | ["readout", _] => vec![(Rows::Nodes, n_in, n_in)],
        _ => return None,
    })
}

fn painn(name: &[&str], n_in: usize, _latent: usize) -> Option<Vec<Part>> {
    Some(vec![match name {
        ["filter"] => (Rows::Edges, n_in, 0),
        [_, "mixing"] => (Rows::Axes, n_in, n_in),
        [_, "sender" | "gates", _] | ["readout", _] => (Rows::Nodes, n_in, n_in),
        _ => return None,
    }])
}

impl Layer {
    /// The products of a step: forward, the weight's gradient, the input's gradient.
    fn products(&self, n_node: usize, n_edge: usize) -> Vec<Product> {
        let rows = match self.rows {
            Rows::Edges => n_edge,
            Rows::Nodes => n_node,
            Rows::Axes => 3 * n_node,
        };
        let &Self { n_in, n_out, n_in_gradient, .. } = self;
        let mut all = vec![
            Product { size: [rows, n_in, n_out], layout: Layout::Plain },
            Product { size: [n_in, rows, n_out], layout: Layout::FirstTransposed },
        ];
        if n_in_gradient > 0 {
            let size = [rows, n_out, n_in_gradient];
            all.push(Product { size, layout: Layout::SecondTransposed });
        }
        all
    }

    /// Bytes of single precision that this layer leaves behind for each edge, until its gradient is
    /// computed.
    fn kept_bytes_per_edge(&self) -> usize {
        if self.rows == Rows::Edges { 4 * self.n_out } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[(&str, [usize; 2])]) -> Vec<NamedTensor> {
        let tensor = |&(name, shape): &(&str, [usize; 2])| NamedTensor {
            name: format!("parameter.{name}"),
            shape: shape.to_vec(),
            data: Vec::new(),
        };
        names.iter().map(tensor).collect()
    }

    /// Operations per edge of a step.
    fn per_edge(model: &str, names: &[(&str, [usize; 2])]) -> u64 {
        let layers = layers(model, &weights(names)).expect("a model that is known");
        layers.iter().flat_map(|layer| layer.products(0, 1)).map(|p| p.n_operation()).sum()
    }

    #[test]
    fn a_step_of_schnet_does_what_was_counted_by_hand() {
        let interaction = [
            ("embedding.weight", [5, 64]),
            ("interaction.0.filter.0.weight", [150, 64]),
            ("interaction.0.filter.1.weight", [64, 64]),
            ("interaction.0.sender.weight", [64, 64]),
            ("interaction.0.update.0.weight", [64, 64]),
            ("readout.0.weight", [64, 32]),
        ];
        // 32 of 150 Gaussians twice (they have no gradient), 64 x 64 three times.
        assert_eq!(per_edge("schnet", &interaction), 2 * (2 * 32 * 64 + 3 * 64 * 64));
    }

    #[test]
    fn a_step_of_mpeu_does_what_was_counted_by_hand() {
        let embedding = ("embedding.weight", [5, 64]);
        let first = [embedding, ("interaction.0.edge_update.0.weight", [278, 128])];
        assert_eq!(per_edge("mpeu", &first), 2 * 128 * (32 + 32));
        let second = [embedding, ("interaction.1.edge_update.0.weight", [192, 128])];
        assert_eq!(per_edge("mpeu", &second), 2 * 128 * 3 * 64);
    }

    #[test]
    fn a_weight_that_is_not_known_is_an_error() {
        let unknown = weights(&[("interaction.0.attention.weight", [64, 64])]);
        for model in ["schnet", "mpeu", "painn"] {
            let error = layers(model, &unknown).expect_err("unknown").to_string();
            assert!(error.contains("interaction.0.attention.weight"), "{error}");
        }
        assert!(layers("gcn", &unknown).is_err());
    }

    #[test]
    fn numbers_are_aligned() {
        let aligned = Aligned::new(100);
        assert_eq!(aligned.get().as_ptr().align_offset(64), 0);
        assert_eq!(aligned.get().len(), 100);
    }
}
