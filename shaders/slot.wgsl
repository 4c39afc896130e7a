// A slot's life: PUBLISHED, CLAIMED by one lane, then DONE, FAULT, WAIT_IO or PUBLISHED again.

fn fault_status(code: u32) -> u32 {
    return STATUS_FAULT | (code << STATUS_DETAIL_SHIFT);
}

fn wait_io_status(io_slot: u32) -> u32 {
    return STATUS_WAIT_IO | (io_slot << STATUS_DETAIL_SHIFT);
}

// What a handler's return value makes of its slot.
fn handler_status(code: u32, is_packable: bool) -> u32 {
    if code == HANDLER_OK {
        return STATUS_DONE;
    }
    if code == HANDLER_CONTINUES && !is_packable && run.segment + 1u < SEGMENTS {
        return STATUS_CLAIMED;
    }
    // Of request_io's answers only the one that it has given.
    if code == io_answer {
        let waits = wait_io_status(code - HANDLER_WAITS);
        return select(waits, STATUS_PUBLISHED, code == HANDLER_RETRIES);
    }
    if code < FAULT_USER_MIN || code > FAULT_USER_MAX {
        return fault_status(FAULT_RANGE);
    }
    return fault_status(code);
}

fn is_in_flight(status: u32) -> bool {
    let kind = status & STATUS_MASK;
    return kind == STATUS_PUBLISHED || kind == STATUS_CLAIMED || kind == STATUS_WAIT_IO;
}

// Whether the host stopped all claiming, or this tenant's.
fn is_held_back(tenant: u32) -> bool {
    if atomicLoad(&control[CONTROL_SHUTDOWN]) != 0u {
        return true;
    }
    return tenant < TENANTS && atomicLoad(&control[CONTROL_TENANT_MASKS + tenant]) == 0u;
}

fn shut_down(job: Job) -> u32 {
    if job.tenant != 0u {
        return fault_status(FAULT_PROTECTED);
    }
    atomicStore(&control[CONTROL_SHUTDOWN], 1u);
    return STATUS_DONE;
}

// Takes the slot if its status still is what the caller saw. One lane wins.
fn claim(slot: u32, status: u32) -> bool {
    loop {
        let seen = atomicCompareExchangeWeak(&ring[slot].status, status, STATUS_CLAIMED);
        if seen.exchanged {
            return true;
        }
        // A weak exchange may fail for no reason; another status is one.
        if seen.old_value != status {
            break;
        }
    }
    return false;
}

fn count_claim(tenant: u32, level: u32, by: u32) {
    atomicAdd(&control[CONTROL_TENANT_CLAIMS + tenant % TENANT_CLAIM_SLOTS], by);
    atomicAdd(&control[CONTROL_LEVEL_CLAIMS + level], by);
}

fn count_run(opcode: u32) {
    if opcode < METRIC_SLOTS {
        atomicAdd(&control[CONTROL_METRICS + opcode], 1u);
    }
}

// Gives the slot back, unless it goes on in the next segment: the status, then the counts, that of
// finished slots last. WGSL's atomics are relaxed; for the host, the end of the submission is what
// orders them, or driver/src/vulkan/spirv.rs.
fn finish(slot: u32, status: u32) {
    if status == STATUS_CLAIMED {
        return;
    }
    atomicStore(&ring[slot].status, status);
    let kind = status & STATUS_MASK;
    if kind == STATUS_WAIT_IO || kind == STATUS_PUBLISHED {
        return;
    }
    if kind == STATUS_FAULT {
        atomicAdd(&control[CONTROL_FAULTS], 1u);
    }
    count_done();
}

fn count_done() {
    atomicAdd(&control[CONTROL_DONE_COUNT], 1u);
}
