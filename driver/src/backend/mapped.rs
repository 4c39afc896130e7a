//! Mapped Vulkan memory: publishing *is* writing GPU memory, and a drain resubmits commands that
//! were recorded once. After opening, nothing here allocates.

mod stay;

use super::plan::{Plan, Run};
use super::staging::{STAGING_WORDS, Staging};
use super::{Backend, BackendError, BackendInfo, Cost, Drain, Options, WARM_UP_TIMEOUT};
use crate::gpu::{Gpu, Needs};
use crate::host_row::{HostRow, load_words, store_words};
use crate::kernel::{Entry, Kernel, StayLimits};
use crate::open::OpenError;
use crate::persistent::{PersistError, Slices};
use crate::vulkan::{
    Allocation, DISPATCH_WORDS, Device, Pipelines, Placement, RUNS, Recording, Timeline, Usage,
};
use crate::work::entry_of;
use slipring_core::control;
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use slipring_core::slot::Priority;
use stay::Stay;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) struct Mapped {
    gpu: Gpu,
    info: BackendInfo,
    timeout: Duration,
    plan: Plan,
    imports: [wgpu::Buffer; 4],
    workspace_import: wgpu::Buffer,
    /// Where the host does not see the workspace.
    staging: Option<Staging>,
    /// Whether wgpu holds writes to the workspace that it has not submitted.
    has_pending_writes: bool,
    timeline: Timeline,
    recording: Recording,
    // What the commands use is dropped after them.
    _pipelines: Pipelines,
    host: HostRow,
    workspace: Allocation,
    work: Allocation,
    run_params: Arc<Allocation>,
    arguments: Allocation,
    /// The kernel that stays on, or why none can.
    stay: Result<Stay, PersistError>,
    device: Arc<Device>,
}

impl Mapped {
    /// Opens a device and creates everything that the row will ever need.
    pub(crate) fn open(kernel: &Kernel, options: &Options) -> Result<Self, OpenError> {
        let Options { geometry, workspace_words, .. } = *options;
        let row_words = Buffer::ALL.map(|buffer| geometry.words(buffer));
        let largest = row_words.into_iter().fold(workspace_words, usize::max) as u64 * 4;
        let needs = Needs { largest_binding: largest, largest_buffer: largest };
        let gpu = Gpu::open(needs, options.validation)?;
        let ends_loops = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let plan = Plan::new(kernel, geometry.slots(), ends_loops, options.order)?;
        let device = Device::below(gpu.device(), gpu.info(), gpu.order());
        let device = device.map_err(|reason| OpenError::NotMapped { reason })?;

        let allocate = |words, usage, placement| Allocation::new(&device, words, usage, placement);
        let placement = match options.slice {
            Some(_) => Placement::Polled,
            None => Placement::HostReads,
        };
        let [control, ring, debug_log, io_queue] =
            row_words.map(|words| allocate(words, Usage::Storage, placement));
        let row = [control?, ring?, debug_log?, io_queue?];
        let workspace = allocate(workspace_words, Usage::Storage, Placement::Gpu)?;
        let slots = geometry.slots() as usize;
        let work = allocate(slots, Usage::Storage, Placement::HostWrites)?;
        let run_params =
            allocate(RUNS * Kernel::RUN_STRIDE / 4, Usage::Uniform, Placement::HostWrites)?;
        let arguments = allocate(RUNS * DISPATCH_WORDS, Usage::Indirect, Placement::HostWrites)?;

        let [control, ring, debug_log, io_queue] = &row;
        let storage = [control, ring, debug_log, io_queue, &workspace, &work];
        let mut entries = vec![plan.entry(), Entry::Fence];
        entries.extend(options.slice.map(|_| stay::entry(ends_loops)));
        let cache = options.pipeline_cache.as_deref();
        let pipelines = Pipelines::new(&device, kernel, &entries, storage, &run_params, cache)?;
        let recording = Recording::drains(&device, &pipelines, plan.entry(), &arguments)?;
        let stay = options.slice.map(|slice| {
            let times = [slice, options.timeout];
            Stay::new(&device, &pipelines, kernel, geometry.slots(), ends_loops, times)
        });
        let stay = stay.unwrap_or(Err(PersistError::NotPrepared));
        let mut timeline = Timeline::new(&device)?;
        let imports = Buffer::ALL.map(|buffer| row[buffer as usize].import(buffer.name()));
        let workspace_import = workspace.import("workspace");
        let mut staging = None;
        if workspace.mapped().is_none() {
            staging = Some(Staging::new(gpu.device(), STAGING_WORDS.min(workspace_words)));
            let mut encoder = gpu.encoder();
            encoder.clear_buffer(&workspace_import, 0, None);
            let zeroed = gpu.start([encoder.finish()]);
            gpu.wait(zeroed, WARM_UP_TIMEOUT)?;
        }
        gpu.check()?;
        // Every pipeline runs over no entries: drivers compile when a pipeline first runs, and the
        // first drain has a timeout.
        store(&arguments, 0, [1; RUNS * DISPATCH_WORDS].into_iter());
        timeline.submit(recording.of_runs(1, true))?;
        timeline.wait(WARM_UP_TIMEOUT)?;
        let info = BackendInfo {
            backend: "mapped",
            adapter: gpu.info().name.clone(),
            is_cpu: ends_loops,
            reason: format!(
                "{}; row in {:?}, workspace in {:?}; {}",
                gpu.reason(),
                row[Buffer::Ring as usize].flags(),
                workspace.flags(),
                pipelines.origin()
            ),
        };
        Ok(Self {
            gpu,
            info,
            timeout: options.timeout,
            plan,
            imports,
            workspace_import,
            staging,
            has_pending_writes: false,
            timeline,
            recording,
            _pipelines: pipelines,
            host: HostRow::mapped(geometry, row),
            workspace,
            work,
            run_params: Arc::new(run_params),
            arguments,
            stay,
            device,
        })
    }

    fn wait(&self) -> Result<(), BackendError> {
        self.timeline.wait(self.timeout).map_err(|error| self.gpu.lose_by(error))
    }

    /// Has wgpu submit what it holds of writes to the workspace.
    fn flush_writes(&mut self) {
        if std::mem::take(&mut self.has_pending_writes) {
            self.gpu.start([]);
        }
    }

    fn write_work(&self, drain: &Drain<'_>) {
        let entries = drain.work.levels().chain([drain.work.fences()]).flatten();
        store(&self.work, 0, entries.copied());
    }

    /// Submits runs, as many as one submission takes.
    fn submit(&mut self, runs: Range<usize>) -> Result<(), BackendError> {
        let runs = &self.plan.runs()[runs];
        for (index, run) in runs.iter().enumerate() {
            store(&self.run_params, index * Kernel::RUN_STRIDE / 4, run.params().into_iter());
            store(&self.arguments, index * DISPATCH_WORDS, [run.groups(), 1, 1].into_iter());
        }
        let fences = runs.iter().filter(|run| run.entry == Entry::Fence).count();
        let commands = self.recording.of_runs(runs.len() - fences, fences > 0);
        self.timeline.submit(commands)
    }
}

/// Writes words of an allocation that the host sees.
fn store(allocation: &Allocation, first: usize, words: impl Iterator<Item = u32>) {
    store_words(allocation.mapped().unwrap_or(&[]), first, words);
}

/// The runs from `start` on that go in one submission: those of slots, then one of fences.
fn batch(runs: &[Run], start: usize) -> Range<usize> {
    let rest = &runs[start..];
    let drains = rest.iter().take(RUNS - 1).take_while(|run| run.entry != Entry::Fence).count();
    let has_fence = rest.get(drains).is_some_and(|run| run.entry == Entry::Fence);
    start..start + drains + usize::from(has_fence)
}

impl Backend for Mapped {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    fn shares_row(&self) -> bool {
        true
    }

    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        self.gpu.check()?;
        if self.stay.as_ref().is_ok_and(Stay::is_running) {
            let message = "a kernel stays on; stop it first".to_owned();
            return Err(BackendError::Refused { message });
        }
        self.flush_writes();
        self.write_work(drain);
        self.plan.make(drain.work);
        let mut cost = Cost::default();
        let mut start = 0;
        while start < self.plan.runs().len() {
            let runs = batch(self.plan.runs(), start);
            if start > 0 {
                // The parameters of before are read until then.
                self.wait()?;
            }
            let is_first = start == 0;
            start = runs.end;
            self.submit(runs).map_err(|error| match is_first && !error.is_lost() {
                true => error,
                false => self.gpu.lose_by(error),
            })?;
            cost.sync_points += 1;
        }
        cost.launches = self.plan.runs().len() as u32;
        cost.lanes = self.plan.runs().iter().map(|run| run.lanes()).sum();
        Ok(cost)
    }

    fn finish(&mut self, _readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError> {
        self.wait()
    }

    fn persist(&mut self, levels: &Partitions) -> Result<(), PersistError> {
        self.gpu.check()?;
        if self.host.words(Buffer::Control)[control::word::SHUTDOWN].load(Ordering::Relaxed) != 0 {
            return Err(PersistError::Unavailable { reason: "the row is shut down".to_owned() });
        }
        self.flush_writes();
        let stay = self.stay.as_mut().map_err(|reason| reason.clone())?;
        if stay.is_running() {
            return Err(PersistError::Twice);
        }
        let slots = levels.slots();
        let entries = Priority::ALL
            .into_iter()
            .flat_map(|level| levels.range(level).map(move |slot| entry_of(slot, level)));
        store(&self.work, 0, entries);
        let run_params = Arc::clone(&self.run_params);
        stay.start(move |limits| {
            let StayLimits { passes, look_passes, budget } = limits;
            store(&run_params, 0, [0, slots, passes, look_passes, budget, 0].into_iter());
        })
    }

    fn persisting(&self) -> Result<Slices, PersistError> {
        self.stay.as_ref().map_err(PersistError::clone)?.state()
    }

    fn stop(&mut self) -> Result<Slices, PersistError> {
        let stay = self.stay.as_mut().map_err(|reason| reason.clone())?;
        let control = self.host.words(Buffer::Control);
        let shutdown = &control[control::word::SHUTDOWN];
        // A job may have shut the row down before.
        let before = shutdown.load(Ordering::Relaxed);
        let stopped = stay.stop(|| shutdown.store(1, Ordering::Release));
        shutdown.store(before, Ordering::Release);
        if let Err(PersistError::Backend(error)) = &stopped {
            let _ = self.gpu.lose(error.to_string());
        }
        stopped
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        if self.workspace.mapped().is_some() {
            store(&self.workspace, first, words.iter().copied());
            return Ok(());
        }
        let bytes = bytemuck::cast_slice(words);
        self.gpu.write(&self.workspace_import, first as u64 * 4, bytes);
        self.has_pending_writes = true;
        self.gpu.check()
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.gpu.check()?;
        let Some(staging) = &self.staging else {
            load_words(self.workspace.mapped().unwrap_or(&[]), first, words);
            return Ok(());
        };
        staging.read_buffer(&self.gpu, &self.workspace_import, first, words, self.timeout)
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.gpu)
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        Some(&self.imports[buffer as usize])
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        Some(&self.workspace_import)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // A guard may have been forgotten.
        let _ = self.stop();
        // Before the fields are destroyed, which commands may still use.
        self.device.wait_idle();
    }
}
