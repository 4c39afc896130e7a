//! Serves requests: which are under way, what each result makes of them, and when fences end.

use super::table::{Entry, IoTable, Move};
use crate::arena::Landing;
use crate::input::engine::{
    Ended, Engine, FileRef, MAX_TRIES, Op, Transfer, is_passing, unless_passing,
};
use rustix::io::Errno;
use slipring_core::io_queue::{Completion, IoQueue, MAX_SLOTS, Request, SLOT_WORDS, op, word};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A request that has ended, by its IO slot.
pub(super) type End = (u32, Completion);

/// Requests that have ended.
pub(super) type Ends = heapless::Vec<End, MAX_SLOTS>;

/// Moves words between where bytes land and where the GPU has them, if that is not the same.
pub(crate) trait Carry {
    /// Has the GPU see words that have landed; whether that was possible.
    fn deliver(&mut self, words: Range<usize>) -> bool;

    /// Has words of the GPU's be where a write takes them from; whether that was possible.
    fn fetch(&mut self, words: Range<usize>) -> bool;
}

/// One IO slot's request.
#[derive(Clone, Copy, Debug)]
enum Pending {
    None,
    Moving { part: Move, moved: u32, tries: u32, number: u64 },
    Fence { number: u64 },
}

pub(super) struct Server {
    engine: Box<dyn Engine>,
    /// Where the engine's bytes land.
    landing: Landing,
    table: Arc<IoTable>,
    /// The engine's names of the table's files.
    files: Vec<Option<FileRef>>,
    pending: [Pending; MAX_SLOTS],
    /// Whether the engine takes transfers no more.
    is_broken: bool,
    /// Requests so far: which came before which.
    number: u64,
    ends: Ends,
}

impl Server {
    pub(super) fn new(mut engine: Box<dyn Engine>, landing: Landing, table: Arc<IoTable>) -> Self {
        let files = table.entries().iter().map(|entry| match entry {
            Entry::File(open) => Some(engine.add_file(open.file.as_raw_fd())),
            Entry::Region { .. } => None,
        });
        let files = files.collect();
        let pending = [Pending::None; MAX_SLOTS];
        let (is_broken, number, ends) = (false, 0, Ends::new());
        Self { engine, landing, table, files, pending, is_broken, number, ends }
    }

    /// Requests that have not been handed back.
    pub(super) fn under_way(&self) -> usize {
        let pending = self.pending.iter().filter(|pending| !matches!(pending, Pending::None));
        pending.count() + self.ends.len()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way() == 0
    }

    /// What the requests under way move, by IO slot.
    pub(super) fn moves(&self) -> [Option<Move>; MAX_SLOTS] {
        self.pending.map(|pending| match pending {
            Pending::Moving { part, .. } => Some(part),
            Pending::None | Pending::Fence { .. } => None,
        })
    }

    /// Takes a request. A fence ends after all that were taken before it.
    pub(super) fn accept(&mut self, request: &Request, carry: &mut dyn Carry) {
        let (io_slot, number) = (request.slot, self.number);
        if !matches!(self.pending[io_slot as usize], Pending::None) {
            // Whoever wrote this over a request that is being served gets that one's end.
            return;
        }
        self.number += 1;
        if request.op == op::FENCE {
            self.pending[io_slot as usize] = Pending::Fence { number };
            return;
        }
        match self.table.resolve(request) {
            Err(errno) => self.end(io_slot, failure(errno)),
            Ok(_) if self.is_broken => self.end(io_slot, failure(Errno::IO)),
            Ok(part) if part.is_write() && !carry.fetch(part.words()) => {
                self.end(io_slot, failure(Errno::IO));
            }
            Ok(part) => {
                self.pending[io_slot as usize] =
                    Pending::Moving { part, moved: 0, tries: 0, number };
                self.go_on(io_slot, carry);
            }
        }
    }

    /// Takes in what has ended by now, and starts what was accepted; the requests that have ended.
    pub(super) fn poll(&mut self, carry: &mut dyn Carry) -> Ends {
        let mut submitted = unless_passing(self.engine.submit());
        while let Some(ended) = self.engine.next() {
            self.take_in(ended, carry);
        }
        submitted = submitted.and_then(|()| unless_passing(self.engine.submit()));
        if let Err(error) = submitted {
            self.give_up(&error);
        }
        self.end_fences();
        std::mem::take(&mut self.ends)
    }

    /// Has the next poll hand back once more what nobody could take yet.
    pub(super) fn postpone(&mut self, (io_slot, completion): End) {
        self.end(io_slot, completion);
    }

    /// Waits until a transfer ends, or for as long as the timeout.
    pub(super) fn wait(&mut self, timeout: Duration) {
        if self.engine.in_flight() == 0 {
            // For something else.
            return std::thread::sleep(timeout);
        }
        if let Err(error) = unless_passing(self.engine.wait(Some(timeout))) {
            self.give_up(&error);
        }
    }

    /// Ends every transfer as an error: the engine takes none any more.
    fn give_up(&mut self, error: &io::Error) {
        tracing::error!(%error, "I/O is not possible any more");
        self.is_broken = true;
        for io_slot in 0..MAX_SLOTS {
            if let Pending::Moving { .. } = self.pending[io_slot] {
                self.pending[io_slot] = Pending::None;
                self.end(io_slot as u32, failure(Errno::IO));
            }
        }
    }

    /// Forgets every request, once its transfer has ended, early if possible: the queue has others
    /// from now on, or these once more, and no byte may land late.
    pub(super) fn forget(&mut self) {
        for io_slot in 0..MAX_SLOTS {
            if let Pending::Moving { part, moved, .. } = self.pending[io_slot] {
                if part.offset.is_none() && moved > 0 {
                    tracing::warn!(
                        io_slot,
                        moved,
                        "a request of a stream begins anew, in the middle"
                    );
                }
                self.engine.cancel(io_slot as u32);
            }
        }
        self.pending = [Pending::None; MAX_SLOTS];
        while self.engine.in_flight() > 0 && !self.is_broken {
            if self.engine.next().is_none()
                && let Err(error) = unless_passing(self.engine.wait(None))
            {
                self.give_up(&error);
            }
        }
        self.ends.clear();
    }

    fn take_in(&mut self, Ended { token: io_slot, result }: Ended, carry: &mut dyn Carry) {
        let Pending::Moving { part, moved, tries, .. } = &mut self.pending[io_slot as usize] else {
            return;
        };
        match result {
            1.. => {
                *moved = moved.saturating_add(result as u32).min(part.bytes);
                *tries = 0;
            }
            // The file ends here, and all that it has was moved.
            0 => part.bytes = *moved,
            _ if is_passing(-result) && *tries < MAX_TRIES => *tries += 1,
            _ => {
                self.pending[io_slot as usize] = Pending::None;
                return self.end(io_slot, failure(Errno::from_raw_os_error(-result)));
            }
        }
        self.go_on(io_slot, carry);
    }

    /// Starts what is missing of a request, or ends it.
    fn go_on(&mut self, io_slot: u32, carry: &mut dyn Carry) {
        let Pending::Moving { part, moved, .. } = self.pending[io_slot as usize] else { return };
        if moved < part.bytes {
            let transfer = Transfer {
                op: part.op,
                file: self.files[part.file].expect("resolved as a file"),
                offset: part.offset.map(|offset| offset + u64::from(moved)),
                at: part.at + moved as usize,
                bytes: (part.bytes - moved) as usize,
            };
            return self.engine.start(io_slot, transfer);
        }
        self.pending[io_slot as usize] = Pending::None;
        let mut is_delivered = true;
        if part.op == Op::Read {
            let end = part.at + moved as usize;
            self.landing.zero(end..end.next_multiple_of(4));
            is_delivered = carry.deliver(part.words_of(moved));
        }
        self.end(io_slot, ending(moved, is_delivered));
    }

    /// Ends the fences that no transfer from before them is under way for.
    fn end_fences(&mut self) {
        let moving = self.pending.iter().filter_map(|pending| match pending {
            Pending::Moving { number, .. } => Some(*number),
            Pending::None | Pending::Fence { .. } => None,
        });
        let oldest = moving.min().unwrap_or(u64::MAX);
        for io_slot in 0..MAX_SLOTS {
            if let Pending::Fence { number } = self.pending[io_slot]
                && number < oldest
            {
                self.pending[io_slot] = Pending::None;
                self.end(io_slot as u32, Completion::Ok { bytes: 0 });
            }
        }
    }

    fn end(&mut self, io_slot: u32, completion: Completion) {
        // Each IO slot has one request at a time.
        let _ = self.ends.push((io_slot, completion));
    }
}

/// The end of a request whose bytes were moved, if they could be carried on too.
pub(super) fn ending(bytes: u32, is_carried: bool) -> Completion {
    if is_carried { Completion::Ok { bytes } } else { failure(Errno::IO) }
}

/// Says why a request has failed: the slot that waits, if one does, knows only that it has.
pub(crate) fn log_failure(
    queue: &IoQueue<'_, AtomicU32>,
    io_slot: u32,
    completion: Completion,
    waits: bool,
) {
    let Completion::Error { errno } = completion else { return };
    let words = queue.words().get(io_slot as usize * SLOT_WORDS..).unwrap_or(&[]);
    let asked = |word: usize| words.get(word).map_or(0, |word| word.load(Ordering::Relaxed));
    let error = io::Error::from_raw_os_error(errno as i32);
    tracing::warn!(
        io_slot,
        op = asked(word::OP),
        source = asked(word::SOURCE),
        destination = asked(word::DESTINATION),
        offset = u64::from(asked(word::OFFSET_HIGH)) << 32 | u64::from(asked(word::OFFSET_LOW)),
        slot = asked(word::TAG),
        errno,
        waits,
        "I/O failed that a kernel has asked for: {error}"
    );
}

pub(super) fn failure(errno: Errno) -> Completion {
    Completion::Error { errno: errno.raw_os_error() as u32 }
}
