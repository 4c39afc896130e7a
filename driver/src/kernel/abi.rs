//! The constants that the WGSL modules use, written from slipring-core's.

use slipring_core::debug_log::RECORD_WORDS;
use slipring_core::layout::MAX_ENCODED;
use slipring_core::{control, debug_log, io_queue, opcode, packed, slot};
use std::fmt::Write;

/// Lanes of a workgroup of `drain` and `fence`.
pub(crate) const LANES: u32 = 64;
/// Lanes of a workgroup of `persist_narrow`: llvmpipe's vector.
pub(crate) const NARROW_LANES: u32 = 8;
/// A work list entry: the slot in the low bits, its level above them.
pub(crate) const ENTRY_LEVEL_SHIFT: u32 = 28;

/// Below this, the debug cursor cannot wrap though every lane of the largest ring adds a record.
const DEBUG_CURSOR_NEAR_MAX: u32 = debug_log::CURSOR_MAX - MAX_ENCODED * RECORD_WORDS as u32;

const _: () = assert!(slipring_core::layout::MAX_SLOTS < 1 << ENTRY_LEVEL_SHIFT);
const _: () = assert!(slot::LEVELS <= 1 << (u32::BITS - ENTRY_LEVEL_SHIFT));

const CONSTANTS: &[(&str, u32)] = &[
    ("LANES", LANES),
    ("NARROW_LANES", NARROW_LANES),
    ("ENTRY_LEVEL_SHIFT", ENTRY_LEVEL_SHIFT),
    ("ENTRY_SLOT_MASK", (1 << ENTRY_LEVEL_SHIFT) - 1),
    ("CONTROL_SHUTDOWN", control::word::SHUTDOWN as u32),
    ("CONTROL_DONE_COUNT", control::word::DONE_COUNT as u32),
    ("CONTROL_TENANT_MASKS", control::word::TENANT_MASKS as u32),
    ("CONTROL_TENANT_CLAIMS", control::word::TENANT_CLAIMS as u32),
    ("CONTROL_METRICS", control::word::METRICS as u32),
    ("CONTROL_EPOCH", control::word::EPOCH as u32),
    ("CONTROL_LEVEL_CLAIMS", control::word::LEVEL_CLAIMS as u32),
    ("CONTROL_FAULTS", control::word::FAULTS as u32),
    ("CONTROL_OBSERVABLES", control::word::OBSERVABLES as u32),
    ("TENANTS", control::TENANTS),
    ("TENANT_CLAIM_SLOTS", control::TENANT_CLAIM_SLOTS),
    ("METRIC_SLOTS", control::METRIC_SLOTS as u32),
    ("SLOT_WORDS", slot::WORDS as u32),
    ("SLOT_ARGS", slot::ARGS as u32),
    ("STATUS_EMPTY", slot::status::EMPTY),
    ("STATUS_PUBLISHED", slot::status::PUBLISHED),
    ("STATUS_CLAIMED", slot::status::CLAIMED),
    ("STATUS_DONE", slot::status::DONE),
    ("STATUS_WAIT_IO", slot::status::WAIT_IO),
    ("STATUS_FAULT", slot::status::FAULT),
    ("STATUS_MASK", slot::status::MASK),
    ("STATUS_DETAIL_SHIFT", slot::status::DETAIL_SHIFT),
    ("FAULT_OPCODE", slot::fault::OPCODE as u32),
    ("FAULT_TENANT", slot::fault::TENANT as u32),
    ("FAULT_PROTECTED", slot::fault::PROTECTED as u32),
    ("FAULT_RANGE", slot::fault::RANGE as u32),
    ("FAULT_PACKED", slot::fault::PACKED as u32),
    ("FAULT_IO", slot::fault::IO as u32),
    ("FAULT_LIMIT", slot::fault::LIMIT as u32),
    ("FAULT_USER_MIN", slot::fault::USER_MIN as u32),
    ("FAULT_USER_MAX", slot::fault::USER_MAX as u32),
    ("OPCODE_NOP", opcode::NOP),
    ("OPCODE_STORE_U32", opcode::STORE_U32),
    ("OPCODE_ATOMIC_ADD", opcode::ATOMIC_ADD),
    ("OPCODE_LOAD_U32", opcode::LOAD_U32),
    ("OPCODE_COMPARE_SWAP", opcode::COMPARE_SWAP),
    ("OPCODE_MEMCPY", opcode::MEMCPY),
    ("OPCODE_DFA_STEP", opcode::DFA_STEP),
    ("OPCODE_BATCH_FENCE", opcode::BATCH_FENCE),
    ("OPCODE_LOAD_MISS", opcode::LOAD_MISS),
    ("OPCODE_PRINTF", opcode::PRINTF),
    ("OPCODE_PACKED_SLOT", opcode::PACKED_SLOT),
    ("OPCODE_SHUTDOWN", opcode::SHUTDOWN),
    ("OPCODE_SYSTEM_LOW_MAX", opcode::SYSTEM_LOW_MAX),
    ("OPCODE_RESERVED_MIN", opcode::RESERVED_MIN),
    ("OPCODE_RESERVED_MAX", opcode::RESERVED_MAX),
    ("OPCODE_SYSTEM_BIT", opcode::SYSTEM_BIT),
    ("MEMCPY_MAX_WORDS", opcode::MEMCPY_MAX_WORDS),
    ("DFA_COLUMNS", opcode::DFA_COLUMNS),
    ("PACKED_MAX_OPS", packed::MAX_OPS as u32),
    ("DEBUG_CURSOR", debug_log::word::CURSOR as u32),
    ("DEBUG_RECORDS", debug_log::word::RECORDS as u32),
    ("DEBUG_RECORD_WORDS", RECORD_WORDS as u32),
    ("DEBUG_CURSOR_MAX", debug_log::CURSOR_MAX),
    ("DEBUG_CURSOR_NEAR_MAX", DEBUG_CURSOR_NEAR_MAX),
    ("IO_READ", io_queue::op::READ),
    ("IO_WRITE", io_queue::op::WRITE),
    ("IO_FENCE", io_queue::op::FENCE),
    ("IO_EMPTY", io_queue::status::EMPTY),
    ("IO_PUBLISHED", io_queue::status::PUBLISHED),
    ("IO_OK", io_queue::status::OK),
    ("IO_ERROR", io_queue::status::ERROR),
    ("IO_RESERVED", io_queue::status::RESERVED),
    ("IO_NO_SLOT", io_queue::NO_SLOT),
];

/// The constants as WGSL, of a kernel of so many segments.
pub(crate) fn prelude(segments: u32) -> String {
    let mut text = String::new();
    for (name, value) in CONSTANTS.iter().chain([&("SEGMENTS", segments)]) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    text
}
