//! The items of ABI.md section 5, as sets.

use std::fmt;

/// Section 1 with items 11 and 23: a status is compared by its low byte, the bits above carry an
/// IO slot or a fault code. The reference compares the whole word.
pub const STATUS_BYTE: u8 = 0;

/// A set of items.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Items(u32);

impl Items {
    /// The reference as it is.
    pub const NONE: Self = Self(0);

    pub fn of(items: &[u8]) -> Self {
        Self(items.iter().fold(0, |set, item| set | 1 << item))
    }

    pub fn has(self, item: u8) -> bool {
        self.0 & 1 << item != 0
    }

    pub fn without(self, item: u8) -> Self {
        Self(self.0 & !(1 << item))
    }

    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |item| self.has(*item))
    }
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            let and = if index > 0 { "; " } else { "" };
            match item {
                STATUS_BYTE => write!(f, "{and}items 11 and 23 ({})", says(item))?,
                _ => write!(f, "{and}item {item} ({})", says(item))?,
            }
        }
        Ok(())
    }
}

/// What an item changes, in a few words.
fn says(item: u8) -> &'static str {
    match item {
        STATUS_BYTE => "a status has an IO slot or a fault code above its low byte",
        2 => "tenants from 29 on are FAULT, word 2 is never read",
        3 => "bad control indices are FAULT(range) or FAULT(protected)",
        4 => "an opcode that nobody runs is FAULT(opcode)",
        7 => "fences run after the levels, and wait for their window",
        9 => "packed slots hold at most 4 ops, strictly checked",
        10 => "records that did not fit are counted as lost",
        11 => "LOAD_MISS is published like any opcode and goes through the IO queue",
        12 => "completions carry an errno, and no slot twice",
        15 => "DFA_STEP reads its table from the workspace",
        17 => "all or nothing, no stale words, nothing in flight is overwritten",
        19 => "the fused kernel is another one here",
        20 => "one kernel, which always counts its claims",
        21 => "lengths are checked first, storage is never resized",
        22 => "an IO queue of 0 slots is refused",
        23 => "FAULT slots may be published again",
        24 => "MEMCPY copies at most 4,096 words",
        _ => "see ABI.md section 5",
    }
}
