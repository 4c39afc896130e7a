//! Whether a drain's result depends on the order of its lanes.
//!
//! Lanes of one level run in any order; levels and fences do not. So a level's result depends
//! on the order if two of its lanes race (see [`effects`](crate::effects)), contend for the
//! last room of the debug log, or for the last IO slot. Where their only contention is about
//! *which* record or IO slot each takes, the result is the twin's up to that.

use crate::effects::{Access, Address, Effects, wants_io};
use crate::shape::Shape;
use crate::state::State;
use slipring_core::control::word;
use slipring_core::debug_log::{CURSOR_MAX, RECORD_WORDS};
use slipring_core::slot::{Priority, State as SlotState, WORDS, fault, fault_status, status};
use slipring_core::{io_queue, opcode};
use std::ops::Range;

/// What the order of lanes decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The records of each range of the log, in words, and the IO slots if so.
    Free { records: Vec<Range<usize>>, io_slots: bool },
    /// More.
    Racing,
}

/// What becomes of a slot that waits for I/O if it is looked at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// With this status; its IO slot is freed, if it is its own.
    Ends { end: u32, frees: Option<u32> },
    /// Its handler goes on, with its own IO slot, which has moved so many bytes.
    GoesOn { io_slot: u32, bytes: u32 },
    /// The IO slot is its own, and the host is not done.
    Waits,
    /// The IO slot is its own and free: only a hostile host does that.
    Orphan,
}

pub fn resume(state: &State, slot: u32, io_slot: u8) -> Resume {
    let lost = Resume::Ends { end: fault_status(fault::IO), frees: None };
    let Some(io) = state.io_queue().get(usize::from(io_slot)) else { return lost };
    let frees = Some(u32::from(io_slot));
    match (io[io_queue::word::TAG] == slot, io[io_queue::word::STATUS]) {
        (false, _) => lost,
        (true, io_queue::status::OK) if opcode::is_user(state.ring()[slot as usize][1]) => {
            Resume::GoesOn { io_slot: io_slot.into(), bytes: io[io_queue::word::BYTE_COUNT] }
        }
        (true, io_queue::status::OK) => Resume::Ends { end: status::DONE, frees },
        (true, io_queue::status::ERROR) => Resume::Ends { end: fault_status(fault::IO), frees },
        (true, io_queue::status::EMPTY) => Resume::Orphan,
        _ => Resume::Waits,
    }
}

/// The tenant's mask word, if it has one.
pub fn mask_word(tenant: u32) -> Option<usize> {
    (tenant < 29).then_some(word::TENANT_MASKS + tenant as usize)
}

pub fn is_stopped(control: &[u32], slot: &[u32; WORDS]) -> bool {
    control[word::SHUTDOWN] != 0 || mask_word(slot[2]).is_some_and(|word| control[word] == 0)
}

pub fn free_io_slots(state: &State) -> usize {
    let is_free = |io: &&[u32; 8]| io[io_queue::word::STATUS] == io_queue::status::EMPTY;
    state.io_queue().iter().filter(is_free).count()
}

/// Whether the result of a drain from `start` depends on the order of lanes.
pub fn of_drain(shape: &Shape, start: &State) -> Order {
    if has_contended_orphan(shape, start) {
        return Order::Racing;
    }
    let mut state = start.clone();
    let (mut records, mut io_slots) = (Vec::new(), false);
    for level in Priority::ALL {
        let lanes = Level::of(shape, &state, level);
        let printed = lanes.printed(&state);
        if lanes.race() || lanes.contend_for_io(&state) || printed.is_err() {
            return Order::Racing;
        }
        records.extend(printed.unwrap_or_default());
        io_slots |= lanes.wanting > 0 && lanes.wanting + lanes.freeing > 1;
        state.with_twin(shape, |twin| {
            shape.partitions.range(level).for_each(|slot| twin.look(slot, level));
        });
    }
    Order::Free { records, io_slots }
}

/// Whether a request could take the IO slot that an orphan still looks at.
fn has_contended_orphan(shape: &Shape, state: &State) -> bool {
    let mut slots = (0..).zip(state.ring());
    let has_orphan = slots.any(|(slot, words)| match SlotState::of(words[0]) {
        SlotState::WaitIo(io_slot) => resume(state, slot, io_slot) == Resume::Orphan,
        _ => false,
    });
    let is_request = |slot: &[u32; WORDS]| {
        SlotState::of(slot[0]) == SlotState::Published && wants_io(shape, slot)
    };
    has_orphan && state.ring().iter().any(is_request)
}

/// The lanes of one level, as of its start.
#[derive(Default)]
struct Level {
    /// (word, lane, access)
    accesses: Vec<(Address, u32, Access)>,
    /// Lanes that print, and the records of all of them.
    printing: usize,
    records: usize,
    /// Lanes that want an IO slot, and lanes that free one.
    wanting: usize,
    freeing: usize,
}

impl Level {
    fn of(shape: &Shape, state: &State, level: Priority) -> Self {
        let mut lanes = Self::default();
        for slot in shape.partitions.range(level) {
            let words = &state.ring()[slot as usize];
            match SlotState::of(words[0]) {
                SlotState::Published if words[1] != opcode::BATCH_FENCE => {
                    lanes.enter(shape, state, slot, words, level);
                }
                SlotState::WaitIo(io_slot) => match resume(state, slot, io_slot) {
                    Resume::Ends { end, frees } => {
                        lanes.freeing += usize::from(frees.is_some());
                        lanes.extend(slot, &Effects::of_ended(end));
                    }
                    Resume::GoesOn { bytes, .. } => {
                        let effects = Effects::of_run(shape, slot, words, Some(bytes));
                        lanes.freeing += usize::from(effects.request.is_none());
                        lanes.extend(slot, &effects);
                    }
                    Resume::Waits | Resume::Orphan => {}
                },
                _ => {}
            }
        }
        lanes
    }

    fn enter(
        &mut self,
        shape: &Shape,
        state: &State,
        slot: u32,
        words: &[u32; WORDS],
        level: Priority,
    ) {
        self.accesses.push((word::SHUTDOWN as Address, slot, Access::Read));
        if let Some(mask) = mask_word(words[2]) {
            self.accesses.push((mask as Address, slot, Access::Read));
        }
        if is_stopped(state.control(), words) {
            return;
        }
        self.wanting += usize::from(wants_io(shape, words));
        self.extend(slot, &Effects::of_slot(shape, slot, words, level));
    }

    fn extend(&mut self, slot: u32, effects: &Effects) {
        self.printing += usize::from(!effects.records.is_empty());
        self.records += effects.records.len();
        self.accesses.extend(effects.accesses.iter().map(|&(word, access)| (word, slot, access)));
    }

    /// Whether lanes touch one word in ways that do not commute.
    fn race(&self) -> bool {
        let mut accesses = self.accesses.clone();
        accesses.sort_unstable_by_key(|&(word, lane, _)| (word, lane));
        accesses.chunk_by(|a, b| a.0 == b.0).any(|word| {
            let is_shared = word.iter().any(|&(_, lane, _)| lane != word[0].1);
            let is_read = word.iter().all(|(_, _, access)| *access == Access::Read);
            let is_added = word.iter().all(|(_, _, access)| matches!(access, Access::Add(_)));
            is_shared && !is_read && !is_added
        })
    }

    /// Whether some lanes get an IO slot and others do not.
    fn contend_for_io(&self, state: &State) -> bool {
        let free = free_io_slots(state);
        self.wanting > free && free + self.freeing > 0
    }

    /// The range of the log that the lanes share, if any; an error if it is too short for some.
    fn printed(&self, state: &State) -> Result<Option<Range<usize>>, ()> {
        let log = state.debug_log();
        let (cursor, room) = (u64::from(log[0]), log.len() as u64 - 1);
        let words = (self.records * RECORD_WORDS) as u64;
        let none_fits = cursor + RECORD_WORDS as u64 > room;
        if self.printing < 2 || none_fits || log[0] >= CURSOR_MAX {
            return Ok(None);
        }
        if cursor + words > room {
            return Err(());
        }
        Ok(Some(1 + cursor as usize..1 + (cursor + words) as usize))
    }
}
