//! Compiles kernels once and caches them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::kernels::MessageKernels;
use super::sources;
use crate::cuda::device::Gpu;
use crate::cuda::error::Error;
use crate::cuda::module::{MOST_OWN_SHARED, Module};
use crate::message::program::Program;

thread_local! {
    /// Kernels compiled by this thread, by GPU, program, and whether gradients are needed.
    static COMPILED: RefCell<HashMap<(usize, Program, bool), Rc<Compiled>>> = RefCell::default();
}

pub(super) struct Compiled {
    pub(super) kernels: MessageKernels,
    pub(super) module: Arc<Module>,
}

/// The kernels of a program, compiled on demand.
///
/// # Errors
/// If a message is too wide for the GPU, or (a bug) kernels do not compile.
pub(super) fn find(gpu: &'static Gpu, program: Program, keep: bool) -> Result<Rc<Compiled>, Error> {
    let key = (std::ptr::from_ref(gpu).addr(), program, keep);
    if let Some(compiled) = COMPILED.with_borrow(|compiled| compiled.get(&key).cloned()) {
        return Ok(compiled);
    }
    let kernels = MessageKernels::new(
        &key.1,
        keep,
        gpu.shared_limit.saturating_sub(MOST_OWN_SHARED) as usize,
    )?;
    let source = kernels.source();
    sources::write(&source)?;
    let compiled = Rc::new(Compiled { module: gpu.module(&source)?, kernels });
    COMPILED.with_borrow_mut(|all| all.insert(key, Rc::clone(&compiled)));
    Ok(compiled)
}
