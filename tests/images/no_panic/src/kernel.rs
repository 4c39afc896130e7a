//! The kernel on the CPU, with a handler that uses all it is given.

use slipring_core::partition::Partitions;
use slipring_core::twin::{Call, Twin, no_handlers};
use slipring_core::words::WordMut;

use crate::{Inputs, keep, keep_result, rows};

#[inline(never)]
pub fn calls<W: WordMut>(words: [&[W]; 4], inputs: &Inputs<'_>) {
    let Some(row) = rows::row(words, inputs) else { return };
    Twin::new(row, words[0], no_handlers).fused(inputs.n[2]).look(inputs.n[1], inputs.level);
    let twin = Twin::new(row, words[0], |call: &Call<'_, W>| Some(handler(call)));
    let mut twin = twin.segments(inputs.n[3] % 4);
    keep_result(twin.drain(&Partitions::even(inputs.n[0])));
    twin.enter_segment(inputs.n[1]);
    twin.look(inputs.n[1], inputs.level);
    twin.fence(inputs.n[2], inputs.level);
}

fn handler<W: WordMut>(call: &Call<'_, W>) -> u32 {
    let (a, b) = (call.arg(0), call.arg(call.opcode()));
    keep(call.segment());
    keep((call.slot(), call.tenant(), call.observable_count(), call.workspace_len()));
    keep((call.observable(a), call.observe(a, b), call.observe_add(a, b)));
    keep((call.workspace_load(a), call.workspace_store(a, b)));
    keep((call.arena_len(), call.arena_load(a), call.arena_store(a, b)));
    call.debug_print(a, b, a);
    keep((call.is_resumed(), call.io_bytes()));
    if a == b {
        return call.request_io(a, b, a, u64::from(b), a);
    }
    call.fault(b)
}
