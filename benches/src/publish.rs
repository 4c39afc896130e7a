//! Core's host calls: publishing, encoding, IO completion, readback.
//!
//! Ours and the peer get the same inputs through the same `black_box`, and the same memory:
//! 64-byte aligned, of the same size, prepared alike. Publishing reads its jobs from a small
//! table: a `black_box` around each argument would measure stores that wait to be loaded.

#[cfg(feature = "peers")]
mod vyre;
#[cfg(not(feature = "peers"))]
mod vyre {
    pub const NAME: &str = "";

    pub fn peer(_: super::Call) -> Option<Box<dyn crate::harness::Side>> {
        None
    }
}

use crate::harness::{Case, Side, side};
use slipring_core::control::Control;
use slipring_core::debug_log::{self, DebugLog};
use slipring_core::io_queue::{self, Completion, IoQueue};
use slipring_core::layout::Buffer;
use slipring_core::opcode;
use slipring_core::packed::Payload;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::ring::{Job, Ring, WorkItem, count_done};
use slipring_core::row::{Storage, control_words, debug_log_words};
use slipring_core::slot::{self, status};
use slipring_core::tenant::TenantTable;
use slipring_core::words::{WordMut, from_bytes_mut};
use std::cell::Cell;
use std::hint::black_box;

const SLOTS: u32 = 1024;
const TENANTS: u32 = 29;
const OBSERVABLES: u32 = 64;
const RECORDS: usize = 64;
const IO_SLOTS: u32 = 64;
const ARGS: [u32; 4] = [7, 160, 8, 9];
const PACKED: [(u8, &[u32]); 3] = [(1, &[7, 160]), (1, &[8, 161]), (2, &[1, 162])];
const BATCH: u32 = 63;
/// Different jobs; a sample publishes them over and over.
const JOBS: usize = 16;
/// Calls of the short functions in one sample.
const REPEATS: u32 = 64;

/// What is called; the peer has a side for each but the last.
#[derive(Clone, Copy)]
pub enum Call {
    /// The compiler sees that there are four arguments.
    Publish,
    /// It does not.
    PublishSlice,
    WorkItems,
    Batch,
    Packed,
    EncodeControl,
    EncodeRing,
    Io,
    DebugLog,
    CountDone,
    Publisher,
}

static ROW: Storage<
    { control_words(OBSERVABLES as usize) },
    { SLOTS as usize },
    { debug_log_words(RECORDS) },
    { IO_SLOTS as usize },
> = Storage::new();

/// The cases, each with the peer's side where it is compiled in.
pub fn cases() -> Vec<Case> {
    let owned = exclusive_ring;
    let shared = ROW.row().ring;
    let case = |name, unit, units, calls, call, ours| {
        let peer = vyre::peer(call).map(|side| (vyre::NAME, side));
        Case { name, unit, units, calls, ours, peer }
    };
    let slots = |name, call, ours| case(name, "ns/slot", SLOTS, SLOTS, call, ours);
    let items = |name, ours| case(name, "ns/item", SLOTS, 1, Call::WorkItems, ours);
    let batch = |name, ours| case(name, "ns/slot", SLOTS, batches(), Call::Batch, ours);
    let short = |name, call, ours| case(name, "ns/call", REPEATS, REPEATS, call, ours);
    vec![
        slots("publish 4 args, exclusive words", Call::Publish, publish(owned(), jobs())),
        slots("publish 4 args, shared words", Call::Publish, publish(shared, jobs())),
        slots("publish 4 args, bytes", Call::Publish, publish_bytes()),
        slots("publish slice of 4, exclusive", Call::PublishSlice, publish(owned(), slice_jobs())),
        slots("publish slice of 4, shared", Call::PublishSlice, publish(shared, slice_jobs())),
        items("1024 work items, exclusive words", work_items(owned())),
        items("1024 work items, shared words", work_items(shared)),
        batch("63 items and a fence, exclusive", publish_batch(owned())),
        batch("63 items and a fence, shared", publish_batch(shared)),
        slots("packed slot of 3, exclusive words", Call::Packed, publish_packed(owned())),
        slots("Publisher::publish 4 args", Call::Publisher, publisher(owned())),
        short("encode control, 29 tenants", Call::EncodeControl, encode_control()),
        short("encode empty ring, 1024 slots", Call::EncodeRing, encode_ring()),
        short("claim and complete 64 IO slots", Call::Io, io()),
        short("read 64 debug records", Call::DebugLog, read_debug_log()),
        short("count done, 1024 slots", Call::CountDone, count_done_slots()),
    ]
}

/// One 64-byte line of memory.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u32; slot::WORDS]);

/// Zeroed words on a 64-byte boundary, never freed.
fn words(len: usize) -> &'static mut [u32] {
    let lines = vec![Line([0; slot::WORDS]); len.div_ceil(slot::WORDS)];
    let all: &mut [u32] = bytemuck::cast_slice_mut(lines.leak());
    &mut all[..len]
}

fn ring_words() -> &'static mut [u32] {
    words(SLOTS as usize * slot::WORDS)
}

fn exclusive_ring() -> Ring<'static, Cell<u32>> {
    Ring::new(ring_words()).expect("whole slots")
}

/// Every slot as if its job had run.
fn finish<W: WordMut>(ring: &mut Ring<'static, W>) {
    for slot in ring.words().as_chunks::<{ slot::WORDS }>().0 {
        slot[slot::word::STATUS].store(status::DONE);
    }
}

fn finish_words(words: &mut [u32]) {
    for slot in words.as_chunks_mut::<{ slot::WORDS }>().0 {
        slot[slot::word::STATUS] = status::DONE;
    }
}

/// Opcode, tenant, arguments: what a sample publishes over and over.
type Jobs<A> = [(u32, u32, A); JOBS];

/// Calls `publish` for every slot of the ring, with the jobs in turn.
#[inline(always)]
fn each_slot<A>(jobs: &Jobs<A>, mut publish: impl FnMut(u32, u32, u32, &A)) {
    for first in (0..SLOTS).step_by(JOBS) {
        for (slot, (opcode, tenant, args)) in (first..).zip(jobs) {
            publish(slot, *opcode, *tenant, args);
        }
    }
}

/// Jobs whose values the compiler does not see, only that each has four arguments.
fn jobs() -> Jobs<[u32; 4]> {
    std::array::from_fn(|job| (opcode::STORE_U32 + job as u32 % 2, job as u32 % 4, ARGS))
}

/// Jobs whose argument count the compiler does not see either.
fn slice_jobs() -> Jobs<&'static [u32]> {
    jobs().map(|(opcode, tenant, _)| (opcode, tenant, ARGS.as_slice()))
}

fn batches() -> u32 {
    SLOTS / (BATCH + 1)
}

fn batch_items() -> Vec<(u32, &'static [u32])> {
    vec![(opcode::STORE_U32, &ARGS); BATCH as usize]
}

/// Sixty-four published reads in each queue.
fn request_all(words: &mut [u32]) {
    let read = [io_queue::op::READ, 3, 4, 0, 0, 4096, io_queue::status::PUBLISHED, 5];
    for slot in words.as_chunks_mut::<{ io_queue::SLOT_WORDS }>().0 {
        *slot = read;
    }
}

fn queue_words() -> Vec<&'static mut [u32]> {
    (0..REPEATS).map(|_| words(IO_SLOTS as usize * io_queue::SLOT_WORDS)).collect()
}

/// A log whose records are all written.
fn full_log() -> &'static mut [u32] {
    let log = words(debug_log_words(RECORDS));
    for (word, value) in log.iter_mut().zip((RECORDS * debug_log::RECORD_WORDS) as u32..) {
        *word = value;
    }
    log
}

fn publish<W: WordMut, A: AsRef<[u32]> + 'static>(
    ring: Ring<'static, W>,
    jobs: Jobs<A>,
) -> Box<dyn Side> {
    let finish = |(ring, _): &mut (_, _)| finish(ring);
    side((ring, jobs), finish, |(ring, jobs)| {
        let (ring, jobs) = (black_box(*ring), black_box(&*jobs));
        each_slot(jobs, |slot, opcode, tenant, args| {
            ring.publish(slot, &Job::new(opcode, args.as_ref()).tenant(tenant)).unwrap();
        });
    })
}

/// The view is made anew for each call, as the peer does.
fn publish_bytes() -> Box<dyn Side> {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(ring_words());
    let finish = |(bytes, _): &mut (&mut [u8], _)| finish_words(bytemuck::cast_slice_mut(bytes));
    side((bytes, jobs()), finish, |(bytes, jobs)| {
        let (bytes, jobs) = (black_box(&mut **bytes), black_box(&*jobs));
        each_slot(jobs, |slot, opcode, tenant, args| {
            let words = from_bytes_mut(Buffer::Ring, bytes).unwrap();
            let job = Job::new(opcode, args).tenant(tenant);
            Ring::new(words).unwrap().publish(slot, &job).unwrap();
        });
    })
}

fn work_items<W: WordMut>(ring: Ring<'static, W>) -> Box<dyn Side> {
    let opcode = opcode::ATOMIC_ADD;
    let item = |i| WorkItem { opcode, input: i, output: 150, param: i ^ 5 };
    let items: Vec<_> = (0..SLOTS).map(item).collect();
    side(ring, finish, move |ring| {
        let (start, tenant) = (black_box(0), black_box(0));
        black_box(*ring).publish_items(start, tenant, black_box(&items[..])).unwrap();
    })
}

fn publish_batch<W: WordMut>(ring: Ring<'static, W>) -> Box<dyn Side> {
    let items = batch_items();
    side(ring, finish, move |ring| {
        for batch in 0..batches() {
            let (start, tenant) = (black_box(batch * (BATCH + 1)), black_box(0));
            let items = black_box(&items[..]);
            black_box(*ring).publish_batch(start, tenant, items, black_box(batch)).unwrap();
        }
    })
}

fn publish_packed<W: WordMut>(ring: Ring<'static, W>) -> Box<dyn Side> {
    side(ring, finish, |ring| {
        for slot in 0..SLOTS {
            let payload = Payload::pack(black_box(&PACKED[..])).unwrap();
            let job = payload.job().tenant(black_box(0));
            black_box(*ring).publish(black_box(slot), &job).unwrap();
        }
    })
}

fn publisher<W: WordMut>(ring: Ring<'static, W>) -> Box<dyn Side> {
    let ledger = vec![Entry::FREE; SLOTS as usize];
    let (partitions, tenants) = (Partitions::single(SLOTS), TenantTable::open(TENANTS));
    let publisher = Publisher::new(ring, ledger, partitions, tenants);
    let state = (ring, publisher.expect("one entry a slot"));
    let finish = |(ring, _): &mut (_, _)| finish(ring);
    side(state, finish, |(ring, publisher)| {
        for _ in 0..SLOTS {
            let job = Job::new(black_box(opcode::STORE_U32), black_box(&ARGS));
            let (ring, job) = (black_box(*ring), job.tenant(black_box(0)));
            black_box(black_box(&mut *publisher).publish(ring, &job).unwrap());
        }
    })
}

fn encode_control() -> Box<dyn Side> {
    let control = Control::new(words(control_words(OBSERVABLES as usize))).expect("in range");
    side(
        control,
        |_| {},
        |control| {
            for _ in 0..REPEATS {
                black_box(*control).encode(black_box(false), black_box(TENANTS)).unwrap();
            }
        },
    )
}

fn encode_ring() -> Box<dyn Side> {
    side(exclusive_ring(), finish, |ring| {
        for _ in 0..REPEATS {
            black_box(*ring).reset().unwrap();
        }
    })
}

fn io() -> Box<dyn Side> {
    let done: Vec<_> = (0..IO_SLOTS).map(|slot| (slot, Completion::Ok { bytes: 4096 })).collect();
    side(
        queue_words(),
        |queues| queues.iter_mut().for_each(|words| request_all(words)),
        move |queues| {
            for words in queues {
                let queue = IoQueue::new(black_box(&mut **words)).unwrap();
                black_box(&queue.claim());
                queue.complete(black_box(&done)).unwrap();
            }
        },
    )
}

fn read_debug_log() -> Box<dyn Side> {
    side(
        full_log(),
        |_| {},
        |log| {
            for _ in 0..REPEATS {
                let log = DebugLog::new(black_box(&**log)).unwrap();
                black_box(&log.read::<RECORDS>(black_box(0)).unwrap());
            }
        },
    )
}

fn count_done_slots() -> Box<dyn Side> {
    side(
        ring_words(),
        |words| finish_words(words),
        |words| {
            for _ in 0..REPEATS {
                let slots = black_box(SLOTS as usize);
                black_box(count_done(black_box(&**words), slots).unwrap());
            }
        },
    )
}
