//! The assembled WGSL against slipring-core's layout, by reflection.

use crate::kernel::modules::{COMMON, FUSED, INTERPRETER};
use crate::kernel::{Kernel, binding};
use naga::{AddressSpace, ArraySize, Module, StorageAccess, TypeInner};
use slipring_core::{io_queue, slot};

fn module() -> Module {
    let kernel = Kernel::builder().build().unwrap();
    naga::front::wgsl::parse_str(kernel.source()).unwrap()
}

/// Names and byte offsets of a struct's members, and its size.
fn members(module: &Module, name: &str) -> (Vec<(String, u32)>, u32) {
    let (_, ty) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
    let TypeInner::Struct { members, span } = &ty.inner else { panic!("{name} is no struct") };
    let offset = |member: &naga::StructMember| (member.name.clone().unwrap(), member.offset);
    (members.iter().map(offset).collect(), *span)
}

fn words(layout: &[(&str, usize)]) -> Vec<(String, u32)> {
    layout.iter().map(|(name, word)| ((*name).to_owned(), 4 * *word as u32)).collect()
}

#[test]
fn bindings_are_the_published_ones() {
    let module = module();
    let read_write = AddressSpace::Storage { access: StorageAccess::LOAD | StorageAccess::STORE };
    let read = AddressSpace::Storage { access: StorageAccess::LOAD };
    for (name, binding, space, stride) in [
        ("control", binding::CONTROL, read_write, 4),
        ("ring", binding::RING, read_write, 4 * slot::WORDS as u32),
        ("debug_log", binding::DEBUG_LOG, read_write, 4),
        ("io_queue", binding::IO_QUEUE, read_write, 4 * io_queue::SLOT_WORDS as u32),
        ("workspace", binding::WORKSPACE, read_write, 4),
        ("arena", binding::ARENA, read_write, 4),
        ("work_list", binding::WORK_LIST, read, 4),
    ] {
        let mut variables = module.global_variables.iter().map(|(_, variable)| variable);
        let variable = variables.find(|variable| variable.name.as_deref() == Some(name)).unwrap();
        let found = variable.binding.unwrap();
        assert_eq!((found.group, found.binding), (0, binding), "{name}");
        assert_eq!(variable.space, space, "{name}");
        let TypeInner::Array { size, stride: found, .. } = module.types[variable.ty].inner else {
            panic!("{name} is no array")
        };
        assert_eq!((size, found), (ArraySize::Dynamic, stride), "{name}");
    }
    let bound = module.global_variables.iter().filter(|(_, variable)| variable.binding.is_some());
    assert_eq!(bound.count(), 8);
}

#[test]
fn the_ring_slot_is_the_abis() {
    use slot::word::{ARGS, OPCODE, PRIORITY, STATUS, TENANT};
    let expected = [
        ("status", STATUS),
        ("opcode", OPCODE),
        ("tenant", TENANT),
        ("priority", PRIORITY),
        ("args", ARGS),
    ];
    assert_eq!(members(&module(), "Slot"), (words(&expected), 4 * slot::WORDS as u32));
}

#[test]
fn the_io_slot_is_the_abis() {
    use io_queue::word::{
        BYTE_COUNT, DESTINATION, OFFSET_HIGH, OFFSET_LOW, OP, SOURCE, STATUS, TAG,
    };
    let expected = [
        ("op", OP),
        ("source", SOURCE),
        ("destination", DESTINATION),
        ("offset_low", OFFSET_LOW),
        ("offset_high", OFFSET_HIGH),
        ("byte_count", BYTE_COUNT),
        ("status", STATUS),
        ("tag", TAG),
    ];
    assert_eq!(members(&module(), "IoSlot"), (words(&expected), 4 * io_queue::SLOT_WORDS as u32));
}

#[test]
fn the_run_is_its_uniform() {
    let (run, bytes) = members(&module(), "Run");
    let persistent = [("passes", 2), ("look_passes", 3), ("budget", 4)];
    let expected = [("offset", 0), ("count", 1)].into_iter().chain(persistent);
    let expected: Vec<_> = expected.chain([("segment", 5), ("first", 6)]).collect();
    assert_eq!(run[..7], words(&expected));
    assert_eq!(u64::from(bytes), Kernel::RUN_BYTES);
}

#[test]
fn entry_points_fit_small_devices() {
    let module = module();
    let found: Vec<_> = module
        .entry_points
        .iter()
        .map(|entry| (entry.name.as_str(), entry.workgroup_size))
        .collect();
    let lanes = [Kernel::LANES, 1, 1];
    let expected = [
        (Kernel::DRAIN, lanes),
        (Kernel::DRAIN_SERIAL, [1, 1, 1]),
        (Kernel::FENCE, lanes),
        (Kernel::PERSIST, lanes),
        (Kernel::PERSIST_NARROW, [Kernel::NARROW_LANES, 1, 1]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_kernels_modules_write_no_number_of_the_abi() {
    // One digit is a binding, a word of an argument list, a byte of a packed slot's metadata.
    for (file, text) in [COMMON, INTERPRETER, FUSED].into_iter().flatten() {
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let numbers = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let long = numbers.filter(|word| {
                word.starts_with(|c: char| c.is_ascii_digit())
                    && word.trim_end_matches('u').len() > 1
            });
            let allowed = ["0xFFu"];
            let found: Vec<_> = long.filter(|word| !allowed.contains(word)).collect();
            assert!(found.is_empty(), "{file}:{}: {found:?}", index + 1);
        }
    }
}
