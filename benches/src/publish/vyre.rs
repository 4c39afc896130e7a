//! The same work done by vyre-runtime 0.6.1, over bytes.

use super::{
    BATCH, Call, IO_SLOTS, Jobs, OBSERVABLES, PACKED, REPEATS, SLOTS, TENANTS, batch_items,
    batches, each_slot, finish_words, full_log, jobs, queue_words, request_all, ring_words,
    slice_jobs,
};
use crate::harness::{Side, side};
use std::hint::black_box;
use vyre_runtime::megakernel::io::{claim_io_requests_into, try_complete_io_requests_batch};
use vyre_runtime::megakernel::protocol::opcode;
use vyre_runtime::megakernel::{Megakernel, MegakernelWorkItem};

pub const NAME: &str = "vyre-runtime 0.6.1";

pub fn peer(call: Call) -> Option<Box<dyn Side>> {
    Some(match call {
        Call::Publish => publish(jobs()),
        Call::PublishSlice => publish(slice_jobs()),
        Call::WorkItems => work_items(),
        Call::Batch => publish_batch(),
        Call::Packed => publish_packed(),
        Call::EncodeControl => encode_control(),
        Call::EncodeRing => encode_ring(),
        Call::Io => io(),
        Call::DebugLog => read_debug_log(),
        Call::CountDone => count_done_slots(),
        Call::Publisher => return None,
    })
}

fn ring() -> &'static mut [u8] {
    bytemuck::cast_slice_mut(ring_words())
}

fn finish(ring: &mut &'static mut [u8]) {
    finish_words(bytemuck::cast_slice_mut(ring));
}

fn publish<A: AsRef<[u32]> + 'static>(jobs: Jobs<A>) -> Box<dyn Side> {
    side(
        (ring(), jobs),
        |(ring, _)| finish(ring),
        |(ring, jobs)| {
            let (ring, jobs) = (black_box(&mut **ring), black_box(&*jobs));
            each_slot(jobs, |slot, opcode, tenant, args| {
                Megakernel::publish_slot(ring, slot, tenant, opcode, args.as_ref()).unwrap();
            });
        },
    )
}

fn work_items() -> Box<dyn Side> {
    let op_handle = opcode::ATOMIC_ADD;
    let item =
        |i| MegakernelWorkItem { op_handle, input_handle: i, output_handle: 150, param: i ^ 5 };
    let items: Vec<_> = (0..SLOTS).map(item).collect();
    side(ring(), finish, move |ring| {
        let (start, tenant) = (black_box(0), black_box(0));
        let items = black_box(&items[..]);
        Megakernel::publish_work_items(black_box(&mut **ring), start, tenant, items).unwrap();
    })
}

fn publish_batch() -> Box<dyn Side> {
    let items = batch_items();
    side(ring(), finish, move |ring| {
        for batch in 0..batches() {
            let (start, tenant) = (black_box(batch * (BATCH + 1)), black_box(0));
            let (items, tag) = (black_box(&items[..]), black_box(batch));
            Megakernel::batch_publish(black_box(&mut **ring), start, tenant, items, tag).unwrap();
        }
    })
}

fn publish_packed() -> Box<dyn Side> {
    side(ring(), finish, |ring| {
        for slot in 0..SLOTS {
            let (slot, tenant, ops) = (black_box(slot), black_box(0), black_box(&PACKED[..]));
            Megakernel::publish_packed_slot(black_box(&mut **ring), slot, tenant, ops).unwrap();
        }
    })
}

fn encode_control() -> Box<dyn Side> {
    side(
        Vec::new(),
        |_| {},
        |bytes| {
            for _ in 0..REPEATS {
                let (tenants, observables) = (black_box(TENANTS), black_box(OBSERVABLES));
                let (shutdown, bytes) = (black_box(false), black_box(&mut *bytes));
                Megakernel::try_encode_control_into(shutdown, tenants, observables, bytes).unwrap();
            }
        },
    )
}

fn encode_ring() -> Box<dyn Side> {
    side(
        Vec::new(),
        |_| {},
        |bytes| {
            for _ in 0..REPEATS {
                let bytes = black_box(&mut *bytes);
                Megakernel::try_encode_empty_ring_into(black_box(SLOTS), bytes).unwrap();
            }
        },
    )
}

fn io() -> Box<dyn Side> {
    let done: Vec<_> = (0..IO_SLOTS).map(|slot| (slot, true)).collect();
    let mut requests = Vec::new();
    side(
        queue_words(),
        |queues| queues.iter_mut().for_each(|words| request_all(words)),
        move |queues| {
            for words in queues {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(black_box(&mut **words));
                claim_io_requests_into(bytes, black_box(&mut requests)).unwrap();
                try_complete_io_requests_batch(bytes, black_box(&done)).unwrap();
            }
        },
    )
}

/// Into a vector that is used again.
fn read_debug_log() -> Box<dyn Side> {
    let mut records = Vec::new();
    side(
        full_log(),
        |_| {},
        move |log| {
            for _ in 0..REPEATS {
                let bytes = black_box(bytemuck::cast_slice(log));
                Megakernel::try_read_debug_log_into(bytes, black_box(&mut records)).unwrap();
            }
        },
    )
}

fn count_done_slots() -> Box<dyn Side> {
    side(ring(), finish, |ring| {
        for _ in 0..REPEATS {
            let slots = black_box(SLOTS as usize);
            black_box(Megakernel::try_count_done_ring_slots(black_box(&**ring), slots).unwrap());
        }
    })
}
