//! Opening a driver: what it is made of, and what can be wrong with that.

use crate::backend::{
    Backend, BackendError, BackendInfo, Cpu, LaneOrder, Mapped, Options, Portable,
};
use crate::device::Device;
use crate::driver::Driver;
use crate::gpu::GpuError;
use crate::kernel::{IterationError, Kernel};
use crate::persistent::MAX_SLICE;
use crate::recovery::{Losing, Losses, Mirror, Recovery, Stage};
use slipring_core::layout::{Geometry, LayoutError};
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::row::ResetError;
use slipring_core::tenant::TenantTable;
use std::path::PathBuf;
use std::time::Duration;

/// How long a drain may take before the device counts as lost, unless said otherwise: 10 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most words of a workspace: handlers count them in a `u32`.
pub const MAX_WORKSPACE_WORDS: usize = u32::MAX as usize;

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
    /// No time at all for a drain.
    #[error("a timeout of 0 would lose every device; give it more")]
    NoTimeout,
    /// A slice of no time, or longer than a small GPU's watchdog leaves.
    #[error("slices of {slice_ms} ms; more than 0 and up to {} ms are allowed", MAX_SLICE.as_millis())]
    Slice { slice_ms: u64 },
    /// A kernel that stays on cannot be brought back as it was.
    #[error("a driver is prepared for a kernel that stays on, or recovers lost devices, not both")]
    PersistentRecovery,
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
    /// Memory that host and GPU share, on Vulkan 1.2 or later, or an error.
    Mapped,
    /// Safe wgpu, or an error.
    Portable,
    /// The kernel's twin on the CPU.
    Twin,
}

impl BackendChoice {
    /// The choice of what was opened.
    fn of(info: &BackendInfo) -> Self {
        match info.backend {
            "mapped" => Self::Mapped,
            "portable" => Self::Portable,
            _ => Self::Twin,
        }
    }
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
    kernel: Kernel,
    geometry: Geometry,
    partitions: Partitions,
    tenants: TenantTable,
    workspace_words: usize,
    order: LaneOrder,
    choice: BackendChoice,
    validation: bool,
    timeout: Duration,
    slice: Option<Duration>,
    pipeline_cache: Option<PathBuf>,
    recovery: Option<Recovery>,
    losses: Option<Losses>,
}

impl DriverBuilder {
    pub(crate) fn new(kernel: Kernel, geometry: Geometry) -> Self {
        Self {
            kernel,
            geometry,
            partitions: Partitions::single(geometry.slots()),
            tenants: TenantTable::open(1),
            workspace_words: 1,
            order: LaneOrder::default(),
            choice: BackendChoice::default(),
            validation: false,
            timeout: DEFAULT_TIMEOUT,
            slice: None,
            pipeline_cache: None,
            recovery: None,
            losses: None,
        }
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
        self.workspace_words = words.max(1);
        self
    }

    /// How lanes are laid out.
    #[must_use]
    pub fn lane_order(mut self, order: LaneOrder) -> Self {
        self.order = order;
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
        self.validation = validation;
        self
    }

    /// How long a drain may take before the device counts as lost, more than 0;
    /// [`DEFAULT_TIMEOUT`] if not said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Prepares for [`Driver::persist`]: a kernel that stays on in submissions of at most `slice`
    /// ([`DEFAULT_SLICE`](crate::persistent::DEFAULT_SLICE) is a good one). A discrete GPU's row
    /// then lies in memory of its own, which the host reads slowly (about 1 µs a word).
    #[must_use]
    pub fn persistent(mut self, slice: Duration) -> Self {
        self.slice = Some(slice);
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
        self.pipeline_cache = Some(dir.into());
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

    /// Injects losses, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn losses(mut self, losses: Losses) -> Self {
        self.losses = Some(losses);
        self
    }

    /// Creates everything that the driver will ever need.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(self) -> Result<Driver, OpenError> {
        if self.geometry.slots() == 0 {
            return Err(OpenError::NoSlots);
        }
        if self.timeout.is_zero() {
            return Err(OpenError::NoTimeout);
        }
        if self.workspace_words > MAX_WORKSPACE_WORDS {
            return Err(OpenError::Workspace { words: self.workspace_words });
        }
        let slots = self.partitions.slots();
        if slots != self.geometry.slots() {
            return Err(LayoutError::SlotCount { slots, expected: self.geometry.slots() }.into());
        }
        self.geometry.check_encodable()?;
        if let Some(slice) = self.slice.filter(|slice| *slice > MAX_SLICE || slice.is_zero()) {
            return Err(OpenError::Slice { slice_ms: slice.as_millis() as u64 });
        }
        if self.slice.is_some() && self.recovery.is_some() {
            return Err(OpenError::PersistentRecovery);
        }
        let backend = self.open_backend()?;
        let row = backend.host().row();
        let ledger = vec![Entry::FREE; slots as usize];
        let publisher = Publisher::new(row.ring, ledger, self.partitions, self.tenants.clone())?;
        row.reset(0, &self.partitions)?;
        self.tenants.write_to(&row.control).map_err(ResetError::from)?;
        let mirror = match self.recovery {
            None => None,
            Some(recovery) => {
                let has_handlers = !self.kernel.handlers().is_empty();
                let builder = self.clone().backend(BackendChoice::of(backend.info()));
                let host = backend.host();
                Some(Mirror::new(builder, recovery, host, self.workspace_words, has_handlers)?)
            }
        };
        Ok(Driver::new(Device::new(backend, mirror), publisher, self.workspace_words))
    }

    /// Opens what runs the kernel, with a row that is all zero.
    pub(crate) fn open_backend(&self) -> Result<Box<dyn Backend>, OpenError> {
        let Some(losses) = &self.losses else { return self.open_device() };
        losses.take(Stage::Open)?;
        Ok(Box::new(Losing { backend: self.open_device()?, losses: losses.clone() }))
    }

    fn open_device(&self) -> Result<Box<dyn Backend>, OpenError> {
        let options = Options {
            geometry: self.geometry,
            workspace_words: self.workspace_words,
            order: self.order,
            validation: self.validation,
            timeout: self.timeout,
            slice: self.slice,
            pipeline_cache: self.pipeline_cache.clone(),
        };
        let mapped = || Mapped::open(&self.kernel, &options).map(boxed);
        let portable = || Portable::open(&self.kernel, &options).map(boxed);
        match self.choice {
            BackendChoice::Mapped => mapped(),
            BackendChoice::Portable => portable(),
            BackendChoice::Twin => self.open_twin("it was chosen".to_owned()),
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
                    self.open_twin(error.to_string())
                }),
        }
    }

    fn open_twin(&self, reason: String) -> Result<Box<dyn Backend>, OpenError> {
        Cpu::new(&self.kernel, self.geometry, self.workspace_words, reason).map(boxed)
    }
}

fn boxed(backend: impl Backend + 'static) -> Box<dyn Backend> {
    Box::new(backend)
}
