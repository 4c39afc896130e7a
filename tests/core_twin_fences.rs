//! Fences: after the levels, after their window, and what they leave. Item 7 of ABI section 5.

mod core_fixture;

use core_fixture::Board;
use slipring_core::opcode::{BATCH_FENCE, LOAD_MISS, NOP, SHUTDOWN, STORE_U32};
use slipring_core::partition::Partitions;
use slipring_core::ring::Job;

const PUBLISHED: u32 = 1;
const DONE: u32 = 3;
const EPOCH: usize = 128;

fn fence(board: &mut Board, slot: u32, window: u32, tag: u32) {
    board.publish(slot, Job::new(BATCH_FENCE, &[window, tag]));
}

#[test]
fn a_fence_bumps_the_epoch_leaves_its_tag_and_is_counted() {
    let mut board = Board::new(1, 2);
    assert_eq!(board.run(Job::new(BATCH_FENCE, &[0, 0xFACE]).tenant(5)), DONE);
    let counted = [(1, 1), (64 + 5, 1), (96 + 7, 1), (EPOCH, 1), (138, 1), (160, 0xFACE)];
    assert_eq!(board.control, board.control_with(&counted));
}

#[test]
fn the_tag_is_skipped_where_there_are_no_observables() {
    let mut board = Board::new(1, 0);
    assert_eq!(board.run(Job::new(BATCH_FENCE, &[0, 0xFACE])), DONE);
    assert_eq!(board.control[EPOCH], 1);
}

#[test]
fn the_epoch_wraps() {
    let mut board = Board::new(1, 0);
    board.control[EPOCH] = u32::MAX;
    board.run(Job::new(BATCH_FENCE, &[]));
    assert_eq!(board.control[EPOCH], 0);
}

#[test]
fn fences_run_after_all_levels_of_the_drain() {
    let mut board = Board::new(3, 1);
    board.partitions = Partitions::from_sizes([1, 0, 1, 0, 1], 3).unwrap();
    fence(&mut board, 0, 0, 0xFACE);
    board.publish(1, Job::new(STORE_U32, &[1, 160]));
    board.publish(2, Job::new(STORE_U32, &[2, 160]));
    board.drain();
    assert_eq!(board.control[160], 0xFACE, "its tag was written last");
    assert_eq!(board.control[136..141], [1, 0, 1, 0, 1]);
}

#[test]
fn a_batch_published_at_once_is_fenced_in_one_drain() {
    let mut board = Board::new(4, 2);
    let items: [(u32, &[u32]); 3] = [(STORE_U32, &[1, 161]), (NOP, &[]), (STORE_U32, &[2, 999])];
    board.row().ring.publish_batch(0, 3, &items, 0xFACE).unwrap();
    board.drain();
    let statuses = [0, 1, 2, 3].map(|slot| board.status(slot));
    assert_eq!(statuses, [DONE, DONE, 7 | 4 << 8, DONE], "a fault is finished too");
    assert_eq!([board.control[EPOCH], board.control[160]], [1, 0xFACE]);
}

/// A fence at slot 2 over `window` slots, with one other slot of this status.
fn with_status(slot: usize, status: u32, window: u32) -> Board {
    let mut board = Board::new(4, 1);
    board.publish(slot as u32, Job::new(NOP, &[]).tenant(9));
    board.control[3 + 9] = 0; // paused, so that PUBLISHED stays
    fence(&mut board, 2, window, 0xFACE);
    board.set_status(slot, status);
    board
}

#[test]
fn a_fence_is_held_back_while_its_window_is_in_flight() {
    for in_flight in [PUBLISHED, 2, 4 | 1 << 8, 0xAB01, 0xAB02] {
        for (slot, window) in [(0, 2), (1, 1), (1, 2), (0, 3), (0, u32::MAX)] {
            let mut board = with_status(slot, in_flight, window);
            board.io_queue[8 + 7] = slot as u32; // its I/O has not ended
            let before = board.clone();
            board.drain();
            assert_eq!(board, before, "{in_flight:#x} in slot {slot}, window {window}");

            board.set_status(slot, DONE);
            board.drain();
            assert_eq!(board.status(2), DONE);
        }
    }
}

#[test]
fn empty_finished_and_reserved_slots_hold_no_fence() {
    for status in [0, DONE, 5, 6, 7, 7 | 4 << 8, 8, 0xAB00, 0xAB03] {
        let mut board = with_status(1, status, 2);
        board.drain();
        assert_eq!(board.status(2), DONE, "{status:#x}");
    }
}

#[test]
fn slots_outside_the_window_hold_no_fence() {
    for (slot, window) in [(0, 0), (0, 1), (1, 0), (3, 2), (3, u32::MAX)] {
        for in_flight in [PUBLISHED, 2] {
            let mut board = with_status(slot, in_flight, window);
            board.drain();
            assert_eq!(board.status(2), DONE, "{in_flight} in slot {slot}, window {window}");
        }
    }
}

#[test]
fn a_window_reaches_into_other_levels() {
    let mut board = with_status(1, 2, 1);
    board.partitions = Partitions::from_sizes([2, 0, 2, 0, 0], 4).unwrap();
    board.drain();
    assert_eq!(board.status(2), PUBLISHED);
}

#[test]
fn a_fence_in_the_window_of_another_finishes_first() {
    let mut board = Board::new(4, 1);
    board.publish(0, Job::new(NOP, &[]));
    fence(&mut board, 1, 1, 0xA);
    fence(&mut board, 3, 3, 0xB);
    board.drain();
    assert_eq!([1, 3].map(|slot| board.status(slot)), [DONE, DONE]);
    assert_eq!([board.control[EPOCH], board.control[160]], [2, 0xB]);
}

#[test]
fn a_fence_that_is_held_back_holds_back_the_one_that_covers_it() {
    let mut board = Board::new(4, 1);
    board.publish(0, Job::new(NOP, &[]).tenant(9));
    board.control[3 + 9] = 0;
    fence(&mut board, 1, 1, 0xA);
    fence(&mut board, 2, 1, 0xB);
    fence(&mut board, 3, 0, 0xC);
    board.drain();
    assert_eq!([0, 1, 2, 3].map(|slot| board.status(slot)), [1, 1, 1, DONE]);
    assert_eq!([board.control[EPOCH], board.control[160], board.control[103]], [1, 0xC, 1]);

    board.control[3 + 9] = 1;
    board.drain();
    assert_eq!([0, 1, 2, 3].map(|slot| board.status(slot)), [DONE; 4]);
    assert_eq!([board.control[EPOCH], board.control[160]], [3, 0xB]);
}

#[test]
fn a_fence_waits_for_the_io_of_its_window() {
    let mut board = Board::new(2, 1);
    board.publish(0, Job::new(LOAD_MISS, &[7]));
    fence(&mut board, 1, 1, 0xFACE);
    board.drain();
    assert_eq!([board.status(0), board.status(1)], [4, PUBLISHED]);
    board.io_queue[6] = 0x10; // OK
    board.drain();
    assert_eq!([board.status(0), board.status(1)], [DONE, DONE]);
}

#[test]
fn a_paused_tenants_fence_waits() {
    let mut board = Board::new(1, 1);
    board.control[3 + 5] = 0;
    board.publish(0, Job::new(BATCH_FENCE, &[0, 1]).tenant(5));
    let before = board.clone();
    board.drain();
    assert_eq!(board, before);
}

#[test]
fn a_shutdown_in_the_same_drain_stops_its_fences() {
    let mut board = Board::new(2, 1);
    board.publish(0, Job::new(SHUTDOWN, &[]));
    fence(&mut board, 1, 1, 0xFACE);
    board.drain();
    assert_eq!([board.status(0), board.status(1)], [DONE, PUBLISHED]);
    assert_eq!(board.control[EPOCH], 0);
}

#[test]
fn a_fence_of_a_tenant_past_the_table_faults_without_an_epoch() {
    for tenant in [29, 31, u32::MAX] {
        let mut board = with_status(1, 2, 1); // though its window is in flight
        board.ring[32 + 2] = tenant;
        let mut expected = board.clone();
        expected.set_status(2, 7 | 2 << 8);
        for word in [1, 64 + tenant as usize % 32, 138, 141] {
            expected.control[word] += 1;
        }
        board.drain();
        assert_eq!(board, expected);
    }
}

#[test]
fn a_fence_runs_once() {
    let mut board = Board::new(1, 1);
    fence(&mut board, 0, 0, 1);
    board.drain();
    board.drain();
    assert_eq!([1, EPOCH, 103].map(|word: usize| board.control[word]), [1; 3]);
}
