//! What both sides of a link do alike: greet, acknowledge, send and send again.

use super::arrivals::{Arrival, Arrivals};
use super::event::{Counters, Notice};
use super::frame::{Frame, Outbox, kind, near};
use super::outgoing::Outgoing;
use super::session::{Role, Session};
use super::{MAX_WINDOW, timer};
use crate::layout::Geometry;

/// What a side has to send: slots, or results.
pub(super) trait Payload: Copy {
    /// For places of the window that nothing was put in yet.
    const EMPTY: Self;
    /// Puts it in the outbox as a frame of the connection.
    fn put(&self, sequence: u32, token: u32, outbox: &mut Outbox);
}

#[derive(Debug)]
pub(super) struct Endpoint<P, const N: usize> {
    pub session: Session,
    pub outgoing: Outgoing<P, N>,
    pub arrivals: Arrivals,
    pub counters: Counters,
    pub notice: Option<Notice>,
    outbox: Outbox,
    /// What came since the last acknowledgment.
    unacknowledged: u8,
    acknowledges_now: bool,
    /// The first that this side does not take yet; the same as the peer was last told it.
    limit: u32,
    told_limit: u32,
}

impl<P: Payload, const N: usize> Endpoint<P, N> {
    pub fn new(role: Role, session: u32, geometry: Geometry) -> Self {
        Self {
            session: Session::new(role, N as u8, session, geometry),
            outgoing: Outgoing::new(P::EMPTY),
            arrivals: Arrivals::new(0),
            counters: Counters::default(),
            notice: None,
            outbox: Outbox::new(),
            unacknowledged: 0,
            acknowledges_now: false,
            limit: 0,
            told_limit: 0,
        }
    }

    /// Hears a frame, and gives back what is the owner's to look at.
    pub fn hear<'f>(&mut self, frame: Frame<'f>, now: u32) -> Option<Frame<'f>> {
        count(&mut self.counters.frames);
        match frame.kind {
            kind::HELLO => {
                self.notice = self.session.hear_hello(&frame, self.outgoing.next());
                if let Some(Notice::Connected { .. }) = self.notice {
                    self.begin();
                }
                // Whoever asks wants to know what is taken, too.
                self.acknowledges_now |= self.session.left(now) == Some(0);
            }
            kind::RESET => self.notice = self.session.hear_reset(&frame),
            _ if !self.session.is_connected() => {
                count(&mut self.counters.strays);
                self.session.hear_stranger(now);
            }
            kind::ACK => {
                let next = near(self.outgoing.base(), frame.sequence);
                if self.session.token_in() ^ next == frame.word(0) {
                    let [credits, ..] = frame.word(1).to_le_bytes();
                    let more = frame.words_from(2).first().copied().unwrap_or(0);
                    let beyond = u64::from(frame.word(1)) | u64::from(more) << 32;
                    self.outgoing.acknowledge(next, beyond >> 8, credits, now);
                } else {
                    count(&mut self.counters.strays);
                }
            }
            _ => return Some(frame),
        }
        None
    }

    fn begin(&mut self) {
        self.outgoing.reset(self.session.first());
        self.arrivals = Arrivals::new(self.session.peer_first());
        // With it the peer is told the first credits.
        self.acknowledges_now = true;
    }

    /// Books the arrival of a slot or a result; says whether it is to be taken, which it then is.
    /// `room` is how many from the first missing one on can be.
    pub fn arrive(&mut self, sequence: u32, room: u32) -> bool {
        match self.arrivals.look_at(sequence) {
            Arrival::New if sequence.wrapping_sub(self.arrivals.next()) < room => {
                self.arrivals.take(sequence);
                self.unacknowledged = self.unacknowledged.saturating_add(1);
                // The peer is to know at once what it has to send again.
                self.acknowledges_now |= self.arrivals.beyond() != 0;
                true
            }
            Arrival::Again => {
                count(&mut self.counters.repeated);
                self.acknowledges_now = true;
                false
            }
            _ => {
                count(&mut self.counters.strays);
                false
            }
        }
    }

    /// Sets how far this side takes what comes: up to `limit`, exclusive.
    pub fn take_up_to(&mut self, limit: u32) {
        self.limit = limit;
        let gained = limit.wrapping_sub(self.told_limit).cast_signed();
        let left = self.told_limit.wrapping_sub(self.arrivals.next()).cast_signed();
        // A peer that must wait, or soon must, is told at once.
        let is_news = left <= 0 || 2 * gained >= i32::from(self.session.peer_window());
        self.acknowledges_now |= gained > 0 && is_news;
    }

    pub fn transmit(&mut self, now: u32, bytes: &mut [u8]) -> usize {
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..)
            && !rest.is_empty()
            && (!self.outbox.is_empty() || self.fill_outbox(now))
        {
            len += self.outbox.drain(rest);
        }
        len
    }

    /// Puts the most urgent frame in the outbox; false when there is none.
    fn fill_outbox(&mut self, now: u32) -> bool {
        if self.session.is_connected() && self.outgoing.time_out(now) {
            count(&mut self.counters.timeouts);
            self.session.ask();
        }
        if self.session.speak(now, &mut self.outbox) {
            return true;
        }
        if !self.session.is_connected() {
            return false;
        }
        // Acknowledgments wait for each other, but not for a peer with nothing to send.
        let many = self.unacknowledged > self.session.peer_window() / 8;
        if self.acknowledges_now || many {
            self.acknowledge();
            return true;
        }
        if let Some(sequence) = self.outgoing.candidate() {
            if self.outgoing.was_sent(sequence) {
                count(&mut self.counters.resent);
            }
            let token = self.session.token_out();
            if let Some(payload) = self.outgoing.send(sequence, now) {
                payload.put(sequence, token, &mut self.outbox);
                return true;
            }
        }
        let some = self.unacknowledged > 0;
        if some {
            self.acknowledge();
        }
        some
    }

    fn acknowledge(&mut self) {
        let next = self.arrivals.next();
        let credits = self.limit.wrapping_sub(next).cast_signed().clamp(0, MAX_WINDOW as i32);
        let said = self.arrivals.beyond() << 8 | credits as u64;
        let head = [self.session.token_out() ^ next, said as u32];
        let more = (said >> 32) as u32;
        let tail: &[u32] = if more == 0 { &[] } else { &[more] };
        self.outbox.put(kind::ACK, next as u8, &head, tail);
        self.told_limit = self.limit;
        (self.unacknowledged, self.acknowledges_now) = (0, false);
    }

    /// Milliseconds until there is something to transmit, should nothing else happen.
    pub fn wait_ms(&self, now: u32) -> u32 {
        let connected = self.session.is_connected();
        let has_data = || self.outgoing.candidate().is_some();
        let acknowledges = self.acknowledges_now || self.unacknowledged > 0;
        if !self.outbox.is_empty() || connected && (acknowledges || has_data()) {
            return 0;
        }
        let hello = self.session.left(now);
        let resend = if connected { self.outgoing.timer.left(now) } else { None };
        let wait = hello.into_iter().chain(resend).min();
        wait.unwrap_or(timer::MAX_MS)
    }
}

pub(super) fn count(counter: &mut u32) {
    *counter = counter.wrapping_add(1);
}
