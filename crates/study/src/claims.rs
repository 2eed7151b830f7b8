//! Claims on cells, for machines that share a folder.
//!
//! ```text
//! <cell>/claim.<number>/owner.json   its owner; written by renaming
//! <cell>/claim.<number>/beat         a counter that the owner increments while it is alive
//! <cell>/claim.<number>/lock         locked by the owner, for processes on the same node
//! <cell>/claim.<number>/ended        the claim was returned, or the cell is done
//! <cell>/done.<round>/               the published result; `claim` in it names the claim that did
//! ```
//!
//! File locks are not reliable between nodes. However, on every shared file system creating a
//! folder succeeds for only one of many processes, and so does renaming a folder to a name that
//! must not exist. A claim is therefore a folder with the next number, and publishing is renaming a
//! complete folder to `done.<round>`, which fails if it exists: whatever else goes wrong, exactly
//! one claim publishes a round, and readers count that one.
//!
//! Everything else only avoids wasted work. A claim has expired when its counter has not changed
//! for a while *by the reader's clock*: clocks are never compared, and a folder listing may be
//! stale. A process that was suspended for longer finds a claim with a higher number and does not
//! publish. On the same node, the lock shows immediately that a process has ended.
//!
//! Numbers and rounds are never reused, so that a name that was read late cannot refer to another
//! claim.

mod beat;
mod disk;
#[cfg(test)]
mod simulated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use batchlab_results::ResultsError;
use serde::{Deserialize, Serialize};

use crate::checked_json;
pub(crate) use disk::{Disk, LocalDisk};

const CLAIM: &str = "claim.";
const DONE: &str = "done.";
const OWNER: &str = "owner.json";
const COUNTER: &str = "beat";
const ENDED: &str = "ended";
/// Completed before it is renamed to `done.<round>`.
const PREPARED: &str = "publish";
/// In `done.<round>`: the number of the claim that published it.
const BY: &str = "claim";

/// Folders with higher numbers do not belong to this program.
const MAX_NUMBER: u64 = 1 << 60;

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(transparent)]
    File(#[from] ResultsError),
    #[error("another process has taken over {}: it has {by}", cell.display())]
    Superseded {
        cell: PathBuf,
        /// The later claim, or the round that was published.
        by: String,
    },
    #[error("{variable}={value}: {reason}")]
    Setting { variable: &'static str, value: String, reason: String },
}

/// Heartbeat settings of claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSettings {
    /// Interval between two heartbeats of a claim.
    pub beat: Duration,
    /// A claim has expired if its counter has not changed for this long.
    pub stale: Duration,
    /// Processes on one node see each other's file locks.
    pub node: String,
    /// The scheduler's name for the task that this process belongs to, if there is one.
    pub job: Option<String>,
}

impl Default for ClaimSettings {
    fn default() -> Self {
        let (beat, stale) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { beat, stale, node: disk::node(), job: None }
    }
}

impl ClaimSettings {
    const BEAT: &'static str = "BATCHLAB_BEAT";
    const STALE: &'static str = "BATCHLAB_STALE";
    const NODE: &'static str = "BATCHLAB_NODE";

    /// The defaults, or the values of `BATCHLAB_BEAT`, `BATCHLAB_STALE` (such as `30s`) and
    /// `BATCHLAB_NODE`.
    ///
    /// # Errors
    /// An invalid duration, or so few heartbeats before expiry that one late heartbeat would end a
    /// claim.
    pub fn from_environment() -> Result<Self, ClaimError> {
        let mut settings = Self::default();
        let text = |variable| std::env::var(variable).ok().filter(|text| !text.is_empty());
        for (variable, time) in
            [(Self::BEAT, &mut settings.beat), (Self::STALE, &mut settings.stale)]
        {
            let Some(value) = text(variable) else { continue };
            *time = humantime::parse_duration(&value).map_err(|error| {
                let reason = format!("{error}; give a time such as 60s or 10m");
                ClaimError::Setting { variable, value, reason }
            })?;
        }
        if settings.beat.is_zero() || settings.stale < 3 * settings.beat {
            let [stale, beat] = [settings.stale, settings.beat].map(humantime::format_duration);
            let reason = format!(
                "it must be at least three times the heartbeat interval of {beat}; set {} too",
                Self::BEAT
            );
            let (variable, value) = (Self::STALE, stale.to_string());
            return Err(ClaimError::Setting { variable, value, reason });
        }
        settings.node = text(Self::NODE).unwrap_or(settings.node);
        Ok(settings)
    }
}

/// Owner of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    pub host: String,
    pub process: u32,
    /// In RFC 3339, by the clock of its machine; informational only.
    pub started_at: String,
    /// Node on which its file lock is visible.
    pub node: String,
    /// The scheduler's name for its task, such as `12_3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// Known state of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Ended,
    /// Its counter changed while it was watched, or its process is alive on this node.
    Alive,
    /// It was not watched for long enough.
    Unknown,
}

pub(crate) enum Taken<D: Disk> {
    Mine(Claim<D>),
    /// Another process has the cell.
    Other(Life),
}

/// The claims that this process sees and makes.
#[derive(Debug)]
pub(crate) struct Claims<D> {
    disk: D,
    settings: ClaimSettings,
    owner: Owner,
    /// Counters of other claims, with the time by this reader's clock at which each was first seen.
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
}

#[derive(Debug)]
struct Seen {
    counter: Option<String>,
    since: Duration,
    has_beaten: bool,
}

impl<D: Disk + Clone> Claims<D> {
    pub(crate) fn new(disk: D, settings: ClaimSettings) -> Self {
        let owner = Owner {
            host: sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned()),
            process: std::process::id(),
            started_at: crate::now(),
            node: settings.node.clone(),
            job: settings.job.clone(),
        };
        Self { disk, settings, owner, seen: Mutex::default() }
    }

    pub(crate) fn settings(&self) -> &ClaimSettings {
        &self.settings
    }

    /// Claims a cell for the round after `round`, unless another process has it.
    pub(crate) fn take(&self, cell: &Path, round: u64) -> Result<Taken<D>, ClaimError> {
        let last = self.last(cell)?;
        let number = last + 1;
        if last > 0 {
            match self.life(cell, last, round)? {
                Life::Ended => {}
                life => return Ok(Taken::Other(life)),
            }
        }
        let folder = claim_folder(cell, number);
        if !self.disk.make(&folder)? {
            // Another process was faster, or this reader's view of the folder is stale.
            return Ok(Taken::Other(Life::Unknown));
        }
        // Before other processes of this node can read that the owner is on their node.
        let lock = self.disk.lock(&folder)?;
        self.disk.write(&folder.join(OWNER), &checked_json::encode(&self.owner))?;
        let beat = self.disk.beat(&folder.join(COUNTER), self.settings.beat)?;
        let (cell, disk) = (cell.to_owned(), self.disk.clone());
        Ok(Taken::Mine(Claim { disk, cell, folder, number, round, beat: Some(beat), lock }))
    }

    /// The number of the newest claim; 0 if there is none.
    pub(crate) fn last(&self, cell: &Path) -> Result<u64, ClaimError> {
        Ok(highest(&self.disk.names(cell)?, CLAIM))
    }

    /// The last published round; 0 if there is none.
    pub(crate) fn round(&self, cell: &Path) -> Result<u64, ClaimError> {
        Ok(highest(&self.disk.names(cell)?, DONE))
    }

    /// Owner of a claim, if readable.
    pub(crate) fn owner(&self, cell: &Path, number: u64) -> Result<Option<Owner>, ClaimError> {
        let path = claim_folder(cell, number).join(OWNER);
        let text = self.disk.read(&path)?;
        Ok(text.and_then(|text| checked_json::decode(&text).ok()))
    }

    /// Whether a claim was returned, or has published the round.
    pub(crate) fn is_over(&self, cell: &Path, number: u64, round: u64) -> Result<bool, ClaimError> {
        Ok(self.disk.read(&claim_folder(cell, number).join(ENDED))?.is_some()
            || publisher(&self.disk, cell, round)? == Some(number))
    }

    pub(crate) fn life(&self, cell: &Path, number: u64, round: u64) -> Result<Life, ClaimError> {
        if self.is_over(cell, number, round)? {
            return Ok(Life::Ended);
        }
        let folder = claim_folder(cell, number);
        let owner = self.owner(cell, number)?;
        let is_here = owner.is_some_and(|owner| owner.node == self.settings.node);
        if is_here && !self.disk.is_locked(&folder)? {
            return Ok(Life::Ended);
        }
        let counter = self.disk.read(&folder.join(COUNTER))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.disk.now();
        let first = Seen { counter: counter.clone(), since: now, has_beaten: false };
        let seen = seen.entry(folder).or_insert(first);
        if seen.counter != counter {
            *seen = Seen { counter, since: now, has_beaten: true };
        }
        Ok(match now.saturating_sub(seen.since) {
            unchanged if unchanged >= self.settings.stale => Life::Ended,
            _ if is_here || seen.has_beaten => Life::Alive,
            _ => Life::Unknown,
        })
    }
}

/// A cell that this process works on. If dropped, the process is considered dead.
#[derive(Debug)]
pub(crate) struct Claim<D: Disk> {
    disk: D,
    cell: PathBuf,
    folder: PathBuf,
    number: u64,
    /// The last published round when the claim was made.
    round: u64,
    /// Runs until the claim is ended.
    beat: Option<D::Beat>,
    lock: D::Lock,
}

impl<D: Disk + Clone> Claim<D> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn cell(&self) -> &Path {
        &self.cell
    }

    /// Checks that no other process has taken over.
    pub(crate) fn check(&self) -> Result<(), ClaimError> {
        let names = self.disk.names(&self.cell)?;
        let superseded = |by: String| ClaimError::Superseded { cell: self.cell.clone(), by };
        match (highest(&names, CLAIM), highest(&names, DONE)) {
            (claim, _) if claim > self.number => Err(superseded(format!("{CLAIM}{claim}"))),
            (_, round) if round > self.round => Err(superseded(format!("{DONE}{round}"))),
            _ => Ok(()),
        }
    }

    /// Publishes a file, and ends the claim.
    pub(crate) fn publish(self, name: &str, text: &str) -> Result<(), ClaimError> {
        self.check()?;
        let prepared = self.folder.join(PREPARED);
        self.disk.make(&prepared)?;
        self.disk.write_synced(&prepared.join(name), text)?;
        self.disk.write_synced(&prepared.join(BY), &self.number.to_string())?;
        let round = self.round + 1;
        let done = done_folder(&self.cell, round);
        let renamed = self.disk.rename(&prepared, &done);
        // A network file system may have renamed the folder but lost the reply.
        if !matches!(renamed, Ok(true))
            && publisher(&self.disk, &self.cell, round)? != Some(self.number)
        {
            renamed?;
            let by = format!("{DONE}{round}");
            return Err(ClaimError::Superseded { cell: self.cell, by });
        }
        self.give_back()
    }

    #[cfg(test)]
    pub(crate) fn stop_beating(&mut self) {
        self.beat = None;
    }

    /// Ends the claim.
    pub(crate) fn give_back(self) -> Result<(), ClaimError> {
        drop(self.beat);
        self.disk.write(&self.folder.join(ENDED), "")?;
        drop(self.lock);
        Ok(())
    }
}

pub(crate) fn claim_folder(cell: &Path, number: u64) -> PathBuf {
    cell.join(format!("{CLAIM}{number}"))
}

pub(crate) fn done_folder(cell: &Path, round: u64) -> PathBuf {
    cell.join(format!("{DONE}{round}"))
}

/// The claim that has published a round.
fn publisher(disk: &impl Disk, cell: &Path, round: u64) -> Result<Option<u64>, ClaimError> {
    let text = disk.read(&done_folder(cell, round).join(BY))?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

/// The highest number after a prefix; 0 if there is none.
fn highest(names: &[String], prefix: &str) -> u64 {
    // Only as this program writes numbers: `007` would be taken for another folder.
    let number = |name: &String| {
        let text = name.strip_prefix(prefix)?;
        text.parse().ok().filter(|number: &u64| *number < MAX_NUMBER && number.to_string() == text)
    };
    names.iter().filter_map(number).max().unwrap_or(0)
}
