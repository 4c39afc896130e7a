//! The four buffers, each by itself.

use slipring_core::control::Control;
use slipring_core::debug_log::{DebugLog, Record};
use slipring_core::io_queue::IoQueue;
use slipring_core::partition::Partitions;
use slipring_core::ring::{Ring, count_done};
use slipring_core::tenant::TenantTable;
use slipring_core::words::{Word, WordMut};

use crate::{Inputs, keep, keep_result};

#[inline(never)]
pub fn read<W: Word>([control, ring, debug_log, io_queue]: [&[W]; 4], inputs: &Inputs<'_>) {
    let index = inputs.n[0];
    match Control::new(control) {
        Ok(control) => read_control(control, inputs),
        Err(error) => keep_result(Err::<(), _>(error)),
    }
    match Ring::new(ring) {
        Ok(ring) => {
            keep((ring.words().len(), ring.slots()));
            keep((ring.state(index), ring.slot(index)));
        }
        Err(error) => keep_result(Err::<(), _>(error)),
    }
    keep_result(count_done(ring, inputs.len));
    keep_result(count_done(&inputs.slot_words, inputs.len));
    match DebugLog::new(debug_log) {
        Ok(log) => {
            keep((log.words().len(), log.capacity()));
            keep_result(log.read::<0>(index));
            if let Ok(read) = log.read::<16>(index) {
                keep(read.records.first().map(Record::slot));
            }
        }
        Err(error) => keep_result(Err::<(), _>(error)),
    }
    match IoQueue::new(io_queue) {
        Ok(queue) => {
            keep((queue.words().len(), queue.slots()));
            keep((queue.status(index), queue.tag(index), queue.poll()));
        }
        Err(error) => keep_result(Err::<(), _>(error)),
    }
}

fn read_control<W: Word>(control: Control<'_, W>, inputs: &Inputs<'_>) {
    let index = inputs.n[0];
    keep((control.words().len(), control.observables()));
    keep_result(control.shutdown());
    keep_result(control.done_count());
    keep_result(control.faults());
    keep_result(control.epoch());
    keep_result(control.observable(index));
    keep_result(control.metrics());
    keep_result(control.tenant_claims(index));
    keep_result(control.level_claims(inputs.level));
    keep_result(control.partitions(index));
}

#[inline(never)]
pub fn write<W: WordMut>([control, ring, debug_log, io_queue]: [&[W]; 4], inputs: &Inputs<'_>) {
    let [a, b, _, d] = inputs.n;
    if let Ok(control) = Control::new(control) {
        keep_result(control.encode(inputs.flag, a));
        keep_result(control.set_shutdown(inputs.flag));
        keep_result(control.set_observable(a, b));
        keep_result(control.set_tenant(a, &inputs.tenant));
        keep_result(control.set_partitions(&Partitions::even(d)));
        keep_result(TenantTable::open(a).write_to(&control));
    }
    if let Ok(ring) = Ring::new(ring) {
        keep_result(ring.encode_items(a, inputs.items));
        keep_result(ring.reset());
    }
    if let Ok(log) = DebugLog::new(debug_log) {
        keep_result(log.reset());
    }
    if let Ok(queue) = IoQueue::new(io_queue) {
        keep(queue.claim());
        keep_result(queue.complete(inputs.completions));
        keep_result(queue.reset());
    }
}
