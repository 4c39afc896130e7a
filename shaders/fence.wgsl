// The fence pass: one workgroup closes batches in order, each after its window.

const NO_WINDOW: u32 = ~0u;

var<workgroup> window: u32;
var<workgroup> is_window_busy: atomic<u32>;

@compute @workgroup_size(LANES)
fn fence(@builtin(local_invocation_index) lane: u32) {
    for (var i = 0u; i < run.count; i++) {
        let entry = work_list[run.offset + i];
        let slot = entry & ENTRY_SLOT_MASK;
        var status = STATUS_EMPTY;
        if lane == 0u && slot < arrayLength(&ring) {
            status = atomicLoad(&ring[slot].status);
        }
        if lane == 0u {
            window = due_window(slot, status);
            atomicStore(&is_window_busy, 0u);
        }
        let slots = workgroupUniformLoad(&window);
        if slots != NO_WINDOW {
            if sees_busy_slot(slot, slots, lane, LANES) {
                atomicStore(&is_window_busy, 1u);
            }
            workgroupBarrier();
            if lane == 0u && atomicLoad(&is_window_busy) == 0u {
                close_fence(slot, entry >> ENTRY_LEVEL_SHIFT, status);
            }
        }
        // The next fence's window may hold this one: it must be seen finished.
        storageBarrier();
        workgroupBarrier();
    }
}

// How many slots before the fence must be finished, or NO_WINDOW if it is not to run.
fn due_window(slot: u32, status: u32) -> u32 {
    if (status & STATUS_MASK) != STATUS_PUBLISHED || ring[slot].opcode != OPCODE_BATCH_FENCE {
        return NO_WINDOW;
    }
    let tenant = ring[slot].tenant;
    if is_held_back(tenant) {
        return NO_WINDOW;
    }
    if tenant >= TENANTS {
        // It will fault, and need wait for nobody.
        return 0u;
    }
    return min(ring[slot].args[0], slot);
}

// Whether this lane's share of the window is still on its way.
fn sees_busy_slot(slot: u32, slots: u32, lane: u32, lanes: u32) -> bool {
    for (var i = lane; i < slots; i += lanes) {
        if is_in_flight(atomicLoad(&ring[slot - 1u - i].status)) {
            return true;
        }
    }
    return false;
}

fn close_fence(slot: u32, level: u32, status: u32) {
    if !claim(slot, status) {
        return;
    }
    let tenant = ring[slot].tenant;
    count_claim(tenant, level, 1u);
    if tenant >= TENANTS {
        finish(slot, fault_status(FAULT_TENANT));
        return;
    }
    atomicAdd(&control[CONTROL_METRICS + OPCODE_BATCH_FENCE], 1u);
    atomicAdd(&control[CONTROL_EPOCH], 1u);
    // Where there are no observables, the tag is not told.
    observe(0u, ring[slot].args[1]);
    finish(slot, STATUS_DONE);
}
