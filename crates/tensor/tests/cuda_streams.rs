//! Batches arrive on a separate stream: whatever order of work the GPU chooses within the
//! constraints of events, results are those of a program that waits after every call.

#![cfg(feature = "cuda-check")]

// A separate process, as the execution order of the emulated GPU is set for the whole process.
#[path = "it/common.rs"]
mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use batchlab_core::model::{Loss, Mode, ModelContext, Slot, StepOptions};
use batchlab_core::plan::Shape;
use batchlab_core::{BatchBuffer, ModelError, Trainer};
use batchlab_tensor::dfdx::tensor::Cuda;
use batchlab_tensor::emulation::{Streams, counts, set_streams};
use batchlab_tensor::{Activation, Dense, DeviceMemory, open};
use common::{Operation, PADDING, Probe, batch_of, collated, collated_of, context, graphs, needs};

const ALL: [Streams; 4] = [Streams::Eager, Streams::Lazy, Streams::OthersFirst, Streams::Random];

/// The setting is process-wide, so tests take turns.
fn order(streams: Streams) -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_streams(streams);
    guard
}

fn gpu() -> Cuda {
    let device: Result<batchlab_tensor::device::Device, _> = "cuda:0".parse();
    device.expect("the emulated GPU is there");
    Cuda::try_build(0, 0).expect("dfdx opens it too")
}

type Arena = <Cuda as DeviceMemory>::Arena;

fn upload(gpu: &Cuda, arena: &mut Arena, value: u8, n: usize) -> Dense<Cuda> {
    gpu.begin_upload(arena, n).expect("room");
    let matrix = gpu.put_matrix(arena, None, &vec![f32::from(value); n], [n, 1]).expect("room");
    gpu.finish_upload(arena).expect("the device works");
    matrix
}

#[test]
fn an_arena_can_be_filled_again_at_once() {
    let gpu = gpu();
    for streams in ALL {
        let _turn = order(streams);
        let mut arena = Arena::default();
        let mut matrices = Vec::new();
        for value in 1..7 {
            // The fifth needs its own arena, while the fourth is still being copied.
            let n = if value < 5 { 200 } else { 2000 };
            matrices.push((upload(&gpu, &mut arena, value, n), [f32::from(value)].repeat(n)));
            gpu.begin_use(&arena).expect("the device works");
            if value % 2 == 0 {
                gpu.end_use(&arena).expect("the device works");
            }
        }
        for (matrix, expected) in matrices {
            assert!(matrix.as_vec() == expected, "{streams:?}: {} is not there", expected[0]);
        }
    }
}

#[test]
fn what_was_never_used_does_not_arrive_in_what_comes_after() {
    let gpu = gpu();
    for streams in ALL {
        let _turn = order(streams);
        let mut arena = Arena::default();
        let unused = upload(&gpu, &mut arena, 1, 300);
        let used = upload(&gpu, &mut arena, 2, 200);
        gpu.begin_use(&arena).expect("the device works");
        assert_eq!(used.as_vec(), [2.0; 200], "{streams:?}");
        assert_eq!(unused.as_vec(), [0.0; 300], "{streams:?}");
    }
}

/// The emulated GPU ends the program if memory is freed before the copy to or from it.
#[test]
fn an_arena_can_be_dropped_at_any_time() {
    let gpu = gpu();
    for streams in ALL {
        let _turn = order(streams);
        for n_call in 0..5 {
            let mut arena = Arena::default();
            if n_call > 0 {
                gpu.begin_upload(&mut arena, 100).expect("room");
            }
            if n_call > 1 {
                gpu.put_matrix(&mut arena, None, &[1.0; 100], [100, 1]).expect("room");
            }
            if n_call > 2 {
                gpu.finish_upload(&mut arena).expect("the device works");
            }
            if n_call > 3 {
                gpu.begin_use(&arena).expect("the device works");
            }
        }
        DeviceMemory::wait(&gpu).expect("the device works");
    }
}

#[test]
fn more_than_was_asked_for_is_refused_and_the_arena_lives_on() {
    let gpu = gpu();
    let _turn = order(Streams::Lazy);
    let mut arena = Arena::default();
    gpu.begin_upload(&mut arena, 100).expect("room");
    gpu.put_matrix(&mut arena, None, &[1.0; 200], [200, 1]).expect_err("too much");
    let matrix = upload(&gpu, &mut arena, 3, 200);
    gpu.begin_use(&arena).expect("the device works");
    assert_eq!(matrix.as_vec(), [3.0; 200]);
}

/// A batch of some graphs, with its own distances.
struct Batch {
    buffer: BatchBuffer,
    distance: Vec<f32>,
}

impl Batch {
    fn new(members: &[u32], factor: f32) -> Self {
        Self::of(collated_of(members, PADDING), factor)
    }

    /// Four graphs and `n_padding` nodes and edges of padding, 120 in all: the longest segment is the
    /// padding, which the shape does not tell.
    fn padded_by(n_padding: u32) -> Self {
        let n_real = 120 - n_padding;
        let size: Vec<u32> = (0..4).map(|graph| (n_real + graph) / 4).collect();
        let along: Vec<u32> = size.iter().flat_map(|&n| 0..n).collect();
        let back: Vec<u32> = size.iter().flat_map(|&n| (0..n).rev()).collect();
        let n = n_real as usize;
        let distance: Vec<f32> = (0..n_real).map(|edge| 0.02 * edge as f32 + 0.5).collect();
        let displacement = vec![[0.3, -0.2, 0.1]; n];
        let class = along.iter().map(|node| node % 3).collect();
        let target = vec![0.0, 3.0, 1.0, 2.0];
        let ends = [&along[..], &back];
        let graphs = graphs(&size, &size, ends, &distance, &displacement, class, target);
        let padding = Shape { n_node: n_padding, n_edge: n_padding, n_graph: 1, n_output: 1 };
        Self::of(batch_of(&graphs, &[0, 1, 2, 3], vec![1.0; 4], padding), 1.0)
    }

    fn of(buffer: BatchBuffer, factor: f32) -> Self {
        let distance = buffer.batch().distance.iter().map(|d| factor * d).collect();
        Self { buffer, distance }
    }
}

/// A trainer and all its results. With `waits` it synchronises after every call, and delays batches
/// until the tape is consumed, so that nothing overlaps.
struct Diary<'a> {
    trainer: Box<dyn Trainer>,
    waits: bool,
    later: Option<(Slot, &'a Batch)>,
    said: Vec<u64>,
    /// Number of recorded steps.
    n_recorded: u64,
}

impl<'a> Diary<'a> {
    fn open(waits: bool) -> Self {
        Self::of(Operation::Everything, waits, false)
    }

    fn of(operation: Operation, waits: bool, cuda_graphs: bool) -> Self {
        let ctx = ModelContext { device: "cuda:0".into(), cuda_graphs, ..context(Loss::Mse, 1) };
        let probe = |p: &mut _| Probe::new(operation, 1, p);
        let trainer = open(&ctx, needs(), probe).expect("the emulated GPU");
        Self { trainer, waits, later: None, said: Vec::new(), n_recorded: 0 }
    }

    fn wait(&mut self) {
        if self.waits {
            self.trainer.synchronise().expect("the device works");
        }
    }

    fn upload(&mut self, slot: Slot, batch: &Batch) {
        let mut view = batch.buffer.batch();
        view.distance = &batch.distance;
        self.trainer.upload(slot, &view).expect("a complete batch");
        self.wait();
    }

    /// Between forward and backward.
    fn upload_early(&mut self, slot: Slot, batch: &'a Batch) {
        if self.waits {
            self.later = Some((slot, batch));
        } else {
            self.upload(slot, batch);
        }
    }

    fn forward(&mut self, slot: Slot) {
        let loss = self.trainer.forward(slot, Mode::Training, 0).expect("forward");
        self.said.push(loss.loss_sum.to_bits());
        self.n_recorded += u64::from(self.trainer.take_recording_ns().is_some());
        self.wait();
    }

    fn backward(&mut self) {
        self.trainer.backward(1.0).expect("backward");
        self.wait();
        if let Some((slot, batch)) = self.later.take() {
            self.upload(slot, batch);
        }
    }

    fn update(&mut self) {
        self.trainer.update(1e-2).expect("update");
        self.wait();
    }

    /// Forward, backward and update in one call.
    fn step(&mut self, slot: Slot, scale: f64) {
        let options = StepOptions { learning_rate: 1e-2, key: 0, scale: &|_| scale };
        let loss = self.trainer.step(slot, &options).expect("a step");
        self.said.push(loss.loss_sum.to_bits());
        self.n_recorded += u64::from(self.trainer.take_recording_ns().is_some());
    }

    fn predict(&mut self, slot: Slot) {
        let mut prediction = Vec::new();
        self.trainer.predict(slot, &mut prediction).expect("predict");
        self.said.extend(prediction.iter().map(|value| u64::from(value.to_bits())));
        self.wait();
    }

    fn state(mut self) -> Vec<u64> {
        let state = self.trainer.state().expect("the device works");
        let values = state.tensors.iter().flat_map(|tensor| &tensor.data);
        self.said.extend(values.map(|value| u64::from(value.to_bits())));
        self.said
    }
}

/// Training with uploads at every moment, evaluation in between, rejected batches, and batches that
/// are replaced during or before their use.
fn training(waits: bool) -> Vec<u64> {
    use Slot::{A, B};
    // Of the same size, but with other indices.
    let [one, two] = [(&[0, 2], 1.0), (&[2, 0], 0.7)].map(|(of, factor)| Batch::new(of, factor));
    let larger = Batch::new(&[0, 1, 2], 0.8);
    let mut diary = Diary::open(waits);
    // The next batch arrives while the gradients of this one are being computed.
    for (slot, next, batch) in [(A, B, &two), (B, A, &one), (A, B, &two)] {
        if diary.said.is_empty() {
            diary.upload(slot, &one);
        }
        diary.forward(slot);
        diary.backward();
        diary.upload(next, batch);
        diary.update();
    }
    // Into the same slot, alone and after a larger batch.
    for batch in [&one, &larger, &two] {
        diary.forward(B);
        diary.backward();
        diary.upload(B, batch);
        diary.update();
    }
    // Between forward and backward: the tape keeps the previous batch alive.
    diary.forward(B);
    diary.upload_early(B, &one);
    diary.backward();
    diary.update();
    // Evaluation between forward and backward, then a batch that replaces the one just used.
    diary.forward(B);
    diary.upload(A, &larger);
    diary.predict(A);
    diary.backward();
    diary.upload(B, &two);
    diary.update();
    // A batch that is never used, and one that is rejected.
    diary.upload(A, &one);
    diary.upload(A, &two);
    let refused = collated();
    let mut view = refused.batch();
    view.displacement = &[];
    diary.forward(B);
    diary.backward();
    diary.trainer.upload(B, &view).expect_err("the model needs displacements");
    diary.trainer.forward(B, Mode::Training, 0).expect_err("there is no batch");
    diary.forward(A);
    diary.backward();
    diary.update();
    diary.upload(B, &larger);
    diary.state()
}

#[test]
fn training_is_the_same_whenever_the_gpu_does_its_work() {
    let expected = {
        let _turn = order(Streams::Eager);
        training(true)
    };
    assert!(expected.len() > 100);
    for streams in ALL {
        let _turn = order(streams);
        assert!(training(false) == expected, "{streams:?}");
    }
}

/// Deferred work remains when the trainer is dropped.
#[test]
fn a_trainer_can_be_dropped_in_the_middle_of_a_step() {
    let [one, two] = [1.0, 0.7].map(|factor| Batch::new(&[0, 2], factor));
    for streams in ALL {
        let _turn = order(streams);
        for n_call in 0..5 {
            let mut diary = Diary::open(false);
            diary.upload(Slot::A, &one);
            if n_call > 0 {
                diary.forward(Slot::A);
            }
            if n_call > 1 {
                diary.upload(Slot::A, &two);
            }
            if n_call > 2 {
                diary.backward();
            }
            if n_call > 3 {
                diary.update();
            }
        }
        DeviceMemory::wait(&gpu()).expect("the device works");
    }
}

/// Steps on batches of two layouts, and everything that may come between two of them. With
/// `cuda_graphs`, most of them are called as a whole. Also returns how many kernels and recordings were launched in the last steps, and how many steps were
/// recorded before.
fn steps(operation: Operation, cuda_graphs: bool) -> (Vec<u64>, [u64; 3]) {
    use Slot::{A, B};
    let [one, two] = [(&[0, 2], 1.0), (&[2, 0], 0.7)].map(|(of, factor)| Batch::new(of, factor));
    let larger = Batch::new(&[0, 1, 2], 0.8);
    let mut diary = Diary::of(operation, false, cuda_graphs);
    let step = |diary: &mut Diary<'_>, slot, batch, scale| {
        diary.upload(slot, batch);
        if cuda_graphs {
            return diary.step(slot, scale);
        }
        diary.forward(slot);
        diary.trainer.backward(scale).expect("backward");
        diary.update();
    };
    let pairs = |diary: &mut Diary<'_>| {
        for (scale, a, b) in [(1.0, &one, &two), (0.5, &two, &two), (2.0, &two, &one)] {
            step(diary, A, a, scale);
            step(diary, B, b, scale);
        }
    };
    pairs(&mut diary);
    diary.predict(B);
    step(&mut diary, A, &larger, 1.0);
    step(&mut diary, A, &one, 1.0);
    pairs(&mut diary);
    // Another batch arrives in the slot while the gradients of this one are yet to be computed.
    diary.forward(A);
    diary.upload(A, &two);
    diary.backward();
    diary.update();
    // Accumulates gradients of two batches; the second may have been recorded.
    diary.forward(A);
    diary.backward();
    diary.forward(B);
    diary.backward();
    diary.update();
    // A forward pass without backward, and one with evaluation before its gradients.
    diary.forward(B);
    diary.forward(B);
    diary.predict(A);
    diary.backward();
    diary.update();
    // Parameters at other addresses.
    let state = diary.trainer.state().expect("the device works");
    diary.trainer.restore(&state).expect("its own state");
    pairs(&mut diary);
    pairs(&mut diary);
    let (before, n_recorded) = (counts(), diary.n_recorded);
    step(&mut diary, A, &one, 1.0);
    step(&mut diary, B, &one, 1.0);
    let after = counts() - before;
    assert_eq!(diary.n_recorded, n_recorded, "the last steps were recorded long before");
    (diary.state(), [after.launches, after.graph_launches, n_recorded])
}

#[test]
fn recorded_steps_give_the_same_bits() {
    let operations = [
        Operation::SegmentMean,
        Operation::PropagateMean,
        Operation::Attend,
        Operation::Normalise(Activation::Elu),
        Operation::EquivariantMessage,
        Operation::EquivariantUpdateOfVectors,
        Operation::Linear(Activation::ShiftedSoftplus),
    ];
    for operation in operations {
        let expected = {
            let _turn = order(Streams::Eager);
            steps(operation, false)
        };
        assert_eq!(expected.1[1..], [0, 0], "nothing is recorded without being asked for");
        for streams in ALL {
            let _turn = order(streams);
            let (said, [launches, recordings, n_recorded]) = steps(operation, true);
            let different = said.iter().zip(&expected.0).position(|(a, b)| a != b);
            assert_eq!(
                different, None,
                "{operation:?}, {streams:?}: the first number that differs"
            );
            assert_eq!(
                recordings, 4,
                "{operation:?}, {streams:?}: forward and backward of two steps"
            );
            assert_eq!(launches, 2, "{operation:?}, {streams:?}: Adam alone");
            assert!(
                n_recorded >= 2,
                "{operation:?}, {streams:?}: {n_recorded} steps were recorded"
            );
        }
    }
}

/// A step recorded for a batch is repeated for others of its shape, whose segments end elsewhere.
/// Sums are computed differently from 33 items on.
#[test]
fn recorded_steps_serve_segments_of_all_lengths() {
    let train = |operation, n_padding: &[u32], cuda_graphs| {
        let batches: Vec<Batch> = n_padding.iter().map(|&n| Batch::padded_by(n)).collect();
        let mut diary = Diary::of(operation, false, cuda_graphs);
        for batch in &batches {
            diary.upload(Slot::A, batch);
            diary.forward(Slot::A);
            diary.backward();
            diary.update();
        }
        let n_recorded = diary.n_recorded;
        (diary.state(), n_recorded)
    };
    let _turn = order(Streams::Random);
    for operation in [
        Operation::SegmentMean,
        Operation::PropagateSum,
        Operation::Attend,
        Operation::Everything,
        Operation::EquivariantMessage,
    ] {
        for [first, others @ ..] in [[31, 33, 65, 32], [65, 32, 33, 31], [1, 112, 40, 1]] {
            let n_padding = [vec![first; 4], others.to_vec()].concat();
            let (expected, _) = train(operation, &n_padding, false);
            let (said, n_recorded) = train(operation, &n_padding, true);
            assert_eq!(n_recorded, 1, "{operation:?}: the others repeat the fourth step");
            let different = said.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(different, None, "{operation:?}, {n_padding:?}: the first number");
        }
    }
}

/// Batches of three sizes take turns, as with padded shapes.
#[test]
fn each_shape_is_recorded_once() {
    let _turn = order(Streams::Random);
    let batches = [&[0][..], &[2], &[0, 2]].map(|members| Batch::new(members, 1.0));
    let mut diary = Diary::of(Operation::Everything, false, true);
    for step in 0..30 {
        diary.upload(Slot::A, &batches[step % 3]);
        diary.forward(Slot::A);
        diary.backward();
        diary.update();
    }
    assert_eq!(diary.n_recorded, 3);
}

/// Each repeat is compared with a new recording (`check_recording` of the trainer).
#[test]
fn a_recording_that_is_not_the_same_is_told_from_the_first() {
    let _turn = order(Streams::Eager);
    let gpu = gpu();
    let mut memory = <Cuda as DeviceMemory>::RecordingMemory::default();
    // A kernel fills the zeros of each.
    let mut recorded = |lengths: &[usize]| {
        let mut zeros = || {
            for &n in lengths {
                gpu.zeros_buffer(n).map_err(|error| ModelError::Engine(error.to_string()))?;
            }
            Ok(())
        };
        gpu.record(&mut memory, &mut zeros).expect("a recording")
    };
    let [one, same, larger, more] = [&[10][..], &[10], &[300], &[10, 10]].map(&mut recorded);
    assert_eq!(Cuda::difference(&one, &same), None);
    let kernel =
        |x| format!("kernel fill in {x} x 1 x 1 blocks of 256 x 1 x 1 threads with 0 bytes");
    let said = Cuda::difference(&one, &larger).expect("another number of blocks");
    let expected = format!("number 1 was {} of shared memory, and is {}", kernel(1), kernel(2));
    assert!(said.starts_with(&expected), "{said}");
    let said = Cuda::difference(&one, &more).expect("another number of launches");
    assert_eq!(said, "there were 1 launches, and are 2");
    // The same kernel on other numbers: 10 or 11 in one block.
    let other = recorded(&[11]);
    let said = Cuda::difference(&one, &other).expect("other arguments");
    assert!(said.contains(" of its arguments, and now "), "{said}");
}

#[test]
fn what_cannot_be_repeated_is_not_recorded() {
    // Dropout draws different numbers in every step; maxima are computed from numbers of the host.
    for operation in [Operation::Dropout, Operation::SegmentMax] {
        let _turn = order(Streams::Random);
        let expected = steps(operation, false).0;
        let (said, [_, recordings, _]) = steps(operation, true);
        assert!(said == expected, "{operation:?}");
        assert_eq!(recordings, 0, "{operation:?}");
    }
}
