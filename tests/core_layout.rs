//! Geometry, and the lengths that views and bytes may have: ABI section 1. Contract R1.

mod core_fixture;

use core_fixture::Nowhere;
use slipring_core::control::Control;
use slipring_core::debug_log::DebugLog;
use slipring_core::io_queue::IoQueue;
use slipring_core::layout::{Buffer, Geometry, LayoutError};
use slipring_core::ring::{PublishError, Ring};
use slipring_core::words::{from_bytes, from_bytes_mut};
use std::sync::atomic::AtomicU32;

const LIMITS: [(Buffer, u32); 4] = [
    (Buffer::Control, 4_294_967_135),
    (Buffer::Ring, 268_435_455),
    (Buffer::DebugLog, 1_073_741_823),
    (Buffer::IoQueue, 64),
];

/// A geometry with one count of its own, 1 elsewhere.
fn with_count(buffer: Buffer, count: u32) -> Result<Geometry, LayoutError> {
    let of = |other| if other == buffer { count } else { 1 };
    let [control, ring, debug_log, io_queue] = Buffer::ALL.map(of);
    Geometry::new(ring, control, debug_log, io_queue)
}

/// As many words as asked for, of no bytes at all.
fn nowhere(words: u64) -> &'static [Nowhere] {
    const ALL: &[Nowhere] = &[Nowhere; 1 << 34];
    &ALL[..words as usize]
}

/// Bytes whose first one lies `offset` past a word boundary.
fn bytes_at(words: &[u32], offset: usize, bytes: usize) -> &[u8] {
    &bytemuck::cast_slice(words)[offset..offset + bytes]
}

#[test]
fn every_limit_is_accepted_and_one_more_is_refused_with_both_numbers() {
    for (buffer, max) in LIMITS {
        assert!(with_count(buffer, max - 1).is_ok(), "{buffer}");
        assert!(with_count(buffer, max).is_ok(), "{buffer}");
        let Some(count) = max.checked_add(1) else { continue };
        let refused = Err(LayoutError::TooMany { buffer, count: u64::from(count), max });
        assert_eq!(with_count(buffer, count), refused);
        let refused = Err(LayoutError::TooMany { buffer, count: u64::from(u32::MAX), max });
        assert_eq!(with_count(buffer, u32::MAX), refused);
    }
}

#[test]
fn no_observables_no_slots_and_no_records_are_fine_but_an_io_queue_has_a_slot() {
    let empty = Geometry::new(0, 0, 0, 1).unwrap();
    assert_eq!(Buffer::ALL.map(|buffer| empty.words(buffer)), [160, 0, 1, 8]);
    assert_eq!(Geometry::new(0, 0, 0, 0), Err(LayoutError::NoIoSlots));
}

#[test]
fn lengths_at_the_limits_fill_the_word_index_and_no_more() {
    let largest = LIMITS.map(|(buffer, max)| {
        let geometry = with_count(buffer, max).unwrap();
        (geometry.words(buffer), geometry.bytes(buffer))
    });
    assert_eq!(largest[0], (4_294_967_295, 17_179_869_180));
    assert_eq!(largest[1], (4_294_967_280, 17_179_869_120));
    assert_eq!(largest[2], (4_294_967_293, 17_179_869_172));
    assert_eq!(largest[3], (512, 2048));
}

#[test]
fn the_usual_row_has_64_debug_records_and_64_io_slots() {
    let geometry = Geometry::of_slots(1024, 8).unwrap();
    assert_eq!(Buffer::ALL.map(|buffer| geometry.words(buffer)), [168, 16_384, 257, 512]);
    let counts = [geometry.slots(), geometry.observables()];
    assert_eq!(counts, [1024, 8]);
    assert_eq!([geometry.debug_records(), geometry.io_slots()], [64, 64]);
}

#[test]
fn encoders_stop_at_a_million_units() {
    for buffer in [Buffer::Control, Buffer::Ring, Buffer::DebugLog] {
        assert_eq!(with_count(buffer, 1_048_576).unwrap().check_encodable(), Ok(()));
        let (count, max) = (1_048_577, 1_048_576);
        let refused = Err(LayoutError::TooMany { buffer, count, max });
        assert_eq!(with_count(buffer, 1_048_577).unwrap().check_encodable(), refused);
    }
}

#[test]
fn encoding_stops_at_a_million_units_in_each_view() {
    let too_many = |buffer| LayoutError::TooMany { buffer, count: 1_048_577, max: 1_048_576 };
    let control = |observables: u64| Control::new(nowhere(160 + observables)).unwrap();
    assert_eq!(control(1_048_576).encode(false, 1), Ok(()));
    let refused = Err(too_many(Buffer::Control).into());
    assert_eq!(control(1_048_577).encode(false, 1), refused);

    assert_eq!(Ring::new(nowhere(16 << 20)).unwrap().reset(), Ok(()));
    let ring = Ring::new(nowhere((16 << 20) + 16)).unwrap();
    assert_eq!(ring.reset(), Err(PublishError::Layout(too_many(Buffer::Ring))));

    assert_eq!(DebugLog::new(nowhere((4 << 20) + 1)).unwrap().reset(), Ok(()));
    let log = DebugLog::new(nowhere((4 << 20) + 5)).unwrap();
    assert_eq!(log.reset(), Err(too_many(Buffer::DebugLog)));
}

#[test]
fn views_reach_up_to_the_last_word_that_an_index_names() {
    let too_many = |buffer, count, max| LayoutError::TooMany { buffer, count, max };

    let (max, words) = (4_294_967_135, 4_294_967_295);
    assert_eq!(Control::new(nowhere(words)).unwrap().observables(), max);
    let refused = Control::new(nowhere(words + 1)).unwrap_err();
    assert_eq!(refused, too_many(Buffer::Control, u64::from(max) + 1, max));

    let (max, words) = (268_435_455, 4_294_967_280);
    assert_eq!(Ring::new(nowhere(words)).unwrap().slots(), max);
    let refused = Ring::new(nowhere(words + 16)).unwrap_err();
    assert_eq!(refused, too_many(Buffer::Ring, u64::from(max) + 1, max));

    let (max, words) = (1_073_741_823, 4_294_967_293);
    assert_eq!(DebugLog::new(nowhere(words)).unwrap().capacity(), max);
    let refused = DebugLog::new(nowhere(words + 4)).unwrap_err();
    assert_eq!(refused, too_many(Buffer::DebugLog, u64::from(max) + 1, max));

    assert_eq!(IoQueue::new(nowhere(512)).unwrap().slots(), 64);
    let refused = IoQueue::new(nowhere(520)).unwrap_err();
    assert_eq!(refused, too_many(Buffer::IoQueue, 65, 64));
    assert_eq!(IoQueue::new(nowhere(0)).unwrap_err(), LayoutError::NoIoSlots);
}

#[test]
fn r1_a_view_of_a_ragged_length_is_refused_with_the_numbers() {
    let ragged =
        |buffer, words, head, unit| Some(LayoutError::RaggedWords { buffer, words, head, unit });
    for words in 0..64usize {
        let atomics: Vec<AtomicU32> = (0..words).map(|_| AtomicU32::new(0)).collect();
        let mut exclusive = vec![0u32; words];

        let expected = ragged(Buffer::Ring, words, 0, 16).filter(|_| words % 16 != 0);
        assert_eq!(Ring::new(exclusive.as_mut_slice()).err(), expected);
        assert_eq!(Ring::new(&atomics[..]).err(), expected);

        let expected = ragged(Buffer::DebugLog, words, 1, 4).filter(|_| words % 4 != 1);
        assert_eq!(DebugLog::new(exclusive.as_mut_slice()).err(), expected);
        assert_eq!(DebugLog::new(&atomics[..]).err(), expected);

        let expected = match words {
            0 => Some(LayoutError::NoIoSlots),
            _ => ragged(Buffer::IoQueue, words, 0, 8).filter(|_| words % 8 != 0),
        };
        assert_eq!(IoQueue::new(exclusive.as_mut_slice()).err(), expected);
        assert_eq!(IoQueue::new(&atomics[..]).err(), expected);
    }
}

#[test]
fn bytes_are_words_when_they_are_whole_and_aligned() {
    let words = [0x0403_0201u32, 0x0807_0605, 0];
    for offset in 0..4 {
        for bytes in 0..=8 {
            let expected = match (bytes, offset) {
                (bytes, _) if bytes % 4 != 0 => {
                    Err(LayoutError::RaggedBytes { buffer: Buffer::Ring, bytes })
                }
                (0, _) => continue, // its own test
                (_, 0) => Ok(&words[..bytes / 4]),
                (_, address_mod_4) => {
                    Err(LayoutError::Misaligned { buffer: Buffer::Ring, address_mod_4 })
                }
            };
            assert_eq!(from_bytes(Buffer::Ring, bytes_at(&words, offset, bytes)), expected);
            let mut copy = words;
            let bytes_mut: &mut [u8] = bytemuck::cast_slice_mut(&mut copy);
            let found = from_bytes_mut(Buffer::Ring, &mut bytes_mut[offset..offset + bytes]);
            assert_eq!(found.map(|words| &*words), expected);
        }
    }
}

#[test]
fn no_bytes_are_no_words_wherever_they_lie() {
    // The ring of a geometry of 0 slots, as an empty Vec<u8> holds it.
    let words = [0u32; 2];
    for offset in 0..4 {
        let empty = bytes_at(&words, offset, 0);
        assert_eq!(from_bytes(Buffer::Ring, empty), Ok(&[][..]), "{offset} past a boundary");
    }
}
