//! Recovery from a lost device: what the host keeps is enough to start again exactly.
//!
//! ```text
//!   host's changes ─┐ as they are made          lost ─▶ new device, same kernel
//!                   ├─▶ mirror of the row ────────────▶ its row ─▶ the drain again
//!   drain's changes ┘ after it has finished
//! ```
//!
//! So row and workspace end as if the lost drain had never begun: what was published stays
//! published, and I/O that the host has served is not served twice. While no device is there, the
//! mirror is the host's row, and the driver has no [`gpu`](crate::Driver::gpu) and no buffers;
//! afterwards it has others. What passes of the user's own have made is lost. Of the arena, what has
//! landed is there again, in pages that no device can lose; what handlers have written there since
//! is kept where the GPU works on those pages, and lost where it works on a copy.
//!
//! While a kernel stays on, there is no such boundary: the row then becomes what it was when the
//! kernel was started, or at the last [`checkpoint`](crate::Persistent::checkpoint), and the jobs
//! published since are uncertain.
//!
//! It costs memory: the row once more, the workspace once, or twice where handlers' writes are
//! kept. And time: a copy of what is published; after each drain a copy of the control buffer, the
//! IO queue, the slots looked at and new debug records, which the portable backend and the twin
//! read back whole for it; and the workspace, if kept.
//!
//! A device that is given up may be busy still. It is dropped on a thread of its own, while the
//! next one opens (but a row in storage of the caller's, or with an arena that is not copied, waits
//! for that, since both would work on it); a second one that is given up waits for it, and so does dropping the driver.
//!
//! ```
//! use slipring_core::layout::Geometry;
//! use slipring_driver::{Driver, Kernel, Readback, Recovery};
//! # use slipring_driver::BackendChoice;
//! # let choice = BackendChoice::Twin;
//! let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
//! # let builder = builder.backend(choice);
//! let mut driver = builder.recovery(Recovery { attempts: 20, ..Recovery::default() }).open()?;
//! assert_eq!(driver.dispatch(&Readback::none())?.recovered, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod losses;

#[doc(hidden)]
pub use losses::{Losses, Stage};

pub(crate) use losses::Losing;

use crate::backend::{
    Backend, BackendError, BackendInfo, Batch, Cost, Drain, Resident, RowOptions, Submission,
};
use crate::dirty::{Unit, whole};
use crate::driver::DriverError;
use crate::host_row::HostRow;
use crate::open::{OpenError, Opened};
use crate::shared::Shared;
use slipring_core::debug_log;
use slipring_core::layout::Buffer;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How a driver gets a device again. A call that loses the new one too is an error, and nothing
/// is forgotten: the next call tries anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How often a device is opened at most; once if 0. It is one of the same backend, but
    /// perhaps of another adapter, if the first one's does not come back.
    pub attempts: u32,
    /// The wait after the first attempt that failed; it doubles from one to the next.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// Whether what handlers write to the workspace outlives the device. The whole workspace then
    /// comes home after each drain, if the kernel has handlers. If not, the workspace becomes
    /// what the host has written to it.
    pub keep_workspace: bool,
}

impl Default for Recovery {
    /// Ten attempts within about three seconds: waits of 10 ms to 1 s. The workspace is kept.
    fn default() -> Self {
        let (first_wait, longest_wait) = (Duration::from_millis(10), Duration::from_secs(1));
        Self { attempts: 10, first_wait, longest_wait, keep_workspace: true }
    }
}

/// What the host keeps: all of it in memory that no device can lose.
pub(crate) struct Mirror {
    /// What the row is opened with.
    options: RowOptions,
    recovery: Recovery,
    row: Arc<HostRow>,
    workspace: Vec<u32>,
    /// Workspace words up to which some were written.
    written: usize,
    /// Room for the workspace of the drain that runs, until it has finished; none if it is not
    /// kept.
    next_workspace: Vec<u32>,
}

impl Mirror {
    /// A mirror of a row that was just opened.
    pub(crate) fn new(
        options: RowOptions,
        recovery: Recovery,
        row: &HostRow,
        has_handlers: bool,
    ) -> Result<Self, OpenError> {
        let zeroed = |words: usize| {
            let mut zeroed = Vec::new();
            let reserved = zeroed.try_reserve_exact(words);
            reserved.map_err(|_| OpenError::OutOfMemory { bytes: 4 * words as u64 })?;
            zeroed.resize(words, 0);
            Ok::<_, OpenError>(zeroed)
        };
        let is_kept = recovery.keep_workspace && has_handlers;
        let workspace_words = options.workspace_words;
        let mirror = Self {
            options,
            recovery,
            row: Arc::new(HostRow::new(row.geometry(), None)),
            workspace: zeroed(workspace_words)?,
            written: 0,
            next_workspace: zeroed(if is_kept { workspace_words } else { 0 })?,
        };
        mirror.take_all(row);
        Ok(mirror)
    }

    /// Has the row lie elsewhere on the next device.
    pub(crate) fn rebind(&mut self, options: &RowOptions) {
        self.options = options.clone();
    }

    /// Takes over what the host has just written.
    pub(crate) fn take(&self, row: &HostRow, unit: Unit) {
        self.row.copy_from(row, &[unit.range(row.geometry())]);
    }

    /// Takes over a whole row.
    pub(crate) fn take_all(&self, row: &HostRow) {
        self.row.copy_from(row, &whole(row.geometry()));
    }

    /// Takes over what the host has just written to the workspace.
    pub(crate) fn take_workspace(&mut self, first: usize, words: &[u32]) {
        let end = first + words.len();
        self.workspace[first..end].copy_from_slice(words);
        self.written = self.written.max(end);
    }

    /// Reads what a drain has left in the workspace, if it is kept; the mirror has it from
    /// [`Mirror::keep_workspace`] on.
    pub(crate) fn read_workspace(&mut self, row: &mut dyn Resident) -> Result<(), BackendError> {
        match self.next_workspace.is_empty() {
            true => Ok(()),
            false => row.read_workspace(0, &mut self.next_workspace),
        }
    }

    /// Takes over what a drain that looked at `slots` has changed.
    pub(crate) fn take_results(&mut self, row: &HostRow, slots: impl Iterator<Item = u32>) {
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
        self.keep_workspace();
    }

    /// Takes over the workspace that was read, if it is kept.
    pub(crate) fn keep_workspace(&mut self) {
        if !self.next_workspace.is_empty() {
            std::mem::swap(&mut self.workspace, &mut self.next_workspace);
            self.written = self.workspace.len();
        }
    }

    /// What stands for a device while there is none.
    pub(crate) fn stand_in(&self, info: &BackendInfo) -> Box<dyn Resident> {
        Box::new(Gone { info: info.clone(), row: Arc::clone(&self.row) })
    }

    /// Opens a device again, in place of a lost one, and gives it the row and the workspace.
    pub(crate) fn rebuild(
        &self,
        shared: &Shared,
        lost: &Arc<dyn Backend>,
    ) -> Result<Opened, DriverError> {
        let mut wait = self.recovery.first_wait;
        let mut attempts = 1;
        loop {
            let error = match self.open(shared, lost) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if attempts >= self.recovery.attempts {
                return Err(DriverError::NotRecovered { attempts, error: Box::new(error) });
            }
            tracing::warn!(%error, attempts, "the device does not open again");
            std::thread::sleep(wait.min(self.recovery.longest_wait));
            wait = wait.saturating_mul(2);
            attempts += 1;
        }
    }

    fn open(&self, shared: &Shared, lost: &Arc<dyn Backend>) -> Result<Opened, OpenError> {
        let (backend, mut row) = shared.replace(lost, &self.options)?;
        row.host().copy_from(&self.row, &whole(self.row.geometry()));
        if self.written > 0 {
            row.write_workspace(0, &self.workspace[..self.written])?;
        }
        row.deliver_arena(0..self.options.arena_words())?;
        Ok((backend, row))
    }
}

/// No device: the mirror alone.
struct Gone {
    info: BackendInfo,
    row: Arc<HostRow>,
}

impl Gone {
    fn error() -> BackendError {
        BackendError::Lost { reason: "it was not replaced yet".to_owned() }
    }
}

impl Resident for Gone {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.row
    }

    fn stage(
        &mut self,
        _drain: &Drain<'_>,
        _first: usize,
        _batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError> {
        Err(Self::error())
    }

    fn submitted(&mut self, _flight: usize, _submission: &Submission) {}

    fn finish(
        &mut self,
        _flight: usize,
        _readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn write_workspace(&mut self, _first: usize, _words: &[u32]) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn read_workspace(&mut self, _first: usize, _words: &mut [u32]) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn write_arena(&mut self, _first: usize, _words: &[u32]) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn deliver_arena(&mut self, _words: Range<usize>) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn fetch_arena(&mut self, _words: Range<usize>) -> Result<(), BackendError> {
        Err(Self::error())
    }

    fn read_arena(&mut self, _first: usize, _words: &mut [u32]) -> Result<(), BackendError> {
        Err(Self::error())
    }
}
