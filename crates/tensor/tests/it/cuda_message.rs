//! Compares messages on a real or emulated GPU with the same messages on the CPU.
//!
//! `cargo test -p batchlab-tensor --features cuda-check --test it cuda_message::`

#![cfg(feature = "cuda")]

#[cfg(feature = "cuda-check")]
mod barriers;
mod case;
mod compare;
mod models;
mod probe;
mod settings;
mod shapes;
