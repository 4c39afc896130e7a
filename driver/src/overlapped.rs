//! Dispatches that overlap: several in flight, and publishing meanwhile.
//!
//! ```text
//!   publish ─▶ dispatch ─▶ ticket        drains, one after the other
//!   publish ─▶ dispatch ─▶ ticket  ═════▶ ■■■■■ ■■■■■ ■■■■■
//!   results ◀─ wait, poll or await
//! ```
//!
//! ```
//! use slipring_core::{layout::Geometry, opcode, ring::Job};
//! use slipring_driver::{Driver, Kernel, Readback};
//! # use slipring_driver::BackendChoice;
//! # let choice = BackendChoice::Twin;
//! let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
//! # let builder = builder.backend(choice);
//! let mut driver = builder.in_flight(2).open()?;
//! let mut overlapped = driver.overlapped(&Readback::observables(0..1))?;
//! let add = Job::new(opcode::ATOMIC_ADD, &[21, 160]);
//!
//! overlapped.publish(&add)?;
//! let first = overlapped.dispatch()?;
//! overlapped.publish(&add)?;
//! let second = overlapped.dispatch()?;
//! assert_eq!(overlapped.wait(first)?.done, 1);
//! # fn block_on<F: Future>(future: F) -> F::Output { pollster::block_on(future) }
//! // In a task:
//! let drained = block_on(async { overlapped.finished(second).await })?;
//! assert_eq!(drained.done, 1);
//! drop(overlapped);
//! assert_eq!(driver.row().control.observable(0)?, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod watcher;

use crate::driver::{Driver, DriverError};
use crate::readback::Readback;
use crate::stats::Drained;
use slipring_core::publisher::{Batch, Fault, Outcome, PublisherError, Ticket, Window};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::row::Row;
use slipring_core::slot::Priority;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use watcher::Watcher;

/// The number of the next dispatch, of any driver.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A dispatch, to ask for its results.
#[must_use = "results that are not taken keep their place in flight"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchTicket {
    number: u64,
}

struct Dispatch {
    number: u64,
    /// Its results, once it has finished.
    drained: Option<Drained>,
}

/// A driver whose dispatches are not waited for at once. Dropping it waits for those in flight;
/// results that were not taken are lost, but for what they have done to the row.
///
/// What became of jobs, and which slots are free, is known as of the last dispatch that has
/// finished, as it always is. What else the row shows may be ahead of that where it is shared with
/// the GPU. Everything but publishing (tenants, observables, I/O, the workspace) is the driver's,
/// for when nothing is in flight.
pub struct Overlapped<'a> {
    pub(crate) driver: &'a mut Driver,
    readback: Readback,
    /// Those whose results were not taken, in order; the finished ones come first.
    dispatches: Vec<Dispatch>,
    watcher: Option<Watcher>,
}

impl core::fmt::Debug for Overlapped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Overlapped").field("driver", &self.driver).finish_non_exhaustive()
    }
}

impl Driver {
    /// Begins to overlap dispatches, each of which brings `readback` home; of the ring, only the
    /// slots that it has looked at.
    ///
    /// # Errors
    /// [`DriverError::ObservableRange`].
    pub fn overlapped(&mut self, readback: &Readback) -> Result<Overlapped<'_>, DriverError> {
        self.land();
        readback.check(self.device.host().geometry())?;
        // What has finished before is known to have.
        let ring = self.device.ring();
        (0..ring.slots()).for_each(|slot| self.publisher.settle(ring, slot));
        self.publisher.freeze(true);
        let dispatches = Vec::with_capacity(self.device.most_flights());
        let readback = readback.without_ring();
        Ok(Overlapped { driver: self, readback, dispatches, watcher: None })
    }
}

impl Overlapped<'_> {
    /// Publishes a job, for the next dispatch.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    pub fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
        self.driver.publish(job)
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
        self.driver.publish_items(tenant, priority, items)
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
        self.driver.publish_batch(tenant, priority, items, tag)
    }

    /// What became of a job, as of the last dispatch that has finished. Reading a fault frees its
    /// slot.
    pub fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.driver.outcome(ticket)
    }

    /// Takes a fault that nobody has read, and frees its slot.
    pub fn next_fault(&mut self) -> Option<Fault> {
        self.driver.next_fault()
    }

    /// The row, which drains may be working on.
    pub fn row(&self) -> Row<'_, AtomicU32> {
        self.driver.row()
    }

    /// Starts a drain of what was published, behind those in flight. What an earlier one leaves
    /// PUBLISHED is looked at by the first that starts after that one's end was seen.
    ///
    /// It waits only where a drain takes more than one submission: of more than 15 runs (one a
    /// level and segment, on llvmpipe and in the serial order more) or of hundreds of fences.
    /// (llvmpipe, which is a CPU, may run drains while they are submitted.)
    ///
    /// # Errors
    /// [`DriverError::InFlight`] when as many dispatches as there may be are in flight, or have
    /// results that were not taken; those of [`Driver::dispatch`]. Nothing is forgotten then.
    pub fn dispatch(&mut self) -> Result<DispatchTicket, DriverError> {
        let most = self.driver.device.most_flights();
        if self.dispatches.len() >= most {
            return Err(DriverError::InFlight { most });
        }
        self.driver.start(&self.readback)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.dispatches.push(Dispatch { number, drained: None });
        Ok(DispatchTicket { number })
    }

    /// Waits for a dispatch, and takes its results.
    ///
    /// # Errors
    /// [`DriverError::NoDispatch`], and those of [`Driver::dispatch`].
    pub fn wait(&mut self, ticket: DispatchTicket) -> Result<Drained, DriverError> {
        loop {
            match self.take(ticket)? {
                Some(drained) => return Ok(drained),
                None => {
                    let drained = self.driver.finish_oldest(false)?;
                    self.note(drained);
                }
            }
        }
    }

    /// Takes the results of a dispatch, if it has ended. It never waits, unless the device was
    /// lost and is opened anew.
    ///
    /// # Errors
    /// As [`Overlapped::wait`].
    pub fn poll(&mut self, ticket: DispatchTicket) -> Result<Option<Drained>, DriverError> {
        loop {
            if let Some(drained) = self.take(ticket)? {
                return Ok(Some(drained));
            }
            match self.driver.poll_oldest()? {
                Some(drained) => self.note(drained),
                None => return Ok(None),
            }
        }
    }

    /// [`Overlapped::wait`], for tasks. The first one that has to wait starts a thread that wakes
    /// tasks. A task publishes and dispatches before it awaits: the future has the guard.
    pub fn finished(
        &mut self,
        ticket: DispatchTicket,
    ) -> impl Future<Output = Result<Drained, DriverError>> {
        std::future::poll_fn(move |context| Pin::new(&mut *self).poll_task(ticket, context))
    }

    fn poll_task(
        &mut self,
        ticket: DispatchTicket,
        context: &Context<'_>,
    ) -> Poll<Result<Drained, DriverError>> {
        match self.poll(ticket).transpose() {
            Some(drained) => Poll::Ready(drained),
            None => {
                let device = &self.driver.device;
                let watcher = self.watcher.get_or_insert_with(Watcher::new);
                let (backend, submission) = (&device.backend, device.oldest_submission());
                watcher.watch(backend, submission, device.timeout(), context.waker());
                Poll::Pending
            }
        }
    }

    /// The results of a dispatch, if it has finished.
    fn take(&mut self, ticket: DispatchTicket) -> Result<Option<Drained>, DriverError> {
        let mut dispatches = self.dispatches.iter();
        let index = dispatches.position(|dispatch| dispatch.number == ticket.number);
        let index = index.ok_or(DriverError::NoDispatch)?;
        let drained = self.dispatches[index].drained;
        if drained.is_some() {
            self.dispatches.remove(index);
        }
        Ok(drained)
    }

    /// Keeps the results of the oldest dispatch that had none.
    fn note(&mut self, drained: Drained) {
        let mut dispatches = self.dispatches.iter_mut();
        if let Some(oldest) = dispatches.find(|dispatch| dispatch.drained.is_none()) {
            oldest.drained = Some(drained);
        }
    }
}

impl Drop for Overlapped<'_> {
    fn drop(&mut self) {
        self.driver.land();
    }
}
