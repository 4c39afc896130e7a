// What a handler may use: fn my_handler(job: Job) -> u32.
// It returns HANDLER_OK, fault(code) to end its slot in FAULT with that code, 64 to 255,
// HANDLER_CONTINUES, or what request_io has answered. (Any other value is a fault of the kernel's
// own, for a range.) Tables belong in the workspace: variables of more than a kilobyte are refused.

const HANDLER_OK: u32 = 0u;
// The job goes on in the next segment, once every job of its level has been in this one. Not in
// the last segment, nor in a packed slot.
const HANDLER_CONTINUES: u32 = 1u;
// The answers of request_io: the queue is full, or this and the IO slot to wait for.
const HANDLER_RETRIES: u32 = 2u;
const HANDLER_WAITS: u32 = FAULT_USER_MAX + 1u;

// Which segment this is, from 0 on.
fn segment() -> u32 {
    return run.segment;
}

// One operation: a whole slot, or one of a packed slot. Arguments stay in the ring until asked
// for; `first` and `count` say which of the slot's words they are.
struct Job {
    slot: u32,
    tenant: u32,
    opcode: u32,
    first: u32,
    count: u32,
    has_waited: bool,
    io_bytes: u32,
}

// Argument i; 0 past the last one.
fn arg(job: Job, i: u32) -> u32 {
    if i >= job.count {
        return 0u;
    }
    return ring[job.slot].args[job.first + i];
}

// The nearest code that handlers may raise.
fn fault(code: u32) -> u32 {
    return clamp(code, FAULT_USER_MIN, FAULT_USER_MAX);
}

fn observable_count() -> u32 {
    return arrayLength(&control) - CONTROL_OBSERVABLES;
}

// Observable i; 0 past the last one.
fn observable(i: u32) -> u32 {
    if i >= observable_count() {
        return 0u;
    }
    return atomicLoad(&control[CONTROL_OBSERVABLES + i]);
}

// Sets observable i; false past the last one.
fn observe(i: u32, value: u32) -> bool {
    if i >= observable_count() {
        return false;
    }
    atomicStore(&control[CONTROL_OBSERVABLES + i], value);
    return true;
}

// Adds to observable i, wrapping; false past the last one.
fn observe_add(i: u32, value: u32) -> bool {
    if i >= observable_count() {
        return false;
    }
    atomicAdd(&control[CONTROL_OBSERVABLES + i], value);
    return true;
}

fn workspace_len() -> u32 {
    return arrayLength(&workspace);
}

// Word i of the workspace; 0 past the last one.
fn workspace_load(i: u32) -> u32 {
    if i >= workspace_len() {
        return 0u;
    }
    return workspace[i];
}

// Sets word i of the workspace; false past the last one. Two lanes that write one word race.
fn workspace_store(i: u32, value: u32) -> bool {
    if i >= workspace_len() {
        return false;
    }
    workspace[i] = value;
    return true;
}

// Words of the arena, into which files are read.
fn arena_len() -> u32 {
    return arrayLength(&arena);
}

// Word i of the arena; 0 past the last one.
fn arena_load(i: u32) -> u32 {
    if i >= arena_len() {
        return 0u;
    }
    return arena[i];
}

// Sets word i of the arena; false past the last one. Two lanes that write one word race.
fn arena_store(i: u32, value: u32) -> bool {
    if i >= arena_len() {
        return false;
    }
    arena[i] = value;
    return true;
}

// Asks the host for I/O: op is IO_READ, IO_WRITE or IO_FENCE, source and destination are handles
// that the host knows, the offset is in bytes of the file. A handler returns the answer:
//
//   return request_io(job, IO_READ, file, region, offset, 0u, bytes);
//   return request_io(job, IO_WRITE, region, file, offset, 0u, bytes);
//
// and its slot waits. 0 bytes are all of a READ's file from the offset on, and all of a WRITE's
// region; a region starts where the table says. A READ that meets the end of its file moves fewer
// bytes. Once the host has done it, the handler is called again, with is_resumed(job): it may finish,
// continue or ask for more. What it is to remember until then belongs in the workspace. If the I/O
// has failed, the slot ends in FAULT(io) instead, and the host logs why.
// Without a pump (Driver::attach_io), or a host that claims and completes requests, it waits for ever.
//
// When the IO queue is full, the job starts anew in the next drain: ask first, before anything is
// changed. A job that is resumed has an IO slot for one request, and does not meet a full queue
// with that. Of several requests in a call, the handler may return the last answer; nobody waits
// for the others, or for any if it returns something else. In a packed slot nothing is asked, and
// the answer is FAULT(range).
//
// Inside a loop it makes each iteration count 73 times (Handler::iterations): it looks through the
// queue, and lanes may contend for it.
fn request_io(
    job: Job,
    op: u32,
    source: u32,
    destination: u32,
    offset_low: u32,
    offset_high: u32,
    bytes: u32,
) -> u32 {
    if job.first != 0u {
        return FAULT_RANGE;
    }
    io_answer = HANDLER_RETRIES;
    if reserve_io_slot() {
        io_answer = HANDLER_WAITS + publish_request(
            op, source, destination, offset_low, offset_high, bytes, job.slot
        );
    }
    return io_answer;
}

// Whether the job goes on after I/O that it has waited for. (In a segment after that it is a job
// as any other.)
fn is_resumed(job: Job) -> bool {
    return job.has_waited;
}

// The bytes that this I/O has moved; 0 if there was none.
fn io_bytes(job: Job) -> u32 {
    return job.io_bytes;
}

// Appends a record to the debug log, which the host turns into a line (debug_formats! in Rust).
// Inside a loop it makes each iteration count nine times (Handler::iterations): near its end, lanes
// may contend for the log's cursor.
fn debug_print(job: Job, format: u32, a: u32, b: u32) {
    append_record(format, a, b, job.slot);
}
