//! Opening a driver: what it is made of, and what can be wrong with that.

use crate::backend::{
    Backend, BackendError, Cpu, LaneOrder, Mapped, Options, Portable, Resident, RowOptions,
};
use crate::device::Device;
use crate::driver::Driver;
use crate::gpu::GpuError;
use crate::kernel::{IterationError, Kernel};
use crate::persistent::MAX_SLICE;
use crate::recovery::{Losing, Losses, Mirror, Recovery, Stage};
use crate::shared::Shared;
use crate::storage::Storage;
use crate::work::WorkList;
use slipring_core::layout::{Geometry, LayoutError};
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::row::ResetError;
use slipring_core::tenant::TenantTable;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
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
    /// Storage that is too short for the row, or does not start at a page.
    #[error(
        "storage of {words} words, {misaligned} bytes past a page; {needed} words at a multiple of \
         {} bytes are needed",
        crate::storage::ALIGNMENT_BYTES
    )]
    Storage { words: usize, needed: usize, misaligned: usize },
    /// More drains in flight than there may be; with recovery, more than one.
    #[error("{in_flight} drains in flight at once; 1 to {most} are possible")]
    InFlight { in_flight: usize, most: usize },
    /// No time at all for a drain.
    #[error("a timeout of 0 would lose every device; give it more")]
    NoTimeout,
    /// A slice of no time, or longer than a small GPU's watchdog leaves.
    #[error("slices of {slice_ms} ms; more than 0 and up to {} ms are allowed", MAX_SLICE.as_millis())]
    Slice { slice_ms: u64 },
    /// No memory for the workspace of the twin, or of a driver that recovers.
    #[error("no memory for a workspace of {bytes} bytes")]
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

/// The parts of a driver.
///
/// ```no_run
/// use slipring_core::layout::Geometry;
/// use slipring_driver::{Driver, Kernel};
/// let kernel = Kernel::builder().build()?;
/// let driver = Driver::builder(kernel, Geometry::of_slots(1024, 64)?).open()?;
/// println!("{}", driver.backend().adapter);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DriverBuilder {
    kernel: Arc<Kernel>,
    options: Options,
    partitions: Partitions,
    tenants: TenantTable,
    storage: Option<&'static [AtomicU32]>,
    choice: BackendChoice,
    recovery: Option<Recovery>,
    losses: Option<Losses>,
    /// The device of another row, if it is to be this one's too.
    shared: Option<Arc<Shared>>,
}

impl DriverBuilder {
    pub(crate) fn new(kernel: Kernel, geometry: Geometry) -> Self {
        Self::new_on(Arc::new(kernel), geometry)
    }

    fn new_on(kernel: Arc<Kernel>, geometry: Geometry) -> Self {
        let row = RowOptions {
            geometry,
            workspace_words: 1,
            timeout: DEFAULT_TIMEOUT,
            in_flight: 1,
            storage: None,
            memory_type: None,
        };
        let options = Options {
            order: LaneOrder::default(),
            validation: false,
            slice: None,
            fences: false,
            pipeline_cache: None,
            row,
        };
        Self {
            kernel,
            options,
            partitions: Partitions::single(geometry.slots()),
            tenants: TenantTable::open(1),
            storage: None,
            choice: BackendChoice::default(),
            recovery: None,
            losses: None,
            shared: None,
        }
    }

    /// A builder of another row of `geometry` on the device of an open one.
    pub(crate) fn beside(shared: &Arc<Shared>, geometry: Geometry) -> Self {
        let first = shared.builder();
        let timeout = first.options.row.timeout;
        let mut another = Self::new_on(Arc::clone(&first.kernel), geometry);
        another.options.row.timeout = timeout;
        let (recovery, losses) = (first.recovery, first.losses.clone());
        Self { recovery, losses, shared: Some(Arc::clone(shared)), ..another }
    }

    /// Which slots belong to which level; one normal partition if not said.
    #[must_use]
    pub fn partitions(mut self, partitions: Partitions) -> Self {
        self.partitions = partitions;
        self
    }

    /// Who may publish; tenant 0 alone if not said.
    #[must_use]
    pub fn tenants(mut self, tenants: TenantTable) -> Self {
        self.tenants = tenants;
        self
    }

    /// Words of the workspace that handlers and DFA_STEP use; at least 1.
    #[must_use]
    pub fn workspace_words(mut self, words: usize) -> Self {
        self.options.row.workspace_words = words.max(1);
        self
    }

    /// How lanes are laid out.
    #[must_use]
    pub fn lane_order(mut self, order: LaneOrder) -> Self {
        self.options.order = order;
        self
    }

    /// Where the kernel is to run.
    #[must_use]
    pub fn backend(mut self, choice: BackendChoice) -> Self {
        self.choice = choice;
        self
    }

    /// Turns on the Khronos validation layer, if it is installed. Its messages go to `log`.
    #[must_use]
    pub fn validation(mut self, validation: bool) -> Self {
        self.options.validation = validation;
        self
    }

    /// How long a drain may take before the device counts as lost, for all rows on it, more than 0;
    /// [`DEFAULT_TIMEOUT`] if not said. What other rows and users have submitted before counts too.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.row.timeout = timeout;
        self
    }

    /// Prepares for [`Driver::persist`]: a kernel that stays on in submissions of at most `slice`
    /// ([`DEFAULT_SLICE`](crate::persistent::DEFAULT_SLICE) is a good one). A discrete GPU's row
    /// then lies in memory of its own, which the host reads slowly (about 1 µs a word).
    #[must_use]
    pub fn persistent(mut self, slice: Duration) -> Self {
        self.options.slice = Some(slice);
        self
    }

    /// How many drains may be in flight at once ([`Driver::overlapped`]), 1 if not said, at most
    /// [`MAX_IN_FLIGHT`]. Each has a work list, parameters and, where the row is copied, copies of
    /// its own.
    #[must_use]
    pub fn in_flight(mut self, drains: usize) -> Self {
        self.options.row.in_flight = drains;
        self
    }

    /// Where the row is to lie: in memory of the caller's, which must have
    /// [`words_for`](crate::storage::words_for) the geometry, at the start of a page, as
    /// [`Pages`](crate::storage::Pages) has it. Its words are overwritten, now and when a device is
    /// opened anew; their addresses stay. The mapped backend has the GPU work on this memory
    /// itself (VK_EXT_external_memory_host); the others upload what was written, and bring home
    /// what is read back.
    ///
    /// It is this row's alone: another row in the same words would overwrite them.
    #[must_use]
    pub fn storage(mut self, words: &'static [AtomicU32]) -> Self {
        self.storage = Some(words);
        self
    }

    /// Keeps the mapped backend's compiled pipelines in files of `dir`, which is made if it is
    /// missing: the next driver of the same kernel on the same device then opens without compiling,
    /// and so does a device that is replaced. Not if not said. [`BackendInfo::reason`] says where
    /// pipelines came from. The portable backend and the twin keep nothing; llvmpipe's cache is
    /// empty, since Mesa keeps what it compiles in a cache of its own.
    ///
    /// A file that cannot be read, written or used is a warning, and pipelines are compiled. Each
    /// kernel, device and version of its Vulkan driver has a file, of at most 64 MiB; none is ever
    /// removed. Checksums find damage, not malice, and the GPU runs what is in there: let nobody
    /// else write to `dir`.
    #[must_use]
    pub fn pipeline_cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.options.pipeline_cache = Some(dir.into());
        self
    }

    /// Opens a device anew when it is lost, and goes on as if it had not been; see
    /// [`recovery`](crate::recovery) for what that takes. Without it, a driver whose device is
    /// lost is at its end.
    #[must_use]
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Has the mapped backend do without timeline semaphores, as on Vulkan 1.1, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn fences(mut self) -> Self {
        self.options.fences = true;
        self
    }

    /// Injects losses, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn losses(mut self, losses: Losses) -> Self {
        self.losses = Some(losses);
        self
    }

    /// Has the mapped backend put the row in the Vulkan memory type of this index, for tests. Not
    /// one that is missing, that the host does not see or that is not coherent:
    /// [`OpenError::NotMapped`]. Storage of the caller's stays what it is.
    #[doc(hidden)]
    #[must_use]
    pub fn memory_type(mut self, index: u32) -> Self {
        self.options.row.memory_type = Some(index);
        self
    }

    /// Creates everything that the driver will ever need.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(mut self) -> Result<Driver, OpenError> {
        self.check()?;
        let geometry = self.options.row.geometry;
        let storage = self.storage.map(|words| Storage::new(words, geometry)).transpose()?;
        self.options.row.storage = storage;
        let options = self.options.row;
        let (shared, opened) = match self.shared.take() {
            Some(shared) => {
                let backend = shared.backend();
                let row = Arc::clone(&backend).open_row(&options)?;
                (shared, (backend, row))
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
                Some(Mirror::new(options, recovery, opened.1.host(), has_handlers)?)
            }
        };
        let lists = || WorkList::new(self.partitions.sizes());
        let flights: Vec<_> = (0..options.in_flight).map(|_| lists()).collect();
        let device = Device::new(shared, opened, mirror, options, flights);
        Ok(Driver::new(device, publisher, lists(), options.workspace_words))
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
        let options = Options { row: *row, ..self.options.clone() };
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
