//! Which requests are there to be taken, and in what order.

use slipring_core::io_queue::{IoQueue, MAX_SLOTS, Request, SLOT_WORDS, op, word};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) type Requests = heapless::Vec<Request, MAX_SLOTS>;

/// The published requests, fences last: after everything that was asked for before them, but for
/// what is not whole yet.
pub(super) fn published(queue: &IoQueue<'_, AtomicU32>) -> Requests {
    let is_fence = |request: &Request| request.op == op::FENCE;
    let first = queue.poll();
    if !first.iter().any(is_fence) {
        return first;
    }
    // What comes before a fence may have been published while the first look was past its IO slot.
    let mut requests = queue.poll();
    requests.retain(|request| !is_fence(request));
    let fences = first.into_iter().filter(is_fence);
    // Each IO slot is there once at most.
    fences.for_each(|fence| _ = requests.push(fence));
    requests
}

/// Has an IO slot, which is the host's, be of another status.
pub(super) fn set_status(queue: &IoQueue<'_, AtomicU32>, io_slot: u32, status: u32) {
    let first = io_slot as usize * SLOT_WORDS;
    if let Some(word) = queue.words().get(first + word::STATUS) {
        // Release pairs with the acquire of the lane that takes the IO slot next.
        word.store(status, Ordering::Release);
    }
}

/// Requests that drains in flight may still be writing. Their status is no promise that the rest is
/// there: only the end of a drain is.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// IO slots that were published, and whose requests are whole once so many drains have ended.
    io_slots: u64,
    whole_at: u64,
    /// Those that were whole when the others were looked for.
    older: u64,
}

impl Seen {
    /// Takes the requests that are whole, when so many drains have `ended` and some are in flight.
    pub(super) fn take(
        &mut self,
        queue: &IoQueue<'_, AtomicU32>,
        ended: u64,
        in_flight: usize,
    ) -> Requests {
        let mut requests = published(queue);
        if in_flight > 0 && ended < self.whole_at {
            requests.clear();
            return requests;
        }
        let mask = |requests: &Requests| {
            requests.iter().fold(0, |mask, request| mask | 1u64 << request.slot)
        };
        let published = mask(&requests);
        if in_flight > 0 {
            // What was asked for before a fence is seen at the latest when the fence is whole, and
            // is whole itself one time later.
            requests.retain(|request| {
                let whole = if request.op == op::FENCE { self.older } else { self.io_slots };
                whole & 1 << request.slot != 0
            });
        }
        let left = published & !mask(&requests);
        self.older = self.io_slots & left;
        (self.io_slots, self.whole_at) = (left, ended.wrapping_add(in_flight as u64));
        requests
    }
}
