//! The sources of the plain kernels. They are compiled together when a device is opened.

/// All plain kernels, in one program.
pub(super) const SOURCE: &str =
    concat!(include_str!("kernels/common.cu"), include_str!("kernels/elementwise.cu"),);
