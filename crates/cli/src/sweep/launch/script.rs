//! The script of the job array.

use std::path::{Path, PathBuf};

use batchlab_config::Launcher;
use batchlab_core::hash::sha256;
use batchlab_core::quote::shell_word;

use crate::shell::absolute;
use crate::slurm::job::{in_slurms_words, lead};

/// Name of the jobs that train a study on one kind of hardware: other folders have other names.
pub(crate) fn job_name(out: &Path, hardware: &str) -> String {
    let out = PathBuf::from(absolute(out));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain = |text: &str| text.replace(|c| !is_plain(c), "-");
    let study = out.file_name().map(|name| plain(&name.to_string_lossy())).unwrap_or_default();
    let folder = sha256(out.to_string_lossy().as_bytes());
    format!("batchlab-{study}-{}-{}", plain(hardware), &folder[..6])
}

/// Folder of the scripts and logs of a study.
pub(crate) fn folder(out: &Path) -> PathBuf {
    PathBuf::from(absolute(out)).join("slurm")
}

pub(super) struct Script<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) is_exclusive: bool,
    pub(super) name: &'a str,
    pub(super) logs: &'a Path,
    /// What every task does.
    pub(super) worker: &'a [String],
}

impl Script<'_> {
    pub(super) fn text(&self) -> String {
        let options = self.options().join("\n#SBATCH ");
        let worker: Vec<String> = self.worker.iter().map(|word| shell_word(word)).collect();
        format!(
            "#!/bin/sh\n\
             # Written by `batchlab sweep --launcher slurm`: every task trains one cell after the other.\n\
             #SBATCH {options}\n\
             echo \"$(date) task ${{SLURM_ARRAY_TASK_ID:-0}} on ${{SLURMD_NODENAME:-$(hostname)}}, \
             restarted ${{SLURM_RESTART_COUNT:-0}} times\"\n\
             # Slurm signals this process only: the worker takes its place.\n\
             exec {}\n",
            worker.join(" ")
        )
    }

    fn options(&self) -> Vec<String> {
        let Launcher { partition, account, time, gpus, cpus, exclusive, options, .. } =
            self.launcher;
        let time = time.as_ref().map(|time| time.0);
        let mut all = vec![
            format!("--job-name={}", self.name),
            "--nodes=1 --ntasks=1".to_owned(),
            // Not SIGTERM, of which METIS takes over the handler while it partitions a graph.
            format!("--signal=B:USR1@{}", lead(time).as_secs()),
            "--requeue --open-mode=append".to_owned(),
            // %A and %a are the numbers of job and task.
            format!("--output={}/%A_%a.log", quoted(&pattern(&absolute(self.logs)))),
        ];
        if let Ok(folder) = std::env::current_dir() {
            all.push(format!("--chdir={}", quoted(&folder.to_string_lossy())));
        }
        if exclusive.unwrap_or(self.is_exclusive) {
            all.push("--exclusive".to_owned());
        }
        all.extend(
            partition.as_ref().map(|partition| format!("--partition={}", quoted(partition))),
        );
        all.extend(account.as_ref().map(|account| format!("--account={}", quoted(account))));
        all.extend(time.map(|time| format!("--time={}", in_slurms_words(time))));
        all.extend(gpus.map(|gpus| format!("--gpus={gpus}")));
        all.extend(cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
        all.extend(options.iter().map(|option| option.0.clone()));
        all
    }
}

/// As `sbatch` reads the value of an option.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=,@:%".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path in a pattern of file names.
fn pattern(path: &str) -> String {
    path.replace('%', "%%")
}
