//! Information to reproduce a non-finite loss.

use std::path::Path;

use batchlab_config::LoadedConfig;
use batchlab_core::quote::shell_word;
use batchlab_core::{BatchPlan, Cursor, Graphs};
use serde_json::{Value, json};

use super::folders::CONFIG;

/// Maximum number of members named in a message; the event names all of them.
const MAX_NAMED: usize = 8;

/// The run's configuration. Its seeds determine the order of the graphs, the initial parameters and
/// every batch, so that the same step gives the same loss.
pub(crate) struct Replay {
    pub(crate) config: Value,
    pub(crate) config_hash: String,
    /// The resolved configuration, published at the beginning of the run.
    pub(crate) path: String,
}

impl Replay {
    pub(crate) fn new(loaded: &LoadedConfig, out: &Path, run_id: &str) -> Self {
        let path = out.join("runs").join(run_id).join(CONFIG);
        // An absolute path, so that the command works from any folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        Self {
            config: serde_json::from_str(&loaded.to_json()).unwrap_or_default(),
            config_hash: loaded.hash(),
            path: path.display().to_string(),
        }
    }

    /// The command that repeats the run up to a step.
    pub(crate) fn command(&self, step: u64) -> String {
        let path = shell_word(&self.path);
        // With a length in epochs, the run reaches that step and stops there without further
        // options.
        if self.config["training"]["epochs"].is_null() {
            format!("batchlab run {path} training.steps={step}")
        } else {
            format!("batchlab run {path}")
        }
    }

    /// Details of a step with a non-finite loss. `before` is the cursor after the previous batch: a
    /// stream that seeks to it delivers this batch next.
    pub(crate) fn of_step(
        &self,
        step: u64,
        learning_rate: f64,
        plan: &BatchPlan,
        before: &Cursor,
        graphs: &Graphs,
    ) -> Value {
        json!({
            "step": step,
            "members": plan.members,
            "names": names(graphs, &plan.members),
            "learning_rate": learning_rate,
            "cursor_before": before,
            "cursor": plan.cursor,
            "replay": self.reproduction(step),
        })
    }

    /// Details of an evaluation with non-finite outputs.
    pub(crate) fn of_evaluation(&self, step: u64, members: &[u32], graphs: &Graphs) -> Value {
        json!({
            "step": step,
            "members": members,
            "names": names(graphs, members),
            "replay": self.reproduction(step.max(1)),
        })
    }

    fn reproduction(&self, step: u64) -> Value {
        json!({
            "command": self.command(step),
            "config_hash": self.config_hash,
            "seeds": self.config["training"]["seeds"],
            "config": self.config,
        })
    }
}

/// The members' names in the source, if they have any.
fn names<'a>(graphs: &'a Graphs, members: &[u32]) -> Option<Vec<&'a String>> {
    members.iter().map(|&member| graphs.name.get(member as usize)).collect()
}

/// For example `graphs 4, 17, 23`: at most [`MAX_NAMED`], by their names in the source.
pub(crate) fn name_members(graphs: &Graphs, members: &[u32]) -> String {
    let (what, plural) = (graphs.level().output(), if members.len() == 1 { "" } else { "s" });
    let named = members.iter().take(MAX_NAMED).map(|&member| graphs.name_of(member));
    let named: Vec<_> = named.collect();
    let rest = match members.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{what}{plural} {}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use batchlab_core::graphs::{Edges, ManyGraphs, Topology};

    use super::*;

    #[test]
    fn members_are_named_as_their_source_calls_them() {
        let many = ManyGraphs::new(&[1; 12], Edges::FullyConnected).unwrap();
        let mut graphs = Graphs::new("twelve", Topology::Many(many)).unwrap();
        assert_eq!(name_members(&graphs, &[7]), "graph 7");
        graphs.name = (0..12).map(|n| format!("gdb_{n}")).collect();
        assert_eq!(name_members(&graphs, &[3, 0]), "graphs gdb_3, gdb_0");
        assert_eq!(
            name_members(&graphs, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            "graphs gdb_0, gdb_1, gdb_2, gdb_3, gdb_4, gdb_5, gdb_6, gdb_7 and 4 more"
        );
        assert_eq!(names(&graphs, &[3, 0]), Some(vec![&graphs.name[3], &graphs.name[0]]));
    }
}
