//! The loop that users write: publish, dispatch, look at results.
//!
//! ```text
//!   publish ─▶ host row ─ dirty words ─▶ resident buffers ─▶ drain
//!   outcome ◀─ host row ◀─ readback ──── resident buffers ◀──┘
//! ```

mod dispatch;
mod io;
mod memory;
mod publish;

use crate::backend::{BackendError, BackendInfo};
use crate::device::Device;
use crate::dirty::Unit;
use crate::gpu::Gpu;
use crate::input::Service;
use crate::kernel::Kernel;
use crate::open::{DriverBuilder, OpenError};
use crate::persistent::Stays;
use crate::storage::Storage;
use crate::work::WorkList;
use slipring_core::control;
use slipring_core::layout::{Buffer, Geometry, LayoutError, MissingWord};
use slipring_core::opcode;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::row::{ResetError, Row};
use slipring_core::slot::{Priority, State};
use slipring_core::tenant::{Tenant, TenantError};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The number of the next driver.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Why a dispatch did not happen, or words of the workspace or the arena were not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum DriverError {
    /// The device.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Buffers of other lengths than the geometry's.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Words outside the workspace.
    #[error("words {first}..{end} of a workspace of {words}")]
    WorkspaceRange { first: usize, end: usize, words: usize },
    /// Words outside the arena.
    #[error("words {first}..{end} of an arena of {words}")]
    ArenaRange { first: usize, end: usize, words: usize },
    /// Observables that the row does not have.
    #[error("observables {first}..{end} of {observables}")]
    ObservableRange { first: u32, end: u32, observables: u32 },
    /// A row that is not on the device of the others: one of another device, or one that does not
    /// recover from the loss of theirs.
    #[error("row {row} is not on the device of the others; open it with Driver::another_row")]
    ForeignRow { row: usize },
    /// A row could not be opened in other memory.
    #[error(transparent)]
    Open(#[from] Box<OpenError>),
    /// As many drains are in flight as there may be.
    #[error("{most} drains are in flight; take their results first")]
    InFlight { most: usize },
    /// A dispatch whose results were taken already, or one of another guard.
    #[error("no such dispatch is in flight, or its results were taken")]
    NoDispatch,
    /// The device was lost, and none opened again. The next call that needs one tries anew.
    #[error("the device was lost, and did not open again in {attempts} attempts: {error}")]
    NotRecovered { attempts: u32, error: Box<OpenError> },
}

/// One row, its kernel, and the device that runs it.
///
/// ```
/// use slipring_core::{layout::Geometry, opcode, publisher::Outcome, ring::Job};
/// use slipring_driver::{BackendChoice, Driver, Kernel, Readback};
///
/// let kernel = Kernel::builder().build()?;
/// let geometry = Geometry::of_slots(64, 8)?;
/// # let choice = BackendChoice::Twin;
/// let mut driver = Driver::builder(kernel, geometry).backend(choice).open()?;
///
/// let ticket = driver.publish(&Job::new(opcode::STORE_U32, &[42, 160 + 3]))?;
/// let drained = driver.dispatch(&Readback::observables(0..8))?;
///
/// assert_eq!((drained.done, drained.faults), (1, 0));
/// assert_eq!(driver.outcome(ticket), Outcome::Done);
/// assert_eq!(driver.row().control.observable(3), Ok(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver {
    /// Which of the process's drivers it is.
    pub(crate) id: u64,
    pub(crate) device: Device,
    pub(crate) publisher: Publisher<Vec<Entry>>,
    work: WorkList,
    /// Whether slots may wait for I/O: the IO queue is then always read back.
    uses_io: bool,
    prefetch_failures: u32,
    /// Drains that have ended, wrapping.
    ended: u64,
    /// What serves I/O, if the caller does not.
    io: Option<Box<Service>>,
    pub(crate) stays: Stays,
    /// Observables that come home whatever a dispatch asks for: start and end.
    results: AtomicU64,
}

impl core::fmt::Debug for Driver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (geometry, backend) = (self.device.host().geometry(), self.device.resident.info());
        f.debug_struct("Driver")
            .field("geometry", &geometry)
            .field("backend", backend)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver of `kernel` over a row of `geometry`, still to be opened.
    pub fn builder(kernel: Kernel, geometry: Geometry) -> DriverBuilder {
        DriverBuilder::new(kernel, geometry)
    }

    pub(crate) fn new(
        device: Device,
        publisher: Publisher<Vec<Entry>>,
        work: WorkList,
        uses_io: bool,
    ) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (prefetch_failures, ended, io, stays) = (0, 0, None, Stays::default());
        let results = AtomicU64::new(0);
        Self { id, device, publisher, work, uses_io, prefetch_failures, ended, stays, io, results }
    }

    /// A builder of another row on this one's device, with its kernel, backend, lane order,
    /// validation, slices and pipeline cache, which stay what they are whatever the builder is
    /// told. Timeout and recovery are this row's too, if nothing else is said; partitions,
    /// tenants, workspace, arena, storage and drains in flight are the new row's own. See
    /// [`rows`](crate::rows).
    pub fn another_row(&self, geometry: Geometry) -> DriverBuilder {
        DriverBuilder::beside(&self.device.shared, geometry)
    }

    /// What runs the kernel, and why.
    pub fn backend(&self) -> &BackendInfo {
        self.device.resident.info()
    }

    /// The GPU, for passes of the user's own; none on the twin. The driver does not see what
    /// such a pass writes to the row's buffers.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.resident.gpu()
    }

    /// The GPU's copy of a buffer, to bind in passes of the user's own; none on the twin.
    pub fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        self.device.resident.buffer(buffer)
    }

    /// The GPU's workspace, to bind in passes of the user's own; none on the twin.
    pub fn workspace(&self) -> Option<&wgpu::Buffer> {
        self.device.resident.workspace()
    }

    /// The GPU's arena, to bind in passes of the user's own; none on the twin.
    pub fn arena(&self) -> Option<&wgpu::Buffer> {
        self.device.resident.arena()
    }

    /// The row as the host knows it: as of the last drain, in what was read back.
    ///
    /// Publish through the driver, not through these views: it must know what to upload.
    pub fn row(&self) -> Row<'_, AtomicU32> {
        self.device.host().row()
    }

    /// Changes a tenant; a mask of 0 pauses it from the next dispatch on.
    ///
    /// # Errors
    /// [`TenantError::Unknown`].
    pub fn set_tenant(&mut self, tenant: u32, value: Tenant) -> Result<(), TenantError> {
        self.land();
        self.publisher.set_tenant(tenant, value)?;
        let (mask, quota) = (control::word::TENANT_MASKS, control::word::TENANT_QUOTAS);
        for (base, word) in [(mask, value.mask), (quota, value.quota)] {
            self.write_control(base as u32 + tenant, word);
        }
        Ok(())
    }

    /// Stops (`true`) or allows (`false`) claiming, from the next dispatch on.
    pub fn set_shutdown(&mut self, shutdown: bool) {
        self.land();
        self.write_control(control::word::SHUTDOWN as u32, u32::from(shutdown));
    }

    /// Writes a result word, for the next dispatch to see.
    ///
    /// # Errors
    /// [`MissingWord`] past the last observable.
    pub fn set_observable(&mut self, index: u32, value: u32) -> Result<(), MissingWord> {
        self.land();
        self.device.host().row().control.set_observable(index, value)?;
        self.device.wrote(Unit::ControlWord(control::word::OBSERVABLES as u32 + index));
        Ok(())
    }

    /// Writes a control word that is there in every geometry.
    fn write_control(&mut self, word: u32, value: u32) {
        self.device.host().fill(Buffer::Control, word as usize, &[value]);
        self.device.wrote(Unit::ControlWord(word));
    }

    /// Empties the debug log, for the next dispatch to fill.
    pub fn clear_debug_log(&mut self) {
        self.land();
        self.device.host().clear(Buffer::DebugLog);
        self.device.wrote(Unit::DebugLog);
    }

    /// Takes over four host buffers; the next dispatch looks at every slot that is published
    /// or waits for I/O. Tickets of before are void. Masks and quotas of the buffers are the
    /// kernel's from then on; the driver's own partitions and tenants stay as they are.
    ///
    /// # Errors
    /// [`LayoutError`] unless there are four word-aligned buffers of exactly the geometry's
    /// lengths; the row is as before then.
    pub fn adopt(&mut self, buffers: &[&[u8]]) -> Result<(), LayoutError> {
        self.land();
        self.device.host().adopt(buffers)?;
        self.forget_io();
        self.publisher.adopt(self.device.ring())?;
        self.device.wrote_all();
        self.uses_io = true;
        self.list_unfinished();
        Ok(())
    }

    /// Lists every slot that is published or waits for I/O, and no other; says how many.
    pub(crate) fn list_unfinished(&mut self) -> usize {
        self.work.clear();
        let ring = self.device.ring();
        for level in Priority::ALL {
            for slot in self.publisher.partitions().range(level) {
                let copy = ring.slot(slot).unwrap_or_default();
                match copy.state() {
                    State::Published => {
                        self.uses_io |= copy.opcode == opcode::LOAD_MISS;
                        self.work.push(slot, level, copy.opcode == opcode::BATCH_FENCE);
                    }
                    State::WaitIo(_) => {
                        self.uses_io = true;
                        self.work.push(slot, level, false);
                    }
                    _ => {}
                }
            }
        }
        self.work.len()
    }

    /// Encodes the row anew, in place: ring, debug log and IO queue all zero, observables and
    /// counters 0, the driver's tenants and partitions. Tickets of before are void.
    ///
    /// # Errors
    /// [`ResetError`] while a slot is in flight; nothing is changed then.
    pub fn reset(&mut self) -> Result<(), ResetError> {
        self.land();
        let row = self.device.host().row();
        row.reset(0, self.publisher.partitions())?;
        self.publisher.tenants().write_to(&row.control)?;
        self.publisher.adopt(row.ring)?;
        self.device.wrote_all();
        self.work.clear();
        Ok(())
    }

    /// Moves the row, as it is, into storage of the caller's ([`DriverBuilder::storage`]), out of
    /// it (`None`), or from one to another. Tickets stay good, [`Driver::buffer`],
    /// [`Driver::workspace`] and [`Driver::arena`] are others from then on. Other rows go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`DriverError::Open`] with [`OpenError::Storage`] or [`OpenError::StorageTaken`] (by this
    /// row too, if it is there already), or when the device does not take the
    /// storage; those of [`Driver::read_workspace`]. The row stays where it is then.
    pub fn rebind(&mut self, storage: Option<&'static [AtomicU32]>) -> Result<(), DriverError> {
        self.land();
        let geometry = self.device.host().geometry();
        let storage = storage.map(|words| Storage::take(words, geometry)).transpose();
        self.device.rebind(storage.map_err(Box::new)?)
    }
}
