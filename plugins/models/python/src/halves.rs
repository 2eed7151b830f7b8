//! The gradients between the two halves of a step, for engines that can do one without the other.

use batchlab_core::ModelError;

#[derive(Debug)]
pub(crate) struct Halves {
    /// Of the loss sum of the last batch, with its weight.
    computed: Option<(Vec<f32>, f64)>,
    /// For the next update.
    accumulated: Vec<f32>,
    is_accumulated: bool,
}

impl Halves {
    pub(crate) fn new(n_parameter: usize) -> Self {
        Self { computed: None, accumulated: vec![0.0; n_parameter], is_accumulated: false }
    }

    /// Keeps what the engine has sent, or nothing for a batch without weight.
    pub(crate) fn computed(&mut self, bytes: &[u8], weight_sum: f64) {
        let gradients =
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        self.computed = Some((gradients, weight_sum));
    }

    /// Adds the gradients of `scale` times the mean loss.
    pub(crate) fn accumulate(&mut self, scale: f64) -> Result<(), ModelError> {
        let (computed, weight_sum) = self.computed.take().ok_or_else(|| missing("forward"))?;
        if !std::mem::replace(&mut self.is_accumulated, true) {
            self.accumulated.fill(0.0);
        }
        for (sum, value) in self.accumulated.iter_mut().zip(computed) {
            *sum += (scale / weight_sum * f64::from(value)) as f32;
        }
        Ok(())
    }

    pub(crate) fn replace(&mut self, values: &[f32]) -> Result<(), ModelError> {
        if values.len() != self.accumulated.len() {
            return Err(ModelError::Engine(format!(
                "there are {} gradients, not {}",
                self.accumulated.len(),
                values.len()
            )));
        }
        self.accumulated.copy_from_slice(values);
        self.is_accumulated = true;
        Ok(())
    }

    /// The gradients for an update.
    pub(crate) fn take(&mut self) -> Result<Vec<f32>, ModelError> {
        self.computed = None;
        if std::mem::take(&mut self.is_accumulated) {
            Ok(self.accumulated.clone())
        } else {
            Err(missing("backward"))
        }
    }

    /// Those for the next update, or of the last one.
    pub(crate) fn accumulated(&self) -> &[f32] {
        &self.accumulated
    }
}

fn missing(what: &str) -> ModelError {
    ModelError::Engine(format!("there are no gradients: no {what} came before"))
}
