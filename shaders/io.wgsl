// A slot that waits for I/O, once the host has ended it.

const NO_IO_SLOT: u32 = ~0u;

// Finishes a slot whose I/O has ended, after a shutdown too: the host has done its part.
fn resume(slot: u32, status: u32) {
    let io_slot = (status >> STATUS_DETAIL_SHIFT) & STATUS_MASK;
    if io_slot >= arrayLength(&io_queue) || atomicLoad(&io_queue[io_slot].tag) != slot {
        if claim(slot, status) {
            finish(slot, fault_status(FAULT_IO));
        }
        return;
    }
    let io_status = atomicLoad(&io_queue[io_slot].status);
    if io_status != IO_OK && io_status != IO_ERROR {
        return;
    }
    if claim(slot, status) {
        atomicStore(&io_queue[io_slot].status, IO_EMPTY);
        finish(slot, select(fault_status(FAULT_IO), STATUS_DONE, io_status == IO_OK));
    }
}
