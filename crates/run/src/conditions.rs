//! State of the machine during a turn, as far as the system reports it (Linux does).

use std::fs;
use std::time::{Instant, SystemTime};

use batchlab_core::record::{BlockRecord, Timestamp};

use super::pipeline::nanoseconds;
use super::train::Turn;

/// Unit of times in `/proc`: `USER_HZ` is 100 on all platforms supported by Rust's standard
/// library.
const TICK_NS: i64 = 10_000_000;

/// State of the machine at the beginning of a turn.
pub(crate) struct Conditions {
    started_at: Timestamp,
    start: Instant,
    before: Counters,
}

impl Conditions {
    pub(crate) fn begin() -> Self {
        let before = Counters::read();
        Self { started_at: Timestamp::of(SystemTime::now()), start: Instant::now(), before }
    }

    /// The row of a turn that has just ended.
    pub(crate) fn end(self, turn: Turn, steps: TurnSteps, n_thread: usize) -> BlockRecord {
        let wall_ns = nanoseconds(self.start, Instant::now());
        let after = Counters::read();
        let since = |counter: fn(&Counters) -> Option<i64>| {
            Some((counter(&after)? - counter(&self.before)?).max(0))
        };
        let (busy, own) = (since(|c| c.busy), since(|c| c.own));
        BlockRecord {
            // Filled in by the recorder.
            run_id: String::new(),
            block: turn.block,
            turn: turn.turn,
            first_step: steps.first as i64,
            n_step: steps.n_step as i64,
            is_timing_only: steps.is_timing_only,
            started_at: Some(self.started_at),
            wall_ns,
            load: busy.zip(own).and_then(|(busy, own)| load(busy, own, wall_ns)),
            steal_ns: since(|c| c.steal).map(|ticks| ticks * TICK_NS),
            cpu_mhz: cpu_mhz(n_thread),
            n_involuntary_switch: since(|c| c.n_switch),
        }
    }
}

/// The steps of a turn.
#[derive(Clone, Copy)]
pub(crate) struct TurnSteps {
    pub(crate) first: u64,
    pub(crate) n_step: u64,
    pub(crate) is_timing_only: bool,
}

/// Mean number of CPUs kept busy by other processes. In some containers the machine's counters
/// stand still; the load is then unknown.
fn load(busy: i64, own: i64, wall_ns: i64) -> Option<f64> {
    if wall_ns == 0 || (busy == 0 && own > 0) {
        return None;
    }
    Some((busy - own).max(0) as f64 * TICK_NS as f64 / wall_ns as f64)
}

/// Monotonic counters.
struct Counters {
    /// Busy CPU ticks of all processes.
    busy: Option<i64>,
    /// Steal time in ticks.
    steal: Option<i64>,
    /// Busy CPU ticks of this process.
    own: Option<i64>,
    /// Involuntary context switches of this process's threads.
    n_switch: Option<i64>,
}

impl Counters {
    fn read() -> Self {
        let machine = fs::read_to_string("/proc/stat").ok();
        let machine = machine.as_deref().and_then(machine_ticks);
        let own = fs::read_to_string("/proc/self/stat").ok();
        Self {
            busy: machine.map(|(busy, _)| busy),
            steal: machine.map(|(_, steal)| steal),
            own: own.as_deref().and_then(own_ticks),
            n_switch: n_switch(),
        }
    }
}

/// Busy and steal ticks of all CPUs, from `/proc/stat`.
fn machine_ticks(text: &str) -> Option<(i64, i64)> {
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<i64> = all.split_whitespace().map_while(|tick| tick.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, interrupt, soft_interrupt, steal, ..] = ticks[..] else {
        return None;
    };
    Some((user + nice + system + interrupt + soft_interrupt, steal))
}

/// CPU ticks of a process, from its `stat`. The second field, a name in parentheses, may contain
/// anything.
fn own_ticks(text: &str) -> Option<i64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<i64>().ok());
    Some(times.next()?? + times.next()??)
}

fn n_switch() -> Option<i64> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    // A thread that has just ended can no longer be read.
    let status = threads.flatten().filter_map(|t| fs::read_to_string(t.path().join("status")).ok());
    status.map(|status| field(&status, "nonvoluntary_ctxt_switches:")?.parse::<i64>().ok()).sum()
}

/// The value on a line that begins with a name.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn cpu_mhz(n_thread: usize) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let allowed = processors(field(&status, "Cpus_allowed_list:")?)?;
    let list = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut found = listed_mhz(&list, &allowed);
    if found.is_empty() {
        found = allowed.iter().filter_map(|&processor| current_mhz(processor)).collect();
    }
    found.sort_by(|a, b| b.total_cmp(a));
    found.truncate(n_thread);
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

/// CPUs in a list such as `0-3,8`.
fn processors(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}

/// Frequencies in `/proc/cpuinfo`, which are present on x86.
fn listed_mhz(text: &str, allowed: &[usize]) -> Vec<f64> {
    let mut found = Vec::new();
    let mut processor = None;
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        match name.trim() {
            "processor" => processor = value.trim().parse().ok(),
            "cpu MHz" if processor.is_some_and(|processor| allowed.contains(&processor)) => {
                found.extend(value.trim().parse::<f64>().ok());
            }
            _ => {}
        }
    }
    found
}

fn current_mhz(processor: usize) -> Option<f64> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/cpufreq/scaling_cur_freq");
    let kilohertz: f64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Some(kilohertz / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_in_their_files() {
        let stat = "cpu  176 1 11 417 4 2 3 109 0 0\ncpu0 89 0 5 200 1 0 0 60 0 0\n";
        assert_eq!(machine_ticks(stat), Some((193, 109)));
        assert_eq!(machine_ticks("cpu  1 2 3"), None);
        let own = "42 (a) name (x) R 1 42 42 0 -1 4194304 9 0 0 0 70 8 0 0 20 0 3 0 100 5 6";
        assert_eq!(own_ticks(own), Some(78));
        let status = "Name:\tx\nCpus_allowed_list:\t0-1,4\nnonvoluntary_ctxt_switches:\t12\n";
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:"), Some("12"));
        assert_eq!(processors(field(status, "Cpus_allowed_list:").unwrap()), Some(vec![0, 1, 4]));
        let list = "processor\t: 0\ncpu MHz\t\t: 2300.5\n\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n";
        assert_eq!(listed_mhz(list, &[1]), [800.0]);
    }

    #[test]
    fn load_is_the_work_of_others() {
        // In 100 ms, 2 CPUs were fully busy, one of them for this process.
        assert_eq!(load(20, 10, 100_000_000), Some(1.0));
        assert_eq!(load(9, 10, 100_000_000), Some(0.0));
        assert_eq!(load(0, 10, 100_000_000), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_others_do_is_seen() {
        let turn = Turn { block: 1, turn: 3 };
        let steps = TurnSteps { first: 51, n_step: 50, is_timing_only: false };
        let conditions = Conditions::begin();
        let mut other =
            std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        other.kill().unwrap();
        other.wait().unwrap();
        let row = conditions.end(turn, steps, 1);
        assert_eq!((row.block, row.turn, row.first_step, row.n_step), (1, 3, 51, 50));
        assert!(row.wall_ns >= 500_000_000);
        assert!(row.load.unwrap() > 0.2, "{row:?}");
        assert!(row.steal_ns.unwrap() >= 0 && row.n_involuntary_switch.unwrap() >= 0);
        assert!(row.cpu_mhz.is_none_or(|mhz| mhz > 100.0));
    }
}
