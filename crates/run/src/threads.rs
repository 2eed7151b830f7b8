//! Oversubscription of CPUs.

use batchlab_config::Config;

use super::provenance::n_processor;

/// Warns about oversubscription by engine and prefetching threads. With a GPU the engine hardly
/// uses threads.
#[must_use]
pub fn crowding(config: &Config, n_thread: usize) -> Option<String> {
    let depth = config.training.prefetch_depth();
    if config.device != "cpu" || depth == 0 {
        return None;
    }
    message(n_thread, depth, n_processor())
}

fn message(n_thread: usize, depth: u32, n_processor: usize) -> Option<String> {
    if n_thread < n_processor {
        return None;
    }
    let threads = |n| if n == 1 { "1 thread".to_owned() } else { format!("{n} threads") };
    let processors = if n_processor == 1 { "processor" } else { "processors" };
    let leave = match n_processor {
        1 => String::new(),
        n => format!(", --threads {} leaves it a processor", n - 1),
    };
    Some(format!(
        "{} of the engine and the prefetching thread (training.prefetch = {depth}) share \
         {n_processor} {processors} and slow each other down; training.prefetch=0 needs no \
         such thread{leave}",
        threads(n_thread)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_too_many_is_said() {
        assert_eq!(message(3, 1, 4), None);
        let said = message(4, 2, 4).unwrap();
        assert_eq!(
            said,
            "4 threads of the engine and the prefetching thread (training.prefetch = 2) share 4 \
             processors and slow each other down; training.prefetch=0 needs no such thread, --threads 3 leaves it a processor"
        );
        let said = message(1, 1, 1).unwrap();
        assert!(
            said.starts_with("1 thread of the engine") && !said.contains("--threads"),
            "{said}"
        );
    }
}
