//! The guard over the program's own files: a few cases of each kind in every test run, and by hand all of
//! them, or as many as one likes.
//!
//! * `change`: a process is killed at any of its calls that change the disk;
//! * `flips`: one bit of any file is another one;
//! * `places`: something else lies in the place of a file: a pipe, a device, a link, a folder;
//! * `strangers`: results that this program has not written.

pub(crate) mod change;
mod flips;
mod places;
mod strangers;
