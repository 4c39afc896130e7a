//! What the host reads of bytes that it did not write: ABI section 3. Contract K5, as the host
//! sees it.

mod core_fixture;

use core_fixture::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::control::Control;
use slipring_core::debug_log::{DebugLog, PartialRecord, Record};
use slipring_core::io_queue::IoQueue;
use slipring_core::layout::{Buffer, Geometry, MissingWord};
use slipring_core::packed::Payload;
use slipring_core::ring::{Ring, count_done};
use slipring_core::row::Row;
use slipring_core::slot::Priority;
use slipring_core::words::from_bytes;

#[test]
fn counting_done_goes_by_the_low_byte_and_looks_at_no_more_slots_than_asked_for() {
    let mut words = [0u32; 48];
    words[0] = 0xABCD_EF03; // DONE, by the low byte
    words[16] = 0x307; // FAULT
    words[32] = 3;
    assert_eq!([0, 1, 2, 3].map(|slots| count_done(&words, slots)), [Ok(0), Ok(1), Ok(1), Ok(2)]);
    assert_eq!(count_done(&words[..47], 2), Ok(1), "words past the slots asked for may be ragged");
    assert!(count_done(&words[..47], 3).is_err() && count_done(&words, 4).is_err());
}

#[test]
fn counting_done_of_too_few_words_names_where_the_last_slot_ends() {
    let words = [0u32; 48];
    for (held, slots) in [(0, 1), (15, 1), (16, 2), (47, 3), (48, 4)] {
        let MissingWord { buffer, word, words } = count_done(&words[..held], slots).unwrap_err();
        assert_eq!((buffer, words), (Buffer::Ring, held));
        assert_eq!(word, 16 * slots as u64);
    }
}

#[test]
fn counting_done_over_more_slots_than_there_are_bytes_is_refused() {
    for slots in [usize::MAX / 16, usize::MAX / 16 + 1, usize::MAX / 8, usize::MAX] {
        assert!(count_done(&[3u32; 16], slots).is_err(), "{slots:#x} slots");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in vec(any::<u8>(), 0..900),
        fill in prop::option::of(any::<u8>()),
        index in any::<u32>(),
    ) {
        let mut words = vec![0u32; bytes.len() / 4 + 1];
        let copy: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        copy[..bytes.len()].copy_from_slice(&bytes);
        if let Some(fill) = fill {
            copy.fill(fill);
        }
        let bytes: &[u8] = &copy[..bytes.len()];
        let Ok(words) = from_bytes(Buffer::Control, bytes) else {
            prop_assert!(!bytes.len().is_multiple_of(4) || bytes.is_empty());
            return Ok(());
        };
        let control = Control::new(words).unwrap();
        let _ = (control.shutdown(), control.done_count(), control.epoch(), control.faults());
        let _ = (control.metrics(), control.observable(index), control.partitions(index));
        let _ = (control.tenant_claims(index), control.level_claims(Priority::Idle));
        let _ = count_done(words, index as usize);
        if let Ok(ring) = Ring::new(words) {
            let _ = (ring.slot(index), ring.state(index));
            for slot in 0..ring.slots() {
                let slot = ring.slot(slot).unwrap();
                let _ = (slot.state(), Payload::from_words(slot.args).parse());
            }
        }
        let _ = DebugLog::new(words).map(|log| (log.read::<0>(0), log.read::<3>(index)));
        if let Ok(queue) = IoQueue::new(words) {
            let _ = (queue.poll(), queue.status(index), queue.tag(index));
        }
    }

    /// The four buffers, each of its length or a byte or word off.
    #[test]
    fn a_row_is_read_from_bytes_exactly_if_all_four_lengths_are_right(
        bytes in vec(any::<u8>(), 1024),
        off in [0..9usize, 0..9usize, 0..9usize, 0..9usize],
        io_slot in any::<u32>(),
    ) {
        let geometry = Geometry::new(2, 3, 1, 1).unwrap();
        let mut words = vec![0u32; bytes.len() / 4];
        bytemuck::cast_slice_mut(&mut words).copy_from_slice(&bytes);
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        // Mostly right, so that the later buffers are reached.
        let lengths = Buffer::ALL.map(|buffer| {
            geometry.bytes(buffer) as usize + [0, 0, 0, 0, 0, 0, 1, 4, 0][off[buffer as usize]]
        });
        let buffers = lengths.map(|length| &bytes[..length]);
        let row = Row::read(geometry, &buffers);
        let is_right = off.iter().all(|off| ![6, 7].contains(off));
        prop_assert_eq!(row.is_ok(), is_right, "{:?}", row);
        if let Ok(row) = row {
            let _ = (row.waiting_slot(io_slot), row.waiting_slot(0), row.io_queue.poll());
            prop_assert_eq!(row.words(Buffer::Ring), &words[..32]);
        }
    }

    #[test]
    fn k5_wherever_the_cursor_is_what_fits_decodes_and_the_rest_is_counted(
        records in vec(any::<[u32; 4]>(), 0..5),
        cursor in prop_oneof![0..32u32, (0..9u32).prop_map(|n| u32::MAX - n), any::<u32>()],
        first in prop_oneof![0..6u32, any::<u32>()],
    ) {
        let mut words = vec![cursor];
        words.extend_from_slice(records.as_flattened());
        let read = DebugLog::new(&words[..]).unwrap().read::<2>(first);
        if cursor % 4 != 0 {
            prop_assert_eq!(read, Err(PartialRecord { cursor }));
            return Ok(());
        }
        let read = read.unwrap();
        let written = records.iter().take((cursor / 4) as usize).skip(first as usize).take(2);
        let decode = |&[format, a, b, slot_word]: &[u32; 4]| {
            Record { format, args: [a, b], slot_word }
        };
        let expected: Vec<Record> = written.map(decode).collect();
        prop_assert_eq!(&read.records[..], &expected[..]);
        prop_assert_eq!(read.next, first.saturating_add(expected.len() as u32));
        prop_assert_eq!(read.lost, (cursor / 4).saturating_sub(records.len() as u32));
    }
}

#[test]
fn k5_a_log_is_read_to_its_end_in_pieces() {
    let words: Vec<u32> = std::iter::once(4 * 7).chain(0..4 * 5).collect(); // 7 asked, 5 fit
    let log = DebugLog::new(&words[..]).unwrap();
    let (mut formats, mut next) = (Vec::new(), 0);
    loop {
        let read = log.read::<2>(next).unwrap();
        assert_eq!(read.lost, 2);
        if read.records.is_empty() {
            break;
        }
        formats.extend(read.records.iter().map(|record| record.format));
        next = read.next;
    }
    assert_eq!(formats, [0, 4, 8, 12, 16]);
}
