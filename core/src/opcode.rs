//! Opcodes and their classes.

/// No effect.
pub const NOP: u32 = 0;
/// `control[a1] = a0`.
pub const STORE_U32: u32 = 1;
/// `control[a1] += a0`, wrapping.
pub const ATOMIC_ADD: u32 = 2;
/// `control[160 + a1] = control[a0]`.
pub const LOAD_U32: u32 = 3;
/// If `control[a0] == a1` then `control[a0] = a2`; the old value to `control[160 + a0]`.
pub const COMPARE_SWAP: u32 = 4;
/// `control[a1..a1 + a2] = control[a0..a0 + a2]`, ascending, at most [`MEMCPY_MAX_WORDS`].
pub const MEMCPY: u32 = 5;
/// `control[160 + a3] = workspace[a2 + a0 * 256 + a1]`.
pub const DFA_STEP: u32 = 6;
/// Closes a batch of `a0` slots, those just before it in the ring (at most from slot 0 on): once
/// none of them is in flight, however they ended, epoch += 1 and `control[160] = a1`.
pub const BATCH_FENCE: u32 = 7;
/// Asks the host for resource `a0`; `a1` = 1 only prefetches (above 1 is FAULT(range)); `a2` and
/// `a3` the low and the high word of the offset in bytes, `a4` bytes (0 = all), `a5` destination.
pub const LOAD_MISS: u32 = 0xFFFD;
/// Appends {`a0`, `a1`, `a2`, the slot's word index} to the debug log.
pub const PRINTF: u32 = 0xFFFE;
/// Several small operations in one slot; see [`packed`](crate::packed).
pub const PACKED_SLOT: u32 = 0x8000_0001;
/// `control[0] = 1`.
pub const SHUTDOWN: u32 = 0xFFFF_FFFF;

/// The most words that one MEMCPY copies.
pub const MEMCPY_MAX_WORDS: u32 = 4096;
/// Columns of a DFA_STEP table: one per input byte.
pub const DFA_COLUMNS: u32 = 256;

/// The last of the low opcodes that are the system's.
pub const SYSTEM_LOW_MAX: u32 = BATCH_FENCE;
/// The first of sixteen reserved opcodes, 0xFFF0..=0xFFFF.
pub const RESERVED_MIN: u32 = 0xFFF0;
/// The last of the reserved opcodes.
pub const RESERVED_MAX: u32 = 0xFFFF;
/// Every opcode with this bit is the system's.
pub const SYSTEM_BIT: u32 = 0x8000_0000;

/// Every opcode that the kernel itself runs.
pub const BUILTIN: [u32; 12] = [
    NOP,
    STORE_U32,
    ATOMIC_ADD,
    LOAD_U32,
    COMPARE_SWAP,
    MEMCPY,
    DFA_STEP,
    BATCH_FENCE,
    LOAD_MISS,
    PRINTF,
    PACKED_SLOT,
    SHUTDOWN,
];

/// Whether the opcode lies in the system's range.
///
/// ```
/// use slipring_core::opcode;
/// assert!(opcode::is_system(opcode::NOP) && opcode::is_system(0xFFF0));
/// assert!(opcode::is_user(8) && opcode::is_publishable(8));
/// ```
#[inline]
pub const fn is_system(opcode: u32) -> bool {
    opcode <= SYSTEM_LOW_MAX
        || (opcode >= RESERVED_MIN && opcode <= RESERVED_MAX)
        || opcode & SYSTEM_BIT != 0
}

/// Whether the kernel itself runs the opcode.
#[inline]
pub const fn is_builtin(opcode: u32) -> bool {
    opcode <= SYSTEM_LOW_MAX || matches!(opcode, LOAD_MISS | PRINTF | PACKED_SLOT | SHUTDOWN)
}

/// Whether a user handler may have the opcode.
#[inline]
pub const fn is_user(opcode: u32) -> bool {
    !is_system(opcode)
}

/// Whether the opcode may be published.
#[inline]
pub const fn is_publishable(opcode: u32) -> bool {
    is_user(opcode) || is_builtin(opcode)
}

/// Whether the opcode may be an operation of a packed slot.
#[inline]
pub const fn is_packable(opcode: u32) -> bool {
    opcode <= 0xFF && opcode != BATCH_FENCE
}
