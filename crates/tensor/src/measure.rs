//! Plain matrix products: the speed of a CPU, as a reference for training steps.

#![allow(unsafe_code, reason = "gemm takes pointers")]

/// Memory layout of the factors of a product; the product is row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Both row-major: a layer applied to rows.
    Plain,
    /// The first is stored as its transpose `[k, m]`: the gradient of a layer's weight.
    FirstTransposed,
    /// The second is stored as its transpose `[n, k]`: the gradient of a layer's input.
    SecondTransposed,
}

/// `out = a b` for `a` `[m, k]` and `b` `[k, n]`, by the gemm crate on `n_thread` threads of the
/// current rayon pool.
///
/// # Panics
/// If the length of a slice does not match its matrix.
pub fn product(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    [m, k, n]: [usize; 3],
    layout: Layout,
    n_thread: usize,
) {
    assert_eq!([out.len(), a.len(), b.len()], [m * n, m * k, k * n], "matrices of {m} x {k} x {n}");
    if m == 0 || n == 0 {
        return;
    }
    let row_major = |n_column: usize| (1, n_column.cast_signed());
    let turned = |n_row: usize| (n_row.cast_signed(), 1);
    let (a_column, a_row) =
        if layout == Layout::FirstTransposed { turned(m) } else { row_major(k) };
    let (b_column, b_row) =
        if layout == Layout::SecondTransposed { turned(k) } else { row_major(n) };
    let parallelism = match n_thread {
        0 | 1 => gemm::Parallelism::None,
        n => gemm::Parallelism::Rayon(n),
    };
    // SAFETY: the slices have exactly the elements of their matrices, in rows or in columns, and
    // `out` is mutably borrowed, so it overlaps with neither. With `read_dst` false nothing is read
    // from `out`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n.cast_signed(),
            false,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_layouts_give_the_same_product() {
        // [2, 3] times [3, 2].
        let expected = [14.0, 20.0, 32.0, 44.0];
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let a_turned = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let b = [1.0, 1.0, 2.0, 2.0, 3.0, 5.0];
        let b_turned = [1.0, 2.0, 3.0, 1.0, 2.0, 5.0];
        for (layout, a, b) in [
            (Layout::Plain, &a, &b),
            (Layout::FirstTransposed, &a_turned, &b),
            (Layout::SecondTransposed, &a, &b_turned),
        ] {
            for n_thread in [1, 2] {
                let mut out = [f32::NAN; 4];
                product(&mut out, a, b, [2, 3, 2], layout, n_thread);
                let equal =
                    out.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6);
                assert!(equal, "{layout:?}, {n_thread} threads: {out:?}");
            }
        }
    }
}
