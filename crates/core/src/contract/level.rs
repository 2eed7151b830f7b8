//! Whether batches consist of graphs or of the nodes of one graph.

use std::fmt;

/// Whether something works on whole graphs or on the nodes of one graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// Many graphs; a batch is a set of graphs.
    #[default]
    Graphs,
    /// One graph; a batch is a set of its nodes.
    Nodes,
}

impl Level {
    /// What one output is: "graph" or "node".
    #[must_use]
    pub fn output(self) -> &'static str {
        match self {
            Self::Graphs => "graph",
            Self::Nodes => "node",
        }
    }

    /// The level whose [`Level::output`] is this name; graphs if unknown.
    #[must_use]
    pub fn of_output(output: Option<&str>) -> Self {
        if output == Some(Self::Nodes.output()) { Self::Nodes } else { Self::Graphs }
    }

    /// Plural name of the outputs: "graphs", or "output nodes".
    #[must_use]
    pub fn outputs(self) -> &'static str {
        match self {
            Self::Graphs => "graphs",
            Self::Nodes => "output nodes",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graphs => "many graphs",
            Self::Nodes => "one graph",
        })
    }
}
