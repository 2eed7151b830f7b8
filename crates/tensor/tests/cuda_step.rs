//! Counts GPU calls of a training step, so that they cannot grow unnoticed.

#![cfg(feature = "cuda-check")]

// A separate process, as the emulated GPU counts for the whole process.
#[path = "it/common.rs"]
mod common;

use batchlab_core::model::{Loss, Mode, Slot, Trainer};
use batchlab_tensor::emulation::counts;
use batchlab_tensor::open;
use common::{Operation, Probe, collated, context, needs};

#[test]
fn a_step_waits_for_its_loss_and_copies_once() {
    let ctx =
        batchlab_core::model::ModelContext { device: "cuda:0".into(), ..context(Loss::Mse, 1) };
    let probe = Operation::Everything;
    let mut trainer = open(&ctx, needs(), |p| Probe::new(probe, 1, p)).expect("a GPU");
    let buffer = collated();
    let mut before = counts();
    for step in 0..4 {
        let slot = [Slot::A, Slot::B][step % 2];
        let start = counts();
        trainer.upload(slot, &buffer.batch()).expect("a complete batch");
        let uploaded = counts();
        trainer.forward(slot, Mode::Training, 0).expect("forward");
        trainer.backward(1.0).expect("backward");
        trainer.update(1e-2).expect("update");
        let end = counts();
        println!("upload {:#?}\nstep {:#?}", uploaded - start, end - uploaded);
        before = start;
    }
    let peak = |trainer: &mut dyn Trainer| {
        trainer.take_peak_device_bytes().expect("a number").expect("memory of its own")
    };
    let step = counts() - before;
    let (while_training, since_then) = (peak(&mut *trainer), peak(&mut *trainer));
    let resident = 3 * size_of::<f32>() * trainer.n_parameter();
    assert!(since_then >= resident as u64, "parameters and moments stay, {since_then} bytes");
    // In a network as small as this, the persistent gradients may account for the whole peak.
    assert!(while_training >= since_then, "{while_training} bytes, and {since_then} at rest");
    trainer.forward(Slot::A, Mode::Training, 0).expect("forward");
    let with_tape = peak(&mut *trainer);
    assert!(with_tape > since_then, "{with_tape} bytes, and {since_then} at rest");
    assert_eq!(step.synchronisations, 0, "{step:#?}");
    // For the copy of the batch before, and for the loss.
    assert_eq!(step.event_synchronisations, 2, "{step:#?}");
    assert_eq!(step.copies_to_host, 1, "{step:#?}");
    assert_eq!(step.empty_allocations, 0, "{step:#?}");
}
