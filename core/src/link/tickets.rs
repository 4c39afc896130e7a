//! The tickets whose jobs are not finished: any of the last 256.

use super::MAX_UNFINISHED;

const OPEN_WORDS: usize = (MAX_UNFINISHED / 32) as usize;

#[derive(Debug)]
pub(super) struct Tickets {
    /// All before it are finished.
    oldest: u32,
    next: u32,
    /// Bit n % 256: ticket n is open.
    open: [u32; OPEN_WORDS],
}

impl Tickets {
    /// Tickets from `first` on, none of them open.
    pub const fn new(first: u32) -> Self {
        Self { oldest: first, next: first, open: [0; OPEN_WORDS] }
    }

    /// How many tickets there are from the oldest open one on.
    pub const fn span(&self) -> u32 {
        self.next.wrapping_sub(self.oldest)
    }

    /// Opens the next ticket; none while the span is [`MAX_UNFINISHED`].
    pub fn open(&mut self) -> Option<u32> {
        let ticket = self.next;
        if self.span() >= MAX_UNFINISHED {
            return None;
        }
        *self.word(ticket)? |= bit(ticket);
        self.next = ticket.wrapping_add(1);
        Some(ticket)
    }

    pub fn is_open(&self, ticket: u32) -> bool {
        let word = self.open.get((ticket % MAX_UNFINISHED / 32) as usize).copied().unwrap_or(0);
        ticket.wrapping_sub(self.oldest) < self.span() && word & bit(ticket) != 0
    }

    /// Closes a ticket; says whether it was open.
    pub fn close(&mut self, ticket: u32) -> bool {
        let was_open = self.is_open(ticket);
        if was_open && let Some(word) = self.word(ticket) {
            *word &= !bit(ticket);
        }
        while self.span() != 0 && !self.is_open(self.oldest) {
            self.oldest = self.oldest.wrapping_add(1);
        }
        was_open
    }

    /// The oldest that is open.
    pub fn oldest(&self) -> Option<u32> {
        (self.span() != 0).then_some(self.oldest)
    }

    fn word(&mut self, ticket: u32) -> Option<&mut u32> {
        self.open.get_mut((ticket % MAX_UNFINISHED / 32) as usize)
    }
}

const fn bit(ticket: u32) -> u32 {
    1 << (ticket % 32)
}
