//! Memory of this process.

use anyhow::Context as _;

/// Present and largest resident size of this process, in bytes. Only Linux reports it in this form.
pub fn resident() -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("reading this process's memory, which needs Linux")?;
    Ok((field(&status, "VmRSS:")?, field(&status, "VmHWM:")?))
}

fn field(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    let kilobytes = kilobytes.with_context(|| format!("{name} in /proc/self/status"))?;
    Ok(1024 * kilobytes.trim().parse::<u64>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_kilobytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(field(status, "VmRSS:").unwrap(), 1 << 20);
        assert_eq!(field(status, "VmHWM:").unwrap(), 1 << 21);
        assert!(field("", "VmRSS:").is_err());
    }
}
