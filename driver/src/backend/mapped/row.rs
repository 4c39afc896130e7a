//! A row in memory that host and GPU share.

use super::Mapped;
use super::arena::MappedArena;
use super::flight::{Flight, store};
use super::stay::Stay;
use crate::backend::plan::Plan;
use crate::backend::staging::{STAGING_WORDS, Staging};
use crate::backend::{
    Backend, BackendError, BackendInfo, Batch, Cost, Drain, Resident, RowOptions, StayMemory,
    Submission, WARM_UP_TIMEOUT,
};
use crate::gpu::{Gpu, Needs};
use crate::host_row::{HostRow, load_words, store_words};
use crate::kernel::{Kernel, StayLimits};
use crate::open::OpenError;
use crate::persistent::{PersistError, Slices};
use crate::storage::{HostMemory, Storage};
use crate::vulkan::{Allocation, Placement, RUNS, Usage};
use crate::work::entry_of;
use slipring_core::control;
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use slipring_core::slot::Priority;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) struct Row {
    info: BackendInfo,
    timeout: Duration,
    imports: [wgpu::Buffer; 4],
    workspace_import: wgpu::Buffer,
    arena_import: wgpu::Buffer,
    /// Where the host does not see the workspace.
    staging: Option<Staging>,
    /// Whether wgpu holds writes to the workspace that it has not submitted.
    has_pending_writes: bool,
    /// The kernel that stays on, or why none can.
    stay: Result<Stay, PersistError>,
    flights: Vec<Flight>,
    host: HostRow,
    workspace: Allocation,
    arena: MappedArena,
    mapped: Arc<Mapped>,
}

/// What a row's buffers need of a GPU.
pub(super) fn needs(options: &RowOptions) -> Needs {
    let row_words = Buffer::ALL.into_iter().map(|buffer| options.geometry.words(buffer));
    let others = [options.workspace_words, options.arena_words()];
    let largest = row_words.chain(others).fold(0, usize::max) as u64 * 4;
    Needs { largest_binding: largest, largest_buffer: largest }
}

impl Row {
    /// Creates everything that the row will ever need.
    pub(super) fn open(mapped: Arc<Mapped>, options: &RowOptions) -> Result<Self, OpenError> {
        let (gpu, device, geometry) = (&mapped.gpu, &mapped.device, options.geometry);
        gpu.check_limits(needs(options))?;
        let ends_loops = gpu.ends_loops();
        let buffers = match &options.storage {
            Some(storage) => {
                let host = HostMemory::Storage(storage.clone());
                storage.all().iter().for_each(|word| word.store(0, Ordering::Relaxed));
                let buffers = Allocation::of_host(device, &host, &Storage::ranges(geometry));
                buffers.map_err(|error| match error.is_lost() {
                    true => error.into(),
                    false => OpenError::NotMapped { reason: error.to_string() },
                })?
            }
            None => {
                let placement = match (options.memory_type, mapped.slice) {
                    (Some(index), _) => device
                        .check_memory_type(index)
                        .map(|()| Placement::Type(index))
                        .map_err(|reason| OpenError::NotMapped { reason })?,
                    (None, Some(_)) => Placement::Polled,
                    (None, None) => Placement::HostReads,
                };
                let words = Buffer::ALL.into_iter().map(|buffer| geometry.words(buffer));
                words
                    .map(|words| Allocation::new(device, words, Usage::Storage, placement))
                    .collect::<Result<_, _>>()?
            }
        };
        let workspace_words = options.workspace_words;
        let workspace = Allocation::new(device, workspace_words, Usage::Storage, Placement::Gpu)?;
        let arena = MappedArena::open(&mapped, options.arena.as_deref())?;
        let flight = |_| -> Result<_, OpenError> {
            let slots = geometry.slots();
            let plan = Plan::new(&mapped.kernel, slots, ends_loops, mapped.order)?;
            Ok(Flight::new(&mapped, plan, slots, &buffers, [&workspace, &arena.buffer])?)
        };
        let flights = (0..options.in_flight).map(flight).collect::<Result<Vec<_>, _>>()?;
        let stay = match mapped.slice {
            None => Err(PersistError::NotPrepared),
            Some(slice) => {
                let times = [slice, options.timeout];
                Stay::new(&mapped, flights[0].bindings(), geometry.slots(), times)
            }
        };
        let import = |buffer: Buffer| buffers[buffer as usize].import(buffer.name());
        let imports = Buffer::ALL.map(import);
        let workspace_import = workspace.import("workspace");
        let arena_import = arena.buffer.import("arena");
        let mut staging = None;
        if workspace.mapped().is_none() {
            staging = Some(Staging::new(gpu.device(), STAGING_WORDS.min(workspace_words)));
            let mut encoder = gpu.encoder();
            encoder.clear_buffer(&workspace_import, 0, None);
            // Ahead of whatever uses it.
            gpu.start([encoder.finish()]);
        }
        gpu.check()?;
        let (row, others) = (buffers[Buffer::Ring as usize].flags(), workspace.flags());
        let info = BackendInfo {
            backend: "mapped",
            adapter: gpu.info().name.clone(),
            is_cpu: ends_loops,
            reason: format!(
                "{}; row in {row:?}, workspace in {others:?}; {}",
                gpu.reason(),
                mapped.pipelines.origin()
            ),
        };
        let mut row = Self {
            info,
            timeout: options.timeout,
            imports,
            workspace_import,
            arena_import,
            staging,
            has_pending_writes: false,
            stay,
            flights,
            host: HostRow::mapped(geometry, buffers),
            workspace,
            arena,
            mapped,
        };
        row.warm_up()?;
        Ok(row)
    }

    /// Has the device's first row run every pipeline over no entries: drivers compile when a
    /// pipeline first runs, and the first drain has a timeout, as has the first job of a kernel that
    /// stays on.
    fn warm_up(&mut self) -> Result<(), BackendError> {
        if self.mapped.is_warm.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let flight = &mut self.flights[0];
        let mut commands = vec![flight.idle_commands()];
        commands.extend(self.stay.as_ref().ok().map(Stay::idle_commands));
        let number = self.mapped.timeline.submit(&commands)?;
        flight.submission = Submission::Timeline(number);
        self.mapped.wait(&flight.submission, WARM_UP_TIMEOUT)
    }

    /// Has wgpu submit what it holds of writes to the workspace.
    fn flush_writes(&mut self) {
        if std::mem::take(&mut self.has_pending_writes) {
            self.mapped.gpu.start([]);
        }
    }
}

impl Resident for Row {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    fn shares_row(&self) -> bool {
        true
    }

    fn stage(
        &mut self,
        drain: &Drain<'_>,
        first: usize,
        batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError> {
        self.mapped.gpu.check()?;
        if self.stay.as_ref().is_ok_and(Stay::is_running) {
            let message = "a kernel stays on; stop it first".to_owned();
            return Err(BackendError::Refused { message });
        }
        self.flush_writes();
        let flight = &mut self.flights[drain.flight];
        if first == 0 {
            flight.begin(drain.work);
        }
        let (commands, range) = flight.commands(first);
        batch.raw.push(commands);
        let rest = (range.end < flight.runs().len()).then_some(range.end);
        Ok((Cost::of(&flight.runs()[range], 0, 0), rest))
    }

    fn submitted(&mut self, flight: usize, submission: &Submission) {
        self.flights[flight].submission = submission.clone();
    }

    fn finish(
        &mut self,
        flight: usize,
        _readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError> {
        self.mapped.wait(&self.flights[flight].submission, self.timeout)
    }

    fn persist(&mut self, levels: &Partitions) -> Result<(), PersistError> {
        self.mapped.gpu.check()?;
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
        self.flights[0].set_work(entries);
        let run_params = self.flights[0].run_params().clone();
        stay.start(move |limits, first| {
            let StayLimits { passes, look_passes, budget } = limits;
            for dispatch in 0..RUNS as u32 {
                let at = dispatch as usize * Kernel::RUN_STRIDE / 4;
                let first = first.wrapping_add(dispatch);
                store(
                    &run_params,
                    at,
                    [0, slots, passes, look_passes, budget, 0, first].into_iter(),
                );
            }
        })
    }

    fn persisting(&self) -> Result<Slices, PersistError> {
        self.stay.as_ref().map_err(PersistError::clone)?.state()
    }

    fn stop(&mut self) -> Result<Slices, PersistError> {
        let stay = self.stay.as_mut().map_err(|reason| reason.clone())?;
        if !stay.is_running() {
            return Err(PersistError::Stopped);
        }
        let control = self.host.words(Buffer::Control);
        let shutdown = &control[control::word::SHUTDOWN];
        // A job may have shut the row down before.
        let before = shutdown.load(Ordering::Relaxed);
        let stopped = stay.stop(|| shutdown.store(1, Ordering::Release));
        shutdown.store(before, Ordering::Release);
        if let Err(PersistError::Backend(error)) = &stopped {
            let _ = self.mapped.lose_by(error.clone());
        }
        stopped
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        let gpu = &self.mapped.gpu;
        gpu.check()?;
        if self.workspace.mapped().is_some() {
            gpu.wait_for_users(self.timeout)?;
            store(&self.workspace, first, words.iter().copied());
            return Ok(());
        }
        gpu.write(&self.workspace_import, first as u64 * 4, bytemuck::cast_slice(words));
        self.has_pending_writes = true;
        gpu.check()
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        let gpu = &self.mapped.gpu;
        gpu.check()?;
        let Some(staging) = &self.staging else {
            gpu.wait_for_users(self.timeout)?;
            load_words(self.workspace.mapped().unwrap_or(&[]), first, words);
            return Ok(());
        };
        staging.read_buffer(gpu, &self.workspace_import, first, words, self.timeout)
    }

    fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.mapped.gpu.check()?;
        self.mapped.gpu.wait_for_users(self.timeout)?;
        store_words(self.arena.words(), first, words.iter().copied());
        Ok(())
    }

    fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.mapped.gpu.check()?;
        self.mapped.gpu.wait_for_users(self.timeout)?;
        load_words(self.arena.words(), first, words);
        Ok(())
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.mapped.gpu)
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        Some(&self.imports[buffer as usize])
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        Some(&self.workspace_import)
    }

    fn stay_memory(&self) -> Option<StayMemory> {
        let io_queue = self.host.allocation(Buffer::IoQueue)?.clone();
        let ring = self.host.allocation(Buffer::Ring)?.clone();
        Some(StayMemory { io_queue, ring, arena: self.arena.clone() })
    }

    fn deliver_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        self.arena.deliver(words)
    }

    fn fetch_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        self.arena.fetch(words)
    }

    fn arena(&self) -> Option<&wgpu::Buffer> {
        Some(&self.arena_import)
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // A guard may have been forgotten.
        let _ = self.stop();
        // Before the fields are destroyed, which commands may still use. Other rows go on. A lost
        // device has ended all.
        let drains = self.flights.iter().map(|flight| flight.submission.clone());
        for submission in drains.chain(self.stay.as_ref().map(Stay::last)) {
            let _ = self.mapped.wait(&submission, Duration::MAX);
        }
    }
}
