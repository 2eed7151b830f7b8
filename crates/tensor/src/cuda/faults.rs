//! Kernels with a fault that gives the right result on most GPUs most of the time: the emulated GPU
//! must find it. Each is preceded by a correct one.

use std::process::Command;

use super::module::{Argument, Launch, memory};
use super::recording::{Memory, Recording};
use super::{Kernels, device, open};
use crate::DeviceMemory;

/// Names the test that is to run its fault, in a process that ends with it.
const FAULT: &str = "BATCHLAB_TEST_FAULT";

/// What a process says before its fault.
const CORRECT: &str = "so far all is well";

const SETTINGS: [(&str, &str); 3] = [
    ("EMULATED_CUDA_CHECK", "races"),
    ("EMULATED_CUDA_POOLS", "strict"),
    // The order of threads and blocks does not matter.
    ("EMULATED_CUDA_BLOCKS", "one"),
];

/// Runs the work of a test in a separate process, whose last words must contain all of these.
fn is_found(test: &str, words: &[&str], work: fn()) {
    if std::env::var(FAULT).is_ok_and(|fault| fault == test) {
        return work();
    }
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new(program);
    command.args(["--nocapture", "--exact", &format!("cuda::faults::{test}")]);
    let run = command.envs(SETTINGS).env(FAULT, test).output().expect("it runs again");
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    let missing: Vec<_> = words.iter().filter(|&&word| !text.contains(word)).collect();
    assert!(!run.status.success() && missing.is_empty(), "{missing:?} are missing in: {text}");
    assert!(String::from_utf8_lossy(&run.stdout).contains(CORRECT), "found too early: {text}");
}

#[allow(clippy::print_stdout, reason = "for the process that has started this one")]
fn say_that_all_is_well() {
    println!("{CORRECT}");
}

/// Compiles a source with the kernels `correct` and `faulty`, which take an array, and runs both.
fn run_both(source: &str, launch: Launch) {
    let cuda = open(0).expect("a GPU");
    let gpu = device::of(&cuda).expect("it is open");
    let module = gpu.module(source).expect("it compiles");
    for kernel in ["correct", "faulty"] {
        let numbers = cuda.zeros_buffer(4096).expect("room");
        gpu.launch(&module, kernel, launch, &[memory(&numbers)]).expect("a launch");
        cuda.read(&numbers).expect("numbers");
        assert_eq!(kernel, "correct", "nothing is found");
        say_that_all_is_well();
    }
}

const ONE_BLOCK: Launch = Launch { blocks: [1, 1], threads: 64, shared: 0 };

#[test]
fn a_missing_barrier() {
    const SOURCE: &str = r#"
__device__ float neighbour(float *shared, bool waits) {
    shared[threadIdx.x] = 1.0f;
    __syncthreads();
    shared[threadIdx.x] = 2.0f;
    if (waits) __syncthreads();
    return shared[63 - threadIdx.x];
}
extern "C" __global__ void correct(float *x) {
    __shared__ float row[64];
    x[threadIdx.x] = neighbour(row, true);
}
extern "C" __global__ void faulty(float *x) {
    __shared__ float line[64];
    x[threadIdx.x] = neighbour(line, false);
}"#;
    // Which of the two accesses comes first is left to chance.
    let words = ["kernel faulty, block (0, 0, 0)", " of line", "a race: thread", ".cu:5", ".cu:7"];
    is_found("a_missing_barrier", &words, || run_both(SOURCE, ONE_BLOCK));
}

#[test]
fn a_barrier_that_only_ends_a_read() {
    const SOURCE: &str = r#"
__device__ void twice(float *x, float *shared, bool waits) {
    for (int i = 0; i < 2; i++) {
        shared[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] += shared[63 - threadIdx.x];
        if (waits) __syncthreads();
    }
}
extern "C" __global__ void correct(float *x) {
    __shared__ float row[64];
    twice(x, row, true);
}
extern "C" __global__ void faulty(float *x) {
    __shared__ float row[64];
    twice(x, row, false);
}"#;
    let words = ["kernel faulty", " of row", "a race: thread", ".cu:4", ".cu:6"];
    is_found("a_barrier_that_only_ends_a_read", &words, || run_both(SOURCE, ONE_BLOCK));
}

/// An exchange of values synchronises a warp, but does not order its accesses to memory.
#[test]
fn a_race_within_a_warp() {
    const SOURCE: &str = r#"
extern "C" __global__ void correct(float *x) {
    __shared__ float row[64];
    row[threadIdx.x] = 1.0f;
    __syncwarp();
    x[threadIdx.x] = row[threadIdx.x ^ 1];
}
extern "C" __global__ void faulty(float *x) {
    __shared__ float row[64];
    row[threadIdx.x] = 1.0f;
    __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    x[threadIdx.x] = row[threadIdx.x ^ 1];
}"#;
    let words = ["kernel faulty", "a race: thread", ".cu:10", ".cu:12"];
    is_found("a_race_within_a_warp", &words, || run_both(SOURCE, ONE_BLOCK));
}

#[test]
fn a_race_between_blocks() {
    const SOURCE: &str = r#"
extern "C" __global__ void correct(float *x) {
    x[blockIdx.x * 64 + threadIdx.x] = x[1024 + threadIdx.x] + 1.0f;
}
extern "C" __global__ void faulty(float *x) {
    x[blockIdx.x * 63 + threadIdx.x] = 1.0f;
}"#;
    let words = ["kernel faulty", "writes address", "has written it", " of block (", ".cu:6"];
    is_found("a_race_between_blocks", &words, || {
        run_both(SOURCE, Launch { blocks: [3, 1], ..ONE_BLOCK });
    });
}

#[test]
fn vectors_that_are_not_aligned() {
    const SOURCE: &str = r#"
extern "C" __global__ void correct(float *x) {
    *reinterpret_cast<float4 *>(x + 4 * threadIdx.x) = make_float4(1, 2, 3, 4);
}
extern "C" __global__ void faulty(float *x) {
    *reinterpret_cast<float4 *>(x + 6 * threadIdx.x) = make_float4(1, 2, 3, 4);
}"#;
    let words = ["kernel faulty", "is not a multiple of 16", ".cu:6"];
    is_found("vectors_that_are_not_aligned", &words, || run_both(SOURCE, ONE_BLOCK));
}

#[test]
fn a_read_of_shared_memory_that_nobody_has_written() {
    const SOURCE: &str = r#"
extern "C" __global__ void correct(float *x) {
    extern __shared__ float4 memory[];
    float *row = reinterpret_cast<float *>(memory);
    row[threadIdx.x] = 1.0f;
    x[threadIdx.x] = row[threadIdx.x];
}
extern "C" __global__ void faulty(float *x) {
    extern __shared__ float4 memory[];
    float *row = reinterpret_cast<float *>(memory);
    row[threadIdx.x] = 1.0f;
    x[threadIdx.x] = threadIdx.x < 60 ? row[threadIdx.x] : row[threadIdx.x + 4];
}"#;
    let words =
        ["kernel faulty", "byte 2", "dynamic shared memory", "nobody has written", ".cu:12"];
    is_found("a_read_of_shared_memory_that_nobody_has_written", &words, || {
        run_both(SOURCE, Launch { shared: 4 * 68, ..ONE_BLOCK });
    });
}

#[test]
fn a_read_of_an_array_that_nobody_has_written() {
    const SOURCE: &str = r#"
extern "C" __global__ void faulty(float *x, const float *y) {
    x[threadIdx.x] = y[threadIdx.x] > 0.0f ? 1.0f : 0.0f;
}"#;
    let words = ["kernel faulty", "reads address", "nobody has written", ".cu:3"];
    is_found("a_read_of_an_array_that_nobody_has_written", &words, || {
        let cuda = open(0).expect("a GPU");
        let gpu = device::of(&cuda).expect("it is open");
        let module = gpu.module(SOURCE).expect("it compiles");
        let numbers = cuda.zeros_buffer(64).expect("room");
        let unwritten = Kernels::of(&cuda).expect("kernels").unwritten(64).expect("room");
        let launch = |from| {
            let arguments = [memory(&numbers), from];
            gpu.launch(&module, "faulty", ONE_BLOCK, &arguments).expect("a launch");
            cuda.read(&numbers).expect("numbers");
        };
        launch(memory(&numbers));
        say_that_all_is_well();
        launch(Argument::from(&unwritten));
    });
}

#[test]
fn more_dynamic_shared_memory_than_its_launch_has() {
    const SOURCE: &str = r#"
extern "C" __global__ void correct(float *x) {
    extern __shared__ float4 memory[];
    reinterpret_cast<float *>(memory)[threadIdx.x] = 1.0f;
}
extern "C" __global__ void faulty(float *x) {
    extern __shared__ float4 memory[];
    reinterpret_cast<float *>(memory)[threadIdx.x + 1] = 1.0f;
}"#;
    let words = ["kernel faulty", "beyond the dynamic shared memory"];
    is_found("more_dynamic_shared_memory_than_its_launch_has", &words, || {
        run_both(SOURCE, Launch { shared: 4 * 64, ..ONE_BLOCK });
    });
}

/// Does nothing with it: that it is named is the fault.
const TAKES_AN_ARRAY: &str = "extern \"C\" __global__ void faulty(float *x) {}";

#[test]
fn a_launch_with_freed_memory() {
    let words = ["kernel faulty is given memory that is freed"];
    is_found("a_launch_with_freed_memory", &words, || {
        let cuda = open(0).expect("a GPU");
        let gpu = device::of(&cuda).expect("it is open");
        let module = gpu.module(TAKES_AN_ARRAY).expect("it compiles");
        let numbers = cuda.zeros_buffer(64).expect("room");
        let argument = memory(&numbers);
        gpu.launch(&module, "faulty", ONE_BLOCK, &[argument]).expect("a launch");
        // In stream order, that is, after the launch.
        drop(numbers);
        gpu.wait().expect("a correct launch");
        say_that_all_is_well();
        gpu.launch(&module, "faulty", ONE_BLOCK, &[argument]).expect("a launch");
        gpu.wait().expect("it has ended before");
    });
}

#[test]
fn recorded_work_with_memory_that_is_freed_later() {
    let words = ["kernel faulty is given memory that is freed"];
    is_found("recorded_work_with_memory_that_is_freed_later", &words, || {
        let cuda = open(0).expect("a GPU");
        let gpu = device::of(&cuda).expect("it is open");
        let module = gpu.module(TAKES_AN_ARRAY).expect("it compiles");
        let mut pool = Memory::default();
        let mut kept = None;
        let recording = Recording::of(gpu, &mut pool, &mut || {
            let numbers = Kernels::of(&cuda).expect("kernels").unwritten(64).expect("room");
            gpu.launch(&module, "faulty", ONE_BLOCK, &[(&numbers).into()]).expect("a launch");
            kept = Some(numbers);
            Ok(())
        })
        .expect("it is recorded");
        recording.start().expect("a launch");
        drop(kept);
        gpu.wait().expect("a correct launch");
        say_that_all_is_well();
        recording.start().expect("a launch");
        gpu.wait().expect("it has ended before");
    });
}
