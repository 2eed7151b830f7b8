//! Products of Gaussian expansions with a weight, using only the non-zero Gaussians.
//!
//! Of 150 Gaussians about 27 are above 1e-8 at any distance. Every edge computes a band with the
//! same number of columns, whatever its distance: padding, at distance 0, costs the same as a bond.
//! Where a band extends beyond the basis, rows of zeros around the weight absorb the excess.
//!
//! The edges of a block are computed in groups of four whose bands start at nearly the same column,
//! so that each load of the weight serves all four.

#![allow(unsafe_code, reason = "vectors are loaded and stored through pointers")]
#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::GaussianBasis;
use crate::cpu::math::exp;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{LANES, fetch, lanes, load, multiply_add, panels, store, vectorised};
use crate::cpu::wide::wide;

/// Values below e^-18.2 are omitted.
const CUT: f32 = 18.2;
/// Values below are flushed to 0, so that no product is denormal.
const NEGLIGIBLE: f32 = 1e-12;
/// Number of edges computed together.
const GROUP: usize = 4;
/// The first columns within a group may differ by one per this many columns of a band.
const WIDTH_PER_SPREAD: usize = 7;

/// The non-zero columns of a basis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    first: f32,
    spacing: f32,
    coefficient: f32,
    n: usize,
    /// Number of columns that an edge needs.
    width: usize,
    /// Maximum difference between the first columns of a group's edges.
    spread: usize,
}

impl Band {
    /// `None` if a band would hardly be narrower than the whole basis, or so narrow that
    /// neighbouring Gaussians differ by more than the range of numbers.
    pub(super) fn of(basis: &GaussianBasis) -> Option<Self> {
        let radius = (CUT / basis.coefficient).sqrt() / basis.spacing;
        // The nearest column may be up to half a spacing to either side of the distance.
        let width = 2.0 * (radius + 0.5).ceil();
        let GaussianBasis { n, first, spacing, coefficient } = *basis;
        // NaN fails here, too.
        if !(radius >= 1.0 && width <= n as f32 / 2.0) {
            return None;
        }
        #[allow(clippy::cast_sign_loss, reason = "it is at least 4")]
        let width = width as usize;
        // Even, so that the middle of a group's columns is a column.
        let spread = width / WIDTH_PER_SPREAD / 2 * 2;
        Some(Self { first, spacing, coefficient, n, width, spread })
    }

    /// Number of columns computed for each group.
    fn n_column(&self) -> usize {
        self.width + self.spread
    }

    /// The column nearest to distances in the middle of a group, counted from its first.
    fn middle(&self) -> usize {
        self.n_column() / 2 - 1
    }

    /// Rows of zeros needed before the first and after the last row of a weight.
    pub(super) fn margin(&self) -> usize {
        self.n_column()
    }

    /// Rows of a weight including margins.
    fn n_row(&self) -> usize {
        self.n + 2 * self.margin()
    }

    /// The distance from the first centre, moved closer if it is so far that all columns are
    /// negligible; and the first row of its band in a weight with margins.
    #[inline(always)]
    fn place(&self, distance: f32) -> (f32, u32) {
        let before = (self.width / 2 - 1) as f32;
        let margin = self.margin() as f32;
        let low = (before - margin) * self.spacing;
        let high = (before + self.n as f32) * self.spacing;
        let distance = distance - self.first;
        let distance = if distance < low { low } else { distance };
        let distance = if distance > high { high } else { distance };
        // The nearest Gaussian and half of the others to its left. NaN becomes 0.
        let row = (distance / self.spacing + (margin - before + 0.5)) as i32;
        let row = row.clamp(0, (self.n + self.margin()) as i32);
        (distance, row.cast_unsigned())
    }
}

/// The bands of a block of edges.
pub(super) struct Expansion {
    band: Band,
    /// Decay of a Gaussian from column to column if the distance is at the centre of the first.
    fall: Vec<f32>,
    /// First row of each group in a weight with margins.
    row: Vec<u32>,
    /// The edges of each group; unused positions repeat the first.
    edge: Vec<[u32; GROUP]>,
    /// The Gaussians, `[columns, LANES]` for each [`LANES`] edges of groups, 0 at unused positions.
    values: Scratch,
    room: Room,
}

/// Scratch memory.
#[derive(Default)]
struct Room {
    distance: Vec<f32>,
    row: Vec<u32>,
    /// Edges sorted by the first row of their band.
    order: Vec<u32>,
    next: Vec<u32>,
    /// Distance from the middle column, by position in the groups, and 0 at unused positions.
    offset: Vec<f32>,
    exists: Vec<f32>,
}

impl Expansion {
    pub(super) fn new(band: Band) -> Self {
        let step = f64::from(band.coefficient) * f64::from(band.spacing).powi(2);
        let fall = |column: usize| (-step * (2 * column + 1) as f64).exp() as f32;
        let fall = (0..band.n_column()).map(fall).collect();
        let (row, edge) = (Vec::new(), Vec::new());
        Self { band, fall, row, edge, values: Scratch::new(0), room: Room::default() }
    }

    /// Computes the bands of edges with these distances.
    pub(super) fn expand(&mut self, distance: &[f32]) {
        let Self { band, fall, row, edge, values, room } = self;
        room.sort(band, distance);
        room.group(band, row, edge);
        let n = room.offset.len() * band.n_column();
        if values.len() < n {
            *values = Scratch::new(n);
        }
        expand_lanes(&mut values[..n], &room.offset, &room.exists, fall, band);
    }

    /// `out = gaussians weight` for `weight` `[n, n_out]` with margins, `out` `[n_edge, n_out]`;
    /// `n_out` is a multiple of the longest vector. `ahead` is prefetched meanwhile.
    pub(super) fn product(&self, out: &mut [f32], weight: &[f32], n_out: usize, ahead: &[f32]) {
        self.check(weight.len(), out.len(), n_out);
        vectorised(Product { expansion: self, out, weight, n_out, ahead });
    }

    /// The range of rows of a weight with margins that covers all bands.
    pub(super) fn rows(&self) -> Range<usize> {
        match (self.row.first(), self.row.last()) {
            // Groups are sorted by their first row.
            (Some(&first), Some(&last)) => first as usize..last as usize + self.band.n_column(),
            _ => 0..0,
        }
    }

    /// `dweight += gaussians^T dy`, with margins.
    pub(super) fn add_weight_gradient(&self, dweight: &mut [f32], dy: &[f32], n_out: usize) {
        self.check(dweight.len(), dy.len(), n_out);
        vectorised(WeightGradient { expansion: self, dweight, dy, n_out });
    }

    fn check(&self, weight: usize, rows: usize, n_out: usize) {
        assert!(n_out.is_multiple_of(LANES), "padded rows");
        assert!(weight >= self.band.n_row() * n_out, "one row per Gaussian, and margins");
        assert!(rows >= self.room.row.len() * n_out, "one row per edge");
        let n_lane = (self.row.len() * GROUP).next_multiple_of(LANES);
        assert!(self.values.len() >= n_lane * self.band.n_column(), "a band for every place");
    }

    /// Start of a group's Gaussians; those of one column are [`LANES`] numbers apart.
    #[inline(always)]
    fn values_of(&self, group: usize) -> *const f32 {
        let (vector, lane) = (group * GROUP / LANES, group * GROUP % LANES);
        self.values[vector * self.band.n_column() * LANES + lane..].as_ptr()
    }
}

impl Room {
    /// Sorts edges by the first row of their band (counting sort).
    fn sort(&mut self, band: &Band, distance: &[f32]) {
        let Self { distance: from_first, row, order, next, .. } = self;
        from_first.clear();
        from_first.extend_from_slice(distance);
        row.clear();
        row.resize(distance.len(), 0);
        place_all(from_first, row, band);
        next.clear();
        next.resize(band.n + band.margin() + 2, 0);
        for &row in &*row {
            next[row as usize + 1] += 1;
        }
        let mut sum = 0;
        for next in next.iter_mut() {
            sum += *next;
            *next = sum;
        }
        order.clear();
        order.resize(row.len(), 0);
        for (edge, &row) in (0..).zip(&*row) {
            let place = &mut next[row as usize];
            order[*place as usize] = edge;
            *place += 1;
        }
    }

    /// Groups edges whose bands start at nearly the same row.
    fn group(&mut self, band: &Band, rows: &mut Vec<u32>, edges: &mut Vec<[u32; GROUP]>) {
        let Self { distance, row, order, offset, exists, .. } = self;
        rows.clear();
        edges.clear();
        offset.clear();
        exists.clear();
        let to_middle = band.middle() as f32 - band.margin() as f32;
        let mut rest = &order[..];
        while let Some(&leader) = rest.first() {
            let first = row[leader as usize];
            let last = first + band.spread as u32;
            let near = |&&edge: &&u32| row[edge as usize] <= last;
            let n = rest.iter().take(GROUP).take_while(near).count();
            let (group, others) = rest.split_at(n);
            rest = others;
            let middle = (first as f32 + to_middle) * band.spacing;
            let mut edge = [leader; GROUP];
            edge[..n].copy_from_slice(group);
            offset.extend(edge.map(|edge| distance[edge as usize] - middle));
            exists.extend((0..GROUP).map(|place| if place < n { 1.0 } else { 0.0 }));
            rows.push(first);
            edges.push(edge);
        }
        let n_lane = offset.len().next_multiple_of(LANES);
        offset.resize(n_lane, 0.0);
        exists.resize(n_lane, 0.0);
    }
}

wide! {
    /// Makes distances relative to the first centre.
    fn place_all(distance: &mut [f32], row: &mut [u32], band: &Band) {
        for (distance, row) in distance.iter_mut().zip(row) {
            (*distance, *row) = band.place(*distance);
        }
    }
}

wide! {
    /// The Gaussians of [`LANES`] edges at a time. From column to column each is multiplied by a
    /// factor that decreases as a geometric series: e^-c(x-h)^2 = e^-cx^2 e^2chx e^-ch^2.
    fn expand_lanes(
        values: &mut [f32],
        offset: &[f32],
        exists: &[f32],
        fall: &[f32],
        band: &Band,
    ) {
        let middle = band.middle();
        let lanes = offset.chunks_exact(LANES).zip(exists.chunks_exact(LANES));
        for (rows, (offset, exists)) in values.chunks_exact_mut(band.n_column() * LANES).zip(lanes) {
            let (mut peak, mut up, mut down) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                let x = offset[lane];
                let slope = 2.0 * band.coefficient * band.spacing * x;
                peak[lane] = exists[lane] * exp::<FUSED>(-band.coefficient * x * x);
                up[lane] = exp::<FUSED>(slope);
                down[lane] = exp::<FUSED>(-slope);
            }
            let (before, after) = rows.split_at_mut(middle * LANES);
            let (own, after) = after.split_at_mut(LANES);
            own.copy_from_slice(&peak);
            let mut value = peak;
            for (row, fall) in after.chunks_exact_mut(LANES).zip(fall) {
                for lane in 0..LANES {
                    let next = value[lane] * (up[lane] * fall);
                    value[lane] = if next < NEGLIGIBLE { 0.0 } else { next };
                }
                row.copy_from_slice(&value);
            }
            value = peak;
            for (row, fall) in before.rchunks_exact_mut(LANES).zip(fall) {
                for lane in 0..LANES {
                    let next = value[lane] * (down[lane] * fall);
                    value[lane] = if next < NEGLIGIBLE { 0.0 } else { next };
                }
                row.copy_from_slice(&value);
            }
        }
    }
}

struct Product<'a> {
    expansion: &'a Expansion,
    out: &'a mut [f32],
    weight: &'a [f32],
    n_out: usize,
    /// Memory to prefetch meanwhile, a part with each group.
    ahead: &'a [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { expansion, out, weight, n_out, mut ahead } = self;
        let (lanes, n_column) = (lanes::<S>(), expansion.band.n_column());
        for (group, (&row, edges)) in expansion.row.iter().zip(&expansion.edge).enumerate() {
            let values = expansion.values_of(group);
            let (now, later) = ahead.split_at((GROUP * n_out).min(ahead.len()));
            fetch(now);
            ahead = later;
            panels!(S, n_out, |column, N| {
                // SAFETY: `Expansion::check` has checked the lengths. A group's columns end within
                // the margins of the weight, and all its positions name an edge.
                unsafe {
                    let weight = weight.as_ptr().add(row as usize * n_out + column);
                    let mut sum = [[simd.splat_f32s(0.0); N]; GROUP];
                    for k in 0..n_column {
                        let weight: [S::f32s; N] =
                            std::array::from_fn(|j| load::<S>(weight.add(k * n_out + j * lanes)));
                        for (place, sum) in sum.iter_mut().enumerate() {
                            let value = simd.splat_f32s(*values.add(k * LANES + place));
                            for (sum, weight) in sum.iter_mut().zip(weight) {
                                *sum = multiply_add(simd, value, weight, *sum);
                            }
                        }
                    }
                    // The first edge last, as it also fills unused positions.
                    for place in 0..GROUP {
                        let (edge, sum) = (edges[GROUP - 1 - place], sum[GROUP - 1 - place]);
                        let out = out.as_mut_ptr().add(edge as usize * n_out + column);
                        for (j, sum) in sum.into_iter().enumerate() {
                            store::<S>(out.add(j * lanes), sum);
                        }
                    }
                }
            });
        }
    }
}

struct WeightGradient<'a> {
    expansion: &'a Expansion,
    dweight: &'a mut [f32],
    dy: &'a [f32],
    n_out: usize,
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    /// The weight's gradient is loaded and stored once for all edges of a group.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { expansion, dweight, dy, n_out } = self;
        let (lanes, n_column) = (lanes::<S>(), expansion.band.n_column());
        for (group, (&row, edges)) in expansion.row.iter().zip(&expansion.edge).enumerate() {
            let values = expansion.values_of(group);
            panels!(S, n_out, |column, N| {
                // SAFETY: as for the product.
                unsafe {
                    let dy: [[S::f32s; N]; GROUP] = edges.map(|edge| {
                        let dy = dy.as_ptr().add(edge as usize * n_out + column);
                        std::array::from_fn(|j| load::<S>(dy.add(j * lanes)))
                    });
                    let out = dweight.as_mut_ptr().add(row as usize * n_out + column);
                    for k in 0..n_column {
                        let mut sum: [S::f32s; N] =
                            std::array::from_fn(|j| load::<S>(out.add(k * n_out + j * lanes)));
                        for (place, dy) in dy.iter().enumerate() {
                            let value = simd.splat_f32s(*values.add(k * LANES + place));
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
        let coarse = GaussianBasis { coefficient: 3000.0, ..BASIS };
        assert_eq!(Band::of(&coarse), None, "a Gaussian is gone at its neighbours'");
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
                let first = band.place(distance).1 as usize;
                let own = first..first + band.width;
                let outside = (0..80).filter(|k| !own.contains(&(k + band.margin())));
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
        let margin = vec![0.0; band.margin() * n_out];
        let mut bands = Expansion::new(band);
        bands.expand(&distance[..7]);
        bands.expand(&distance);

        let mut out = vec![f32::NAN; n_edge * n_out];
        bands.product(&mut out, &[&margin[..], &weight, &margin].concat(), n_out, &dy);
        for (edge, &d) in distance.iter().enumerate() {
            for j in 0..n_out {
                let term = |k| gaussian(d, k) * f64::from(weight[k * n_out + j]);
                let expected: f64 = (0..n).map(term).sum();
                let got = f64::from(out[edge * n_out + j]);
                assert!((got - expected).abs() < 1e-5, "distance {d}: {got}, not {expected}");
            }
        }

        let mut dweight = vec![0.5; n * n_out + 2 * margin.len()];
        bands.add_weight_gradient(&mut dweight, &dy, n_out);
        let dweight = &dweight[margin.len()..];
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
        let mut bands = Expansion::new(Band::of(&BASIS).unwrap());
        bands.expand(&[f32::NAN]);
        let mut out = [0.0; 16];
        bands.product(&mut out, &[1.0; 214 * 16], 16, &[]);
        assert!(out[0].is_nan());
    }
}
