//! Values kept within limits; NaN stays NaN.

use super::out::Out;
use super::wide::wide;

/// `out = x + clip(change)`.
pub(super) fn add_clipped<'o>(
    out: Out<'o>,
    x: &[f32],
    change: &[f32],
    limit: f32,
) -> &'o mut [f32] {
    out.rows(1, |first, out| {
        let range = first..first + out.len();
        add_clipped_chunk(out, &x[range.clone()], &change[range], limit);
    })
}

/// `dchange += dy` where the change was within the limits.
pub(super) fn add_within<'o>(
    dchange: Out<'o>,
    dy: &[f32],
    change: &[f32],
    limit: f32,
) -> &'o mut [f32] {
    dchange.rows(1, |first, dchange| {
        let range = first..first + dchange.len();
        add_within_chunk(dchange, &dy[range.clone()], &change[range], limit);
    })
}

wide! {
    fn add_clipped_chunk(out: &mut [f32], x: &[f32], change: &[f32], limit: f32) {
        for (out, (x, &change)) in out.iter_mut().zip(x.iter().zip(change)) {
            let change = if change > limit { limit } else { change };
            *out = x + if change < -limit { -limit } else { change };
        }
    }
}

wide! {
    fn add_within_chunk(dchange: &mut [f32], dy: &[f32], change: &[f32], limit: f32) {
        for (dchange, (&dy, change)) in dchange.iter_mut().zip(dy.iter().zip(change)) {
            *dchange += if change.abs() > limit { 0.0 } else { dy };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_beyond_the_limit_count_as_the_limit_and_have_no_gradient() {
        let change = [0.5, 3.0, -3.0, -2.0, f32::NAN];
        let mut out = [0.0; 5];
        add_clipped(Out::Sums(&mut out), &[1.0; 5], &change, 2.0);
        assert_eq!(out[..4], [1.5, 3.0, -1.0, -1.0]);
        assert!(out[4].is_nan());
        let mut dchange = [1.0; 4];
        add_within(Out::Sums(&mut dchange), &[10.0; 4], &change, 2.0);
        assert_eq!(dchange[..], [11.0, 1.0, 1.0, 11.0]);
    }
}
