//! Plain values: opcodes, slots, payloads of packed slots, partitions.

mod core_fixture;

use core_fixture::{any_status, cases};
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::opcode;
use slipring_core::packed::{PackedError, Payload};
use slipring_core::partition::{PartitionError, Partitions};
use slipring_core::slot::{Priority, Slot, State};

#[test]
fn opcode_classes_change_exactly_at_the_documented_boundaries() {
    let edges = [
        0,
        1,
        6,
        7,
        8,
        9,
        254,
        255,
        256,
        0xFFEF,
        0xFFF0,
        0xFFF1,
        0xFFFC,
        0xFFFD,
        0xFFFE,
        0xFFFF,
        0x1_0000,
        0x1_FFFD,
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0001,
        0x8000_0002,
        0x8000_FFFD,
        0xFFFF_FFFE,
        0xFFFF_FFFF,
    ];
    for op in edges {
        let system = op <= 7 || (0xFFF0..=0xFFFF).contains(&op) || op >> 31 == 1;
        let named = op <= 7 || [0xFFFD, 0xFFFE, 0x8000_0001, 0xFFFF_FFFF].contains(&op);
        assert_eq!(opcode::is_system(op), system, "{op:#x}");
        assert_eq!(opcode::is_user(op), !system, "{op:#x}");
        assert_eq!(opcode::is_builtin(op), named, "{op:#x}");
        assert_eq!(opcode::is_publishable(op), named || !system, "{op:#x}");
        assert_eq!(opcode::is_packable(op), op <= 255 && op != 7, "{op:#x}");
    }
}

/// A payload read by section 1 and item 9: each operation's opcode and arguments.
fn decode(words: &[u32; 12]) -> Option<Vec<(u8, Vec<u32>)>> {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let (n, total) = (usize::from(bytes[0]), usize::from(bytes[1]));
    let metadata = (2 + 2 * n).div_ceil(4);
    if n > 4 || metadata + total > 12 {
        return None;
    }
    let mut starts: Vec<usize> = (0..n).map(|i| usize::from(bytes[3 + 2 * i])).collect();
    starts.push(total);
    let packable = (0..n).all(|i| bytes[2 + 2 * i] != 7);
    if !starts.is_sorted() || !packable {
        return None;
    }
    let args = &words[metadata..];
    Some((0..n).map(|i| (bytes[2 + 2 * i], args[starts[i]..starts[i + 1]].to_vec())).collect())
}

/// Twelve words that are often nearly a payload.
fn any_payload() -> impl Strategy<Value = [u32; 12]> {
    let header = (0..6u8, 0..13u8, vec((0..10u8, 0..12u8), 5), any::<bool>());
    (any::<[u32; 12]>(), prop::option::of(header)).prop_map(|(mut words, header)| {
        if let Some((count, total, mut ops, sorted)) = header {
            if sorted {
                ops.sort_by_key(|(_, offset)| *offset);
            }
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            bytes[..2].copy_from_slice(&[count, total]);
            for (pair, (opcode, offset)) in bytes[2..].chunks_mut(2).zip(ops) {
                pair.copy_from_slice(&[opcode, offset]);
            }
        }
        words
    })
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_status_word_is_read_by_its_low_byte(status in any_status()) {
        let detail = (status / 256 % 256) as u8;
        let expected = match status % 256 {
            0 => State::Empty,
            1 => State::Published,
            2 => State::Claimed,
            3 => State::Done,
            4 => State::WaitIo(detail),
            7 => State::Fault(detail),
            _ => State::Other(status),
        };
        let state = State::of(status);
        prop_assert_eq!(state, expected);
        prop_assert_eq!(state.is_publishable(), [0, 3, 7].contains(&(status % 256)));
        prop_assert_eq!(state.is_finished(), [3, 7].contains(&(status % 256)));
        prop_assert_eq!(state.is_in_flight(), [1, 2, 4].contains(&(status % 256)));
    }

    #[test]
    fn a_slot_is_its_sixteen_words_little_endian(words in any::<[u32; 16]>()) {
        let slot = Slot::parse(&words);
        prop_assert_eq!(slot.emit(), words);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        prop_assert_eq!(&slot.to_bytes()[..], &bytes[..]);
        prop_assert_eq!([slot.status, slot.opcode, slot.tenant, slot.priority], &words[..4]);
        prop_assert_eq!(&slot.args, &words[4..]);
    }

    #[test]
    fn a_payload_parses_to_what_was_packed(
        ops in vec((prop_oneof![0..7u8, 8..=255u8], vec(any::<u32>(), 0..4)), 0..=4),
    ) {
        let slices: Vec<(u8, &[u32])> = ops.iter().map(|(op, args)| (*op, &args[..])).collect();
        let payload = match Payload::pack(&slices) {
            Err(PackedError::TooLong { words }) if words > 12 => return Ok(()),
            packed => packed.unwrap(),
        };
        let parsed = payload.parse().unwrap();
        let read = parsed.iter().map(|op| (op.opcode, payload.words()[op.args.clone()].to_vec()));
        prop_assert_eq!(read.collect::<Vec<_>>(), ops);
    }

    #[test]
    fn twelve_words_are_a_payload_exactly_when_item_9_says_so(words in any_payload()) {
        let payload = Payload::from_words(words);
        let parsed = payload.parse().ok().map(|ops| {
            ops.iter().map(|op| (op.opcode, words[op.args.clone()].to_vec())).collect::<Vec<_>>()
        });
        prop_assert_eq!(parsed, decode(&words));
    }

    #[test]
    fn partition_words_are_read_only_if_they_share_out_the_ring(
        (words, slots) in (
            prop_oneof![
                1 => any::<[u32; 6]>(),
                2 => vec(0..9u32, 6).prop_map(|mut words| {
                    words.sort_unstable();
                    words.try_into().unwrap()
                }),
                2 => vec(0..4u32, 6).prop_map(|words| words.try_into().unwrap()),
            ],
            prop_oneof![Just(None), Just(Some(0))], // where the first level starts
            prop_oneof![2 => Just(None), 1 => any::<u32>().prop_map(Some)], // the ring's slots
        )
            .prop_map(|(mut words, first, slots): ([u32; 6], Option<u32>, Option<u32>)| {
                words[0] = first.unwrap_or(words[0]);
                (words, slots.unwrap_or(words[5]))
            }),
    ) {
        let good = words[0] == 0 && words.is_sorted() && words[5] == slots;
        match Partitions::parse(words, slots) {
            Ok(partitions) if words == [0; 6] => {
                prop_assert_eq!(partitions, Partitions::single(slots));
            }
            Ok(partitions) => {
                prop_assert!(good);
                prop_assert_eq!(partitions.words(), words);
            }
            Err(PartitionError::Start { start }) => prop_assert!(start == words[0] && start != 0),
            Err(PartitionError::Descending { level, start, previous }) => {
                let level = level as usize;
                prop_assert_eq!([previous, start], &words[level - 1..=level]);
                prop_assert!(start < previous);
            }
            Err(PartitionError::Sum { sum, slots: ring }) => {
                prop_assert_eq!((sum, ring), (u64::from(words[5]), slots));
                prop_assert!(words[5] != slots);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn every_slot_belongs_to_exactly_the_level_whose_size_covers_it(
        sizes in any::<[u8; 5]>().prop_map(|sizes| sizes.map(u32::from)),
        more in 0..3u32,
    ) {
        let slots: u32 = sizes.iter().sum();
        if more != 0 {
            let refused = PartitionError::Sum { sum: u64::from(slots), slots: slots + more };
            prop_assert_eq!(Partitions::from_sizes(sizes, slots + more), Err(refused));
            return Ok(());
        }
        let partitions = Partitions::from_sizes(sizes, slots).unwrap();
        prop_assert_eq!(partitions.sizes(), sizes);
        let expected = Priority::ALL.into_iter().zip(sizes);
        let expected: Vec<_> = expected.flat_map(|(p, n)| (0..n).map(move |_| Some(p))).collect();
        let levels: Vec<_> = (0..slots).map(|slot| partitions.level_of(slot)).collect();
        prop_assert_eq!(levels, expected);
        prop_assert_eq!([slots, u32::MAX].map(|slot| partitions.level_of(slot)), [None, None]);
    }

    #[test]
    fn the_even_split_gives_the_remainder_to_the_normal_level(
        slots in prop_oneof![0..64u32, (0..5u32).prop_map(|n| u32::MAX - n), any::<u32>()],
    ) {
        let (q, r) = (slots / 5, slots % 5);
        prop_assert_eq!(Partitions::even(slots).sizes(), [q, q, q + r, q, q]);
        prop_assert_eq!(Partitions::even(slots).slots(), slots);
        prop_assert_eq!(Partitions::single(slots).sizes(), [0, 0, slots, 0, 0]);
    }
}

#[test]
fn sizes_that_wrap_u32_do_not_fit_a_ring() {
    let sum = 2 * u64::from(u32::MAX) + 10;
    let refused = Err(PartitionError::Sum { sum, slots: 8 });
    assert_eq!(Partitions::from_sizes([u32::MAX, u32::MAX, 10, 0, 0], 8), refused);
}
