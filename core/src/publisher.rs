//! The publisher: where a job goes, who may publish, and what became of it.
//!
//! ```text
//!   publish ─▶ level's partition ─▶ next free slot ─▶ ticket ─▶ outcome
//!                 │ none free: Full, with the numbers; nothing is overwritten
//! ```
//!
//! The publisher keeps a ledger of its own beside the ring, one entry a slot, so that it reads
//! of the ring only status words. A DONE slot is used again as soon as its turn comes; a FAULT
//! slot once its code was read; a slot in the window of a fence once the fence has finished.

mod receipt;

pub use receipt::{Batch, Fault, Outcome, PublisherError, Ticket};

use crate::control::TENANTS;
use crate::layout::LayoutError;
use crate::opcode;
use crate::partition::Partitions;
use crate::ring::{Job, Ring, check_args, check_opcode};
use crate::slot::{LEVELS, Priority, State};
use crate::tenant::{Tenant, TenantError, TenantTable};
use crate::words::{Word, WordMut};

/// What the publisher knows of a slot. Storage for one is all zero: [`Entry::FREE`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    sequence: u32,
    held_by: Option<Ticket>,
    tenant: u8,
    use_: Use,
}

impl Entry {
    /// Nothing published yet.
    pub const FREE: Self = Self { sequence: 0, held_by: None, tenant: 0, use_: Use::Free };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    InFlight,
    UnreadFault(u8),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    InFlight,
    UnreadFault,
    Fenced,
}

/// Publishes into a ring, level by level.
///
/// It holds no borrow of the ring, so that it can live beside the ring's storage; every call
/// takes the ring, always the same one. `L` is the ledger: `[Entry; SLOTS]`, `&mut [Entry]`
/// or what else gives a slice, one entry a slot.
///
/// ```
/// use slipring_core::publisher::{Entry, Outcome, Publisher};
/// use slipring_core::{opcode, partition::Partitions, ring::{Job, Ring}, tenant::TenantTable};
///
/// let mut words = [0; 16 * 2];
/// let ring = Ring::new(&mut words)?;
/// let ledger = [Entry::FREE; 2];
/// let mut publisher = Publisher::new(ring, ledger, Partitions::single(2), TenantTable::open(1))?;
///
/// let nop = Job::new(opcode::NOP, &[]);
/// let ticket = publisher.publish(ring, &nop)?;
/// publisher.publish(ring, &nop)?;
/// assert!(publisher.publish(ring, &nop).is_err()); // Full, with the numbers
/// assert_eq!(publisher.outcome(ring, ticket), Outcome::Pending);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Publisher<L> {
    ledger: L,
    partitions: Partitions,
    tenants: TenantTable,
    cursors: [u32; LEVELS],
    in_flight: [u32; TENANTS as usize],
    sequence: u32,
}

impl<L: AsRef<[Entry]> + AsMut<[Entry]>> Publisher<L> {
    /// A publisher of `ring`, whatever it holds: see [`Publisher::adopt`].
    ///
    /// # Errors
    /// [`LayoutError::SlotCount`] when ring or ledger have other than `partitions.slots()`.
    pub fn new<W: Word>(
        ring: Ring<'_, W>,
        ledger: L,
        partitions: Partitions,
        tenants: TenantTable,
    ) -> Result<Self, LayoutError> {
        check_slots(ledger.as_ref().len(), &partitions)?;
        let (cursors, in_flight) = ([0; LEVELS], [0; TENANTS as usize]);
        let mut publisher = Self { ledger, partitions, tenants, cursors, in_flight, sequence: 0 };
        publisher.adopt(ring)?;
        Ok(publisher)
    }

    /// Books what the ring holds by now, as after somebody else has filled it: slots in flight
    /// count for their tenants, faults wait to be read, and fences hold their windows. Tickets
    /// of before are unknown from then on.
    ///
    /// # Errors
    /// [`LayoutError::SlotCount`] for another ring; nothing is changed then.
    pub fn adopt<W: Word>(&mut self, ring: Ring<'_, W>) -> Result<(), LayoutError> {
        check_slots(ring.slots() as usize, &self.partitions)?;
        self.ledger.as_mut().fill(Entry::FREE);
        self.in_flight = [0; TENANTS as usize];
        self.cursors = Priority::ALL.map(|level| self.partitions.range(level).start);
        for index in 0..ring.slots() {
            let Some(slot) = ring.slot(index) else { continue };
            match slot.state() {
                State::Fault(code) => {
                    self.book(index, slot.tenant, Use::UnreadFault(code));
                }
                state if state.is_in_flight() => {
                    let ticket = self.book(index, slot.tenant, Use::InFlight);
                    // A fence of no tenant of the table will fault, and waits for nobody.
                    if slot.opcode == opcode::BATCH_FENCE && slot.tenant < TENANTS {
                        let [slots, ..] = slot.args;
                        self.hold_window(ticket, slots);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The ring's partitions.
    pub const fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// The tenants.
    pub const fn tenants(&self) -> &TenantTable {
        &self.tenants
    }

    /// Changes a tenant. (The kernel reads masks from the control buffer: see
    /// [`TenantTable::write_to`].)
    ///
    /// # Errors
    /// [`TenantError::Unknown`].
    pub fn set_tenant(&mut self, tenant: u32, value: Tenant) -> Result<(), TenantError> {
        self.tenants.set(tenant, value)
    }

    /// Publishes a job at the next free slot of its level. A fence holds the slots of its window
    /// until it has finished, and so may have a window of its tenant's quota less one at most.
    ///
    /// # Errors
    /// In this order: [`PublisherError::Layout`], [`PublisherError::Tenant`],
    /// [`PublisherError::Job`], [`PublisherError::NoPartition`], [`PublisherError::Quota`],
    /// [`PublisherError::Full`].
    pub fn publish<W: WordMut>(
        &mut self,
        ring: Ring<'_, W>,
        job: &Job<'_>,
    ) -> Result<Ticket, PublisherError> {
        check_slots(ring.slots() as usize, &self.partitions)?;
        self.tenants.check(job.tenant, job.opcode)?;
        check_args(0, job.args.len())?;
        check_opcode(0, job.opcode)?;
        let window = fence_window(job.opcode, job.args);
        let slot = self.find(ring, job.tenant, job.priority, 1, window)?;
        ring.publish(slot, job)?;
        let ticket = self.enter(slot, job.tenant, job.priority);
        self.hold_window(ticket, window);
        Ok(ticket)
    }

    /// Publishes `(opcode, arguments)` pairs side by side, closed by a fence with `tag`.
    ///
    /// # Errors
    /// Those of [`Publisher::publish`], for the items and the fence together: of each item the
    /// tenant's, then the job's own, before the rest.
    pub fn publish_batch<W: WordMut>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        priority: Priority,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> Result<Batch, PublisherError> {
        check_slots(ring.slots() as usize, &self.partitions)?;
        for (item, (opcode, args)) in items.iter().enumerate() {
            self.tenants.check(tenant, *opcode)?;
            check_args(item, args.len())?;
            check_opcode(item, *opcode)?;
        }
        self.tenants.check(tenant, opcode::BATCH_FENCE)?;
        let asked = u32::try_from(items.len()).unwrap_or(u32::MAX).saturating_add(1);
        let windows = items.iter().map(|(opcode, args)| fence_window(*opcode, args));
        let widest = windows.fold(asked - 1, u32::max);
        let start = self.find(ring, tenant, priority, asked, widest)?;
        ring.write_batch(start, tenant, priority, items, tag)?;
        let first = self.enter(start, tenant, priority);
        let mut fence = first;
        for slot in start + 1..start + asked {
            fence = self.enter(slot, tenant, priority);
        }
        // An item may itself be a fence, whose window reaches back further.
        for (slot, (opcode, args)) in (start..).zip(items) {
            let sequence = first.sequence.wrapping_add(slot - start);
            self.hold_window(Ticket { slot, sequence }, fence_window(*opcode, args));
        }
        self.hold_window(fence, asked - 1);
        Ok(Batch { first, fence })
    }

    /// What became of a job. Reading a fault frees its slot.
    pub fn outcome<W: Word>(&mut self, ring: Ring<'_, W>, ticket: Ticket) -> Outcome {
        self.settle(ring, ticket.slot);
        match self.ledger.as_mut().get_mut(ticket.slot as usize) {
            Some(entry) if entry.sequence == ticket.sequence => match entry.use_ {
                Use::InFlight => Outcome::Pending,
                Use::UnreadFault(code) => {
                    entry.use_ = Use::Free;
                    Outcome::Fault(code)
                }
                Use::Free => match ring.state(ticket.slot) {
                    Some(State::Done) => Outcome::Done,
                    Some(State::Fault(code)) => Outcome::Fault(code),
                    _ => Outcome::Unknown,
                },
            },
            _ => Outcome::Unknown,
        }
    }

    /// Takes a fault that nobody has read, lowest slot first, and frees its slot.
    pub fn next_fault<W: Word>(&mut self, ring: Ring<'_, W>) -> Option<Fault> {
        for slot in 0..ring.slots() {
            self.settle(ring, slot);
            let entry = self.ledger.as_mut().get_mut(slot as usize)?;
            if let Use::UnreadFault(code) = entry.use_ {
                entry.use_ = Use::Free;
                return Some(Fault { ticket: Ticket { slot, sequence: entry.sequence }, code });
            }
        }
        None
    }

    /// The tenant's slots in flight, looked up anew.
    pub fn in_flight<W: Word>(&mut self, ring: Ring<'_, W>, tenant: u32) -> u32 {
        for slot in 0..ring.slots() {
            self.settle(ring, slot);
        }
        self.in_flight.get(tenant as usize).copied().unwrap_or(0)
    }

    /// Books a slot that has finished since it was last looked at.
    fn settle<W: Word>(&mut self, ring: Ring<'_, W>, slot: u32) {
        let Some(entry) = self.ledger.as_mut().get_mut(slot as usize) else {
            return;
        };
        if entry.use_ != Use::InFlight {
            return;
        }
        entry.use_ = match ring.state(slot) {
            Some(State::Done) => Use::Free,
            Some(State::Fault(code)) => Use::UnreadFault(code),
            _ => return,
        };
        if let Some(in_flight) = self.in_flight.get_mut(usize::from(entry.tenant)) {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    /// Finds `asked` free slots in a row for the tenant at the level. `widest` is the longest
    /// window of a fence among them.
    fn find<W: Word>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        priority: Priority,
        asked: u32,
        widest: u32,
    ) -> Result<u32, PublisherError> {
        let range = self.partitions.range(priority);
        if range.is_empty() {
            return Err(PublisherError::NoPartition { priority });
        }
        self.check_quota(ring, tenant, asked, widest)?;
        let cursor = self.cursors.get(priority as usize).copied().unwrap_or(range.start);
        let wrapped = range.start..cursor.saturating_add(asked - 1).min(range.end);
        for part in [cursor..range.end, wrapped] {
            let mut run = 0;
            for slot in part {
                run = if self.room(ring, slot) == Room::Free { run + 1 } else { 0 };
                if run == asked {
                    return Ok(slot - (asked - 1));
                }
            }
        }
        let count = |room| range.clone().filter(|&slot| self.room(ring, slot) == room).count();
        let [in_flight, unread_faults, fenced] =
            [Room::InFlight, Room::UnreadFault, Room::Fenced].map(count).map(|count| count as u32);
        let slots = range.len() as u32;
        Err(PublisherError::Full { priority, asked, slots, in_flight, unread_faults, fenced })
    }

    /// Whether a slot may be published, or what stands in the way.
    fn room<W: Word>(&mut self, ring: Ring<'_, W>, slot: u32) -> Room {
        self.settle(ring, slot);
        let publishable = ring.state(slot).is_some_and(State::is_publishable);
        match self.ledger.as_ref().get(slot as usize) {
            Some(Entry { use_: Use::UnreadFault(_), .. }) => Room::UnreadFault,
            Some(Entry { use_: Use::Free, held_by, .. }) if publishable => {
                if self.is_held(ring, *held_by) { Room::Fenced } else { Room::Free }
            }
            _ => Room::InFlight,
        }
    }

    fn is_held<W: Word>(&self, ring: Ring<'_, W>, by: Option<Ticket>) -> bool {
        let Some(fence) = by else { return false };
        let entry = self.ledger.as_ref().get(fence.slot as usize);
        entry.is_some_and(|entry| {
            // The ledger may lag behind the ring: the fence's own status decides.
            entry.sequence == fence.sequence
                && entry.use_ == Use::InFlight
                && ring.state(fence.slot).is_some_and(State::is_in_flight)
        })
    }

    fn check_quota<W: Word>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        asked: u32,
        widest: u32,
    ) -> Result<(), PublisherError> {
        let entry = self.tenants.get(tenant)?;
        if entry.is_unlimited() {
            return Ok(());
        }
        let quota = entry.quota;
        // Slots that a fence holds are kept from the others as much as slots in flight.
        let held = widest.saturating_add(1);
        let known = self.in_flight.get(tenant as usize).copied().unwrap_or(0);
        if known.saturating_add(asked) <= quota && held <= quota {
            return Ok(());
        }
        let in_flight = self.in_flight(ring, tenant);
        let asked = match in_flight.saturating_add(asked) <= quota {
            true if held <= quota => return Ok(()),
            true => held,
            false => asked,
        };
        Err(PublisherError::Quota { tenant, in_flight, asked, quota })
    }

    /// Books a published slot and moves the level's cursor past it.
    fn enter(&mut self, slot: u32, tenant: u32, priority: Priority) -> Ticket {
        let range = self.partitions.range(priority);
        let next = if slot + 1 < range.end { slot + 1 } else { range.start };
        if let Some(cursor) = self.cursors.get_mut(priority as usize) {
            *cursor = next;
        }
        self.book(slot, tenant, Use::InFlight)
    }

    /// Enters a job in the ledger, and if it is in flight in its tenant's count.
    fn book(&mut self, slot: u32, tenant: u32, use_: Use) -> Ticket {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        // An adopted slot may name any tenant; beyond the table, none is counted.
        let tenant = u8::try_from(tenant).unwrap_or(u8::MAX);
        if let Some(entry) = self.ledger.as_mut().get_mut(slot as usize) {
            *entry = Entry { sequence, held_by: None, tenant, use_ };
        }
        if let (Use::InFlight, Some(in_flight)) =
            (use_, self.in_flight.get_mut(usize::from(tenant)))
        {
            *in_flight += 1;
        }
        Ticket { slot, sequence }
    }

    /// Keeps the window of a fence from being used again before the fence has finished.
    ///
    /// A later fence that covers a slot of this window lies after this fence, so it covers the
    /// fence too and cannot finish before it: the latest holder is the one to remember.
    fn hold_window(&mut self, fence: Ticket, slots: u32) {
        let window = fence.slot.saturating_sub(slots) as usize..fence.slot as usize;
        for entry in self.ledger.as_mut().get_mut(window).unwrap_or(&mut []) {
            entry.held_by = Some(fence);
        }
    }
}

/// The slots before it that a job holds: a fence's window.
fn fence_window(opcode: u32, args: &[u32]) -> u32 {
    if opcode == opcode::BATCH_FENCE { args.first().copied().unwrap_or(0) } else { 0 }
}

#[inline]
fn check_slots(slots: usize, partitions: &Partitions) -> Result<(), LayoutError> {
    let expected = partitions.slots();
    if slots != expected as usize {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        return Err(LayoutError::SlotCount { slots, expected });
    }
    Ok(())
}
