//! The shifted softplus over arrays.
//!
//! With 16-lane vectors, one instruction looks up 16 numbers at once in a table of 32: the function
//! is piecewise polynomial with 32 pieces, which takes half as long as e^x and a logarithm.

use super::math::{shifted_softplus, shifted_softplus_slope};
use super::wide::wide;

/// Applies the shifted softplus in place.
pub(super) fn replace(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pieces::simd() {
        return pieces::replace(simd, values);
    }
    replace_all(values);
}

/// The shifted softplus of every value of `x`.
pub(super) fn write(out: &mut [f32], x: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pieces::simd() {
        return pieces::write(simd, out, x);
    }
    write_all(out, x);
}

/// Multiplies by the derivative, computed from the value of the function.
pub(super) fn multiply_by_slope(dy: &mut [f32], output: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pieces::simd() {
        return pieces::multiply_by_slope(simd, dy, output);
    }
    multiply_all_by_slope(dy, output);
}

wide! {
    fn replace_all(values: &mut [f32]) {
        for value in values {
            *value = shifted_softplus::<FUSED>(*value);
        }
    }
}

wide! {
    fn write_all(out: &mut [f32], x: &[f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = shifted_softplus::<FUSED>(x);
        }
    }
}

wide! {
    fn multiply_all_by_slope(dy: &mut [f32], output: &[f32]) {
        for (dy, &y) in dy.iter_mut().zip(output) {
            *dy *= shifted_softplus_slope::<FUSED>(y);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::inline_always, reason = "these take on the processor features of the loop")]
mod pieces {
    use std::arch::x86_64::__m512;
    use std::f64::consts::{LN_2, PI};
    use std::sync::LazyLock;

    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, Simd, cast, f32x16};

    use crate::cpu::wide::{Vectors, vectors};

    const N_PIECE: usize = 32;
    const N_COEFFICIENT: usize = 6;
    /// Pieces per unit of the argument: up to 16.8, where e^-x is below 6e-8.
    const DENSITY: f32 = 1.875;
    /// The maximum argument, in pieces.
    const END: f32 = N_PIECE as f32 - 0.51;
    /// Adding it leaves the nearest integer in the low bits: 1.5 * 2^23.
    const ROUND: f32 = 12_582_912.0;

    /// Coefficients of polynomials in the distance from the middle of each piece, by power. Piece i
    /// goes from i - 1/2 to i + 1/2, in units of pieces.
    type Table = [[f32; N_PIECE]; N_COEFFICIENT];

    /// ln(1 + e^-x) - ln 2.
    static BELOW: LazyLock<Table> = LazyLock::new(|| table(|x| (-x).exp().ln_1p() - LN_2));
    /// 1 - e^-x: the derivative, from the value of the function and ln 2.
    static SLOPE: LazyLock<Table> = LazyLock::new(|| table(|x| -(-x).exp_m1()));

    /// The required instructions, if the machine has them and their use is allowed.
    pub(super) fn simd() -> Option<V4> {
        (vectors() >= Vectors::Avx512).then(V4::try_new).flatten()
    }

    pub(super) fn replace(simd: V4, values: &mut [f32]) {
        simd.vectorize(Replace { simd, values });
    }

    pub(super) fn write(simd: V4, out: &mut [f32], x: &[f32]) {
        simd.vectorize(Write { simd, out, x });
    }

    pub(super) fn multiply_by_slope(simd: V4, dy: &mut [f32], output: &[f32]) {
        simd.vectorize(MultiplyBySlope { simd, dy, output });
    }

    /// Interpolates a function at the Chebyshev points of every piece.
    fn table(function: impl Fn(f64) -> f64) -> Table {
        let mut table = [[0.0; N_PIECE]; N_COEFFICIENT];
        for piece in 0..N_PIECE {
            let node =
                |i: usize| 0.5 * (PI * (2 * i + 1) as f64 / (2 * N_COEFFICIENT) as f64).cos();
            let nodes: [f64; N_COEFFICIENT] = std::array::from_fn(node);
            // Newton's divided differences, then the coefficients of the polynomial.
            let mut difference = nodes.map(|x| function((piece as f64 + x) / f64::from(DENSITY)));
            for order in 1..N_COEFFICIENT {
                for i in (order..N_COEFFICIENT).rev() {
                    let change = difference[i] - difference[i - 1];
                    difference[i] = change / (nodes[i] - nodes[i - order]);
                }
            }
            let mut coefficient = [0.0; N_COEFFICIENT];
            for i in (0..N_COEFFICIENT).rev() {
                // Times x - nodes[i], plus the difference.
                for power in (0..N_COEFFICIENT).rev() {
                    let lower = if power == 0 { 0.0 } else { coefficient[power - 1] };
                    coefficient[power] = lower - nodes[i] * coefficient[power];
                }
                coefficient[0] += difference[i];
            }
            for (row, coefficient) in table.iter_mut().zip(coefficient) {
                row[piece] = coefficient as f32;
            }
        }
        table
    }

    /// A table in registers.
    #[derive(Clone, Copy)]
    struct Pieces {
        simd: V4,
        table: [[__m512; 2]; N_COEFFICIENT],
    }

    impl Pieces {
        #[inline(always)]
        fn new(simd: V4, table: &Table) -> Self {
            let mut registers = [[cast(simd.splat_f32x16(0.0)); 2]; N_COEFFICIENT];
            for (registers, row) in registers.iter_mut().zip(table) {
                let vectors = V4::as_simd_f32s(row).0;
                *registers = [cast(vectors[0]), cast(vectors[1])];
            }
            Self { simd, table: registers }
        }

        /// The function at an argument in units of pieces.
        #[inline(always)]
        fn evaluate(self, x: __m512) -> __m512 {
            let Self { simd, table } = self;
            let avx = simd.avx512f;
            let splat = |value: f32| cast::<f32x16, __m512>(simd.splat_f32x16(value));
            // This argument order propagates NaN.
            let x = avx._mm512_min_ps(splat(END), x);
            let shifted = avx._mm512_add_ps(x, splat(ROUND));
            let x = avx._mm512_sub_ps(x, avx._mm512_sub_ps(shifted, splat(ROUND)));
            let piece = avx._mm512_castps_si512(shifted);
            let coefficient =
                |power: usize| avx._mm512_permutex2var_ps(table[power][0], piece, table[power][1]);
            let mut sum = coefficient(N_COEFFICIENT - 1);
            for power in (0..N_COEFFICIENT - 1).rev() {
                sum = avx._mm512_fmadd_ps(sum, x, coefficient(power));
            }
            sum
        }

        #[inline(always)]
        fn softplus(self, x: f32x16) -> f32x16 {
            let avx = self.simd.avx512f;
            let x = cast(x);
            let argument = avx._mm512_mul_ps(avx._mm512_abs_ps(x), self.splat(DENSITY));
            let positive = avx._mm512_max_ps(self.splat(0.0), x);
            cast(avx._mm512_add_ps(positive, self.evaluate(argument)))
        }

        #[inline(always)]
        fn times_slope(self, dy: f32x16, y: f32x16) -> f32x16 {
            const SHIFT: f32 = DENSITY * std::f32::consts::LN_2;
            let avx = self.simd.avx512f;
            let argument = avx._mm512_fmadd_ps(cast(y), self.splat(DENSITY), self.splat(SHIFT));
            cast(avx._mm512_mul_ps(cast(dy), self.evaluate(argument)))
        }

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            cast(self.simd.splat_f32x16(value))
        }
    }

    struct Replace<'a> {
        simd: V4,
        values: &'a mut [f32],
    }

    impl NullaryFnOnce for Replace<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let pieces = Pieces::new(self.simd, &BELOW);
            let (vectors, rest) = V4::as_mut_simd_f32s(self.values);
            for value in vectors {
                *value = pieces.softplus(*value);
            }
            let last = pieces.softplus(in_a_vector(rest));
            rest.copy_from_slice(&cast::<_, [f32; 16]>(last)[..rest.len()]);
        }
    }

    struct Write<'a> {
        simd: V4,
        out: &'a mut [f32],
        x: &'a [f32],
    }

    impl NullaryFnOnce for Write<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let pieces = Pieces::new(self.simd, &BELOW);
            let (out, rest) = V4::as_mut_simd_f32s(self.out);
            let (x, x_rest) = V4::as_simd_f32s(self.x);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = pieces.softplus(x);
            }
            let last = pieces.softplus(in_a_vector(x_rest));
            rest.copy_from_slice(&cast::<_, [f32; 16]>(last)[..rest.len()]);
        }
    }

    struct MultiplyBySlope<'a> {
        simd: V4,
        dy: &'a mut [f32],
        output: &'a [f32],
    }

    impl NullaryFnOnce for MultiplyBySlope<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self { simd, dy, output } = self;
            let pieces = Pieces::new(simd, &SLOPE);
            let (dy, rest) = V4::as_mut_simd_f32s(dy);
            let (output, output_rest) = V4::as_simd_f32s(&output[..dy.len() * 16 + rest.len()]);
            for (dy, &y) in dy.iter_mut().zip(output) {
                *dy = pieces.times_slope(*dy, y);
            }
            let last = pieces.times_slope(in_a_vector(rest), in_a_vector(output_rest));
            rest.copy_from_slice(&cast::<_, [f32; 16]>(last)[..rest.len()]);
        }
    }

    /// Fewer numbers than a vector has, padded with zeros.
    fn in_a_vector(rest: &[f32]) -> f32x16 {
        let mut values = [0.0; 16];
        values[..rest.len()].copy_from_slice(rest);
        cast(values)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    fn arguments() -> Vec<f32> {
        let many = (-60_000..=60_000).map(|i| i as f32 * 7e-4);
        many.chain([f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, f32::NAN]).collect()
    }

    #[test]
    fn they_are_as_exact_as_those_of_one_number() {
        let x = arguments();
        let mut y = vec![0.0; x.len()];
        write(&mut y, &x);
        let mut slope = vec![1.0; x.len()];
        multiply_by_slope(&mut slope, &y);
        let (mut worst, mut worst_slope) = (0.0_f64, 0.0_f64);
        for (&x, (&y, &slope)) in x.iter().zip(y.iter().zip(&slope)).filter(|(x, _)| x.is_finite())
        {
            let x = f64::from(x);
            let exact = x.max(0.0) + (-x.abs()).exp().ln_1p() - LN_2;
            worst = worst.max((f64::from(y) - exact).abs() / exact.abs().max(1.0));
            let exact = 1.0 / (1.0 + (-x).exp());
            worst_slope = worst_slope.max((f64::from(slope) - exact).abs());
        }
        assert!(worst < 2.5e-7, "the function: {worst:e}");
        assert!(worst_slope < 4e-7, "the slope: {worst_slope:e}");
        let special = &y[x.len() - 5..];
        assert!(special[0] == f32::INFINITY && (special[1] + std::f32::consts::LN_2).abs() < 2e-7);
        assert!(special[4].is_nan() && slope[x.len() - 1].is_nan(), "NaN is not hidden");
    }

    #[test]
    fn a_number_is_the_same_wherever_it_stands() {
        let x: Vec<f32> = arguments().into_iter().step_by(997).filter(|x| !x.is_nan()).collect();
        let mut y = vec![0.0; x.len()];
        write(&mut y, &x);
        let mut dy = vec![0.5; x.len()];
        multiply_by_slope(&mut dy, &y);
        for first in 0..40 {
            let mut values = x[first..first + 37].to_vec();
            replace(&mut values);
            assert_eq!(values, y[first..first + 37]);
            let mut slopes = vec![0.5; 37];
            multiply_by_slope(&mut slopes, &values);
            assert_eq!(slopes, dy[first..first + 37]);
        }
    }
}
