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
        flags: spv::WriterFlags::empty(),
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
    Ok(words)
}

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
            (OP_FUNCTION, _) if first_function == 0 => first_function = at,
            (OP_ATOMIC_LOAD, [_, _, _, id, ..]) if ordered.contains(id) => {
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

const HEADER_WORDS: usize = 5;
/// Where the header says which ids are taken.
const BOUND: usize = 3;
const UNIFORM_MEMORY: u32 = 0x40;
const DECORATION_BINDING: u32 = 33;
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
    fn semantics(entry: &str) -> ([BTreeSet<u32>; 4], BTreeSet<u32>) {
        let kernel = Kernel::builder().build().unwrap();
        let words = compile(&kernel, entry).unwrap();
        let (mut constants, mut bases) = (HashMap::new(), HashMap::new());
        let (mut shared, mut others) = (<[BTreeSet<u32>; 4]>::default(), BTreeSet::new());
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
                        shared[kind].insert(constants[&semantics]);
                    }
                    _ => drop(others.insert(constants[&semantics])),
                }
            }
            at += length;
        }
        (shared, others)
    }

    #[test]
    fn statuses_of_a_kernel_that_stays_acquire_and_release() {
        for entry in [Kernel::PERSIST, Kernel::PERSIST_NARROW] {
            let expected = [0x42, 0x44, 0x48, 0x42].map(|value| BTreeSet::from([value]));
            assert_eq!(semantics(entry), (expected, BTreeSet::from([0])), "{entry}");
        }
    }

    #[test]
    fn atomics_of_a_drain_are_relaxed() {
        let relaxed = [0, 0, 0, 0].map(|value| BTreeSet::from([value]));
        assert_eq!(semantics(Kernel::DRAIN), (relaxed, BTreeSet::from([0])));
    }
}
