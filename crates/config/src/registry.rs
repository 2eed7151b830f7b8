//! The components that this program has.

use batchlab_core::registry::conflicts;

use crate::Diagnostic;

/// Refuses two components with one name: which one is used would depend on the linker.
pub(crate) fn refuse_conflicts() -> Result<(), Diagnostic> {
    conflicts().into_iter().next().map_or(Ok(()), |conflict| Err(Diagnostic::new(conflict)))
}
