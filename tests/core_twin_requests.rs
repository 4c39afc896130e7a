//! Handlers that ask the host for I/O, and are called again once it has ended.

mod core_fixture;

use core_fixture::Board;
use slipring_core::io_queue::{Completion, op};
use slipring_core::opcode::{LOAD_MISS, PACKED_SLOT};
use slipring_core::packed::Payload;
use slipring_core::ring::Job;
use slipring_core::twin::{
    Call, HANDLER_CONTINUES, HANDLER_OK, HANDLER_RETRIES, HANDLER_WAITS, Twin,
};
use std::cell::Cell;

const PUBLISHED: u32 = 1;
const DONE: u32 = 3;
const RANGE: u32 = 7 | 4 << 8;
const IO: u32 = 7 | 6 << 8;
const OK: u32 = 0x10;
const ERROR: u32 = 0x11;
const RESERVED: u32 = 0x12;

const ASK: u32 = 0x100;

/// The status of a slot that waits for an IO slot.
const fn waits(io_slot: u32) -> u32 {
    4 | io_slot << 8
}

/// Reads once, and ends with what it is told to.
fn ask(call: &Call<'_, Cell<u32>>, end: u32) -> Option<u32> {
    Some(if call.is_resumed() { end } else { call.request_io(op::READ, 7, 8, 9, 10) })
}

/// Two IO slots; ring slot 1 of tenant 5 waits for IO slot 0, which has moved 300 bytes.
fn ended(io_status: u32) -> Board {
    let mut board = Board::new(3, 1);
    board.publish(1, Job::new(ASK, &[7]).tenant(5));
    board.set_status(1, waits(0));
    board.io_queue[..8].copy_from_slice(&[1, 7, 8, 9, 0, 300, io_status, 1]);
    board
}

#[test]
fn a_handler_asks_and_its_slot_waits() {
    let mut board = Board::new(2, 0);
    board.publish(1, Job::new(ASK, &[]).tenant(5));
    board.io_queue[6] = 2;
    board.drain_with(|call| {
        assert!(!call.is_resumed());
        assert_eq!(call.io_bytes(), 0);
        let answer = call.request_io(op::WRITE, 0x10, 0x20, 0x3_0000_0004, 0x50);
        assert_eq!(answer, HANDLER_WAITS + 1, "the first IO slot is taken");
        Some(answer)
    });
    assert_eq!(board.status(1), waits(1));
    assert_eq!(board.io(1), [2, 0x10, 0x20, 4, 3, 0x50, PUBLISHED, 1]);
    let claimed = [(64 + 5, 1), (138, 1)]; // claimed, not done
    assert_eq!(board.control, board.control_with(&claimed));
}

#[test]
fn a_handler_is_called_again_once_its_io_has_ended() {
    for (end, status) in [(HANDLER_OK, DONE), (99, 7 | 99 << 8), (HANDLER_CONTINUES, RANGE)] {
        let mut board = ended(OK);
        let mut calls = 0;
        let before = board.clone();
        board.drain_with(|call| {
            calls += 1;
            assert_eq!((call.is_resumed(), call.io_bytes()), (true, 300));
            assert_eq!((call.slot(), call.tenant(), call.arg(0)), (1, 5, 7));
            ask(call, end)
        });
        let mut expected = before;
        expected.set_status(1, status);
        expected.io_queue[6] = 0;
        expected.control[1] += 1;
        expected.control[141] += u32::from(status != DONE);
        assert_eq!((board, calls), (expected, 1));
    }
}

#[test]
fn a_handler_reads_twice_in_one_io_slot_though_the_queue_is_full() {
    let mut board = Board::new(1, 1);
    board.publish(0, Job::new(ASK, &[]));
    board.io_queue[14] = 2;
    let handler = |call: &Call<'_, Cell<u32>>| {
        call.observe_add(0, call.io_bytes());
        Some(match call.io_bytes() {
            0 => call.request_io(op::READ, 1, 2, 0, 100),
            100 => call.request_io(op::READ, 1, 2, 100, 50),
            _ => HANDLER_OK,
        })
    };
    for (offset, bytes) in [(0, 100), (100, 50)] {
        board.drain_with(handler);
        assert_eq!(
            (board.status(0), board.io(0)[3], board.io(0)[6]),
            (waits(0), offset, PUBLISHED)
        );
        let queue = board.row().io_queue;
        queue.claim();
        queue.complete(&[(0, Completion::Ok { bytes })]).unwrap();
    }
    board.drain_with(handler);
    assert_eq!((board.status(0), board.io(0)[6]), (DONE, 0));
    // Claimed once, done once.
    assert_eq!([1, 64, 138, 160].map(|word: usize| board.control[word]), [1, 1, 1, 150]);
}

#[test]
fn while_a_handler_goes_on_its_io_slot_is_not_free() {
    let mut board = ended(OK);
    let row_of = |call: &Call<'_, Cell<u32>>| call.request_io(op::FENCE, 0, 0, 0, 0);
    let mut seen = Vec::new();
    board.drain_with(|call| {
        // The second request of a call needs an IO slot of its own.
        seen = [0; 3].map(|_| row_of(call)).to_vec();
        Some(seen[1])
    });
    assert_eq!(seen, [HANDLER_WAITS, HANDLER_WAITS + 1, HANDLER_RETRIES]);
    assert_eq!(board.status(1), RANGE, "only the last answer may be returned");
    let left = [0, 1].map(|io_slot| board.io(io_slot)[6..].to_vec());
    assert_eq!(left, [[PUBLISHED, 1]; 2], "the host serves them");
}

#[test]
fn an_error_is_a_fault_without_another_call() {
    let mut board = ended(ERROR);
    board.drain_with(|_| unreachable!("its I/O has failed"));
    assert_eq!((board.status(1), board.io(0)[6]), (IO, 0));
    assert_eq!([board.control[1], board.control[141]], [1, 1]);
}

#[test]
fn an_io_slot_of_another_is_a_fault_without_another_call() {
    let mut board = ended(OK);
    board.io_queue[7] = 2;
    board.drain_with(|_| unreachable!("it is not its own"));
    assert_eq!((board.status(1), board.io(0)[6..].to_vec()), (IO, vec![OK, 2]));
}

#[test]
fn when_the_queue_is_full_the_job_starts_anew_in_the_next_drain_and_counts_then() {
    let mut board = Board::new(1, 0);
    board.publish(0, Job::new(ASK, &[]).tenant(5));
    [board.io_queue[6], board.io_queue[14]] = [2, OK];
    let before = board.clone();
    let mut answers = Vec::new();
    for _ in 0..2 {
        board.drain_with(|call| {
            assert!(!call.is_resumed());
            answers.push(call.request_io(op::READ, 1, 2, 3, 4));
            answers.last().copied()
        });
        assert_eq!(board, before);
    }
    assert_eq!(answers, [HANDLER_RETRIES; 2]);
    board.io_queue[6] = 0;
    board.drain_with(|call| ask(call, HANDLER_OK));
    assert_eq!(board.status(0), waits(0));
    assert_eq!(board.control, board.control_with(&[(64 + 5, 1), (138, 1)]));
}

#[test]
fn a_job_that_goes_on_and_meets_a_full_queue_starts_anew_and_counts_once() {
    let mut board = Board::new(1, 0);
    board.publish(0, Job::new(ASK, &[]));
    board.io_queue[14] = 2;
    let mut calls = Vec::new();
    let mut drain = |board: &mut Board| {
        board.drain_with(|call| {
            calls.push(call.is_resumed());
            let first = call.request_io(op::READ, 1, 2, 3, 4);
            Some(if call.is_resumed() { call.request_io(op::READ, 1, 2, 3, 4) } else { first })
        });
    };
    drain(&mut board);
    board.io_queue[6] = OK;
    drain(&mut board);
    assert_eq!((board.status(0), board.control[138]), (PUBLISHED, 0));
    board.io_queue[14] = 0;
    drain(&mut board);
    assert_eq!((board.status(0), board.control[138]), (waits(1), 1));
    assert_eq!(calls, [false, true, false]);
}

#[test]
fn an_answer_that_was_not_given_is_a_fault() {
    for (code, io_status) in [
        (HANDLER_RETRIES, 0),
        (HANDLER_WAITS, 0),
        (HANDLER_WAITS, OK),
        (HANDLER_WAITS + 1, PUBLISHED),
        (HANDLER_WAITS + 64, 0),
        (u32::MAX, 0),
    ] {
        let mut board = Board::new(1, 0);
        board.publish(0, Job::new(ASK, &[]));
        // IO slots that say that they are its own.
        [board.io_queue[6], board.io_queue[14]] = [io_status; 2];
        let io_queue = board.io_queue.clone();
        board.drain_with(|_| Some(code));
        assert_eq!((board.status(0), board.io_queue), (RANGE, io_queue), "{code}");
    }
}

#[test]
fn a_request_whose_answer_is_not_returned_is_served_and_nobody_waits() {
    let mut board = Board::new(1, 0);
    board.publish(0, Job::new(ASK, &[]));
    board.drain_with(|call| {
        call.request_io(op::WRITE, 1, 2, 3, 4);
        Some(HANDLER_OK)
    });
    assert_eq!((board.status(0), board.io(0)[6]), (DONE, PUBLISHED));
    let queue = board.row().io_queue;
    queue.claim();
    queue.complete(&[(0, Completion::Ok { bytes: 4 })]).unwrap();
    assert_eq!(board.row().waiting_slot(0), None);
    assert_eq!(board.row().release_io(0), Ok(()));
}

#[test]
fn in_a_packed_slot_nothing_is_asked() {
    let mut board = Board::new(1, 2);
    let ops: [(u8, &[u32]); 3] = [(200, &[0]), (200, &[1]), (200, &[0])];
    let payload = Payload::pack(&ops).unwrap();
    board.publish(0, Job::new(PACKED_SLOT, payload.words()));
    board.drain_with(|call| {
        call.observe_add(call.arg(0), 1);
        Some(if call.arg(0) == 1 { call.request_io(op::READ, 1, 2, 3, 4) } else { HANDLER_OK })
    });
    assert_eq!((board.status(0), &board.control[160..]), (RANGE, &[1, 1][..]));
    assert!(board.io_queue.iter().all(|word| *word == 0));
    // But in a slot of its own, the same opcode may.
    board.publish(0, Job::new(200, &[]));
    board.drain_with(|call| ask(call, HANDLER_OK));
    assert_eq!(board.status(0), waits(0));
}

#[test]
fn a_handler_goes_on_after_shutdown_and_for_a_paused_tenant() {
    for stop in [0, 3 + 5] {
        let mut board = ended(OK);
        board.control[stop] = u32::from(stop == 0);
        board.drain_with(|call| ask(call, HANDLER_OK));
        assert_eq!(board.status(1), DONE, "stopped by word {stop}");
    }
}

#[test]
fn a_handler_that_goes_on_may_continue_in_the_next_segment() {
    let mut board = ended(OK);
    let partitions = board.partitions;
    let mut calls = Vec::new();
    let handler = |call: &Call<'_, Cell<u32>>| {
        calls.push((call.segment(), call.is_resumed(), call.io_bytes()));
        Some(if call.segment() == 0 { HANDLER_CONTINUES } else { ask(call, HANDLER_OK)? })
    };
    let mut twin = Twin::new(board.row(), &mut [0; 0], handler).segments(2);
    twin.drain(&partitions).unwrap();
    assert_eq!(calls, [(0, true, 300), (1, false, 0)]);
    assert_eq!((board.status(1), board.io(0)[6]), (waits(0), PUBLISHED), "freed in between");
}

#[test]
fn whom_nobody_runs_does_not_go_on() {
    let fault = |code: u32| 7 | code << 8;
    for (opcode, tenant, end) in
        [(ASK, 5, fault(1)), (ASK, 29, fault(2)), (LOAD_MISS, 5, DONE), (0xFFF0, 5, DONE)]
    {
        let mut board = ended(OK);
        board.ring[17..19].copy_from_slice(&[opcode, tenant]);
        board.drain();
        assert_eq!((board.status(1), board.io(0)[6]), (end, 0), "{opcode:#x} of {tenant}");
    }
}

#[test]
fn a_fused_kernels_handler_asks_and_goes_on() {
    let mut board = Board::new(1, 0);
    let partitions = board.partitions;
    board.publish(0, Job::new(ASK, &[]));
    for end in [waits(0), DONE] {
        let twin = Twin::new(board.row(), &mut [0; 0], |call: &_| ask(call, HANDLER_OK));
        twin.fused(ASK).drain(&partitions).unwrap();
        assert_eq!(board.status(0), end);
        board.io_queue[6] = OK;
    }
}

#[test]
fn the_io_slot_is_reserved_while_the_handler_runs() {
    let mut board = ended(OK);
    let partitions = board.partitions;
    let row = board.row();
    let handler = |call: &Call<'_, Cell<u32>>| {
        assert_eq!(row.io_queue.status(0), Some(RESERVED));
        assert_eq!(row.ring.words()[16].get(), 2, "claimed");
        ask(call, HANDLER_OK)
    };
    Twin::new(row, &mut [0; 0], handler).drain(&partitions).unwrap();
    assert_eq!(row.io_queue.status(0), Some(0));
}
