//! Products of Gaussian expansions with a weight, using only the Gaussians that are not zero.
//!
//! Of 150 Gaussians about 27 are above 1e-8 at any distance. Every edge computes a band of the same
//! number of columns, whatever its distance: padding, at distance 0, costs what a bond costs.

#![allow(unsafe_code, reason = "vectors are loaded and stored through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use pulp::{Simd, WithSimd};

use crate::GaussianBasis;
use crate::cpu::math::exp;
use crate::cpu::simd::{LANES, lanes, load, multiply_add, padded, panels, store, vectorised};
use crate::cpu::wide::wide;

/// Values below are left out: e^-18.2.
const CUT: f32 = 18.2;
/// Values below are 0, so that no denormal number appears in a product.
const NEGLIGIBLE: f32 = 1e-12;
/// Edges whose gradients are added to the weight's together.
const GROUP: usize = 4;
/// The first columns of a group's edges lie at most so far apart.
const SPREAD: usize = 4;
/// The widest band that there is room for.
const WIDEST: usize = 252;

/// The columns of a basis that are not zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    first: f32,
    spacing: f32,
    coefficient: f32,
    n: usize,
    /// Columns that are computed.
    width: usize,
}

impl Band {
    /// None where a band would hardly be narrower than the whole basis, or very wide.
    pub(super) fn of(basis: &GaussianBasis) -> Option<Self> {
        let radius = (CUT / basis.coefficient).sqrt() / basis.spacing;
        // The nearest column may lie half a spacing to either side of the distance.
        let width = 2.0 * (radius + 0.5).ceil();
        let GaussianBasis { n, first, spacing, coefficient } = *basis;
        // Anything that is not a number fails here, too.
        if !(2.0..=(n as f32 / 2.0).min(WIDEST as f32)).contains(&width) {
            return None;
        }
        #[allow(clippy::cast_sign_loss, reason = "it is at least 2")]
        let width = width as usize;
        Some(Self { first, spacing, coefficient, n, width })
    }

    /// Numbers that one edge's band takes.
    pub(super) fn step(&self) -> usize {
        padded(self.width)
    }

    /// First column of the band at a distance.
    #[inline(always)]
    fn start(&self, distance: f32) -> usize {
        // The nearest Gaussian and half of the others to its left.
        let nearest = (distance - self.first) / self.spacing + 0.5;
        #[allow(clippy::cast_sign_loss, reason = "negative numbers, and NaN, become 0")]
        let start = (nearest - (self.width / 2 - 1) as f32) as usize;
        start.min(self.n - self.width)
    }

    /// The band's columns for each distance: where they start, and their values, [`Band::step`]
    /// numbers per edge.
    pub(super) fn expand(&self, start: &mut [u32], values: &mut [f32], distance: &[f32]) {
        for (start, &distance) in start.iter_mut().zip(distance) {
            *start = self.start(distance) as u32;
        }
        expand_rows(values, start, distance, self);
    }

    /// `out = gaussians weight` for `weight` `[n, n_out]`, `out` `[n_edge, n_out]`; `n_out` is a
    /// multiple of the longest vector.
    pub(super) fn product(
        &self,
        out: &mut [f32],
        start: &[u32],
        values: &[f32],
        weight: &[f32],
        n_out: usize,
    ) {
        self.check(start, values, weight.len(), out.len(), n_out);
        vectorised(Product { band: *self, out, start, values, weight, n_out });
    }

    /// `dweight += gaussians^T dy`, with `order` as room for one index per edge.
    pub(super) fn add_weight_gradient(
        &self,
        dweight: &mut [f32],
        start: &[u32],
        values: &[f32],
        dy: &[f32],
        n_out: usize,
        order: &mut Vec<u32>,
    ) {
        self.check(start, values, dweight.len(), dy.len(), n_out);
        by_start(order, start, self.n);
        vectorised(WeightGradient {
            band: *self,
            dweight,
            start,
            values,
            dy,
            n_out,
            order: &order[..start.len()],
        });
    }

    fn check(&self, start: &[u32], values: &[f32], weight: usize, rows: usize, n_out: usize) {
        assert!(n_out.is_multiple_of(LANES), "padded rows");
        assert!(weight >= self.n * n_out, "one row per Gaussian");
        assert!(rows >= start.len() * n_out, "one row per edge");
        assert!(values.len() >= start.len() * self.step(), "one band per edge");
        let last = (self.n - self.width) as u32;
        assert!(start.iter().all(|&start| start <= last), "bands within the basis");
    }
}

/// Edges by the start of their band, by counting. `order` ends with room for the counts.
fn by_start(order: &mut Vec<u32>, start: &[u32], n: usize) {
    let n_edge = start.len();
    order.clear();
    order.resize(n_edge + n + 1, 0);
    let (order, next) = order.split_at_mut(n_edge);
    for &start in start {
        next[start as usize + 1] += 1;
    }
    for column in 0..n {
        next[column + 1] += next[column];
    }
    for (edge, &start) in (0..).zip(start) {
        let place = &mut next[start as usize];
        order[*place as usize] = edge;
        *place += 1;
    }
}

wide! {
    fn expand_rows(values: &mut [f32], start: &[u32], distance: &[f32], band: &Band) {
        let rows = values.chunks_exact_mut(padded(band.width));
        for (row, (&start, &distance)) in rows.zip(start.iter().zip(distance)) {
            let from_first = distance - band.first - start as f32 * band.spacing;
            for (k, value) in row.iter_mut().enumerate() {
                let x = from_first - k as f32 * band.spacing;
                let gaussian = exp::<FUSED>(-band.coefficient * x * x);
                *value = if gaussian < NEGLIGIBLE { 0.0 } else { gaussian };
            }
        }
    }
}

struct Product<'a> {
    band: Band,
    out: &'a mut [f32],
    start: &'a [u32],
    values: &'a [f32],
    weight: &'a [f32],
    n_out: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { band, out, start, values, weight, n_out } = self;
        let (lanes, step) = (lanes::<S>(), band.step());
        // Two edges at a time: sums of one edge alone would wait for each other.
        for first in (0..start.len()).step_by(2) {
            let edges = [first, (first + 1).min(start.len() - 1)];
            panels!(S, n_out, |column, N| {
                // SAFETY: `Band::check` has checked the lengths, and that a band ends within the
                // rows of the weight.
                unsafe {
                    let weight = edges
                        .map(|edge| weight.as_ptr().add(start[edge] as usize * n_out + column));
                    let values = edges.map(|edge| values.as_ptr().add(edge * step));
                    let mut sum = [[simd.splat_f32s(0.0); N]; 2];
                    for k in 0..band.width {
                        for i in 0..2 {
                            let value = simd.splat_f32s(*values[i].add(k));
                            for (j, sum) in sum[i].iter_mut().enumerate() {
                                let weight = load::<S>(weight[i].add(k * n_out + j * lanes));
                                *sum = multiply_add(simd, value, weight, *sum);
                            }
                        }
                    }
                    for (edge, sum) in edges.into_iter().zip(sum) {
                        for (j, sum) in sum.into_iter().enumerate() {
                            let out = out.as_mut_ptr().add(edge * n_out + column + j * lanes);
                            store::<S>(out, sum);
                        }
                    }
                }
            });
        }
    }
}

struct WeightGradient<'a> {
    band: Band,
    dweight: &'a mut [f32],
    start: &'a [u32],
    values: &'a [f32],
    dy: &'a [f32],
    n_out: usize,
    /// Edges by the start of their band.
    order: &'a [u32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    /// Edges with nearly the same band are added together: the weight's gradient is loaded and
    /// stored once for four of them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { band, dweight, start, values, dy, n_out, order } = self;
        let (lanes, step) = (lanes::<S>(), band.step());
        let mut shifted = [[0.0_f32; GROUP]; WIDEST + SPREAD];
        let n_column = band.width + SPREAD;
        let mut rest = order;
        while let Some(&leader) = rest.first() {
            let base = start[leader as usize];
            let near = |&&edge: &&u32| start[edge as usize] <= base + SPREAD as u32;
            let n_edge = rest.iter().take(GROUP).take_while(near).count();
            let (group, others) = rest.split_at(n_edge);
            rest = others;
            let n_row = n_column.min(band.n - base as usize);
            shifted[..n_row].fill([0.0; GROUP]);
            let mut rows = [dy.as_ptr(); GROUP];
            for (place, &edge) in group.iter().enumerate() {
                let edge = edge as usize;
                let shift = (start[edge] - base) as usize;
                let band_values = &values[edge * step..][..band.width];
                for (shifted, &value) in shifted[shift..].iter_mut().zip(band_values) {
                    shifted[place] = value;
                }
                rows[place] = dy[edge * n_out..].as_ptr();
            }
            panels!(S, n_out, |column, N| {
                // SAFETY: `Band::check` has checked the lengths; `n_row` ends within the weight,
                // and places without an edge point to the first row, which exists.
                unsafe {
                    let dy: [[S::f32s; N]; GROUP] = std::array::from_fn(|place| {
                        std::array::from_fn(|j| load::<S>(rows[place].add(column + j * lanes)))
                    });
                    let out = dweight.as_mut_ptr().add(base as usize * n_out + column);
                    for (k, values) in shifted[..n_row].iter().enumerate() {
                        let mut sum: [S::f32s; N] =
                            std::array::from_fn(|j| load::<S>(out.add(k * n_out + j * lanes)));
                        for (&value, dy) in values.iter().zip(&dy) {
                            let value = simd.splat_f32s(value);
                            for (sum, &dy) in sum.iter_mut().zip(dy) {
                                *sum = multiply_add(simd, value, dy, *sum);
                            }
                        }
                        for (j, sum) in sum.into_iter().enumerate() {
                            store::<S>(out.add(k * n_out + j * lanes), sum);
                        }
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASIS: GaussianBasis =
        GaussianBasis { n: 150, first: 0.0, spacing: 0.1, coefficient: 10.0 };

    fn distances() -> Vec<f32> {
        let many = (0..301).map(|i| i as f32 * 0.0513);
        [0.0, 0.0, 14.9, 30.0, -1.0].into_iter().chain(many).collect()
    }

    #[test]
    fn the_band_of_the_study_has_28_columns() {
        assert_eq!(Band::of(&BASIS).unwrap().width, 28);
        let wide = GaussianBasis { n: 20, spacing: 0.3, coefficient: 5.5, ..BASIS };
        assert_eq!(Band::of(&wide), None, "14 of 20 columns are no band");
        let fine = GaussianBasis { n: 900, spacing: 0.001, coefficient: 1000.0, ..BASIS };
        assert_eq!(Band::of(&fine), None, "there is no room for 270 columns");
    }

    #[test]
    fn nothing_outside_the_band_is_above_the_cut() {
        for (spacing, coefficient) in
            [(0.1, 10.0), (0.3, 10.0 / 3.0), (1.0, 18.2), (1.0, 4.6), (1.1375, 0.9)]
        {
            let basis = GaussianBasis { n: 80, first: 0.5, spacing, coefficient };
            let band = Band::of(&basis).unwrap();
            for i in 0..2000 {
                let distance = 0.5 + i as f32 * 0.01 * spacing;
                let start = band.start(distance);
                let outside = (0..80).filter(|k| !(start..start + band.width).contains(k));
                let largest = outside
                    .map(|k| {
                        let x = distance - basis.first - k as f32 * spacing;
                        (-coefficient * x * x).exp()
                    })
                    .fold(0.0_f32, f32::max);
                assert!(largest < 1.3e-8, "spacing {spacing}, distance {distance}: {largest}");
            }
        }
    }

    #[test]
    fn products_are_those_of_the_whole_basis() {
        check_products(BASIS);
        check_products(GaussianBasis { n: 60, first: 0.7, spacing: 0.25, coefficient: 4.0 });
    }

    fn check_products(basis: GaussianBasis) {
        let GaussianBasis { n, first, spacing, coefficient } = basis;
        let gaussian = |distance: f32, k: usize| {
            let x = f64::from(distance) - f64::from(first) - k as f64 * f64::from(spacing);
            (-f64::from(coefficient) * x * x).exp()
        };
        let band = Band::of(&basis).unwrap();
        let distance = distances();
        let n_edge = distance.len();
        let n_out = 48;
        let number = |i: usize, seed: usize| ((i * 37 + seed) % 29) as f32 / 14.0 - 1.0;
        let weight: Vec<f32> = (0..n * n_out).map(|i| number(i, 1)).collect();
        let dy: Vec<f32> = (0..n_edge * n_out).map(|i| number(i, 2)).collect();
        let (mut start, mut values) = (vec![0; n_edge], vec![0.0; n_edge * band.step()]);
        band.expand(&mut start, &mut values, &distance);

        let mut out = vec![f32::NAN; n_edge * n_out];
        band.product(&mut out, &start, &values, &weight, n_out);
        for (edge, &d) in distance.iter().enumerate() {
            for j in 0..n_out {
                let term = |k| gaussian(d, k) * f64::from(weight[k * n_out + j]);
                let expected: f64 = (0..n).map(term).sum();
                let got = f64::from(out[edge * n_out + j]);
                assert!((got - expected).abs() < 1e-5, "distance {d}: {got}, not {expected}");
            }
        }

        let mut dweight = vec![0.5; n * n_out];
        band.add_weight_gradient(&mut dweight, &start, &values, &dy, n_out, &mut Vec::new());
        for k in 0..n {
            for j in 0..n_out {
                let term = |e: usize| gaussian(distance[e], k) * f64::from(dy[e * n_out + j]);
                let expected = 0.5 + (0..n_edge).map(term).sum::<f64>();
                let got = f64::from(dweight[k * n_out + j]);
                assert!((got - expected).abs() < 3e-5, "({k}, {j}): {got}, not {expected}");
            }
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let band = Band::of(&BASIS).unwrap();
        let (mut start, mut values) = ([0], vec![0.0; band.step()]);
        band.expand(&mut start, &mut values, &[f32::NAN]);
        let mut out = [0.0; 16];
        band.product(&mut out, &start, &values, &[1.0; 150 * 16], 16);
        assert!(out[0].is_nan());
    }
}
