//! A GPU that fails: whichever call is the first to fail, the process ends with a sentence that says
//! so, and never with an abort.

#![cfg(feature = "cuda-check")]

// Separate processes, as the emulated GPU fails for the whole process.
#[path = "it/common.rs"]
mod common;

use std::process::{Command, Output};

use batchlab_core::ModelError;
use batchlab_core::model::{Loss, Mode, ModelContext, Slot};
use batchlab_tensor::{device, open};
use common::{Operation, Probe, collated, context, needs};

/// The call to the emulated driver or cuBLAS from which on all fail.
const FIRST_FAILURE: &str = "EMULATED_CUDA_FAIL";
/// Set for the process that trains.
const TRAINS: &str = "BATCHLAB_TEST_TRAINS";
/// Tries every this many calls.
const EVERY: &str = "BATCHLAB_TEST_FAULTS_EVERY";
/// As the program does.
const LOST: i32 = 8;

/// The part of a program: trains three steps, of which the last is a replay, and evaluates.
fn train() -> Result<(), ModelError> {
    let ctx = ModelContext { device: "cuda:0".into(), cuda_graphs: true, ..context(Loss::Mse, 1) };
    let mut trainer = open(&ctx, needs(), |p| Probe::new(Operation::Everything, 1, p))?;
    let buffer = collated();
    for _ in 0..3 {
        trainer.upload(Slot::A, &buffer.batch())?;
        trainer.forward(Slot::A, Mode::Training, 0)?;
        trainer.backward(1.0)?;
        trainer.update(1e-2)?;
    }
    trainer.predict(Slot::A, &mut Vec::new())?;
    trainer.synchronise()?;
    trainer.take_peak_device_bytes()?;
    trainer.state().map(drop)
}

#[test]
#[ignore = "a process of the test below"]
fn a_process_that_trains() {
    if std::env::var_os(TRAINS).is_none() {
        return;
    }
    let end = |message: String| {
        eprintln!("{message}");
        std::process::exit(LOST);
    };
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        device::loss_behind(panic).map_or_else(|| otherwise(panic), end);
    }));
    match train() {
        Ok(()) => std::process::exit(0),
        Err(ModelError::DeviceLost(message) | ModelError::Device { reason: message, .. }) => {
            end(message);
        }
        Err(other) => panic!("{other}"),
    }
}

fn train_with(variable: &str, value: &str) -> Output {
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new(program);
    command.args(["--exact", "a_process_that_trains", "--ignored", "--nocapture"]);
    command.env(variable, value).env(TRAINS, "1");
    command.output().expect("it runs again")
}

#[test]
fn whichever_call_fails_first_there_is_a_sentence() {
    let every = std::env::var(EVERY).map_or(29, |n| n.parse().expect("a number of calls"));
    let (mut call, mut n_failed) = (1, 0);
    loop {
        let ended = train_with(FIRST_FAILURE, &call.to_string());
        let said = String::from_utf8_lossy(&ended.stderr);
        match ended.status.code() {
            Some(0) => break,
            Some(LOST) => assert!(said.contains("CUDA could not"), "call {call}: {said}"),
            _ => panic!("call {call}: {}: {said}", ended.status),
        }
        n_failed += 1;
        call += every;
    }
    assert!(n_failed * every > 300, "only {n_failed} of every {every} calls");
}

#[test]
fn a_driver_that_is_older_than_the_libraries_is_named_before_anything_fails() {
    let ended = train_with("EMULATED_CUDA_DRIVER", "12080");
    let said = String::from_utf8_lossy(&ended.stderr);
    let expected = "driver supports CUDA 12, but the libraries found (NVRTC) are of CUDA 13";
    assert!(ended.status.code() == Some(LOST) && said.contains(expected), "{said}");
}
