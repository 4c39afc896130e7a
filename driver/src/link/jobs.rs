//! Jobs: from links into the ring, and their ends back.

use super::results::JobEnd;
use super::{Line, LinkEvent, Links, SlotError};
use crate::input::{Publish, Refusals};
use slipring_core::link::{Fate, LinkTicket, ResultError, ResultWords};
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::{Priority, Slot};

/// A job in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    link: usize,
    ticket: LinkTicket,
    pub(super) job: Ticket,
}

/// What became of a slot that was to be published.
enum Put {
    Published(Ticket),
    /// The ring has no room for it now.
    Later(PublisherError),
    Refused(SlotError),
}

impl Links {
    /// Sends the ends of jobs back.
    pub(super) fn answer(&mut self, host: &mut impl Publish) {
        let mut at = 0;
        while let Some(&Running { link, ticket, job }) = self.running.get(at) {
            let fate = match host.outcome(job) {
                Outcome::Pending => {
                    at += 1;
                    continue;
                }
                // The device was lost since.
                _ if host.driver().is_uncertain(job) => Fate::Unknown,
                Outcome::Done => Fate::Done,
                Outcome::Fault(code) => Fate::Fault(code),
                Outcome::Unknown => Fate::Unknown,
            };
            self.running.swap_remove(at);
            self.is_ours[job.slot as usize] = false;
            self.lines[link].in_ring -= 1;
            self.answer_one(host, link, ticket, job, fate);
        }
    }

    fn answer_one(
        &mut self,
        host: &mut impl Publish,
        link: usize,
        ticket: LinkTicket,
        job: Ticket,
        fate: Fate,
    ) {
        let line = &mut self.lines[link];
        let (mut fate, mut words) = (fate, ResultWords::new());
        if line.results.has_words(fate) {
            let (name, ended, driver) = (&line.name, fate, host.driver());
            let is_there = driver.publisher.has_slot(job);
            let mut end = JobEnd { link, ticket, slot: job.slot, fate, driver };
            let read = is_there.then(|| line.results.of(&mut end));
            fate = Fate::Unknown;
            match read {
                Some(Ok(read)) => (fate, words) = (ended, read),
                Some(Err(error)) => {
                    tracing::warn!(link = name, %error, "the words of a result are lost");
                }
                None => {
                    let slot = job.slot;
                    tracing::warn!(link = name, slot, "a result is lost: another job has its slot");
                }
            }
        }
        self.send(link, ticket, fate, &words);
    }

    /// Sends a result, for which there is room: there are never more jobs in the ring.
    fn send(&mut self, link: usize, ticket: LinkTicket, fate: Fate, words: &[u32]) {
        let Line { receiver, counters, .. } = &mut self.lines[link];
        match receiver.result(ticket, fate, words) {
            Ok(()) => {
                let counter = match fate {
                    Fate::Done => &mut counters.done,
                    Fate::Fault(_) => &mut counters.faults,
                    Fate::NotRun => &mut counters.not_run,
                    Fate::Unknown => &mut counters.unknown,
                };
                *counter += 1;
            }
            Err(ResultError::Orphaned { .. }) => self.orphan(link, ticket),
            Err(error) => unreachable!("each job has one result, in a window with room: {error}"),
        }
    }

    pub(super) fn orphan(&mut self, link: usize, ticket: LinkTicket) {
        self.lines[link].counters.orphaned += 1;
        self.tell(link, LinkEvent::Orphaned { ticket });
    }

    /// Publishes what has come, of each link in its order, one of each link after the other, as far
    /// as the ring takes it.
    pub(super) fn publish(&mut self, host: &mut impl Publish, stays_on: bool) -> u32 {
        // A job that ends from here on keeps its slot until its result was read: where a kernel
        // stays on, the next job would at once overwrite that.
        let was_frozen = host.driver().publisher.is_frozen();
        host.driver().publisher.freeze(was_frozen || stays_on);
        let (mut refusals, mut published) = (Refusals::default(), 0);
        let links = self.lines.len();
        loop {
            let before = published;
            for turn in 0..links {
                let link = (self.first + turn) % links;
                published += u32::from(self.publish_one(host, link, &mut refusals, stays_on));
            }
            if published == before {
                break;
            }
        }
        self.first = (self.first + 1) % links.max(1);
        host.driver().publisher.freeze(was_frozen);
        published
    }

    /// Publishes the next slot of a link, if it has one; says whether it has.
    fn publish_one(
        &mut self,
        host: &mut impl Publish,
        link: usize,
        refusals: &mut Refusals,
        stays_on: bool,
    ) -> bool {
        loop {
            let line = &mut self.lines[link];
            if line.room() == 0 {
                return false;
            }
            let held = line.held.take().map(|(ticket, slot, _)| (ticket, slot));
            let Some((ticket, slot)) = held.or_else(|| line.receiver.next_slot()) else {
                return false;
            };
            let tenant = line.tenant;
            match self.put(host, &slot, tenant, refusals, stays_on) {
                Put::Published(job) => {
                    let line = &mut self.lines[link];
                    line.in_ring += 1;
                    line.counters.published += 1;
                    self.is_ours[job.slot as usize] = true;
                    self.running.push(Running { link, ticket, job });
                    return true;
                }
                Put::Later(why) => {
                    self.lines[link].held = Some((ticket, slot, why));
                    return false;
                }
                Put::Refused(reason) => {
                    self.tell(link, LinkEvent::Refused { ticket, reason });
                    self.send(link, ticket, Fate::NotRun, &[]);
                }
            }
        }
    }

    fn put(
        &self,
        host: &mut impl Publish,
        slot: &Slot,
        tenant: u32,
        refusals: &mut Refusals,
        stays_on: bool,
    ) -> Put {
        let Some(priority) = Priority::from_level(slot.priority) else {
            return Put::Refused(SlotError::Level { level: slot.priority });
        };
        match slot.opcode {
            opcode::BATCH_FENCE => return Put::Refused(SlotError::Fence),
            opcode::SHUTDOWN => return Put::Refused(SlotError::Shutdown),
            _ => {}
        }
        if let Some(why) = refusals.reason(priority, tenant) {
            return Put::Later(why);
        }
        let job = Job::new(slot.opcode, &slot.args).tenant(tenant).priority(priority);
        let mut published = host.publish(&job);
        if stays_on && published.as_ref().is_err_and(Refusals::is_passing) {
            // Jobs of others may have ended, of which nobody has asked.
            let driver = host.driver();
            let ring = driver.device.ring();
            for (slot, _) in (0..).zip(&self.is_ours).filter(|(_, is_ours)| !**is_ours) {
                driver.publisher.settle(ring, slot);
            }
            published = host.publish(&job);
        }
        match published {
            Ok(job) => Put::Published(job),
            Err(error) if refusals.add(&error) => Put::Later(error),
            Err(error) => Put::Refused(error.into()),
        }
    }
}
