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
    held_io_slot = NO_IO_SLOT;
    var has_waited = false;
    if kind == STATUS_WAIT_IO && run.segment == 0u {
        has_waited = resume(slot, status);
        if !has_waited {
            return;
        }
    } else if kind != select(STATUS_PUBLISHED, STATUS_CLAIMED, run.segment > 0u) {
        // After the first segment, only slots that the one before has left CLAIMED.
        return;
    } else if run.segment == 0u && !start(slot, level, status) {
        return;
    }
    let tenant = ring[slot].tenant;
    var next = fault_status(FAULT_TENANT);
    if tenant < TENANTS {
        let opcode = ring[slot].opcode;
        next = run_slot(Job(slot, tenant, opcode, 0u, SLOT_ARGS, has_waited, moved_bytes()));
    }
    if next == STATUS_PUBLISHED {
        // It starts anew, and counts then.
        count_claim(tenant, level, ~0u);
    }
    free_io_slot();
    finish(slot, next);
}

// Takes a published slot; says whether it is to run.
fn start(slot: u32, level: u32, status: u32) -> bool {
    let opcode = ring[slot].opcode;
    let tenant = ring[slot].tenant;
    // Fences are closed by the pass after all levels.
    if opcode == OPCODE_BATCH_FENCE || is_held_back(tenant) || !claim(slot, status) {
        return false;
    }
    if !has_io_slot(slot, tenant, opcode) {
        // The queue is full: published again, for the next drain.
        atomicStore(&ring[slot].status, status);
        return false;
    }
    count_claim(tenant, level, 1u);
    return true;
}
