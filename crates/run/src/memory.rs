//! How much memory this program may take, in one place for data and batches.

use batchlab_core::MemoryBudget;
pub use batchlab_core::memory::{VARIABLE, enough};

use crate::RunError;

/// What is assumed of a machine that does not say how much memory it has.
const UNKNOWN: u64 = 4 << 30;

/// Bytes that data, or a step on a batch, may take: what `BATCHLAB_MEMORY` says, else three quarters of the
/// memory of the machine or of its container.
///
/// # Errors
/// A value of `BATCHLAB_MEMORY` that is no size.
pub fn limit() -> Result<u64, RunError> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(available() / 4 * 3);
    };
    let text = value.to_string_lossy();
    parse(&text).ok_or_else(|| {
        RunError::config(format!(
            "the environment variable {VARIABLE} is \"{text}\"; set it to a size such as 8GiB or 500MiB, \
             or remove it"
        ))
    })
}

/// The same, to be shared by everything that a data set reads.
///
/// # Errors
/// As [`limit`].
pub fn budget() -> Result<MemoryBudget, RunError> {
    limit().map(MemoryBudget::new)
}

fn parse(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = unit?;
    let n_byte = number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (n_byte > 0).then_some(n_byte)
}

/// Memory that this process may use, in bytes: that of the machine, or of its container.
fn available() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    match system.total_memory() {
        // Without /proc, or a file to open for it.
        0 => UNKNOWN,
        total => {
            let limits = system.cgroup_limits();
            limits.map_or(total, |limits| limits.total_memory.clamp(1, total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("512", Some(512)),
            ("8GiB", Some(8 << 30)),
            ("500 MiB", Some(500 << 20)),
            ("0", None),
            ("8GB", None),
            ("half", None),
            ("99999999999TiB", None),
            ("-1GiB", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(available() > 0);
    }
}
