//! The host's side of the IO queue: what the kernel asks for, and how it ends.

use super::Driver;
use slipring_core::io_queue::{self, Completion, IoQueueError, MAX_SLOTS, Request};
use slipring_core::layout::Buffer;
use slipring_core::row::Row;
use slipring_core::slot::State;
use std::sync::atomic::AtomicU32;

impl Driver {
    /// The kernel's requests as of the last dispatch, which become the host's.
    pub fn claim_io(&mut self) -> heapless::Vec<Request, MAX_SLOTS> {
        let requests = self.host.row().io_queue.claim();
        requests.iter().for_each(|request| self.dirty.io_slot(request.slot));
        requests
    }

    /// Ends claimed requests: all of them, or none. The next dispatch finishes the slots that
    /// waited; an IO slot that none waits for, as after a prefetch, is freed, and its failure
    /// counted and logged.
    ///
    /// # Errors
    /// As [`io_queue::IoQueue::complete`].
    pub fn complete_io(&mut self, completions: &[(u32, Completion)]) -> Result<(), IoQueueError> {
        let row = self.host.row();
        row.io_queue.complete(completions)?;
        for &(io_slot, completion) in completions {
            self.dirty.io_slot(io_slot);
            if let Some(slot) = waiting_slot(&row, io_slot)
                && let Some(level) = self.publisher.partitions().level_of(slot)
            {
                self.work.push(slot, level, false);
                continue;
            }
            self.host.fill(Buffer::IoQueue, io_status_word(io_slot), &[io_queue::status::EMPTY]);
            if let Completion::Error { errno } = completion {
                tracing::warn!(io_slot, errno, "I/O failed that no slot waits for");
                self.prefetch_failures = self.prefetch_failures.wrapping_add(1);
            }
        }
        Ok(())
    }

    /// Frees an IO slot that has ended and that no ring slot waits for, as an adopted row may
    /// have them; those of prefetches [`Driver::complete_io`] frees itself.
    ///
    /// # Errors
    /// [`IoQueueError::SlotRange`], [`IoQueueError::State`] unless OK or ERROR,
    /// [`IoQueueError::Waited`].
    pub fn release_io(&mut self, io_slot: u32) -> Result<(), IoQueueError> {
        let row = self.host.row();
        let (slots, expected) = (row.io_queue.slots(), io_queue::status::OK);
        let status = row.io_queue.status(io_slot);
        let status = status.ok_or(IoQueueError::SlotRange { slot: io_slot, slots })?;
        if !matches!(status, io_queue::status::OK | io_queue::status::ERROR) {
            return Err(IoQueueError::State { slot: io_slot, status, expected });
        }
        if let Some(tag) = waiting_slot(&row, io_slot) {
            return Err(IoQueueError::Waited { slot: io_slot, tag });
        }
        self.host.fill(Buffer::IoQueue, io_status_word(io_slot), &[io_queue::status::EMPTY]);
        self.dirty.io_slot(io_slot);
        Ok(())
    }

    /// Prefetches that failed, wrapping.
    pub fn prefetch_failures(&self) -> u32 {
        self.prefetch_failures
    }
}

/// The ring slot that waits for an IO slot, if one does.
fn waiting_slot(row: &Row<'_, AtomicU32>, io_slot: u32) -> Option<u32> {
    let tag = row.io_queue.tag(io_slot)?;
    (row.ring.state(tag) == Some(State::WaitIo(io_slot as u8))).then_some(tag)
}

fn io_status_word(io_slot: u32) -> usize {
    io_slot as usize * io_queue::SLOT_WORDS + io_queue::word::STATUS
}
