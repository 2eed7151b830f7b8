//! One golden file of a model.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Tensors by name: `input.*`, `param.*`, `grad.*` and `output.*`.
pub struct GoldenFile<'a> {
    tensors: SafeTensors<'a>,
    metadata: BTreeMap<String, String>,
}

impl<'a> GoldenFile<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let text = |error: safetensors::SafeTensorError| error.to_string();
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(text)?;
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { tensors: SafeTensors::deserialize(bytes).map_err(text)?, metadata })
    }

    /// Names that start with `prefix`, in alphabetical order, with the prefix removed.
    #[must_use]
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.tensors.names().into_iter();
        let mut names: Vec<String> =
            names.filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// Length of each axis.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        Ok(self.tensor(name)?.shape().to_vec())
    }

    /// All values in row-major order.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        let tensor = self.tensor(name)?;
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => Ok(words(bytes).map(f64::from_le_bytes).collect()),
            Dtype::F32 => Ok(words(bytes).map(|b| f64::from(f32::from_le_bytes(b))).collect()),
            Dtype::I32 => Ok(words(bytes).map(|b| f64::from(i32::from_le_bytes(b))).collect()),
            other => Err(format!("{name} has type {other:?}")),
        }
    }

    #[allow(clippy::cast_sign_loss, reason = "counts and indices")]
    pub(super) fn counts(&self, name: &str) -> Result<Vec<u32>, String> {
        Ok(self.numbers(name)?.into_iter().map(|v| v as u32).collect())
    }

    pub(super) fn single_precision(&self, name: &str) -> Result<Vec<f32>, String> {
        Ok(self.numbers(name)?.into_iter().map(|v| v as f32).collect())
    }

    /// A value of the file's metadata.
    #[must_use]
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A width or number of layers in the file's metadata.
    pub fn size(&self, key: &str) -> Result<NonZeroU32, String> {
        let text = self.metadata(key).ok_or_else(|| format!("the file's metadata has no {key}"))?;
        text.parse().map_err(|_| format!("{key} is {text}"))
    }

    /// The file without one of its tensors.
    pub(super) fn without(&self, name: &str) -> Vec<u8> {
        let rest: Vec<_> = self.tensors.tensors().into_iter().filter(|(n, _)| n != name).collect();
        assert_eq!(rest.len() + 1, self.tensors.names().len(), "{name} exists");
        self.written(rest)
    }

    /// The file with a tensor duplicated under a second name.
    pub(super) fn with_a_copy(&self, name: &str, copy: &str) -> Vec<u8> {
        let mut tensors = self.tensors.tensors();
        tensors.push((copy.to_owned(), self.tensor(name).expect("a tensor of the file")));
        self.written(tensors)
    }

    fn written(&self, tensors: Vec<(String, TensorView<'_>)>) -> Vec<u8> {
        let metadata = self.metadata.clone().into_iter().collect();
        safetensors::serialize(tensors, Some(metadata)).expect("tensors of a golden file")
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.tensors.tensor(name).map_err(|_| format!("the file has no {name}"))
    }
}

/// Splits bytes into values of N bytes.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("N bytes"))
}
