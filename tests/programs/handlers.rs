//! User handlers, each in WGSL and as its twin on the CPU.

use slipring_core::io_queue::op;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_core::words::WordMut;
use slipring_driver::kernel::KernelBuilder;
use slipring_driver::{Handler, Kernel};

/// Prints up to three records and adds to an observable; packable, and has a run counter.
pub const NOTE: u32 = 10;
/// Ends with whatever code its argument says; packable, without a run counter.
pub const ANSWER: u32 = 200;
/// Reads and writes the workspace, and sets an observable; not packable.
pub const MIX: u32 = 0x100;
/// [`ANSWER`] under an opcode that may not be packed.
pub const ANSWER_WIDE: u32 = 0x7FFF_FFFF;
/// Asks for I/O; goes on with a word of the arena, and asks once more if an odd number of bytes was
/// moved; not packable.
pub const FETCH: u32 = 0x101;
/// What each may run on.
pub const OPCODES: [u32; 5] = [NOTE, ANSWER, MIX, ANSWER_WIDE, FETCH];

/// NOTE's records for its first argument.
pub const fn notes(count: u32) -> u32 {
    count % 4
}

const SOURCE: &str = "
fn note(job: Job) -> u32 {
    for (var i = 0u; i < arg(job, 0u) % 4u; i++) {
        debug_print(job, arg(job, 1u) + i, arg(job, 2u), job.tenant);
    }
    if !observe_add(arg(job, 3u), arg(job, 2u)) { return fault(64u + arg(job, 1u) % 192u); }
    return HANDLER_OK;
}

fn answer(job: Job) -> u32 {
    return arg(job, 0u);
}

fn mix(job: Job) -> u32 {
    let value = workspace_load(arg(job, 2u)) ^ arg(job, 1u);
    if !workspace_store(arg(job, 3u), value) { return 255u; }
    if !observe(arg(job, 0u), value + job.slot) { return 1u; }
    return HANDLER_OK;
}

fn fetch(job: Job) -> u32 {
    if !is_resumed(job) {
        return request_io(
            job, arg(job, 0u), arg(job, 1u), arg(job, 2u), arg(job, 3u), arg(job, 4u), arg(job, 5u)
        );
    }
    let moved = io_bytes(job);
    if !arena_store(arg(job, 6u), moved ^ arena_load(arg(job, 7u))) { return 254u; }
    if (moved & 1u) == 1u {
        return request_io(job, IO_WRITE, moved, arg(job, 2u), arg(job, 4u), moved, arg(job, 5u));
    }
    if !observe(arg(job, 8u), moved) { return 1u; }
    return HANDLER_OK;
}
";

fn note<W: WordMut>(call: &Call<'_, W>) -> u32 {
    for i in 0..notes(call.arg(0)) {
        call.debug_print(call.arg(1).wrapping_add(i), call.arg(2), call.tenant());
    }
    if call.observe_add(call.arg(3), call.arg(2)) { HANDLER_OK } else { 64 + call.arg(1) % 192 }
}

fn answer<W: WordMut>(call: &Call<'_, W>) -> u32 {
    call.arg(0)
}

fn mix<W: WordMut>(call: &Call<'_, W>) -> u32 {
    let value = call.workspace_load(call.arg(2)) ^ call.arg(1);
    if !call.workspace_store(call.arg(3), value) {
        return 255;
    }
    if !call.observe(call.arg(0), value.wrapping_add(call.slot())) {
        return 1;
    }
    HANDLER_OK
}

fn fetch<W: WordMut>(call: &Call<'_, W>) -> u32 {
    let offset = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    if !call.is_resumed() {
        let offset = offset(call.arg(4), call.arg(3));
        return call.request_io(call.arg(0), call.arg(1), call.arg(2), offset, call.arg(5));
    }
    let moved = call.io_bytes();
    if !call.arena_store(call.arg(6), moved ^ call.arena_load(call.arg(7))) {
        return 254;
    }
    if moved & 1 == 1 {
        let offset = offset(moved, call.arg(4));
        return call.request_io(op::WRITE, moved, call.arg(2), offset, call.arg(5));
    }
    if !call.observe(call.arg(8), moved) {
        return 1;
    }
    HANDLER_OK
}

/// The handlers for a twin.
pub fn on_cpu<W: WordMut>(call: &Call<'_, W>) -> Option<u32> {
    match call.opcode() {
        NOTE => Some(note(call)),
        ANSWER | ANSWER_WIDE => Some(answer(call)),
        MIX => Some(mix(call)),
        FETCH => Some(fetch(call)),
        _ => None,
    }
}

fn all() -> [Handler; 5] {
    let wgsl = |opcode, function| Handler::wgsl(opcode, function, "handlers.wgsl", SOURCE);
    [
        wgsl(NOTE, "note").iterations(4).on_cpu(note),
        wgsl(ANSWER, "answer").on_cpu(answer),
        wgsl(MIX, "mix").on_cpu(mix),
        wgsl(ANSWER_WIDE, "answer").on_cpu(answer),
        wgsl(FETCH, "fetch").on_cpu(fetch),
    ]
}

/// The kernel that has them.
pub fn kernel() -> Kernel {
    let builder = all().into_iter().fold(Kernel::builder(), KernelBuilder::handler);
    builder.build().expect("the handlers compile")
}

/// The fused kernel of one of them.
pub fn fused(opcode: u32) -> Kernel {
    let handler = all().into_iter().find(|handler| handler.opcode() == opcode);
    Kernel::fused(handler.expect("an opcode of theirs")).expect("the handler compiles")
}
