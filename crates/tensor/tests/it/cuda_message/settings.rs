//! The same messages in other processes: in another order of blocks and threads, with more blocks or
//! less shared memory.

use batchlab_core::BatchBuffer;
use batchlab_tensor::Activation;

use super::case::{Case, edge_updates, painn, schnet};
use super::compare::{batch, run};
#[cfg(feature = "cuda-check")]
use super::shapes::N_PROGRAM;

/// Bits of everything.
fn digest(case: &Case, buffer: &BatchBuffer) -> Vec<u32> {
    let (prediction, gradients) = run(case, "cuda:0", buffer);
    let gradients = gradients.iter().flat_map(|gradient| &gradient.data);
    prediction.iter().chain(gradients).map(|x| x.to_bits()).collect()
}

#[test]
fn the_same_bits_every_time() {
    let buffer = batch(&[(40, 900), (5, 20)], 500, 100);
    let cases = || [schnet(100, 16), edge_updates(20, 8), painn(20, 128, Activation::Identity)];
    let all: Vec<u32> = cases().iter().flat_map(|case| digest(case, &buffer)).collect();
    let again: Vec<u32> = cases().iter().flat_map(|case| digest(case, &buffer)).collect();
    assert!(all == again);
    let sum = all.iter().fold(17_u64, |sum, &x| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(x));
    // Blocks and threads in other orders, if the GPU is emulated.
    match std::env::var("BATCHLAB_TEST_BITS") {
        Ok(expected) => assert_eq!(expected, sum.to_string()),
        Err(_) => {
            for (seed, blocks) in [("2", "one"), ("3", "random"), ("4", "barriers")] {
                let set = [
                    ("BATCHLAB_TEST_BITS", sum.to_string()),
                    ("EMULATED_CUDA_SEED", seed.into()),
                    ("EMULATED_CUDA_BLOCKS", blocks.into()),
                ];
                again_with("settings::the_same_bits_every_time", set);
            }
        }
    }
}

#[test]
fn with_more_blocks_on_a_processor() {
    let variables = [("BATCHLAB_CUDA_BLOCKS", "4".to_owned())];
    again_with("models::the_models_at_their_widths", variables);
}

#[cfg(feature = "cuda-check")]
#[test]
fn with_little_shared_memory() {
    // Smaller tiles.
    for test in [
        "shapes::random_programs",
        "models::the_models_at_their_widths",
        "shapes::all_widths_on_tensor_cores",
    ] {
        let variables = [("EMULATED_CUDA_SHARED", "100000"), (N_PROGRAM, "5")];
        again_with(test, variables.map(|(name, value)| (name, value.to_owned())));
    }
}

#[cfg(feature = "cuda-check")]
#[test]
fn messages_too_wide_for_the_gpu_are_refused() {
    let variables = [("EMULATED_CUDA_SHARED", "8000".to_owned())];
    let run = again("models::the_models_at_their_widths", variables);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(!run.status.success() && text.contains("bytes of shared memory per block"), "{text}");
}

fn again_with<const N: usize>(test: &str, variables: [(&str, String); N]) {
    let run = again(test, variables);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && text.contains("1 passed"), "{test}: {text}");
}

/// Runs one of these tests in a separate process.
fn again<const N: usize>(test: &str, variables: [(&str, String); N]) -> std::process::Output {
    let program = std::env::current_exe().expect("this test");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", &format!("cuda_message::{test}")]).envs(variables);
    command.output().expect("it runs again")
}
