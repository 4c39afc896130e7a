//! Safe wgpu: buffers created once, dirty words uploaded, one submission a drain.

mod flight;
mod pipelines;
mod row;
mod upload;

use super::{
    Backend, BackendError, Batch, LaneOrder, Options, Resident, RowOptions, Submission,
    WARM_UP_TIMEOUT,
};
use crate::gpu::{Gpu, open_safely};
use crate::kernel::Kernel;
use crate::open::{BackendChoice, OpenError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs of one submission. Only a serial drain, or a drain of very many fences, has more.
const RUNS: usize = 1024;

/// A device and the kernel's pipelines.
pub(crate) struct Portable {
    kernel: Arc<Kernel>,
    order: LaneOrder,
    gpu: Gpu,
    layout: wgpu::BindGroupLayout,
    pipelines: [wgpu::ComputePipeline; 3],
    /// Whether every pipeline has run.
    is_warm: AtomicBool,
}

impl Portable {
    /// Opens a device that has room for a row of these options.
    pub(crate) fn open(kernel: &Arc<Kernel>, options: &Options) -> Result<Self, OpenError> {
        let gpu = Gpu::open(row::needs(&options.row), options.validation, open_safely)?;
        let layout = pipelines::bind_group_layout(gpu.device());
        let pipelines = pipelines::pipelines(gpu.device(), &layout, kernel);
        let (kernel, order, is_warm) = (Arc::clone(kernel), options.order, AtomicBool::new(false));
        Ok(Self { kernel, order, gpu, layout, pipelines, is_warm })
    }

    /// Has the first row run every pipeline over no entries: drivers compile when a pipeline first
    /// runs, and the first drain has a timeout.
    fn warm_up(&self, bind_group: &wgpu::BindGroup) -> Result<(), BackendError> {
        if self.is_warm.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut encoder = self.gpu.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for pipeline in &self.pipelines {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[0]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        self.gpu.check()?;
        let warmed_up = self.gpu.start([encoder.finish()]);
        self.gpu.wait(warmed_up, WARM_UP_TIMEOUT)
    }
}

impl Backend for Portable {
    fn choice(&self) -> BackendChoice {
        BackendChoice::Portable
    }

    fn open_row(self: Arc<Self>, options: &RowOptions) -> Result<Box<dyn Resident>, OpenError> {
        Ok(Box::new(row::Row::open(self, options)?))
    }

    fn submit(&self, batch: &mut Batch) -> Result<Submission, BackendError> {
        // What was refused until now, by whomever, is said now; from a submission on, all that can
        // happen is that the device is lost.
        self.gpu.check()?;
        Ok(Submission::Wgpu(self.gpu.start(batch.wgpu.drain(..))))
    }

    fn is_finished(&self, submission: &Submission) -> Result<bool, BackendError> {
        let Submission::Wgpu(index) = submission else { return Ok(true) };
        self.gpu.check_lost()?;
        self.gpu.is_finished(index.clone())
    }

    fn wait(&self, submission: &Submission, timeout: Duration) -> Result<(), BackendError> {
        let Submission::Wgpu(index) = submission else { return Ok(()) };
        self.gpu.wait(index.clone(), timeout)
    }

    fn lose_by(&self, error: BackendError) -> BackendError {
        self.gpu.lose_by(error)
    }
}
