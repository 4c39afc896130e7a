//! The opcodes, one function each.

use super::call::{Call, HANDLER_CONTINUES, HANDLER_OK};
use super::io::{HANDLER_RETRIES, HANDLER_WAITS};
use super::{End, Twin};
use crate::control::{METRIC_SLOTS, word};
use crate::io_queue::{NO_SLOT, op};
use crate::opcode::{self, DFA_COLUMNS, MEMCPY_MAX_WORDS};
use crate::packed::Payload;
use crate::slot::fault;
use crate::words::WordMut;

impl<'a, W: WordMut, F: FnMut(&Call<'a, W>) -> Option<u32>> Twin<'a, W, F> {
    /// Runs a claimed slot.
    pub(super) fn run(&mut self, call: &Call<'a, W>) -> End {
        match call.opcode {
            opcode if !self.runs(opcode) => self.simple(call),
            opcode::PACKED_SLOT => self.packed(call),
            opcode::LOAD_MISS => load_miss(call),
            opcode::SHUTDOWN => shutdown(call),
            opcode::PRINTF => {
                call.debug_print(call.arg(0), call.arg(1), call.arg(2));
                End::Done
            }
            _ => self.simple(call),
        }
    }

    fn packed(&mut self, call: &Call<'a, W>) -> End {
        let Ok(ops) = Payload::from_words(call.args.all()).parse() else {
            return End::Fault(fault::PACKED);
        };
        for op in &ops {
            let end = self.simple(&call.packed(op));
            if end != End::Done {
                return end;
            }
        }
        End::Done
    }

    /// The operations that may also stand in a packed slot.
    fn simple(&mut self, call: &Call<'a, W>) -> End {
        if (call.opcode as usize) < METRIC_SLOTS {
            self.add(word::METRICS + call.opcode as usize, 1);
        }
        match call.opcode {
            opcode if !self.runs(opcode) => End::Fault(fault::OPCODE),
            opcode::NOP => End::Done,
            opcode::STORE_U32 => update(call, |_, value| value),
            opcode::ATOMIC_ADD => update(call, u32::wrapping_add),
            opcode::LOAD_U32 => load(call),
            opcode::COMPARE_SWAP => compare_swap(call),
            opcode::MEMCPY => memcpy(call),
            opcode::DFA_STEP => dfa_step(call),
            opcode if opcode::is_user(opcode) => match (self.handlers)(call) {
                None => End::Fault(fault::OPCODE),
                Some(HANDLER_OK) => End::Done,
                Some(HANDLER_CONTINUES)
                    if !opcode::is_packable(opcode)
                        && self.segment.saturating_add(1) < self.segments =>
                {
                    End::Continues
                }
                // Of request_io's answers only the one that it has given.
                Some(HANDLER_RETRIES) if call.io.answers(HANDLER_RETRIES) => End::Retries,
                Some(code @ HANDLER_WAITS..) if call.io.answers(code) => {
                    End::WaitIo((code - HANDLER_WAITS) as u8)
                }
                Some(code) => match u8::try_from(code) {
                    Ok(code) if code >= fault::USER_MIN => End::Fault(code),
                    _ => End::Fault(fault::RANGE),
                },
            },
            _ => End::Fault(fault::OPCODE),
        }
    }
}

/// Whether the slot may not write the control word: only tenant 0 may write below the
/// observables.
fn is_protected<W: WordMut>(call: &Call<'_, W>, word: u32) -> bool {
    call.tenant != 0 && (word as usize) < word::OBSERVABLES
}

/// `control[a1] = f(control[a1], a0)`.
fn update<W: WordMut>(call: &Call<'_, W>, f: impl Fn(u32, u32) -> u32) -> End {
    let target = call.arg(1);
    let Some(word) = call.row.control.words().get(target as usize) else {
        return End::Fault(fault::RANGE);
    };
    if is_protected(call, target) {
        return End::Fault(fault::PROTECTED);
    }
    word.store(f(word.load(), call.arg(0)));
    End::Done
}

fn load<W: WordMut>(call: &Call<'_, W>) -> End {
    let Some(source) = call.row.control.words().get(call.arg(0) as usize) else {
        return End::Fault(fault::RANGE);
    };
    if call.observe(call.arg(1), source.load()) { End::Done } else { End::Fault(fault::RANGE) }
}

fn compare_swap<W: WordMut>(call: &Call<'_, W>) -> End {
    let target = call.arg(0);
    // The old value's word lies furthest: if it is there, so is the target.
    if target >= call.observable_count() {
        return End::Fault(fault::RANGE);
    }
    if is_protected(call, target) {
        return End::Fault(fault::PROTECTED);
    }
    let Some(word) = call.row.control.words().get(target as usize) else {
        return End::Fault(fault::RANGE);
    };
    let old = word.load();
    if old == call.arg(1) {
        word.store(call.arg(2));
    }
    call.observe(target, old);
    End::Done
}

fn memcpy<W: WordMut>(call: &Call<'_, W>) -> End {
    let (from, to, words) = (call.arg(0), call.arg(1), call.arg(2));
    if words > MEMCPY_MAX_WORDS {
        return End::Fault(fault::LIMIT);
    }
    if words == 0 {
        return End::Done;
    }
    let control = call.row.control.words();
    let window = |start: u32| {
        let end = u64::from(start) + u64::from(words);
        usize::try_from(end).ok().and_then(|end| control.get(start as usize..end))
    };
    let (Some(source), Some(target)) = (window(from), window(to)) else {
        return End::Fault(fault::RANGE);
    };
    if is_protected(call, to) {
        return End::Fault(fault::PROTECTED);
    }
    for (source, target) in source.iter().zip(target) {
        target.store(source.load());
    }
    End::Done
}

fn dfa_step<W: WordMut>(call: &Call<'_, W>) -> End {
    let (state, byte) = (u64::from(call.arg(0)), u64::from(call.arg(1)));
    let (table, result) = (u64::from(call.arg(2)), call.arg(3));
    let index = table + state * u64::from(DFA_COLUMNS) + byte;
    let in_table = byte < u64::from(DFA_COLUMNS) && index < u64::from(call.workspace_len());
    if !in_table || result >= call.observable_count() {
        return End::Fault(fault::RANGE);
    }
    call.observe(result, call.workspace_load(index as u32));
    End::Done
}

/// The flag tells a load from a prefetch, for which no slot waits.
fn load_miss<W: WordMut>(call: &Call<'_, W>) -> End {
    let is_prefetch = match call.arg(1) {
        0 => false,
        1 => true,
        _ => return End::Fault(fault::RANGE),
    };
    let offset = u64::from(call.arg(3)) << 32 | u64::from(call.arg(2));
    let tag = if is_prefetch { NO_SLOT } else { call.slot };
    match call.publish_request(op::READ, [call.arg(0), call.arg(5)], offset, call.arg(4), tag) {
        None => End::Fault(fault::RANGE),
        Some(_) if is_prefetch => End::Done,
        Some(io_slot) => End::WaitIo(io_slot),
    }
}

fn shutdown<W: WordMut>(call: &Call<'_, W>) -> End {
    if call.tenant != 0 {
        return End::Fault(fault::PROTECTED);
    }
    if let Some(word) = call.row.control.words().get(word::SHUTDOWN) {
        word.store_release(1);
    }
    End::Done
}
