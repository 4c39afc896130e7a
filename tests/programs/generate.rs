//! Random programs: a row in some state, and what its host does between drains.

use crate::program::{Edit, Program, Step};
use crate::shape::{ARENA_WORDS, Shape, WORKSPACE_WORDS};
use crate::state::State;
use crate::words::{Temper, Words};
use fastrand::Rng;
use slipring_core::control::word;
use slipring_core::layout::Buffer;
use slipring_core::slot::{Priority, State as SlotState, status};
use slipring_core::{io_queue, opcode};

impl Program {
    /// The program of this seed for rows of this shape; always the same one.
    pub fn random(seed: u64, shape: &Shape) -> Self {
        let mut rng = Rng::with_seed(seed);
        let temper = [Temper::Apart, Temper::Apart, Temper::Racing, Temper::Alone][rng.usize(0..4)];
        let words = Words::new(&mut rng, shape, temper);
        Generator { words }.program()
    }
}

struct Generator<'a> {
    words: Words<'a>,
}

impl Generator<'_> {
    fn program(&mut self) -> Program {
        let geometry = self.words.shape.geometry;
        let control = self.control();
        let ring = (0..geometry.slots()).flat_map(|_| self.slot()).collect();
        let (debug_log, io_queue) = (self.debug_log(), self.io_queue());
        let mut values = |count| (0..count).map(|_| self.words.value()).collect();
        let (workspace, arena) = (values(WORKSPACE_WORDS), values(ARENA_WORDS));
        let mut start = State { buffers: [control, ring, debug_log, io_queue], workspace, arena };
        if self.words.temper == Temper::Alone {
            self.keep_one_a_level(&mut start);
        }
        self.match_io(&mut start);
        let steps = [0, 0, 1, 1, 2, 3][self.words.rng.usize(0..6)];
        let steps = (0..steps).map(|_| self.step()).collect();
        Program { start, steps }
    }

    fn slot(&mut self) -> [u32; 16] {
        let mut slot = self.words.job();
        slot[0] = self.words.status();
        slot
    }

    /// Un-publishes all but one slot of each level, fences apart.
    fn keep_one_a_level(&mut self, state: &mut State) {
        for level in Priority::ALL {
            let range = self.words.shape.partitions.range(level);
            let kept = self.words.rng.choice(range.clone());
            for slot in range.filter(|slot| Some(*slot) != kept) {
                let words = state.slot_mut(slot);
                if words[1] != opcode::BATCH_FENCE {
                    words[0] = [status::EMPTY, status::DONE][self.words.rng.usize(0..2)];
                }
            }
        }
    }

    fn control(&mut self) -> Vec<u32> {
        let mut control = vec![0; self.words.shape.geometry.control_words()];
        control[2] = 3;
        for tenant in 0..29 {
            let is_paused = tenant < 6 && self.words.chance(1, 16);
            let mask = if self.words.chance(1, 16) { self.words.value().max(1) } else { u32::MAX };
            control[word::TENANT_MASKS + tenant] = if is_paused { 0 } else { mask };
        }
        control[word::TENANT_QUOTAS..word::TENANT_CLAIMS].fill(1_000_000);
        if self.words.chance(1, 16) {
            control[word::SHUTDOWN] = self.words.value();
        }
        // Counters that are about to wrap.
        let counters = [word::DONE_COUNT, word::EPOCH, word::FAULTS, word::LEVEL_CLAIMS + 2];
        for counter in counters.into_iter().chain([word::TENANT_CLAIMS, word::METRICS + 2]) {
            if self.words.chance(1, 4) {
                control[counter] = u32::MAX - self.words.rng.u32(0..6);
            }
        }
        let any = if self.words.chance(1, 4) { 129..160 } else { 160..160 };
        for word in any.chain(160..control.len()) {
            control[word] = self.words.value();
        }
        control
    }

    fn debug_log(&mut self) -> Vec<u32> {
        let mut log = vec![0; self.words.shape.geometry.debug_log_words()];
        let room = log.len() as u32 - 1;
        log[1..].iter_mut().for_each(|word| *word = self.words.value());
        log[0] = match self.words.rng.u32(0..8) {
            0..=3 => 0,
            4 => (room & !3).saturating_sub(4 * self.words.rng.u32(0..4)),
            5 => self.words.rng.u32(0..room + 8),
            6 => u32::MAX - self.words.rng.u32(0..20),
            _ => [0x7FFF_FFFC, 0x7FFF_FFFE, 0x7FFF_FFFF, 0x8000_0000][self.words.rng.usize(0..4)],
        };
        log
    }

    fn io_queue(&mut self) -> Vec<u32> {
        let slots = self.words.shape.geometry.io_slots();
        let free_of_4 = self.words.rng.u32(0..5);
        let mut queue = Vec::new();
        for _ in 0..slots {
            let is_free = self.words.chance(free_of_4, 4);
            let busy = [1, 2, 0x10, 0x11, 0x12, 0x110, 7][self.words.rng.usize(0..7)];
            let tag = if self.words.chance(1, 2) { u32::MAX } else { self.words.rng.u32(0..40) };
            queue.extend((0..6).map(|_| self.words.rng.u32(..)));
            queue.extend([if is_free { 0 } else { busy }, tag]);
        }
        queue
    }

    /// Gives slots that wait for I/O an IO slot: mostly their own, some out of range.
    fn match_io(&mut self, state: &mut State) {
        use io_queue::status::{CLAIMED, EMPTY, ERROR, OK, PUBLISHED, RESERVED};
        let geometry = self.words.shape.geometry;
        for slot in 0..geometry.slots() {
            if !matches!(state.slot_state(slot), SlotState::WaitIo(_)) {
                continue;
            }
            let io_slot = self.words.rng.u32(0..geometry.io_slots());
            let words = state.slot_mut(slot);
            words[0] |= io_slot << 8;
            if self.words.chance(1, 8) {
                words[0] |= self.words.rng.u32(0..256) << 8;
            } else if self.words.chance(6, 7) {
                let may_be = [OK, OK, ERROR, ERROR, PUBLISHED, CLAIMED, CLAIMED, RESERVED];
                let is_orphan = self.words.chance(1, 40);
                let io_status = if is_orphan { EMPTY } else { may_be[self.words.rng.usize(0..8)] };
                let io = &mut state.buffers[Buffer::IoQueue as usize].as_chunks_mut::<8>().0;
                io[io_slot as usize][io_queue::word::TAG] = slot;
                io[io_slot as usize][io_queue::word::STATUS] = io_status;
            }
        }
    }

    fn step(&mut self) -> Step {
        let mut edits = Vec::new();
        if self.words.chance(3, 4) {
            edits.push(Edit::Shutdown(self.words.chance(1, 12)));
        }
        if self.words.chance(3, 4) {
            edits.push(Edit::CompleteIo { salt: self.words.rng.u32(0..3) });
        }
        if self.words.chance(1, 4) {
            let (tenant, is_paused) = (self.words.rng.u32(0..6), self.words.chance(1, 4));
            edits.push(Edit::Tenant { tenant, mask: u32::from(!is_paused) });
        }
        if self.words.chance(1, 6) {
            edits.push(Edit::ClearLog);
        }
        let is_resident = self.words.chance(1, 2);
        if !is_resident {
            for _ in 0..self.words.rng.u32(0..8) {
                let slot = self.words.rng.u32(0..self.words.shape.geometry.slots());
                let mut words = self.words.job();
                words[0] = status::PUBLISHED;
                edits.push(Edit::Publish { slot, words });
            }
        }
        Step { edits, is_resident }
    }
}
