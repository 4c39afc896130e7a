//! The calls whose cost `cargo xtask size` prints, each a function of one [`Input`], so that
//! nothing about it is known when the call is compiled.

#![no_std]

#[path = "../../../../core/src/link/crc.rs"]
mod crc;
mod section;

pub use section::masked_ticks;

use core::hint::black_box;
use core::sync::atomic::{AtomicU8, AtomicU32};

use slipring_core::interrupt::{Queue, SharedQueue};
use slipring_core::layout::Geometry;
use slipring_core::link::Sender;
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
    /// As many arguments as a job has at most.
    pub all_args: &'a [u32],
    /// A window.
    pub items: &'a [WorkItem],
    /// A batch.
    pub batch: &'a [(u32, &'a [u32])],
    /// Operations of a packed slot.
    pub ops: &'a [Op<'a>],
    /// A publisher of a ring as long as the shared words.
    pub publisher: Publisher<&'a mut [Entry]>,
    /// An empty queue of one interrupt.
    pub queue: &'a Queue<8>,
    /// An empty queue of any interrupts.
    pub shared_queue: &'a SharedQueue<8>,
    /// A connected link with one job to send.
    pub sender: &'a mut Sender<8>,
    /// What has come over its wire: an acknowledgment and a result of twelve words.
    pub incoming: &'a [u8],
    /// Where what goes over the wire is put.
    pub outgoing: &'a mut [u8],
    /// Of a link that is yet to be made.
    pub geometry: Geometry,
}

impl Input<'_> {
    /// The body of a publish.
    fn body(&self) -> &[u32] {
        self.exclusive.get(..16).unwrap_or(&[])
    }

    /// Kind, sequence and body.
    fn frame(&self) -> &[u8] {
        self.incoming.get(..66).unwrap_or(&[])
    }
}

/// A call to measure; `false` when it was refused.
pub type Call = extern "C" fn(&mut Input<'_>) -> bool;

/// The calls under their symbols' names.
pub const CALLS: [(&str, Call); 15] = [
    ("publish_exclusive", publish_exclusive),
    ("publish_shared", publish_shared),
    ("publish_window_16", publish_window_16),
    ("publish_batch_4", publish_batch_4),
    ("publish_packed_4", publish_packed_4),
    ("publisher_publish", publisher_publish),
    ("interrupt_publish", interrupt_publish),
    ("interrupt_publish_shared", interrupt_publish_shared),
    ("crc_link", crc_link),
    ("crc_table", crc_table),
    ("crc_bitwise", crc_bitwise),
    ("link_publish", link_publish),
    ("link_transmit", link_transmit),
    ("link_receive", link_receive),
    ("link_sender", link_sender),
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

/// A job of twelve arguments from one interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn interrupt_publish(input: &mut Input<'_>) -> bool {
    input.queue.publish(&Job::new(opcode::ATOMIC_ADD, input.all_args)).is_ok()
}

/// A job of twelve arguments from any interrupt.
#[unsafe(no_mangle)]
pub extern "C" fn interrupt_publish_shared(input: &mut Input<'_>) -> bool {
    input.shared_queue.publish(&Job::new(opcode::ATOMIC_ADD, input.all_args)).is_ok()
}

/// A publish's CRC, as the link takes it: a table of 64 bytes.
#[unsafe(no_mangle)]
pub extern "C" fn crc_link(input: &mut Input<'_>) -> bool {
    input.slot = crc::crc32c(2, 3, input.body());
    true
}

/// The same by crate `crc`, with a table of 1 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn crc_table(input: &mut Input<'_>) -> bool {
    static CRC: ::crc::Crc<u32, ::crc::Table<1>> =
        ::crc::Crc::<u32, ::crc::Table<1>>::new(&::crc::CRC_32_ISCSI);
    input.slot = CRC.checksum(input.frame());
    true
}

/// The same by crate `crc`, without a table.
#[unsafe(no_mangle)]
pub extern "C" fn crc_bitwise(input: &mut Input<'_>) -> bool {
    static CRC: ::crc::Crc<u32, ::crc::NoTable> =
        ::crc::Crc::<u32, ::crc::NoTable>::new(&::crc::CRC_32_ISCSI);
    input.slot = CRC.checksum(input.frame());
    true
}

/// A job of four arguments to the window of a link.
#[unsafe(no_mangle)]
pub extern "C" fn link_publish(input: &mut Input<'_>) -> bool {
    input.sender.publish(&Job::new(opcode::ATOMIC_ADD, input.args)).is_ok()
}

/// The next frame of a link: a publish, from the window to the last byte for the wire.
#[unsafe(no_mangle)]
pub extern "C" fn link_transmit(input: &mut Input<'_>) -> bool {
    input.sender.transmit(1, input.outgoing) == input.outgoing.len()
}

/// An acknowledgment and a result of twelve words, from the bytes of the wire to the event.
#[unsafe(no_mangle)]
pub extern "C" fn link_receive(input: &mut Input<'_>) -> bool {
    // It stops at the result, to have the event taken.
    let (mut rest, mut events) = (input.incoming, 0);
    while !rest.is_empty() && events < 2 {
        let taken = input.sender.receive(rest, 1);
        events += u32::from(input.sender.next_event().is_some());
        rest = rest.get(taken..).unwrap_or(&[]);
    }
    rest.is_empty() && events == 1
}

/// All that firmware calls of a link: its first turn, which sends a hello. The static stands for
/// the one that firmware has the sender in.
#[unsafe(no_mangle)]
pub extern "C" fn link_sender(input: &mut Input<'_>) -> bool {
    static SENDER: [AtomicU8; size_of::<Sender<8>>()] =
        [const { AtomicU8::new(0) }; size_of::<Sender<8>>()];
    black_box(&SENDER);
    *input.sender = Sender::new(input.slot, input.geometry);
    let taken = input.sender.receive(input.incoming, 1);
    while input.sender.next_event().is_some() {}
    let refused = input.sender.publish(&Job::new(opcode::ATOMIC_ADD, input.args)).is_err();
    let sent = input.sender.transmit(1, input.outgoing);
    taken == input.incoming.len() && refused && sent > 0 && input.sender.wait_ms(1) > 0
}
