//! What one drain in flight has to itself.

use super::upload::{Target, Upload};
use super::{Portable, RUNS, pipelines};
use crate::backend::plan::Plan;
use crate::backend::staging::Staging;
use crate::backend::{BackendError, Drain};
use crate::host_row::HostRow;
use crate::kernel::Kernel;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Words of the parameters of all runs of a submission.
pub(super) const PARAMS_WORDS: usize = RUNS * Kernel::RUN_STRIDE / 4;

pub(super) struct Flight {
    pub(super) plan: Plan,
    work: wgpu::Buffer,
    run_params: wgpu::Buffer,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) upload: Upload,
    pub(super) staging: Staging,
    /// The drain that was started and not finished.
    pub(super) submission: Option<wgpu::SubmissionIndex>,
}

impl Flight {
    /// A flight over all that the row binds, with room for so many words each way.
    pub(super) fn new(
        portable: &Portable,
        plan: Plan,
        slots: u32,
        resident: &[wgpu::Buffer],
        [upload_words, staging_words]: [usize; 2],
    ) -> Self {
        let device = portable.gpu.device();
        let create = |label: &str, words: usize, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            portable.gpu.create_buffer(label, words, usage)
        };
        let work = create("work list", slots as usize, wgpu::BufferUsages::STORAGE);
        let run_params = create("run parameters", PARAMS_WORDS, wgpu::BufferUsages::UNIFORM);
        let storage = resident.iter().chain([&work]);
        let bind_group = pipelines::bind_group(device, &portable.layout, storage, &run_params);
        let (upload, staging) =
            (Upload::new(device, upload_words), Staging::new(device, staging_words));
        Self { plan, work, run_params, bind_group, upload, staging, submission: None }
    }

    /// Gathers dirty words and the work list, and plans the runs.
    pub(super) fn begin(&mut self, host: &HostRow, drain: &Drain<'_>) {
        self.upload.clear();
        for (buffer, range) in drain.uploads {
            let words = &host.words(*buffer)[range.clone()];
            let target = Target::Buffer(*buffer, range.start);
            self.upload.add(target, words.iter().map(|word| word.load(Ordering::Relaxed)));
        }
        let entries = drain.work.levels().chain([drain.work.fences()]).flatten();
        self.upload.add(Target::WorkList, entries.copied());
        self.plan.make(drain.work);
    }

    /// Encodes runs of the plan behind what was gathered; says how many bytes go up.
    pub(super) fn encode(
        &mut self,
        portable: &Portable,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &[wgpu::Buffer],
        runs: Range<usize>,
        timeout: Duration,
    ) -> Result<u64, BackendError> {
        let params = self.plan.runs()[runs.clone()].iter().flat_map(|run| {
            let params = run.params();
            params.into_iter().chain(std::iter::repeat_n(0, Kernel::RUN_STRIDE / 4 - params.len()))
        });
        self.upload.add(Target::RunParams, params);
        let bytes = self.upload.bytes();
        self.upload.send(&portable.gpu, timeout)?;
        let mut offset = 0;
        for (target, words) in self.upload.parts() {
            let (buffer, at) = match target {
                Target::Buffer(buffer, word) => (&buffers[buffer as usize], word as u64 * 4),
                Target::WorkList => (&self.work, 0),
                Target::RunParams => (&self.run_params, 0),
            };
            let bytes = words as u64 * 4;
            encoder.copy_buffer_to_buffer(self.upload.buffer(), offset, buffer, at, bytes);
            offset += bytes;
        }
        // wgpu puts a barrier between dispatches that write the same buffers.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (index, run) in self.plan.runs()[runs].iter().enumerate() {
            pass.set_pipeline(&portable.pipelines[run.entry as usize]);
            pass.set_bind_group(0, &self.bind_group, &[(index * Kernel::RUN_STRIDE) as u32]);
            pass.dispatch_workgroups(run.groups(), 1, 1);
        }
        Ok(bytes)
    }
}
