//! A GPU that fails, or cannot be used: the process ends with a sentence that says so, and never with
//! an abort.

#![cfg(feature = "cuda-check")]

// Separate processes, as the emulated GPU fails for the whole process.
#[path = "it/common.rs"]
mod common;

use std::path::Path;
use std::process::{Command, Output};

use batchlab_core::ModelError;
use batchlab_core::model::{Loss, ModelContext, Slot, StepOptions};
use batchlab_tensor::{device, open};
use common::{Operation, Probe, collated, context, needs};

/// The call to the emulated driver or cuBLAS from which on all fail.
const FIRST_FAILURE: &str = "EMULATED_CUDA_FAIL";
/// The code that they fail with.
const FAIL_WITH: &str = "EMULATED_CUDA_FAIL_WITH";
/// Set for the process that trains: the device.
const TRAINS_ON: &str = "BATCHLAB_TEST_TRAINS_ON";
/// Folders of CUDA's libraries.
const LIBRARIES: &str = "BATCHLAB_CUDA_LIBRARIES";
/// Tries every this many calls.
const EVERY: &str = "BATCHLAB_TEST_FAULTS_EVERY";
/// As the program does.
const LOST: i32 = 8;

/// The part of a program: trains five steps, of which the fourth is recorded and the last repeats it,
/// and evaluates.
fn train(device: String) -> Result<(), ModelError> {
    let ctx = ModelContext { device, cuda_graphs: true, ..context(Loss::Mse, 1) };
    let mut trainer = open(&ctx, needs(), |p| Probe::new(Operation::Everything, 1, p))?;
    let buffer = collated();
    let options = StepOptions { learning_rate: 1e-2, key: 0, scale: &|_| 1.0 };
    for _ in 0..5 {
        trainer.upload(Slot::A, &buffer.batch())?;
        trainer.step(Slot::A, &options)?;
    }
    trainer.predict(Slot::A, &mut Vec::new())?;
    trainer.synchronise()?;
    trainer.take_peak_device_bytes()?;
    trainer.state().map(drop)
}

#[test]
#[ignore = "a process of the tests below"]
fn a_process_that_trains() {
    let Ok(device) = std::env::var(TRAINS_ON) else { return };
    let end = |message: String| {
        eprintln!("{message}");
        std::process::exit(LOST);
    };
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        device::loss_behind(panic).map_or_else(|| otherwise(panic), end);
    }));
    match train(device) {
        Ok(()) => {
            let loaded = std::fs::read_to_string("/proc/self/maps").expect("this runs on Linux");
            let of_cuda = loaded.lines().filter(|line| line.contains("libcu")).count();
            println!("parts of CUDA's libraries in memory: {of_cuda}");
            std::process::exit(0);
        }
        Err(ModelError::DeviceLost(message) | ModelError::Device { reason: message, .. }) => {
            end(message);
        }
        Err(other) => panic!("{other}"),
    }
}

fn train_with<'a>(device: &str, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Output {
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new(program);
    command.args(["--exact", "a_process_that_trains", "--ignored", "--nocapture"]);
    command.env_remove("VIRTUAL_ENV").env(TRAINS_ON, device).envs(variables);
    command.output().expect("it runs again")
}

/// The sentence with which training on a GPU ends.
fn sentence<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let ended = train_with("cuda:0", variables);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(LOST), "{said}");
    said.trim().to_owned()
}

#[test]
fn whichever_call_fails_first_there_is_a_sentence() {
    let every = std::env::var(EVERY).map_or(29, |n| n.parse().expect("a number of calls"));
    let (mut call, mut n_failed) = (1, 0);
    loop {
        let ended = train_with("cuda:0", [(FIRST_FAILURE, call.to_string().as_str())]);
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
fn codes_of_a_newer_cuda_are_named() {
    for call in (5..300).step_by(59) {
        let failing =
            |code| sentence([(FIRST_FAILURE, call.to_string().as_str()), (FAIL_WITH, code)]);
        let said = failing("721");
        let expected = "CUDA_ERROR_UNKNOWN (the driver's error 721, CUDA_ERROR_TENSOR_MEMORY_LEAK)";
        assert!(said.contains(expected), "call {call}: {said}");
        let said = failing("9999");
        let expected = "CUDA_ERROR_UNKNOWN (the driver's error 9999, without a name)";
        assert!(said.contains(expected), "call {call}: {said}");
    }
}

#[test]
fn a_driver_that_is_older_than_the_libraries_is_named_before_anything_fails() {
    let said = sentence([("EMULATED_CUDA_DRIVER", "12080")]);
    let expected = "driver supports CUDA 12, but cuBLAS was found for CUDA 13 only; update the driver \
                    (nvidia-smi shows its version), or install cuBLAS and NVRTC of CUDA 12";
    assert!(said.contains(expected), "{said}");
    // Libraries of CUDA 11 are not looked for.
    let said = sentence([("EMULATED_CUDA_DRIVER", "11080")]);
    let expected = "driver supports CUDA 11, but cuBLAS was found for CUDA 13 only; update the driver \
                    (nvidia-smi shows its version)";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn libraries_are_loaded_for_a_gpu_only() {
    let output = |device, variables: Option<(_, _)>| {
        let ended = train_with(device, variables);
        assert!(ended.status.success(), "{device}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    let none = "libraries in memory: 0";
    assert!(output("cpu", Some((LIBRARIES, "/nowhere"))).contains(none));
    assert!(output("cpu", None).contains(none));
    assert!(!output("cuda:0", None).contains(none));
}

#[test]
fn a_missing_library_is_named_with_where_it_comes_from() {
    let emulated = Path::new(env!("EMULATED_CUDA"));
    let folder = emulated.with_file_name("emulated-in-part");
    let with = |files: &[&str]| {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("the build's own folder");
        for file in files {
            std::os::unix::fs::symlink(emulated.join(file), folder.join(file)).expect("a link");
        }
        let said = sentence([(LIBRARIES, folder.to_str().expect("a name of this test"))]);
        said.replace(folder.to_str().expect("as before"), "FOLDER")
    };
    assert_eq!(
        with(&[]),
        "NVIDIA's driver was not found: there is no libcuda.so.1 that can be loaded in \
         BATCHLAB_CUDA_LIBRARIES=FOLDER; install the driver, or use device = \"cpu\""
    );
    assert_eq!(
        with(&["libcuda.so.1", "libnvrtc.so.13"]),
        "cuBLAS was not found: there is no libcublas.so.13 or libcublas.so.12 that can be loaded \
         in BATCHLAB_CUDA_LIBRARIES=FOLDER; `pip install nvidia-cublas nvidia-cuda-nvrtc` brings \
         cuBLAS and NVRTC into a virtual environment of Python"
    );
    let said = with(&["libcuda.so.1", "libcublas.so.13"]);
    assert!(said.starts_with("NVRTC was not found"), "{said}");
    std::fs::copy(emulated.join("libcuda.so.1"), folder.join("libnvrtc.so.13")).expect("a copy");
    let said = sentence([(LIBRARIES, folder.to_str().expect("as before"))]);
    assert!(said.contains("libnvrtc.so.13 has no function nvrtcCreateProgram"), "{said}");
}

#[test]
fn what_the_loader_says_of_a_file_is_passed_on() {
    let folder = Path::new(env!("EMULATED_CUDA")).with_file_name("nothing-emulated");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("the build's own folder");
    let name = folder.to_str().expect("a name of this test");
    // The empty name stands for the loader's own folders, where there is a driver if there is a GPU.
    if !Path::new("/proc/driver/nvidia").exists() {
        let said = sentence([(LIBRARIES, format!("{name}:").as_str())]).replace(name, "FOLDER");
        let expected = "there is no libcuda.so.1 that can be loaded in \
                        BATCHLAB_CUDA_LIBRARIES=FOLDER:; install";
        assert!(said.contains(expected), "{said}");
    }
    std::fs::write(folder.join("libcuda.so.1"), "").expect("as before");
    let said = sentence([(LIBRARIES, name)]).replace(name, "FOLDER");
    let expected = "=FOLDER (FOLDER/libcuda.so.1: file too short); install";
    assert!(said.contains(expected), "{said}");
}
