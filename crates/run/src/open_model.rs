//! Opens a model that fits into memory.

use batchlab_config::LoadedConfig;
use batchlab_core::model::ModelSize;
use batchlab_core::{Graphs, Trainer};

use crate::active_run::model_context;
use crate::{RunError, memory};

/// The model of a configuration, opened, and how large it is.
///
/// # Errors
/// A model that does not fit into memory, which is said before anything of it is made; one that cannot be
/// opened.
pub(crate) fn open_model(
    loaded: &LoadedConfig,
    graphs: &Graphs,
) -> Result<(Box<dyn Trainer>, ModelSize), RunError> {
    let ctx = model_context(loaded, graphs)?;
    let model = &loaded.config.model;
    let size = model.size(&ctx).unwrap_or_default();
    let limit = memory::limit()?;
    if size.n_byte() > limit.into() {
        let gibibytes = |bytes: u128| bytes as f64 / f64::from(1 << 30);
        return Err(RunError::config(format!(
            "the model \"{}\" has {} parameters, which take {} bytes ({:.1} GiB) with gradients and moments, \
             and {:.1} GiB may be used; choose smaller widths or fewer layers, or set {}, for example to {}",
            model.typetag_name(),
            size.n_parameter,
            size.n_byte(),
            gibibytes(size.n_byte()),
            gibibytes(limit.into()),
            memory::VARIABLE,
            memory::enough(size.n_byte()),
        )));
    }
    Ok((model.open(&ctx)?, size))
}
