//! Maxima of segments, and the softmax based on them.

use super::math::exp;
use super::out::Out;
use super::rows::parallel;
use super::segment::{gather, reduce_from, sum};
use super::wide::wide;
use super::{Segments, elementwise};

/// The columnwise maximum of each segment's rows; 0 for a segment without items. NaN if a row has
/// one.
pub(super) fn largest(out: &mut [f32], x: &[f32], items: &Segments, width: usize) {
    out.fill(f32::NEG_INFINITY);
    reduce_from(
        f32::NEG_INFINITY,
        out,
        &items.offset,
        width,
        |places, row| match &items.order {
            None => raise(row, &x[places.start * width..places.end * width]),
            Some(order) => raise_listed(row, x, &order[places]),
        },
        raise,
    );
    for (row, bounds) in out.chunks_exact_mut(width.max(1)).zip(items.offset.windows(2)) {
        if bounds[0] == bounds[1] {
            row.fill(0.0);
        }
    }
}

/// Adds the gradient of [`largest`]: items that share the maximum share its gradient.
pub(super) fn add_to_largest(
    dx: &mut [f32],
    dy: &[f32],
    [x, largest]: [&[f32]; 2],
    items: &Segments,
    width: usize,
) {
    let mut chosen = vec![0.0; x.len()];
    gather(Out::Sums(&mut chosen), largest, &items.of, width);
    parallel(&mut chosen, 1, |first, chosen| mark_equal(chosen, &x[first..first + chosen.len()]));
    let mut count = vec![0.0; largest.len()];
    sum(&mut count, &chosen, &items.offset, items.order.as_deref(), width);
    let share: Vec<f32> = dy.iter().zip(&count).map(|(dy, n)| dy / n.max(1.0)).collect();
    let mut given = vec![0.0; x.len()];
    gather(Out::Sums(&mut given), &share, &items.of, width);
    elementwise::by_chunks(Out::Sums(dx), &chosen, &given, elementwise::add_product);
}

/// Columnwise e^x over its sum in the item's segment.
pub(super) fn softmax(out: &mut [f32], x: &[f32], items: &Segments, width: usize) {
    let mut of_segment = vec![0.0; items.n_segment * width];
    largest(&mut of_segment, x, items, width);
    gather(Out::Sums(out), &of_segment, &items.of, width);
    parallel(out, 1, |first, out| exp_of_difference(out, &x[first..first + out.len()]));
    of_segment.fill(0.0);
    sum(&mut of_segment, out, &items.offset, items.order.as_deref(), width);
    parallel(out, width, |first, rows| {
        for (row, &segment) in rows.chunks_exact_mut(width).zip(&items.of[first..]) {
            let total = &of_segment[segment as usize * width..][..width];
            row.iter_mut().zip(total).for_each(|(value, total)| *value /= total);
        }
    });
}

/// Adds the gradient of [`softmax`], `y (dy - sum of y dy over the segment)`.
pub(super) fn add_to_softmax(
    dx: &mut [f32],
    dy: &[f32],
    y: &[f32],
    items: &Segments,
    width: usize,
) {
    let mut product = vec![0.0; y.len()];
    elementwise::by_chunks(Out::Sums(&mut product), y, dy, elementwise::add_product);
    let mut total = vec![0.0; items.n_segment * width];
    sum(&mut total, &product, &items.offset, items.order.as_deref(), width);
    let mut given = vec![0.0; y.len()];
    gather(Out::Sums(&mut given), &total, &items.of, width);
    parallel(dx, 1, |first, dx| {
        let range = first..first + dx.len();
        add_rest(dx, &product[range.clone()], &y[range.clone()], &given[range]);
    });
}

wide! {
    /// Raises each column of `out` to the maximum of the rows.
    fn raise(out: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(out.len()) {
            for (out, &x) in out.iter_mut().zip(row) {
                *out = if x > *out || x.is_nan() { x } else { *out };
            }
        }
    }
}

wide! {
    fn raise_listed(out: &mut [f32], x: &[f32], items: &[u32]) {
        let width = out.len();
        for &item in items {
            let row = &x[item as usize * width..][..width];
            for (out, &x) in out.iter_mut().zip(row) {
                *out = if x > *out || x.is_nan() { x } else { *out };
            }
        }
    }
}

wide! {
    #[allow(clippy::float_cmp, reason = "the one is a copy of the other")]
    fn mark_equal(largest: &mut [f32], x: &[f32]) {
        for (largest, &x) in largest.iter_mut().zip(x) {
            *largest = if *largest == x { 1.0 } else { 0.0 };
        }
    }
}

wide! {
    fn exp_of_difference(largest: &mut [f32], x: &[f32]) {
        for (largest, &x) in largest.iter_mut().zip(x) {
            *largest = exp::<FUSED>(x - *largest);
        }
    }
}

wide! {
    fn add_rest(dx: &mut [f32], product: &[f32], y: &[f32], total: &[f32]) {
        for ((dx, product), (y, total)) in dx.iter_mut().zip(product).zip(y.iter().zip(total)) {
            *dx += product - y * total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 3, 0 and 2,500 items (longer than a part) and of 2, unsorted.
    fn items() -> Segments {
        let offset = vec![0, 3, 3, 2503, 2505];
        let order: Vec<u32> = (0..2505).map(|place| (place * 7) % 2505).collect();
        let mut of = vec![0; 2505];
        for (place, &item) in (0_u32..).zip(&order) {
            let segment = offset[1..].iter().position(|&end| place < end).unwrap();
            of[item as usize] = segment as u32;
        }
        Segments { n_segment: 4, n_item: 2505, of, offset, order: Some(order) }
    }

    fn values() -> Vec<f32> {
        (0..2 * 2505).map(|i| ((i * 37) % 101) as f32 / 25.0 - 2.0).collect()
    }

    #[test]
    fn the_largest_of_each_segment() {
        let items = items();
        let x = values();
        let mut out = vec![9.0; 8];
        largest(&mut out, &x, &items, 2);
        for segment in 0..4 {
            for column in 0..2 {
                let own = (0..2505).filter(|&i| items.of[i] as usize == segment);
                let expected = own.map(|i| x[2 * i + column]).reduce(f32::max).unwrap_or(0.0);
                assert!((out[2 * segment + column] - expected).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let (of, offset) = (vec![0, 0, 0], vec![0, 3]);
        let items = Segments { n_segment: 1, n_item: 3, of, offset, order: None };
        let mut out = [0.0];
        largest(&mut out, &[1.0, f32::NAN, 2.0], &items, 1);
        assert!(out[0].is_nan());
    }

    #[test]
    fn softmax_sums_to_one_and_keeps_ratios() {
        let items = items();
        let x = values();
        let mut y = vec![0.0; x.len()];
        softmax(&mut y, &x, &items, 2);
        let mut total = vec![0.0; 8];
        let order = items.order.as_deref().unwrap();
        sum(&mut total, &y, &items.offset, Some(order), 2);
        for (segment, total) in total.chunks(2).enumerate() {
            let expected = if segment == 1 { 0.0 } else { 1.0 };
            assert!(total.iter().all(|t| (t - expected).abs() < 1e-5), "{segment}: {total:?}");
        }
        let [a, b] = [order[5] as usize, order[9] as usize];
        let ratio = f64::from(y[2 * a] / y[2 * b]);
        assert!((ratio / f64::from(x[2 * a] - x[2 * b]).exp() - 1.0).abs() < 1e-5);
    }
}
