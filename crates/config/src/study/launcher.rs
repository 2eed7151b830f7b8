//! How the workers of a study are submitted to a scheduler.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{self, Error as _};
use serde::{Deserialize, Deserializer};

/// What `batchlab sweep STUDY --launcher slurm` asks Slurm for. Every task of the job array that it
/// submits is a worker: it trains one cell after the other. Nothing here changes what is trained.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Launcher {
    /// Maximum number of tasks at once. Cells that are not done need no more tasks than there are
    /// cells; a few are enough, because each trains many cells.
    pub workers: NonZeroU32,
    /// Partition; that of the cluster by default.
    pub partition: Option<String>,
    /// Account to charge.
    pub account: Option<String>,
    /// Time limit of a task, such as "4h" or "1day 12h"; that of the partition by default. It must
    /// be longer than the longest cell, because an interrupted cell starts again.
    pub time: Option<TaskTime>,
    /// GPUs of a task.
    pub gpus: Option<u32>,
    /// Processors of a task, and threads of its engine.
    pub cpus: Option<NonZeroU32>,
    /// Whether to reserve whole nodes; the same as `blocks.exclusive` by default. No report uses
    /// times that were measured on a shared node.
    pub exclusive: Option<bool>,
    /// How long `--wait` asks again when Slurm does not answer, or refuses and no task is queued; an
    /// hour ("1h") by default.
    pub retry_for: RetryTime,
    /// Further options of sbatch, such as `["--mem=32G"]`; they replace those above.
    pub options: Vec<SlurmOption>,
}

impl Default for Launcher {
    fn default() -> Self {
        Self {
            workers: NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN),
            partition: None,
            account: None,
            time: None,
            gpus: None,
            cpus: None,
            exclusive: None,
            retry_for: RetryTime(Duration::from_secs(60 * 60)),
            options: Vec::new(),
        }
    }
}

/// A duration such as "4h" or "1day 12h 30m".
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub struct TaskTime(#[schemars(with = "String")] pub Duration);

impl<'de> Deserialize<'de> for TaskTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match duration(&text) {
            // The unit of Slurm's limits.
            Ok(time) if time < Duration::from_secs(60) => {
                Err(no_duration(&text, "is less than a minute"))
            }
            time => time.map(Self),
        }
    }
}

/// A duration such as "30s" or "1h".
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
pub struct RetryTime(#[schemars(with = "String")] pub Duration);

impl<'de> Deserialize<'de> for RetryTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(&String::deserialize(deserializer)?).map(Self)
    }
}

fn duration<E: de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|_| no_duration(text, "is not a duration"))
}

fn no_duration<E: de::Error>(text: &str, reason: &str) -> E {
    E::custom(format!("\"{text}\" {reason}; write for example \"30m\", \"4h\" or \"1day 12h\""))
}

/// One option of sbatch, on one line.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
pub struct SlurmOption(pub String);

impl<'de> Deserialize<'de> for SlurmOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |reason: &str| Err(D::Error::custom(format!("{text:?} {reason}")));
        if !text.starts_with('-') || text.contains(|c: char| c.is_control()) {
            return wrong("is not an option of sbatch, such as \"--mem=32G\"");
        }
        // The launcher numbers the tasks and follows them by the name of their job.
        for word in text.split(' ').filter(|word| word.starts_with('-')) {
            if is(word, "--array", "-a") {
                return wrong("is what `launcher.workers` is for");
            }
            if is(word, "--job-name", "-J") {
                return wrong("would hide the tasks from `batchlab status`");
            }
        }
        Ok(Self(text))
    }
}

/// Whether sbatch takes `word` for this option. It accepts long names without their end, and values
/// of short names without a space.
fn is(word: &str, long: &str, short: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    word.starts_with(short) || name.len() > "--".len() && long.starts_with(name)
}
