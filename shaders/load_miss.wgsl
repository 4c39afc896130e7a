// LOAD_MISS: asks the host for bytes, without a handler.

// Whether the slot may run: what could be a request must have an IO slot first.
fn has_io_slot(slot: u32, tenant: u32, opcode: u32) -> bool {
    let is_request = opcode == OPCODE_LOAD_MISS && tenant < TENANTS && ring[slot].args[1] <= 1u;
    return !is_request || reserve_io_slot();
}

// The flag tells a load from a prefetch, for which no slot waits.
fn load_miss(job: Job) -> u32 {
    let flag = arg(job, 1u);
    if flag > 1u || held_io_slot == NO_IO_SLOT {
        return fault_status(FAULT_RANGE);
    }
    let is_prefetch = flag == 1u;
    let tag = select(job.slot, IO_NO_SLOT, is_prefetch);
    let io_slot = publish_request(
        IO_READ, arg(job, 0u), arg(job, 5u), arg(job, 2u), arg(job, 3u), arg(job, 4u), tag
    );
    return select(wait_io_status(io_slot), STATUS_DONE, is_prefetch);
}
