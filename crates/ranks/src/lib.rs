//! Data-parallel training on several ranks.
//!
//! * [`Assignment`]: which graphs a rank trains on in each step, from sizes alone;
//! * [`Epochs`]: the planned batches of a batcher, epoch by epoch;
//! * [`RankStream`]: the batches of one rank, as a stream like any other;
//! * [`Communicator`]: what the ranks tell each other, once per step; [`threads`]: between threads.
//!
//! Nothing here sends anything over a network: that is done by MPI (`crates/mpi`).

mod assignment;
mod batch;
mod communicator;
mod epochs;
mod lpt;
mod stream;
mod threads;

pub use assignment::{Assignment, Step, UnknownAssignment};
pub use batch::{Batch, Cost, Epoch, size};
pub use communicator::{Communicator, LostRanks};
pub use epochs::{Epochs, PlannedEpoch};
pub use stream::{RankStream, Share};
pub use threads::threads;
