//! The kernel as SPIR-V.

use crate::kernel::{Kernel, binding};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use std::collections::HashMap;

/// Compiles one entry point.
///
/// # Errors
/// What naga says; for an entry point that there is it says nothing.
pub(crate) fn compile(kernel: &Kernel, entry: &str) -> Result<Vec<u32>, String> {
    let options = spv::Options {
        lang_version: (1, 3),
        // For the names of functions, which `order_atomics` drops again.
        flags: spv::WriterFlags::DEBUG,
        // A handler's own arrays are bounded too: nothing outside the buffers is touched.
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Restrict,
            image_load: BoundsCheckPolicy::Restrict,
            binding_array: BoundsCheckPolicy::Restrict,
        },
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry.to_owned(),
    };
    let (module, info) = (kernel.module(), kernel.module_info());
    let words = spv::write_vec(module, info, &options, Some(&pipeline));
    let mut words = words.map_err(|error| error.to_string())?;
    if [Kernel::PERSIST, Kernel::PERSIST_NARROW].contains(&entry) {
        order_atomics(&mut words);
        decorate_arena(&mut words);
    }
    drop_names(&mut words);
    Ok(words)
}

/// The function of persist.wgsl whose load stays relaxed: it is made all the time, and once more,
/// in order, when it has found something.
const POLL: &str = "poll_status";
/// The function of slot.wgsl that counts finished slots.
const COUNT: &str = "count_done";

/// Orders the atomics that say when other words may be read: loads of the ring and the IO queue
/// acquire, but for [`POLL`]'s, and stores release; so does [`COUNT`]'s addition, which the host
/// waits for too; reserving an IO slot does both. (A claim follows a load that has acquired, and is
/// relaxed.)
///
/// WGSL's atomics are relaxed. While a kernel stays on, no end of a submission orders what it and
/// the host write: a lane that sees PUBLISHED must see the slot behind it, and the host that sees
/// DONE the job's effects.
fn order_atomics(words: &mut Vec<u32>) {
    const ACQUIRE: u32 = 0x2 | UNIFORM_MEMORY;
    const RELEASE: u32 = 0x4 | UNIFORM_MEMORY;
    const BOTH: u32 = 0x8 | UNIFORM_MEMORY;
    let first_id = words[BOUND];
    let [acquire, release, both] = [first_id, first_id + 1, first_id + 2];
    let (mut u32_type, mut first_function) = (0, 0);
    let (mut poll, mut count, mut function) = (0, 0, 0);
    let mut bindings = HashMap::new();
    let mut at = HEADER_WORDS;
    while at < words.len() {
        let (length, opcode) = ((words[at] >> 16).max(1) as usize, words[at] & 0xFFFF);
        let instruction = &mut words[at..at + length];
        let binding = |id| bindings.get(id).copied();
        let is_ordered = |id| matches!(binding(id), Some(binding::RING | binding::IO_QUEUE));
        match (opcode, &*instruction) {
            (OP_DECORATE, [_, id, DECORATION_BINDING, binding]) => {
                bindings.insert(*id, *binding);
            }
            // A pointer into a buffer is one too.
            (OP_ACCESS_CHAIN, [_, _, id, base, ..]) => {
                if let Some(binding) = binding(base) {
                    bindings.insert(*id, binding);
                }
            }
            (OP_TYPE_INT, [_, id, 32, 0]) => u32_type = *id,
            (OP_NAME, [_, id, name @ ..]) if is_named(name, POLL) => poll = *id,
            (OP_NAME, [_, id, name @ ..]) if is_named(name, COUNT) => count = *id,
            (OP_FUNCTION, [_, _, id, ..]) => {
                function = *id;
                if first_function == 0 {
                    first_function = at;
                }
            }
            (OP_ATOMIC_LOAD, [_, _, _, id, ..]) if is_ordered(id) && function != poll => {
                instruction[5] = acquire;
            }
            (OP_ATOMIC_STORE, [_, id, ..]) if is_ordered(id) => instruction[3] = release,
            (OP_ATOMIC_I_ADD, _) if function == count => instruction[5] = release,
            (OP_ATOMIC_COMPARE_EXCHANGE, [_, _, _, id, ..])
                if binding(id) == Some(binding::IO_QUEUE) =>
            {
                instruction[5..7].copy_from_slice(&[both, acquire]);
            }
            _ => {}
        }
        at += length;
    }
    let constants = [(acquire, ACQUIRE), (release, RELEASE), (both, BOTH)]
        .map(|(id, value)| [4 << 16 | OP_CONSTANT, u32_type, id, value]);
    words.splice(first_function..first_function, constants.into_iter().flatten());
    words[BOUND] = first_id + 3;
}

/// Has the arena be read from where the host writes it: while a kernel stays on, a chunk that it has
/// read before has other bytes. A compiler that sees no write to a buffer may take it for constant,
/// and read it through a cache that no acquire empties (NVIDIA's does).
fn decorate_arena(words: &mut Vec<u32>) {
    let mut at = HEADER_WORDS;
    while at < words.len() {
        let (length, opcode) = ((words[at] >> 16).max(1) as usize, words[at] & 0xFFFF);
        if let (OP_DECORATE, [_, id, DECORATION_BINDING, binding::ARENA]) =
            (opcode, &words[at..at + length])
        {
            let coherent = [3 << 16 | OP_DECORATE, *id, DECORATION_COHERENT];
            words.splice(at..at, coherent);
            return;
        }
        at += length;
    }
}

/// Whether a literal is this name.
fn is_named(literal: &[u32], name: &str) -> bool {
    let bytes: &[u8] = bytemuck::cast_slice(literal);
    bytes.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
}

/// Drops names, and the source language, which older validation layers do not know.
fn drop_names(words: &mut Vec<u32>) {
    let mut at = HEADER_WORDS;
    let mut kept = HEADER_WORDS;
    while at < words.len() {
        let (length, opcode) = ((words[at] >> 16).max(1) as usize, words[at] & 0xFFFF);
        if ![OP_SOURCE, OP_NAME, OP_MEMBER_NAME].contains(&opcode) {
            words.copy_within(at..at + length, kept);
            kept += length;
        }
        at += length;
    }
    words.truncate(kept);
}

const HEADER_WORDS: usize = 5;
/// Where the header says which ids are taken.
const BOUND: usize = 3;
const UNIFORM_MEMORY: u32 = 0x40;
const DECORATION_COHERENT: u32 = 23;
const DECORATION_BINDING: u32 = 33;
const OP_SOURCE: u32 = 3;
const OP_NAME: u32 = 5;
const OP_MEMBER_NAME: u32 = 6;
const OP_TYPE_INT: u32 = 21;
const OP_CONSTANT: u32 = 43;
const OP_FUNCTION: u32 = 54;
const OP_ACCESS_CHAIN: u32 = 65;
const OP_DECORATE: u32 = 71;
const OP_ATOMIC_LOAD: u32 = 227;
const OP_ATOMIC_STORE: u32 = 228;
const OP_ATOMIC_COMPARE_EXCHANGE: u32 = 230;
const OP_ATOMIC_I_ADD: u32 = 234;

#[cfg(test)]
mod tests {
    use super::*;

    /// An atomic: what it does, to which buffer, and its memory semantics.
    type Atomic = (u32, u32, Vec<u32>);

    fn atomics(entry: &str) -> Vec<Atomic> {
        let kernel = Kernel::builder().build().unwrap();
        let words = compile(&kernel, entry).unwrap();
        let (mut constants, mut bases, mut atomics) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut at = HEADER_WORDS;
        while at < words.len() {
            let length = (words[at] >> 16) as usize;
            let (opcode, operands) = (words[at] & 0xFFFF, &words[at + 1..at + length]);
            let (pointer, semantics) = match opcode {
                OP_ATOMIC_STORE => (0, 2..3),
                OP_ATOMIC_COMPARE_EXCHANGE => (2, 4..6),
                OP_ATOMIC_LOAD | OP_ATOMIC_I_ADD => (2, 4..5),
                _ => (0, 0..0),
            };
            match opcode {
                OP_CONSTANT => drop(constants.insert(operands[1], operands[2])),
                OP_DECORATE if operands[1] == DECORATION_BINDING => {
                    bases.insert(operands[0], operands[2]);
                }
                OP_ACCESS_CHAIN => {
                    if let Some(binding) = bases.get(&operands[2]).copied() {
                        bases.insert(operands[1], binding);
                    }
                }
                _ => {}
            }
            if !semantics.is_empty() {
                let semantics = operands[semantics].iter().map(|id| constants[id]).collect();
                // A variable of the workgroup has no binding.
                let binding = bases.get(&operands[pointer]).copied().unwrap_or(u32::MAX);
                atomics.push((opcode, binding, semantics));
            }
            at += length;
        }
        atomics
    }

    #[test]
    fn what_says_that_other_words_may_be_read_is_ordered_in_a_kernel_that_stays() {
        for entry in [Kernel::PERSIST, Kernel::PERSIST_NARROW] {
            let mut found = HashMap::<_, usize>::new();
            for (opcode, binding, semantics) in atomics(entry) {
                let shared = matches!(binding, binding::RING | binding::IO_QUEUE);
                let expected: &[&[u32]] = match (opcode, binding) {
                    (OP_ATOMIC_LOAD, binding::RING) => &[&[0], &[0x42]],
                    (OP_ATOMIC_LOAD, _) if shared => &[&[0x42]],
                    (OP_ATOMIC_STORE, _) if shared => &[&[0x44]],
                    (OP_ATOMIC_COMPARE_EXCHANGE, binding::IO_QUEUE) => &[&[0x48, 0x42]],
                    (OP_ATOMIC_COMPARE_EXCHANGE, _) => &[&[0, 0]],
                    (OP_ATOMIC_I_ADD, binding::CONTROL) => &[&[0], &[0x44]],
                    _ => &[&[0]],
                };
                assert!(expected.contains(&&semantics[..]), "{entry}: {opcode} {semantics:x?}");
                *found.entry((opcode, binding, semantics)).or_default() += 1;
            }
            let count = |opcode, binding, semantics: &[u32]| {
                found.get(&(opcode, binding, semantics.to_vec())).copied().unwrap_or(0)
            };
            assert_eq!(count(OP_ATOMIC_LOAD, binding::RING, &[0]), 1, "{entry}: the poll");
            assert!(count(OP_ATOMIC_LOAD, binding::RING, &[0x42]) > 1, "{entry}");
            assert!(count(OP_ATOMIC_STORE, binding::RING, &[0x44]) > 0, "{entry}");
            assert_eq!(count(OP_ATOMIC_I_ADD, binding::CONTROL, &[0x44]), 1, "{entry}: the count");
        }
    }

    #[test]
    fn a_kernel_that_stays_reads_the_arena_from_where_the_host_writes_it() {
        let wgsl = "fn f(job: Job) -> u32 { observe(0u, arena_load(0u)); return HANDLER_OK; }";
        let handler = crate::Handler::wgsl(0x100, "f", "f.wgsl", wgsl);
        let kernel = Kernel::builder().handler(handler).build().unwrap();
        let decorated = |entry| {
            let words = compile(&kernel, entry).unwrap();
            let coherent = words.windows(3).position(|words| {
                words[0] == 3 << 16 | OP_DECORATE && words[2] == DECORATION_COHERENT
            });
            coherent.map(|at| words[at + 3..at + 7].to_vec())
        };
        for entry in [Kernel::PERSIST, Kernel::PERSIST_NARROW] {
            let next = decorated(entry).unwrap();
            assert_eq!(next[0], 4 << 16 | OP_DECORATE);
            assert_eq!(next[2..], [DECORATION_BINDING, binding::ARENA]);
        }
        assert_eq!(decorated(Kernel::DRAIN), None);
    }

    #[test]
    fn atomics_of_a_drain_are_relaxed() {
        let is_relaxed = |(_, _, semantics): &Atomic| semantics.iter().all(|&found| found == 0);
        assert!(atomics(Kernel::DRAIN).iter().all(is_relaxed));
    }
}
