// LOAD_MISS: a lane asks the host for bytes and leaves; a later drain resumes its slot.

// What LOAD_MISS reads of its slot before it may run: the flag that tells a load from a prefetch.
fn wants_io_slot(slot: u32, tenant: u32, opcode: u32) -> bool {
    return opcode == OPCODE_LOAD_MISS && tenant < TENANTS && ring[slot].args[1] <= 1u;
}

// The lowest free IO slot, now RESERVED; NO_IO_SLOT when there is none.
fn reserve_io_slot() -> u32 {
    let count = arrayLength(&io_queue);
    extra_iterations += count;
    var i = 0u;
    while i < count {
        let seen = atomicCompareExchangeWeak(&io_queue[i].status, IO_EMPTY, IO_RESERVED);
        if seen.exchanged {
            return i;
        }
        // A weak exchange may fail for no reason: then the same slot again.
        if seen.old_value != IO_EMPTY {
            i += 1u;
        }
    }
    return NO_IO_SLOT;
}

// Fills the reserved IO slot, the status last. The host looks at it after the submission.
fn load_miss(job: Job, io_slot: u32) -> u32 {
    let prefetch = arg(job, 1u);
    if prefetch > 1u {
        return fault_status(FAULT_RANGE);
    }
    atomicStore(&io_queue[io_slot].op, IO_READ);
    atomicStore(&io_queue[io_slot].source, arg(job, 0u));
    atomicStore(&io_queue[io_slot].destination, arg(job, 5u));
    atomicStore(&io_queue[io_slot].offset_low, arg(job, 2u));
    atomicStore(&io_queue[io_slot].offset_high, arg(job, 3u));
    atomicStore(&io_queue[io_slot].byte_count, arg(job, 4u));
    atomicStore(&io_queue[io_slot].tag, select(job.slot, IO_NO_SLOT, prefetch == 1u));
    atomicStore(&io_queue[io_slot].status, IO_PUBLISHED);
    return select(wait_io_status(io_slot), STATUS_DONE, prefetch == 1u);
}
