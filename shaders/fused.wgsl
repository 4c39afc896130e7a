// The fused kernel's slots: its handler, NOP and SHUTDOWN, without the interpreter. The fence pass
// is the ordinary one.

fn run_slot(slot: u32, tenant: u32, opcode: u32, io_slot: u32) -> u32 {
    count_run(opcode);
    let job = Job(slot, tenant, opcode, 0u, SLOT_ARGS);
    switch opcode {
        case OPCODE_NOP: { return STATUS_DONE; }
        case OPCODE_SHUTDOWN: { return shut_down(job); }
        default: { return run_user(job); }
    }
}

// Nothing that it runs asks the host for bytes.
fn wants_io_slot(slot: u32, tenant: u32, opcode: u32) -> bool {
    return false;
}

fn reserve_io_slot() -> u32 {
    return NO_IO_SLOT;
}
