//! Opening a driver: what it is made of, and what can be wrong with that.

mod builder;

pub use builder::DriverBuilder;

use crate::arena::{Arena, ArenaOptions, CHUNK_STEP_BYTES, MAX_CHUNK_BYTES, MAX_CHUNKS};
use crate::backend::{Backend, BackendError, Cpu, Mapped, Options, Portable, Resident, RowOptions};
use crate::device::Device;
use crate::driver::Driver;
use crate::gpu::GpuError;
use crate::kernel::IterationError;
use crate::persistent::MAX_SLICE;
use crate::recovery::{Losing, Mirror, Stage};
use crate::shared::Shared;
use crate::storage::Storage;
use crate::work::WorkList;
use slipring_core::layout::LayoutError;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::row::ResetError;
use std::sync::Arc;
use std::time::Duration;

/// How long a drain may take before the device counts as lost, unless said otherwise: 10 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most words of a workspace: handlers count them in a `u32`.
pub const MAX_WORKSPACE_WORDS: usize = u32::MAX as usize;

/// The most drains that may be in flight at once.
pub const MAX_IN_FLIGHT: usize = 16;

/// Why a driver did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum OpenError {
    /// A count beyond the limits, or partitions of another slot count.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The row could not be encoded.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// A ring without slots runs nothing.
    #[error("the geometry has no slots; give it at least 1")]
    NoSlots,
    /// A workspace whose words a `u32` cannot count.
    #[error("a workspace of {words} words; {MAX_WORKSPACE_WORDS} can be counted")]
    Workspace { words: usize },
    /// Chunks of an arena that are not whole pages, or too large.
    #[error(
        "arena chunks of {chunk_bytes} bytes; a multiple of {CHUNK_STEP_BYTES} up to \
         {MAX_CHUNK_BYTES} is possible"
    )]
    ArenaChunkBytes { chunk_bytes: u32 },
    /// An arena of no chunks, or too many.
    #[error("an arena of {chunks} chunks; 1 to {MAX_CHUNKS} are possible")]
    ArenaChunks { chunks: u32 },
    /// An arena whose words a `u32` cannot count.
    #[error("an arena of {words} words; {MAX_WORKSPACE_WORDS} can be counted")]
    Arena { words: u64 },
    /// Storage that is too short for the row, or does not start at a page.
    #[error(
        "storage of {words} words, {misaligned} bytes past a page; {needed} words at a multiple of \
         {} bytes are needed",
        crate::storage::ALIGNMENT_BYTES
    )]
    Storage { words: usize, needed: usize, misaligned: usize },
    /// Storage of which another row has a part.
    #[error("storage of {words} words of which another row has some")]
    StorageTaken { words: usize },
    /// More drains in flight than there may be; with recovery, more than one.
    #[error("{in_flight} drains in flight at once; 1 to {most} are possible")]
    InFlight { in_flight: usize, most: usize },
    /// No time at all for a drain.
    #[error("a timeout of 0 would lose every device; give it more")]
    NoTimeout,
    /// A slice of no time, or longer than a small GPU's watchdog leaves.
    #[error("slices of {slice_ms} ms; more than 0 and up to {} ms are allowed", MAX_SLICE.as_millis())]
    Slice { slice_ms: u64 },
    /// No memory for the workspace or the arena of the twin, or the workspace of a driver that
    /// recovers.
    #[error("no memory for {bytes} bytes of the workspace or the arena")]
    OutOfMemory { bytes: u64 },
    /// No GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Raw Vulkan, which mapped memory needs, is not to be had.
    #[error("mapped memory is not available on this device: {reason}")]
    NotMapped { reason: String },
    /// The kernel's loops do not fit the device.
    #[error(transparent)]
    Iterations(#[from] IterationError),
    /// The device refused, or went away meanwhile.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The twin was taken, and a handler runs on the GPU only.
    #[error("handler `{function}` has no CPU twin (Handler::on_cpu), which runs because: {reason}")]
    NoCpuTwin { function: String, reason: String },
}

/// Where the kernel is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best GPU that runs the kernel, or else the twin; [`Driver::backend`] says why.
    #[default]
    Auto,
    /// Memory that host and GPU share, on Vulkan 1.1 or later, or an error.
    Mapped,
    /// Safe wgpu, or an error.
    Portable,
    /// The kernel's twin on the CPU.
    Twin,
}

impl DriverBuilder {
    /// Creates everything that the driver will ever need.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(mut self) -> Result<Driver, OpenError> {
        self.check()?;
        let geometry = self.options.row.geometry;
        let storage = self.storage.map(|words| Storage::take(words, geometry)).transpose()?;
        let arena =
            self.arena.map(|options| Arena::new(options, self.rung, self.recovery.is_some()));
        let arena = arena.transpose()?;
        let options = RowOptions { storage, arena, ..self.options.row.clone() };
        let (shared, opened) = match self.shared.take() {
            Some(shared) => {
                let opened = shared.open_row(&options, self.recovery.is_some())?;
                (shared, opened)
            }
            None => {
                let opened = self.open_device(&options)?;
                (Arc::new(Shared::new(&self, &opened.0)), opened)
            }
        };
        let row = opened.1.host().row();
        let ledger = vec![Entry::FREE; geometry.slots() as usize];
        let publisher = Publisher::new(row.ring, ledger, self.partitions, self.tenants.clone())?;
        row.reset(0, &self.partitions)?;
        self.tenants.write_to(&row.control).map_err(ResetError::from)?;
        let mirror = match self.recovery {
            None => None,
            Some(recovery) => {
                let has_handlers = !self.kernel.handlers().is_empty();
                Some(Mirror::new(options.clone(), recovery, opened.1.host(), has_handlers)?)
            }
        };
        let lists = || WorkList::new(self.partitions.sizes());
        let flights: Vec<_> = (0..options.in_flight).map(|_| lists()).collect();
        let device = Device::new(shared, opened, mirror, options, flights);
        // (What the twin of a handler asks for is not to be seen in its WGSL.)
        let runs_twins =
            device.resident.info().backend == "twin" && !self.kernel.handlers().is_empty();
        let uses_io = runs_twins || self.kernel.requests_io();
        Ok(Driver::new(device, publisher, lists(), uses_io))
    }

    fn check(&self) -> Result<(), OpenError> {
        let slice = self.options.slice;
        let RowOptions { geometry, workspace_words: words, timeout, in_flight, .. } =
            self.options.row;
        if geometry.slots() == 0 {
            return Err(OpenError::NoSlots);
        }
        if timeout.is_zero() {
            return Err(OpenError::NoTimeout);
        }
        if words > MAX_WORKSPACE_WORDS {
            return Err(OpenError::Workspace { words });
        }
        self.arena.map_or(Ok(()), ArenaOptions::check)?;
        let slots = self.partitions.slots();
        if slots != geometry.slots() {
            return Err(LayoutError::SlotCount { slots, expected: geometry.slots() }.into());
        }
        geometry.check_encodable()?;
        let most = if self.recovery.is_some() { 1 } else { MAX_IN_FLIGHT };
        if in_flight == 0 || in_flight > most {
            return Err(OpenError::InFlight { in_flight, most });
        }
        if let Some(slice) = slice.filter(|slice| *slice > MAX_SLICE || slice.is_zero()) {
            return Err(OpenError::Slice { slice_ms: slice.as_millis() as u64 });
        }
        Ok(())
    }

    /// Opens what runs the kernel, with a row that is all zero.
    pub(crate) fn open_device(&self, row: &RowOptions) -> Result<Opened, OpenError> {
        let Some(losses) = &self.losses else { return self.open_chosen(row) };
        losses.take(Stage::Open)?;
        let (backend, row) = self.open_chosen(row)?;
        Ok((
            Arc::new(Losing { inner: backend, losses: losses.clone() }),
            Box::new(Losing { inner: row, losses: losses.clone() }),
        ))
    }

    fn open_chosen(&self, row: &RowOptions) -> Result<Opened, OpenError> {
        let options = Options { row: row.clone(), ..self.options.clone() };
        let with_row = |backend: Arc<dyn Backend>| {
            let row = Arc::clone(&backend).open_row(row)?;
            Ok((backend, row))
        };
        let mapped = || with_row(Arc::new(Mapped::open(&self.kernel, &options)?));
        let portable = || with_row(Arc::new(Portable::open(&self.kernel, &options)?));
        let twin = |reason| with_row(Arc::new(Cpu::open(&self.kernel, reason)?));
        match self.choice {
            BackendChoice::Mapped => mapped(),
            BackendChoice::Portable => portable(),
            BackendChoice::Twin => twin("it was chosen".to_owned()),
            BackendChoice::Auto => mapped()
                .or_else(|error| match error {
                    OpenError::NotMapped { reason } => {
                        tracing::warn!(reason, "the GPU's memory is not mapped");
                        portable()
                    }
                    error => Err(error),
                })
                .or_else(|error| {
                    tracing::warn!(%error, "the kernel runs on its CPU twin");
                    twin(error.to_string())
                }),
        }
    }
}

/// A device, and a row on it.
pub(crate) type Opened = (Arc<dyn Backend>, Box<dyn Resident>);
