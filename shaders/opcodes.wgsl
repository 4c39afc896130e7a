// What each built-in opcode does. Each function returns the slot's next status word; one that
// returns a fault has written nothing.

fn run_op(job: Job) -> u32 {
    count_run(job.opcode);
    switch job.opcode {
        case OPCODE_NOP: { return STATUS_DONE; }
        case OPCODE_STORE_U32: { return store_u32(job); }
        case OPCODE_ATOMIC_ADD: { return atomic_add(job); }
        case OPCODE_LOAD_U32: { return load_u32(job); }
        case OPCODE_COMPARE_SWAP: { return compare_swap(job); }
        case OPCODE_MEMCPY: { return memcpy(job); }
        case OPCODE_DFA_STEP: { return dfa_step(job); }
        case OPCODE_LOAD_MISS: { return load_miss(job); }
        case OPCODE_PRINTF: { return printf(job); }
        case OPCODE_SHUTDOWN: { return shut_down(job); }
        default: { return run_user(job); }
    }
}

// Only tenant 0, the host itself, writes below the observables.
fn is_protected(job: Job, word: u32) -> bool {
    return job.tenant != 0u && word < CONTROL_OBSERVABLES;
}

fn store_u32(job: Job) -> u32 {
    let word = arg(job, 1u);
    if word >= arrayLength(&control) {
        return fault_status(FAULT_RANGE);
    }
    if is_protected(job, word) {
        return fault_status(FAULT_PROTECTED);
    }
    atomicStore(&control[word], arg(job, 0u));
    return STATUS_DONE;
}

fn atomic_add(job: Job) -> u32 {
    let word = arg(job, 1u);
    if word >= arrayLength(&control) {
        return fault_status(FAULT_RANGE);
    }
    if is_protected(job, word) {
        return fault_status(FAULT_PROTECTED);
    }
    atomicAdd(&control[word], arg(job, 0u));
    return STATUS_DONE;
}

fn load_u32(job: Job) -> u32 {
    let word = arg(job, 0u);
    if word >= arrayLength(&control) || !observe(arg(job, 1u), atomicLoad(&control[word])) {
        return fault_status(FAULT_RANGE);
    }
    return STATUS_DONE;
}

fn compare_swap(job: Job) -> u32 {
    let word = arg(job, 0u);
    // The old value goes to the observable of the same index, so there must be one.
    if word >= observable_count() {
        return fault_status(FAULT_RANGE);
    }
    if is_protected(job, word) {
        return fault_status(FAULT_PROTECTED);
    }
    observe(word, exchange(word, arg(job, 1u), arg(job, 2u)));
    return STATUS_DONE;
}

// Strong compare-exchange of a control word; returns the old value.
fn exchange(word: u32, expected: u32, value: u32) -> u32 {
    var old = expected;
    loop {
        let seen = atomicCompareExchangeWeak(&control[word], expected, value);
        old = seen.old_value;
        if seen.exchanged || old != expected {
            break;
        }
    }
    return old;
}

fn memcpy(job: Job) -> u32 {
    let source = arg(job, 0u);
    let destination = arg(job, 1u);
    let count = arg(job, 2u);
    if count > MEMCPY_MAX_WORDS {
        return fault_status(FAULT_LIMIT);
    }
    if count == 0u {
        return STATUS_DONE;
    }
    let words = arrayLength(&control);
    if count > words || source > words - count || destination > words - count {
        return fault_status(FAULT_RANGE);
    }
    if is_protected(job, destination) {
        return fault_status(FAULT_PROTECTED);
    }
    extra_iterations += count;
    // Ascending, word by word: a copy onto its own end repeats its start.
    for (var i = 0u; i < count; i++) {
        atomicStore(&control[destination + i], atomicLoad(&control[source + i]));
    }
    return STATUS_DONE;
}

fn dfa_step(job: Job) -> u32 {
    let state = arg(job, 0u);
    let input = arg(job, 1u);
    let table = arg(job, 2u);
    if input >= DFA_COLUMNS || state > ~0u / DFA_COLUMNS {
        return fault_status(FAULT_RANGE);
    }
    let cell = state * DFA_COLUMNS + input;
    if table > ~0u - cell || table + cell >= workspace_len() {
        return fault_status(FAULT_RANGE);
    }
    if !observe(arg(job, 3u), workspace[table + cell]) {
        return fault_status(FAULT_RANGE);
    }
    return STATUS_DONE;
}

fn printf(job: Job) -> u32 {
    append_record(arg(job, 0u), arg(job, 1u), arg(job, 2u), job.slot);
    return STATUS_DONE;
}
