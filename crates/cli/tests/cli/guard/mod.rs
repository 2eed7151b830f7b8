//! Guards the program's own files: each test run tries a few cases of each kind; more, or all of
//! them, can be requested by hand.
//!
//! * `change`: a process is killed at any of its calls that change the disk;
//! * `flips`: one bit of any file is flipped;
//! * `places`: a file is replaced by a pipe, a device, a link or a directory;
//! * `strangers`: results not written by this program.

pub(crate) mod change;
mod flips;
mod places;
mod strangers;
