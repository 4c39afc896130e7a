//! What each opcode does to the control buffer, at and beyond every edge. Contract K3; items 1,
//! 3, 4, 15 and 24 of ABI section 5.

mod core_fixture;

use core_fixture::Board;
use slipring_core::opcode::*;
use slipring_core::ring::Job;

const DONE: u32 = 3;
const OPCODE: u32 = 7 | 1 << 8;
const PROTECTED: u32 = 7 | 3 << 8;
const RANGE: u32 = 7 | 4 << 8;
const LIMIT: u32 = 7 | 7 << 8;

/// Runs one job of a tenant in slot 0 and checks how it ended, the words that it wrote, the
/// counters that moved, and that nothing else changed.
fn check(
    board: &mut Board,
    tenant: u32,
    opcode: u32,
    args: &[u32],
    end: u32,
    wrote: &[(usize, u32)],
) {
    let mut expected = board.clone();
    expected.ring.fill(0);
    expected.ring[..4].copy_from_slice(&[end, opcode, tenant, 2]);
    expected.ring[4..4 + args.len()].copy_from_slice(args);
    let fault = (end & 0xFF == 7).then_some(141);
    let run = (opcode < 32).then_some(96 + opcode as usize);
    for word in [1, 64 + tenant as usize, 138].into_iter().chain(fault).chain(run) {
        expected.control[word] = expected.control[word].wrapping_add(1);
    }
    for &(word, value) in wrote {
        expected.control[word] = value;
    }

    board.ring.fill(0);
    board.ring[..4].copy_from_slice(&[1, opcode, tenant, 2]);
    board.ring[4..4 + args.len()].copy_from_slice(args);
    board.drain();

    assert_eq!(board, &expected, "tenant {tenant}, opcode {opcode:#x} {args:?}");
}

/// A row of one slot, its control words from 142 on all different.
fn board(observables: u32) -> Board {
    let mut board = Board::new(1, observables);
    for (word, value) in board.control.iter_mut().enumerate().skip(142) {
        *value = 0x1000 + word as u32;
    }
    board
}

#[test]
fn a_nop_does_nothing_whatever_its_arguments() {
    check(&mut board(4), 1, NOP, &[u32::MAX; 12], DONE, &[]);
}

#[test]
fn store_writes_any_observable_up_to_the_last_word() {
    for word in [160, 163] {
        check(&mut board(4), 1, STORE_U32, &[7, word], DONE, &[(word as usize, 7)]);
    }
}

#[test]
fn store_and_add_past_the_last_word_fault() {
    for opcode in [STORE_U32, ATOMIC_ADD] {
        for word in [164, 165, 1 << 30, u32::MAX - 3, u32::MAX] {
            check(&mut board(4), 1, opcode, &[7, word], RANGE, &[]);
        }
        check(&mut board(0), 1, opcode, &[7, 160], RANGE, &[]);
    }
}

#[test]
fn only_tenant_0_writes_below_the_observables() {
    for (opcode, value) in [(STORE_U32, 7), (ATOMIC_ADD, 7 + 0x1000 + 159)] {
        check(&mut board(4), 0, opcode, &[7, 159], DONE, &[(159, value)]);
        for word in [0, 1, 3, 64, 142, 159] {
            check(&mut board(4), 1, opcode, &[7, word], PROTECTED, &[]);
            check(&mut board(4), 28, opcode, &[7, word], PROTECTED, &[]);
        }
    }
}

#[test]
fn tenant_0_may_pause_a_tenant() {
    check(&mut board(4), 0, STORE_U32, &[0, 3 + 5], DONE, &[(3 + 5, 0)]);
}

#[test]
fn add_wraps() {
    let mut board = board(4);
    board.control[163] = u32::MAX;
    check(&mut board, 1, ATOMIC_ADD, &[3, 163], DONE, &[(163, 2)]);
}

#[test]
fn load_reads_any_word_into_an_observable() {
    for source in [0, 2, 150, 160, 163] {
        let mut board = board(4);
        let value = board.control[source];
        check(&mut board, 1, LOAD_U32, &[source as u32, 3], DONE, &[(163, value)]);
    }
}

#[test]
fn load_faults_past_either_end() {
    // 160 + a1 must not wrap to a word below.
    for args in [[164, 0], [u32::MAX, 0], [150, 4], [150, u32::MAX - 159], [150, u32::MAX]] {
        check(&mut board(4), 0, LOAD_U32, &args, RANGE, &[]);
    }
}

#[test]
fn compare_swap_swaps_when_equal_and_always_leaves_the_old_value() {
    // Of 200 observables: the target is control word 170, the old value's word 160 + 170.
    let old = 0x1000 + 170;
    let wrote = [(170, 9), (330, old)];
    check(&mut board(200), 1, COMPARE_SWAP, &[170, old, 9], DONE, &wrote);
    check(&mut board(200), 1, COMPARE_SWAP, &[170, old + 1, 9], DONE, &[(330, old)]);
    let old = 0x1000 + 159;
    let wrote = [(159, 9), (319, old)];
    check(&mut board(200), 0, COMPARE_SWAP, &[159, old, 9], DONE, &wrote);
}

#[test]
fn compare_swap_faults_where_there_is_no_word_for_the_old_value() {
    for target in [200, 201, 359, 360, u32::MAX - 159, u32::MAX] {
        check(&mut board(200), 0, COMPARE_SWAP, &[target, 0, 9], RANGE, &[]);
    }
    let old = 0x1000 + 199;
    let wrote = [(199, 9), (359, old)];
    check(&mut board(200), 1, COMPARE_SWAP, &[199, old, 9], DONE, &wrote);
}

#[test]
fn compare_swap_of_a_protected_word_faults_after_its_range() {
    for equal in [0x1000 + 159, 0] {
        check(&mut board(200), 1, COMPARE_SWAP, &[159, equal, 9], PROTECTED, &[]);
    }
    check(&mut board(4), 1, COMPARE_SWAP, &[159, 0, 9], RANGE, &[]);
}

#[test]
fn memcpy_copies_ascending_so_that_overlap_forward_repeats() {
    let at = |word: u32| 0x1000 + word;
    let forward = [(161, at(160)), (162, at(160)), (163, at(160))];
    check(&mut board(4), 1, MEMCPY, &[160, 161, 3], DONE, &forward);
    let backward = [(160, at(161)), (161, at(162)), (162, at(163))];
    check(&mut board(4), 1, MEMCPY, &[161, 160, 3], DONE, &backward);
}

#[test]
fn memcpy_reads_protected_words_but_writes_them_only_for_tenant_0() {
    check(&mut board(4), 1, MEMCPY, &[158, 160, 2], DONE, &[(160, 0x109E), (161, 0x109F)]);
    check(&mut board(4), 1, MEMCPY, &[161, 159, 2], PROTECTED, &[]);
    check(&mut board(4), 0, MEMCPY, &[161, 159, 2], DONE, &[(159, 0x10A1), (160, 0x10A2)]);
}

#[test]
fn memcpy_faults_when_either_end_lies_past_the_last_word() {
    check(&mut board(4), 1, MEMCPY, &[160, 163, 1], DONE, &[(163, 0x10A0)]);
    for args in [
        [160, 163, 2],
        [163, 160, 2],
        [160, 164, 1],
        [164, 160, 1],
        [160, u32::MAX, 1],
        [u32::MAX, 160, 2],
        [160, u32::MAX - 1, 4],
        [0, 0, 165],
        [u32::MAX, 5, 1], // protected as well: the range comes first
    ] {
        check(&mut board(4), 1, MEMCPY, &args, RANGE, &[]);
    }
}

#[test]
fn memcpy_of_nothing_is_done_wherever_it_points() {
    check(&mut board(4), 1, MEMCPY, &[u32::MAX, 0, 0], DONE, &[]);
}

#[test]
fn memcpy_copies_4096_words_and_no_more() {
    let copied: Vec<(usize, u32)> =
        (0..4096).map(|i| (160 + 4096 + i as usize, 0x1000 + 160 + i)).collect();
    check(&mut board(8192), 1, MEMCPY, &[160, 160 + 4096, 4096], DONE, &copied);
    for args in [[160, 160 + 4096, 4097], [0, 0, u32::MAX], [u32::MAX, u32::MAX, 4097]] {
        check(&mut board(8192), 1, MEMCPY, &args, LIMIT, &[]);
    }
}

/// A board whose workspace holds a table of `states` from word `first` on.
fn with_table(first: usize, states: usize) -> Board {
    let mut board = board(4);
    board.workspace = (0..first + 256 * states).map(|word| 0xD0_0000 + word as u32).collect();
    board
}

#[test]
fn dfa_step_looks_the_next_state_up_in_the_workspace() {
    for (state, byte, first) in [(0, 0, 0), (1, 255, 3), (0, 1, 3), (1, 0, 0)] {
        let next = 0xD0_0000 + first + 256 * state + byte;
        let mut board = with_table(first as usize, 2);
        check(&mut board, 1, DFA_STEP, &[state, byte, first, 3], DONE, &[(163, next)]);
    }
}

#[test]
fn dfa_step_faults_past_its_table_its_columns_or_its_result() {
    for args in [
        [1, 255, 4, 3], // one past the workspace
        [2, 0, 3, 3],   // a state too many
        [0, 256, 0, 3], // no such column
        [0, u32::MAX, 0, 3],
        [0, 0, 0, 4],              // no such observable
        [0, 0, 0, u32::MAX - 159], // nor does 160 + a3 wrap
        [0x0100_0000, 0, 0, 3],    // state * 256 wraps to 0
        [0x00FF_FFFF, 255, 1, 3],  // the sum wraps to 0
        [0, 1, u32::MAX, 3],
        [u32::MAX, 255, u32::MAX, 3],
    ] {
        check(&mut with_table(3, 2), 0, DFA_STEP, &args, RANGE, &[]);
    }
}

#[test]
fn dfa_step_without_a_workspace_faults() {
    check(&mut board(4), 1, DFA_STEP, &[0, 0, 0, 0], RANGE, &[]);
}

#[test]
fn opcodes_that_nobody_handles_fault_and_low_ones_are_still_counted() {
    for opcode in [
        8,
        31,
        32,
        255,
        256,
        0xFFEF,
        0xFFF0,
        0xFFFC,
        0xFFFF,
        0x1_0000,
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0002,
        0xFFFF_FFFE,
    ] {
        check(&mut board(4), 1, opcode, &[7, 160], OPCODE, &[]);
    }
}

#[test]
fn counters_wrap() {
    let mut board = board(4);
    for word in [1, 64 + 1, 96 + STORE_U32 as usize, 138, 141] {
        board.control[word] = u32::MAX;
    }
    check(&mut board, 1, STORE_U32, &[7, 164], RANGE, &[]);
    assert_eq!([1, 65, 97, 138, 141].map(|word: usize| board.control[word]), [0; 5]);
}

#[test]
fn the_device_has_every_observable_and_no_word_more() {
    // Item 1: all 160 + observables words, at any number of them.
    for observables in [1, 7, 256, 1000] {
        let last = 159 + observables;
        check(&mut board(observables), 1, STORE_U32, &[7, last], DONE, &[(last as usize, 7)]);
        check(&mut board(observables), 1, STORE_U32, &[7, last + 1], RANGE, &[]);
    }
}

#[test]
fn k3_a_fault_touches_nothing_outside_its_buffers_and_the_others_go_on() {
    let mut board = Board::new(3, 4);
    board.publish(0, Job::new(STORE_U32, &[1, 160]));
    board.publish(1, Job::new(STORE_U32, &[2, u32::MAX]));
    board.publish(2, Job::new(STORE_U32, &[3, 161]));
    board.drain();
    assert_eq!([0, 1, 2].map(|slot| board.status(slot)), [DONE, RANGE, DONE]);
    let counted = [(1, 3), (64, 3), (97, 3), (138, 3), (141, 1), (160, 1), (161, 3)];
    assert_eq!(board.control, board.control_with(&counted));
}
