// What a handler may use: fn my_handler(job: Job) -> u32.
// It returns HANDLER_OK, or fault(code) to end its slot in FAULT with that code, 64 to 255. (Any
// other value is a fault of the kernel's own, for a range.) Tables belong in the workspace:
// variables of more than a kilobyte are refused.

const HANDLER_OK: u32 = 0u;
// The job goes on in the next segment, once every job of its level has been in this one. Not in
// the last segment, nor in a packed slot.
const HANDLER_CONTINUES: u32 = 1u;

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

// Appends a record to the debug log. Inside a loop it makes each iteration count nine times
// (Handler::iterations): near its end, lanes may contend for the log's cursor.
fn debug_print(job: Job, format: u32, a: u32, b: u32) {
    append_record(format, a, b, job.slot);
}
