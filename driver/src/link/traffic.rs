//! Bytes: from wires into receivers, and from receivers to wires.

use super::{Line, LinkEvent, Links};
use crate::arena::{Landing, Rung};
use crate::input::engine::Ended;
use slipring_core::link::{HostEvent, Notice};
use std::sync::atomic::Ordering;

impl Links {
    /// Takes the ends of transfers; says whether there were any.
    pub(super) fn reap(&mut self) -> bool {
        let now = self.now();
        let mut some = false;
        while let Some(Ended { token, result }) = self.engine.next() {
            some = true;
            let link = token as usize / 2;
            let blocking = self.is_blocking();
            let line = &mut self.lines[link];
            let moved = line.port.ended(token, result, now, &mut *self.engine, blocking);
            line.counters.bytes_in += moved.read as u64;
            line.counters.bytes_out += moved.written as u64;
            let at = line.port.input();
            if let Some(event) = moved.event {
                self.tell(link, event);
            }
            self.hear(link, at, moved.read, now);
        }
        some
    }

    /// Whether files wait: the threads must not.
    fn is_blocking(&self) -> bool {
        self.rung != Rung::Threads
    }

    /// Has a link's receiver hear bytes that have come.
    fn hear(&mut self, link: usize, at: usize, len: usize, now: u32) {
        load_bytes(&self.landing, at, &mut self.bytes[..len]);
        let mut heard = 0;
        while heard < len {
            let receiver = &mut self.lines[link].receiver;
            heard += receiver.receive(&self.bytes[heard..len], now);
            while let Some(event) = self.lines[link].receiver.next_event() {
                match event {
                    HostEvent::Orphaned { ticket } => self.orphan(link, ticket),
                    HostEvent::Link(notice) => self.hear_notice(link, notice),
                }
            }
        }
    }

    fn hear_notice(&mut self, link: usize, notice: Notice) {
        self.tell(link, LinkEvent::Peer(notice));
        // A slot that waits for room is of the connection that has ended.
        if notice == Notice::Disconnected
            && let Some((ticket, ..)) = self.lines[link].held.take()
        {
            self.orphan(link, ticket);
        }
    }

    /// Opens a link's wire if it is time to, and starts a read and a write.
    pub(super) fn move_bytes(&mut self, link: usize, now: u32) {
        let blocking = self.is_blocking();
        let line = &mut self.lines[link];
        let event = line.port.renew(now, &mut *self.engine, blocking);
        line.receiver.set_credits(if line.held.is_some() { 0 } else { line.room() });
        if line.port.takes_bytes() {
            let len = line.receiver.transmit(now, &mut self.bytes[..]);
            store_bytes(&self.landing, line.port.output(), &self.bytes[..len]);
            line.port.put(len);
        }
        line.port.start(&mut *self.engine);
        if let Some(event) = event {
            self.tell(link, event);
        }
    }

    /// Logs an event, and keeps it for whoever asks.
    pub(super) fn tell(&mut self, link: usize, event: LinkEvent) {
        let Line { name, counters, .. } = &mut self.lines[link];
        match event {
            LinkEvent::WireUp => {
                counters.wires += 1;
                tracing::info!(link = name, "the wire is there");
            }
            LinkEvent::WireLost(error) => tracing::warn!(link = name, %error, "the wire has gone"),
            LinkEvent::WireAbsent(error) => {
                tracing::warn!(link = name, %error, "the wire is not there");
            }
            LinkEvent::Peer(Notice::Refused(refusal)) => {
                tracing::warn!(link = name, %refusal, "the microcontroller does not fit");
            }
            LinkEvent::Peer(Notice::RefusedByPeer(refusal)) => {
                tracing::warn!(link = name, %refusal, "the microcontroller refuses this host");
            }
            LinkEvent::Peer(notice) => tracing::info!(link = name, ?notice),
            // As many as the microcontroller likes.
            LinkEvent::Orphaned { ticket } => tracing::debug!(link = name, ?ticket, "orphaned"),
            LinkEvent::Refused { ticket, reason } => {
                tracing::debug!(link = name, ?ticket, %reason, "refused");
            }
        }
        if self.events.len() == self.events.capacity() {
            self.events.pop_front();
        }
        self.events.push_back((link, event));
    }
}

/// Reads bytes that start at a word.
fn load_bytes(landing: &Landing, at: usize, bytes: &mut [u8]) {
    for (part, word) in bytes.chunks_mut(4).zip(&landing.words()[at / 4..]) {
        part.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[..part.len()]);
    }
}

/// Writes bytes, and perhaps some behind them, from a word on.
fn store_bytes(landing: &Landing, at: usize, bytes: &[u8]) {
    for (part, word) in bytes.chunks(4).zip(&landing.words()[at / 4..]) {
        let mut whole = [0; 4];
        whole[..part.len()].copy_from_slice(part);
        word.store(u32::from_ne_bytes(whole), Ordering::Relaxed);
    }
}
