//! LOAD_MISS: asking the host, waiting for it, and going on. Items 11 and 12 of ABI section 5.

mod core_fixture;

use core_fixture::Board;
use slipring_core::io_queue::{Completion, IoQueueError, NO_SLOT};
use slipring_core::layout::Geometry;
use slipring_core::opcode::{LOAD_MISS, NOP};
use slipring_core::ring::Job;

const PUBLISHED: u32 = 1;
const DONE: u32 = 3;
const IO: u32 = 7 | 6 << 8;
const OK: u32 = 0x10;
const ERROR: u32 = 0x11;

/// The status of a slot that waits for an IO slot.
const fn waits(io_slot: u32) -> u32 {
    4 | io_slot << 8
}

/// Slot 1 of three waits for IO slot 0 of two; nothing is counted yet.
fn waiting() -> Board {
    let mut board = Board::new(3, 1);
    board.publish(1, Job::new(LOAD_MISS, &[7]).tenant(5));
    board.set_status(1, waits(0));
    board.io_queue[..8].copy_from_slice(&[1, 7, 0, 0, 0, 0, 2, 1]);
    board
}

/// The same after its lane went on: how the slot ended, and the IO slot's status.
fn resumed(before: &Board, end: u32, io_status: u32) -> Board {
    let mut board = before.clone();
    board.set_status(1, end);
    board.io_queue[6] = io_status;
    board.control[1] += 1;
    board.control[141] += u32::from(end != DONE);
    board
}

#[test]
fn a_load_miss_becomes_a_request_and_waits() {
    let mut board = Board::new(2, 0);
    board.publish(1, Job::new(LOAD_MISS, &[7, 0, 0x10, 0x20, 0x30, 0x40]).tenant(5));
    board.drain();
    assert_eq!(board.status(1), waits(0));
    assert_eq!(board.io(0), [1, 7, 0x40, 0x10, 0x20, 0x30, PUBLISHED, 1]);
    assert_eq!(board.io(1), [0; 8]);
    let claimed = [(64 + 5, 1), (138, 1)]; // claimed, not done
    assert_eq!(board.control, board.control_with(&claimed));
}

#[test]
fn a_prefetch_is_done_at_once_and_nobody_waits_for_it() {
    let mut board = Board::new(1, 0);
    assert_eq!(board.run(Job::new(LOAD_MISS, &[7, 1, 2, 3, 4, 5]).tenant(5)), DONE);
    assert_eq!(board.io(0), [1, 7, 5, 2, 3, 4, PUBLISHED, NO_SLOT]);
    let counted = [(1, 1), (64 + 5, 1), (138, 1)];
    assert_eq!(board.control, board.control_with(&counted));
}

#[test]
fn a_prefetch_flag_of_neither_0_nor_1_faults_without_an_io_slot() {
    for prefetch in [2, 0x101, u32::MAX] {
        for io_status in [0, OK] {
            let mut board = Board::new(1, 0);
            [board.io_queue[6], board.io_queue[14]] = [io_status; 2];
            let io_queue = board.io_queue.clone();
            assert_eq!(board.run(Job::new(LOAD_MISS, &[7, prefetch])), 7 | 4 << 8);
            assert_eq!(board.io_queue, io_queue);
        }
    }
}

#[test]
fn the_first_empty_io_slot_is_taken() {
    for busy in [PUBLISHED, 2, OK, ERROR, 0x12, 0x100, u32::MAX] {
        let mut board = Board::new(1, 0);
        board.io_queue[6] = busy;
        let before = board.io(0);
        assert_eq!(board.run(Job::new(LOAD_MISS, &[7])), waits(1), "after {busy:#x}");
        assert_eq!(board.io(0), before);
        assert_eq!(board.io(1)[6..], [PUBLISHED, 0]);
    }
}

#[test]
fn when_the_queue_is_full_the_slot_stays_published_and_nothing_is_counted() {
    for prefetch in [0, 1] {
        for published in [PUBLISHED, 0xAB01] {
            let mut board = Board::new(1, 0);
            board.publish(0, Job::new(LOAD_MISS, &[7, prefetch]));
            board.set_status(0, published);
            [board.io_queue[6], board.io_queue[14]] = [2, OK];
            let before = board.clone();
            board.drain();
            assert_eq!(board, before);

            board.io_queue[14] = 0;
            board.drain();
            assert_eq!(board.status(0), if prefetch == 1 { DONE } else { waits(1) });
        }
    }
}

#[test]
fn requests_beyond_the_queue_wait_their_turn_and_no_two_share_an_io_slot() {
    let mut board = Board::sized(Geometry::of_slots(66, 0).unwrap());
    for slot in 0..66 {
        board.publish(slot, Job::new(LOAD_MISS, &[slot]));
    }
    board.drain();
    let expected: Vec<u32> = (0..64).map(waits).chain([PUBLISHED; 2]).collect();
    assert_eq!((0..66).map(|slot| board.status(slot)).collect::<Vec<_>>(), expected);
    assert_eq!([1, 64, 138].map(|word: usize| board.control[word]), [0, 64, 64]);
    for slot in 0..64 {
        assert_eq!([board.io(slot)[1], board.io(slot)[7]], [slot as u32; 2]);
    }
}

#[test]
fn a_tenant_past_the_table_gets_no_io_slot() {
    for io_status in [0, OK] {
        let mut board = Board::new(1, 0);
        [board.io_queue[6], board.io_queue[14]] = [io_status; 2];
        board.ring[..3].copy_from_slice(&[PUBLISHED, LOAD_MISS, 29]);
        let io_queue = board.io_queue.clone();
        board.drain();
        assert_eq!((board.status(0), board.io_queue), (7 | 2 << 8, io_queue));
    }
}

#[test]
fn the_slot_goes_on_when_its_io_has_ended() {
    for (io_status, end) in [(OK, DONE), (ERROR, IO)] {
        let mut board = waiting();
        board.io_queue[6] = io_status;
        let expected = resumed(&board, end, 0);
        board.drain();
        assert_eq!(board, expected, "IO status {io_status:#x}");
        board.drain();
        assert_eq!(board, expected, "once");
    }
}

#[test]
fn the_slot_waits_while_its_io_has_not_ended() {
    for io_status in [0, PUBLISHED, 2, 0x12, 0x110, 0x111, u32::MAX] {
        let mut board = waiting();
        board.io_queue[6] = io_status;
        let before = board.clone();
        board.drain();
        assert_eq!(board, before, "IO status {io_status:#x}");
    }
}

#[test]
fn the_slot_goes_on_after_shutdown_and_for_a_paused_tenant() {
    for stop in [0, 3 + 5] {
        for (io_status, end) in [(OK, DONE), (ERROR, IO)] {
            let mut board = waiting();
            board.control[stop] = u32::from(stop == 0);
            board.io_queue[6] = io_status;
            let expected = resumed(&board, end, 0);
            board.drain();
            assert_eq!(board, expected, "stopped by word {stop}");
        }
    }
}

#[test]
fn an_io_slot_that_is_not_its_own_is_a_fault_and_left_alone() {
    for io_status in [0, PUBLISHED, 2, OK, ERROR] {
        for tag in [0, 2, NO_SLOT] {
            let mut board = waiting();
            (board.io_queue[6], board.io_queue[7]) = (io_status, tag);
            let expected = resumed(&board, IO, io_status);
            board.drain();
            assert_eq!(board, expected, "IO status {io_status:#x}, tag {tag}");
        }
    }
}

#[test]
fn an_io_slot_past_the_queue_is_a_fault() {
    for io_slot in [2, 63, 64, 255] {
        let mut board = waiting();
        board.set_status(1, waits(io_slot));
        let expected = resumed(&board, IO, 2);
        board.drain();
        assert_eq!(board, expected, "IO slot {io_slot}");
    }
}

#[test]
fn the_io_slot_lies_in_bits_8_to_16_and_no_higher() {
    let mut board = waiting();
    board.set_status(1, waits(0) | 0xABCD_0000);
    board.io_queue[6] = OK;
    board.drain();
    assert_eq!(board.status(1), DONE);
}

#[test]
fn an_io_slot_that_is_given_back_serves_the_next_request_of_the_drain() {
    let mut board = waiting();
    board.io_queue[6] = OK;
    board.io_queue[14] = 2;
    for slot in [0, 2] {
        board.publish(slot, Job::new(LOAD_MISS, &[9]));
    }
    board.drain();
    // Slot 0 came before it was free, slot 2 after.
    assert_eq!([0, 1, 2].map(|slot| board.status(slot)), [PUBLISHED, DONE, waits(0)]);
    assert_eq!(board.io(0)[6..], [PUBLISHED, 2]);
}

#[test]
fn a_request_goes_to_the_host_and_back() {
    let mut board = Board::new(2, 0);
    board.publish(0, Job::new(LOAD_MISS, &[7, 0, 0, 1, 512]));
    board.publish(1, Job::new(LOAD_MISS, &[8]));
    board.drain();

    let queue = board.row().io_queue;
    let requests = queue.claim();
    let asked = [0, 1].map(|i: usize| (requests[i].source, requests[i].offset, requests[i].tag));
    assert_eq!(asked, [(7, 1 << 32, 0), (8, 0, 1)]);
    let ends = [(1, Completion::Error { errno: 2 }), (0, Completion::Ok { bytes: 512 })];
    queue.complete(&ends).unwrap();

    board.drain();
    assert_eq!([board.status(0), board.status(1)], [DONE, IO]);
    assert_eq!([board.control[1], board.control[141]], [2, 1]);
    assert_eq!(board.io(0)[5..], [512, 0, 0]);
    assert_eq!(board.io(1)[5..], [2, 0, 1]);
}

#[test]
fn the_host_gives_back_the_io_slot_of_a_prefetch() {
    let mut board = Board::new(1, 0);
    board.run(Job::new(LOAD_MISS, &[7, 1]));
    let queue = board.row().io_queue;
    queue.claim();
    queue.complete(&[(0, Completion::Ok { bytes: 9 })]).unwrap();
    assert_eq!(board.row().release_io(0), Ok(()));
    assert_eq!(board.io(0)[6], 0);
    let not_ended = IoQueueError::NotEnded { slot: 0, status: 0 };
    assert_eq!(board.row().release_io(0), Err(not_ended));
    let out_of_range = IoQueueError::SlotRange { slot: 64, slots: board.row().io_queue.slots() };
    assert_eq!(board.row().release_io(64), Err(out_of_range));
    assert_eq!(board.run(Job::new(NOP, &[])), DONE);
}

#[test]
fn the_host_frees_an_io_slot_only_if_no_ring_slot_waits_for_it() {
    // Item 11: the lane that resumes sets it EMPTY. Freed early, the ring slot would wait for ever.
    for end in [Completion::Ok { bytes: 9 }, Completion::Error { errno: 5 }] {
        let mut board = Board::new(1, 0);
        board.run(Job::new(LOAD_MISS, &[7]));
        let queue = board.row().io_queue;
        queue.claim();
        queue.complete(&[(0, end)]).unwrap();
        let waited = IoQueueError::Waited { slot: 0, tag: 0 };
        assert_eq!(board.row().release_io(0), Err(waited));

        // The ring slot was thrown away: nobody waits any more, whatever the tag says.
        board.ring.fill(0);
        assert_eq!(board.row().release_io(0), Ok(()));
    }
}
