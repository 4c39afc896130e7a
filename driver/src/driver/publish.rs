//! What is published, and what became of it.

use super::Driver;
use crate::dirty::Unit;
use slipring_core::opcode;
use slipring_core::publisher::{Batch, Fault, Outcome, PublisherError, Ticket, Window};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::Priority;

impl Driver {
    /// Publishes a job; the next dispatch runs it.
    ///
    /// # Errors
    /// As [`slipring_core::publisher::Publisher::publish`].
    pub fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
        let ticket = self.publisher.publish(self.device.ring(), job)?;
        self.enlist(ticket.slot, job.priority, job.opcode);
        Ok(ticket)
    }

    /// Publishes `(opcode, arguments)` pairs side by side, closed by a fence that writes `tag` to
    /// observable 0.
    ///
    /// # Errors
    /// As [`slipring_core::publisher::Publisher::publish_batch`].
    pub fn publish_batch(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> Result<Batch, PublisherError> {
        let ring = self.device.ring();
        let batch = self.publisher.publish_batch(ring, tenant, priority, items, tag)?;
        let opcodes = items.iter().map(|(opcode, _)| *opcode).chain([opcode::BATCH_FENCE]);
        self.enlist_window(batch.window, priority, opcodes);
        Ok(batch)
    }

    /// Publishes work items side by side, all or none.
    ///
    /// # Errors
    /// As [`slipring_core::publisher::Publisher::publish_items`].
    pub fn publish_items(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[WorkItem],
    ) -> Result<Window, PublisherError> {
        let ring = self.device.ring();
        let window = self.publisher.publish_items(ring, tenant, priority, items)?;
        self.enlist_window(window, priority, items.iter().map(|item| item.opcode));
        Ok(window)
    }

    fn enlist_window(
        &mut self,
        window: Window,
        priority: Priority,
        opcodes: impl Iterator<Item = u32>,
    ) {
        for (slot, opcode) in (window.first.slot..).zip(opcodes) {
            self.enlist(slot, priority, opcode);
        }
    }

    fn enlist(&mut self, slot: u32, priority: Priority, opcode: u32) {
        self.device.wrote(Unit::Slot(slot));
        self.may_use_io(opcode);
        self.work.push(slot, priority, opcode == opcode::BATCH_FENCE);
    }

    /// What became of a job, as of the last dispatch. Reading a fault frees its slot.
    pub fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.publisher.outcome(self.device.ring(), ticket)
    }

    /// Takes a fault that nobody has read, and frees its slot.
    pub fn next_fault(&mut self) -> Option<Fault> {
        self.publisher.next_fault(self.device.ring())
    }

    /// The tenant's slots in flight.
    pub fn in_flight(&mut self, tenant: u32) -> u32 {
        self.publisher.in_flight(self.device.ring(), tenant)
    }
}
