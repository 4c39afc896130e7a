//! What a publisher must do, from ABI section 2 and items 5, 6, 7 and 23 of section 5: every
//! answer is worked out anew from the ring's statuses and the list of what was published.

use crate::core_fixture::Stage;
use proptest::prelude::*;
use slipring_core::layout::Geometry;
use slipring_core::opcode::BATCH_FENCE;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Batch, Fault, Outcome, PublisherError, Ticket};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::row::Row;
use slipring_core::slot::Priority;
use slipring_core::tenant::TenantTable;
use slipring_core::twin::{Call, Twin};
use std::ops::Range;
use std::sync::atomic::AtomicU32;

/// A user opcode; its one argument is a number that no other job has.
const WORK: u32 = 0x100;
const TAG: u32 = 0xFACE;
pub const TENANTS: u32 = 3;

/// How jobs are published: one alone, several side by side, or as a batch whose last is the fence
/// that closes it.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Alone,
    SideBySide,
    Fenced,
}

/// What the model knows of a slot that was published.
#[derive(Clone, Copy, Debug)]
pub struct Booking {
    pub ticket: Ticket,
    tenant: u32,
    /// Slots that its fence closes; none for other jobs.
    window: Option<u32>,
    id: u32,
    was_read: bool,
    /// The job that the slot had before, and how that ended.
    before: Option<(Ticket, Outcome)>,
}

pub struct Run {
    pub stage: Stage,
    pub partitions: Partitions,
    pub quotas: [u32; TENANTS as usize],
    pub slots: Vec<Option<Booking>>,
    pub tickets: Vec<Ticket>,
    pub published: u32,
}

/// How a job has ended whose slot has this status.
fn ended(status: u32) -> Option<Outcome> {
    match status & 0xFF {
        3 => Some(Outcome::Done),
        7 => Some(Outcome::Fault((status >> 8) as u8)),
        _ => None,
    }
}

impl Run {
    pub fn new(sizes: [u32; 5]) -> Self {
        let slots = sizes.iter().sum();
        let partitions = Partitions::from_sizes(sizes, slots).unwrap();
        let stage = Stage::new(partitions, TenantTable::open(TENANTS));
        let (slots, quotas) = (vec![None; slots as usize], [1_000_000; TENANTS as usize]);
        Self { stage, partitions, quotas, slots, tickets: Vec::new(), published: 0 }
    }

    pub fn status(&self, slot: usize) -> u32 {
        self.stage.values()[16 * slot]
    }

    pub fn is_in_flight(&self, slot: usize) -> bool {
        [1, 2, 4].contains(&(self.status(slot) & 0xFF))
    }

    fn window(slot: usize, covers: u32) -> Range<usize> {
        slot.saturating_sub(covers as usize)..slot
    }

    fn is_unread_fault(&self, slot: usize) -> bool {
        self.status(slot) & 0xFF == 7 && self.slots[slot].is_some_and(|job| !job.was_read)
    }

    /// Whether the slot lies before a fence that is not finished, in its window.
    fn is_fenced(&self, slot: usize) -> bool {
        (0..self.slots.len()).filter(|&fence| self.is_in_flight(fence)).any(|fence| {
            let covers = self.slots[fence].and_then(|job| job.window);
            covers.is_some_and(|covers| Self::window(fence, covers).contains(&slot))
        })
    }

    fn is_free(&self, slot: usize) -> bool {
        !self.is_in_flight(slot) && !self.is_unread_fault(slot) && !self.is_fenced(slot)
    }

    pub fn in_flight(&self, tenant: u32) -> u32 {
        let theirs = |slot: &usize| self.slots[*slot].is_some_and(|job| job.tenant == tenant);
        let slots = (0..self.slots.len()).filter(|&slot| self.is_in_flight(slot));
        slots.filter(theirs).count() as u32
    }

    /// Why the publisher must refuse `asked` slots, if it must.
    fn refusal(
        &self,
        tenant: u32,
        priority: Priority,
        items: &[Option<u32>],
    ) -> Option<PublisherError> {
        let asked = items.len() as u32;
        let range = self.partitions.range(priority);
        if range.is_empty() {
            return Some(PublisherError::NoPartition { priority });
        }
        if asked == 0 {
            return None;
        }
        let slots = range.len() as u32;
        if asked > slots {
            return Some(PublisherError::TooLong { priority, asked, slots });
        }
        let (in_flight, quota) = (self.in_flight(tenant), self.quotas[tenant as usize]);
        if quota < 1_000_000 && in_flight + asked > quota {
            return Some(PublisherError::Quota { tenant, in_flight, asked, quota });
        }
        let level: Vec<usize> = range.map(|slot| slot as usize).collect();
        let mut windows = level.windows(asked as usize);
        if windows.any(|window| window.iter().all(|&slot| self.is_free(slot))) {
            return None;
        }
        let count =
            |busy: &dyn Fn(usize) -> bool| level.iter().filter(|&&s| busy(s)).count() as u32;
        let unread_faults = count(&|slot| self.is_unread_fault(slot));
        let in_flight = count(&|slot| self.is_in_flight(slot));
        let fenced = count(&|slot| {
            !self.is_unread_fault(slot) && !self.is_in_flight(slot) && self.is_fenced(slot)
        });
        Some(PublisherError::Full { priority, asked, slots, in_flight, unread_faults, fenced })
    }

    /// Publishes items, `None` for work and `Some(window)` for a fence.
    pub fn publish(
        &mut self,
        tenant: u32,
        priority: Priority,
        items: &[Option<u32>],
        how: How,
    ) -> Result<(), TestCaseError> {
        let expected = self.refusal(tenant, priority, items);
        let free: Vec<bool> = (0..self.slots.len()).map(|slot| self.is_free(slot)).collect();
        let before = self.stage.values();

        let ids = self.published + 1..;
        let args: Vec<Vec<u32>> = ids
            .zip(items)
            .map(|(id, item)| match item {
                None => vec![id],
                Some(window) => vec![*window, TAG],
            })
            .collect();
        let opcode = |item: &Option<u32>| if item.is_some() { BATCH_FENCE } else { WORK };
        let jobs: Vec<(u32, &[u32])> =
            items.iter().zip(&args).map(|(item, args)| (opcode(item), &args[..])).collect();
        let answer = match how {
            How::Alone => {
                let (opcode, args) = jobs[0];
                let job = Job::new(opcode, args).tenant(tenant).priority(priority);
                self.stage.publish(&job).map(|ticket| vec![ticket])
            }
            How::SideBySide => {
                let item = |&(opcode, args): &(u32, &[u32])| {
                    let output = args.get(1).copied().unwrap_or(0);
                    WorkItem { opcode, input: args[0], output, param: 0 }
                };
                let items: Vec<WorkItem> = jobs.iter().map(item).collect();
                let window = self.stage.items(tenant, priority, &items);
                window.map(|window| window.tickets().collect())
            }
            How::Fenced => {
                let batch = self.stage.batch(tenant, priority, &jobs[..jobs.len() - 1], TAG);
                batch.map(|Batch { window, fence }| {
                    let tickets: Vec<Ticket> = window.tickets().collect();
                    assert_eq!(tickets.last(), Some(&fence));
                    tickets
                })
            }
        };

        prop_assert_eq!(answer.as_ref().err(), expected.as_ref());
        let mut after = before.clone();
        if let Ok(tickets) = answer {
            prop_assert_eq!(tickets.len(), items.len());
            let first = tickets.first().copied();
            let level = self.partitions.range(priority);
            for ((n, (opcode, args)), window) in (0..).zip(&jobs).zip(items) {
                let Some(first) = first else { break };
                let slot = first.slot + n;
                prop_assert!(level.contains(&slot) && free[slot as usize], "slot {slot}");
                let words = &mut after[16 * slot as usize..][..16];
                words.fill(0);
                words[..4].copy_from_slice(&[1, *opcode, tenant, priority as u32]);
                words[4..4 + args.len()].copy_from_slice(args);
                let ticket = Ticket { slot, sequence: first.sequence.wrapping_add(n) };
                prop_assert_eq!(tickets[n as usize], ticket);
                self.published += 1;
                let (id, window, was_read) = (self.published, *window, false);
                let last = self.slots[slot as usize].map(|job| job.ticket);
                let before = last.zip(ended(before[16 * slot as usize]));
                let booking = Booking { ticket, tenant, window, id, was_read, before };
                self.slots[slot as usize] = Some(booking);
                self.tickets.push(ticket);
            }
        }
        prop_assert_eq!(self.stage.values(), after);
        Ok(())
    }

    /// Whether a kernel may give the slot a final status: it runs, and no window holds it back.
    pub fn may_finish(&self, slot: usize) -> bool {
        let window = self.slots[slot].and_then(|job| job.window);
        let mut before = Self::window(slot, window.unwrap_or(0));
        self.is_in_flight(slot) && !before.any(|slot| self.is_in_flight(slot))
    }

    /// The twin drains; the works that ran are those that were published, once each.
    pub fn drain(&mut self) -> Result<(), TestCaseError> {
        let works = |slot: &usize| self.status(*slot) == 1;
        let jobs = (0..self.slots.len()).filter(works).filter_map(|slot| self.slots[slot]);
        let mut expected: Vec<u32> =
            jobs.filter(|job| job.window.is_none()).map(|job| job.id).collect();
        let geometry = Geometry::new(self.partitions.slots(), 1, 0, 1).unwrap();
        let words = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        let (control, log, io) = (words(161), words(1), words(8));
        let row = Row::new(geometry, &control[..], &self.stage.words[..], &log[..], &io[..]);
        let row = row.unwrap();
        row.control.encode(false, TENANTS).unwrap();
        let mut ran = Vec::new();
        let handler = |call: &Call<'_, AtomicU32>| {
            ran.push(call.arg(0));
            Some(0)
        };
        Twin::new(row, &[][..], handler).drain(&self.partitions).unwrap();
        expected.sort_unstable();
        ran.sort_unstable();
        prop_assert_eq!(ran, expected);
        Ok(())
    }

    pub fn outcome(&mut self, ticket: Ticket) -> Result<(), TestCaseError> {
        let slot = ticket.slot as usize;
        let status = self.status(slot);
        let expected = match self.slots[slot] {
            // The ring was reset.
            Some(_) if status & 0xFF == 0 => Outcome::Unknown,
            Some(job) if job.ticket == ticket => ended(status).unwrap_or(Outcome::Pending),
            Some(job) => match job.before {
                Some((before, ended)) if before == ticket => ended,
                _ => Outcome::Unknown,
            },
            None => Outcome::Unknown,
        };
        prop_assert_eq!(self.stage.outcome(ticket), expected);
        if let (Outcome::Fault(_), Some(job)) = (expected, &mut self.slots[slot]) {
            job.was_read |= job.ticket == ticket;
        }
        Ok(())
    }

    pub fn next_fault(&mut self) -> Result<Option<Fault>, TestCaseError> {
        let slot = (0..self.slots.len()).find(|&slot| self.is_unread_fault(slot));
        let expected = slot.and_then(|slot| {
            let code = (self.status(slot) >> 8) as u8;
            self.slots[slot].as_mut().map(|job| {
                job.was_read = true;
                Fault { ticket: job.ticket, code }
            })
        });
        prop_assert_eq!(self.stage.next_fault(), expected);
        Ok(expected)
    }
}
