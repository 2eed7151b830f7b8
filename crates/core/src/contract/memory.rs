//! How much memory loading data may take: asked for before anything is allocated, so that data that
//! would not fit, or that claim to be larger than they are, end in a message and not in a killed
//! process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that sets the budget, for messages.
pub const VARIABLE: &str = "BATCHLAB_MEMORY";

/// What is made of a file may take so much, and so many times its length. Bags of words pack to a hundredth; a few
/// bytes that claim to be gigabytes are a mistake or worse.
const BYTES_OF_FILE: u64 = 512 << 20;
const BYTES_PER_BYTE: u64 = 256;

/// Bytes that may be allocated together. Clones share them.
///
/// ```
/// use batchlab_core::MemoryBudget;
///
/// let memory = MemoryBudget::new(1 << 20);
/// memory.take(1000 * 1000, "the positions")?;
/// let refused = memory.take(1000 * 1000, "the edges").unwrap_err().to_string();
/// assert!(refused.starts_with("the edges would take 1000000 bytes"));
/// memory.give_back(1000 * 1000);
/// memory.take(1000 * 1000, "the edges")?;
/// # Ok::<(), batchlab_core::memory::OverBudget>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    n_byte: u64,
    used: Arc<AtomicU64>,
    /// The budget that this is a part of.
    whole: Option<Box<MemoryBudget>>,
}

/// More than the budget has left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} would take {needed} bytes ({}), and of the {} that {} {} are left",
    readable((*needed).into()), readable((*budget).into()),
    if *is_of_file { "a file of its length is given" } else { "this program may use" }, readable((*left).into())
)]
pub struct OverBudget {
    /// What was to be allocated.
    pub what: String,
    /// Its bytes.
    pub needed: u64,
    /// Bytes that are left.
    pub left: u64,
    /// All bytes of the budget.
    pub budget: u64,
    /// Whether it is the length of a file that limits it.
    pub is_of_file: bool,
}

impl OverBudget {
    /// What helps besides less data: more memory, if it is that which lacks.
    #[must_use]
    pub fn remedy(&self) -> String {
        if self.is_of_file {
            "it holds far less than it unpacks to, so check where it comes from; if it is right, store it \
             unpacked (numpy.savez)"
                .to_owned()
        } else {
            format!("use less of the data, or set {VARIABLE}, for example to {}", self.enough())
        }
    }

    /// A value of [`VARIABLE`] with which this would have been allowed.
    #[must_use]
    pub fn enough(&self) -> String {
        enough(u128::from(self.budget.saturating_sub(self.left)) + u128::from(self.needed))
    }
}

/// A value of [`VARIABLE`] that allows so many bytes.
///
/// ```
/// use batchlab_core::memory::enough;
///
/// assert_eq!([enough(19_000_000_000), enough(37_000_000)], ["32GiB", "64MiB"]);
/// ```
#[must_use]
pub fn enough(n_byte: u128) -> String {
    match n_byte.div_ceil(1 << 20).next_power_of_two() {
        mebibytes if mebibytes < 1 << 10 => format!("{mebibytes}MiB"),
        mebibytes => format!("{}GiB", mebibytes >> 10),
    }
}

/// Bytes in the unit in which they are a few.
#[must_use]
pub fn readable(n: u128) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| n >> shift > 0);
    unit.map_or_else(
        || format!("{n} B"),
        |(shift, unit)| format!("{:.1} {unit}", n as f64 / f64::from(1 << shift)),
    )
}

impl MemoryBudget {
    /// So many bytes.
    #[must_use]
    pub fn new(n_byte: u64) -> Self {
        Self { n_byte, used: Arc::default(), whole: None }
    }

    /// A part of this budget for what is read from a file of that many bytes: what is taken from it is taken from
    /// both.
    #[must_use]
    pub fn of_file(&self, length: u64) -> Self {
        self.part(length.saturating_mul(BYTES_PER_BYTE).saturating_add(BYTES_OF_FILE))
    }

    fn part(&self, n_byte: u64) -> Self {
        Self { n_byte, used: Arc::default(), whole: Some(Box::new(self.clone())) }
    }

    /// All bytes of the budget.
    #[must_use]
    pub fn n_byte(&self) -> u64 {
        self.n_byte
    }

    /// Bytes that can still be taken.
    #[must_use]
    pub fn left(&self) -> u64 {
        let own = self.n_byte.saturating_sub(self.used.load(Ordering::Relaxed));
        self.whole.as_ref().map_or(own, |whole| own.min(whole.left()))
    }

    /// Takes bytes that are going to be allocated; `what` are they for, as in `the edges`.
    ///
    /// # Errors
    /// More than is left. Nothing is taken then.
    pub fn take(&self, n_byte: u64, what: &str) -> Result<(), OverBudget> {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(n_byte).filter(|&used| used <= self.n_byte)
        });
        if let Err(used) = taken {
            return Err(OverBudget {
                what: what.to_owned(),
                needed: n_byte,
                left: self.n_byte.saturating_sub(used),
                budget: self.n_byte,
                is_of_file: self.whole.is_some(),
            });
        }
        let Some(whole) = &self.whole else { return Ok(()) };
        whole.take(n_byte, what).inspect_err(|_| {
            self.used.fetch_sub(n_byte, Ordering::Relaxed);
        })
    }

    /// Gives back what was taken and is free again.
    pub fn give_back(&self, n_byte: u64) {
        let less = |used: u64| Some(used.saturating_sub(n_byte));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if let Some(whole) = &self.whole {
            whole.give_back(n_byte);
        }
    }
}

/// No limit.
impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_from_the_whole() {
        let whole = MemoryBudget::new(100);
        let part = whole.part(60);
        part.take(50, "a").unwrap();
        assert_eq!((part.left(), whole.left()), (10, 50));
        let refused = part.take(20, "b").unwrap_err();
        assert!(refused.is_of_file && refused.left == 10, "{refused}");
        whole.take(45, "c").unwrap();
        // The part would have 10, the whole has 5.
        let refused = part.take(7, "d").unwrap_err();
        assert!(!refused.is_of_file && refused.left == 5, "{refused}");
        assert_eq!(part.left(), 5);
        part.give_back(50);
        assert_eq!((part.left(), whole.left()), (55, 55));
        assert!(MemoryBudget::default().take(u64::MAX, "all").is_ok());
    }
}
