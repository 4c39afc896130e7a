//! What links tell their owner: events, counters, errors.

use super::wire::WireError;
use super::{MAX_LINKS, MAX_RESULT_WORDS};
use crate::persistent::PersistError;
use slipring_core::link::{Counters, LinkTicket, Notice};
use slipring_core::publisher::PublisherError;
use slipring_core::tenant::TenantError;
use std::io;

/// What has happened on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The wire is there: opened, connected, or taken from who has connected.
    WireUp,
    /// The wire has gone. It is opened again as soon as it is there, but for [`Wire::stream`].
    ///
    /// [`Wire::stream`]: super::Wire::stream
    WireLost(WireError),
    /// The wire is not there. Told once until it is; it is tried again and again.
    WireAbsent(WireError),
    /// What the two sides make of each other.
    Peer(Notice),
    /// The microcontroller of a job has begun anew before it had the result. The job has ended, or
    /// was waiting for room in the ring and will not run.
    Orphaned {
        /// Which job.
        ticket: LinkTicket,
    },
    /// A slot was not published, and its microcontroller was told [`Fate::NotRun`].
    ///
    /// [`Fate::NotRun`]: slipring_core::link::Fate::NotRun
    Refused {
        /// Which job.
        ticket: LinkTicket,
        /// Why.
        reason: SlotError,
    },
}

/// Why a slot from a link is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum SlotError {
    /// The publisher does not take it.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    /// No such level.
    #[error("level {level}; there are 0 to {}", slipring_core::slot::LEVELS - 1)]
    Level { level: u32 },
    /// A fence covers the slots before its own, which in a ring of many are anybody's.
    #[error("a fence would hold the slots of others; wait for the results instead")]
    Fence,
    /// A shutdown ends the drain for everybody: it is the host's.
    #[error("a shutdown would stop everybody's jobs; it is the host's to ask for")]
    Shutdown,
}

/// What a link has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Frames.
    pub frames: Counters,
    /// Bytes from the wire.
    pub bytes_in: u64,
    /// Bytes to the wire.
    pub bytes_out: u64,
    /// Slots that went into the ring.
    pub published: u64,
    /// Results sent: of jobs that ended well.
    pub done: u64,
    /// Of jobs that ended in a fault.
    pub faults: u64,
    /// Of slots that were refused.
    pub not_run: u64,
    /// Of jobs that were lost with the device, or whose words were lost.
    pub unknown: u64,
    /// Jobs whose microcontroller has begun anew before it had the result.
    pub orphaned: u64,
    /// How often the wire came up.
    pub wires: u64,
}

/// Why links do not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum LinksError {
    /// More links than one [`Links`](super::Links) has.
    #[error("{links} links; there may be {MAX_LINKS}")]
    TooMany { links: usize },
    /// A link's tenant is not one.
    #[error("link {link}: {error}")]
    Tenant { link: String, error: TenantError },
    /// A link's tenant may publish nothing at all.
    #[error("link {link}: tenant {tenant} is closed; open it (DriverBuilder::tenants)")]
    Closed { link: String, tenant: u32 },
    /// A wire that will not open, whatever one waits for.
    #[error("link {link}: {error}")]
    Wire { link: String, error: WireError },
    /// More words than a result holds, or none.
    #[error("link {link}: results of {words} words; a result holds 1 to {MAX_RESULT_WORDS}")]
    ResultWords { link: String, words: u32 },
    /// Not as much memory as a block of words for each slot takes.
    #[error(
        "link {link}: results up to {what} {end}, and there are {len}: a block for each of {slots} slots"
    )]
    ResultRange { link: String, what: &'static str, end: u64, len: u64, slots: u32 },
    /// Another driver than the one that the links were opened for.
    #[error("the links were opened for another driver")]
    OtherDriver,
    /// Nothing moves bytes.
    #[error("no bytes can be moved: {source}")]
    Engine { source: io::Error },
    /// The kernel that stays on has gone.
    #[error(transparent)]
    Persist(#[from] PersistError),
}
