//! The precision of products is a training option.

use crate::common::{Operation, Probe, context, needs};
use batchlab_core::model::{Loss, ModelContext, Precision};
use batchlab_tensor::open;

fn probe(p: &mut batchlab_tensor::ParameterBuilder) -> Probe {
    Probe::new(Operation::Linear(batchlab_tensor::Activation::Silu), 1, p)
}

#[test]
fn tf32_is_refused_on_a_processor() {
    let ctx =
        ModelContext { device: "cpu".into(), precision: Precision::Tf32, ..context(Loss::Mse, 1) };
    let error = open(&ctx, needs(), probe).err().expect("a processor has no tensor cores");
    assert_eq!(
        error.to_string(),
        "training.precision = \"tf32\" needs the tensor cores of a GPU, but the device is \"cpu\"; use \
         training.precision = \"f32\", or device = \"cuda:0\""
    );
}

#[cfg(feature = "cuda-check")]
#[test]
fn tensor_cores_are_refused_on_an_old_gpu() {
    let open_in = |precision| {
        let ctx = ModelContext { device: "cuda:0".into(), precision, ..context(Loss::Mse, 1) };
        open(&ctx, needs(), probe).map(drop)
    };
    if std::env::var("EMULATED_CUDA_CAPABILITY").is_err() {
        let test = "precision::tensor_cores_are_refused_on_an_old_gpu";
        let program = std::env::current_exe().expect("this test");
        let again = std::process::Command::new(program)
            .args(["--exact", test])
            .env("EMULATED_CUDA_CAPABILITY", "7")
            .status();
        assert!(again.expect("it runs again").success());
        return;
    }
    open_in(Precision::F32).expect("it has single precision");
    let error = open_in(Precision::Bf16).expect_err("it has no such tensor cores");
    assert_eq!(
        error.to_string(),
        "training.precision = \"bf16\" needs a GPU of compute capability 8.0 or higher, but \"cuda:0\" is \
         older; use training.precision = \"f32\""
    );
}

/// Loss, gradients and parameters after a step.
#[cfg(feature = "cuda-check")]
fn step_in(precision: Precision) -> Vec<f32> {
    let ctx = ModelContext { device: "cuda:0".into(), precision, ..context(Loss::Mse, 1) };
    let mut trainer = open(&ctx, needs(), probe).expect("the emulated GPU");
    let loss = crate::common::step(&mut *trainer, &crate::common::collated().batch());
    let gradients = trainer.gradients().expect("the device works");
    let mut values = vec![loss.mean() as f32];
    values.extend(gradients.into_iter().flat_map(|tensor| tensor.data));
    values
}

#[cfg(feature = "cuda-check")]
#[test]
fn a_step_in_tf32_is_near_one_in_single_precision_but_not_the_same() {
    let (exact, coarse) = (step_in(Precision::F32), step_in(Precision::Tf32));
    let norm = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    let error = norm(&mut exact.iter().zip(&coarse).map(|(a, b)| a - b));
    let size = norm(&mut exact.iter().copied());
    assert!((1e-6..1e-3).contains(&(error / size)), "{error} of {size}");
    assert_ne!(exact[0].to_bits(), coarse[0].to_bits());
    assert!(step_in(Precision::F32) == exact);
}
