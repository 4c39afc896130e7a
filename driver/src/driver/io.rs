//! The host's side of the IO queue: what the kernel asks for, and how it ends.

use super::Driver;
use crate::dirty::Unit;
use crate::input::{IngestPath, IoPump, IoPumpError, Service, log_failure};
use slipring_core::io_queue::{Completion, IoQueueError, MAX_SLOTS, Request};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use std::time::{Duration, Instant};

impl Driver {
    /// The kernel's requests as of the last dispatch, which become the host's.
    pub fn claim_io(&mut self) -> heapless::Vec<Request, MAX_SLOTS> {
        self.land();
        let requests = self.device.host().row().io_queue.claim();
        requests.iter().for_each(|request| self.device.wrote(Unit::IoSlot(request.slot)));
        requests
    }

    /// Ends claimed requests: all of them, or none. The next dispatch finishes the slots that
    /// waited; an IO slot that none waits for, as after a prefetch, is freed, and its failure
    /// counted and logged.
    ///
    /// # Errors
    /// As [`slipring_core::io_queue::IoQueue::complete`].
    pub fn complete_io(&mut self, completions: &[(u32, Completion)]) -> Result<(), IoQueueError> {
        self.land();
        self.complete(completions)
    }

    fn complete(&mut self, completions: &[(u32, Completion)]) -> Result<(), IoQueueError> {
        self.device.host().row().io_queue.complete(completions)?;
        for &(io_slot, completion) in completions {
            self.device.wrote(Unit::IoSlot(io_slot));
            let row = self.device.host().row();
            let waiting = row.waiting_slot(io_slot);
            let level = waiting.and_then(|slot| self.publisher.partitions().level_of(slot));
            log_failure(&row.io_queue, io_slot, completion, level.is_some());
            if let (Some(slot), Some(level)) = (waiting, level) {
                self.work.push(slot, level, false);
            } else {
                self.release(io_slot)?;
                let failures = u32::from(matches!(completion, Completion::Error { .. }));
                self.prefetch_failures = self.prefetch_failures.wrapping_add(failures);
            }
        }
        Ok(())
    }

    /// Frees an IO slot that has ended and that no ring slot waits for, as an adopted row may
    /// have them; those of prefetches [`Driver::complete_io`] frees itself.
    ///
    /// # Errors
    /// As [`slipring_core::row::Row::release_io`].
    pub fn release_io(&mut self, io_slot: u32) -> Result<(), IoQueueError> {
        self.land();
        self.release(io_slot)
    }

    fn release(&mut self, io_slot: u32) -> Result<(), IoQueueError> {
        self.device.host().row().release_io(io_slot)?;
        self.device.wrote(Unit::IoSlot(io_slot));
        Ok(())
    }

    /// Prefetches that failed, wrapping.
    pub fn prefetch_failures(&self) -> u32 {
        let in_stays = self.io.as_ref().map_or(0, |io| io.failures());
        self.prefetch_failures.wrapping_add(in_stays)
    }

    /// Has a pump serve what the kernel asks for, from now on: before and after each drain, in
    /// [`Driver::wait_io`], and while a kernel stays on. [`Driver::claim_io`] would take requests
    /// from it. (On the portable backend and the twin, while several drains overlap, when none is in
    /// flight.)
    ///
    /// # Errors
    /// Any [`IoPumpError`]; the driver is as before then.
    pub fn attach_io(&mut self, pump: IoPump) -> Result<(), IoPumpError> {
        self.land();
        if self.io.is_some() {
            return Err(IoPumpError::Attached);
        }
        let arena = self.device.options().arena.clone();
        if let Some(arena) = &arena {
            arena.retain_left(|ticket| self.outcome(ticket) == Outcome::Pending);
        }
        let service = Service::open(pump, arena.as_ref())?;
        self.io = Some(Box::new(service));
        Ok(())
    }

    /// Ends the pump, if there is one, when its transfers have ended. Requests that it had not served
    /// are there for the next one, or for [`Driver::claim_io`]. One that was under way begins anew: of a
    /// stream, what a READ has taken by then is lost, and what a WRITE has put there comes twice.
    pub fn detach_io(&mut self) {
        self.land();
        self.forget_io();
        self.io = None;
    }

    /// How the attached pump moves bytes.
    pub fn io_path(&self) -> Option<&IngestPath> {
        self.io.as_ref().map(|io| io.path())
    }

    /// Serves I/O, and waits until the next dispatch has a slot to look at, if it has none and a
    /// request is under way; not much longer than the timeout. Says whether it has one.
    ///
    /// # Errors
    /// [`IoPumpError::NotAttached`]: nobody serves what is asked for.
    pub fn wait_io(&mut self, timeout: Duration) -> Result<bool, IoPumpError> {
        self.land();
        if self.io.is_none() {
            return Err(IoPumpError::NotAttached);
        }
        let start = Instant::now();
        loop {
            self.serve_io();
            if self.work.len() > 0 {
                return Ok(true);
            }
            let rest = timeout.saturating_sub(start.elapsed());
            let Some(io) = self.io.as_mut().filter(|io| !io.is_idle() && !rest.is_zero()) else {
                return Ok(false);
            };
            io.wait(rest);
        }
    }

    /// Notes that a job may ask for I/O.
    pub(crate) fn may_use_io(&mut self, opcode: u32) {
        self.uses_io |= opcode == opcode::LOAD_MISS;
    }

    /// Has the pump take in what has ended, and take what is asked for.
    pub(crate) fn serve_io(&mut self) {
        // A drain in flight may bring home an IO queue from before what is written to a copy now.
        if self.device.copies() && self.device.flights() > 0 {
            return;
        }
        let Some(mut io) = self.io.take() else { return };
        self.end_io(&mut io);
        if self.uses_io {
            let (queue, flights) = (self.device.host().row().io_queue, self.device.flights());
            let requests = io.claim(&queue, self.ended, flights);
            requests.iter().for_each(|request| self.device.wrote(Unit::IoSlot(request.slot)));
            io.accept(&requests, &mut self.device);
            // What is in the page cache has ended by now.
            self.end_io(&mut io);
        }
        self.io = Some(io);
    }

    fn end_io(&mut self, io: &mut Service) {
        for end in &io.poll(&mut self.device) {
            // One that was claimed before the row changed is not there any more.
            let _ = self.complete(std::slice::from_ref(end));
        }
    }

    /// The same while a kernel stays on; says whether there was anything to do.
    pub(crate) fn serve_stay(&mut self) -> bool {
        let uses_io = self.uses_io;
        self.io.as_mut().is_some_and(|io| uses_io && io.serve_stay())
    }

    /// Has the pump serve a kernel that is about to stay on.
    pub(crate) fn enter_stay(&mut self) {
        let Some(mut io) = self.io.take() else { return };
        io.enter(self.device.resident.stay_memory());
        self.end_io(&mut io);
        self.io = Some(io);
    }

    /// Has the pump let go of it. What is under way still ends, as between drains.
    pub(crate) fn leave_stay(&mut self) {
        let Some(io) = &mut self.io else { return };
        io.leave();
        self.prefetch_failures = self.prefetch_failures.wrapping_add(io.take_failures());
    }

    /// Has the pump know of no request: those that the row has are published again.
    pub(crate) fn forget_io(&mut self) {
        if let Some(io) = &mut self.io {
            io.forget();
            self.device.host().row().io_queue.unclaim();
            self.wrote_io();
        }
    }

    /// Notes that the host has written to any IO slot.
    pub(crate) fn wrote_io(&mut self) {
        let io_slots = 0..self.device.host().row().io_queue.slots();
        io_slots.for_each(|io_slot| self.device.wrote(Unit::IoSlot(io_slot)));
    }
}
