//! Recovery from a lost device: what the host keeps is enough to start again exactly.
//!
//! ```text
//!   host's changes ─┐ before a drain            lost ─▶ new device, same kernel
//!                   ├─▶ mirror of the row ────────────▶ its row ─▶ the drain again
//!   drain's changes ┘ after it has finished
//! ```
//!
//! So the row ends as if the lost drain had never begun: what was published stays published, and
//! I/O that the host has served is not served twice. Two things are lost with the device: what
//! handlers wrote to the workspace (it becomes what the host has written), and what passes of the
//! user's own have made; [`Driver::gpu`](crate::Driver::gpu) and the buffers are others then.
//!
//! It costs memory once more for the row and the workspace, a copy of every slot published and
//! looked at, and on the portable backend and the twin, the control buffer, the debug log and the
//! IO queue are read back whole each time. For as long as the new device opens, both are there.
//!
//! ```
//! use slipring_core::layout::Geometry;
//! use slipring_driver::{Driver, Kernel, Readback, Recovery};
//! # use slipring_driver::BackendChoice;
//! # let choice = BackendChoice::Twin;
//! let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
//! # let builder = builder.backend(choice);
//! let mut driver = builder.recovery(Recovery { attempts: 8, ..Recovery::default() }).open()?;
//! assert_eq!(driver.dispatch(&Readback::none())?.recovered, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::backend::{Backend, BackendError, Cost, Drain};
use crate::dirty::Unit;
use crate::driver::DriverError;
use crate::host_row::HostRow;
use crate::open::{DriverBuilder, OpenError};
use crate::persistent::{PersistError, Slices};
use slipring_core::debug_log;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::partition::Partitions;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How hard a driver tries to get a device again. A call that loses the new one too is an error,
/// and nothing is forgotten: the next call tries anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How often a device is opened at most; once if 0.
    pub attempts: u32,
    /// The wait after the first attempt that failed; it doubles from one to the next.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for Recovery {
    /// Five attempts, 10 ms after the first, at most 1 s.
    fn default() -> Self {
        let (first_wait, longest_wait) = (Duration::from_millis(10), Duration::from_secs(1));
        Self { attempts: 5, first_wait, longest_wait }
    }
}

/// What the host keeps beside the row: all of it in memory that no device can lose.
pub(crate) struct Mirror {
    builder: DriverBuilder,
    recovery: Recovery,
    pub(crate) row: HostRow,
    workspace: Vec<u32>,
    /// Whether the driver's device is lost and not replaced yet.
    pub(crate) is_lost: bool,
    /// Devices replaced since somebody took the count.
    pub(crate) recovered: u32,
}

impl Mirror {
    /// A mirror of a row that was just opened.
    pub(crate) fn new(
        builder: DriverBuilder,
        recovery: Recovery,
        row: &HostRow,
    ) -> Result<Self, OpenError> {
        let workspace_words = builder.words_of_workspace();
        let mut workspace = Vec::new();
        let reserved = workspace.try_reserve_exact(workspace_words);
        let bytes = 4 * workspace_words as u64;
        reserved.map_err(|_| OpenError::OutOfMemory { bytes })?;
        workspace.resize(workspace_words, 0);
        let mirror = HostRow::new(row.geometry());
        mirror.copy_from(row, &whole(row.geometry()));
        Ok(Self { builder, recovery, row: mirror, workspace, is_lost: false, recovered: 0 })
    }

    /// Takes over what the host has just written.
    pub(crate) fn take(&self, row: &HostRow, unit: Unit) {
        self.row.copy_from(row, &[unit.range(row.geometry())]);
    }

    /// Takes over a whole row.
    pub(crate) fn take_all(&self, row: &HostRow) {
        self.row.copy_from(row, &whole(row.geometry()));
    }

    pub(crate) fn write_workspace(&mut self, first: usize, words: &[u32]) {
        self.workspace[first..first + words.len()].copy_from_slice(words);
    }

    /// Takes over what a drain that looked at `slots` has changed.
    pub(crate) fn take_results(&self, row: &HostRow, slots: impl Iterator<Item = u32>) {
        let geometry = row.geometry();
        let end_of_log = |row: &HostRow| {
            let cursor =
                row.words(Buffer::DebugLog)[debug_log::word::CURSOR].load(Ordering::Relaxed);
            debug_log::word::RECORDS.saturating_add(cursor as usize).min(geometry.debug_log_words())
        };
        let (from, to) = (end_of_log(&self.row), end_of_log(row));
        self.row.copy_from(
            row,
            &[
                (Buffer::Control, 0..geometry.control_words()),
                (Buffer::IoQueue, 0..geometry.io_queue_words()),
                (Buffer::DebugLog, 0..debug_log::word::RECORDS),
                (Buffer::DebugLog, from..to.max(from)),
            ],
        );
        slots.for_each(|slot| self.take(row, Unit::Slot(slot)));
    }

    /// Opens a device again and gives it the row and the workspace.
    pub(crate) fn rebuild(&mut self) -> Result<Box<dyn Backend>, DriverError> {
        let mut wait = self.recovery.first_wait;
        let mut attempt = 1;
        let mut backend = loop {
            match self.builder.open_backend() {
                Ok(backend) => break backend,
                Err(error) if attempt >= self.recovery.attempts => {
                    let error = error.to_string();
                    return Err(DriverError::NotRecovered { attempts: attempt, error });
                }
                Err(error) => tracing::warn!(%error, attempt, "the device does not open again"),
            }
            std::thread::sleep(wait.min(self.recovery.longest_wait));
            wait = wait.saturating_mul(2);
            attempt += 1;
        };
        backend.host().copy_from(&self.row, &whole(self.row.geometry()));
        backend.write_workspace(0, &self.workspace)?;
        self.recovered += 1;
        self.is_lost = false;
        Ok(backend)
    }
}

fn whole(geometry: Geometry) -> [(Buffer, Range<usize>); 4] {
    Buffer::ALL.map(|buffer| (buffer, 0..geometry.words(buffer)))
}

/// A call of a backend.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening a device.
    Open,
    /// Before anything was submitted.
    Start,
    /// After the drain has run.
    Finish,
    /// Writing the workspace.
    WriteWorkspace,
    /// Reading the workspace.
    ReadWorkspace,
}

/// Losses to come, for tests.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<Vec<Stage>>>);

impl Losses {
    /// Has the next call of this kind say that the device is lost.
    pub fn lose_at(&self, stage: Stage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
    }

    pub(crate) fn take(&self, stage: Stage) -> Result<(), BackendError> {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stages.iter().position(|planned| *planned == stage) {
            None => Ok(()),
            Some(index) => {
                stages.remove(index);
                Err(BackendError::Lost { reason: format!("injected at {stage:?}") })
            }
        }
    }
}

/// A backend that loses its device when it is told to.
pub(crate) struct Losing {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) losses: Losses,
}

impl Backend for Losing {
    fn info(&self) -> &crate::backend::BackendInfo {
        self.backend.info()
    }

    fn host(&self) -> &HostRow {
        self.backend.host()
    }

    fn shares_row(&self) -> bool {
        self.backend.shares_row()
    }

    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        self.losses.take(Stage::Start)?;
        self.backend.start(drain)
    }

    fn finish(&mut self, readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError> {
        self.backend.finish(readback)?;
        self.losses.take(Stage::Finish)
    }

    fn persist(&mut self, levels: &Partitions) -> Result<(), PersistError> {
        self.backend.persist(levels)
    }

    fn persisting(&self) -> Result<Slices, PersistError> {
        self.backend.persisting()
    }

    fn stop(&mut self) -> Result<Slices, PersistError> {
        self.backend.stop()
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::WriteWorkspace)?;
        self.backend.write_workspace(first, words)
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::ReadWorkspace)?;
        self.backend.read_workspace(first, words)
    }

    fn gpu(&self) -> Option<&crate::gpu::Gpu> {
        self.backend.gpu()
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        self.backend.buffer(buffer)
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        self.backend.workspace()
    }
}
