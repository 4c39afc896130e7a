//! What the publisher hands back: tickets, outcomes, refusals.

use crate::layout::LayoutError;
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
    /// The slot holds a later job by now, or none of this number. (Publishers number alike: a
    /// ticket of another one is not told from one's own.)
    Unknown,
}

/// A fenced batch's receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Batch {
    /// The first item's ticket, or the fence's where there is none.
    pub first: Ticket,
    /// The fence's ticket.
    pub fence: Ticket,
}

impl Batch {
    /// The tickets of all items, then the fence's.
    pub fn tickets(self) -> impl Iterator<Item = Ticket> {
        let Ticket { slot: first, sequence } = self.first;
        (first..=self.fence.slot)
            .map(move |slot| Ticket { slot, sequence: sequence.wrapping_add(slot - first) })
    }
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
    /// The tenant may not publish it.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// The tenant has as many slots in flight as it may have, or a fence would hold more.
    #[error(
        "tenant {tenant} has {in_flight} slots in flight and asks for {asked}; its quota is {quota}"
    )]
    Quota { tenant: u32, in_flight: u32, asked: u32, quota: u32 },
    /// The level has no slots at all.
    #[error("no partition for {priority:?} jobs; choose a level with slots, or partition the ring")]
    NoPartition { priority: Priority },
    /// No room at the level now.
    #[error(
        "{priority:?} is full: no {asked} free in a row among {slots} slots, {in_flight} in \
         flight, {unread_faults} faults not read, {fenced} held for a fence"
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
