//! Reads molecules and crystals from files.
//!
//! [`read`] goes through a file, a directory or an archive and passes on one [`Entry`] after the
//! other: a [`Structure`], if the file has one, and its properties. Formats are detected by
//! content: AFLOW's entries and responses, tables (CSV) with AFLOW's columns or with CIF text,
//! POSCAR and CONTCAR of VASP, extended and plain XYZ and QM9's own variant, CIF, and ASE's
//! `SQLite` database. Text may be compressed with xz, gzip or bzip2; archives are tar, compressed
//! or not, and zip.
//!
//! This crate does not know what is learned from a structure: targets, filters and edges belong to
//! the data sets. Archives are streamed, names in them never become paths, and no input makes a
//! reader panic or use memory beyond [`limits`].

pub mod cell;
mod element;
mod ending;
mod error;
mod format;
pub mod limits;
mod lines;
mod names;
mod number;
mod read;
mod source;
mod structure;
mod symmetry;

pub use element::{atomic_number, element_name, symbol};
pub use error::{Problem, ReadError, shown_path};
pub use lines::UnixLines;
pub use names::Names;
pub use number::finite;
pub use read::{Read, read};
pub use source::Source;
pub use structure::{AtomArray, Entry, Numbers, Structure, composition, is_absent, number};
