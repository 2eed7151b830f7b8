//! Public data from their sources, so that what arrives can be trusted.
//!
//! * [`Client::file`]: one file with a pinned length and SHA-256 from one of several mirrors. It is
//!   written beside its place as `<name>.part`, continued where it broke off, and moved to its place
//!   when it is whole and right.
//! * [`aflux`]: the pages of a query to AFLOW, one after the other at a polite rate.
//! * [`sums`]: `SHA256SUMS` files, which `sha256sum -c` understands too.
//!
//! A server that is busy or breaks off is asked again, after growing pauses or when it says; a page of
//! HTML in the place of data, a wrong length or a wrong hash is never taken for the data.

pub mod aflux;
#[cfg_attr(not(feature = "download"), path = "no_agent.rs")]
mod agent;
mod client;
mod error;
mod file;
mod part;
pub mod sums;

pub use client::{Client, Patience, check_url};
pub use error::FetchError;
pub use file::{Arrived, Remote};
