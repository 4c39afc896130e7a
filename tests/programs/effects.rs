//! What a slot does if it runs, told from its own words alone.
//!
//! No operation decides by what it reads where it writes, so a slot's words say all: how it
//! ends, which words it reads, sets and adds to. Two lanes race if one of them sets a word that
//! the other touches, or adds to one that the other reads.

use crate::handlers;
use crate::shape::{ARENA_WORDS, Shape, WORKSPACE_WORDS};
use slipring_core::control::word;
use slipring_core::packed::Payload;
use slipring_core::slot::{ARGS, Priority, WORDS, fault, fault_status, status};
use slipring_core::{io_queue, opcode};

/// A word: a control word, [`WORKSPACE`] and a word of the workspace, or [`ARENA`] and one of the
/// arena.
pub type Address = u64;
pub const WORKSPACE: Address = 1 << 32;
pub const ARENA: Address = 2 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Set,
    Add(u32),
}

/// What a slot does from its claim on.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    pub accesses: Vec<(Address, Access)>,
    /// Appended to the debug log.
    pub records: Vec<[u32; 4]>,
    /// The IO slot that it fills.
    pub request: Option<[u32; 8]>,
    /// Whether it had an IO slot to fill, that of the I/O that it has waited for.
    pub has_waited: bool,
    /// The status it ends with; that of WAIT_IO without its IO slot.
    pub end: u32,
}

/// A request that could run, and so wants an IO slot.
pub fn wants_io(shape: &Shape, slot: &[u32; WORDS]) -> bool {
    let is_request = match slot[1] {
        opcode::LOAD_MISS => slot[5] <= 1,
        handlers::FETCH => shape.has_handlers,
        _ => false,
    };
    is_request && shape.runs(slot[1]) && slot[2] < 29
}

impl Effects {
    /// Of a published slot that is no fence.
    pub fn of_slot(shape: &Shape, slot: u32, words: &[u32; WORDS], level: Priority) -> Self {
        let mut effects = Self::of_run(shape, slot, words, None);
        effects.add(word::TENANT_CLAIMS as u32 + words[2] % 32, 1);
        effects.add(word::LEVEL_CLAIMS as u32 + level.level(), 1);
        effects
    }

    /// Of a slot that runs; as the second time, if its I/O has moved so many bytes.
    pub fn of_run(shape: &Shape, slot: u32, words: &[u32; WORDS], moved: Option<u32>) -> Self {
        let mut effects = Self { has_waited: moved.is_some(), ..Self::default() };
        let tenant = words[2];
        let args = &words[4..];
        let code = if tenant >= 29 {
            Some(fault::TENANT)
        } else {
            let op = Op { shape, slot, tenant, opcode: words[1], args, moved };
            if words[1] == opcode::PACKED_SLOT && shape.runs(words[1]) {
                packed(&mut effects, &op)
            } else {
                op.run(&mut effects)
            }
        };
        let waits = effects.request.is_some_and(|request| request[7] == slot);
        let ended = if waits { status::WAIT_IO } else { status::DONE };
        effects.end = code.map_or(ended, fault_status);
        if !waits {
            effects.add(word::DONE_COUNT as u32, 1);
        }
        if code.is_some() {
            effects.add(word::FAULTS as u32, 1);
        }
        effects
    }

    /// Of a slot that ends because its I/O has.
    pub fn of_ended(end: u32) -> Self {
        let mut effects = Self { end, ..Self::default() };
        effects.add(word::DONE_COUNT as u32, 1);
        if end != status::DONE {
            effects.add(word::FAULTS as u32, 1);
        }
        effects
    }

    /// Of a published fence whose window has finished.
    pub fn of_fence(shape: &Shape, words: &[u32; WORDS], level: Priority) -> Self {
        let mut effects = Self { end: status::DONE, ..Self::default() };
        effects.add(word::TENANT_CLAIMS as u32 + words[2] % 32, 1);
        effects.add(word::LEVEL_CLAIMS as u32 + level.level(), 1);
        effects.add(word::DONE_COUNT as u32, 1);
        if words[2] >= 29 {
            effects.add(word::FAULTS as u32, 1);
            effects.end = fault_status(fault::TENANT);
            return effects;
        }
        effects.add(word::METRICS as u32 + opcode::BATCH_FENCE, 1);
        effects.add(word::EPOCH as u32, 1);
        if shape.geometry.observables() > 0 {
            effects.set(word::OBSERVABLES as u32);
        }
        effects
    }

    fn read(&mut self, word: u32) {
        self.accesses.push((word.into(), Access::Read));
    }

    fn set(&mut self, word: u32) {
        self.accesses.push((word.into(), Access::Set));
    }

    fn add(&mut self, word: u32, amount: u32) {
        self.accesses.push((word.into(), Access::Add(amount)));
    }
}

/// A packed slot: its operations up to the first that faults.
fn packed(effects: &mut Effects, slot: &Op<'_>) -> Option<u8> {
    let mut payload = [0; ARGS];
    payload.copy_from_slice(slot.args);
    let Ok(ops) = Payload::from_words(payload).parse() else { return Some(fault::PACKED) };
    ops.into_iter().find_map(|op| {
        let (opcode, args) = (u32::from(op.opcode), &slot.args[op.args]);
        Op { opcode, args, ..*slot }.run(effects)
    })
}

/// One operation.
#[derive(Clone, Copy)]
struct Op<'a> {
    shape: &'a Shape,
    slot: u32,
    tenant: u32,
    opcode: u32,
    args: &'a [u32],
    /// The bytes moved by what it has waited for.
    moved: Option<u32>,
}

impl Op<'_> {
    fn arg(&self, index: usize) -> u32 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// Adds its effects; returns its fault code, if it faults.
    fn run(&self, effects: &mut Effects) -> Option<u8> {
        if self.opcode < 32 {
            effects.add(word::METRICS as u32 + self.opcode, 1);
        }
        match self.opcode {
            opcode if !self.shape.runs(opcode) => Some(fault::OPCODE),
            opcode::NOP => None,
            opcode::STORE_U32 => self.update(effects, Access::Set),
            opcode::ATOMIC_ADD => self.update(effects, Access::Add(self.arg(0))),
            opcode::LOAD_U32 => self.load(effects),
            opcode::COMPARE_SWAP => self.compare_swap(effects),
            opcode::MEMCPY => self.memcpy(effects),
            opcode::DFA_STEP => self.dfa_step(effects),
            opcode::LOAD_MISS => self.load_miss(effects),
            opcode::PRINTF => {
                let slot_word = 16 * self.slot;
                effects.records.push([self.arg(0), self.arg(1), self.arg(2), slot_word]);
                None
            }
            opcode::SHUTDOWN if self.tenant != 0 => Some(fault::PROTECTED),
            opcode::SHUTDOWN => {
                effects.set(word::SHUTDOWN as u32);
                None
            }
            _ if self.shape.has_handlers => self.handler(effects),
            _ => Some(fault::OPCODE),
        }
    }

    fn is_protected(&self, word: u32) -> bool {
        self.tenant != 0 && word < 160
    }

    fn observables(&self) -> u32 {
        self.shape.geometry.observables()
    }

    fn update(&self, effects: &mut Effects, access: Access) -> Option<u8> {
        let word = self.arg(1);
        if word >= self.shape.control_words() {
            return Some(fault::RANGE);
        }
        if self.is_protected(word) {
            return Some(fault::PROTECTED);
        }
        effects.accesses.push((word.into(), access));
        None
    }

    fn load(&self, effects: &mut Effects) -> Option<u8> {
        let (from, to) = (self.arg(0), self.arg(1));
        if from >= self.shape.control_words() || to >= self.observables() {
            return Some(fault::RANGE);
        }
        effects.read(from);
        effects.set(160 + to);
        None
    }

    fn compare_swap(&self, effects: &mut Effects) -> Option<u8> {
        let word = self.arg(0);
        if word >= self.observables() {
            return Some(fault::RANGE);
        }
        if self.is_protected(word) {
            return Some(fault::PROTECTED);
        }
        effects.set(word);
        effects.set(160 + word);
        None
    }

    fn memcpy(&self, effects: &mut Effects) -> Option<u8> {
        let (from, to, count) = (self.arg(0), self.arg(1), self.arg(2));
        if count > opcode::MEMCPY_MAX_WORDS {
            return Some(fault::LIMIT);
        }
        let last = u64::from(from.max(to)) + u64::from(count);
        if count > 0 && last > u64::from(self.shape.control_words()) {
            return Some(fault::RANGE);
        }
        if count > 0 && self.is_protected(to) {
            return Some(fault::PROTECTED);
        }
        for i in 0..count {
            effects.read(from + i);
            effects.set(to + i);
        }
        None
    }

    fn dfa_step(&self, effects: &mut Effects) -> Option<u8> {
        let (state, byte, table) = (self.arg(0), self.arg(1), self.arg(2));
        let index = u64::from(table) + 256 * u64::from(state) + u64::from(byte);
        let in_table = byte < 256 && index < u64::from(WORKSPACE_WORDS);
        if !in_table || self.arg(3) >= self.observables() {
            return Some(fault::RANGE);
        }
        effects.accesses.push((WORKSPACE + index, Access::Read));
        effects.set(160 + self.arg(3));
        None
    }

    fn load_miss(&self, effects: &mut Effects) -> Option<u8> {
        let prefetch = self.arg(1);
        if prefetch > 1 {
            return Some(fault::RANGE);
        }
        let (source, destination, bytes) = (self.arg(0), self.arg(5), self.arg(4));
        let (low, high) = (self.arg(2), self.arg(3));
        let tag = if prefetch == 1 { u32::MAX } else { self.slot };
        let (read, published) = (io_queue::op::READ, io_queue::status::PUBLISHED);
        effects.request = Some([read, source, destination, low, high, bytes, published, tag]);
        None
    }

    fn handler(&self, effects: &mut Effects) -> Option<u8> {
        let code = match self.opcode {
            handlers::NOTE => self.note(effects),
            handlers::ANSWER | handlers::ANSWER_WIDE => self.arg(0),
            handlers::MIX => self.mix(effects),
            handlers::FETCH => return self.fetch(effects),
            _ => return Some(fault::OPCODE),
        };
        match code {
            0 => None,
            64..=255 => Some(code as u8),
            _ => Some(fault::RANGE),
        }
    }

    fn note(&self, effects: &mut Effects) -> u32 {
        for i in 0..handlers::notes(self.arg(0)) {
            let format = self.arg(1).wrapping_add(i);
            effects.records.push([format, self.arg(2), self.tenant, 16 * self.slot]);
        }
        if self.arg(3) >= self.observables() {
            return 64 + self.arg(1) % 192;
        }
        effects.add(160 + self.arg(3), self.arg(2));
        0
    }

    fn mix(&self, effects: &mut Effects) -> u32 {
        let (from, to) = (self.arg(2), self.arg(3));
        if from < WORKSPACE_WORDS {
            effects.accesses.push((WORKSPACE + u64::from(from), Access::Read));
        }
        if to >= WORKSPACE_WORDS {
            return 255;
        }
        effects.accesses.push((WORKSPACE + u64::from(to), Access::Set));
        if self.arg(0) >= self.observables() {
            return 1;
        }
        effects.set(160 + self.arg(0));
        0
    }

    fn fetch(&self, effects: &mut Effects) -> Option<u8> {
        let published = io_queue::status::PUBLISHED;
        let Some(moved) = self.moved else {
            let [op, source, destination, low, high, bytes] =
                [0, 1, 2, 3, 4, 5].map(|i| self.arg(i));
            effects.request =
                Some([op, source, destination, low, high, bytes, published, self.slot]);
            return None;
        };
        let (to, from) = (self.arg(6), self.arg(7));
        if from < ARENA_WORDS {
            effects.accesses.push((ARENA + u64::from(from), Access::Read));
        }
        if to >= ARENA_WORDS {
            return Some(254);
        }
        effects.accesses.push((ARENA + u64::from(to), Access::Set));
        if moved % 2 == 1 {
            let (write, low, bytes) = (io_queue::op::WRITE, self.arg(4), self.arg(5));
            let request = [write, moved, self.arg(2), low, moved, bytes, published, self.slot];
            effects.request = Some(request);
            return None;
        }
        if self.arg(8) >= self.observables() {
            return Some(fault::RANGE);
        }
        effects.set(160 + self.arg(8));
        None
    }
}
