//! Numbers, layouts, bytes: all that needs no view.

use slipring_core::layout::{Buffer, Geometry};
use slipring_core::packed::Payload;
use slipring_core::partition::Partitions;
use slipring_core::slot::{self, Priority, Slot, State};
use slipring_core::tenant::TenantTable;
use slipring_core::{opcode, words};

use crate::{Inputs, keep, keep_result};

#[inline(never)]
pub fn calls(bytes: &mut [u8], inputs: &Inputs<'_>) {
    opcodes(inputs.n[0]);
    slots(inputs);
    packed(inputs);
    partitions(inputs);
    tenants(inputs);
    keep_result(words::from_bytes(Buffer::Ring, bytes));
    keep_result(words::from_bytes_mut(Buffer::IoQueue, bytes));
    let [a, b, c, d] = inputs.n;
    keep_result(Geometry::new(a, b, c, d));
    keep_result(Geometry::of_slots(a, b));
    if let Ok(geometry) = Geometry::new(a, b, c, d) {
        geometries(geometry, inputs.len);
    }
}

fn geometries(geometry: Geometry, len: usize) {
    keep_result(geometry.check_encodable());
    keep((geometry.slots(), geometry.observables()));
    keep((geometry.debug_records(), geometry.io_slots()));
    keep((geometry.control_words(), geometry.ring_words()));
    keep((geometry.debug_log_words(), geometry.io_queue_words()));
    for buffer in Buffer::ALL {
        keep(buffer.name());
        keep((geometry.words(buffer), geometry.bytes(buffer)));
        keep_result(geometry.check_words(buffer, len));
    }
}

fn opcodes(opcode: u32) {
    keep((opcode::is_system(opcode), opcode::is_builtin(opcode)));
    keep((opcode::is_user(opcode), opcode::is_publishable(opcode)));
    keep(opcode::is_packable(opcode));
}

fn slots(inputs: &Inputs<'_>) {
    let slot = Slot::parse(&inputs.slot_words);
    keep((slot.emit(), slot.to_bytes(), slot.state()));
    let state = State::of(inputs.n[0]);
    keep((state.is_publishable(), state.is_finished(), state.is_in_flight()));
    let [code, io_slot, ..] = inputs.bytes;
    keep((slot::fault_status(code), slot::wait_io_status(io_slot), slot::fault::meaning(code)));
    keep((inputs.level.level(), Priority::from_level(inputs.n[0])));
}

fn packed(inputs: &Inputs<'_>) {
    keep_result(Payload::pack(inputs.ops));
    let payload = Payload::from_words(Slot::parse(&inputs.slot_words).args);
    keep_result(payload.parse());
    keep((payload.words(), payload.job()));
    keep(Payload::from_args(inputs.args));
}

fn partitions(inputs: &Inputs<'_>) {
    let [a, b, c, d] = inputs.n;
    keep_result(Partitions::from_sizes([a, b, c, d, a], b));
    keep_result(Partitions::parse([a, b, c, d, a, b], c));
    let parsed = Partitions::parse([a, b, c, d, a, b], c);
    for partitions in [Partitions::single(a), Partitions::even(b)].into_iter().chain(parsed) {
        keep((partitions.words(), partitions.slots(), partitions.sizes()));
        keep((partitions.range(inputs.level), partitions.level_of(d)));
        keep(Priority::ALL.map(|level| partitions.range(level)));
    }
}

fn tenants(inputs: &Inputs<'_>) {
    let [count, tenant, opcode, _] = inputs.n;
    let mut table = TenantTable::open(count);
    keep_result(table.set(tenant, inputs.tenant));
    keep_result(table.get(tenant));
    keep_result(table.check(tenant, opcode));
    keep(inputs.tenant.is_unlimited());
}
