// The fused kernel's slots: its handler, NOP and SHUTDOWN, without the interpreter. The fence pass
// is the ordinary one.

fn run_slot(job: Job) -> u32 {
    count_run(job.opcode);
    switch job.opcode {
        case OPCODE_NOP: { return STATUS_DONE; }
        case OPCODE_SHUTDOWN: { return shut_down(job); }
        default: { return run_user(job); }
    }
}

// It has no LOAD_MISS. Its handler may ask for an IO slot while it runs.
fn has_io_slot(slot: u32, tenant: u32, opcode: u32) -> bool {
    return true;
}
