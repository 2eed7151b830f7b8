//! How long a step takes at least: its products of matrices at the rate measured for each, and the
//! memory traffic of what it keeps for the gradients at the bandwidth measured for that much.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use batchlab_core::model::NamedTensor;
use batchlab_tensor::measure::{self, Layout};
use serde::Serialize;

use super::products::{Layer, Product, layers};

/// The least time of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Floor {
    /// Milliseconds of all products.
    pub products_ms: f64,
    /// Operations of all products, in units of 10^9.
    pub giga_operations: f64,
    /// Bytes that layers on edges leave behind for the gradients: written once, read once.
    pub kept_bytes: usize,
    /// Milliseconds to copy as many bytes, which reads and writes as much.
    pub traffic_ms: f64,
    pub layers: Vec<LayerTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerTime {
    #[serde(flatten)]
    pub layer: Layer,
    pub milliseconds: f64,
    /// 10^9 operations per second in them.
    pub giga_per_second: f64,
}

impl Floor {
    /// Products and traffic together, in milliseconds.
    #[must_use]
    pub fn milliseconds(&self) -> f64 {
        self.products_ms + self.traffic_ms
    }
}

/// Measures, and remembers what it has measured.
#[derive(Debug, Default)]
pub struct Measurements {
    seconds_of_product: HashMap<Product, f64>,
    seconds_of_copy: HashMap<usize, f64>,
}

impl Measurements {
    /// The floor of a step on a padded batch, with the threads of the current rayon pool.
    pub fn floor(
        &mut self,
        model: &str,
        parameters: &[NamedTensor],
        [n_node, n_edge]: [usize; 2],
        savings: bool,
    ) -> anyhow::Result<Floor> {
        let layers = layers(model, parameters, savings)?;
        let kept_bytes = layers.iter().map(Layer::kept_bytes_per_edge).sum::<usize>() * n_edge;
        let layers: Vec<LayerTime> =
            layers.into_iter().map(|layer| self.layer(layer, n_node, n_edge)).collect();
        Ok(Floor {
            products_ms: layers.iter().map(|layer| layer.milliseconds).sum(),
            giga_operations: layers
                .iter()
                .map(|layer| layer.milliseconds / 1e3 * layer.giga_per_second)
                .sum(),
            kept_bytes,
            traffic_ms: 1e3 * self.copy(kept_bytes),
            layers,
        })
    }

    fn layer(&mut self, layer: Layer, n_node: usize, n_edge: usize) -> LayerTime {
        let products = layer.products(n_node, n_edge);
        let seconds: f64 = products.iter().map(|&product| self.product(product)).sum();
        let n_operation: u64 = products.iter().map(Product::n_operation).sum();
        let giga_per_second = n_operation as f64 / 1e9 / seconds;
        LayerTime { layer, milliseconds: 1e3 * seconds, giga_per_second }
    }

    /// Seconds of one product: the least of several, by the better of two ways to share it.
    pub fn product(&mut self, product: Product) -> f64 {
        let measured = || by_gemm(product).min(by_rows(product));
        *self.seconds_of_product.entry(product).or_insert_with(measured)
    }

    /// Seconds to copy this many bytes.
    pub fn copy(&mut self, n_byte: usize) -> f64 {
        *self.seconds_of_copy.entry(n_byte).or_insert_with(|| {
            let mut from = vec![1.0_f32; n_byte / 4];
            let mut to = vec![0.0_f32; n_byte / 4];
            least_seconds(|| {
                let part = from.len().div_ceil(rayon::current_num_threads()).max(1);
                rayon::scope(|scope| {
                    for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                        scope.spawn(|_| to.copy_from_slice(from));
                    }
                });
                std::mem::swap(&mut from, &mut to);
            })
        })
    }
}

/// The least of as many runs as fit into 60 milliseconds, but at least five.
fn least_seconds(mut work: impl FnMut()) -> f64 {
    const ENOUGH: Duration = Duration::from_millis(60);
    work();
    let (start, mut least, mut n_run) = (Instant::now(), f64::INFINITY, 0);
    while n_run < 5 || start.elapsed() < ENOUGH {
        let run = Instant::now();
        work();
        least = least.min(run.elapsed().as_secs_f64());
        n_run += 1;
    }
    least
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
    least_seconds(|| {
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
    least_seconds(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_adds_its_layers_and_counts_what_they_keep() {
        let weight = |name: &str, shape: [usize; 2]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            data: Vec::new(),
        };
        let parameters = [
            weight("parameter.interaction.0.filter.0.weight", [150, 16]),
            weight("parameter.interaction.0.sender.weight", [16, 16]),
        ];
        let floor = Measurements::default().floor("schnet", &parameters, [8, 100], true);
        let floor = floor.expect("a model that is known");
        assert_eq!(floor.kept_bytes, 100 * 4 * 16);
        let operations = 2.0 * (2.0 * 100.0 * 32.0 * 16.0 + 3.0 * 8.0 * 16.0 * 16.0);
        assert!((floor.giga_operations * 1e9 / operations - 1.0).abs() < 1e-9);
        let sum = floor.layers[0].milliseconds + floor.layers[1].milliseconds;
        assert!((floor.milliseconds() - floor.traffic_ms - sum).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_aligned() {
        let aligned = Aligned::new(100);
        assert_eq!(aligned.get().as_ptr().align_offset(64), 0);
        assert_eq!(aligned.get().len(), 100);
    }
}
