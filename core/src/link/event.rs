//! What a link tells its caller.

use crate::ring::PublishError;
use crate::slot::{self, ARGS, State, status};
use core::fmt;

/// A job's number on a link, the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkTicket {
    /// The connection that the job belongs to.
    pub session: u32,
    /// Counts up from 0 as long as the microcontroller runs, modulo 2^32.
    pub number: u32,
}

/// How a job ended, once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fate {
    /// It ran and finished well.
    Done,
    /// It ran and finished with this fault code.
    Fault(u8),
    /// It did not run, and will not: it never left, or the host refused it.
    NotRun,
    /// It may have run or not. The host was restarted, or lost its device, or what the job has left.
    /// It is not sent again; but in a ring that has outlived its [`Receiver`](super::Receiver), it may
    /// still run.
    Unknown,
}

impl Fate {
    /// The fate as a slot's status word: DONE, FAULT, EMPTY or CLAIMED.
    pub(super) const fn word(self) -> u32 {
        match self {
            Self::Done => status::DONE,
            Self::Fault(code) => slot::fault_status(code),
            Self::NotRun => status::EMPTY,
            Self::Unknown => status::CLAIMED,
        }
    }

    pub(super) const fn of(word: u32) -> Self {
        match State::of(word) {
            State::Done => Self::Done,
            State::Fault(code) => Self::Fault(code),
            State::Empty => Self::NotRun,
            _ => Self::Unknown,
        }
    }
}

/// The words of a result: up to twelve.
pub type ResultWords = heapless::Vec<u32, ARGS>;

/// What both sides tell of the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Notice {
    /// The peer answers, and slots may go.
    Connected {
        /// What tickets of this connection carry.
        session: u32,
    },
    /// The peer has begun anew. What was in flight is told by the events that follow.
    Disconnected,
    /// The peer is not one to work with; told once. The link goes on greeting.
    Refused(Refusal),
    /// The peer has refused this side; told once. The link goes on greeting.
    RefusedByPeer(Refusal),
}

/// Why one side refuses the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("{reason} {found} where {expected} is expected")]
pub struct Refusal {
    /// What does not fit.
    pub reason: Reason,
    /// What the side that refuses expects.
    pub expected: u32,
    /// What the refused side has said.
    pub found: u32,
}

/// What does not fit. Of several, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum Reason {
    /// The revision of the frames: [`LINK_REVISION`](super::LINK_REVISION).
    LinkRevision,
    /// Two senders (1), or two receivers (2).
    Role,
    /// The revision of the buffers: [`ABI_REVISION`](super::ABI_REVISION).
    AbiRevision,
    /// Slots of the row.
    Slots,
    /// Observables of the row.
    Observables,
    /// Debug records of the row.
    DebugRecords,
    /// IO slots of the row.
    IoSlots,
    /// What only the peer's revision knows of.
    Other,
}

impl Reason {
    /// How many this revision knows of.
    pub(super) const COUNT: usize = 7;

    pub(super) const fn of(number: u32) -> Self {
        match number {
            0 => Self::LinkRevision,
            1 => Self::Role,
            2 => Self::AbiRevision,
            3 => Self::Slots,
            4 => Self::Observables,
            5 => Self::DebugRecords,
            6 => Self::IoSlots,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkRevision => "link revision",
            Self::Role => "role",
            Self::AbiRevision => "ABI revision",
            Self::Slots => "slot count",
            Self::Observables => "observable count",
            Self::DebugRecords => "debug record count",
            Self::IoSlots => "IO slot count",
            Self::Other => "unknown property",
        })
    }
}

/// What a [`Sender`](super::Sender) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// Of the link itself.
    Link(Notice),
    /// The end of a job. Every ticket has exactly one.
    Finished {
        /// Which job.
        ticket: LinkTicket,
        /// How it ended.
        fate: Fate,
        /// What the host sent with it.
        words: ResultWords,
    },
}

/// What a [`Receiver`](super::Receiver) tells, beside the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HostEvent {
    /// Of the link itself.
    Link(Notice),
    /// A result that the microcontroller did not acknowledge before it began anew.
    Orphaned {
        /// Whose result it is.
        ticket: LinkTicket,
    },
}

/// Why a job was not taken; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum SendError {
    /// The job itself is wrong.
    #[error(transparent)]
    Job(#[from] PublishError),
    /// There is no host.
    #[error("no host has answered; run the link until it is connected")]
    NotConnected,
    /// Every place of the window holds a job that the host has not acknowledged.
    #[error("the window of {window} jobs is full; run the link until the host has taken some")]
    Full { window: u32 },
    /// The oldest job that is not finished lies too far back.
    #[error("{unfinished} jobs since the oldest unfinished one; {limit} are the most")]
    Unfinished { unfinished: u32, limit: u32 },
}

/// Why a result was not taken; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ResultError {
    /// More words than a result has.
    #[error("{words} words; a result holds {ARGS}")]
    TooManyWords { words: usize },
    /// The microcontroller that sent the job has begun anew since.
    #[error("job {number} is of session {session:#x}, which has ended")]
    Orphaned { session: u32, number: u32 },
    /// The job was not handed out, or has had its result.
    #[error("job {number} awaits no result")]
    NotAwaited { number: u32 },
    /// Every place of the window holds a result that was not acknowledged.
    #[error("the window of {window} results is full; run the link until some have arrived")]
    Full { window: u32 },
}

/// What a link has counted since it was made, each modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Frames that came whole.
    pub frames: u32,
    /// Runs of bytes that were no frame.
    pub damaged: u32,
    /// Whole frames that were not for this connection, or not for now.
    pub strays: u32,
    /// Slots or results that came once more than once.
    pub repeated: u32,
    /// Slots or results that were sent once more.
    pub resent: u32,
    /// Waits for the peer that were in vain.
    pub timeouts: u32,
}
