//! Activations over arrays.

use super::math::{exp_less_one, sigmoid};
use super::softplus;
use super::wide::wide;
use crate::Activation;

pub(super) fn apply(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::ShiftedSoftplus => softplus::replace(values),
        Activation::Silu => silu_all(values),
        Activation::Relu => relu_all(values),
        Activation::Elu => elu_all(values),
        Activation::LeakyRelu => leaky_relu_all(values),
    }
}

/// The same, out of place. Used instead of a copy: sums that were just computed are in the cache,
/// and the kept values are written to memory in order.
pub(super) fn apply_to(activation: Activation, out: &mut [f32], x: &[f32]) {
    if activation == Activation::ShiftedSoftplus {
        softplus::write(out, x);
    } else {
        out.copy_from_slice(x);
        apply(activation, out);
    }
}

/// Multiplies gradients by the derivative, computed `from` the input of the activation if that is
/// kept, else from its output.
pub(super) fn multiply_by_derivative(activation: Activation, dy: &mut [f32], from: &[f32]) {
    match activation {
        Activation::Identity => {}
        Activation::ShiftedSoftplus => softplus::multiply_by_slope(dy, from),
        Activation::Silu => silu_slope_all(dy, from),
        Activation::Relu => relu_slope_all(dy, from),
        Activation::Elu => elu_slope_all(dy, from),
        Activation::LeakyRelu => leaky_relu_slope_all(dy, from),
    }
}

wide! {
    fn silu_all(values: &mut [f32]) {
        for value in values {
            *value *= sigmoid::<FUSED>(*value);
        }
    }
}

wide! {
    fn silu_slope_all(dy: &mut [f32], input: &[f32]) {
        for (dy, &x) in dy.iter_mut().zip(input) {
            let s = sigmoid::<FUSED>(x);
            *dy *= s * (1.0 + x * (1.0 - s));
        }
    }
}

wide! {
    fn relu_all(values: &mut [f32]) {
        for value in values {
            *value = if *value < 0.0 { 0.0 } else { *value };
        }
    }
}

wide! {
    fn relu_slope_all(dy: &mut [f32], output: &[f32]) {
        for (dy, &y) in dy.iter_mut().zip(output) {
            *dy = if y > 0.0 { *dy } else { 0.0 };
        }
    }
}

wide! {
    fn elu_all(values: &mut [f32]) {
        for value in values {
            let below = exp_less_one::<FUSED>(*value);
            *value = if *value > 0.0 { *value } else { below };
        }
    }
}

wide! {
    fn elu_slope_all(dy: &mut [f32], output: &[f32]) {
        for (dy, &y) in dy.iter_mut().zip(output) {
            *dy *= if y > 0.0 { 1.0 } else { y + 1.0 };
        }
    }
}

wide! {
    fn leaky_relu_all(values: &mut [f32]) {
        for value in values {
            *value *= if *value > 0.0 { 1.0 } else { Activation::LEAKY_SLOPE };
        }
    }
}

wide! {
    fn leaky_relu_slope_all(dy: &mut [f32], output: &[f32]) {
        for (dy, &y) in dy.iter_mut().zip(output) {
            *dy *= if y > 0.0 { 1.0 } else { Activation::LEAKY_SLOPE };
        }
    }
}
