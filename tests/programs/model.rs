//! Three slots, every combination of what each may be, every order of their lanes.
//!
//! A lane goes for at most one word that other lanes write, so what lanes do together is what
//! they do one after the other in *some* order. The GPU's parallel result must be one of those,
//! its serial one that of the ascending order.

use crate::gpu;
use crate::handlers;
use crate::invariants;
use crate::rig::Rig;
use crate::shape::{ARENA_WORDS, Shape, WORKSPACE_WORDS};
use crate::state::State;
use slipring_core::control::word;
use slipring_core::packed::Payload;
use slipring_core::slot::{Priority, WORDS, status};
use slipring_core::{io_queue, opcode};

/// The word that slots go for: a quota, since COMPARE_SWAP reaches no observable here.
const HOT: u32 = 35;
/// The tenant that PAUSE pauses.
const PAUSED: u32 = 1;
const ORDERS: [[u32; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// What a slot may be: the opcode classes and the statuses, each with what it contends for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Claimed,
    Yield,
    Store,
    Add,
    Load,
    CompareSwap,
    Memcpy,
    DfaStep,
    Pause,
    OfPaused,
    Shutdown,
    LoadMiss,
    Printf,
    Packed,
    Fence,
    FaultsOpcode,
    FaultsTenant,
    IoEnded,
    IoFailed,
    IoWaits,
    Fetch,
    IoGoesOn,
    IoAsksAgain,
}

use Kind::*;

const KINDS: [Kind; 24] = [
    Empty,
    Claimed,
    Yield,
    Store,
    Add,
    Load,
    CompareSwap,
    Memcpy,
    DfaStep,
    Pause,
    OfPaused,
    Shutdown,
    LoadMiss,
    Printf,
    Packed,
    Fence,
    FaultsOpcode,
    FaultsTenant,
    IoEnded,
    IoFailed,
    IoWaits,
    Fetch,
    IoGoesOn,
    IoAsksAgain,
];

impl Kind {
    fn status(self, slot: u32) -> u32 {
        match self {
            Empty => status::EMPTY,
            Claimed => status::CLAIMED,
            Yield => status::YIELD,
            // Only the low byte says that it is published.
            Add | LoadMiss => status::PUBLISHED | 0xABCD_EF00,
            IoEnded | IoFailed | IoWaits | IoGoesOn | IoAsksAgain => status::WAIT_IO | slot << 8,
            _ => status::PUBLISHED,
        }
    }

    /// Opcode, tenant, arguments. What only this slot writes depends on `slot`.
    fn job(self, slot: u32) -> (u32, u32, Vec<u32>) {
        let own = 4 + slot;
        match self {
            Empty | Claimed | Yield | IoEnded | IoFailed | IoWaits => (opcode::NOP, 0, vec![]),
            Store => (opcode::STORE_U32, 0, vec![10 + slot, HOT]),
            Add => (opcode::ATOMIC_ADD, 0, vec![100 << slot, HOT]),
            Load => (opcode::LOAD_U32, 0, vec![HOT, own]),
            CompareSwap => (opcode::COMPARE_SWAP, 0, vec![HOT, 11, 20 + slot]),
            Memcpy => (opcode::MEMCPY, 0, vec![HOT, 160 + own, 1]),
            DfaStep => (opcode::DFA_STEP, 2, vec![1, 7 + slot, 2, 1]),
            Pause => (opcode::STORE_U32, 0, vec![0, word::TENANT_MASKS as u32 + PAUSED]),
            OfPaused => (handlers::ANSWER, PAUSED, vec![64 + slot]),
            Shutdown => (opcode::SHUTDOWN, 0, vec![]),
            LoadMiss => (opcode::LOAD_MISS, 2, vec![7, 0, 1, 2, 3, 4]),
            Fetch | IoGoesOn | IoAsksAgain => {
                (handlers::FETCH, 2, vec![1, 7, 2, 3, 4, 5, slot, slot, own])
            }
            Printf => (opcode::PRINTF, 2, vec![1, 2, 3]),
            Packed => {
                let (add, store) = (opcode::ATOMIC_ADD as u8, opcode::STORE_U32 as u8);
                let ops: [(u8, &[u32]); 2] = [(add, &[1, HOT]), (store, &[3, 160 + own])];
                let payload = Payload::pack(&ops).expect("two short operations");
                (opcode::PACKED_SLOT, 0, payload.words().to_vec())
            }
            Fence => (opcode::BATCH_FENCE, 2, vec![2, 50 + slot]),
            FaultsOpcode => (0xFFF0, 2, vec![]),
            FaultsTenant => (opcode::NOP, 29, vec![]),
        }
    }

    /// Whether two of them touch a second word of each other's: no order of whole lanes may
    /// explain what they do together. (Two shutdowns may both run; two exchanges may tell of
    /// their old values in the other order.)
    fn is_two_step(self) -> bool {
        matches!(self, Shutdown | CompareSwap)
    }
}

/// The row in which each slot is of its kind.
fn start(shape: &Shape, kinds: [Kind; 3]) -> State {
    let mut control = vec![0; shape.geometry.control_words()];
    control[3..32].fill(u32::MAX);
    control[HOT as usize] = 11;
    let mut ring = Vec::new();
    // One IO slot is free, unless slot 0 waits for it.
    let mut io_queue = [[0; 8], [0; 8], [0; 8]];
    for (slot, kind) in (0..).zip(kinds) {
        let (opcode, tenant, args) = kind.job(slot);
        let mut words = [0; WORDS];
        words[..3].copy_from_slice(&[kind.status(slot), opcode, tenant]);
        words[4..4 + args.len()].copy_from_slice(&args);
        ring.extend(words);
        let io_status = match kind {
            IoEnded | IoGoesOn | IoAsksAgain => io_queue::status::OK,
            IoFailed => io_queue::status::ERROR,
            _ if slot == 0 && kind != IoWaits => io_queue::status::EMPTY,
            _ => io_queue::status::CLAIMED,
        };
        let io = &mut io_queue[slot as usize];
        (io[io_queue::word::STATUS], io[io_queue::word::TAG]) = (io_status, slot);
        io[io_queue::word::BYTE_COUNT] = u32::from(kind == IoAsksAgain);
    }
    let debug_log = vec![0; shape.geometry.debug_log_words()];
    let [workspace, arena] = [WORKSPACE_WORDS, ARENA_WORDS].map(|words| (0..words).collect());
    let buffers = [control, ring, debug_log, io_queue.as_flattened().to_vec()];
    State { buffers, workspace, arena }
}

fn in_order(shape: &Shape, start: &State, order: [u32; 3]) -> State {
    let mut state = start.clone();
    state.with_twin(shape, |twin| {
        order.into_iter().for_each(|slot| twin.look(slot, Priority::Normal));
        (0..3).for_each(|slot| twin.fence(slot, Priority::Normal));
    });
    state
}

#[test]
fn k2_three_slots_do_what_some_order_of_their_lanes_does() {
    if gpu::is_skipped() {
        return;
    }
    let shape = Shape::new([3, 40, 2, 3], [0, 0, 3, 0, 0], true);
    let mut rig = Rig::open(shape);
    let (mut cases, mut dependent) = (0, 0);
    for kinds in triples() {
        let start = start(&shape, kinds);
        // Compares the serial result, and the parallel one where the order does not matter.
        let drained = rig.drain(start.clone(), None);
        let drained = drained.unwrap_or_else(|why| panic!("{kinds:?}: {why}"));
        let results = ORDERS.map(|order| in_order(&shape, &start, order));
        for (order, result) in ORDERS.iter().zip(&results) {
            let possible = invariants::check(&shape, &start, result);
            assert_eq!(possible, Ok(()), "{kinds:?} in the order {order:?}");
        }
        let two_steps = kinds.iter().filter(|kind| kind.is_two_step());
        let is_two_step = two_steps
            .clone()
            .any(|kind| two_steps.clone().filter(|other| *other == kind).count() > 1);
        assert!(
            is_two_step || results.contains(&drained.parallel),
            "{kinds:?}: no order of lanes gives {:x?}",
            drained.parallel
        );
        cases += 1;
        dependent += u32::from(results.iter().any(|result| *result != results[0]));
    }
    gpu::assert_no_messages();
    println!("{cases} cases, {dependent} of which depend on the order of lanes");
    assert!(dependent > 1000, "only {dependent} cases depend on the order");
}

fn triples() -> impl Iterator<Item = [Kind; 3]> {
    let pairs = KINDS.into_iter().flat_map(|a| KINDS.map(|b| (a, b)));
    pairs.flat_map(|(a, b)| KINDS.map(|c| [a, b, c]))
}
