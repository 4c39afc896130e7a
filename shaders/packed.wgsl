// A slot's operations: one, or up to PACKED_MAX_OPS in a packed slot.
//
//   byte 0 operations n | byte 1 argument words | n x (opcode byte, offset byte) | arguments

// Byte i of the slot's arguments.
fn packed_byte(slot: u32, i: u32) -> u32 {
    return (ring[slot].args[i / 4u] >> (8u * (i % 4u))) & 0xFFu;
}

// Words before the first argument: two bytes, and two for each operation, rounded up.
fn packed_metadata(ops: u32) -> u32 {
    return (2u + 2u * ops + 3u) / 4u;
}

// Whether every operation may run and has its arguments in the slot: checked before the first.
fn is_packed_valid(slot: u32) -> bool {
    let ops = packed_byte(slot, 0u);
    let words = packed_byte(slot, 1u);
    if ops > PACKED_MAX_OPS || packed_metadata(ops) + words > SLOT_ARGS {
        return false;
    }
    var previous = 0u;
    for (var i = 0u; i < ops; i++) {
        let opcode = packed_byte(slot, 2u + 2u * i);
        let offset = packed_byte(slot, 3u + 2u * i);
        if opcode == OPCODE_BATCH_FENCE || offset < previous || offset > words {
            return false;
        }
        previous = offset;
    }
    return true;
}

// Operation i of a valid packed slot. Its arguments end where the next one's start.
fn packed_job(packed: Job, ops: u32, i: u32) -> Job {
    let slot = packed.slot;
    let offset = packed_byte(slot, 3u + 2u * i);
    var end = packed_byte(slot, 1u);
    if i + 1u < ops {
        end = packed_byte(slot, 5u + 2u * i);
    }
    let opcode = packed_byte(slot, 2u + 2u * i);
    let first = packed_metadata(ops) + offset;
    return Job(slot, packed.tenant, opcode, first, end - offset, false, 0u);
}

// Runs the slot's operations in order until one faults. A plain slot is a single operation, so
// that the opcode switch, which compilers inline, stands in the kernel once.
fn run_slot(whole: Job) -> u32 {
    let is_packed = whole.opcode == OPCODE_PACKED_SLOT;
    var ops = 1u;
    if is_packed {
        if !is_packed_valid(whole.slot) {
            return fault_status(FAULT_PACKED);
        }
        ops = packed_byte(whole.slot, 0u);
        if ops == 0u {
            return STATUS_DONE;
        }
    }
    var job = whole;
    var status = STATUS_DONE;
    var i = 0u;
    loop {
        if is_packed {
            job = packed_job(whole, ops, i);
        }
        status = run_op(job);
        i += 1u;
        continuing {
            break if i >= ops || status != STATUS_DONE;
        }
    }
    return status;
}
