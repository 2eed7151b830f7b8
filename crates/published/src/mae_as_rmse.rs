//! Mean absolute errors that were published as root mean squared ones.
//!
//! The logs print `[RMSE MAE]` as one array. Where the MAE needs fewer digits, a blank stands
//! before the bracket, and the authors' parser then takes the second number for the first. Such a
//! number has fewer than eight decimals, and is much less than others of the same setting: an MAE is
//! less than its RMSE.

use batchlab_config::Subset;

use crate::row::{Cell, PublishedRow};

/// Decimals of a number that is printed in full.
const FULL: usize = 8;
/// A number with fewer decimals is taken for an RMSE if it is at least this share of the usual value.
const SHARE: f64 = 0.8;

/// For every row and each of its errors, whether it is an MAE.
///
/// What is usual is the median of the full numbers of all repetitions of the same setting, step and
/// subset. Repetitions on a processor are equal to the last bit, so that all or none of them may be
/// full; then the full numbers of the other strategies at the same batch size are taken, and where
/// there are none either, those of the run itself at the checkpoints before and after.
pub(crate) fn find(rows: &[PublishedRow]) -> Vec<Vec<bool>> {
    let is_mae = |row: &PublishedRow, cell: &Cell| {
        if decimals(&cell.text).is_none_or(|decimals| decimals >= FULL) {
            return false;
        }
        let usual =
            usual(rows, cell, |other| same_setting(row, other) && row.batcher == other.batcher)
                .or_else(|| usual(rows, cell, |other| same_setting(row, other)))
                .or_else(|| beside(row, cell));
        usual.is_some_and(|usual| cell.value < SHARE * usual)
    };
    rows.iter().map(|row| row.errors.iter().map(|cell| is_mae(row, cell)).collect()).collect()
}

fn same_setting(a: &PublishedRow, b: &PublishedRow) -> bool {
    a.batch_size == b.batch_size
        && a.model == b.model
        && a.dataset == b.dataset
        && a.device == b.device
}

fn usual(
    rows: &[PublishedRow],
    cell: &Cell,
    belongs: impl Fn(&PublishedRow) -> bool,
) -> Option<f64> {
    let at = |other: &&Cell| {
        let place: (i64, Subset) = (other.step, other.split);
        place == (cell.step, cell.split) && decimals(&other.text) == Some(FULL)
    };
    let rows = rows.iter().filter(|row| belongs(row));
    let full: Vec<f64> =
        rows.flat_map(|row| row.errors.iter().filter(at).map(|c| c.value)).collect();
    batchlab_stats::median(&full)
}

/// The mean of the full numbers of the same run and subset before and after.
fn beside(row: &PublishedRow, cell: &Cell) -> Option<f64> {
    let full = |other: &&Cell| other.split == cell.split && decimals(&other.text) == Some(FULL);
    let full = || row.errors.iter().filter(full);
    let before = full().filter(|other| other.step < cell.step).max_by_key(|other| other.step);
    let after = full().filter(|other| other.step > cell.step).min_by_key(|other| other.step);
    let values: Vec<f64> = before.into_iter().chain(after).map(|other| other.value).collect();
    batchlab_stats::mean(&values)
}

/// Number of decimals; `None` for numbers with an exponent.
fn decimals(text: &str) -> Option<usize> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.split_once('.').map_or(0, |(_, digits)| digits.len()))
}
