//! Handlers that ask for I/O, and a row for them.

use slipring_core::io_queue::op;
use slipring_core::layout::Geometry;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::{ArenaOptions, Driver, DriverBuilder, Handler, Kernel};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU32;

/// Arguments of all that ask: op, source, destination, offset low and high, bytes, and an
/// observable of the job's own, where this one tells how many bytes were moved.
pub const ASK: u32 = 0x100;
/// Asks, and does not wait.
pub const LEAVE: u32 = 0x101;
/// Asks, asks for a FENCE too, and waits for that; then tells the arena's word of argument 7.
pub const FENCED: u32 = 0x102;
/// Asks, counts up to argument 7, and then waits.
pub const DAWDLE: u32 = 0x103;
/// Fills words of the arena: the first one, how many, and a seed.
pub const FILL: u32 = 0x104;

const SOURCE: &str = concat!(
    include_str!("ask_host.wgsl"),
    "
fn ask(job: Job) -> u32 {
    if !is_resumed(job) { return ask_host(job); }
    observe(arg(job, 6u), io_bytes(job));
    return HANDLER_OK;
}

fn leave(job: Job) -> u32 {
    ask_host(job);
    return HANDLER_OK;
}

fn fenced(job: Job) -> u32 {
    if !is_resumed(job) {
        ask_host(job);
        return request_io(job, IO_FENCE, 0u, 0u, 0u, 0u, 0u);
    }
    observe(arg(job, 6u), arena_load(arg(job, 7u)));
    return HANDLER_OK;
}

fn dawdle(job: Job) -> u32 {
    if is_resumed(job) {
        observe(arg(job, 6u), io_bytes(job));
        return HANDLER_OK;
    }
    let answer = ask_host(job);
    if answer == HANDLER_RETRIES { return answer; }
    for (var i = 0u; i < arg(job, 7u); i++) { observe(arg(job, 6u), i); }
    return answer;
}

fn fill(job: Job) -> u32 {
    for (var i = 0u; i < arg(job, 1u); i++) {
        arena_store(arg(job, 0u) + i, (arg(job, 2u) + i) * 2654435761u);
    }
    return HANDLER_OK;
}"
);

/// The most that [`DAWDLE`] counts and [`FILL`] fills.
pub const MOST: u32 = 4096;

fn ask_host(call: &Call<'_, AtomicU32>) -> u32 {
    let offset = u64::from(call.arg(4)) << 32 | u64::from(call.arg(3));
    call.request_io(call.arg(0), call.arg(1), call.arg(2), offset, call.arg(5))
}

fn ask(call: &Call<'_, AtomicU32>) -> u32 {
    if !call.is_resumed() {
        return ask_host(call);
    }
    call.observe(call.arg(6), call.io_bytes());
    HANDLER_OK
}

fn leave(call: &Call<'_, AtomicU32>) -> u32 {
    ask_host(call);
    HANDLER_OK
}

fn fenced(call: &Call<'_, AtomicU32>) -> u32 {
    if !call.is_resumed() {
        ask_host(call);
        return call.request_io(op::FENCE, 0, 0, 0, 0);
    }
    call.observe(call.arg(6), call.arena_load(call.arg(7)));
    HANDLER_OK
}

fn fill(call: &Call<'_, AtomicU32>) -> u32 {
    for i in 0..call.arg(1) {
        call.arena_store(call.arg(0) + i, filling(call.arg(2), i));
    }
    HANDLER_OK
}

/// What [`FILL`] puts into the word of this index.
pub fn filling(seed: u32, index: u32) -> u32 {
    seed.wrapping_add(index).wrapping_mul(2_654_435_761)
}

pub const SLOTS: u32 = 64;
pub const REGION_BYTES: usize = 4096;
pub const REGIONS: usize = 8;

/// A row of 64 slots and so many IO slots, with a small arena and an observable for each slot.
pub fn builder(io_slots: u32) -> DriverBuilder {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(|| {
        let wgsl = |opcode, function| Handler::wgsl(opcode, function, "io.wgsl", SOURCE);
        let handlers = [
            wgsl(ASK, "ask").on_cpu(ask),
            wgsl(LEAVE, "leave").on_cpu(leave),
            wgsl(FENCED, "fenced").on_cpu(fenced),
            wgsl(DAWDLE, "dawdle").iterations(MOST + 1).on_cpu(ask),
            wgsl(FILL, "fill").iterations(MOST + 1).on_cpu(fill),
        ];
        handlers.into_iter().fold(Kernel::builder(), |all, one| all.handler(one)).build().unwrap()
    });
    let arena = ArenaOptions { chunks: REGIONS as u32, chunk_bytes: REGION_BYTES as u32 };
    let geometry = Geometry::new(SLOTS, SLOTS, 4, io_slots).unwrap();
    Driver::builder(KERNEL.clone(), geometry).arena(arena)
}
