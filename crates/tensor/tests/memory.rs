//! Memory freed by a thread is reused, and is in huge pages. A separate program, since threads that
//! exist before the call keep their heaps.

fn main() {
    batchlab_tensor::keep_freed();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        are_pages_large();
        let second = std::thread::spawn(|| {
            allocate();
            let before = page_faults();
            allocate();
            page_faults() - before
        });
        let n = second.join().expect("the thread ends");
        assert!(n < 10, "{n} page faults in memory that was freed just before");
    }
}

/// Whether memory where the heap has just grown is in huge pages, if the system has them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(clippy::print_stderr, reason = "says that nothing was tried")]
fn are_pages_large() {
    if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        eprintln!("skipped: this system has no large pages");
        return;
    }
    let values = vec![1_u32; 1 << 20];
    let address = values[values.len() / 2..].as_ptr().addr();
    let text = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
    let mut is_there = false;
    let flags = text.lines().find_map(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| usize::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = range.map(|(a, b)| (number(a), number(b))) {
            is_there = (start..end).contains(&address);
        }
        line.strip_prefix("VmFlags:").filter(|_| is_there)
    });
    let flags = flags.expect("memory of this process");
    assert!(flags.split(' ').any(|flag| flag == "hg"), "large pages were not asked for: {flags}");
    assert!(std::hint::black_box(values).iter().all(|&value| value == 1));
}

/// Allocates more than a heap that glibc gives to a thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn allocate() {
    std::hint::black_box(vec![1.0_f32; 25 << 20]);
}

/// Minor page faults of this process, without disk reads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn page_faults() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let (_, after_name) = text.rsplit_once(')').expect("the name is in brackets");
    let minor = after_name.split_whitespace().nth(7).expect("the tenth column");
    minor.parse().expect("a number")
}
