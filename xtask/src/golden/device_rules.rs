//! The reference's direct kernel, with the items that change it: its lanes.
//!
//! One lane a slot, in slot order, as its interpreter ran it.

use super::device::Words;
use super::items::{Items, STATUS_BYTE};

/// The items that change the kernel.
pub const ITEMS: [u8; 11] = [STATUS_BYTE, 2, 3, 4, 7, 9, 10, 11, 15, 20, 24];

const DONE_COUNT: u32 = 1;
const FAULT_COUNT: u32 = 141;
const TENANTS: u32 = 29;

pub const BATCH_FENCE: u32 = 7;
pub const LOAD_MISS: u32 = 0xFFFD;

/// The arguments of a slot, or of an operation in it.
pub type Args = [u32; 12];

/// How an operation ends.
#[derive(PartialEq)]
pub enum End {
    Done,
    /// With this code.
    Fault(u32),
    /// For this IO slot.
    WaitIo(u32),
}

const TENANT: End = End::Fault(2);
const IO: End = End::Fault(6);

pub struct DeviceRules {
    pub control: Vec<u32>,
    pub debug_log: Vec<u32>,
    pub items: Items,
    ring: Vec<u32>,
    io_queue: Vec<u32>,
}

impl DeviceRules {
    pub fn new(row: Words, items: Items) -> Self {
        let [control, ring, debug_log, io_queue] = row;
        Self { control, debug_log, items, ring, io_queue }
    }

    pub fn drained(mut self, passes: u32) -> Words {
        let slots = (self.ring.len() / 16) as u32;
        for _ in 0..passes {
            for slot in 0..slots {
                self.look(slot, false);
            }
            if self.items.has(7) {
                for slot in 0..slots {
                    self.look(slot, true);
                }
            }
        }
        [self.control, self.ring, self.debug_log, self.io_queue]
    }

    fn slot(&self, slot: u32, word: usize) -> u32 {
        self.ring[16 * slot as usize + word]
    }

    fn status(&self, slot: u32) -> u32 {
        let mask = if self.items.has(STATUS_BYTE) { 0xFF } else { u32::MAX };
        self.slot(slot, 0) & mask
    }

    fn set_status(&mut self, slot: u32, status: u32) {
        self.ring[16 * slot as usize] = status;
    }

    /// What a lane does with its slot; with item 7, fences have a pass of their own.
    fn look(&mut self, slot: u32, fences: bool) {
        let items = self.items;
        if items.has(11) && self.slot(slot, 0) & 0xFF == 4 && !fences {
            return self.resume(slot);
        }
        let (opcode, tenant) = (self.slot(slot, 1), self.slot(slot, 2));
        let is_late = items.has(7) && opcode == BATCH_FENCE;
        if self.status(slot) != 1 || is_late != fences || self.is_stopped(tenant) {
            return;
        }
        let args: Args = std::array::from_fn(|index| self.slot(slot, 4 + index));
        let refused = items.has(2) && tenant >= TENANTS;
        if fences && !refused && self.is_window_in_flight(slot, args[0]) {
            return;
        }
        let asks = items.has(11) && opcode == LOAD_MISS && !refused && args[1] <= 1;
        let io_slot = self.free_io_slot();
        if asks && io_slot.is_none() {
            return;
        }
        self.set_status(slot, 2);
        if items.has(20) {
            self.add(64 + tenant % 32, 1);
            self.add(136 + 2, 1);
        }
        let end = match io_slot {
            _ if refused => TENANT,
            Some(io_slot) if asks => self.load_miss(slot, io_slot, args),
            _ => self.operate(slot, tenant, opcode, args),
        };
        self.finish(slot, end);
    }

    fn finish(&mut self, slot: u32, end: End) {
        match end {
            End::WaitIo(io_slot) => return self.set_status(slot, 4 | io_slot << 8),
            End::Done => self.set_status(slot, 3),
            End::Fault(code) => self.set_status(slot, 7 | code << 8),
        }
        self.add(DONE_COUNT, 1);
        if end != End::Done && self.items.has(20) {
            self.add(FAULT_COUNT, 1);
        }
    }

    fn is_stopped(&self, tenant: u32) -> bool {
        let mask = match self.items.has(2) {
            true if tenant >= TENANTS => 1,
            true => self.load(3 + tenant),
            false => self.load(self.load(2).wrapping_add(tenant)),
        };
        self.load(0) != 0 || mask == 0
    }

    fn is_window_in_flight(&self, fence: u32, slots: u32) -> bool {
        let mut window = fence.saturating_sub(slots)..fence;
        window.any(|slot| matches!(self.slot(slot, 0) & 0xFF, 1 | 2 | 4))
    }

    fn free_io_slot(&self) -> Option<u32> {
        let free = self.io_queue.chunks(8).position(|slot| slot[6] == 0);
        free.map(|slot| slot as u32)
    }

    fn load_miss(&mut self, slot: u32, io_slot: u32, args: Args) -> End {
        let [resource, prefetch, low, high, bytes, destination, ..] = args;
        let tag = if prefetch == 1 { u32::MAX } else { slot };
        let request = [1, resource, destination, low, high, bytes, 1, tag];
        self.io_queue[8 * io_slot as usize..][..8].copy_from_slice(&request);
        if prefetch == 1 { End::Done } else { End::WaitIo(io_slot) }
    }

    /// Ends a slot whose request has ended, or is not its own.
    fn resume(&mut self, slot: u32) {
        let io_slot = 8 * (self.slot(slot, 0) >> 8 & 0xFF) as usize;
        let end = match self.io_queue.get(io_slot..io_slot + 8) {
            Some(&[.., 0x10, tag]) if tag == slot => End::Done,
            Some(&[.., 0x11, tag]) if tag == slot => IO,
            Some(&[.., tag]) if tag == slot => return,
            _ => return self.finish(slot, IO),
        };
        self.io_queue[io_slot + 6] = 0;
        self.finish(slot, end);
    }
}
