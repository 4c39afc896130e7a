// I/O: a lane asks the host and leaves; once the host has ended it, a lane goes on with the slot.

const NO_IO_SLOT: u32 = ~0u;

// The IO slot that is RESERVED for the lane's job, if any.
var<private> held_io_slot: u32 = NO_IO_SLOT;
// What request_io has answered last in this call of a handler.
var<private> io_answer: u32 = HANDLER_OK;

// Has an IO slot be the job's: the one that it has, or else the lowest free one, now RESERVED.
// False when there is none.
fn reserve_io_slot() -> bool {
    if held_io_slot != NO_IO_SLOT {
        return true;
    }
    let count = arrayLength(&io_queue);
    extra_iterations += count;
    var i = 0u;
    while i < count {
        let seen = atomicCompareExchangeWeak(&io_queue[i].status, IO_EMPTY, IO_RESERVED);
        if seen.exchanged {
            held_io_slot = i;
            return true;
        }
        // A weak exchange may fail for no reason: then the same slot again.
        if seen.old_value != IO_EMPTY {
            i += 1u;
        }
    }
    return false;
}

// Fills the IO slot that is the job's, the status last, and says which one it was: it is the host's
// from then on. (Without a kernel that stays on, the host looks at it after the submission.)
fn publish_request(
    op: u32,
    source: u32,
    destination: u32,
    offset_low: u32,
    offset_high: u32,
    bytes: u32,
    tag: u32,
) -> u32 {
    let io_slot = held_io_slot;
    held_io_slot = NO_IO_SLOT;
    atomicStore(&io_queue[io_slot].op, op);
    atomicStore(&io_queue[io_slot].source, source);
    atomicStore(&io_queue[io_slot].destination, destination);
    atomicStore(&io_queue[io_slot].offset_low, offset_low);
    atomicStore(&io_queue[io_slot].offset_high, offset_high);
    atomicStore(&io_queue[io_slot].byte_count, bytes);
    atomicStore(&io_queue[io_slot].tag, tag);
    atomicStore(&io_queue[io_slot].status, IO_PUBLISHED);
    return io_slot;
}

// Gives the job's IO slot back, if it has one still.
fn free_io_slot() {
    if held_io_slot != NO_IO_SLOT {
        atomicStore(&io_queue[held_io_slot].status, IO_EMPTY);
    }
}

// The bytes that the I/O has moved of which the job has the IO slot.
fn moved_bytes() -> u32 {
    if held_io_slot == NO_IO_SLOT {
        return 0u;
    }
    return atomicLoad(&io_queue[held_io_slot].byte_count);
}

// Takes a slot whose I/O has ended, after a shutdown too: the host has done its part. Finishes it,
// unless its handler is to go on, which then has the IO slot: true.
fn resume(slot: u32, status: u32) -> bool {
    let io_slot = (status >> STATUS_DETAIL_SHIFT) & STATUS_MASK;
    let is_own =
        io_slot < arrayLength(&io_queue) && atomicLoad(&io_queue[io_slot].tag) == slot;
    var io_status = IO_ERROR;
    if is_own {
        io_status = atomicLoad(&io_queue[io_slot].status);
    }
    if (io_status != IO_OK && io_status != IO_ERROR) || !claim(slot, status) {
        return false;
    }
    if io_status == IO_OK && is_user(ring[slot].opcode) {
        atomicStore(&io_queue[io_slot].status, IO_RESERVED);
        held_io_slot = io_slot;
        return true;
    }
    if is_own {
        atomicStore(&io_queue[io_slot].status, IO_EMPTY);
    }
    finish(slot, select(fault_status(FAULT_IO), STATUS_DONE, io_status == IO_OK));
    return false;
}

fn is_user(opcode: u32) -> bool {
    let is_reserved = opcode >= OPCODE_RESERVED_MIN && opcode <= OPCODE_RESERVED_MAX;
    let is_system = opcode <= OPCODE_SYSTEM_LOW_MAX || (opcode & OPCODE_SYSTEM_BIT) != 0u;
    return !is_reserved && !is_system;
}
