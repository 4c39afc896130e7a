//! Who runs, in what order, and what is counted when. Contracts K2 and K4; items 2, 3, 5, 6, 8,
//! 16 and 20 of ABI section 5.

mod core_fixture;

use core_fixture::{Board, Traced, any_status, cases};
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::layout::{Geometry, LayoutError};
use slipring_core::opcode::*;
use slipring_core::partition::Partitions;
use slipring_core::ring::Job;
use slipring_core::row::{Row, Storage, control_words, debug_log_words};
use slipring_core::slot::Priority;
use slipring_core::twin::{Call, Twin, no_handlers};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

const PUBLISHED: u32 = 1;
const DONE: u32 = 3;
const TENANT: u32 = 7 | 2 << 8;
const PROTECTED: u32 = 7 | 3 << 8;
const WORK: u32 = 0x100;

fn statuses(board: &Board) -> Vec<u32> {
    (0..board.ring.len() / 16).map(|slot| board.status(slot)).collect()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn only_a_published_slot_runs_by_the_low_byte(status in any_status()) {
        prop_assume!(status & 0xFF != 4); // waiting for I/O: another file
        let mut board = Board::new(1, 1);
        board.publish(0, Job::new(STORE_U32, &[7, 160]));
        board.set_status(0, status);
        let before = board.clone();
        board.drain();
        if status & 0xFF == PUBLISHED {
            prop_assert_eq!((board.status(0), board.control[160]), (DONE, 7));
        } else {
            prop_assert_eq!(board, before);
        }
    }

    #[test]
    fn a_tenant_past_the_table_faults_whatever_it_asks_for(
        tenant in prop_oneof![29..70u32, any::<u32>().prop_map(|tenant| tenant | 1 << 20)],
        opcode in core_fixture::hostile_opcode(),
        args in any::<[u32; 12]>(),
    ) {
        let mut board = Board::new(2, 4);
        board.control[32..64].fill(u32::MAX); // where the reference would find their quotas
        board.ring[16..20].copy_from_slice(&[PUBLISHED, opcode, tenant, 2]);
        board.ring[20..32].copy_from_slice(&args);
        let mut expected = board.clone();
        expected.set_status(1, TENANT);
        for word in [1, 64 + tenant as usize % 32, 138, 141] {
            expected.control[word] += 1;
        }
        board.drain();
        prop_assert_eq!(board, expected);
    }
}

#[test]
fn a_paused_tenants_slots_stay_published_and_run_when_it_is_not() {
    let mut board = Board::new(2, 2);
    board.publish(0, Job::new(STORE_U32, &[7, 160]).tenant(28));
    board.publish(1, Job::new(STORE_U32, &[8, 161]).tenant(27));
    board.control[3 + 28] = 0;
    board.drain();
    assert_eq!(statuses(&board), [PUBLISHED, DONE]);
    assert_eq!(board.control[160..], [0, 8]);
    assert_eq!([1, 64 + 28, 138].map(|word: usize| board.control[word]), [1, 0, 1]);

    board.control[3 + 28] = 1 << 31; // any bit will do
    board.drain();
    assert_eq!(statuses(&board), [DONE, DONE]);
    assert_eq!(board.control[160..], [7, 8]);
}

#[test]
fn the_device_reads_neither_quotas_nor_word_2() {
    let mut board = Board::new(1, 1);
    board.control[32..64].fill(0);
    board.control[2] = 999;
    assert_eq!(board.run(Job::new(STORE_U32, &[7, 160]).tenant(5)), DONE);
    assert_eq!(board.control[2], 999);
}

#[test]
fn any_shutdown_word_but_0_stops_claiming() {
    for shutdown in [1, 2, 0x100, u32::MAX] {
        let mut board = Board::new(2, 1);
        board.control[0] = shutdown;
        board.publish(0, Job::new(STORE_U32, &[7, 160]));
        board.publish(1, Job::new(NOP, &[]).tenant(29)); // not even a fault
        let before = board.clone();
        board.drain();
        assert_eq!(board, before);
    }
}

#[test]
fn k4_shutdown_lets_what_came_before_finish_and_leaves_the_rest_published() {
    let mut board = Board::new(6, 4);
    board.partitions = Partitions::from_sizes([0, 1, 3, 0, 2], 6).unwrap();
    for (slot, opcode) in [STORE_U32, STORE_U32, SHUTDOWN, STORE_U32, STORE_U32].iter().enumerate()
    {
        board.publish(slot as u32, Job::new(*opcode, &[7, 160 + slot as u32]));
    }
    board.publish(5, Job::new(BATCH_FENCE, &[0, 9]));
    for _ in 0..2 {
        board.drain();
        assert_eq!(statuses(&board), [3, 3, 3, 1, 1, 1]);
        let counted = [(0, 1), (1, 3), (64, 3), (97, 2), (137, 1), (138, 2), (160, 7), (161, 7)];
        assert_eq!(board.control, Board::new(6, 4).control_with(&counted));
    }
}

#[test]
fn shutdown_is_tenant_0s_alone() {
    for tenant in [1, 28] {
        let mut board = Board::new(2, 1);
        board.publish(0, Job::new(SHUTDOWN, &[]).tenant(tenant));
        board.publish(1, Job::new(NOP, &[]));
        board.drain();
        assert_eq!((statuses(&board), board.control[0]), (vec![PROTECTED, DONE], 0));
    }
}

#[test]
fn levels_run_critical_to_idle_by_where_a_slot_lies() {
    let mut board = Board::new(10, 0);
    board.partitions = Partitions::even(10);
    for slot in (0..10).rev() {
        board.publish(slot, Job::new(WORK, &[]));
        board.ring[16 * slot as usize + 3] = 9 - slot; // what the slot says is not looked at
    }
    let mut ran = Vec::new();
    board.drain_with(|call| {
        ran.push(call.slot());
        Some(0)
    });
    assert_eq!(ran, (0..10).collect::<Vec<_>>());
    assert_eq!(board.control[135..141], [0, 2, 2, 2, 2, 2], "word 135 counts no starvation");
}

#[test]
fn a_look_past_the_ring_sees_nothing() {
    let mut board = Board::new(1, 0);
    board.publish(0, Job::new(NOP, &[]));
    let before = board.clone();
    let mut twin = Twin::new(board.row(), &mut [][..], no_handlers);
    for slot in [1, 1 << 28, u32::MAX] {
        twin.look(slot, Priority::Normal);
        twin.fence(slot, Priority::Normal);
    }
    assert_eq!(board, before);
}

#[test]
fn k2_a_slot_is_claimed_while_it_runs_and_counted_only_after() {
    static ROW: Storage<{ control_words(0) }, 1, { debug_log_words(0) }, 1> = Storage::new();
    let row = ROW.row();
    row.reset(1, &Partitions::single(1)).unwrap();
    row.ring.publish(0, &Job::new(WORK, &[])).unwrap();
    let word = |words: &[AtomicU32], word: usize| words[word].load(Ordering::Relaxed);
    let mut seen = Vec::new();
    let handler = |_: &Call<'_, AtomicU32>| {
        seen.push((word(row.ring.words(), 0), word(row.control.words(), 1)));
        Some(0)
    };
    Twin::new(row, &[][..], handler).drain(&Partitions::single(1)).unwrap();
    assert_eq!(seen, [(2, 0)]);
    assert_eq!((word(row.ring.words(), 0), word(row.control.words(), 1)), (DONE, 1));
}

/// The writes of one drain of a single slot, by name.
fn trace(job: Job<'_>) -> Vec<String> {
    let mut board = Board::new(1, 1);
    board.publish(0, job);
    let log = Rc::new(RefCell::new(Vec::new()));
    let traced = |name, words: &[u32]| Traced::buffer(name, words, &log);
    let (control, ring) = (traced("control", &board.control), traced("ring", &board.ring));
    let (debug, io) = (traced("debug log", &board.debug_log), traced("io", &board.io_queue));
    let geometry = Geometry::new(1, 1, 4, 2).unwrap();
    let row = Row::new(geometry, &control[..], &ring[..], &debug[..], &io[..]).unwrap();
    Twin::new(row, &[][..], no_handlers).drain(&Partitions::single(1)).unwrap();
    let write = |write: &core_fixture::Write| {
        let release = if write.release { " release" } else { "" };
        format!("{} {} = {}{release}", write.buffer, write.word, write.value)
    };
    log.borrow().iter().map(write).collect()
}

#[test]
fn r7_the_kernel_refuses_partitions_of_another_slot_count_naming_both() {
    let mut board = Board::new(4, 1);
    board.publish(0, Job::new(STORE_U32, &[7, 160]));
    let before = board.ring.clone();
    let refused = Twin::new(board.row(), &mut [][..], no_handlers).drain(&Partitions::single(5));
    assert_eq!(refused, Err(LayoutError::SlotCount { slots: 4, expected: 5 }));
    assert_eq!(board.ring, before);
}

#[test]
fn the_status_is_released_after_the_effect_and_before_the_count() {
    let writes = trace(Job::new(STORE_U32, &[7, 160]));
    let end = ["control 160 = 7", "ring 0 = 3 release", "control 1 = 1 release"];
    assert_eq!(writes[writes.len() - 3..], end);
    assert_eq!(writes[0], "ring 0 = 2", "claimed first");

    let writes = trace(Job::new(STORE_U32, &[7, 161]));
    let end = ["ring 0 = 1031 release", "control 141 = 1", "control 1 = 1 release"];
    assert_eq!(writes[writes.len() - 3..], end);

    let writes = trace(Job::new(BATCH_FENCE, &[0, 7]));
    let end = ["control 128 = 1", "control 160 = 7", "ring 0 = 3 release", "control 1 = 1 release"];
    assert_eq!(writes[writes.len() - 4..], end);
}

#[test]
fn a_request_is_whole_before_it_is_published_and_the_slot_waits_after() {
    let writes = trace(Job::new(LOAD_MISS, &[5]));
    let end = ["io 7 = 0", "io 6 = 1 release", "ring 0 = 4 release"];
    let (rest, last) = writes.split_at(writes.len() - 3);
    assert_eq!((last, &rest[1]), (&end.map(String::from)[..], &"io 6 = 18".to_string()));
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn k2_k4_every_slot_that_may_run_runs_exactly_once_in_two_drains(
        slots in vec((any_status(), 0..32u32, prop_oneof![15 => Just(WORK), 1 => Just(SHUTDOWN)]), 1..12),
        paused in 0..29u32,
        sizes in any::<[u8; 5]>(),
    ) {
        let count = slots.len() as u32;
        let mut board = Board::new(count, 0);
        let mut rest = count;
        let mut sizes = sizes.map(|size| {
            let size = u32::from(size) % (rest + 1);
            rest -= size;
            size
        });
        sizes[4] += rest;
        board.partitions = Partitions::from_sizes(sizes, count).unwrap();
        board.control[3 + paused as usize] = 0;
        let (mut expected, mut ends) = (Vec::new(), Vec::new());
        let mut shutdown = false;
        for (slot, &(status, tenant, opcode)) in slots.iter().enumerate() {
            let status = if status & 0xFF == 4 { 2 } else { status };
            board.ring[16 * slot..][..4].copy_from_slice(&[status, opcode, tenant, 2]);
            let runs = status & 0xFF == PUBLISHED && !shutdown && tenant != paused;
            ends.push(match (runs, opcode, tenant) {
                (false, ..) => status,
                (true, _, 29..) => TENANT,
                (true, SHUTDOWN, 1..) => PROTECTED,
                _ => DONE,
            });
            shutdown |= runs && opcode == SHUTDOWN && tenant == 0;
            if runs && opcode == WORK && tenant < 29 {
                expected.push(slot as u32);
            }
        }
        let finished = ends.iter().zip(&slots).filter(|(end, (status, ..))| {
            status & 0xFF == PUBLISHED && **end & 0xFF != PUBLISHED
        });
        let finished = finished.count() as u32;
        let mut ran = Vec::new();
        for _ in 0..2 {
            board.drain_with(|call| {
                ran.push(call.slot());
                Some(0)
            });
        }
        prop_assert_eq!(ran, expected);
        prop_assert_eq!(statuses(&board), ends);
        let claims: u32 = board.control[64..96].iter().sum();
        let levels: u32 = board.control[136..141].iter().sum();
        prop_assert_eq!([board.control[1], claims, levels], [finished; 3]);
    }
}
