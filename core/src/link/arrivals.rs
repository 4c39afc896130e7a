//! What has come from the peer: all before `next`, and some beyond it.

use super::MAX_WINDOW;

/// What a frame is, by its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// It came before: the acknowledgment was lost.
    Again,
    /// Further ahead than the window reaches.
    Beyond,
}

#[derive(Debug)]
pub(super) struct Arrivals {
    next: u32,
    /// Bit n: the frame `next + n` has come. (A `u64` would align all of the link to 8 bytes.)
    seen: [u32; 2],
}

impl Arrivals {
    /// Nothing before `next` is to come.
    pub const fn new(next: u32) -> Self {
        Self { next, seen: [0; 2] }
    }

    /// The first that has not come.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Which of the frames after `next` have come, the one right after it in bit 0.
    pub const fn beyond(&self) -> u64 {
        self.seen() >> 1
    }

    const fn seen(&self) -> u64 {
        let [low, high] = self.seen;
        low as u64 | (high as u64) << 32
    }

    pub fn look_at(&self, sequence: u32) -> Arrival {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead.cast_signed() < 0 {
            Arrival::Again
        } else if ahead >= MAX_WINDOW {
            Arrival::Beyond
        } else if self.seen() >> ahead & 1 == 1 {
            Arrival::Again
        } else {
            Arrival::New
        }
    }

    /// Books a new one.
    pub fn take(&mut self, sequence: u32) {
        let mut seen =
            self.seen() | 1u64.checked_shl(sequence.wrapping_sub(self.next)).unwrap_or(0);
        let run = seen.trailing_ones();
        seen = seen.checked_shr(run).unwrap_or(0);
        self.next = self.next.wrapping_add(run);
        self.seen = [seen as u32, (seen >> 32) as u32];
    }
}
