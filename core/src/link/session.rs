//! Who is at the other end: hellos, and the session ids that make a connection one of its kind.

use super::event::{Notice, Reason, Refusal};
use super::frame::{Frame, Outbox, kind};
use super::{ABI_REVISION, LINK_REVISION, timer};
use crate::layout::Geometry;

/// The first wait between two hellos; it doubles up to the link's longest.
const HELLO_MS: u32 = 100;
/// Frames from somebody who is not connected are answered no more often than this.
const POKE_MS: u32 = 20;
/// An odd constant without a pattern: 2^32 over the golden ratio.
const GOLDEN: u32 = 0x9E37_79B9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sender = 1,
    Receiver = 2,
}

/// Words of a hello, after the [`Reason::COUNT`] properties of its sender. The layout is the same
/// in every revision of the link.
mod hello {
    use super::Reason;

    pub const SESSION: usize = Reason::COUNT;
    /// The session that it speaks to, or 0.
    pub const ECHO: usize = SESSION + 1;
    /// The number of the first job (of a receiver, the first result) of the next connection.
    pub const FIRST: usize = SESSION + 2;
    /// How many frames the sender has room for; bit 8: whether it asks for a hello in return.
    pub const WINDOW: usize = SESSION + 3;
    pub const ASKS: u32 = 1 << 8;
}

impl Role {
    const BOTH: u32 = Self::Sender as u32 ^ Self::Receiver as u32;
}

#[derive(Debug)]
pub(super) struct Session {
    role: Role,
    window: u8,
    /// What this side is, in the order of [`Reason`].
    properties: [u32; Reason::COUNT],
    /// This side's id. It has at most one connection in its life.
    own: u32,
    /// The first job of this side's next connection.
    first: u32,
    /// The other side's, or 0 while it is unknown.
    peer: u32,
    peer_window: u8,
    peer_first: u32,
    is_connected: bool,
    /// What frames of the connection carry, to the peer and from it; also after it has ended.
    tokens: [u32; 2],
    /// The last peer that was refused, or 0.
    refused: u32,
    /// What it is to be told.
    refusal: Option<Refusal>,
    refused_by_peer: bool,
    hello_is_due: bool,
    /// Whether the next hello asks for one, although this side is connected.
    asks: bool,
    hello_at: u32,
    hello_wait: u32,
}

impl Session {
    pub fn new(role: Role, window: u8, session: u32, geometry: Geometry) -> Self {
        Self {
            role,
            window,
            properties: [
                LINK_REVISION,
                role as u32,
                ABI_REVISION,
                geometry.slots(),
                geometry.observables(),
                geometry.debug_records(),
                geometry.io_slots(),
            ],
            own: session.max(1),
            first: 0,
            peer: 0,
            peer_window: 0,
            peer_first: 0,
            is_connected: false,
            tokens: [0; 2],
            refused: 0,
            refusal: None,
            refused_by_peer: false,
            hello_is_due: true,
            asks: false,
            hello_at: 0,
            hello_wait: HELLO_MS,
        }
    }

    pub const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// What frames to the peer carry.
    pub const fn token_out(&self) -> u32 {
        self.tokens[0]
    }

    /// What frames from the peer carry.
    pub const fn token_in(&self) -> u32 {
        self.tokens[1]
    }

    /// The token of the slots: what both sides call the connection.
    pub const fn id(&self) -> u32 {
        match self.role {
            Role::Sender => self.token_out(),
            Role::Receiver => self.token_in(),
        }
    }

    pub const fn peer_window(&self) -> u8 {
        self.peer_window
    }

    /// The number of the connection's first job (of a receiver, its first result).
    pub const fn first(&self) -> u32 {
        self.first
    }

    pub const fn peer_first(&self) -> u32 {
        self.peer_first
    }

    /// Ends the connection: this side begins anew, with an id that it never had, and its next
    /// connection's first job is number `first`.
    fn leave(&mut self, first: u32) {
        self.own = scramble(self.own.wrapping_add(GOLDEN)).max(1);
        self.first = first;
        self.peer = 0;
        self.is_connected = false;
        (self.refused, self.refused_by_peer) = (0, false);
        (self.hello_is_due, self.hello_wait) = (true, HELLO_MS);
    }

    /// Hears a hello; `next` is the number of this side's next job.
    pub fn hear_hello(&mut self, frame: &Frame<'_>, next: u32) -> Option<Notice> {
        let session = frame.word(hello::SESSION);
        let is_alike = frame.word(Reason::Role as usize) == self.role as u32;
        if is_alike && (self.is_connected || session == self.own) {
            // This side's own, from a wire that echoes.
            return None;
        }
        let is_for_this = frame.word(hello::ECHO) == self.own;
        if self.is_connected {
            // Frames keep their order: a peer that knew this session and does no more is a new one,
            // even if it has the old one's id, against the rules.
            if session != self.peer || !is_for_this {
                self.leave(next);
                return Some(Notice::Disconnected);
            }
            self.hello_is_due |= frame.word(hello::WINDOW) & hello::ASKS != 0;
            return None;
        }
        self.refusal = self.refuses(frame);
        if let Some(refusal) = self.refusal {
            let is_known = self.refused == session;
            self.refused = session;
            return (!is_known).then_some(Notice::Refused(refusal));
        }
        self.peer = session;
        let window = frame.word(hello::WINDOW);
        self.hello_is_due |= window & hello::ASKS != 0;
        if !is_for_this {
            return None;
        }
        (self.peer_window, self.peer_first) = (window as u8, frame.word(hello::FIRST));
        self.tokens = tokens(self.role, self.own, self.peer);
        self.is_connected = true;
        Some(Notice::Connected { session: self.id() })
    }

    fn refuses(&self, frame: &Frame<'_>) -> Option<Refusal> {
        for (reason, (ours, found)) in (0..).zip(self.properties.iter().zip(frame.words_from(0))) {
            let reason = Reason::of(reason);
            let expected = if reason == Reason::Role { ours ^ Role::BOTH } else { *ours };
            if expected != *found {
                return Some(Refusal { reason, expected, found: *found });
            }
        }
        None
    }

    /// Hears that the peer refuses a session. (A side that is connected hears of it by the hello of
    /// that peer, which is another one.)
    pub fn hear_reset(&mut self, frame: &Frame<'_>) -> Option<Notice> {
        if self.is_connected || frame.word(0) != self.own {
            return None;
        }
        let is_known = core::mem::replace(&mut self.refused_by_peer, true);
        let (reason, expected, found) = (Reason::of(frame.word(1)), frame.word(2), frame.word(3));
        let refusal = Refusal { reason, expected, found };
        (!is_known).then_some(Notice::RefusedByPeer(refusal))
    }

    /// Hears somebody who believes to be connected.
    pub fn hear_stranger(&mut self, now: u32) {
        if !self.is_connected && now.wrapping_sub(self.hello_at) >= POKE_MS {
            self.hello_is_due = true;
        }
    }

    /// Asks the peer whether it is still the same, and what it takes.
    pub fn ask(&mut self) {
        (self.hello_is_due, self.asks) = (true, true);
    }

    /// Milliseconds until there is something to say; none if nothing will be.
    pub fn left(&self, now: u32) -> Option<u32> {
        if self.hello_is_due || self.refusal.is_some() {
            return Some(0);
        }
        let elapsed = now.wrapping_sub(self.hello_at);
        (!self.is_connected).then(|| self.hello_wait.saturating_sub(elapsed))
    }

    /// Says what is to be said; false when there is nothing.
    pub fn speak(&mut self, now: u32, outbox: &mut Outbox) -> bool {
        if let Some(Refusal { reason, expected, found }) = self.refusal.take() {
            outbox.put(kind::RESET, 0, &[self.refused, reason as u32, expected, found], &[]);
            return true;
        }
        if self.left(now) != Some(0) {
            return false;
        }
        if !self.hello_is_due {
            self.hello_wait = (2 * self.hello_wait).min(timer::MAX_MS);
        }
        (self.hello_is_due, self.hello_at) = (false, now);
        let asks = if self.asks || !self.is_connected { hello::ASKS } else { 0 };
        let tail = [self.own, self.peer, self.first, u32::from(self.window) | asks];
        outbox.put(kind::HELLO, 0, &self.properties, &tail);
        self.asks = false;
        true
    }
}

/// What frames of one connection carry, from this side and to it. The two differ, so that a wire
/// that echoes is not taken for the peer.
fn tokens(role: Role, own: u32, peer: u32) -> [u32; 2] {
    let (sender, receiver) = match role {
        Role::Sender => (own, peer),
        Role::Receiver => (peer, own),
    };
    let up = scramble(scramble(sender).wrapping_add(receiver));
    let down = scramble(up.wrapping_add(GOLDEN));
    match role {
        Role::Sender => [up, down],
        Role::Receiver => [down, up],
    }
}

/// A permutation of the u32 under which ids that are alike, as boot counters are, become unlike.
fn scramble(id: u32) -> u32 {
    let id = (id ^ id >> 16).wrapping_mul(0x85EB_CA6B);
    let id = (id ^ id >> 13).wrapping_mul(0xC2B2_AE35);
    id ^ id >> 16
}
