//! The host's side of the IO queue: what the kernel asks for, and how it ends.

use super::Driver;
use crate::dirty::Unit;
use slipring_core::io_queue::{Completion, IoQueueError, MAX_SLOTS, Request};

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
        self.device.host().row().io_queue.complete(completions)?;
        for &(io_slot, completion) in completions {
            self.device.wrote(Unit::IoSlot(io_slot));
            let row = self.device.host().row();
            let waiting = row.waiting_slot(io_slot);
            let level = waiting.and_then(|slot| self.publisher.partitions().level_of(slot));
            if let (Some(slot), Some(level)) = (waiting, level) {
                self.work.push(slot, level, false);
            } else {
                self.release_io(io_slot)?;
                if let Completion::Error { errno } = completion {
                    tracing::warn!(io_slot, errno, "I/O failed that no slot waits for");
                    self.prefetch_failures = self.prefetch_failures.wrapping_add(1);
                }
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
        self.device.host().row().release_io(io_slot)?;
        self.device.wrote(Unit::IoSlot(io_slot));
        Ok(())
    }

    /// Prefetches that failed, wrapping.
    pub fn prefetch_failures(&self) -> u32 {
        self.prefetch_failures
    }
}
