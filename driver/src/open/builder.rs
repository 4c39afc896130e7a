//! What a driver is made of.

use super::{BackendChoice, DEFAULT_TIMEOUT};
use crate::arena::{ArenaOptions, Rung};
use crate::backend::{LaneOrder, Options, RowOptions};
use crate::kernel::Kernel;
use crate::recovery::{Losses, Recovery};
use crate::shared::Shared;
use slipring_core::layout::Geometry;
use slipring_core::partition::Partitions;
use slipring_core::tenant::TenantTable;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

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
    pub(super) kernel: Arc<Kernel>,
    pub(super) options: Options,
    pub(super) partitions: Partitions,
    pub(super) tenants: TenantTable,
    pub(super) arena: Option<ArenaOptions>,
    pub(super) rung: Rung,
    pub(super) storage: Option<&'static [AtomicU32]>,
    pub(super) choice: BackendChoice,
    pub(super) recovery: Option<Recovery>,
    pub(super) losses: Option<Losses>,
    /// The device of another row, if it is to be this one's too.
    pub(super) shared: Option<Arc<Shared>>,
}

impl DriverBuilder {
    pub(crate) fn new(kernel: Kernel, geometry: Geometry) -> Self {
        Self::new_on(Arc::new(kernel), geometry)
    }

    fn new_on(kernel: Arc<Kernel>, geometry: Geometry) -> Self {
        let row = RowOptions {
            geometry,
            workspace_words: 1,
            arena: None,
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
            arena: None,
            rung: Rung::Pages,
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

    /// Which rung the arena's ladder begins at, the best one if not said: to compare, or to do
    /// without what a system does badly. [`Rung::Plain`] and [`Rung::Threads`] have the best memory
    /// that there is. The twin works on the pages that bytes land in, always.
    #[must_use]
    pub fn first_rung(mut self, rung: Rung) -> Self {
        self.rung = rung;
        self
    }

    /// An arena, which files are read into and handlers see; one word if not said. It lies in memory
    /// that the kernel's reads go straight to, where the GPU can have such memory
    /// ([`Ingest::path`](crate::input::Ingest::path) tells); not on a discrete GPU of a driver that
    /// is [`persistent`](Self::persistent), which sees what lands in memory of its own only.
    ///
    /// A device that does not take so large a buffer is passed over as others are: a driver that may run
    /// anywhere runs on the twin then, and [`Driver::backend`](crate::Driver::backend) gives the reason.
    #[must_use]
    pub fn arena(mut self, arena: ArenaOptions) -> Self {
        self.arena = Some(arena);
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

    /// Prepares for [`Driver::persist`](crate::Driver::persist): a kernel that stays on in
    /// submissions of at most `slice` ([`DEFAULT_SLICE`](crate::persistent::DEFAULT_SLICE) is a
    /// good one). A discrete GPU's row then lies in memory of its own, which the host reads slowly
    /// (about 1 µs a word).
    #[must_use]
    pub fn persistent(mut self, slice: Duration) -> Self {
        self.options.slice = Some(slice);
        self
    }

    /// How many drains may be in flight at once
    /// ([`Driver::overlapped`](crate::Driver::overlapped)), 1 if not said, at most
    /// [`MAX_IN_FLIGHT`](super::MAX_IN_FLIGHT). Each has a work list, parameters and, where the row
    /// is copied, copies of its own.
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
    /// It is this row's alone, as long as that lives.
    #[must_use]
    pub fn storage(mut self, words: &'static [AtomicU32]) -> Self {
        self.storage = Some(words);
        self
    }

    /// Keeps the mapped backend's compiled pipelines in files of `dir`, which is made if it is
    /// missing: the next driver of the same kernel on the same device then opens without compiling,
    /// and so does a device that is replaced. Not if not said.
    /// [`BackendInfo::reason`](crate::BackendInfo::reason) says where pipelines came from. The
    /// portable backend and the twin keep nothing; llvmpipe's cache is empty, since Mesa keeps what
    /// it compiles in a cache of its own.
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
}
