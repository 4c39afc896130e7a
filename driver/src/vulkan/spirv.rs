//! The kernel as SPIR-V.

use crate::kernel::{Kernel, binding};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use std::collections::HashSet;

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
    }
    drop_names(&mut words);
    Ok(words)
}

/// The function of persist.wgsl whose load stays relaxed: it is made all the time, and once more,
/// in order, when it has found something. (Loads that acquire take twice as long, and more.)
const POLL: &str = "poll_status";

/// Orders every atomic load (acquire), store (release) and compare-exchange (both) of the ring and
/// the IO queue, whose statuses say when the words behind them may be read.
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
    let (mut poll, mut is_poll) = (0, false);
    let mut ordered = HashSet::new();
    let mut at = HEADER_WORDS;
    while at < words.len() {
        let (length, opcode) = ((words[at] >> 16).max(1) as usize, words[at] & 0xFFFF);
        let instruction = &mut words[at..at + length];
        let bindings = [binding::RING, binding::IO_QUEUE];
        match (opcode, &*instruction) {
            (OP_DECORATE, [_, id, DECORATION_BINDING, binding]) if bindings.contains(binding) => {
                ordered.insert(*id);
            }
            // A pointer into such a buffer is one too.
            (OP_ACCESS_CHAIN, [_, _, id, base, ..]) if ordered.contains(base) => {
                ordered.insert(*id);
            }
            (OP_TYPE_INT, [_, id, 32, 0]) => u32_type = *id,
            (OP_NAME, [_, id, name @ ..]) if is_named(name, POLL) => poll = *id,
            (OP_FUNCTION, [_, _, id, ..]) => {
                is_poll = *id == poll;
                if first_function == 0 {
                    first_function = at;
                }
            }
            (OP_ATOMIC_LOAD, [_, _, _, id, ..]) if ordered.contains(id) && !is_poll => {
                instruction[5] = acquire;
            }
            (OP_ATOMIC_STORE, [_, id, ..]) if ordered.contains(id) => instruction[3] = release,
            (OP_ATOMIC_COMPARE_EXCHANGE, [_, _, _, id, ..]) if ordered.contains(id) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashMap};

    /// The memory semantics of atomic loads, stores and compare-exchanges (equal, unequal) of the
    /// ring and the IO queue, and those of all others together.
    fn semantics(entry: &str) -> ([Vec<u32>; 4], BTreeSet<u32>) {
        let kernel = Kernel::builder().build().unwrap();
        let words = compile(&kernel, entry).unwrap();
        let (mut constants, mut bases) = (HashMap::new(), HashMap::new());
        let (mut shared, mut others) = (<[Vec<u32>; 4]>::default(), BTreeSet::new());
        let mut at = HEADER_WORDS;
        while at < words.len() {
            let length = (words[at] >> 16) as usize;
            let operands = &words[at + 1..at + length];
            // (kind, pointer, semantics) of an atomic.
            let mut atomics = Vec::new();
            match words[at] & 0xFFFF {
                OP_CONSTANT => drop(constants.insert(operands[1], operands[2])),
                OP_DECORATE if operands[1] == DECORATION_BINDING => {
                    bases.insert(operands[0], operands[2]);
                }
                OP_ACCESS_CHAIN => {
                    if let Some(binding) = bases.get(&operands[2]).copied() {
                        bases.insert(operands[1], binding);
                    }
                }
                OP_ATOMIC_LOAD => atomics.push((0, operands[2], operands[4])),
                OP_ATOMIC_STORE => atomics.push((1, operands[0], operands[2])),
                OP_ATOMIC_COMPARE_EXCHANGE => {
                    atomics.push((2, operands[2], operands[4]));
                    atomics.push((3, operands[2], operands[5]));
                }
                _ => {}
            }
            for (kind, pointer, semantics) in atomics {
                match bases.get(&pointer) {
                    Some(&(binding::RING | binding::IO_QUEUE)) => {
                        shared[kind].push(constants[&semantics]);
                    }
                    _ => drop(others.insert(constants[&semantics])),
                }
            }
            at += length;
        }
        (shared, others)
    }

    #[test]
    fn statuses_of_a_kernel_that_stays_acquire_and_release_but_when_it_polls() {
        for entry in [Kernel::PERSIST, Kernel::PERSIST_NARROW] {
            let ([mut loads, stores, equal, unequal], others) = semantics(entry);
            loads.sort_unstable();
            assert_eq!((loads[0], loads[1]), (0, 0x42), "{entry}: one relaxed load, the first");
            let all =
                |semantics: &[u32], expected| semantics.iter().all(|&found| found == expected);
            assert!(all(&loads[1..], 0x42), "{entry}: {loads:x?}");
            assert!(!stores.is_empty() && all(&stores, 0x44), "{entry}: {stores:x?}");
            assert!(!equal.is_empty() && all(&equal, 0x48), "{entry}: {equal:x?}");
            assert!(all(&unequal, 0x42), "{entry}: {unequal:x?}");
            assert_eq!(others, BTreeSet::from([0]), "{entry}");
        }
    }

    #[test]
    fn atomics_of_a_drain_are_relaxed() {
        let (shared, others) = semantics(Kernel::DRAIN);
        let relaxed = |semantics: &Vec<u32>| semantics.iter().all(|&found| found == 0);
        assert!(shared.iter().all(relaxed), "{shared:x?}");
        assert_eq!(others, BTreeSet::from([0]));
    }
}
