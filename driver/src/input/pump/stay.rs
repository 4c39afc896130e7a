//! Serves a kernel that stays on: takes requests from its queue, and ends them there.

use super::requests::{published, set_status};
use super::server::{Carry, End, Server, log_failure};
use crate::backend::{MappedArena, StayMemory};
use slipring_core::io_queue::{Completion, IoQueue, status};
use slipring_core::ring::Ring;
use slipring_core::slot::State;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// What a turn has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// Whether there was anything to do.
    pub(crate) was_busy: bool,
    /// Requests that have failed and that no slot waits for.
    pub(crate) failures: u32,
}

/// Takes what is asked for, and ends what has ended.
pub(super) fn serve(server: &mut Server, memory: &mut StayMemory) -> Turn {
    let StayMemory { io_queue, ring, arena } = memory;
    let [io_queue, ring] = [io_queue, ring].map(|buffer| buffer.mapped().unwrap_or(&[]));
    let (Ok(queue), Ok(ring)) = (IoQueue::new(io_queue), Ring::new(ring)) else {
        return Turn::default();
    };
    let requests = published(&queue);
    for request in &requests {
        set_status(&queue, request.slot, status::CLAIMED);
        server.accept(request, arena);
    }
    let mut turn = Turn { was_busy: !requests.is_empty(), failures: 0 };
    for end in server.poll(arena) {
        if !turn.end(&queue, &ring, end) {
            server.postpone(end);
        }
    }
    if turn.was_busy {
        // What the kernel waits for leaves the CPU: a GPU's own memory is write-combined.
        fence(Ordering::SeqCst);
    }
    turn
}

impl Turn {
    /// Ends a request; not while its ring slot is CLAIMED: a lane publishes a request before it
    /// leaves the slot, which may or may not wait then.
    pub(super) fn end(
        &mut self,
        queue: &IoQueue<'_, AtomicU32>,
        ring: &Ring<'_, AtomicU32>,
        (io_slot, completion): End,
    ) -> bool {
        let waits = match queue.tag(io_slot).and_then(|tag| ring.state(tag)) {
            Some(State::Claimed) => return false,
            Some(State::WaitIo(waits_for)) => u32::from(waits_for) == io_slot,
            _ => false,
        };
        self.was_busy = true;
        // What was claimed before the row went back to a checkpoint is not there any more.
        if queue.complete(&[(io_slot, completion)]).is_err() {
            return true;
        }
        log_failure(queue, io_slot, completion, waits);
        if !waits {
            set_status(queue, io_slot, status::EMPTY);
            self.failures += u32::from(matches!(completion, Completion::Error { .. }));
        }
        true
    }
}

impl Carry for MappedArena {
    fn deliver(&mut self, words: Range<usize>) -> bool {
        MappedArena::deliver(self, words).is_ok()
    }

    fn fetch(&mut self, words: Range<usize>) -> bool {
        MappedArena::fetch(self, words).is_ok()
    }
}
