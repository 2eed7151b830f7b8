//! From results to tables, figures and one page.

pub mod import;
