//! The reference's constants, and ours of the same meaning.

use super::Outcome;
use super::case::Case;
use super::verdict::{Ours, Verdict, judge_plain};
use slipring_core::control::{self, word};
use slipring_core::slot::{self, Priority, status};
use slipring_core::{debug_log, io_queue, layout, opcode};

/// Things of the reference that we do not have.
const NOT_OURS: [(&str, &str); 4] = [
    ("scheduler.STARVATION_THRESHOLD", "item 6: no level can starve another"),
    ("scheduler.TENANT_FAIRNESS_THRESHOLD", "item 5: a tenant has a quota"),
    ("task.", "we have no tasks"),
    ("tenant.", "item 5: our tenant table has no registry"),
];

pub fn constant(case: &Case<'_>) -> Outcome {
    // The name is the input of these cases.
    let name = case.name();
    if let Some(value) = value(name) {
        return judge_plain(&case.shown()?, &Ours::new(Ok(value.into())));
    }
    match NOT_OURS.iter().find(|(theirs, _)| name.starts_with(theirs)) {
        Some((_, reason)) => Ok(Verdict::Skip(format!("no such constant: {reason}"))),
        None => Err("unknown constant".to_owned()),
    }
}

fn value(name: &str) -> Option<u64> {
    let (area, name) = name.split_once('.').unwrap_or(("", name));
    match area {
        "" => layout_value(name),
        "control" => control_value(name),
        "slot" => slot_value(name),
        "opcode" => opcode_value(name).map(u64::from),
        "debug" => debug_value(name),
        "io" | "io_word" | "io_op" | "io_status" => io_value(area, name),
        "scheduler" if name == "PRIORITY_LEVELS" => Some(slot::LEVELS as u64),
        "scheduler" if name.starts_with("PRIORITY_") => control_value(name),
        "priority" => slot_value(&format!("PRIORITY_{name}")),
        _ => None,
    }
}

fn layout_value(name: &str) -> Option<u64> {
    Some(match name {
        "SLOT_WORDS" => slot::WORDS as u64,
        "SLOT_BYTES" => 4 * slot::WORDS as u64,
        "STATUS_WORD" => slot::word::STATUS as u64,
        "OPCODE_WORD" => slot::word::OPCODE as u64,
        "TENANT_WORD" => slot::word::TENANT as u64,
        "PRIORITY_WORD" => slot::word::PRIORITY as u64,
        "ARG0_WORD" => slot::word::ARGS as u64,
        "ARGS_PER_SLOT" => slot::ARGS as u64,
        "CONTROL_MIN_WORDS" => word::OBSERVABLES as u64,
        "MAX_OBSERVABLE_SLOTS" => layout::MAX_OBSERVABLES.into(),
        "MAX_RING_SLOTS" => layout::MAX_SLOTS.into(),
        "MAX_DEBUG_RECORDS" => layout::MAX_DEBUG_RECORDS.into(),
        "MAX_ENCODED_OBSERVABLE_SLOTS" | "MAX_ENCODED_RING_SLOTS" | "MAX_ENCODED_DEBUG_RECORDS" => {
            layout::MAX_ENCODED.into()
        }
        _ => return None,
    })
}

fn control_value(name: &str) -> Option<u64> {
    Some(match name {
        "SHUTDOWN" => word::SHUTDOWN as u64,
        "DONE_COUNT" => word::DONE_COUNT as u64,
        "TENANT_BASE" => word::TENANT_TABLE as u64,
        "TENANT_QUOTA_BASE" => word::TENANT_QUOTAS as u64,
        "TENANT_FAIRNESS_BASE" => word::TENANT_CLAIMS as u64,
        "TENANT_FAIRNESS_SLOTS" => control::TENANT_CLAIM_SLOTS.into(),
        "METRICS_BASE" => word::METRICS as u64,
        "METRICS_SLOTS" => control::METRIC_SLOTS as u64,
        "EPOCH" => word::EPOCH as u64,
        "PRIORITY_OFFSETS_BASE" => word::PARTITIONS as u64,
        "PRIORITY_OFFSETS_SLOTS" => control::PARTITION_WORDS as u64,
        "PRIORITY_STARVATION_COUNTER" => word::STARVATION as u64,
        "PRIORITY_FAIRNESS_BASE" => word::LEVEL_CLAIMS as u64,
        "PRIORITY_FAIRNESS_SLOTS" => slot::LEVELS as u64,
        "OBSERVABLE_BASE" => word::OBSERVABLES as u64,
        _ => return None,
    })
}

fn slot_value(name: &str) -> Option<u64> {
    let value = match name {
        "EMPTY" => status::EMPTY,
        "PUBLISHED" => status::PUBLISHED,
        "CLAIMED" => status::CLAIMED,
        "DONE" => status::DONE,
        "WAIT_IO" => status::WAIT_IO,
        "YIELD" => status::YIELD,
        "REQUEUE" => status::REQUEUE,
        "FAULT" => status::FAULT,
        "PRIORITY_CRITICAL" => Priority::Critical.level(),
        "PRIORITY_HIGH" => Priority::High.level(),
        "PRIORITY_NORMAL" => Priority::Normal.level(),
        "PRIORITY_LOW" => Priority::Low.level(),
        "PRIORITY_IDLE" => Priority::Idle.level(),
        _ => return None,
    };
    Some(value.into())
}

fn opcode_value(name: &str) -> Option<u32> {
    Some(match name {
        "NOP" => opcode::NOP,
        "STORE_U32" => opcode::STORE_U32,
        "ATOMIC_ADD" => opcode::ATOMIC_ADD,
        "LOAD_U32" => opcode::LOAD_U32,
        "COMPARE_SWAP" => opcode::COMPARE_SWAP,
        "MEMCPY" => opcode::MEMCPY,
        "DFA_STEP" => opcode::DFA_STEP,
        "BATCH_FENCE" => opcode::BATCH_FENCE,
        "LOAD_MISS" | "EXPERT_LOAD_MISS" => opcode::LOAD_MISS,
        "PACKED_SLOT" => opcode::PACKED_SLOT,
        "PRINTF" => opcode::PRINTF,
        "SHUTDOWN" => opcode::SHUTDOWN,
        "SYSTEM_MASK" => opcode::SYSTEM_BIT,
        "RESERVED_MAX_RANGE_MIN" => opcode::RESERVED_MIN,
        _ => return None,
    })
}

fn debug_value(name: &str) -> Option<u64> {
    let (head, records) = (debug_log::word::RECORDS, layout::DEFAULT_DEBUG_RECORDS);
    Some(match name {
        "CURSOR_WORD" => debug_log::word::CURSOR as u64,
        "RECORDS_BASE" => head as u64,
        "RECORD_WORDS" => debug_log::RECORD_WORDS as u64,
        "RECORD_CAPACITY" => records.into(),
        "BUFFER_WORDS" => head as u64 + debug_log::RECORD_WORDS as u64 * u64::from(records),
        _ => return None,
    })
}

fn io_value(area: &str, name: &str) -> Option<u64> {
    use io_queue::{op, status, word};
    Some(match (area, name) {
        ("io", "IO_SLOT_WORDS") => io_queue::SLOT_WORDS as u64,
        ("io", "IO_SLOT_COUNT") => io_queue::MAX_SLOTS as u64,
        ("io_word", "OP_TYPE") => word::OP as u64,
        ("io_word", "SRC_HANDLE") => word::SOURCE as u64,
        ("io_word", "DST_HANDLE") => word::DESTINATION as u64,
        ("io_word", "OFFSET_LO") => word::OFFSET_LOW as u64,
        ("io_word", "OFFSET_HI") => word::OFFSET_HIGH as u64,
        ("io_word", "BYTE_COUNT") => word::BYTE_COUNT as u64,
        ("io_word", "STATUS") => word::STATUS as u64,
        ("io_word", "TAG") => word::TAG as u64,
        ("io_op", "READ") => op::READ.into(),
        ("io_op", "WRITE") => op::WRITE.into(),
        ("io_op", "FENCE") => op::FENCE.into(),
        ("io_status", "OK") => status::OK.into(),
        ("io_status", "ERROR") => status::ERROR.into(),
        _ => return None,
    })
}
