//! The Slurm job that this process belongs to.

use std::time::Duration;

use super::{QUERY, SlurmError, ask};

/// Maximum time that a worker needs to finish a step and publish its runs.
const LEAD: Duration = Duration::from_secs(120);

/// A job's name for this process, such as `12_3`, if it belongs to one.
pub(crate) fn own_id() -> Option<String> {
    let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
    array.map(|(job, task)| format!("{job}_{task}")).or_else(|| variable("SLURM_JOB_ID"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What Slurm says about the job of this process; the default if it belongs to none.
#[derive(Debug, Default)]
pub(crate) struct OwnJob {
    /// Time left, excluding the time for a clean exit; `None` without a limit.
    pub(crate) left: Option<Duration>,
    /// Whether other jobs may run on its node.
    pub(crate) is_node_shared: bool,
}

impl OwnJob {
    pub(crate) fn ask() -> Result<Self, SlurmError> {
        match variable("SLURM_JOB_ID") {
            None => Ok(Self::default()),
            Some(id) => {
                let arguments = ["show", "job", "--oneliner", &id];
                ask("scontrol", &arguments, QUERY).map(|job| Self::of(&job))
            }
        }
    }

    fn of(job: &str) -> Self {
        let time = |key| field(job, key).and_then(duration);
        let limit = time("TimeLimit");
        let left = limit.zip(time("RunTime")).map(|(limit, run)| limit.saturating_sub(run));
        // Slurm signals up to a minute early.
        let left = left.zip(limit).map(|(left, limit)| {
            left.saturating_sub(lead(Some(limit)) + Duration::from_secs(60).min(limit / 10))
        });
        Self { left, is_node_shared: is_node_shared(job) }
    }
}

/// How long before the end of a task Slurm signals it.
pub(crate) fn lead(limit: Option<Duration>) -> Duration {
    limit.map_or(LEAD, |limit| LEAD.min(limit / 10))
}

/// `--exclusive` gives `OverSubscribe=NO`. A job without it has its node to itself if it has all of
/// its processors.
fn is_node_shared(job: &str) -> bool {
    if field(job, "OverSubscribe") == Some("NO") {
        return false;
    }
    let node = variable("SLURMD_NODENAME").unwrap_or_default();
    let node = ask("scontrol", &["show", "node", "--oneliner", &node], QUERY).unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let own = number(variable("SLURM_CPUS_ON_NODE").as_deref());
    let all = number(field(&node, "CPUTot"));
    own.zip(all).is_none_or(|(own, all)| own < all)
}

/// The value of `KEY=VALUE` in the output of `scontrol`.
fn field<'a>(answer: &'a str, key: &str) -> Option<&'a str> {
    answer.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// `[days-]hours:minutes:seconds`; `None` for `UNLIMITED`.
fn duration(text: &str) -> Option<Duration> {
    let (days, time) = text.split_once('-').unwrap_or(("0", text));
    let seconds = time
        .split(':')
        .try_fold(0, |sum: u64, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?;
    Some(Duration::from_secs(days.parse::<u64>().ok()?.checked_mul(86400)?.checked_add(seconds)?))
}

/// As in `--time`.
pub(crate) fn in_slurms_words(time: Duration) -> String {
    // The unit of limits.
    let minutes = time.as_secs().div_ceil(60);
    let (days, hours) = (minutes / 1440, minutes / 60 % 24);
    let days = if days > 0 { format!("{days}-") } else { String::new() };
    format!("{days}{hours:02}:{:02}:00", minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_limit() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("1-02:03:04"), Some(93_784));
        assert_eq!((seconds("00:01:00"), seconds("UNLIMITED")), (Some(60), None));
        assert_eq!(in_slurms_words(Duration::from_secs(93_784)), "1-02:04:00");
        assert_eq!(in_slurms_words(Duration::from_secs(60)), "00:01:00");
        let job = OwnJob::of("JobId=2 RunTime=01:00:00 TimeLimit=04:00:00 OverSubscribe=NO");
        assert_eq!(job.left.map(|left| left.as_secs()), Some(3 * 3600 - 180));
        assert!(!job.is_node_shared);
        assert_eq!(OwnJob::of("TimeLimit=UNLIMITED RunTime=00:01:00 OverSubscribe=NO").left, None);
    }
}
