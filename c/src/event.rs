//! What a link tells.

use slipring_core::link::{Event, Fate, LinkTicket, Notice, Refusal};

/// A job's number on a link.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct slipring_ticket {
    /// The connection that it belongs to.
    pub session: u32,
    /// Counts up.
    pub number: u32,
}

impl From<LinkTicket> for slipring_ticket {
    fn from(LinkTicket { session, number }: LinkTicket) -> Self {
        Self { session, number }
    }
}

/// The host answers, and jobs may go.
pub const SLIPRING_EVENT_CONNECTED: u32 = 1;
/// The host has begun anew.
pub const SLIPRING_EVENT_DISCONNECTED: u32 = 2;
/// The host is another one than expected: property, expected, found.
pub const SLIPRING_EVENT_REFUSED: u32 = 3;
/// The host has refused this side: property, expected, found.
pub const SLIPRING_EVENT_REFUSED_BY_PEER: u32 = 4;
/// A job has ended: ticket, fate, fault, words.
pub const SLIPRING_EVENT_FINISHED: u32 = 5;

/// It ran and finished well.
pub const SLIPRING_FATE_DONE: u32 = 1;
/// It ran and finished with a fault code.
pub const SLIPRING_FATE_FAULT: u32 = 2;
/// It did not run, and will not.
pub const SLIPRING_FATE_NOT_RUN: u32 = 3;
/// It may have run or not; it is not sent again.
pub const SLIPRING_FATE_UNKNOWN: u32 = 4;

/// What a link tells. What does not belong to its kind is 0.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct slipring_event {
    /// One of the events above.
    pub kind: u32,
    /// Of a job that has ended; of SLIPRING_EVENT_CONNECTED, the session.
    pub ticket: slipring_ticket,
    /// One of the fates above.
    pub fate: u32,
    /// The fault code of SLIPRING_FATE_FAULT.
    pub fault: u32,
    /// How many words the host has sent with it.
    pub words_len: u32,
    /// The words.
    pub words: [u32; 12],
    /// What does not fit: 0 link revision, 1 role, 2 ABI revision, 3 slots, 4 observables, 5 debug
    /// records, 6 IO slots, 7 something that only the host knows of.
    pub property: u32,
    /// What the side that refuses expects.
    pub expected: u32,
    /// What the refused side has said.
    pub found: u32,
}

impl slipring_event {
    fn refusal(kind: u32, Refusal { reason, expected, found }: Refusal) -> Self {
        Self { kind, property: reason as u32, expected, found, ..Self::default() }
    }
}

impl From<Event> for slipring_event {
    fn from(event: Event) -> Self {
        let none = Self::default();
        match event {
            Event::Link(Notice::Connected { session }) => {
                let ticket = slipring_ticket { session, number: 0 };
                Self { kind: SLIPRING_EVENT_CONNECTED, ticket, ..none }
            }
            Event::Link(Notice::Disconnected) => Self { kind: SLIPRING_EVENT_DISCONNECTED, ..none },
            Event::Link(Notice::Refused(why)) => Self::refusal(SLIPRING_EVENT_REFUSED, why),
            Event::Link(Notice::RefusedByPeer(why)) => {
                Self::refusal(SLIPRING_EVENT_REFUSED_BY_PEER, why)
            }
            Event::Finished { ticket, fate, words } => {
                let (fate, fault) = match fate {
                    Fate::Done => (SLIPRING_FATE_DONE, 0),
                    Fate::Fault(code) => (SLIPRING_FATE_FAULT, u32::from(code)),
                    Fate::NotRun => (SLIPRING_FATE_NOT_RUN, 0),
                    Fate::Unknown => (SLIPRING_FATE_UNKNOWN, 0),
                };
                let (ticket, kind) = (ticket.into(), SLIPRING_EVENT_FINISHED);
                let mut event =
                    Self { kind, ticket, fate, fault, words_len: words.len() as u32, ..none };
                for (place, word) in event.words.iter_mut().zip(&words) {
                    *place = *word;
                }
                event
            }
        }
    }
}
