//! The calls whose cost `cargo xtask size` prints, each a function of one [`Input`], so that
//! nothing about it is known when the call is compiled.

#![no_std]

use core::sync::atomic::AtomicU32;

use slipring_core::opcode;
use slipring_core::packed::{Op, Payload};
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::ring::{Job, Ring, WorkItem};

/// What the calls work on: all of it unknown to the compiler, lengths too.
pub struct Input<'a> {
    /// Words that only the caller touches.
    pub exclusive: &'a mut [u32],
    /// Words that a kernel or an interrupt also touches.
    pub shared: &'a [AtomicU32],
    /// The slot to publish, or the first of several.
    pub slot: u32,
    /// Arguments of one job.
    pub args: &'a [u32],
    /// A window.
    pub items: &'a [WorkItem],
    /// A batch.
    pub batch: &'a [(u32, &'a [u32])],
    /// Operations of a packed slot.
    pub ops: &'a [Op<'a>],
    /// A publisher of a ring as long as the shared words.
    pub publisher: Publisher<&'a mut [Entry]>,
}

/// A call to measure; `false` when it was refused.
pub type Call = extern "C" fn(&mut Input<'_>) -> bool;

/// The calls under their symbols' names.
pub const CALLS: [(&str, Call); 6] = [
    ("publish_exclusive", publish_exclusive),
    ("publish_shared", publish_shared),
    ("publish_window_16", publish_window_16),
    ("publish_batch_4", publish_batch_4),
    ("publish_packed_4", publish_packed_4),
    ("publisher_publish", publisher_publish),
];

/// One slot of four arguments, in exclusive words.
#[unsafe(no_mangle)]
pub extern "C" fn publish_exclusive(input: &mut Input<'_>) -> bool {
    let job = Job::new(opcode::ATOMIC_ADD, input.args);
    Ring::new(&mut *input.exclusive).is_ok_and(|ring| ring.publish(input.slot, &job).is_ok())
}

/// One slot of four arguments, in shared words.
#[unsafe(no_mangle)]
pub extern "C" fn publish_shared(input: &mut Input<'_>) -> bool {
    let job = Job::new(opcode::ATOMIC_ADD, input.args);
    Ring::new(input.shared).is_ok_and(|ring| ring.publish(input.slot, &job).is_ok())
}

/// A window of sixteen work items, in shared words.
#[unsafe(no_mangle)]
pub extern "C" fn publish_window_16(input: &mut Input<'_>) -> bool {
    Ring::new(input.shared).is_ok_and(|ring| ring.publish_items(input.slot, 1, input.items).is_ok())
}

/// Four jobs and their fence, in shared words.
#[unsafe(no_mangle)]
pub extern "C" fn publish_batch_4(input: &mut Input<'_>) -> bool {
    Ring::new(input.shared)
        .is_ok_and(|ring| ring.publish_batch(input.slot, 1, input.batch, 7).is_ok())
}

/// Four operations packed into one slot, in shared words.
#[unsafe(no_mangle)]
pub extern "C" fn publish_packed_4(input: &mut Input<'_>) -> bool {
    let Ok(payload) = Payload::pack(input.ops) else {
        return false;
    };
    Ring::new(input.shared).is_ok_and(|ring| ring.publish(input.slot, &payload.job()).is_ok())
}

/// One slot of four arguments, placed by a publisher in shared words.
#[unsafe(no_mangle)]
pub extern "C" fn publisher_publish(input: &mut Input<'_>) -> bool {
    let job = Job::new(opcode::ATOMIC_ADD, input.args);
    Ring::new(input.shared).is_ok_and(|ring| input.publisher.publish(ring, &job).is_ok())
}
