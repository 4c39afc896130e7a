//! What the publisher hands back: tickets, outcomes, refusals.

use crate::layout::LayoutError;
use crate::packed::PackedError;
use crate::ring::PublishError;
use crate::slot::Priority;
use crate::tenant::TenantError;

/// A job's receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket {
    /// The slot that holds the job.
    pub slot: u32,
    /// Which of the publisher's jobs it is, modulo 2^32.
    pub sequence: u32,
}

impl Ticket {
    /// Whether it was given after the ticket `sequence`, of no more than 2^31 before it.
    pub const fn is_after(self, sequence: u32) -> bool {
        let ahead = self.sequence.wrapping_sub(sequence);
        ahead != 0 && ahead <= 1 << 31
    }
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// Not finished: PUBLISHED, CLAIMED or WAIT_IO.
    Pending,
    /// Finished well.
    Done,
    /// Finished with this fault code.
    Fault(u8),
    /// The slot holds a job after the next one by now, or none of this number. (Publishers number
    /// alike: a ticket of another one is not told from one's own.)
    Unknown,
}

/// The receipt of jobs published side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// The first job's ticket, if there is one.
    pub first: Ticket,
    /// How many jobs there are.
    pub slots: u32,
}

impl Window {
    /// Their tickets, in slot order.
    pub fn tickets(self) -> impl Iterator<Item = Ticket> {
        let Ticket { slot, sequence } = self.first;
        (0..self.slots).map(move |index| Ticket {
            slot: slot.wrapping_add(index),
            sequence: sequence.wrapping_add(index),
        })
    }
}

/// A fenced batch's receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Batch {
    /// All items, then the fence.
    pub window: Window,
    /// The fence's ticket.
    pub fence: Ticket,
}

/// A fault that nobody has read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fault {
    /// Whose it is.
    pub ticket: Ticket,
    /// The [`fault`](crate::slot::fault) code.
    pub code: u8,
}

/// Why a job was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PublisherError {
    /// The ring is not the one this publisher is for.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The job itself is wrong.
    #[error(transparent)]
    Job(#[from] PublishError),
    /// A packed slot that does not parse.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// The tenant may not publish it.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The tenant has as many slots in flight as it may have.
    #[error(
        "tenant {tenant} has {in_flight} slots in flight and asks for {asked}; its quota is {quota}"
    )]
    Quota { tenant: u32, in_flight: u32, asked: u32, quota: u32 },
    /// The level has no slots at all.
    #[error("no partition for {priority:?} jobs; choose a level with slots, or partition the ring")]
    NoPartition { priority: Priority },
    /// More slots in a row than the level ever has.
    #[error("{asked} slots in a row at {priority:?}, which has {slots}; publish fewer at once")]
    TooLong { priority: Priority, asked: u32, slots: u32 },
    /// No room at the level now.
    #[error(
        "{priority:?} is full: no {asked} free in a row among {slots} slots, {in_flight} in \
         flight, {unread_faults} faults to be read (outcome, next_fault), {fenced} held for a fence"
    )]
    Full {
        priority: Priority,
        asked: u32,
        slots: u32,
        in_flight: u32,
        unread_faults: u32,
        fenced: u32,
    },
}
