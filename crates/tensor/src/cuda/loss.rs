//! Losses over outputs: the only number per step that is copied back from the device.

use batchlab_core::model::Loss;
use cudarc::driver::CudaSlice;
use dfdx::prelude::*;

use super::error::Error;
use super::event::Event;
use super::gradient;
use super::kernels::Kernels;
use super::module::{Argument, Launch, arguments, count, memory};
use super::pinned::Pinned;
use super::{Buffer, Dense};
use crate::{DeviceMemory, Outputs};

/// Threads per block: `LOSS_THREADS` in `kernels/loss.cu`.
const THREADS: u32 = 256;

/// What the host waits for.
const FINISH: &str = "finish a step";

/// A double-precision number on the device.
pub struct Pending(CudaSlice<f32>);

/// Its copy on the host.
#[derive(Default)]
pub struct Fetched(Option<OnHost>);

struct OnHost {
    place: Pinned,
    arrived: Event,
}

impl Drop for OnHost {
    fn drop(&mut self) {
        // The memory is freed now. If the device fails there is nothing left to protect.
        let _ = self.arrived.wait(FINISH);
    }
}

impl Kernels<'_> {
    /// The loss, and the gradient of its mean.
    pub(crate) fn loss(
        &self,
        loss: Loss,
        prediction: &Dense,
        outputs: &Outputs<Cuda>,
    ) -> Result<(Pending, Buffer), Error> {
        let &(n_row, width) = prediction.shape();
        let n_block = outputs.row_on_host.len().div_ceil(THREADS as usize).max(1);
        let n_unit = n_row * width;
        // A single block sets it to 0 itself.
        let unit = if n_block > 1 {
            self.cuda.zeros_buffer(n_unit)
        } else {
            gradient::unwritten(self.cuda, n_unit)
        };
        let mut unit = unit.map_err(Error::dfdx("allocate the gradient of the predictions"))?;
        gradient::shorten(self.gpu, &mut unit, n_unit);
        // For double-precision numbers.
        let total = self.unwritten(2)?;
        let sums = (n_block > 1).then(|| self.unwritten(2 * n_block)).transpose()?;
        let sums = sums.as_ref().unwrap_or(&total);
        let common = arguments![
            sums,
            memory(&unit),
            prediction,
            &outputs.row,
            &outputs.target,
            &outputs.weight,
            &outputs.weight_sum_on_device
        ];
        let size = arguments![
            count("numbers", n_unit)?,
            count("columns", width)?,
            count("outputs", outputs.row_on_host.len())?
        ];
        let (name, kind) = match loss {
            Loss::Mse => ("regression_loss", Some(0)),
            Loss::Mae => ("regression_loss", Some(1)),
            Loss::CrossEntropy => ("cross_entropy_loss", None),
        };
        let kind: Vec<Argument> = kind.map(Argument::I32).into_iter().collect();
        let n_block = count("blocks", n_block)?;
        let launch = Launch { blocks: [n_block, 1], threads: THREADS, shared: 0 };
        self.launch(name, launch, &[common.as_slice(), &kind, size].concat())?;
        if n_block > 1 {
            let launch = Launch { blocks: [1, 1], threads: THREADS, shared: 0 };
            self.launch("add_up_losses", launch, arguments![&total, sums, n_block])?;
        }
        Ok((Pending(total), unit))
    }

    pub(crate) fn fetch_loss(&self, loss: &Pending, fetched: &mut Fetched) -> Result<(), Error> {
        self.gpu.bind()?;
        let OnHost { place, arrived } = match &mut fetched.0 {
            Some(known) => known,
            new => new.insert(OnHost { place: Pinned::new(8)?, arrived: Event::new()? }),
        };
        place.fetch(self.gpu, Argument::from(&loss.0).address())?;
        arrived.record(self.gpu.stream())
    }

    pub(crate) fn read_loss(&self, fetched: &Fetched) -> Result<f64, Error> {
        let Some(OnHost { place, arrived }) = &fetched.0 else {
            return Err(Error::Engine("a loss is read that was not fetched".into()));
        };
        self.gpu.bind()?;
        arrived.wait(FINISH)?;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(place.bytes());
        Ok(f64::from_le_bytes(bytes))
    }
}
