//! Random slots: every opcode, with arguments that mostly make sense.

use crate::handlers;
use crate::shape::WORKSPACE_WORDS;
use crate::words::{Temper, Words};
use slipring_core::opcode;
use slipring_core::packed::{MAX_OPS, Payload};
use slipring_core::slot::{ARGS, WORDS, status};

/// User opcodes without a handler, and opcodes that nobody may have.
const UNKNOWN: [u32; 15] = [
    8,
    9,
    11,
    31,
    32,
    255,
    256,
    0xFFEF,
    0xFFF0,
    0xFFFC,
    0xFFFF,
    0x1_0000,
    0x8000_0000,
    0x8000_0002,
    0xFFFF_FFFE,
];
/// Opcodes of a packed slot's operations.
const PACKABLE: [u32; 11] = [0, 1, 2, 3, 4, 5, 6, handlers::NOTE, handlers::ANSWER, 9, 255];

impl Words<'_> {
    /// A slot's words but for its status.
    pub fn job(&mut self) -> [u32; WORDS] {
        let tenant = self.tenant();
        let opcode = self.opcode(tenant);
        let mut slot = [0; WORDS];
        slot[1..4].copy_from_slice(&[opcode, tenant, self.rng.u32(0..6)]);
        let args = self.args(tenant, opcode);
        slot[4..4 + args.len()].copy_from_slice(&args);
        slot
    }

    /// A status word; published more often than not.
    pub fn status(&mut self) -> u32 {
        let high = self.rng.u32(..) & !0xFF;
        match self.rng.u32(0..48) {
            0..=30 => status::PUBLISHED,
            31..=34 => status::PUBLISHED | high,
            35..=37 => status::EMPTY,
            38 => status::CLAIMED | high,
            39 => status::DONE,
            40 => status::YIELD,
            41 => status::REQUEUE | high,
            42 => status::FAULT | self.rng.u32(1..8) << 8,
            43 => self.rng.u32(..),
            44 => status::WAIT_IO | high & 0xFFFF_0000,
            _ => status::WAIT_IO,
        }
    }

    fn tenant(&mut self) -> u32 {
        match self.rng.u32(0..20) {
            0..=8 => 0,
            9..=16 => self.rng.u32(1..6),
            17 | 18 => self.rng.u32(0..29),
            _ => [29, 30, 31, 32, 60, 93, u32::MAX][self.rng.usize(0..7)],
        }
    }

    fn opcode(&mut self, tenant: u32) -> u32 {
        let handled = handlers::OPCODES[self.rng.usize(0..handlers::OPCODES.len())];
        if let Some(own) = self.shape.fused
            && self.chance(1, 2)
        {
            return own;
        }
        match self.rng.u32(0..30) {
            0 => opcode::NOP,
            1 | 2 => opcode::STORE_U32,
            3..=5 => opcode::ATOMIC_ADD,
            6 | 7 => opcode::LOAD_U32,
            8 | 9 => opcode::COMPARE_SWAP,
            10 | 11 => opcode::MEMCPY,
            12 | 13 => opcode::DFA_STEP,
            14 | 15 => opcode::BATCH_FENCE,
            16..=18 => opcode::LOAD_MISS,
            19 | 20 => opcode::PRINTF,
            21..=23 => opcode::PACKED_SLOT,
            24 if tenant != 0 || self.temper != Temper::Apart || self.chance(1, 8) => {
                opcode::SHUTDOWN
            }
            24..=28 => handled,
            _ => UNKNOWN[self.rng.usize(0..UNKNOWN.len())],
        }
    }

    /// Up to twelve arguments.
    fn args(&mut self, tenant: u32, opcode: u32) -> Vec<u32> {
        let value = self.value();
        match opcode {
            opcode::STORE_U32 => vec![value, self.target(tenant)],
            opcode::ATOMIC_ADD => vec![value, self.sum(tenant)],
            opcode::LOAD_U32 => vec![self.source(), self.observable()],
            opcode::COMPARE_SWAP => {
                let expected = [0, 1, u32::MAX, 1_000_000, value][self.rng.usize(0..5)];
                vec![self.pair(tenant), expected, self.value()]
            }
            opcode::MEMCPY => self.memcpy(tenant),
            opcode::DFA_STEP => self.dfa_step(),
            opcode::BATCH_FENCE => {
                let window = [0, 1, 2, 3, self.rng.u32(0..20), u32::MAX][self.rng.usize(0..6)];
                vec![window, value]
            }
            opcode::LOAD_MISS => {
                let prefetch = if self.chance(1, 10) { value } else { self.rng.u32(0..2) };
                let any = |_| self.rng.u32(..);
                [vec![value, prefetch], (0..4).map(any).collect()].concat()
            }
            opcode::PACKED_SLOT => self.packed(tenant).to_vec(),
            handlers::NOTE => {
                let count = self.rng.u32(0..5);
                vec![count, value, self.value(), self.sum(1).wrapping_sub(160)]
            }
            handlers::MIX => {
                let (source, target) = (self.workspace_source(), self.workspace_target());
                vec![self.observable(), value, source, target]
            }
            handlers::FETCH => {
                let op = if self.chance(1, 8) { value } else { self.rng.u32(1..4) };
                let request = [op, value, self.value(), self.rng.u32(..), self.rng.u32(..), value];
                let own = [self.arena_target(), self.arena_source(), self.observable()];
                [&request[..], &own].concat()
            }
            handlers::ANSWER | handlers::ANSWER_WIDE => vec![match self.rng.u32(0..6) {
                0 | 1 => 0,
                2 | 3 => self.rng.u32(64..256),
                4 => [1, 2, 63, 256, 257, u32::MAX][self.rng.usize(0..6)],
                _ => value,
            }],
            _ => (0..ARGS).map(|_| self.value()).collect(),
        }
    }

    fn memcpy(&mut self, tenant: u32) -> Vec<u32> {
        let words = self.shape.control_words();
        if self.temper == Temper::Apart {
            let count = self.rng.usize(1..5);
            let source = if count == 1 { self.source() } else { self.take_run(0, count) };
            return vec![source, self.take_run(tenant, count), count as u32];
        }
        let count = match self.rng.u32(0..10) {
            0 => 0,
            1..=5 => self.rng.u32(1..12),
            6 => self.rng.u32(1..=words),
            7 => [4096, 4097, u32::MAX][self.rng.usize(0..3)],
            _ => words - self.rng.u32(0..3),
        };
        // Up to the very end, or one too far.
        let last = words.wrapping_sub(count).wrapping_add(u32::from(self.chance(1, 6)));
        let source = if self.chance(1, 3) { last } else { self.target(0) };
        let target = if self.chance(1, 3) { last } else { self.target(tenant) };
        vec![source, target, count]
    }

    fn dfa_step(&mut self) -> Vec<u32> {
        let state = [0u32, 0, 1, 2, 0xFF_FFFF, 0x100_0000][self.rng.usize(0..6)];
        let byte = if self.chance(1, 10) { self.edge(256) } else { self.rng.u32(0..256) };
        let table = match self.rng.u32(0..8) {
            0 => self.edge(WORKSPACE_WORDS - 256),
            1 => 0u32.wrapping_sub(state.wrapping_mul(256)).wrapping_sub(self.rng.u32(0..300)),
            _ => self.rng.u32(0..9),
        };
        vec![state, byte, table, self.observable()]
    }

    fn packed(&mut self, tenant: u32) -> [u32; ARGS] {
        let count = self.rng.usize(0..=MAX_OPS);
        let mut ops: Vec<(u8, Vec<u32>)> = Vec::new();
        for _ in 0..count {
            let opcode = PACKABLE[self.rng.usize(0..PACKABLE.len())];
            let mut args = self.args(tenant, opcode);
            args.truncate(if self.chance(1, 12) { 1 } else { 4 });
            ops.push((opcode as u8, args));
        }
        let payload = loop {
            let slices: Vec<_> = ops.iter().map(|(op, args)| (*op, &args[..])).collect();
            match Payload::pack(&slices) {
                Ok(payload) => break payload,
                Err(_) => _ = ops.pop(),
            }
        };
        let mut words = *payload.words();
        if self.chance(1, 6) {
            self.malform(&mut words);
        }
        words
    }

    /// Changes one byte of the metadata: counts, offsets, opcodes.
    fn malform(&mut self, words: &mut [u32; ARGS]) {
        let byte = self.rng.usize(0..10);
        let value = [0, 1, 4, 5, 7, 11, 12, 128, 255][self.rng.usize(0..9)];
        let shift = 8 * (byte % 4);
        words[byte / 4] = words[byte / 4] & !(0xFF << shift) | value << shift;
    }
}
