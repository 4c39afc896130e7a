// The drain: each lane looks once at each of its slots, and never waits for another lane.

// A lane for each entry of the run.
@compute @workgroup_size(LANES)
fn drain(@builtin(global_invocation_id) lane: vec3<u32>) {
    if lane.x < run.count {
        look(work_list[run.offset + lane.x]);
    }
}

// One lane for the whole run, in order: programs whose slots race get one defined result.
@compute @workgroup_size(1)
fn drain_serial() {
    for (var i = 0u; i < run.count; i++) {
        look(work_list[run.offset + i]);
    }
}

fn look(entry: u32) {
    let slot = entry & ENTRY_SLOT_MASK;
    if slot < arrayLength(&ring) {
        look_at(slot, entry >> ENTRY_LEVEL_SHIFT, atomicLoad(&ring[slot].status));
    }
}

fn look_at(slot: u32, level: u32, status: u32) {
    let kind = status & STATUS_MASK;
    // After the first segment, only slots that the one before has left CLAIMED.
    if kind == select(STATUS_PUBLISHED, STATUS_CLAIMED, run.segment > 0u) {
        start(slot, level, status);
    } else if kind == STATUS_WAIT_IO && run.segment == 0u {
        resume(slot, status);
    }
}

fn start(slot: u32, level: u32, status: u32) {
    let opcode = ring[slot].opcode;
    let tenant = ring[slot].tenant;
    var io_slot = NO_IO_SLOT;
    if run.segment == 0u {
        // Fences are closed by the pass after all levels.
        if opcode == OPCODE_BATCH_FENCE || is_held_back(tenant) || !claim(slot, status) {
            return;
        }
        if wants_io_slot(slot, tenant, opcode) {
            io_slot = reserve_io_slot();
            if io_slot == NO_IO_SLOT {
                // The queue is full: published again, for the next drain.
                atomicStore(&ring[slot].status, status);
                return;
            }
        }
        count_claim(tenant, level);
    }
    if tenant >= TENANTS {
        finish(slot, fault_status(FAULT_TENANT));
    } else {
        finish(slot, run_slot(slot, tenant, opcode, io_slot));
    }
}
