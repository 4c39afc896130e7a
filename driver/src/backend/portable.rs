//! Safe wgpu: buffers created once, dirty words uploaded, one submission a drain.

mod pipelines;

use super::{Backend, BackendError, BackendInfo, Cost, Drain, LaneOrder};
use crate::gpu::{Gpu, Needs};
use crate::kernel::{DispatchLimits, Kernel, LLVMPIPE_ITERATIONS};
use crate::open::OpenError;
use slipring_core::layout::{Buffer, Geometry};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes from one run's parameters to the next: wgpu's least alignment of a dynamic offset.
const RUN_STRIDE: usize = 256;
/// Runs of one submission. More than that only a serial drain of a long list has.
const RUNS: usize = 1024;
/// Entries of one run where the device has no loop limit: they keep every run short.
const SHORT_RUNS: DispatchLimits = DispatchLimits { serial_slots: 1024, fences: 256 };
/// Words that read workspace words at a time.
const STAGING_WORDS: usize = 1 << 16;

/// What a portable row is made of.
pub(crate) struct Options {
    pub(crate) geometry: Geometry,
    pub(crate) workspace_words: usize,
    pub(crate) order: LaneOrder,
    pub(crate) validation: bool,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Copy)]
enum Entry {
    Drain,
    Serial,
    Fence,
}

/// One dispatch: `count` entries of the work list from `offset` on.
struct Run {
    entry: Entry,
    offset: u32,
    count: u32,
}

pub(crate) struct Portable {
    gpu: Gpu,
    info: BackendInfo,
    order: LaneOrder,
    timeout: Duration,
    limits: DispatchLimits,
    buffers: [wgpu::Buffer; 4],
    workspace: wgpu::Buffer,
    work: wgpu::Buffer,
    run_params: wgpu::Buffer,
    staging: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    pipelines: [wgpu::ComputePipeline; 3],
    runs: Vec<Run>,
    scratch: Vec<u32>,
}

impl Portable {
    /// Opens a device and creates everything that the row will ever need.
    pub(crate) fn open(kernel: &Kernel, options: &Options) -> Result<Self, OpenError> {
        let Options { geometry, workspace_words, .. } = *options;
        let row_words: usize = Buffer::ALL.iter().map(|&buffer| geometry.words(buffer)).sum();
        let staging_words = row_words.max(STAGING_WORDS);
        let largest = workspace_words.max(staging_words) as u64 * 4;
        let gpu = Gpu::open(Needs { largest_buffer: largest }, options.validation)?;
        // llvmpipe, the CPU device, ends loops without a word; other devices have no limit.
        let is_cpu = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let limits = if is_cpu {
            kernel.dispatch_limits(LLVMPIPE_ITERATIONS, geometry.slots())?
        } else {
            SHORT_RUNS
        };

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
        let slots = geometry.slots() as usize;
        let work = create("work list", slots, wgpu::BufferUsages::STORAGE | to_device);
        let params_words = RUNS * RUN_STRIDE / 4;
        let run_params =
            create("run parameters", params_words, wgpu::BufferUsages::UNIFORM | to_device);
        let staging = create("staging", staging_words, wgpu::BufferUsages::MAP_READ | to_device);

        let layout = pipelines::bind_group_layout(gpu.device());
        let [control, ring, debug_log, io_queue] = &buffers;
        let storage = [control, ring, debug_log, io_queue, &workspace, &work];
        let bind_group = pipelines::bind_group(gpu.device(), &layout, &storage, &run_params);
        let pipelines = pipelines::pipelines(gpu.device(), &layout, kernel);
        gpu.check()?;
        let info = BackendInfo {
            backend: "portable",
            adapter: gpu.info().name.clone(),
            reason: gpu.reason().to_owned(),
        };
        Ok(Self {
            gpu,
            info,
            order: options.order,
            timeout: options.timeout,
            limits,
            buffers,
            workspace,
            work,
            run_params,
            staging,
            bind_group,
            pipelines,
            runs: Vec::new(),
            scratch: Vec::with_capacity(row_words.max(params_words)),
        })
    }

    fn upload(&mut self, drain: &Drain<'_>) -> u64 {
        let mut uploaded = 0;
        for (buffer, range) in drain.uploads {
            let words = &drain.row.words(*buffer)[range.clone()];
            self.scratch.clear();
            self.scratch.extend(words.iter().map(|word| word.load(Ordering::Relaxed)));
            let bytes = bytemuck::cast_slice(&self.scratch);
            self.gpu.write(&self.buffers[*buffer as usize], range.start as u64 * 4, bytes);
            uploaded += bytes.len() as u64;
        }
        self.scratch.clear();
        drain.work.levels().for_each(|level| self.scratch.extend(level));
        self.scratch.extend(drain.work.fences());
        let bytes: &[u8] = bytemuck::cast_slice(&self.scratch);
        self.gpu.write(&self.work, 0, bytes);
        uploaded + bytes.len() as u64
    }

    /// Cuts the work list into dispatches, in the order they must run.
    fn plan(&mut self, drain: &Drain<'_>) {
        self.runs.clear();
        let (entry, step) = match self.order {
            LaneOrder::Parallel => (Entry::Drain, u32::MAX),
            LaneOrder::Serial => (Entry::Serial, self.limits.serial_slots),
        };
        let mut offset = 0;
        let lists = drain.work.levels().map(|level| (entry, step, level.len()));
        for (entry, step, len) in
            lists.chain([(Entry::Fence, self.limits.fences, drain.work.fences().len())])
        {
            let end = offset + len as u32;
            while offset < end {
                let count = step.min(end - offset);
                self.runs.push(Run { entry, offset, count });
                offset += count;
            }
        }
    }

    fn write_run_params(&mut self, runs: Range<usize>) -> u64 {
        self.scratch.clear();
        for run in &self.runs[runs] {
            self.scratch.extend([run.offset, run.count]);
            let stride = self.scratch.len().next_multiple_of(RUN_STRIDE / 4);
            self.scratch.resize(stride, 0);
        }
        let bytes: &[u8] = bytemuck::cast_slice(&self.scratch);
        self.gpu.write(&self.run_params, 0, bytes);
        bytes.len() as u64
    }

    fn encode_runs(&self, encoder: &mut wgpu::CommandEncoder, runs: Range<usize>) {
        // wgpu puts a barrier between dispatches that write the same buffers.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (index, run) in self.runs[runs].iter().enumerate() {
            pass.set_pipeline(&self.pipelines[run.entry as usize]);
            pass.set_bind_group(0, &self.bind_group, &[(index * RUN_STRIDE) as u32]);
            let groups = match run.entry {
                Entry::Drain => run.count.div_ceil(Kernel::LANES),
                Entry::Serial | Entry::Fence => 1,
            };
            pass.dispatch_workgroups(groups, 1, 1);
        }
    }

    /// Submits the plan, and with its last part the copies to the staging buffer.
    fn submit(&mut self, drain: &Drain<'_>) -> (wgpu::SubmissionIndex, u64) {
        let mut uploaded = 0;
        let mut start = 0;
        loop {
            let end = self.runs.len().min(start + RUNS);
            uploaded += self.write_run_params(start..end);
            let mut encoder = self.encoder();
            self.encode_runs(&mut encoder, start..end);
            start = end;
            if end < self.runs.len() {
                self.gpu.start([encoder.finish()]);
                continue;
            }
            let mut staged = 0;
            for (buffer, range) in drain.readback {
                let (offset, size) = (range.start as u64 * 4, range.len() as u64 * 4);
                let source = &self.buffers[*buffer as usize];
                encoder.copy_buffer_to_buffer(source, offset, &self.staging, staged, size);
                staged += size;
            }
            return (self.gpu.start([encoder.finish()]), uploaded);
        }
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Waits for `submission`, then hands the first `bytes` of the staging buffer to `read`.
    fn read_staging(
        &self,
        submission: wgpu::SubmissionIndex,
        bytes: u64,
        read: impl FnOnce(&[u32]),
    ) -> Result<(), BackendError> {
        let mapped = Arc::new(Mutex::new(None));
        let result = Arc::clone(&mapped);
        self.staging.map_async(wgpu::MapMode::Read, 0..bytes, move |mapped| {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(mapped);
        });
        self.gpu.wait(submission, self.timeout)?;
        match mapped.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.gpu.lose(error.to_string())),
            None => return Err(self.gpu.lose("the readback was not mapped".to_owned())),
        }
        let view = self.staging.get_mapped_range(0..bytes);
        let view = view.map_err(|error| self.gpu.lose(error.to_string()))?;
        read(bytemuck::cast_slice(&view));
        drop(view);
        self.staging.unmap();
        Ok(())
    }
}

impl Backend for Portable {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn drain(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        self.gpu.check()?;
        let uploaded = self.upload(drain);
        self.plan(drain);
        // What was refused until now, by whomever, is said now; from the submission on, all that
        // can happen is that the device is lost.
        self.gpu.check()?;
        let (submission, params) = self.submit(drain);
        let readback_words: usize = drain.readback.iter().map(|(_, range)| range.len()).sum();
        let readback_bytes = readback_words as u64 * 4;
        self.read_staging(submission, readback_bytes, |mut words| {
            for (buffer, range) in drain.readback {
                let (part, rest) = words.split_at(range.len());
                drain.row.fill(*buffer, range.start, part);
                words = rest;
            }
        })?;
        Ok(Cost {
            uploaded_bytes: uploaded + params,
            readback_bytes,
            launches: self.runs.len() as u32,
            lanes: self.runs.iter().map(lanes).sum(),
            sync_points: 1,
        })
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        self.gpu.write(&self.workspace, first as u64 * 4, bytemuck::cast_slice(words));
        self.gpu.check()
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        for (index, part) in words.chunks_mut(STAGING_WORDS).enumerate() {
            let offset = (first + index * STAGING_WORDS) as u64 * 4;
            let bytes = part.len() as u64 * 4;
            let mut encoder = self.encoder();
            encoder.copy_buffer_to_buffer(&self.workspace, offset, &self.staging, 0, bytes);
            let submission = self.gpu.start([encoder.finish()]);
            self.read_staging(submission, bytes, |words| part.copy_from_slice(words))?;
        }
        Ok(())
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

fn lanes(run: &Run) -> u64 {
    u64::from(match run.entry {
        Entry::Drain => run.count.next_multiple_of(Kernel::LANES),
        Entry::Serial => 1,
        Entry::Fence => Kernel::LANES,
    })
}
