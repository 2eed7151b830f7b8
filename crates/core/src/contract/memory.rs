//! Memory budget for loading data. Memory is reserved before it is allocated, so that data that do
//! not fit, or that claim to be larger than they are, cause an error message and not a killed
//! process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Environment variable that sets the budget; named in messages.
pub const VARIABLE: &str = "BATCHLAB_MEMORY";

/// Fixed allowance for the content of a file, plus the allowance per byte of its length. Bags of
/// words compress to about a hundredth; a few bytes that claim to be gigabytes are a mistake or an
/// attack.
const BYTES_OF_FILE: u64 = 512 << 20;
const BYTES_PER_BYTE: u64 = 256;

/// A budget of bytes to allocate. Clones share it.
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
    /// The enclosing budget, if this is a part of one.
    whole: Option<Box<MemoryBudget>>,
}

/// The budget is exceeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} would take {needed} bytes ({}), but of the {} that {} only {} are left",
    readable((*needed).into()), readable((*budget).into()),
    if *is_of_file { "a file of this length is allowed" } else { "this program may use" }, readable((*left).into())
)]
pub struct OverBudget {
    /// Purpose of the allocation.
    pub what: String,
    /// Requested bytes.
    pub needed: u64,
    /// Bytes left.
    pub left: u64,
    /// Total bytes of the budget.
    pub budget: u64,
    /// Whether the limit follows from the length of a file.
    pub is_of_file: bool,
}

impl OverBudget {
    /// Remedy other than using less data: a larger budget, if that is the limit.
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

    /// A value of [`VARIABLE`] that would have allowed this allocation.
    #[must_use]
    pub fn enough(&self) -> String {
        enough(u128::from(self.budget.saturating_sub(self.left)) + u128::from(self.needed))
    }
}

/// A value of [`VARIABLE`] that allows this many bytes.
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

/// Formats bytes in a suitable unit.
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
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(n_byte: u64) -> Self {
        Self { n_byte, used: Arc::default(), whole: None }
    }

    /// A sub-budget for data read from a file of `length` bytes. Bytes taken from it are also taken
    /// from this budget.
    #[must_use]
    pub fn of_file(&self, length: u64) -> Self {
        self.part(length.saturating_mul(BYTES_PER_BYTE).saturating_add(BYTES_OF_FILE))
    }

    fn part(&self, n_byte: u64) -> Self {
        Self { n_byte, used: Arc::default(), whole: Some(Box::new(self.clone())) }
    }

    /// Total bytes of the budget.
    #[must_use]
    pub fn n_byte(&self) -> u64 {
        self.n_byte
    }

    /// Bytes left.
    #[must_use]
    pub fn left(&self) -> u64 {
        let own = self.n_byte.saturating_sub(self.used.load(Ordering::Relaxed));
        self.whole.as_ref().map_or(own, |whole| own.min(whole.left()))
    }

    /// Reserves bytes before an allocation; `what` names its purpose, as in `the edges`.
    ///
    /// # Errors
    /// More bytes than are left. Nothing is reserved in that case.
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

    /// Returns reserved bytes to the budget.
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
        // The part alone would allow 10, but the whole has only 5 left.
        let refused = part.take(7, "d").unwrap_err();
        assert!(!refused.is_of_file && refused.left == 5, "{refused}");
        assert_eq!(part.left(), 5);
        part.give_back(50);
        assert_eq!((part.left(), whole.left()), (55, 55));
        assert!(MemoryBudget::default().take(u64::MAX, "all").is_ok());
    }
}
