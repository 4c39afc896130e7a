//! Rows: adoption, reset, readback, snapshots, static storage. Contracts R1, R2, R3, R6, R7.

mod core_fixture;

use core_fixture::Board;
use slipring_core::io_queue::IoQueueError;
use slipring_core::layout::{Buffer, Geometry, LayoutError};
use slipring_core::partition::Partitions;
use slipring_core::ring::{Job, PublishError};
use slipring_core::row::{ResetError, Row, Storage, control_words, debug_log_words};
use slipring_core::slot::status;
use std::sync::atomic::{AtomicU32, Ordering};

fn geometry() -> Geometry {
    Geometry::new(4, 8, 2, 3).unwrap()
}

/// Four buffers of the geometry's lengths, one of them longer or shorter by some words.
fn buffers(changed: Buffer, by: isize) -> [Vec<u32>; 4] {
    Buffer::ALL.map(|buffer| {
        let words = geometry().words(buffer);
        vec![0; if buffer == changed { words.wrapping_add_signed(by) } else { words }]
    })
}

fn adopt([control, ring, debug_log, io_queue]: &[Vec<u32>; 4]) -> Result<(), LayoutError> {
    Row::new(geometry(), &control[..], &ring[..], &debug_log[..], &io_queue[..]).map(drop)
}

fn read(buffers: &[Vec<u32>; 4]) -> Result<(), LayoutError> {
    let bytes = buffers.each_ref().map(|words| bytemuck::cast_slice(words));
    Row::read(geometry(), &bytes).map(drop)
}

/// The words of one unit of a buffer, so that a wrong length is still a whole number of them.
fn unit(buffer: Buffer) -> isize {
    match buffer {
        Buffer::Control => 1,
        Buffer::Ring => 16,
        Buffer::DebugLog => 4,
        Buffer::IoQueue => 8,
    }
}

#[test]
fn r1_r3_each_of_the_four_buffers_must_have_exactly_the_geometrys_length() {
    assert_eq!(adopt(&buffers(Buffer::Control, 0)), Ok(()));
    for buffer in Buffer::ALL {
        for by in [-unit(buffer), unit(buffer)] {
            let expected = geometry().words(buffer);
            let words = expected.wrapping_add_signed(by);
            let refused = Err(LayoutError::WrongLength { buffer, words, expected });
            assert_eq!(adopt(&buffers(buffer, by)), refused);
            assert_eq!(read(&buffers(buffer, by)), refused);
        }
    }
}

#[test]
fn r3_buffers_are_checked_control_debug_log_io_queue_ring() {
    let order = [Buffer::Control, Buffer::DebugLog, Buffer::IoQueue, Buffer::Ring];
    for (first, buffer) in order.into_iter().enumerate() {
        let wrong = |of: Buffer| if order[first..].contains(&of) { unit(of) } else { 0 };
        let all =
            Buffer::ALL.map(|of| vec![0; geometry().words(of).wrapping_add_signed(wrong(of))]);
        let expected = geometry().words(buffer);
        let words = expected.wrapping_add_signed(unit(buffer));
        let refused = Err(LayoutError::WrongLength { buffer, words, expected });
        assert_eq!(adopt(&all), refused);
        assert_eq!(read(&all), refused);
    }
}

#[test]
fn r3_the_ring_is_checked_against_the_slot_count() {
    let mut board = Board::new(4, 8);
    let five = Geometry::new(5, 8, 4, 2).unwrap();
    let Board { control, ring, debug_log, io_queue, .. } = &mut board;
    let row = Row::new(five, &control[..], &ring[..], &debug_log[..], &io_queue[..]);
    let refused = LayoutError::WrongLength { buffer: Buffer::Ring, words: 64, expected: 80 };
    assert_eq!(row.unwrap_err(), refused);
}

#[test]
fn a_readback_is_four_buffers() {
    let words = [0u32; 4];
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    for buffers in [0, 1, 3, 5] {
        let refused = LayoutError::BufferCount { buffers };
        assert_eq!(Row::read(geometry(), &vec![bytes; buffers]).unwrap_err(), refused);
    }
}

#[test]
fn a_readback_of_ragged_or_misaligned_bytes_is_refused_with_the_number() {
    let all = buffers(Buffer::Control, 0);
    for (index, buffer) in Buffer::ALL.into_iter().enumerate() {
        let bytes = 4 * geometry().words(buffer);
        let longer = vec![0u32; geometry().words(buffer) + 1];
        let read = |from: usize, to: usize| {
            let mut readback = all.each_ref().map(|words| bytemuck::cast_slice(words));
            readback[index] = &bytemuck::cast_slice(&longer)[from..to];
            Row::read(geometry(), &readback).map(drop)
        };
        assert_eq!(read(0, bytes), Ok(()));
        let ragged = LayoutError::RaggedBytes { buffer, bytes: bytes - 1 };
        assert_eq!(read(0, bytes - 1), Err(ragged));
        let misaligned = LayoutError::Misaligned { buffer, address_mod_4: 1 };
        assert_eq!(read(1, bytes + 1), Err(misaligned));
    }
}

#[test]
fn r2_reset_encodes_in_place_whatever_the_words_were() {
    let mut board = Board::sized(geometry());
    board.partitions = Partitions::even(4);
    for words in [&mut board.control, &mut board.debug_log] {
        words.fill(u32::MAX);
    }
    board.ring.fill(status::DONE);
    board.io_queue.fill(0x10);
    let place = board.ring.as_ptr();

    board.row().reset(2, &Partitions::even(4)).unwrap();

    let mut control = vec![0; 168];
    control[2] = 3;
    control[3..5].fill(u32::MAX);
    control[32..34].fill(1_000_000);
    control[129..135].copy_from_slice(&[0, 0, 0, 4, 4, 4]); // n < 5: all normal
    assert_eq!(board.control, control);
    assert_eq!(board.ring, [0; 64]);
    assert_eq!(board.debug_log, [0; 9]);
    assert_eq!(board.io_queue, [0; 24]);
    assert_eq!(board.ring.as_ptr(), place);
}

#[test]
fn r2_reset_seeds_as_many_masks_and_quotas_as_each_table_holds() {
    for tenants in [0, 1, 28, 29, 30, 31, 32, 33, u32::MAX] {
        let mut board = Board::sized(geometry());
        board.row().reset(tenants, &Partitions::single(4)).unwrap();
        let [masks, quotas] = [29, 32].map(|held| held.min(tenants) as usize);
        let expected: Vec<u32> = (0..29).map(|t| if t < masks { u32::MAX } else { 0 }).collect();
        assert_eq!(board.control[3..32], expected);
        let expected: Vec<u32> = (0..32).map(|t| if t < quotas { 1_000_000 } else { 0 }).collect();
        assert_eq!(board.control[32..64], expected);
    }
}

#[test]
fn a_refused_reset_changes_nothing() {
    let busy = |status| ResetError::Ring(PublishError::Busy { slot: 3, status });
    for in_flight in [status::PUBLISHED, status::CLAIMED, status::WAIT_IO | 1 << 8] {
        let mut board = Board::sized(geometry());
        board.control.fill(7);
        board.set_status(3, in_flight);
        let before = board.clone();
        assert_eq!(board.row().reset(1, &Partitions::single(4)), Err(busy(in_flight)));
        assert_eq!(board, before);
    }
    for status in [1, 2, 0x12] {
        let mut board = Board::sized(geometry());
        board.control.fill(7);
        board.io_queue[8 * 2 + 6] = status;
        let before = board.clone();
        let busy = IoQueueError::State { slot: 2, status, expected: 0 };
        let refused = Err(ResetError::IoQueue(busy));
        assert_eq!(board.row().reset(1, &Partitions::single(4)), refused);
        assert_eq!(board, before);
    }
    let mut board = Board::sized(geometry());
    board.control.fill(7);
    let before = board.clone();
    let refused = ResetError::Layout(LayoutError::SlotCount { slots: 5, expected: 4 });
    assert_eq!(board.row().reset(1, &Partitions::single(5)), Err(refused));
    assert_eq!(board, before);
}

#[test]
fn r6_a_snapshot_fills_caller_storage_and_a_second_one_reuses_it() {
    let mut board = Board::sized(geometry());
    board.publish(0, Job::new(0x100, &[1, 2, 3]));
    board.debug_log[0] = 4;
    board.io_queue[23] = 9;
    let total = 168 + 64 + 9 + 24;
    let mut storage = vec![0xAAu32; total + 1];

    for done in [0, 1] {
        board.control[1] = done;
        board.row().snapshot(&mut storage).unwrap();
        let Board { control, ring, debug_log, io_queue, .. } = &board;
        let expected = [&control[..], ring, debug_log, io_queue, &[0xAA]].concat();
        assert_eq!(storage, expected);
    }
}

#[test]
fn r6_a_snapshot_into_less_is_refused_with_the_numbers_and_writes_nothing() {
    let mut board = Board::sized(geometry());
    let total = 168 + 64 + 9 + 24;
    for words in [0, 1, total - 1] {
        let mut storage = vec![0xAAu32; words];
        let refused = LayoutError::ShortStorage { words, needed: total as u64 };
        assert_eq!(board.row().snapshot(&mut storage), Err(refused));
        assert_eq!(storage, vec![0xAA; words]);
    }
}

#[test]
fn r7_rows_of_other_slot_counts_are_refused_naming_both() {
    let mut board = Board::sized(geometry());
    assert_eq!(board.row().check_slots(4), Ok(()));
    let refused = board.row().check_slots(64).unwrap_err();
    assert_eq!(refused, LayoutError::SlotCount { slots: 4, expected: 64 });
    assert_eq!(refused.to_string(), "4 slots where 64 are expected");
}

static STORAGE: Storage<{ control_words(8) }, 5, { debug_log_words(3) }, 2> = Storage::new();

#[test]
fn static_storage_is_all_zero_with_its_ring_on_a_64_byte_line() {
    let row = STORAGE.row();
    let zero = |word: &AtomicU32| word.load(Ordering::Relaxed) == 0;
    assert!(Buffer::ALL.iter().all(|&buffer| row.words(buffer).iter().all(zero)));
    assert_eq!(Buffer::ALL.map(|buffer| row.words(buffer).len()), [168, 80, 13, 16]);
    assert_eq!(row.words(Buffer::Ring).as_ptr().addr() % 64, 0);
    assert_eq!(row.geometry(), Geometry::new(5, 8, 3, 2).unwrap());
}

#[test]
fn storage_is_the_four_buffers_and_no_more_than_a_line_of_padding() {
    type Smallest = Storage<{ control_words(0) }, 0, { debug_log_words(0) }, 1>;
    type Full = Storage<{ control_words(8) }, 64, { debug_log_words(64) }, 64>;
    for (bytes, words) in
        [(size_of::<Smallest>(), 160 + 1 + 8), (size_of::<Full>(), 168 + 1024 + 257 + 512)]
    {
        assert!((4 * words..4 * words + 64).contains(&bytes), "{bytes} bytes, {words} words");
    }
    assert_eq!(align_of::<Full>(), 64);
    assert_eq!(Smallest::new().row().geometry(), Geometry::new(0, 0, 0, 1).unwrap());
}
