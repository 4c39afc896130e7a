//! A kernel that stays on: publishing alone makes jobs run, in microseconds.
//!
//! ```text
//!   publish ─▶ slot in shared memory ◀─ looks, looks, looks ─ kernel ─▶ status ─▶ wait
//!                slice after slice of the kernel, submitted by a thread
//! ```
//!
//! ```
//! use slipring_core::{layout::Geometry, opcode, publisher::Outcome, ring::Job};
//! use slipring_driver::{Driver, Kernel, Readback, persistent};
//! use std::time::Duration;
//!
//! let kernel = Kernel::builder().build()?;
//! let builder = Driver::builder(kernel, Geometry::of_slots(64, 8)?);
//! let mut driver = builder.persistent(persistent::DEFAULT_SLICE).open()?;
//! let store = Job::new(opcode::STORE_U32, &[42, 160]);
//! let stays = driver.persist().map(drop);
//! if let Err(reason) = &stays {
//!     // No GPU, or one that does not see what the host writes: dispatch instead.
//!     println!("{reason}");
//!     let ticket = driver.publish(&store)?;
//!     driver.dispatch(&Readback::observables(0..1))?;
//!     assert_eq!(driver.outcome(ticket), Outcome::Done);
//! } else {
//!     let mut kernel = driver.persist()?;
//!     let ticket = kernel.publish(&store)?;
//!     assert_eq!(kernel.wait(ticket, Duration::from_secs(1))?, Outcome::Done);
//!     kernel.stop()?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::backend::BackendError;
use crate::driver::{Driver, DriverError};
use crate::kernel::IterationError;
use slipring_core::control;
use slipring_core::layout::Buffer;
use slipring_core::publisher::{Batch, Fault, Outcome, PublisherError, Ticket, Window};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::row::Row;
use slipring_core::slot::Priority;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

/// How long a submission lasts, unless said otherwise.
pub const DEFAULT_SLICE: Duration = Duration::from_millis(100);
/// The longest that a submission may last: half of what the kernel driver of a Raspberry Pi's GPU
/// gives a job before it resets the GPU (500 ms).
pub const MAX_SLICE: Duration = Duration::from_millis(250);

/// How long a start may take until the kernel sees what the host writes.
const PROBE: Duration = Duration::from_secs(2);
/// How long two NOPs may take then, one after the other: jobs are to run within microseconds.
const PROMPT: Duration = Duration::from_micros(200);
/// Looks at a status that a wait makes before it begins to sleep between them.
const SPINS: u32 = 20_000;
/// Looks until I/O is served once more: a look at the IO queue is one at 64 words.
const LOOKS_PER_SERVICE: u32 = 32;
/// The first sleep between two looks, and the longest.
const MIN_SLEEP: Duration = Duration::from_micros(1);
const MAX_SLEEP: Duration = Duration::from_millis(1);

/// Why no kernel stays on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PersistError {
    /// The driver was opened without
    /// [`DriverBuilder::persistent`](crate::DriverBuilder::persistent).
    #[error("the driver was not opened for it; use DriverBuilder::persistent")]
    NotPrepared,
    /// What the driver runs on cannot.
    #[error("no kernel can stay on: {reason}; dispatch instead")]
    Unavailable { reason: String },
    /// One stays on already, whose guard was forgotten. The next dispatch stops it.
    #[error("a kernel stays on already; the next dispatch stops it")]
    Twice,
    /// None stays on.
    #[error("no kernel stays on")]
    Stopped,
    /// Slots are in flight, as a dispatch or a stay has left them. (Those that wait for I/O, the
    /// driver's `complete_io` lets finish.)
    #[error("{slots} slots are in flight; dispatch, and complete their I/O, until they have ended")]
    InFlight { slots: usize },
    /// The job did not finish in time. It may still.
    #[error("the job did not finish within {timeout_ms} ms")]
    Timeout { timeout_ms: u64 },
    /// The device was lost while the kernel stayed on, and the driver recovers such devices: the
    /// row and the workspace are what they were at the last checkpoint, and the next call that
    /// needs a device opens one. Of the jobs that were published since, none is in the row any
    /// more; which of them have run is not known ([`Driver::is_uncertain`]).
    /// (`jobs` counts the NOPs that a stay begins with.)
    #[error("{error}; {jobs} jobs published since the last checkpoint are uncertain")]
    Lost { error: BackendError, jobs: u32 },
    /// A device that was lost did not open again.
    #[error(transparent)]
    NotRecovered(Box<DriverError>),
    /// The kernel's loops do not fit the device.
    #[error(transparent)]
    Iterations(#[from] IterationError),
    /// The device.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// How a kernel has stayed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slices {
    /// Submissions that have ended.
    pub slices: u64,
    /// The longest time from the end of one submission to that of the next.
    pub longest: Duration,
    /// How long it took from the call to stop until the last submission had ended.
    pub stopped_in: Duration,
}

/// What is known of stays, for when the device is lost in one.
#[derive(Debug, Default)]
pub(crate) struct Stays {
    /// Whether a kernel stays on, or has until it was lost.
    is_on: bool,
    /// The last ticket before the checkpoint.
    checkpoint: u32,
    /// The tickets (first exclusive) that became uncertain last.
    uncertain: Option<(u32, u32)>,
}

impl Driver {
    /// Whether a job was published while a kernel stayed on, after the last checkpoint before the
    /// device was lost: what it did to the row and the workspace is undone, and whether it has run
    /// (and has done anything outside of them, such as asking for I/O) is not known. Of several
    /// such losses, the last counts.
    pub fn is_uncertain(&self, ticket: Ticket) -> bool {
        let uncertain = self.stays.uncertain;
        uncertain.is_some_and(|(after, last)| ticket.is_after(after) && !ticket.is_after(last))
    }

    /// Starts a kernel that stays on until the guard is stopped or dropped.
    ///
    /// A few NOPs are published and waited for, so that what the host writes is known to be seen at
    /// once; they count as any job does. Observables and counters can be read at any time; the
    /// debug log between stays only.
    ///
    /// # Errors
    /// Any [`PersistError`] but those of waiting. No kernel stays on then, or still the one of
    /// [`PersistError::Twice`].
    pub fn persist(&mut self) -> Result<Persistent<'_>, PersistError> {
        if self.stays.is_on {
            return Err(PersistError::Twice);
        }
        self.land();
        let slots = self.list_unfinished();
        if slots > 0 {
            return Err(PersistError::InFlight { slots });
        }
        self.device.renew().map_err(|error| PersistError::NotRecovered(Box::new(error)))?;
        self.enter_stay();
        if let Err(error) = self.device.resident.persist(self.publisher.partitions()) {
            self.leave_stay();
            self.wrote_io();
            return Err(error);
        }
        self.stays.is_on = true;
        self.publisher.trust_ledger(true);
        self.stays.checkpoint = self.publisher.sequence();
        let (finished, faults) = self.counters();
        let mut persistent = Persistent { driver: self, finished, faults };
        persistent.probe()?;
        Ok(persistent)
    }

    /// The counts of finished slots and of faults.
    fn counters(&self) -> (u32, u32) {
        let control = self.device.host().words(Buffer::Control);
        // Acquire pairs with the release of the kernel's addition: the faults, the statuses and
        // what the jobs did came before.
        let finished = control[control::word::DONE_COUNT].load(Ordering::Acquire);
        (finished, control[control::word::FAULTS].load(Ordering::Relaxed))
    }

    /// Stops the kernel that stays on, and lists what it has left for the next dispatch.
    pub(crate) fn stop_persisting(&mut self) -> Result<Slices, PersistError> {
        if !std::mem::take(&mut self.stays.is_on) {
            return Err(PersistError::Stopped);
        }
        let stopped = self.device.resident.stop();
        self.leave_stay();
        let stopped = stopped.and_then(|slices| {
            self.device.checkpoint()?;
            Ok(slices)
        });
        let stopped = stopped.map_err(|error| self.lose_stay(error));
        self.publisher.trust_ledger(false);
        self.list_unfinished();
        stopped
    }

    /// The error of a stay. If its device is lost and will be replaced, the row becomes that of the
    /// last checkpoint.
    fn lose_stay(&mut self, error: PersistError) -> PersistError {
        let PersistError::Backend(error) = error else { return error };
        if !error.is_lost() || !self.device.lose(&error) {
            return error.into();
        }
        let (checkpoint, last) = (self.stays.checkpoint, self.publisher.sequence());
        self.leave_stay();
        self.forget_io();
        self.stays.uncertain = Some((checkpoint, last));
        self.stays.checkpoint = last;
        PersistError::Lost { error, jobs: self.publisher.forget_since(checkpoint) }
    }
}

/// A kernel that stays on. Dropping it stops the kernel.
///
/// While it does, the publisher takes its ledger's word for which slots are free: nobody else may
/// publish to slots that it has used.
#[derive(Debug)]
pub struct Persistent<'a> {
    pub(crate) driver: &'a mut Driver,
    /// What the done count is when everything published has finished.
    finished: u32,
    /// The fault count when everything that was published last had finished.
    faults: u32,
}

impl Persistent<'_> {
    /// Shows that what the host writes is seen at once, and not after milliseconds or only by the
    /// next slice: two NOPs in a row must be prompt, and run within one slice. Until they are, they
    /// are tried again: the host may have been busy. (Where the GPU is a CPU, whose slices are
    /// short, its memory is the host's.)
    fn probe(&mut self) -> Result<(), PersistError> {
        let partitions = self.driver.publisher.partitions();
        let mut levels = Priority::ALL.into_iter();
        let level = levels.find(|&level| !partitions.range(level).is_empty()).unwrap_or_default();
        let nop = Job::new(slipring_core::opcode::NOP, &[]).priority(level);
        let unavailable = |reason| PersistError::Unavailable { reason };
        let (start, is_cpu) = (Instant::now(), self.driver.backend().is_cpu);
        while start.elapsed() < PROBE {
            let (before, published) = (self.slices()?.slices, Instant::now());
            for _ in 0..2 {
                let ticket = self.publish(&nop).map_err(|error| unavailable(error.to_string()))?;
                match self.wait(ticket, PROBE) {
                    Ok(Outcome::Done) => {}
                    Err(PersistError::Timeout { .. }) => {
                        return Err(unavailable("it does not see what the host writes".to_owned()));
                    }
                    Ok(outcome) => {
                        return Err(unavailable(format!("a NOP ended as {outcome:?}")));
                    }
                    Err(error) => return Err(error),
                }
            }
            let lasted = published.elapsed();
            if is_cpu || (self.slices()?.slices == before && lasted <= PROMPT) {
                return Ok(());
            }
        }
        Err(unavailable("it sees what the host writes late, or only when a slice ends".to_owned()))
    }

    /// Publishes a job, which runs at once.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    pub fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
        let Driver { publisher, device, .. } = &mut *self.driver;
        let ticket = publisher.publish(device.ring(), job)?;
        self.driver.may_use_io(job.opcode);
        self.published(1);
        Ok(ticket)
    }

    /// Publishes work items side by side, all or none.
    ///
    /// # Errors
    /// As [`Driver::publish_items`].
    pub fn publish_items(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[WorkItem],
    ) -> Result<Window, PublisherError> {
        let Driver { publisher, device, .. } = &mut *self.driver;
        let window = publisher.publish_items(device.ring(), tenant, priority, items)?;
        items.iter().for_each(|item| self.driver.may_use_io(item.opcode));
        self.published(window.slots);
        Ok(window)
    }

    /// Publishes `(opcode, arguments)` pairs side by side, closed by a fence that writes `tag` to
    /// observable 0.
    ///
    /// # Errors
    /// As [`Driver::publish_batch`].
    pub fn publish_batch(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> Result<Batch, PublisherError> {
        let Driver { publisher, device, .. } = &mut *self.driver;
        let batch = publisher.publish_batch(device.ring(), tenant, priority, items, tag)?;
        items.iter().for_each(|(opcode, _)| self.driver.may_use_io(*opcode));
        self.published(batch.window.slots);
        Ok(batch)
    }

    /// Counts what was published, and has it leave the CPU: a GPU's own memory is write-combined.
    fn published(&mut self, slots: u32) {
        fence(Ordering::SeqCst);
        self.finished = self.finished.wrapping_add(slots);
    }

    /// What became of a job by now. Reading a fault frees its slot.
    pub fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.driver.outcome(ticket)
    }

    /// Takes a fault that nobody has read, and frees its slot.
    pub fn next_fault(&mut self) -> Option<Fault> {
        self.driver.next_fault()
    }

    /// The row, which the kernel works on meanwhile. Whoever publishes into it around the driver
    /// must have slots of their own, in a partition that the driver does not publish to.
    pub fn row(&self) -> Row<'_, AtomicU32> {
        self.driver.row()
    }

    /// Waits until a job has ended: looks at its status, first all the time, then less often.
    ///
    /// # Errors
    /// [`PersistError::Timeout`]; when the kernel is gone, [`PersistError::Backend`], or
    /// [`PersistError::Lost`] if the driver recovers lost devices.
    pub fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Outcome, PersistError> {
        self.poll(timeout, |kernel| match kernel.outcome(ticket) {
            Outcome::Pending => None,
            outcome => Some(outcome),
        })
    }

    /// Serves the I/O that the kernel has asked for, if the driver's pump has no thread: what has
    /// ended by now, and what is asked for anew. Waiting does so by itself.
    pub fn serve_io(&mut self) {
        self.driver.serve_stay();
    }

    /// Waits until everything that was published here has ended, by two counters: whatever their
    /// number, no status is read unless there was a fault. A job of tenant 0 that writes the done
    /// count makes this wrong; publishers of their own, around the driver, do too.
    ///
    /// # Errors
    /// As [`Persistent::wait`].
    pub fn wait_all(&mut self, timeout: Duration) -> Result<(), PersistError> {
        let faults = self.poll(timeout, |kernel| {
            let (finished, faults) = kernel.driver.counters();
            (finished == kernel.finished).then_some(faults)
        })?;
        if faults == self.faults {
            self.driver.publisher.all_done();
        }
        self.faults = faults;
        Ok(())
    }

    fn poll<T>(
        &mut self,
        timeout: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, PersistError> {
        let start = Instant::now();
        let (mut spin, mut sleep) = (0, MIN_SLEEP);
        loop {
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            spin += 1;
            let is_patient = spin >= SPINS;
            let was_busy =
                (is_patient || spin % LOOKS_PER_SERVICE == 1) && self.driver.serve_stay();
            if was_busy {
                // The kernel goes on, and may soon ask for more.
                (spin, sleep) = (0, MIN_SLEEP);
            } else if !is_patient {
                std::hint::spin_loop();
                continue;
            }
            self.slices()?;
            if start.elapsed() >= timeout {
                return Err(PersistError::Timeout { timeout_ms: timeout.as_millis() as u64 });
            }
            if !was_busy {
                std::thread::sleep(sleep);
                sleep = (2 * sleep).min(MAX_SLEEP);
            }
        }
    }

    /// Waits until everything that was published here has ended, as [`Persistent::wait_all`], and
    /// makes that the state to go back to when the device is lost; the start of the stay is the
    /// first such state. Without [`recovery`](crate::recovery) it only waits.
    ///
    /// The row is copied, and the workspace if it is kept: on a discrete GPU, whose row lies in
    /// memory of its own, about 1 µs a word.
    ///
    /// # Errors
    /// As [`Persistent::wait`].
    pub fn checkpoint(&mut self, timeout: Duration) -> Result<(), PersistError> {
        self.wait_all(timeout)?;
        let driver = &mut *self.driver;
        driver.device.checkpoint().map_err(|error| driver.lose_stay(error.into()))?;
        driver.stays.checkpoint = driver.publisher.sequence();
        Ok(())
    }

    /// How the kernel has stayed on until now.
    ///
    /// # Errors
    /// As [`Persistent::wait`], and [`PersistError::Stopped`] after a loss. What is published here
    /// from then on, the next dispatch runs.
    pub fn slices(&mut self) -> Result<Slices, PersistError> {
        self.driver.device.resident.persisting().map_err(|error| self.driver.lose_stay(error))
    }

    /// Stops the kernel, after the jobs that it is running. What it has not claimed stays
    /// PUBLISHED, for the next dispatch.
    ///
    /// # Errors
    /// [`PersistError::Backend`] or [`PersistError::Lost`] when it was gone, and
    /// [`PersistError::Stopped`] if that was said before.
    pub fn stop(self) -> Result<Slices, PersistError> {
        self.driver.stop_persisting()
    }
}

impl Drop for Persistent<'_> {
    fn drop(&mut self) {
        // What went wrong shows in the next call, or in `Driver::is_uncertain` and the next drain's
        // `recovered`.
        let _ = self.driver.stop_persisting();
    }
}
