//! The gradients between the two halves of a step, for engines that can do one without the other.

use batchlab_core::ModelError;

#[derive(Debug)]
pub(crate) struct Halves {
    n_parameter: usize,
    /// Of the loss sum of the last batch, and its weight; empty if that is 0.
    computed: Option<(Vec<f32>, f64)>,
    /// For the next update, or of the last one.
    accumulated: Option<Vec<f32>>,
    is_used: bool,
}

impl Halves {
    pub(crate) fn new(n_parameter: usize) -> Self {
        Self { n_parameter, computed: None, accumulated: None, is_used: true }
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
        let zeros = || vec![0.0; self.n_parameter];
        let unused = self.accumulated.take().filter(|_| !self.is_used);
        let sums = self.accumulated.insert(unused.unwrap_or_else(zeros));
        self.is_used = false;
        for (sum, value) in sums.iter_mut().zip(computed) {
            *sum += (scale / weight_sum * f64::from(value)) as f32;
        }
        Ok(())
    }

    pub(crate) fn replace(&mut self, values: &[f32]) -> Result<(), ModelError> {
        if values.len() != self.n_parameter {
            let message = format!("{} gradients for {} parameters", values.len(), self.n_parameter);
            return Err(ModelError::Engine(message));
        }
        self.accumulated = Some(values.to_vec());
        self.is_used = false;
        Ok(())
    }

    /// The gradients for an update.
    pub(crate) fn take(&mut self) -> Result<&[f32], ModelError> {
        self.computed = None;
        match &self.accumulated {
            Some(accumulated) if !std::mem::replace(&mut self.is_used, true) => Ok(accumulated),
            _ => Err(missing("backward")),
        }
    }

    /// Those for the next update, or of the last one.
    pub(crate) fn accumulated(&self) -> Option<&[f32]> {
        self.accumulated.as_deref()
    }
}

fn missing(what: &str) -> ModelError {
    ModelError::Engine(format!("there are no gradients: no {what} came before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_add_up_until_they_are_used() {
        let sent = [1.0_f32, 2.0].map(f32::to_le_bytes);
        let mut halves = Halves::new(2);
        assert!(halves.accumulated().is_none() && halves.take().is_err());
        halves.computed(sent.as_flattened(), 2.0);
        halves.accumulate(1.0).unwrap();
        assert_eq!(halves.accumulate(1.0).unwrap_err().to_string(), missing("forward").to_string());
        halves.computed(sent.as_flattened(), 2.0);
        halves.accumulate(2.0).unwrap();
        assert_eq!(halves.take().unwrap(), [1.5, 3.0]);
        assert!(halves.take().is_err());
        assert_eq!(halves.accumulated().unwrap(), [1.5, 3.0]);

        halves.computed(&[], 0.0);
        halves.accumulate(0.0).unwrap();
        assert_eq!(halves.accumulated().unwrap(), [0.0, 0.0]);
        halves.replace(&[7.0, 8.0]).unwrap();
        assert!(halves.replace(&[7.0]).is_err());
        assert_eq!(halves.take().unwrap(), [7.0, 8.0]);
    }
}
