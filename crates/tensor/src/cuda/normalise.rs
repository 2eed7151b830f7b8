//! Layer norm, activation and dropout.

use dfdx::prelude::*;

use super::elementwise::n_number;
use super::error::Error;
use super::kernels::Kernels;
use super::linear::{ROWS, code};
use super::module::{Argument, Launch, arguments, count, memory};
use super::{Buffer, Dense};
use crate::Dropout;
use crate::backend::RowsToNormalise;

type Result<T> = std::result::Result<T, Error>;

/// Threads per row: `NORM_THREADS` in `kernels/normalise.cu`.
const THREADS: u32 = 128;

impl Kernels<'_> {
    pub(crate) fn normalise(&self, rows: &RowsToNormalise<'_, Cuda>) -> Result<[Dense; 2]> {
        let &(n_row, width) = rows.x.shape();
        // Without a norm they are never read.
        let statistics = match rows.norm {
            Some(_) => self.matrix([n_row, 2])?,
            None => rows.x.clone(),
        };
        let columns = count("columns", width)?;
        if rows.norm.is_some() && width > 0 {
            let launch = Launch { blocks: [count("rows", n_row)?, 1], threads: THREADS, shared: 0 };
            self.launch("row_statistics", launch, arguments![&statistics, rows.x, columns])?;
        }
        let out = self.matrix([n_row, width])?;
        let [scale, offset] = norm(rows);
        let first = arguments![&out, rows.x, &statistics, scale, offset, node(rows)];
        let last = arguments![columns];
        let activation = [Argument::I32(code(rows.activation))];
        let all = [first.as_slice(), &activation, &dropout(rows.dropout), last].concat();
        self.each("normalise", n_number(rows.x), &all)?;
        Ok([out, statistics])
    }

    pub(crate) fn normalise_backward(
        &self,
        dx: Option<&mut Buffer>,
        dnorm: &mut [Buffer; 2],
        dy: &mut Buffer,
        rows: &RowsToNormalise<'_, Cuda>,
        statistics: &Dense,
    ) -> Result<()> {
        let &(n_row, width) = rows.x.shape();
        let columns = count("columns", width)?;
        let [scale, offset] = norm(rows);
        let first = arguments![memory(dy), rows.x, statistics, scale, offset, node(rows)];
        let from_sum = i32::from(rows.activation.keeps_input());
        let activation = [Argument::I32(code(rows.activation)), Argument::I32(from_sum)];
        let last = arguments![columns];
        let all = [first.as_slice(), &activation, &dropout(rows.dropout), last].concat();
        self.each("normalise_backward_activation", n_number(rows.x), &all)?;
        if rows.norm.is_none() {
            return dx.map_or(Ok(()), |dx| self.accumulate(dx, dy));
        }
        let n_group = n_row.div_ceil(ROWS);
        let partial = [self.unwritten(n_group * width)?, self.unwritten(n_group * width)?];
        let rows_in_all = count("rows", n_row)?;
        let arguments = arguments![
            &partial[0],
            &partial[1],
            memory(dy),
            rows.x,
            statistics,
            columns,
            rows_in_all
        ];
        self.each("norm_backward_parameters", n_group * width, arguments)?;
        for (gradient, partial) in dnorm.iter_mut().zip(&partial) {
            let gradient = self.sum(gradient, width);
            self.column_sums(gradient, Argument::from(partial), [n_group, width])?;
        }
        let Some(dx) = dx.filter(|_| width > 0) else { return Ok(()) };
        let launch = Launch { blocks: [rows_in_all, 1], threads: THREADS, shared: 0 };
        let [dx, adds] = self.sum(dx, n_row * width).arguments();
        let arguments = arguments![dx, memory(dy), rows.x, statistics, scale, adds, columns];
        self.launch("norm_backward_rows", launch, arguments)
    }
}

/// Scale and offset, or null addresses.
fn norm(rows: &RowsToNormalise<'_, Cuda>) -> [Argument; 2] {
    rows.norm.map_or([Argument::Pointer(0); 2], |norm| norm.map(Argument::from))
}

fn node(rows: &RowsToNormalise<'_, Cuda>) -> Argument {
    rows.node.map_or(Argument::Pointer(0), |node| Argument::from(&node.of))
}

/// Whether there is dropout, its key, its threshold and its factor.
fn dropout(dropout: Option<Dropout>) -> [Argument; 5] {
    let none = Dropout { key: [0; 2], keep_below: u32::MAX, factor: 1.0 };
    let Dropout { key, keep_below, factor } = dropout.unwrap_or(none);
    [
        Argument::I32(i32::from(dropout.is_some())),
        Argument::U32(key[0]),
        Argument::U32(key[1]),
        Argument::U32(keep_below),
        Argument::F32(factor),
    ]
}
