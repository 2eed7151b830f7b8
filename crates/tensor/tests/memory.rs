//! Memory that a thread frees is used again. A program of its own: threads that exist before the call
//! keep their heaps.

fn main() {
    batchlab_tensor::keep_freed();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
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

/// More than a heap that glibc gives to a thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn allocate() {
    std::hint::black_box(vec![1.0_f32; 25 << 20]);
}

/// Those of this process, without reading from disk.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn page_faults() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let (_, after_name) = text.rsplit_once(')').expect("the name is in brackets");
    let minor = after_name.split_whitespace().nth(7).expect("the tenth column");
    minor.parse().expect("a number")
}
