//! Branchless polynomial approximations of elementary functions, so that loops over them can be
//! vectorised. NaN is propagated.

#![allow(clippy::inline_always, reason = "these take on the processor features of the loop")]

use std::f32::consts::{LN_2, LOG2_E};

/// `a b + c`, in one instruction if `FUSED` (see [`wide`](super::wide)).
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        sum = multiply_add::<FUSED>(sum, x, coefficient);
    }
    sum
}

/// e^x for x between -80 and 80, clamped beyond: results outside would be denormal or infinite.
/// Relative error 2e-7 near 0, growing to 5e-6 at the ends.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves an integer in the low bits
    let y = clamp(x) * LOG2_E;
    let shifted = y + ROUND;
    let f = y - (shifted - ROUND);
    // 2^f for f between -1/2 and 1/2, relative error 3e-9 in exact arithmetic.
    let p = polynomial::<FUSED, 7>(
        f,
        [
            1.546_973_2e-4,
            1.340_043_2e-3,
            9.618_026e-3,
            5.550_327e-2,
            2.402_265e-1,
            6.931_472e-1,
            1.0,
        ],
    );
    p * f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23)
}

/// e^x - 1 for x at most 0, absolute error 2e-7; relative error 1e-6 near 0.
#[inline(always)]
pub(super) fn exp_less_one<const FUSED: bool>(x: f32) -> f32 {
    // Near 0 the difference would cancel the digits of a small x, so a Taylor polynomial is used
    // there.
    let small =
        polynomial::<FUSED, 6>(x, [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0]);
    if x > -0.25 { x * small } else { exp::<FUSED>(x) - 1.0 }
}

#[inline(always)]
fn clamp(x: f32) -> f32 {
    let x = if x < -80.0 { -80.0 } else { x };
    if x > 80.0 { 80.0 } else { x }
}

/// ln(1 + e^x) - ln 2, absolute error 2e-7 (relative beyond 1).
#[inline(always)]
pub(super) fn shifted_softplus<const FUSED: bool>(x: f32) -> f32 {
    let t = exp::<FUSED>(-x.abs());
    // ln(1 + t) / t for t between 0 and 1, relative error 3e-8 in exact arithmetic.
    let q = polynomial::<FUSED, 9>(
        t,
        [
            5.253_458e-3,
            -2.958_850_7e-2,
            7.836_167e-2,
            -1.367_477e-1,
            1.911_143e-1,
            -2.484_437e-1,
            3.331_927e-1,
            -4.999_950_2e-1,
            1.0,
        ],
    );
    let positive = if x < 0.0 { 0.0 } else { x };
    multiply_add::<FUSED>(t, q, positive - LN_2)
}

/// Derivative of the shifted softplus from its value y: 1 - e^-y / 2.
#[inline(always)]
pub(super) fn shifted_softplus_slope<const FUSED: bool>(y: f32) -> f32 {
    multiply_add::<FUSED>(-0.5, exp::<FUSED>(-y), 1.0)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, relative: bool) -> f64 {
        let mut worst: f64 = 0.0;
        for i in -20_000..=20_000_i16 {
            let x = f32::from(i) * 2e-3;
            let (got, exact) = (f64::from(f(x)), exact(f64::from(x)));
            let scale = if relative { exact.abs() } else { exact.abs().max(1.0) };
            worst = worst.max((got - exact).abs() / scale);
        }
        worst
    }

    fn check_errors<const FUSED: bool>() {
        assert!(worst(exp::<FUSED>, f64::exp, true) < 5e-6);
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p() - std::f64::consts::LN_2;
        assert!(worst(shifted_softplus::<FUSED>, softplus, false) < 2.5e-7);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(worst(sigmoid::<FUSED>, logistic, false) < 2.5e-7);
        let less_one = |x: f32| exp_less_one::<FUSED>(-x.abs());
        assert!(worst(less_one, |x| (-x.abs()).exp_m1(), true) < 2e-6);
        let slope = |x| shifted_softplus_slope::<FUSED>(shifted_softplus::<FUSED>(x));
        assert!(worst(slope, logistic, false) < 4e-7);
    }

    #[test]
    fn they_are_as_exact_as_they_say() {
        check_errors::<true>();
        check_errors::<false>();
    }

    #[test]
    fn nan_is_not_hidden() {
        assert!(exp::<true>(f32::NAN).is_nan());
        assert!(shifted_softplus::<true>(f32::NAN).is_nan());
        assert!(sigmoid::<true>(f32::NAN).is_nan());
        assert!(exp_less_one::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn extreme_arguments() {
        assert!(shifted_softplus::<true>(f32::INFINITY) > f32::MAX);
        assert!((shifted_softplus::<true>(f32::NEG_INFINITY) + LN_2).abs() < 1e-7);
        assert!(exp::<true>(-1e30) > 0.0 && exp::<true>(-1e30).is_normal());
    }
}
