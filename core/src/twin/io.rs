//! What a call asks of the host, and what it knows of that when it is resumed.

use super::call::Call;
use crate::io_queue::{SLOT_WORDS, status, word};
use crate::slot::fault;
use crate::words::WordMut;
use core::cell::Cell;

/// An answer of [`Call::request_io`]: the IO queue is full, and the job starts anew in the next
/// drain.
pub const HANDLER_RETRIES: u32 = 2;
/// This and an IO slot is the other answer: the slot waits for it.
pub const HANDLER_WAITS: u32 = fault::USER_MAX as u32 + 1;

/// What a call has to do with the IO queue.
#[derive(Debug, Default)]
pub(super) struct Io {
    /// The bytes moved by what the slot has waited for.
    moved: Option<u32>,
    /// The IO slot that is RESERVED for the job.
    held: Cell<Option<u8>>,
    /// What [`Call::request_io`] has answered last.
    answer: Cell<Option<u32>>,
}

impl Io {
    /// Of a job whose IO slot has moved so many bytes.
    pub(super) fn of_resumed(io_slot: u8, bytes: u32) -> Self {
        Self { moved: Some(bytes), held: Cell::new(Some(io_slot)), answer: Cell::new(None) }
    }

    /// Whether this is the answer that was given last.
    pub(super) fn answers(&self, code: u32) -> bool {
        self.answer.get() == Some(code)
    }
}

impl<'a, W: WordMut> Call<'a, W> {
    /// Asks the host for I/O: `op` is one of [`op`](crate::io_queue::op), source and destination
    /// are handles that the host knows, the offset is in bytes of the file. A handler returns the
    /// answer, and its slot waits; once the host has done it, the handler is called again
    /// ([`Call::is_resumed`]), to finish, continue or ask for more. If the I/O has failed, the slot
    /// ends in FAULT(io) instead.
    ///
    /// When the IO queue is full, the job starts anew in the next drain: ask first, before anything
    /// is changed. A job that is resumed has an IO slot for one request, and does not meet a full
    /// queue with that. Of several requests in a call, the handler may return the last answer;
    /// nobody waits for the others, or for any if it returns something else. In a packed slot
    /// nothing is asked, and the answer is FAULT(range).
    pub fn request_io(
        &self,
        op: u32,
        source: u32,
        destination: u32,
        offset: u64,
        bytes: u32,
    ) -> u32 {
        if self.is_packed {
            return fault::RANGE.into();
        }
        self.reserve_io();
        let handles = [source, destination];
        let answer = match self.publish_request(op, handles, offset, bytes, self.slot) {
            Some(io_slot) => HANDLER_WAITS + u32::from(io_slot),
            None => HANDLER_RETRIES,
        };
        self.io.answer.set(Some(answer));
        answer
    }

    /// Whether the job goes on after I/O that it has waited for. (In a segment after that it is a
    /// job as any other.)
    pub fn is_resumed(&self) -> bool {
        self.io.moved.is_some()
    }

    /// The bytes that this I/O has moved; 0 if there was none.
    pub fn io_bytes(&self) -> u32 {
        self.io.moved.unwrap_or(0)
    }

    /// Has an IO slot be the job's: the one that it has, or else the lowest free one, now RESERVED;
    /// `false` when there is none.
    pub(super) fn reserve_io(&self) -> bool {
        if self.io.held.get().is_none() {
            let queue = &self.row.io_queue;
            // A queue has at most 64 slots.
            let mut slots = 0..queue.slots() as u8;
            let is_empty = |slot: u8| queue.status(slot.into()) == Some(status::EMPTY);
            self.io.held.set(slots.find(|&slot| is_empty(slot)));
            if let Some(io) = self.held_io() {
                io[word::STATUS].store(status::RESERVED);
            }
        }
        self.io.held.get().is_some()
    }

    /// Fills the IO slot that is the job's, and says which one it was: it is the host's from then
    /// on. `None` without one.
    pub(super) fn publish_request(
        &self,
        op: u32,
        [source, destination]: [u32; 2],
        offset: u64,
        bytes: u32,
        tag: u32,
    ) -> Option<u8> {
        let io = self.held_io()?;
        let io_slot = self.io.held.take()?;
        io[word::OP].store(op);
        io[word::SOURCE].store(source);
        io[word::DESTINATION].store(destination);
        io[word::OFFSET_LOW].store(offset as u32);
        io[word::OFFSET_HIGH].store((offset >> 32) as u32);
        io[word::BYTE_COUNT].store(bytes);
        io[word::TAG].store(tag);
        // Release pairs with the host's acquire in `IoQueue::poll`: the request is whole.
        io[word::STATUS].store_release(status::PUBLISHED);
        Some(io_slot)
    }

    /// Gives the job's IO slot back, if it has one still.
    pub(super) fn free_io(&self) {
        if let Some(io) = self.held_io() {
            io[word::STATUS].store_release(status::EMPTY);
        }
    }

    fn held_io(&self) -> Option<&'a [W; SLOT_WORDS]> {
        self.row.io_queue.slot_words(self.io.held.get()?.into())
    }
}
