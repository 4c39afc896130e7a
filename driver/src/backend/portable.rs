//! Safe wgpu: buffers created once, dirty words uploaded, one submission a drain.

mod pipelines;
mod upload;

use super::plan::Plan;
use super::staging::{STAGING_WORDS, Staging};
use super::{Backend, BackendError, BackendInfo, Cost, Drain, Options, WARM_UP_TIMEOUT};
use crate::gpu::{Gpu, Needs};
use crate::host_row::HostRow;
use crate::kernel::Kernel;
use crate::open::OpenError;
use slipring_core::layout::Buffer;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;
use upload::{Target, Upload};

/// Runs of one submission. Only a serial drain, or a drain of very many fences, has more.
const RUNS: usize = 1024;

pub(crate) struct Portable {
    host: HostRow,
    gpu: Gpu,
    info: BackendInfo,
    timeout: Duration,
    plan: Plan,
    buffers: [wgpu::Buffer; 4],
    workspace: wgpu::Buffer,
    work: wgpu::Buffer,
    run_params: wgpu::Buffer,
    upload: Upload,
    staging: Staging,
    bind_group: wgpu::BindGroup,
    pipelines: [wgpu::ComputePipeline; 3],
    /// The drain that was started and not finished.
    submission: Option<wgpu::SubmissionIndex>,
}

impl Portable {
    /// Opens a device and creates everything that the row will ever need.
    pub(crate) fn open(kernel: &Kernel, options: &Options) -> Result<Self, OpenError> {
        let Options { geometry, workspace_words, .. } = *options;
        let row_words: usize = Buffer::ALL.iter().map(|&buffer| geometry.words(buffer)).sum();
        let slots = geometry.slots() as usize;
        let params_words = RUNS * Kernel::RUN_STRIDE / 4;
        let upload_words = row_words + slots + params_words;
        let staging_words = row_words.max(STAGING_WORDS);
        let bound = Buffer::ALL.map(|buffer| geometry.words(buffer)).into_iter();
        let largest_binding = bound.fold(workspace_words, usize::max) as u64 * 4;
        let largest_buffer = largest_binding.max(upload_words.max(staging_words) as u64 * 4);
        let gpu = Gpu::open(Needs { largest_binding, largest_buffer }, options.validation)?;
        // llvmpipe, the CPU device, ends loops without a word; other devices have no limit.
        let is_cpu = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let plan = Plan::new(kernel, geometry.slots(), is_cpu, options.order)?;

        let resident = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let create = |label: &str, words: usize, usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: words as u64 * 4,
                usage,
                mapped_at_creation: false,
            })
        };
        let buffers =
            Buffer::ALL.map(|buffer| create(buffer.name(), geometry.words(buffer), resident));
        let workspace = create("workspace", workspace_words, resident);
        let to_device = wgpu::BufferUsages::COPY_DST;
        let work = create("work list", slots, wgpu::BufferUsages::STORAGE | to_device);
        let run_params =
            create("run parameters", params_words, wgpu::BufferUsages::UNIFORM | to_device);
        let upload = Upload::new(gpu.device(), upload_words);
        let staging = Staging::new(gpu.device(), staging_words);

        let layout = pipelines::bind_group_layout(gpu.device());
        let [control, ring, debug_log, io_queue] = &buffers;
        let storage = [control, ring, debug_log, io_queue, &workspace, &work];
        let bind_group = pipelines::bind_group(gpu.device(), &layout, &storage, &run_params);
        let pipelines = pipelines::pipelines(gpu.device(), &layout, kernel);
        warm_up(&gpu, &bind_group, &pipelines)?;
        let info = BackendInfo {
            backend: "portable",
            adapter: gpu.info().name.clone(),
            is_cpu,
            reason: gpu.reason().to_owned(),
        };
        Ok(Self {
            host: HostRow::new(geometry),
            gpu,
            info,
            timeout: options.timeout,
            plan,
            buffers,
            workspace,
            work,
            run_params,
            upload,
            staging,
            bind_group,
            pipelines,
            submission: None,
        })
    }

    /// Gathers dirty words and the work list.
    fn gather(&mut self, drain: &Drain<'_>) {
        for (buffer, range) in drain.uploads {
            let words = &self.host.words(*buffer)[range.clone()];
            let target = Target::Buffer(*buffer, range.start);
            self.upload.add(target, words.iter().map(|word| word.load(Ordering::Relaxed)));
        }
        let entries = drain.work.levels().chain([drain.work.fences()]).flatten();
        self.upload.add(Target::WorkList, entries.copied());
    }

    fn gather_run_params(&mut self, runs: Range<usize>) {
        let params = self.plan.runs()[runs].iter().flat_map(|run| {
            let params = run.params();
            params.into_iter().chain(std::iter::repeat_n(0, Kernel::RUN_STRIDE / 4 - params.len()))
        });
        self.upload.add(Target::RunParams, params);
    }

    /// Sends what was gathered, ahead of what is encoded next.
    fn encode_upload(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<(), BackendError> {
        self.upload.send(&self.gpu, self.timeout)?;
        let mut offset = 0;
        for (target, words) in self.upload.parts() {
            let (buffer, at) = match target {
                Target::Buffer(buffer, word) => (&self.buffers[buffer as usize], word as u64 * 4),
                Target::WorkList => (&self.work, 0),
                Target::RunParams => (&self.run_params, 0),
            };
            let bytes = words as u64 * 4;
            encoder.copy_buffer_to_buffer(self.upload.buffer(), offset, buffer, at, bytes);
            offset += bytes;
        }
        Ok(())
    }

    fn encode_runs(&self, encoder: &mut wgpu::CommandEncoder, runs: Range<usize>) {
        // wgpu puts a barrier between dispatches that write the same buffers.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (index, run) in self.plan.runs()[runs].iter().enumerate() {
            pass.set_pipeline(&self.pipelines[run.entry as usize]);
            pass.set_bind_group(0, &self.bind_group, &[(index * Kernel::RUN_STRIDE) as u32]);
            pass.dispatch_workgroups(run.groups(), 1, 1);
        }
    }

    /// Submits the plan, and with its last part the copies to the staging buffer.
    fn submit(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        let mut cost = Cost::default();
        let mut start = 0;
        loop {
            let is_first = start == 0;
            let end = self.plan.runs().len().min(start + RUNS);
            self.gather_run_params(start..end);
            cost.uploaded_bytes += self.upload.bytes();
            let mut encoder = self.gpu.encoder();
            self.encode_upload(&mut encoder)?;
            self.encode_runs(&mut encoder, start..end);
            start = end;
            if end == self.plan.runs().len() {
                cost.readback_bytes = self.encode_readback(&mut encoder, drain.readback);
            }
            let commands = encoder.finish();
            // What was refused until now, by whomever, is said now; from a submission on, all that
            // can happen is that the device is lost.
            self.gpu.check().map_err(|error| match is_first {
                true => error,
                false => self.gpu.lose(error.to_string()),
            })?;
            self.submission = Some(self.gpu.start([commands]));
            self.upload.sent();
            if end == self.plan.runs().len() {
                break;
            }
            cost.sync_points += 1;
        }
        cost.launches = self.plan.runs().len() as u32;
        cost.lanes = self.plan.runs().iter().map(|run| run.lanes()).sum();
        cost.sync_points += 1;
        Ok(cost)
    }

    fn encode_readback(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        readback: &[(Buffer, Range<usize>)],
    ) -> u64 {
        let mut staged = 0;
        for (buffer, range) in readback {
            let (offset, size) = (range.start as u64 * 4, range.len() as u64 * 4);
            let source = &self.buffers[*buffer as usize];
            encoder.copy_buffer_to_buffer(source, offset, self.staging.buffer(), staged, size);
            staged += size;
        }
        staged
    }
}

/// Runs every pipeline over no entries: drivers compile when a pipeline first runs, and the first
/// drain has a timeout.
fn warm_up(
    gpu: &Gpu,
    bind_group: &wgpu::BindGroup,
    pipelines: &[wgpu::ComputePipeline],
) -> Result<(), BackendError> {
    let mut encoder = gpu.encoder();
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for pipeline in pipelines {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind_group, &[0]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    drop(pass);
    gpu.check()?;
    let warmed_up = gpu.start([encoder.finish()]);
    gpu.wait(warmed_up, WARM_UP_TIMEOUT)
}

impl Backend for Portable {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        self.gpu.check()?;
        self.upload.clear();
        self.gather(drain);
        self.plan.make(drain.work);
        self.submit(drain)
    }

    fn finish(&mut self, readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError> {
        let Some(submission) = self.submission.take() else { return Ok(()) };
        let words: usize = readback.iter().map(|(_, range)| range.len()).sum();
        let (bytes, timeout) = (words as u64 * 4, self.timeout);
        self.staging.read(&self.gpu, submission, bytes, timeout, |mut words| {
            for (buffer, range) in readback {
                let (part, rest) = words.split_at(range.len());
                self.host.fill(*buffer, range.start, part);
                words = rest;
            }
        })
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        self.gpu.write(&self.workspace, first as u64 * 4, bytemuck::cast_slice(words));
        self.gpu.check()
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        self.staging.read_buffer(&self.gpu, &self.workspace, first, words, self.timeout)
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        Some(&self.buffers[buffer as usize])
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        Some(&self.workspace)
    }
}
