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

pub use receipt::{Batch, Fault, Outcome, PublisherError, Ticket, Window};

use crate::control::TENANTS;
use crate::layout::LayoutError;
use crate::opcode;
use crate::packed::Payload;
use crate::partition::Partitions;
use crate::ring::{Job, Ring, WorkItem, check_args, check_opcode};
use crate::slot::{LEVELS, Priority, State};
use crate::tenant::{Tenant, TenantError, TenantTable};
use crate::words::{Word, WordMut};
use core::ops::Range;

/// What the publisher knows of a slot. A ledger starts as `[Entry::FREE; SLOTS]`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    sequence: u32,
    held_by: Option<Ticket>,
    tenant: u8,
    use_: Use,
    /// The job before this one.
    before: Option<(u32, Ended)>,
}

impl Entry {
    /// Nothing published yet.
    pub const FREE: Self =
        Self { sequence: 0, held_by: None, tenant: 0, use_: Use::Never, before: None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Use {
    /// Not published by this publisher, or reset since.
    Never,
    Free(Ended),
    InFlight,
    UnreadFault(u8),
}

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Ended {
    Done,
    Fault(u8),
}

impl From<Ended> for Outcome {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Done => Self::Done,
            Ended::Fault(code) => Self::Fault(code),
        }
    }
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
    trusts_ledger: bool,
    is_frozen: bool,
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
        let (sequence, trusts_ledger, is_frozen) = (0, false, false);
        let mut publisher = Self {
            ledger,
            partitions,
            tenants,
            cursors,
            in_flight,
            sequence,
            trusts_ledger,
            is_frozen,
        };
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
        // From the top, so that of the fences that cover a slot the highest comes first: it covers
        // the lower ones too and finishes last. No slot is then written twice.
        let mut held_from = ring.slots();
        for index in (0..ring.slots()).rev() {
            // Words that may be slow to read: beyond the status, only where they matter.
            let Some(State::Published | State::Claimed | State::WaitIo(_) | State::Fault(_)) =
                ring.state(index)
            else {
                continue;
            };
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
                        let start = index.saturating_sub(slots);
                        self.hold(ticket, start..index.min(held_from));
                        held_from = held_from.min(start);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the ledger's word is taken for slots that it knows to be free, so that publishing
    /// reads nothing of the ring once its slots were used: for memory that is slow to read. A slot
    /// that somebody else has published there meanwhile is then overwritten; without this, as at
    /// first, it is seen.
    pub fn trust_ledger(&mut self, trusts: bool) {
        self.trusts_ledger = trusts;
    }

    /// Whether slots in flight stay so, whatever the ring says, until they are settled one by one:
    /// for a ring that a device is writing at the moment.
    ///
    /// ```
    /// use slipring_core::publisher::{Entry, Outcome, Publisher};
    /// use slipring_core::{opcode, partition::Partitions, ring::{Job, Ring}};
    /// use slipring_core::{slot::status, tenant::TenantTable};
    ///
    /// let mut words = [0; 16];
    /// let ledger = [Entry::FREE; 1];
    /// let (partitions, tenants) = (Partitions::single(1), TenantTable::open(1));
    /// let ring = Ring::new(&mut words)?;
    /// let mut publisher = Publisher::new(ring, ledger, partitions, tenants)?;
    /// let ticket = publisher.publish(ring, &Job::new(opcode::NOP, &[]))?;
    /// publisher.freeze(true);
    ///
    /// words[0] = status::DONE; // as the device does
    /// let ring = Ring::new(&mut words)?;
    /// assert_eq!(publisher.outcome(ring, ticket), Outcome::Pending);
    /// publisher.settle(ring, ticket.slot);
    /// assert_eq!(publisher.outcome(ring, ticket), Outcome::Done);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn freeze(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }

    /// Whether slots in flight stay so until they are settled.
    pub const fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Books a slot as what the ring says that it is now, frozen or not.
    pub fn settle<W: Word>(&mut self, ring: Ring<'_, W>, slot: u32) {
        let was_frozen = core::mem::replace(&mut self.is_frozen, false);
        self.look_at(ring, slot);
        self.is_frozen = was_frozen;
    }

    /// The number of the ticket that was given last.
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Forgets every job published since the ticket `sequence` was the last, when none was in
    /// flight; says how many there were. The caller has put the ring back to what it was then.
    ///
    /// ```
    /// use slipring_core::publisher::{Entry, Outcome, Publisher};
    /// use slipring_core::{opcode, partition::Partitions, ring::{Job, Ring}, tenant::TenantTable};
    ///
    /// let mut words = [0; 16];
    /// let ledger = [Entry::FREE; 1];
    /// let (partitions, tenants) = (Partitions::single(1), TenantTable::open(1));
    /// let ring = Ring::new(&mut words)?;
    /// let mut publisher = Publisher::new(ring, ledger, partitions, tenants)?;
    /// let before = publisher.sequence();
    /// let ticket = publisher.publish(ring, &Job::new(opcode::NOP, &[]))?;
    /// assert!(ticket.is_after(before));
    ///
    /// words.fill(0);
    /// assert_eq!(publisher.forget_since(before), 1);
    /// assert_eq!(publisher.outcome(Ring::new(&mut words)?, ticket), Outcome::Unknown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forget_since(&mut self, sequence: u32) -> u32 {
        for (slot, entry) in (0..).zip(self.ledger.as_mut()) {
            if (Ticket { slot, sequence: entry.sequence }).is_after(sequence) {
                *entry = Entry::FREE;
            }
        }
        self.in_flight = [0; TENANTS as usize];
        for entry in self.ledger.as_ref() {
            if let (Use::InFlight, Some(in_flight)) =
                (entry.use_, self.in_flight.get_mut(usize::from(entry.tenant)))
            {
                *in_flight += 1;
            }
        }
        self.sequence.wrapping_sub(sequence)
    }

    /// Books every slot in flight as DONE, without a look at the ring: the caller knows, as from
    /// the counters in the control buffer, that all have finished and none in FAULT.
    pub fn all_done(&mut self) {
        for entry in self.ledger.as_mut() {
            if entry.use_ == Use::InFlight {
                entry.use_ = Use::Free(Ended::Done);
            }
        }
        self.in_flight = [0; TENANTS as usize];
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

    /// Publishes a job at the next free slot of its level.
    ///
    /// A BATCH_FENCE covers the slots just before the one it gets, whatever they hold: after a
    /// wrap those are not the jobs published last. [`Publisher::publish_batch`] keeps a batch and
    /// its fence together.
    ///
    /// # Errors
    /// In this order: [`PublisherError::Layout`], [`PublisherError::Tenant`],
    /// [`PublisherError::Job`], [`PublisherError::Packed`] and the tenant's of a packed
    /// operation, [`PublisherError::NoPartition`], [`PublisherError::TooLong`],
    /// [`PublisherError::Quota`], [`PublisherError::Full`].
    pub fn publish<W: WordMut>(
        &mut self,
        ring: Ring<'_, W>,
        job: &Job<'_>,
    ) -> Result<Ticket, PublisherError> {
        check_slots(ring.slots() as usize, &self.partitions)?;
        self.check_job(0, job.tenant, job.opcode, job.args)?;
        let slot = self.find(ring, job.tenant, job.priority, 1)?;
        ring.fill(slot, [*job].into_iter());
        let ticket = self.enter(slot, 1, job.tenant, job.priority);
        self.hold_window(ticket, fence_window(job.opcode, job.args));
        Ok(ticket)
    }

    /// Publishes work items side by side, all or none.
    ///
    /// # Errors
    /// Those of [`Publisher::publish`], for all items together: of each item the tenant's, then
    /// the job's own, before the rest.
    ///
    /// ```
    /// use slipring_core::publisher::{Entry, Publisher};
    /// use slipring_core::{opcode, partition::Partitions, ring::{Ring, WorkItem}};
    /// use slipring_core::{slot::Priority, tenant::TenantTable};
    ///
    /// let mut words = [0; 16 * 4];
    /// let ring = Ring::new(&mut words)?;
    /// let (partitions, tenants) = (Partitions::single(4), TenantTable::open(1));
    /// let mut publisher = Publisher::new(ring, [Entry::FREE; 4], partitions, tenants)?;
    ///
    /// let add = WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 0 };
    /// let window = publisher.publish_items(ring, 0, Priority::Normal, &[add; 3])?;
    /// assert_eq!(window.tickets().count(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_items<W: WordMut>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        priority: Priority,
        items: &[WorkItem],
    ) -> Result<Window, PublisherError> {
        check_slots(ring.slots() as usize, &self.partitions)?;
        self.tenants.get(tenant)?;
        for (index, item) in items.iter().enumerate() {
            self.check_job(index, tenant, item.opcode, &item.args())?;
        }
        let asked = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let start = self.find(ring, tenant, priority, asked)?;
        ring.fill_items(start, tenant, priority, items);
        let first = self.enter(start, asked, tenant, priority);
        let window = Window { first, slots: asked };
        for (ticket, item) in window.tickets().zip(items) {
            self.hold_window(ticket, fence_window(item.opcode, &item.args()));
        }
        Ok(window)
    }

    /// Publishes `(opcode, arguments)` pairs side by side, closed by a fence that writes `tag` to
    /// observable 0.
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
        for (index, (opcode, args)) in items.iter().enumerate() {
            self.check_job(index, tenant, *opcode, args)?;
        }
        self.tenants.check(tenant, opcode::BATCH_FENCE)?;
        let asked = u32::try_from(items.len()).unwrap_or(u32::MAX).saturating_add(1);
        let start = self.find(ring, tenant, priority, asked)?;
        ring.fill_batch(start, tenant, priority, items, tag);
        let first = self.enter(start, asked, tenant, priority);
        let window = Window { first, slots: asked };
        // An item may itself be a fence, whose window reaches back further.
        let items = items.iter().map(|(opcode, args)| fence_window(*opcode, args));
        let mut fence = first;
        for (ticket, slots) in window.tickets().zip(items.chain([asked - 1])) {
            self.hold_window(ticket, slots);
            fence = ticket;
        }
        Ok(Batch { window, fence })
    }

    /// Whether the tenant may publish the job, with all that is packed in it.
    fn check_job(
        &self,
        item: usize,
        tenant: u32,
        opcode: u32,
        args: &[u32],
    ) -> Result<(), PublisherError> {
        self.tenants.check(tenant, opcode)?;
        check_args(item, args.len())?;
        check_opcode(item, opcode)?;
        if opcode == opcode::PACKED_SLOT {
            for op in &Payload::from_args(args).parse()? {
                self.tenants.check(tenant, u32::from(op.opcode))?;
            }
        }
        Ok(())
    }

    /// What became of a job. Reading a fault frees its slot. The job before the one that a slot has
    /// is known still.
    pub fn outcome<W: Word>(&mut self, ring: Ring<'_, W>, ticket: Ticket) -> Outcome {
        let Some(state) = ring.state(ticket.slot) else { return Outcome::Unknown };
        self.settle_as(ticket.slot, state);
        match self.ledger.as_mut().get_mut(ticket.slot as usize) {
            Some(entry) if entry.sequence == ticket.sequence => match entry.use_ {
                Use::InFlight => Outcome::Pending,
                Use::UnreadFault(code) => {
                    entry.use_ = Use::Free(Ended::Fault(code));
                    Outcome::Fault(code)
                }
                Use::Free(_) => match state {
                    State::Done => Outcome::Done,
                    State::Fault(code) => Outcome::Fault(code),
                    _ => Outcome::Unknown,
                },
                Use::Never => Outcome::Unknown,
            },
            Some(Entry { before: Some((sequence, ended)), .. }) if *sequence == ticket.sequence => {
                Outcome::from(*ended)
            }
            _ => Outcome::Unknown,
        }
    }

    /// Whether a job's slot was given to no other one since: what lies where the slot says is the
    /// job's still.
    pub fn has_slot(&self, ticket: Ticket) -> bool {
        let entry = self.ledger.as_ref().get(ticket.slot as usize);
        entry.is_some_and(|entry| entry.use_ != Use::Never && entry.sequence == ticket.sequence)
    }

    /// Takes a fault that nobody has read, lowest slot first, and frees its slot. Looks at the
    /// status of every slot in flight up to there.
    pub fn next_fault<W: Word>(&mut self, ring: Ring<'_, W>) -> Option<Fault> {
        for slot in 0..ring.slots() {
            self.look_at(ring, slot);
            let entry = self.ledger.as_mut().get_mut(slot as usize)?;
            if let Use::UnreadFault(code) = entry.use_ {
                entry.use_ = Use::Free(Ended::Fault(code));
                return Some(Fault { ticket: Ticket { slot, sequence: entry.sequence }, code });
            }
        }
        None
    }

    /// The tenant's slots in flight. Looks at the status of each.
    pub fn in_flight<W: Word>(&mut self, ring: Ring<'_, W>, tenant: u32) -> u32 {
        for slot in 0..ring.slots() {
            let entry = self.ledger.as_ref().get(slot as usize);
            if entry.is_some_and(|entry| u32::from(entry.tenant) == tenant) {
                self.look_at(ring, slot);
            }
        }
        self.in_flight.get(tenant as usize).copied().unwrap_or(0)
    }

    /// Books a slot that has finished since it was last looked at.
    fn look_at<W: Word>(&mut self, ring: Ring<'_, W>, slot: u32) {
        let entry = self.ledger.as_ref().get(slot as usize);
        if entry.is_some_and(|entry| matches!(entry.use_, Use::InFlight | Use::UnreadFault(_)))
            && let Some(state) = ring.state(slot)
        {
            self.settle_as(slot, state);
        }
    }

    /// Books a slot that was seen in `state`.
    fn settle_as(&mut self, slot: u32, state: State) {
        let Some(entry) = self.ledger.as_mut().get_mut(slot as usize) else { return };
        let was = entry.use_;
        if self.is_frozen && was == Use::InFlight {
            return;
        }
        entry.use_ = match (was, state) {
            (Use::InFlight, State::Done) => Use::Free(Ended::Done),
            (Use::InFlight, State::Fault(code)) => Use::UnreadFault(code),
            // Only a reset of the ring does that.
            (_, State::Empty) => {
                entry.before = None;
                Use::Never
            }
            _ => return,
        };
        if was == Use::InFlight
            && let Some(in_flight) = self.in_flight.get_mut(usize::from(entry.tenant))
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    /// Finds `asked` free slots in a row for the tenant at the level.
    fn find<W: Word>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        priority: Priority,
        asked: u32,
    ) -> Result<u32, PublisherError> {
        let range = self.partitions.range(priority);
        if range.is_empty() {
            return Err(PublisherError::NoPartition { priority });
        }
        let cursor = self.cursors.get(priority as usize).copied().unwrap_or(range.start);
        if asked == 0 {
            return Ok(cursor);
        }
        let slots = range.len() as u32;
        if asked > slots {
            return Err(PublisherError::TooLong { priority, asked, slots });
        }
        self.check_quota(ring, tenant, asked)?;
        let (mut in_flight, mut unread_faults, mut fenced) = (0, 0, 0);
        // From the cursor on; then from the start, past the cursor again for a row across it.
        let wrapped = range.start..cursor.saturating_add(asked - 1).min(range.end);
        for (part, counted) in [(cursor..range.end, cursor..range.end), (wrapped, 0..cursor)] {
            let mut run = 0;
            for slot in part {
                let room = self.room(ring, slot);
                run = if room == Room::Free { run + 1 } else { 0 };
                if run == asked {
                    return Ok(slot - (asked - 1));
                }
                if counted.contains(&slot) {
                    match room {
                        Room::Free => {}
                        Room::InFlight => in_flight += 1,
                        Room::UnreadFault => unread_faults += 1,
                        Room::Fenced => fenced += 1,
                    }
                }
            }
        }
        Err(PublisherError::Full { priority, asked, slots, in_flight, unread_faults, fenced })
    }

    /// Whether a slot may be published, or what stands in the way.
    fn room<W: Word>(&mut self, ring: Ring<'_, W>, slot: u32) -> Room {
        if self.trusts_ledger
            && let Some(entry @ Entry { use_: Use::Free(_), .. }) =
                self.ledger.as_ref().get(slot as usize)
        {
            return if self.is_held(ring, entry.held_by) { Room::Fenced } else { Room::Free };
        }
        let Some(state) = ring.state(slot) else { return Room::InFlight };
        self.settle_as(slot, state);
        match self.ledger.as_ref().get(slot as usize) {
            Some(Entry { use_: Use::UnreadFault(_), .. }) => Room::UnreadFault,
            Some(Entry { use_: Use::InFlight, .. }) => Room::InFlight,
            Some(entry) if state.is_publishable() => {
                if self.is_held(ring, entry.held_by) {
                    Room::Fenced
                } else {
                    Room::Free
                }
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
                && (self.is_frozen || ring.state(fence.slot).is_some_and(State::is_in_flight))
        })
    }

    fn check_quota<W: Word>(
        &mut self,
        ring: Ring<'_, W>,
        tenant: u32,
        asked: u32,
    ) -> Result<(), PublisherError> {
        let entry = self.tenants.get(tenant)?;
        let (quota, is_unlimited) = (entry.quota, entry.is_unlimited());
        let known = self.in_flight.get(tenant as usize).copied().unwrap_or(0);
        if is_unlimited || known.saturating_add(asked) <= quota {
            return Ok(());
        }
        let in_flight = self.in_flight(ring, tenant);
        if in_flight.saturating_add(asked) <= quota {
            return Ok(());
        }
        Err(PublisherError::Quota { tenant, in_flight, asked, quota })
    }

    /// Books published slots, moves the level's cursor past them, and returns the first's ticket.
    fn enter(&mut self, start: u32, slots: u32, tenant: u32, priority: Priority) -> Ticket {
        let range = self.partitions.range(priority);
        let end = start.saturating_add(slots);
        if let Some(cursor) = self.cursors.get_mut(priority as usize) {
            *cursor = if end < range.end { end } else { range.start };
        }
        let first = Ticket { slot: start, sequence: self.sequence.wrapping_add(1) };
        for slot in start..end {
            self.book(slot, tenant, Use::InFlight);
        }
        first
    }

    /// Enters a job in the ledger, and if it is in flight in its tenant's count.
    fn book(&mut self, slot: u32, tenant: u32, use_: Use) -> Ticket {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        // An adopted slot may name any tenant; beyond the table, none is counted.
        let tenant = u8::try_from(tenant).unwrap_or(u8::MAX);
        if let Some(entry) = self.ledger.as_mut().get_mut(slot as usize) {
            let before = match entry.use_ {
                Use::Free(ended) => Some((entry.sequence, ended)),
                _ => None,
            };
            // A fence that held the slot has finished, or is being adopted too.
            *entry = Entry { sequence, tenant, use_, before, ..*entry };
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
        self.hold(fence, fence.slot.saturating_sub(slots)..fence.slot);
    }

    fn hold(&mut self, fence: Ticket, slots: Range<u32>) {
        let slots = slots.start as usize..slots.end as usize;
        for entry in self.ledger.as_mut().get_mut(slots).unwrap_or(&mut []) {
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
