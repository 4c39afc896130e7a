//! Backends: where the kernel runs.

mod cpu;
mod mapped;
mod plan;
mod portable;
mod staging;

pub(crate) use cpu::Cpu;
pub(crate) use mapped::{Mapped, MappedArena};
pub(crate) use portable::Portable;

use crate::arena::Arena;
use crate::host_row::HostRow;
use crate::open::{BackendChoice, OpenError};
use crate::persistent::{PersistError, Slices};
use crate::storage::Storage;
use crate::vulkan::Allocation;
use crate::work::WorkList;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::partition::Partitions;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a backend could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum BackendError {
    /// The device is gone. The driver cannot go on with it, and opens another one only if it was
    /// asked for [`recovery`](crate::DriverBuilder::recovery).
    #[error("the GPU device was lost: {reason}")]
    Lost { reason: String },
    /// The device did not finish in time, and counts as lost. Dropping the driver waits for it all
    /// the same: its memory is in use until then.
    #[error("the GPU did not finish within {timeout_ms} ms, and counts as lost")]
    Timeout { timeout_ms: u64 },
    /// The device refused a call, of this driver or of a user of [`Gpu`](crate::gpu::Gpu), or
    /// memory ran out.
    #[error("the GPU refused a call: {message}")]
    Refused { message: String },
}

impl BackendError {
    pub(crate) fn timeout(timeout: Duration) -> Self {
        Self::Timeout { timeout_ms: timeout.as_millis() as u64 }
    }

    /// Whether the device is gone.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Timeout { .. })
    }
}

/// What runs the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendInfo {
    /// `mapped` (memory that host and GPU share), `portable` (safe wgpu) or `twin` (the kernel on
    /// the CPU).
    pub backend: &'static str,
    /// The adapter's name, or that of the twin.
    pub adapter: String,
    /// Whether a CPU runs the kernel: as the twin, or as a Vulkan device such as llvmpipe.
    pub is_cpu: bool,
    /// Why this one: what was passed over, and for what reason.
    pub reason: String,
}

/// How a drain's lanes are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaneOrder {
    /// One lane a slot, in no order within a level.
    #[default]
    Parallel,
    /// One lane that walks the slots in the twin's order. Slow; it gives a defined result to
    /// jobs whose effects race.
    Serial,
}

/// How long a driver may take to compile the kernel when it is opened. llvmpipe takes a tenth of a
/// second for the built-in kernel, and many for one of hundreds of handlers.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(120);

/// What a device is opened with, for a first row.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) order: LaneOrder,
    pub(crate) validation: bool,
    /// How long a submission of a kernel that stays on may last, if one is wanted.
    pub(crate) slice: Option<Duration>,
    /// Whether to do without timeline semaphores, for tests.
    pub(crate) fences: bool,
    /// The directory of the device's pipeline cache, if it is to be kept.
    pub(crate) pipeline_cache: Option<PathBuf>,
    pub(crate) row: RowOptions,
}

/// What a row is opened with.
#[derive(Clone, Debug)]
pub(crate) struct RowOptions {
    pub(crate) geometry: Geometry,
    pub(crate) workspace_words: usize,
    pub(crate) arena: Option<Arc<Arena>>,
    pub(crate) timeout: Duration,
    /// Drains that may be in flight at once, at least 1.
    pub(crate) in_flight: usize,
    /// Where the host's row is to lie.
    pub(crate) storage: Option<Storage>,
    /// Which memory type the row is to lie in, for tests.
    pub(crate) memory_type: Option<u32>,
}

impl RowOptions {
    /// Words of the arena, which were checked; at least 1, since no binding is empty.
    pub(crate) fn arena_words(&self) -> usize {
        self.arena.as_ref().map_or(1, |arena| arena.options().words() as usize)
    }
}

/// One drain, as a backend sees it.
pub(crate) struct Drain<'a> {
    /// Which of the row's flights it is: its work list and parameters are its own.
    pub(crate) flight: usize,
    /// Word ranges that the device must get first.
    pub(crate) uploads: &'a [(Buffer, Range<usize>)],
    /// Slots to look at, each level ascending.
    pub(crate) work: &'a WorkList,
    /// Word ranges to bring back.
    pub(crate) readback: &'a [(Buffer, Range<usize>)],
}

/// What a drain cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) uploaded_bytes: u64,
    pub(crate) readback_bytes: u64,
    pub(crate) launches: u32,
    pub(crate) lanes: u64,
    pub(crate) sync_points: u32,
}

impl Cost {
    /// The cost of what a drain has run of its plan, and copied.
    fn of(runs: &[plan::Run], uploaded_bytes: u64, readback_bytes: u64) -> Self {
        let lanes = runs.iter().map(|run| run.lanes()).sum();
        Self { uploaded_bytes, readback_bytes, launches: runs.len() as u32, lanes, sync_points: 0 }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.uploaded_bytes += other.uploaded_bytes;
        self.readback_bytes += other.readback_bytes;
        self.launches += other.launches;
        self.lanes += other.lanes;
        self.sync_points += other.sync_points;
    }
}

/// Commands of one submission, of any number of rows.
#[derive(Default)]
pub(crate) struct Batch {
    raw: Vec<ash::vk::CommandBuffer>,
    wgpu: Vec<wgpu::CommandBuffer>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.raw.clear();
        self.wgpu.clear();
    }
}

/// What to wait for.
#[derive(Clone, Debug)]
pub(crate) enum Submission {
    /// It has ended, as all do on the CPU.
    Ended,
    /// A number of the timeline's.
    Timeline(u64),
    Wgpu(wgpu::SubmissionIndex),
}

/// What of a row a thread serves while a kernel stays on.
pub(crate) struct StayMemory {
    pub(crate) io_queue: Allocation,
    pub(crate) ring: Allocation,
    pub(crate) arena: MappedArena,
}

/// An open device with its kernel. Any call may say that the device is lost.
pub(crate) trait Backend: Send + Sync {
    /// What has to be chosen to get the like of it again.
    fn choice(&self) -> BackendChoice;

    /// Creates everything that a row will ever need; its words are all zero.
    fn open_row(self: Arc<Self>, options: &RowOptions) -> Result<Box<dyn Resident>, OpenError>;

    /// Submits what was staged. When the device refuses, nothing of it has run.
    fn submit(&self, batch: &mut Batch) -> Result<Submission, BackendError>;

    /// Whether a submission has ended; never waits.
    fn is_finished(&self, submission: &Submission) -> Result<bool, BackendError>;

    /// Waits for a submission, without a lock that anybody needs.
    fn wait(&self, submission: &Submission, timeout: Duration) -> Result<(), BackendError>;

    /// The error of a call after which what was submitted may have run: a loss, and it lasts.
    fn lose_by(&self, error: BackendError) -> BackendError;
}

/// One row on a device. Any call may say that the device is lost.
pub(crate) trait Resident: Send {
    fn info(&self) -> &BackendInfo;

    /// The row that the host publishes into and looks at: the source of uploads, the target of
    /// readback.
    fn host(&self) -> &HostRow;

    /// Whether the host's row is the device's, so that nothing is uploaded and read back.
    fn shares_row(&self) -> bool {
        false
    }

    /// Gets a drain ready to go with the batch's submission, from run `first` of its plan on; says
    /// what that costs, and from which run on the rest has to go in another submission, after this
    /// one has ended.
    fn stage(
        &mut self,
        drain: &Drain<'_>,
        first: usize,
        batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError>;

    /// Says that what was staged for a flight was submitted.
    fn submitted(&mut self, flight: usize, submission: &Submission);

    /// Waits for a flight and reads back. On success the host's row is the device's in every range
    /// of the readback; on failure it is unchanged, and the drain may have run.
    fn finish(
        &mut self,
        flight: usize,
        readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError>;

    /// Starts a kernel that stays on over all slots, each with its level.
    fn persist(&mut self, _levels: &Partitions) -> Result<(), PersistError> {
        let backend = self.info().backend;
        Err(PersistError::Unavailable { reason: format!("the backend is {backend}") })
    }

    /// Whether a kernel stays on, or why not any more.
    fn persisting(&self) -> Result<Slices, PersistError> {
        Err(PersistError::Stopped)
    }

    /// Stops the kernel that stays on, if one does.
    fn stop(&mut self) -> Result<Slices, PersistError> {
        Err(PersistError::Stopped)
    }

    /// Writes workspace words from word `first` on; the range was checked.
    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError>;

    /// Reads workspace words from word `first` on; the range was checked.
    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError>;

    /// Writes arena words from word `first` on; the range was checked.
    fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError>;

    /// Reads arena words from word `first` on; the range was checked.
    fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError>;

    /// What a thread may serve while a kernel stays on.
    fn stay_memory(&self) -> Option<StayMemory> {
        None
    }

    /// Has the kernel see words of the arena that have landed, where that takes a copy.
    fn deliver_arena(&mut self, _words: Range<usize>) -> Result<(), BackendError> {
        Ok(())
    }

    /// Has words of the arena be where they would land, where that takes a copy.
    fn fetch_arena(&mut self, _words: Range<usize>) -> Result<(), BackendError> {
        Ok(())
    }

    /// The GPU, for passes of the user's own; none on the CPU.
    fn gpu(&self) -> Option<&crate::gpu::Gpu> {
        None
    }

    /// The GPU's copy of a buffer, to bind in passes of the user's own.
    fn buffer(&self, _buffer: Buffer) -> Option<&wgpu::Buffer> {
        None
    }

    /// The GPU's workspace, to bind in passes of the user's own.
    fn workspace(&self) -> Option<&wgpu::Buffer> {
        None
    }

    /// The GPU's arena, to bind in passes of the user's own.
    fn arena(&self) -> Option<&wgpu::Buffer> {
        None
    }
}
