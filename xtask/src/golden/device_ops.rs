//! The reference's direct kernel, with the items that change it: its operations.
//!
//! Control words out of bounds read as 0 and are not written; index arithmetic wraps.

use super::device_rules::{Args, BATCH_FENCE, DeviceRules, End, LOAD_MISS};

const METRICS: u32 = 96;
const EPOCH: u32 = 128;
const OBSERVABLES: u32 = 160;

const OPCODE: End = End::Fault(1);
const PROTECTED: End = End::Fault(3);
const RANGE: End = End::Fault(4);
const PACKED: End = End::Fault(5);
const LIMIT: End = End::Fault(7);

impl DeviceRules {
    /// Runs an operation of a slot, or of a packed slot.
    pub fn operate(&mut self, slot: u32, tenant: u32, opcode: u32, args: Args) -> End {
        let [a, b, c, ..] = args;
        if opcode < 32 {
            self.add(METRICS + opcode, 1);
        }
        match opcode {
            0 => End::Done,
            1 => self.store(tenant, b, |_| a),
            2 => self.store(tenant, b, |old| old.wrapping_add(a)),
            3 => self.load_u32(a, b),
            4 => self.compare_swap(tenant, a, b, c),
            5 => self.memcpy(tenant, a, b, c),
            6 if self.items.has(15) => self.dfa_step(args),
            6 => End::Done,
            BATCH_FENCE => {
                self.add(EPOCH, 1);
                self.set(OBSERVABLES, b);
                End::Done
            }
            // The flag of a prefetch is 0 or 1.
            LOAD_MISS if self.items.has(11) => RANGE,
            0xFFFE => self.printf([a, b, c, 16 * slot]),
            0x8000_0001 => self.packed(slot, tenant, args),
            u32::MAX if self.items.has(3) && tenant != 0 => PROTECTED,
            u32::MAX => {
                self.set(0, 1);
                End::Done
            }
            _ if self.items.has(4) => OPCODE,
            _ => End::Done,
        }
    }

    /// The table lies in the workspace, which is one zero word.
    fn dfa_step(&mut self, [state, input, table, result, ..]: Args) -> End {
        let observables = self.control.len() as u32 - OBSERVABLES;
        if state != 0 || input != 0 || table != 0 || result >= observables {
            return RANGE;
        }
        self.set(OBSERVABLES + result, 0);
        End::Done
    }

    pub fn load(&self, word: u32) -> u32 {
        self.control.get(word as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, word: u32, value: u32) {
        if let Some(word) = self.control.get_mut(word as usize) {
            *word = value;
        }
    }

    pub fn add(&mut self, word: u32, value: u32) {
        self.set(word, self.load(word).wrapping_add(value));
    }

    /// Whether item 3 forbids a tenant to write the words, as a fault.
    fn check_write(&self, tenant: u32, word: u32, words: u32) -> End {
        if !self.has(word, words) {
            return RANGE;
        }
        if self.items.has(3) && tenant != 0 && word < OBSERVABLES { PROTECTED } else { End::Done }
    }

    /// Whether the words are there; without item 3, always.
    fn has(&self, word: u32, words: u32) -> bool {
        let end = u64::from(word) + u64::from(words);
        !self.items.has(3) || end <= self.control.len() as u64
    }

    fn has_observable(&self, index: u32) -> bool {
        !self.items.has(3) || u64::from(index) + 160 < self.control.len() as u64
    }

    fn store(&mut self, tenant: u32, word: u32, f: impl Fn(u32) -> u32) -> End {
        let end = self.check_write(tenant, word, 1);
        if end == End::Done {
            self.set(word, f(self.load(word)));
        }
        end
    }

    fn load_u32(&mut self, from: u32, observable: u32) -> End {
        if !self.has(from, 1) || !self.has_observable(observable) {
            return RANGE;
        }
        self.set(OBSERVABLES.wrapping_add(observable), self.load(from));
        End::Done
    }

    fn compare_swap(&mut self, tenant: u32, word: u32, expected: u32, value: u32) -> End {
        if !self.has_observable(word) {
            return RANGE;
        }
        let end = self.check_write(tenant, word, 1);
        if end != End::Done {
            return end;
        }
        let old = self.load(word);
        if old == expected {
            self.set(word, value);
        }
        self.set(OBSERVABLES.wrapping_add(word), old);
        End::Done
    }

    fn memcpy(&mut self, tenant: u32, from: u32, to: u32, words: u32) -> End {
        if self.items.has(24) && words > 4096 {
            return LIMIT;
        }
        if words == 0 {
            return End::Done;
        }
        let end = self.check_write(tenant, to, words);
        if end != End::Done {
            return if self.has(from, words) { end } else { RANGE };
        }
        if !self.has(from, words) {
            return RANGE;
        }
        // Only the steps that write a word that is there, in their order.
        let targets = 0..self.control.len() as u32;
        let steps = targets.map(|word| word.wrapping_sub(to)).filter(|step| *step < words);
        let mut steps: Vec<u32> = steps.collect();
        steps.sort_unstable();
        for step in steps {
            self.set(to.wrapping_add(step), self.load(from.wrapping_add(step)));
        }
        End::Done
    }

    fn printf(&mut self, record: [u32; 4]) -> End {
        let cursor = self.debug_log[0];
        if self.items.has(10) {
            self.debug_log[0] = cursor.saturating_add(4).min(0xFFFF_FFFC).max(cursor);
        } else {
            self.debug_log[0] = cursor.wrapping_add(4);
        }
        let base = cursor.wrapping_add(1);
        let fits = match self.items.has(10) {
            true => u64::from(cursor) + 5 <= self.debug_log.len() as u64,
            // The bound is the default length, and the sum wraps.
            false => base.wrapping_add(4) <= 257,
        };
        if fits {
            for (index, value) in (0..).zip(record) {
                if let Some(word) = self.debug_log.get_mut(base.wrapping_add(index) as usize) {
                    *word = value;
                }
            }
        }
        End::Done
    }

    fn packed(&mut self, slot: u32, tenant: u32, args: Args) -> End {
        let byte = |index: usize| args[index / 4] >> (8 * (index % 4)) & 0xFF;
        let strict = self.items.has(9);
        let (count, total) = (byte(0), byte(1));
        let ops = count.min(4);
        let metadata = (2 + 2 * ops).div_ceil(4);
        let pair = |op: u32| (byte(2 + 2 * op as usize), byte(3 + 2 * op as usize));
        if strict {
            let mut least = 0;
            let mut fits = count <= 4 && metadata + total <= 12;
            for op in 0..ops {
                let (opcode, offset) = pair(op);
                fits &= opcode != BATCH_FENCE && (least..=total).contains(&offset);
                least = offset;
            }
            if !fits {
                return PACKED;
            }
        }
        for op in 0..ops {
            let (opcode, offset) = pair(op);
            let start = metadata + offset;
            let end = match strict {
                true if op + 1 < ops => metadata + pair(op + 1).1,
                true => metadata + total,
                false if start + 3 > 12 => continue,
                false => start + 3,
            };
            let inner = |index| {
                let word = start as usize + index;
                if word < end as usize { args[word] } else { 0 }
            };
            let end = self.operate(slot, tenant, opcode, std::array::from_fn(inner));
            if end != End::Done {
                return end;
            }
        }
        End::Done
    }
}
