//! The program and machine that produced a result.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    pub version: String,
    /// Commit from which it was built; `None` outside a repository.
    pub git_commit: Option<String>,
    /// Whether the working tree differed from that commit.
    pub git_dirty: Option<bool>,
    pub rustc: String,
    /// `debug` or `release`.
    pub build_profile: String,
    pub host: String,
    pub os: String,
    pub cpu_model: String,
    /// CPUs that the process may use.
    pub cpu_count: usize,
}

impl Provenance {
    /// Version and commit.
    #[must_use]
    pub fn describe(&self) -> String {
        let commit = self.git_commit.as_deref().unwrap_or("no commit");
        let dirty = if self.git_dirty == Some(true) { ", changed" } else { "" };
        format!("{} ({commit}{dirty})", self.version)
    }

    #[must_use]
    pub fn collect() -> Self {
        let mut system = sysinfo::System::new();
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        let commit = option_env!("BATCHLAB_COMMIT").filter(|commit| !commit.is_empty());
        let unknown = || "unknown".to_owned();
        let os = [sysinfo::System::long_os_version(), sysinfo::System::kernel_version()];
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            git_commit: commit.map(str::to_owned),
            git_dirty: commit.map(|_| option_env!("BATCHLAB_DIRTY") == Some("true")),
            rustc: option_env!("BATCHLAB_RUSTC").unwrap_or("unknown").into(),
            build_profile: option_env!("BATCHLAB_PROFILE").unwrap_or("unknown").into(),
            host: sysinfo::System::host_name().unwrap_or_else(unknown),
            os: os.into_iter().flatten().collect::<Vec<_>>().join(", "),
            cpu_model: system.cpus().first().map_or_else(unknown, |cpu| cpu.brand().to_owned()),
            cpu_count: n_processor(),
        }
    }
}

/// Number of CPUs that this process may use.
#[must_use]
pub fn n_processor() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Peak resident memory of this process in bytes, if the system reports it.
#[must_use]
pub fn peak_host_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_recorded() {
        let provenance = Provenance::collect();
        assert!(provenance.rustc.starts_with("rustc 1."), "{}", provenance.rustc);
        assert!(provenance.cpu_count > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn peak_memory_is_at_least_what_was_used() {
        let used = vec![1_u8; 64 << 20];
        assert!(peak_host_bytes().unwrap() > used.len() as i64);
    }
}
