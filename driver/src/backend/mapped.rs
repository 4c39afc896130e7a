//! Mapped Vulkan memory: publishing *is* writing GPU memory, and a drain resubmits commands that
//! were recorded once. After opening, nothing here allocates.

mod arena;
mod flight;
mod row;
mod stay;

pub(crate) use arena::MappedArena;

use super::{Backend, BackendError, Batch, LaneOrder, Options, Resident, RowOptions, Submission};
use crate::gpu::Gpu;
use crate::kernel::{Entry, Kernel};
use crate::open::{BackendChoice, OpenError};
use crate::vulkan::{Device, Pipelines, Timeline, open_importing};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A device, the kernel's pipelines, and the timeline of all rows' drains.
pub(crate) struct Mapped {
    kernel: Arc<Kernel>,
    order: LaneOrder,
    slice: Option<Duration>,
    gpu: Gpu,
    pipelines: Pipelines,
    /// Whether every pipeline has run.
    is_warm: AtomicBool,
    timeline: Timeline,
    device: Arc<Device>,
}

impl Mapped {
    /// Opens a device that has room for a row of these options.
    pub(crate) fn open(kernel: &Arc<Kernel>, options: &Options) -> Result<Self, OpenError> {
        let gpu = Gpu::open(row::needs(&options.row), options.validation, open_importing)?;
        let device = Device::below(gpu.device(), gpu.info(), gpu.order(), options.fences);
        let device = device.map_err(|reason| OpenError::NotMapped { reason })?;
        let mut entries = vec![Entry::of(options.order), Entry::Fence];
        entries.extend(options.slice.map(|_| stay::entry(gpu.ends_loops())));
        let cache = options.pipeline_cache.as_deref();
        let pipelines = Pipelines::new(&device, kernel, &entries, cache)?;
        let timeline = Timeline::new(&device)?;
        gpu.check()?;
        let (kernel, order, slice) = (Arc::clone(kernel), options.order, options.slice);
        let is_warm = AtomicBool::new(false);
        Ok(Self { kernel, order, slice, gpu, pipelines, is_warm, timeline, device })
    }
}

impl Backend for Mapped {
    fn choice(&self) -> BackendChoice {
        BackendChoice::Mapped
    }

    fn open_row(self: Arc<Self>, options: &RowOptions) -> Result<Box<dyn Resident>, OpenError> {
        Ok(Box::new(row::Row::open(self, options)?))
    }

    fn submit(&self, batch: &mut Batch) -> Result<Submission, BackendError> {
        let number = self.timeline.submit(&batch.raw).map_err(|error| match error.is_lost() {
            true => self.lose_by(error),
            false => error,
        })?;
        batch.clear();
        Ok(Submission::Timeline(number))
    }

    fn is_finished(&self, submission: &Submission) -> Result<bool, BackendError> {
        let Submission::Timeline(number) = submission else { return Ok(true) };
        // A wait elsewhere may have given the device up.
        self.gpu.check_lost()?;
        self.timeline.is_finished(*number).map_err(|error| self.lose_by(error))
    }

    fn wait(&self, submission: &Submission, timeout: Duration) -> Result<(), BackendError> {
        let Submission::Timeline(number) = submission else { return Ok(()) };
        self.timeline.wait(*number, timeout).map_err(|error| self.lose_by(error))
    }

    fn lose_by(&self, error: BackendError) -> BackendError {
        self.gpu.lose_by(error)
    }
}
