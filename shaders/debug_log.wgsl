// The debug log: the cursor counts every record asked for, and only those that fit are written.

fn append_record(format: u32, a: u32, b: u32, slot: u32) {
    let cursor = take_record();
    let words = arrayLength(&debug_log) - DEBUG_RECORDS;
    if cursor == DEBUG_CURSOR_MAX || cursor + DEBUG_RECORD_WORDS > words {
        return;
    }
    let first = DEBUG_RECORDS + cursor;
    atomicStore(&debug_log[first], format);
    atomicStore(&debug_log[first + 1u], a);
    atomicStore(&debug_log[first + 2u], b);
    atomicStore(&debug_log[first + 3u], slot * SLOT_WORDS);
}

// The cursor before this record, or DEBUG_CURSOR_MAX when it no longer moves.
fn take_record() -> u32 {
    var cursor = atomicLoad(&debug_log[DEBUG_CURSOR]);
    // So far from the top an add cannot wrap: a ring has fewer lanes than that would take between
    // their load and their add at once.
    if cursor < DEBUG_CURSOR_NEAR_MAX {
        return atomicAdd(&debug_log[DEBUG_CURSOR], DEBUG_RECORD_WORDS);
    }
    extra_iterations += LANES;
    while cursor < DEBUG_CURSOR_MAX {
        let next = min(cursor + DEBUG_RECORD_WORDS, DEBUG_CURSOR_MAX);
        let seen = atomicCompareExchangeWeak(&debug_log[DEBUG_CURSOR], cursor, next);
        if seen.exchanged {
            return cursor;
        }
        cursor = seen.old_value;
    }
    return DEBUG_CURSOR_MAX;
}
