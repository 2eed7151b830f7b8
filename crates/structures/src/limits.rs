//! Upper bounds on what is read, far above what people have, beside the memory that they are given. Whatever exceeds
//! one is an error that names its place.

/// Atoms of one structure.
pub const MAX_ATOM: usize = 10_000_000;

/// Atoms that symmetry makes of the sites of one structure, of which a short file can state many. The memory is asked
/// for beforehand.
pub const MAX_EXPANDED: usize = 100_000;

/// Bytes of one entry: a line, a row of a table, an object of a reply, a document such as CIF.
pub const MAX_ENTRY: u64 = 64 << 20;

/// Keys of one structure in extended XYZ.
pub const MAX_KEY: usize = 10_000;

/// Folders within folders.
pub const MAX_DEPTH: usize = 32;

/// Memory that a packed file may ask for to be unpacked, in bytes; xz at its highest level needs 65 MB.
pub const MAX_UNPACK_MEMORY: u64 = 1 << 28;

/// What is allocated before a stated number of atoms is confirmed by its lines.
pub(crate) const TRUSTED_ATOM: usize = 1024;
