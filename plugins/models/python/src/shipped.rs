//! The bundled files.

use std::path::Path;

/// Turns an engine's file into a process that answers requests.
pub(crate) const WORKER: (&str, &str) =
    ("batchlab_worker.py", include_str!("../worker/batchlab_worker.py"));

const ENGINES: &[(&str, &str)] = &[
    ("numpy_toy.py", include_str!("../engines/numpy_toy.py")),
    ("schnet_jax.py", include_str!("../engines/schnet_jax.py")),
    ("schnet_pyg.py", include_str!("../engines/schnet_pyg.py")),
    ("mace_torch.py", include_str!("../engines/mace_torch.py")),
];

/// The text of a bundled engine.
pub(crate) fn engine(path: &Path) -> Option<&'static str> {
    ENGINES.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| *text)
}

/// Their names, for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = ENGINES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
