//! Packed slots, PRINTF and user handlers on the twin. Contract K5; items 4, 9 and 10 of ABI
//! section 5.

mod core_fixture;

use core_fixture::Board;
use proptest::prelude::*;
use slipring_core::opcode::*;
use slipring_core::packed::Payload;
use slipring_core::ring::Job;
use slipring_core::twin::{Call, Twin};
use std::cell::Cell;

const DONE: u32 = 3;
const FAULT: u32 = 7;
const OPCODE: u32 = 7 | 1 << 8;
const TENANT: u32 = 7 | 2 << 8;
const PROTECTED: u32 = 7 | 3 << 8;
const RANGE: u32 = 7 | 4 << 8;
const PACKED: u32 = 7 | 5 << 8;

/// One packed slot of tenant 1, run by a kernel without handlers.
fn run_packed(board: &mut Board, args: [u32; 12]) -> u32 {
    board.run(Job::new(PACKED_SLOT, &args).tenant(1))
}

fn pack(ops: &[(u32, &[u32])]) -> [u32; 12] {
    let ops: Vec<(u8, &[u32])> = ops.iter().map(|(opcode, args)| (*opcode as u8, *args)).collect();
    *Payload::pack(&ops).unwrap().words()
}

#[test]
fn packed_operations_run_in_order_and_each_is_counted() {
    let mut board = Board::new(1, 4);
    let ops: [(u32, &[u32]); 4] = [
        (STORE_U32, &[5, 160]),
        (ATOMIC_ADD, &[2, 160]),
        (ATOMIC_ADD, &[2, 160]),
        (LOAD_U32, &[160, 3]),
    ];
    assert_eq!(run_packed(&mut board, pack(&ops)), DONE);
    let counted = [(1, 1), (65, 1), (97, 1), (98, 2), (99, 1), (138, 1), (160, 9), (163, 9)];
    assert_eq!(board.control, board.control_with(&counted));
}

#[test]
fn a_packed_operation_sees_its_own_arguments_and_then_zeros() {
    let mut board = Board::new(1, 4);
    board.control[160] = 77;
    // The store lacks its target, so it is word 0: not the neighbour's 160.
    let args = pack(&[(STORE_U32, &[5]), (STORE_U32, &[160, 160])]);
    assert_eq!(run_packed(&mut board, args), PROTECTED);
    let mut seen = Vec::new();
    let args = pack(&[(8, &[1, 2]), (9, &[]), (10, &[3, 4, 5])]);
    board.publish(0, Job::new(PACKED_SLOT, &args));
    board.drain_with(|call| {
        seen.push((call.opcode(), [0, 1, 2, 3, 11, 12, u32::MAX].map(|index| call.arg(index))));
        Some(0)
    });
    let expected = [(8, [1, 2, 0, 0, 0, 0, 0]), (9, [0; 7]), (10, [3, 4, 5, 0, 0, 0, 0])];
    assert_eq!(seen, expected);
}

#[test]
fn an_empty_packed_slot_is_done() {
    assert_eq!(run_packed(&mut Board::new(1, 0), [0; 12]), DONE);
}

#[test]
fn the_first_operation_that_faults_ends_the_slot_with_its_code() {
    for (op, end) in [
        ((STORE_U32, &[1u32, 200][..]), RANGE),
        ((STORE_U32, &[1, 5]), PROTECTED),
        ((MEMCPY, &[0, 0, 4097]), FAULT | 7 << 8),
        ((8, &[]), OPCODE),
    ] {
        let mut board = Board::new(1, 4);
        let args = pack(&[(STORE_U32, &[6, 160]), op, (STORE_U32, &[6, 161])]);
        assert_eq!(run_packed(&mut board, args), end);
        assert_eq!(board.control[160..162], [6, 0], "before it yes, after it no");
        assert_eq!([board.control[1], board.control[141]], [1, 1]);
    }
}

/// Packed words from their bytes: counts, then pairs, then arguments from word 3 on.
fn payload(count: u8, total: u8, pairs: &[[u8; 2]]) -> [u32; 12] {
    let mut bytes = [0u8; 48];
    bytes[..2].copy_from_slice(&[count, total]);
    for (at, pair) in bytes[2..].chunks_mut(2).zip(pairs) {
        at.copy_from_slice(pair);
    }
    for word in 3..12 {
        bytes[4 * word] = 160; // so that a STORE that ran would be seen
    }
    bytemuck::cast(bytes)
}

#[test]
fn a_malformed_packed_slot_faults_before_its_first_operation() {
    let store = |offset| [STORE_U32 as u8, offset];
    for (what, args) in [
        ("five operations", payload(5, 9, &[store(0); 5])),
        ("255 operations", payload(255, 9, &[store(0); 4])),
        ("one word too many", payload(4, 10, &[store(0), store(2), store(4), store(6)])),
        ("255 words", payload(1, 255, &[store(0)])),
        ("no operation and 12 words", payload(0, 12, &[])),
        ("descending offsets", payload(3, 9, &[store(0), store(4), store(3)])),
        ("an offset past the words", payload(2, 4, &[store(0), store(5)])),
        ("an offset far past them", payload(2, 4, &[store(0), store(255)])),
        ("a fence inside", payload(2, 6, &[store(0), [BATCH_FENCE as u8, 2]])),
    ] {
        let mut board = Board::new(1, 4);
        assert_eq!(run_packed(&mut board, args), PACKED, "{what}");
        let counted = [(1, 1), (65, 1), (138, 1), (141, 1)];
        assert_eq!(board.control, board.control_with(&counted), "{what}");
    }
}

#[test]
fn offsets_up_to_the_last_word_are_no_fault() {
    let nop = [NOP as u8, 9];
    for args in [payload(4, 9, &[nop; 4]), payload(1, 9, &[nop]), payload(0, 11, &[])] {
        assert_eq!(run_packed(&mut Board::new(1, 4), args), DONE);
    }
}

#[test]
fn a_handler_ends_its_slot_with_its_code() {
    for code in (0..300).chain([256, 0x107, 0x140, u32::MAX]) {
        let mut board = Board::new(1, 4);
        board.publish(0, Job::new(0x100, &[]));
        board.drain_with(|_| Some(code));
        let end = match code {
            0 => DONE,
            64..=255 => FAULT | code << 8,
            _ => RANGE,
        };
        assert_eq!(board.status(0), end, "code {code}");
        assert_eq!(board.control[141], u32::from(code != 0));
    }
}

#[test]
fn a_handler_knows_its_slot_tenant_opcode_and_all_twelve_arguments() {
    let mut board = Board::new(2, 4);
    let args = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    board.publish(1, Job::new(0x7FFF_FFFF, &args).tenant(28));
    let mut calls = 0;
    board.drain_with(|call| {
        calls += 1;
        assert_eq!([call.slot(), call.tenant(), call.opcode()], [1, 28, 0x7FFF_FFFF]);
        assert_eq!(std::array::from_fn(|index| call.arg(index as u32)), args);
        assert_eq!(call.arg(12), 0);
        Some(0)
    });
    assert_eq!(calls, 1);
}

#[test]
fn a_handler_reaches_observables_and_workspace_and_nothing_past_them() {
    let mut board = Board::new(1, 2);
    board.workspace = vec![5, 6];
    board.publish(0, Job::new(0x100, &[]).tenant(1));
    board.drain_with(|call| {
        assert_eq!([call.observable_count(), call.workspace_len()], [2, 2]);
        assert!(call.observe(1, 9) && call.observe_add(1, u32::MAX));
        assert!(call.workspace_store(0, call.observable(1)));
        for past in [2, u32::MAX - 159, u32::MAX] {
            assert_eq!([call.observe(past, 1), call.observe_add(past, 1)], [false, false]);
            assert!(!call.workspace_store(past, 1));
            assert_eq!([call.observable(past), call.workspace_load(past)], [0, 0]);
        }
        Some(call.workspace_load(1) - 6)
    });
    assert_eq!(board.status(0), DONE);
    assert_eq!((&board.control[160..], &board.workspace[..]), (&[0, 8][..], &[8, 6][..]));
}

#[test]
fn a_handler_reaches_the_arena_that_was_lent_and_nothing_past_it() {
    let mut board = Board::new(1, 0);
    let partitions = board.partitions;
    let mut arena = [5, 6];
    for lent in [2, 0] {
        board.publish(0, Job::new(0x100, &[]));
        let handler = |call: &Call<'_, Cell<u32>>| {
            assert_eq!(call.arena_len(), lent as u32);
            assert_eq!(call.arena_store(1, call.arena_load(0) + 2), lent == 2);
            for past in [lent as u32, u32::MAX] {
                assert_eq!((call.arena_store(past, 1), call.arena_load(past)), (false, 0));
            }
            Some(0)
        };
        let twin = Twin::new(board.row(), &mut [0; 0], handler).arena(&mut arena[..lent]);
        { twin }.drain(&partitions).unwrap();
        assert_eq!((board.status(0), arena), (DONE, [5, 7]));
    }
}

#[test]
fn built_in_and_reserved_opcodes_never_reach_a_handler() {
    for opcode in BUILTIN.into_iter().chain([0xFFF0, 0xFFFF, 0x8000_0000]) {
        let mut board = Board::new(1, 4);
        board.ring[..2].copy_from_slice(&[1, opcode]);
        board.drain_with(|call| panic!("{:#x} reached a handler", call.opcode()));
        assert_ne!(board.status(0), 1);
    }
}

#[test]
fn a_fused_kernel_has_its_own_opcode_nop_fences_and_shutdown_and_no_other() {
    for opcode in BUILTIN.into_iter().chain([8, 0x100, 0x101, 0xFFF0]) {
        let mut board = Board::new(1, 4);
        board.publish(0, Job::new(NOP, &[]));
        board.ring[1] = opcode;
        let (partitions, mut calls) = (board.partitions, 0);
        let handler = |_: &Call<'_, Cell<u32>>| {
            calls += 1;
            Some(0)
        };
        let mut twin = Twin::new(board.row(), &mut [0u32; 0], handler).fused(0x100);
        twin.drain(&partitions).unwrap();

        let runs = [0x100, NOP, BATCH_FENCE, SHUTDOWN].contains(&opcode);
        assert_eq!(board.status(0), if runs { DONE } else { OPCODE }, "opcode {opcode:#x}");
        assert_eq!(calls, u32::from(opcode == 0x100), "opcode {opcode:#x}");
        // No request, no IO slot.
        assert_eq!([board.io(0), board.io(1)], [[0; 8]; 2], "opcode {opcode:#x}");
    }
}

#[test]
fn a_claimed_slot_of_an_unknown_tenant_faults_in_a_later_segment_too() {
    let mut board = Board::new(1, 4);
    board.publish(0, Job::new(0x100, &[]));
    board.ring[2] = 29;
    board.set_status(0, 2);
    let partitions = board.partitions;
    let handler = |_: &Call<'_, Cell<u32>>| panic!("tenant 29 runs nothing");
    let mut twin = Twin::new(board.row(), &mut [0u32; 0], handler).segments(2);
    twin.drain(&partitions).unwrap();
    assert_eq!(board.status(0), TENANT);
}

#[test]
fn a_handler_runs_packed_operations_8_to_255() {
    let mut board = Board::new(1, 4);
    let args = pack(&[(8, &[1]), (255, &[2])]);
    board.publish(0, Job::new(PACKED_SLOT, &args).tenant(3));
    let mut seen = Vec::new();
    board.drain_with(|call| {
        seen.push([call.opcode(), call.tenant(), call.arg(0)]);
        Some(if call.opcode() == 255 { 99 } else { 0 })
    });
    assert_eq!(seen, [[8, 3, 1], [255, 3, 2]]);
    assert_eq!(board.status(0), FAULT | 99 << 8);
    assert_eq!(board.control[104], 1);
}

#[test]
fn printf_appends_its_arguments_and_the_slots_word() {
    let mut board = Board::new(2, 0);
    board.publish(0, Job::new(PRINTF, &[1, 2, 3]));
    board.publish(1, Job::new(PRINTF, &[4, 5, 6]).tenant(28));
    board.drain();
    assert_eq!(board.debug_log[..9], [8, 1, 2, 3, 0, 4, 5, 6, 16]);
    assert_eq!([0, 1].map(|slot| board.status(slot)), [DONE; 2]);
}

#[test]
fn a_handlers_record_is_like_a_printf() {
    let mut board = Board::new(2, 0);
    board.publish(1, Job::new(0x100, &[]));
    board.drain_with(|call| {
        call.debug_print(1, 2, 3);
        Some(0)
    });
    assert_eq!(board.debug_log[..5], [4, 1, 2, 3, 16]);
}

#[test]
fn k5_the_65th_record_is_counted_and_the_64_before_it_stay_readable() {
    let geometry = slipring_core::layout::Geometry::of_slots(70, 0).unwrap();
    let mut board = Board::sized(geometry);
    for slot in 0..70 {
        board.publish(slot, Job::new(PRINTF, &[slot, 0, 0]));
    }
    board.drain();
    let read = board.row().debug_log.read::<64>(0).unwrap();
    let formats: Vec<u32> = read.records.iter().map(|record| record.format).collect();
    assert_eq!(formats, (0..64).collect::<Vec<_>>());
    assert_eq!((read.lost, board.debug_log[0]), (6, 4 * 70));
}

proptest! {
    #![proptest_config(core_fixture::cases(300))]

    #[test]
    fn k5_from_any_cursor_the_log_counts_saturates_and_writes_only_what_fits(
        cursor in prop_oneof![0..24u32, (0..12u32).prop_map(|n| u32::MAX - n), any::<u32>()],
    ) {
        let mut board = Board::new(1, 0); // 4 records
        board.debug_log.fill(0xAA);
        board.debug_log[0] = cursor;
        let mut expected = board.debug_log.clone();
        if cursor < 0xFFFF_FFFC {
            expected[0] = cursor.saturating_add(4).min(0xFFFF_FFFC);
        }
        if cursor <= 12 {
            expected[1 + cursor as usize..][..4].copy_from_slice(&[1, 2, 3, 0]);
        }
        prop_assert_eq!(board.run(Job::new(PRINTF, &[1, 2, 3])), DONE);
        prop_assert_eq!(board.debug_log, expected);
    }
}
