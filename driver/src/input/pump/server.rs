//! Serves requests: which are under way, what each result makes of them, and in what order fences
//! end.

use super::table::{Entry, IoTable, Move};
use crate::input::engine::{Ended, Engine, FileRef, Op, Transfer, is_passing, unless_passing};
use rustix::io::Errno;
use slipring_core::io_queue::{
    Completion, IoQueue, MAX_SLOTS, NO_SLOT, Request, SLOT_WORDS, op, status, word,
};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often a transfer is tried again at one byte, when the system says that it may succeed later.
const MAX_TRIES: u32 = 1000;

/// Requests that have ended, by their IO slots.
pub(super) type Ends = heapless::Vec<(u32, Completion), MAX_SLOTS>;

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
    /// Until the transfer of one that is gone has ended.
    Waits {
        request: Request,
        number: u64,
    },
    Moving {
        part: Move,
        moved: u32,
        tries: u32,
        number: u64,
    },
    Fence {
        number: u64,
    },
}

pub(super) struct Server {
    engine: Box<dyn Engine>,
    table: Arc<IoTable>,
    /// The engine's names of the table's files.
    files: Vec<Option<FileRef>>,
    pending: [Pending; MAX_SLOTS],
    /// Transfers whose requests are not there any more.
    orphans: u64,
    /// Requests so far: which came before which.
    number: u64,
    ends: Ends,
}

impl Server {
    pub(super) fn new(mut engine: Box<dyn Engine>, table: Arc<IoTable>) -> Self {
        let files = table.entries().iter().map(|entry| match entry {
            Entry::File { file, .. } => Some(engine.add_file(file.as_raw_fd())),
            Entry::Region { .. } => None,
        });
        let files = files.collect();
        let pending = [Pending::None; MAX_SLOTS];
        Self { engine, table, files, pending, orphans: 0, number: 0, ends: Ends::new() }
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

    /// Takes a request. A fence ends after all that were taken before it.
    pub(super) fn accept(&mut self, request: &Request, carry: &mut dyn Carry) {
        self.number += 1;
        self.begin(request, self.number, carry);
    }

    fn begin(&mut self, request: &Request, number: u64, carry: &mut dyn Carry) {
        let io_slot = request.slot;
        if request.op == op::FENCE {
            self.pending[io_slot as usize] = Pending::Fence { number };
            return;
        }
        if self.orphans & 1 << io_slot != 0 {
            self.pending[io_slot as usize] = Pending::Waits { request: *request, number };
            return;
        }
        match self.table.resolve(request) {
            Err(errno) => self.end(io_slot, failure(errno)),
            Ok(part) if part.op == Op::Write && !carry.fetch(part.words()) => {
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
        self.end_fences();
        submitted = submitted.and_then(|()| unless_passing(self.engine.submit()));
        if let Err(error) = submitted {
            self.give_up(&error);
        }
        std::mem::take(&mut self.ends)
    }

    /// Waits until something ends, if a transfer is under way.
    pub(super) fn wait(&mut self, timeout: Duration) {
        if let Err(error) = unless_passing(self.engine.wait(Some(timeout))) {
            self.give_up(&error);
        }
    }

    /// Ends every transfer as an error: the engine takes none any more.
    fn give_up(&mut self, error: &io::Error) {
        tracing::error!(%error, "I/O is not possible any more");
        for io_slot in 0..MAX_SLOTS as u32 {
            if !matches!(self.pending[io_slot as usize], Pending::None | Pending::Fence { .. }) {
                self.orphan(io_slot);
                self.end(io_slot, failure(Errno::IO));
            }
        }
    }

    /// Forgets every request: the queue has others from now on, or these once more.
    pub(super) fn forget(&mut self) {
        (0..MAX_SLOTS as u32).for_each(|io_slot| self.orphan(io_slot));
        self.ends.clear();
    }

    /// Forgets a request, whose transfer may go on.
    fn orphan(&mut self, io_slot: u32) {
        let pending = &mut self.pending[io_slot as usize];
        if let Pending::Moving { .. } = std::mem::replace(pending, Pending::None) {
            self.orphans |= 1 << io_slot;
            self.engine.cancel(io_slot);
        }
    }

    fn take_in(&mut self, Ended { token: io_slot, result }: Ended, carry: &mut dyn Carry) {
        if self.orphans & 1 << io_slot != 0 {
            self.orphans &= !(1 << io_slot);
            if let Pending::Waits { request, number } = self.pending[io_slot as usize] {
                self.begin(&request, number, carry);
            }
            return;
        }
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
                offset: Some(part.offset + u64::from(moved)),
                at: part.at + moved as usize,
                bytes: (part.bytes - moved) as usize,
            };
            return self.engine.start(io_slot, transfer);
        }
        self.pending[io_slot as usize] = Pending::None;
        let is_delivered =
            part.op == Op::Write || carry.deliver(Move { bytes: moved, ..part }.words());
        let completion =
            if is_delivered { Completion::Ok { bytes: moved } } else { failure(Errno::IO) };
        self.end(io_slot, completion);
    }

    /// Ends the fences that no transfer from before them is under way for.
    fn end_fences(&mut self) {
        let moving = self.pending.iter().filter_map(|pending| match pending {
            Pending::Moving { number, .. } | Pending::Waits { number, .. } => Some(*number),
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

fn failure(errno: Errno) -> Completion {
    Completion::Error { errno: errno.raw_os_error() as u32 }
}

/// Requests found at one time: fences last, since they end after all others.
pub(crate) fn in_order(requests: &[Request]) -> impl Iterator<Item = &Request> {
    let is_fence = |request: &&Request| request.op == op::FENCE;
    let others = requests.iter().filter(move |request| !is_fence(request));
    others.chain(requests.iter().filter(is_fence))
}

/// Ends a request while a kernel stays on, and says whether it is a prefetch that has failed. The
/// ring slot may not wait yet: a lane publishes the request before it leaves the slot.
pub(crate) fn end_in_stay(
    queue: &IoQueue<'_, AtomicU32>,
    io_slot: u32,
    completion: Completion,
) -> bool {
    let is_prefetch = queue.tag(io_slot) == Some(NO_SLOT);
    // What was claimed before the row went back to a checkpoint is not there any more.
    if queue.complete(&[(io_slot, completion)]).is_err() || !is_prefetch {
        return false;
    }
    let first = io_slot as usize * SLOT_WORDS;
    // Release pairs with the compare-exchange of the lane that reserves the IO slot next.
    queue.words()[first + word::STATUS].store(status::EMPTY, Ordering::Release);
    matches!(completion, Completion::Error { .. })
}
