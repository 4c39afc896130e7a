//! Jobs: published for what has landed, and looked at until they have ended.

use super::chunk::State;
use super::{Ingest, IngestError};
use crate::input::publish::{Publish, Refusals};
use slipring_core::publisher::{Outcome, Ticket};

/// How many chunks one call looks at: each costs a load from memory that the GPU may own.
const LOOKS: usize = 16;

impl Ingest {
    /// Publishes what has landed, the oldest first, as far as the ring takes it.
    pub(super) fn publish(&mut self, host: &mut impl Publish) -> Result<u32, IngestError> {
        if !self.landed.is_empty() {
            // Slots of jobs that have ended may be used again now.
            self.look(host);
        }
        let (mut published, mut at, mut refusals) = (0, 0, Refusals::default());
        while let Some(&index) = self.landed.get(at) {
            let room = self.reader.arena.chunk(index);
            let chunk = &mut self.chunks[index as usize];
            let reading = self.sources[chunk.source].as_ref().expect("it has a chunk outstanding");
            if refusals.reason(reading.job.priority, reading.job.tenant).is_some() {
                at += 1;
                continue;
            }
            if chunk.undelivered > 0 {
                let end = (room.start + chunk.undelivered).div_ceil(4);
                host.driver().device.deliver_arena(room.start / 4..end)?;
                chunk.undelivered = 0;
            }
            let own = reading.own_bytes(chunk.read.offset, chunk.bytes);
            let args = reading.job.arguments(index, &room, chunk, own, reading.id);
            match host.publish(&reading.job.with(&args)) {
                Ok(ticket) => {
                    chunk.state = State::Running(ticket);
                    published += 1;
                    self.runs(host, index, ticket);
                }
                Err(error) if refusals.add(&error) => {
                    at += 1;
                    continue;
                }
                Err(error) => {
                    chunk.state = State::Refused(error);
                    self.over.push_back(index);
                }
            }
            self.landed.remove(at);
        }
        Ok(published)
    }

    /// Notes that a chunk's job has this slot now. The one that had it before has ended, and is known
    /// only until the next one comes.
    fn runs(&mut self, host: &mut impl Publish, index: u32, ticket: Ticket) {
        self.running.push_back(index);
        let before = std::mem::replace(&mut self.by_slot[ticket.slot as usize], index);
        if let Some(chunk) = self.chunks.get_mut(before as usize)
            && before != index
            && let State::Running(last) = chunk.state
            && last.slot == ticket.slot
        {
            chunk.state = State::Ran(last, host.outcome(last));
            self.running.retain(|running| *running != before);
            self.over.push_back(before);
        }
    }

    /// Looks for jobs that have ended.
    pub(super) fn look(&mut self, host: &mut impl Publish) {
        if !self.is_host(host) {
            return;
        }
        for _ in 0..self.running.len().min(LOOKS) {
            let Some(index) = self.running.pop_front() else { return };
            let chunk = &mut self.chunks[index as usize];
            let State::Running(ticket) = chunk.state else {
                unreachable!("only such chunks are listed")
            };
            match host.outcome(ticket) {
                Outcome::Pending => self.running.push_back(index),
                outcome => {
                    chunk.state = State::Ran(ticket, outcome);
                    self.over.push_back(index);
                }
            }
        }
    }

    /// Takes back chunks whose jobs an ingest before this one has left unfinished, once they have
    /// ended.
    pub(super) fn take_back(&mut self, host: &mut impl Publish) {
        let (free, chunks) = (&mut self.free, &self.reader.chunks);
        self.reader.left.retain(|&(index, ticket)| {
            let is_pending = host.outcome(ticket) == Outcome::Pending;
            if !is_pending && chunks.contains(&index) {
                free.push(index);
            }
            is_pending
        });
    }
}
