//! The reference's rules for publishing, with the items that change them.

use super::bytes::{set_word, word};
use super::items::{Items, STATUS_BYTE};
use super::meaning::Told;
use super::verdict::Shown;
use serde_json::Value;

const SLOT_BYTES: usize = 64;
const SLOT_WORDS: usize = 16;
const ARGS: usize = 12;
const NORMAL: u32 = 2;
const LOAD_MISS: u32 = 0xFFFD;

/// The items that change publishing.
pub const ITEMS: [u8; 3] = [STATUS_BYTE, 11, 23];

pub struct RingRules {
    ring: Vec<u8>,
    items: Items,
}

impl RingRules {
    pub fn new(ring: &[u8], items: Items) -> Self {
        Self { ring: ring.to_vec(), items }
    }

    /// What the call leaves behind: the ring is written only if it succeeds.
    pub fn shown(mut self, call: impl FnOnce(&mut Self) -> Result<Value, Told>) -> Shown {
        let result = call(&mut self);
        Shown::new(result).with("ring_after", self.ring)
    }

    pub fn check_length(&self) -> Result<(), Told> {
        if !self.ring.len().is_multiple_of(SLOT_BYTES) {
            return Err(Told::queue_full("ring_len_not_slot_multiple"));
        }
        Ok(())
    }

    fn slots(&self) -> usize {
        self.ring.len() / SLOT_BYTES
    }

    pub fn check_slot(&self, slot: u32) -> Result<(), Told> {
        if slot as usize >= self.slots() {
            return Err(Told::queue_full("slot_out_of_range"));
        }
        Ok(())
    }

    pub fn check_window(&self, start: u32, slots: usize) -> Result<(), Told> {
        let end = u32::try_from(slots).ok().and_then(|slots| start.checked_add(slots));
        let end = end.ok_or_else(|| Told::queue_full("window_overflow"))?;
        if end as usize > self.slots() {
            return Err(Told::queue_full("window_out_of_range"));
        }
        Ok(())
    }

    pub fn check_free(&self, slot: u32) -> Result<(), Told> {
        let status = word(&self.ring, SLOT_WORDS * slot as usize).unwrap_or(u32::MAX);
        let kept = self.items.has(23) && status & 0xFF == 7;
        let status = if self.items.has(STATUS_BYTE) { status & 0xFF } else { status };
        if !kept && ![0, 3].contains(&status) {
            return Err(Told::queue_full("slot_not_publishable"));
        }
        Ok(())
    }

    pub fn check_args(args: &[u32]) -> Result<(), Told> {
        if args.len() > ARGS {
            return Err(Told::queue_full("too_many_args"));
        }
        Ok(())
    }

    pub fn check_opcode(&self, opcode: u32) -> Result<(), Told> {
        check_opcode(opcode, self.items)
    }

    pub fn write(&mut self, slot: u32, tenant: u32, opcode: u32, args: &[u32]) {
        write_slot(&mut self.ring, slot as usize, tenant, opcode, args);
    }
}

pub fn check_opcode(opcode: u32, items: Items) -> Result<(), Told> {
    let builtin = matches!(opcode, 0..=7 | 0xFFFE | 0x8000_0001 | 0xFFFF_FFFF);
    let reserved = matches!(opcode, 0xFFF0..=0xFFFF | 0x8000_0000..);
    let load_miss = opcode == LOAD_MISS && items.has(11);
    if reserved && !builtin && !load_miss {
        return Err(Told::queue_full("opcode_reserved"));
    }
    Ok(())
}

/// Writes a whole slot, PUBLISHED and normal, missing arguments 0.
pub fn write_slot(ring: &mut [u8], slot: usize, tenant: u32, opcode: u32, args: &[u32]) {
    let head = [1, opcode, tenant, NORMAL];
    let words = head.iter().chain(args).copied().chain(std::iter::repeat(0));
    for (index, value) in words.take(SLOT_WORDS).enumerate() {
        set_word(ring, SLOT_WORDS * slot + index, value);
    }
}
