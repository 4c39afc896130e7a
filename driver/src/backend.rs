//! Backends: where the kernel runs.

mod cpu;
mod mapped;
mod plan;
mod portable;
mod staging;

pub(crate) use cpu::Cpu;
pub(crate) use mapped::Mapped;
pub(crate) use portable::Portable;

use crate::host_row::HostRow;
use crate::persistent::{PersistError, Slices};
use crate::work::WorkList;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::partition::Partitions;
use std::ops::Range;
use std::path::PathBuf;
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

/// What a row on a GPU is made of.
pub(crate) struct Options {
    pub(crate) geometry: Geometry,
    pub(crate) workspace_words: usize,
    pub(crate) order: LaneOrder,
    pub(crate) validation: bool,
    pub(crate) timeout: Duration,
    /// How long a submission of a kernel that stays on may last, if one is wanted.
    pub(crate) slice: Option<Duration>,
    /// The directory of the device's pipeline cache, if it is to be kept.
    pub(crate) pipeline_cache: Option<PathBuf>,
}

/// One drain, as a backend sees it.
pub(crate) struct Drain<'a> {
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

/// One row's kernel and its memory. Any call may say that the device is lost.
pub(crate) trait Backend: Send {
    fn info(&self) -> &BackendInfo;

    /// The row that the host publishes into and looks at: the source of uploads, the target of
    /// readback.
    fn host(&self) -> &HostRow;

    /// Whether the host's row is the device's, so that nothing is uploaded and read back.
    fn shares_row(&self) -> bool {
        false
    }

    /// Uploads and starts a drain. When the device refuses, nothing has run.
    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError>;

    /// Waits for the drain that was started and reads back. On success the host's row is the
    /// device's in every range of the readback; on failure it is unchanged, and the drain may
    /// have run.
    fn finish(&mut self, readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError>;

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
}
