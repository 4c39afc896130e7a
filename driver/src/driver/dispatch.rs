//! Drains: started, waited for, looked at.

use super::{Driver, DriverError};
use crate::readback::{Readback, hull};
use crate::rows::dispatch_each;
use crate::stats::Drained;
use slipring_core::io_queue;
use slipring_core::layout::Buffer;
use slipring_core::slot::State;
use std::ops::Range;
use std::sync::atomic::Ordering;

impl Driver {
    /// Runs one drain over what was published, and brings `readback` home.
    ///
    /// Where the host's row is a copy (the portable backend, the twin), what was not asked for
    /// stays in [`Driver::row`] as it was: an observable, say, as of the last time that it was
    /// read back.
    ///
    /// # Errors
    /// [`DriverError::ObservableRange`], or [`DriverError::Backend`]: then nothing is
    /// forgotten, and the host's row is as before, unless it is shared with a device that goes on
    /// after a timeout. When the device was lost, the drain may have run, in part or wholly; when
    /// it refused, nothing has. With
    /// [`recovery`](crate::DriverBuilder::recovery) a loss is an error only if the new device is
    /// lost too, or none opens ([`DriverError::NotRecovered`]); the next dispatch then runs the
    /// drain as if for the first time.
    pub fn dispatch(&mut self, readback: &Readback) -> Result<Drained, DriverError> {
        let mut result = Drained::default();
        dispatch_each(&mut [self], readback, |drained| result = drained)?;
        Ok(result)
    }

    /// Whether the next dispatch has slots to look at: such as were published, or whose I/O has
    /// ended. (While a kernel stays on, or drains are in flight, nothing is said of what they have.)
    ///
    /// ```
    /// # use slipring_core::{layout::Geometry, opcode, ring::Job};
    /// # use slipring_driver::{BackendChoice, Driver, Kernel, Readback};
    /// # let choice = BackendChoice::Twin;
    /// # let kernel = Kernel::builder().build()?;
    /// # let mut driver = Driver::builder(kernel, Geometry::of_slots(4, 1)?).backend(choice).open()?;
    /// driver.publish(&Job::new(opcode::NOP, &[]))?;
    /// while driver.has_work() {
    ///     driver.dispatch(&Readback::none())?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has_work(&self) -> bool {
        self.work.len() > 0
    }

    /// Has these observables come home with each drain from now on, where the host's row is a copy.
    pub(crate) fn always_read(&self, observables: Range<u32>) {
        let wanted = hull(self.results(), observables);
        let packed = u64::from(wanted.start) << 32 | u64::from(wanted.end);
        self.results.store(packed, Ordering::Relaxed);
    }

    fn results(&self) -> Range<u32> {
        let packed = self.results.load(Ordering::Relaxed);
        (packed >> 32) as u32..packed as u32
    }

    /// Has a drain of all that is listed wait to be submitted.
    pub(crate) fn begin(&mut self, readback: &Readback) -> Result<(), DriverError> {
        self.serve_io();
        self.work.sort();
        let readback = &readback.with_results(self.results());
        match self.device.begin(&mut self.work, readback, self.uses_io) {
            true => Ok(()),
            false => Err(DriverError::InFlight { most: self.device.most_flights() }),
        }
    }

    /// Starts a drain of all that is listed, and does not wait for it.
    pub(crate) fn start(&mut self, readback: &Readback) -> Result<(), DriverError> {
        self.begin(readback)?;
        let started = self.device.start();
        if started.is_err() {
            self.device.cancel_newest(&mut self.work);
        }
        started
    }

    /// Takes the oldest drain's results without waiting for it; none if it has not ended.
    pub(crate) fn poll_oldest(&mut self) -> Result<Option<Drained>, DriverError> {
        match self.device.is_oldest_finished() {
            Ok(false) => Ok(None),
            Ok(true) => self.finish_oldest(false).map(Some),
            Err(error) if self.device.lose(&error) => self.finish_oldest(true).map(Some),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends what a guard that was forgotten has left: waits for drains in flight, lists those again
    /// that cannot be waited for, and stops a kernel that stays on.
    pub(crate) fn land(&mut self) {
        while self.device.flights() > 0 && self.finish_oldest(false).is_ok() {}
        self.cancel();
        self.publisher.freeze(false);
        // What went wrong shows as after a guard was dropped.
        let _ = self.stop_persisting();
    }

    /// Takes back every drain that was begun.
    pub(crate) fn cancel(&mut self) {
        while self.device.cancel_newest(&mut self.work) {}
    }

    /// Waits for the oldest drain, and looks at what became of its slots.
    pub(crate) fn finish_oldest(&mut self, is_retry: bool) -> Result<Drained, DriverError> {
        let (mut flight, recovered) = self.device.finish(is_retry)?;
        self.ended = self.ended.wrapping_add(1);
        let row = self.device.host().row();
        if self.publisher.is_frozen() {
            flight.work.slots().for_each(|slot| self.publisher.settle(row.ring, slot));
        }
        let (looked_at, latency) = (flight.work.len() as u32, flight.latency);
        let mut drained = Drained { looked_at, latency, recovered, ..Drained::of(flight.cost) };
        // Every listed slot was unfinished before.
        flight.work.retain(|slot| match row.ring.state(slot) {
            Some(State::Done) => {
                drained.done += 1;
                false
            }
            Some(State::Fault(_)) => {
                drained.faults += 1;
                false
            }
            Some(State::WaitIo(io_slot)) => {
                // Whoever waits for a request is listed again when that ends. An adopted slot may
                // wait for none, or for another's.
                let io_slot = u32::from(io_slot);
                let is_lost = row.waiting_slot(io_slot) != Some(slot);
                drained.waiting_io += u32::from(is_lost);
                is_lost || row.io_queue.status(io_slot) == Some(io_queue::status::EMPTY)
            }
            state => {
                drained.unclaimed += 1;
                state == Some(State::Published)
            }
        });
        if self.uses_io {
            let io_slots = 0..row.io_queue.slots();
            drained.waiting_io +=
                io_slots.filter(|&io_slot| row.waiting_slot(io_slot).is_some()).count() as u32;
        }
        self.work.append(&mut flight.work);
        self.device.reuse(flight);
        self.serve_io();
        Ok(drained)
    }

    /// The byte path: takes over four host buffers, drains them once, and writes all four
    /// back to caller storage. Every slot of the ring is looked at. Tickets of before are
    /// void.
    ///
    /// # Errors
    /// [`DriverError::Layout`] when either side is not four buffers of the geometry's lengths,
    /// with nothing changed, and those of [`Driver::dispatch`]: then the inputs are adopted.
    pub fn dispatch_bytes(
        &mut self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) -> Result<Drained, DriverError> {
        self.device.host().check_outputs(outputs)?;
        self.adopt(inputs)?;
        let mut drained = self.dispatch(&Readback::all())?;
        self.device.host().copy_out(outputs);
        let bytes: u64 =
            Buffer::ALL.iter().map(|&buffer| self.device.host().geometry().bytes(buffer)).sum();
        (drained.input_bytes, drained.output_bytes) = (bytes, bytes);
        Ok(drained)
    }
}
