//! The memory limit of this program, shared by data and batches.

use std::path::Path;

use batchlab_core::MemoryBudget;
pub use batchlab_core::memory::{VARIABLE, enough, readable};

use crate::RunError;

/// Assumed memory of a machine that does not report it.
const UNKNOWN: u64 = 4 << 30;

/// Maximum bytes for data, or for a step on a batch: the value of `BATCHLAB_MEMORY`, or else three
/// quarters of the memory of the machine, its container or the shell limit (`ulimit -v`), whichever
/// is smallest.
///
/// # Errors
/// A value of `BATCHLAB_MEMORY` that is not a size.
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

/// The same as a budget, shared by everything that a data set reads.
///
/// # Errors
/// As for [`limit`].
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

/// Memory in bytes available to this process: that of the machine, its container, or its own
/// limits.
fn available() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let available = match system.total_memory() {
        // Without /proc, or without a free file descriptor to read it.
        0 => UNKNOWN,
        total => {
            let limits = system.cgroup_limits();
            limits.map_or(total, |limits| limits.total_memory.clamp(1, total))
        }
    };
    let read = |name: &str| std::fs::read_to_string(Path::new("/proc/self").join(name));
    match (read("limits"), read("status")) {
        (Ok(limits), Ok(status)) => left(&limits, &status).map_or(available, |n| n.min(available)),
        _ => available,
    }
}

/// Remaining address space under the limits of a process on Linux; `None` without limits.
fn left(limits: &str, status: &str) -> Option<u64> {
    let names = ["Max address space", "Max data size"];
    let of_line = |line: &str| {
        let soft =
            names.iter().find_map(|name| line.strip_prefix(name))?.split_whitespace().next()?;
        soft.parse::<u64>().ok()
    };
    let limit = limits.lines().filter_map(of_line).min()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    let size = size.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10;
    Some(limit.saturating_sub(size))
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

    #[test]
    fn limits_of_the_process_count() {
        let limits = |space: &str, data: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max data size             {data}               unlimited            bytes     \n\
                 Max address space         {space}              unlimited            bytes     \n"
            )
        };
        let status = "Name:\tbatchlab\nVmPeak:\t   4000 kB\nVmSize:\t   2048 kB\n";
        assert_eq!(left(&limits("unlimited", "unlimited"), status), None);
        assert_eq!(left(&limits("8388608", "unlimited"), status), Some(6 << 20));
        assert_eq!(left(&limits("unlimited", "4194304"), status), Some(2 << 20));
        assert_eq!(left(&limits("1048576", "4194304"), status), Some(0));
    }
}
