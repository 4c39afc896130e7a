//! The publisher, story by story: placement, tickets, recycling, fences. Contract R4; items 6,
//! 7, 17 and 23 of ABI section 5.

mod core_fixture;

use core_fixture::Stage;
use slipring_core::layout::LayoutError;
use slipring_core::opcode::{BATCH_FENCE, NOP, STORE_U32};
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Fault, Outcome, Publisher, PublisherError, Ticket};
use slipring_core::ring::{Job, PublishError, Ring, WorkItem};
use slipring_core::slot::Priority::{Critical, High, Idle, Low, Normal};
use slipring_core::tenant::{TenantError, TenantTable};

const DONE: u32 = 3;
const FAULT_9: u32 = 7 | 9 << 8;

/// Two tenants, any partitions.
fn stage(partitions: Partitions) -> Stage {
    Stage::new(partitions, TenantTable::open(2))
}

fn full(asked: u32, slots: u32, [in_flight, unread_faults, fenced]: [u32; 3]) -> PublisherError {
    PublisherError::Full { priority: Normal, asked, slots, in_flight, unread_faults, fenced }
}

const NOTHING: Job<'static> = Job::new(NOP, &[]);
const ITEM: (u32, &[u32]) = (NOP, &[]);

#[test]
fn a_ledger_of_another_slot_count_is_refused_naming_both() {
    let new = |entries: usize, slots| {
        let (words, ledger) = (vec![0; 16 * slots as usize], vec![Entry::FREE; entries]);
        let (ring, partitions) = (Ring::new(&words[..]).unwrap(), Partitions::single(slots));
        Publisher::new(ring, ledger, partitions, TenantTable::open(1)).map(drop)
    };
    assert_eq!(new(4, 4), Ok(()));
    for entries in [3, 5] {
        let LayoutError::SlotCount { slots, expected } = new(entries, 4).unwrap_err() else {
            panic!("another error");
        };
        assert_eq!((slots as usize, expected), (entries, 4));
    }
}

#[test]
fn a_ring_of_another_slot_count_is_refused_naming_both() {
    let mut stage = stage(Partitions::single(4));
    let mut other = [0; 16 * 5];
    let refused = PublisherError::Layout(LayoutError::SlotCount { slots: 5, expected: 4 });
    let ring = Ring::new(&mut other).unwrap();
    assert_eq!(stage.publisher.publish(ring, &NOTHING), Err(refused));
    assert_eq!(stage.publisher.publish_batch(ring, 0, Normal, &[], 0), Err(refused));
    assert_eq!(other, [0; 80]);
}

#[test]
fn jobs_take_the_slots_of_their_level_and_carry_it() {
    let partitions = Partitions::from_sizes([1, 1, 2, 1, 1], 6).unwrap();
    let mut stage = stage(partitions);
    for (priority, slot) in
        [(Idle, 5), (Normal, 2), (Normal, 3), (Critical, 0), (Low, 4), (High, 1)]
    {
        let ticket = stage.publish(&NOTHING.priority(priority).tenant(1)).unwrap();
        assert_eq!(ticket.slot, slot);
        assert_eq!(stage.values()[16 * slot as usize..][..4], [1, NOP, 1, priority as u32]);
    }
}

#[test]
fn a_full_level_leaves_the_others_alone() {
    let partitions = Partitions::from_sizes([0, 0, 1, 1, 0], 2).unwrap();
    let mut stage = stage(partitions);
    stage.publish(&NOTHING).unwrap();
    assert_eq!(stage.publish(&NOTHING), Err(full(1, 1, [1, 0, 0])));
    assert_eq!(stage.publish(&NOTHING.priority(Low)).unwrap().slot, 1);
}

#[test]
fn a_level_without_slots_is_named() {
    let mut stage = stage(Partitions::single(2));
    for priority in [Critical, High, Low, Idle] {
        let refused = Err(PublisherError::NoPartition { priority });
        assert_eq!(stage.publish(&NOTHING.priority(priority)), refused);
    }
}

#[test]
fn a_level_is_walked_round_and_round_and_no_two_jobs_share_a_number() {
    let mut stage = stage(Partitions::from_sizes([1, 0, 3, 0, 0], 4).unwrap());
    let tickets: Vec<Ticket> = (0..7)
        .map(|_| {
            let ticket = stage.publish(&NOTHING).unwrap();
            stage.place(ticket.slot, DONE);
            ticket
        })
        .collect();
    let slots: Vec<u32> = tickets.iter().map(|ticket| ticket.slot).collect();
    assert_eq!(slots, [1, 2, 3, 1, 2, 3, 1]);
    assert!(tickets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
}

#[test]
fn an_outcome_follows_the_job_until_its_slot_is_used_twice_more() {
    let mut stage = stage(Partitions::single(1));
    let first = stage.publish(&NOTHING).unwrap();
    for in_flight in [1, 2, 4 | 3 << 8] {
        stage.place(0, in_flight);
        assert_eq!(stage.outcome(first), Outcome::Pending);
    }
    stage.place(0, DONE);
    assert_eq!([(); 2].map(|()| stage.outcome(first)), [Outcome::Done; 2]);
    assert!(stage.publisher.has_slot(first));
    let second = stage.publish(&NOTHING).unwrap();
    assert_eq!(stage.outcome(first), Outcome::Done);
    assert!(!stage.publisher.has_slot(first) && stage.publisher.has_slot(second));
    assert_eq!(stage.outcome(second), Outcome::Pending);
    stage.place(0, FAULT_9);
    assert_eq!(stage.next_fault().map(|fault| fault.ticket), Some(second));
    let third = stage.publish(&NOTHING).unwrap();
    assert_eq!(stage.outcome(first), Outcome::Unknown);
    assert_eq!(stage.outcome(second), Outcome::Fault(9));
    assert_eq!(stage.outcome(third), Outcome::Pending);
    stage.place(0, DONE);
    stage.ring().reset().unwrap();
    assert_eq!([first, second, third].map(|job| stage.outcome(job)), [Outcome::Unknown; 3]);
    assert!(![first, second, third].iter().any(|job| stage.publisher.has_slot(*job)));
}

#[test]
fn a_ticket_of_nobody_is_unknown() {
    let mut stage = stage(Partitions::single(1));
    let never = Ticket { slot: 0, sequence: 0 };
    stage.place(0, DONE);
    assert_eq!(stage.outcome(never), Outcome::Unknown);
    let Ticket { slot, sequence } = stage.publish(&NOTHING).unwrap();
    for ticket in [
        never,
        Ticket { slot, sequence: sequence + 1 },
        Ticket { slot: 1, sequence },
        Ticket { slot: u32::MAX, sequence },
    ] {
        assert_eq!(stage.outcome(ticket), Outcome::Unknown);
    }
}

#[test]
fn a_fault_keeps_its_slot_until_its_outcome_was_read() {
    let mut stage = stage(Partitions::single(1));
    let ticket = stage.publish(&NOTHING).unwrap();
    stage.place(0, FAULT_9);
    assert_eq!(stage.publish(&NOTHING), Err(full(1, 1, [0, 1, 0])));
    assert_eq!([(); 2].map(|()| stage.outcome(ticket)), [Outcome::Fault(9); 2]);
    assert!(stage.publish(&NOTHING).is_ok());
}

#[test]
fn unread_faults_are_handed_out_lowest_slot_first_and_once() {
    let mut stage = stage(Partitions::single(3));
    let tickets = [(); 3].map(|()| stage.publish(&NOTHING).unwrap());
    stage.place(2, FAULT_9);
    stage.place(1, 7 | 255 << 8);
    stage.place(0, DONE);
    let faults = [(); 3].map(|()| stage.next_fault());
    let fault = |slot: usize, code| Some(Fault { ticket: tickets[slot], code });
    assert_eq!(faults, [fault(1, 255), fault(2, 9), None]);
    for _ in 0..3 {
        stage.publish(&NOTHING).unwrap();
    }
}

#[test]
fn full_says_what_each_slot_is_busy_with() {
    let mut stage = stage(Partitions::single(8));
    stage.batch(0, Normal, &[ITEM; 3], 1).unwrap(); // slots 0..=3
    for _ in 4..7 {
        stage.publish(&NOTHING).unwrap();
    }
    // 0, 1 done but fenced; 2 a fault; 3 the fence; 4 waits; 5 claimed; 6 done; 7 never used.
    for (slot, status) in [(0, DONE), (1, DONE), (2, FAULT_9), (4, 4), (5, 2), (6, DONE)] {
        stage.place(slot, status);
    }
    let refused = stage.batch(0, Normal, &[ITEM; 2], 2);
    assert_eq!(refused, Err(full(3, 8, [3, 1, 2])));
    assert_eq!(stage.batch(0, Normal, &[ITEM], 2).unwrap().window.first.slot, 6);
}

#[test]
fn a_batch_lies_side_by_side_and_its_fence_comes_last() {
    let partitions = Partitions::from_sizes([1, 0, 0, 0, 3], 4).unwrap();
    let mut stage = stage(partitions);
    let items: [(u32, &[u32]); 2] = [(STORE_U32, &[5, 161]), (0x100, &[])];
    let batch = stage.batch(1, Idle, &items, 0xFACE).unwrap();
    assert_eq!((batch.window.first.slot, batch.fence.slot), (1, 3));
    assert_eq!(batch.fence.sequence, batch.window.first.sequence + 2);
    let slot = |opcode, a0, a1| [1, opcode, 1, 4, a0, a1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let expected =
        [[0; 16], slot(STORE_U32, 5, 161), slot(0x100, 0, 0), slot(BATCH_FENCE, 2, 0xFACE)];
    assert_eq!(stage.values(), expected.as_flattened());
}

#[test]
fn a_batch_that_does_not_fit_before_the_end_of_the_level_starts_it_over() {
    let partitions = Partitions::from_sizes([1, 0, 4, 0, 0], 5).unwrap();
    let mut stage = stage(partitions);
    for _ in 0..3 {
        let ticket = stage.publish(&NOTHING).unwrap();
        stage.place(ticket.slot, DONE);
    }
    let batch = stage.batch(0, Normal, &[ITEM], 1).unwrap();
    assert_eq!((batch.window.first.slot, batch.fence.slot), (1, 2));
}

#[test]
fn the_window_of_a_fence_is_not_used_again_before_the_fence_has_finished() {
    let mut stage = stage(Partitions::single(3));
    stage.batch(0, Normal, &[ITEM; 2], 1).unwrap();
    stage.place(0, DONE);
    stage.place(1, DONE);
    for fence in [1, 2] {
        stage.place(2, fence);
        assert_eq!(stage.publish(&NOTHING), Err(full(1, 3, [1, 0, 2])));
    }
    stage.place(2, DONE);
    for slot in 0..3 {
        assert_eq!(stage.publish(&NOTHING).unwrap().slot, slot);
    }
}

#[test]
fn a_fence_of_its_own_holds_the_slots_before_it_and_no_others() {
    for (covered, held) in [(0, 0), (1, 1), (2, 2), (3, 2), (u32::MAX, 2)] {
        let mut stage = stage(Partitions::single(4));
        stage.publish(&NOTHING).unwrap();
        stage.publish(&NOTHING).unwrap();
        stage.publish(&Job::new(BATCH_FENCE, &[covered, 5])).unwrap(); // slot 2
        stage.publish(&NOTHING).unwrap();
        for slot in [0, 1, 3] {
            stage.place(slot, DONE);
        }
        let free = std::iter::from_fn(|| stage.publish(&NOTHING).ok());
        assert_eq!(free.count(), 3 - held, "a fence of {covered}");
    }
}

#[test]
fn work_items_lie_side_by_side_at_their_level() {
    let mut stage = stage(Partitions::from_sizes([1, 0, 0, 3, 0], 4).unwrap());
    let item = |input| WorkItem { opcode: STORE_U32, input, output: 161, param: 7 };
    let window = stage.items(1, Low, &[item(5), item(6)]).unwrap();
    let tickets: Vec<u32> = window.tickets().map(|ticket| ticket.slot).collect();
    assert_eq!(tickets, [1, 2]);
    let slot = |input| [1, STORE_U32, 1, 3, input, 161, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(stage.values()[16..48], *[slot(5), slot(6)].as_flattened());
    assert_eq!(stage.items(0, Low, &[]).unwrap().tickets().count(), 0);
}

#[test]
fn jobs_in_a_ring_that_was_reset_are_unknown_and_hold_nothing() {
    let mut stage = stage(Partitions::single(2));
    let tickets = [(); 2].map(|()| stage.publish(&NOTHING).unwrap());
    stage.place(0, DONE);
    stage.place(1, FAULT_9);
    stage.ring().reset().unwrap();
    assert_eq!(tickets.map(|ticket| stage.outcome(ticket)), [Outcome::Unknown; 2]);
    assert_eq!((stage.in_flight(0), stage.next_fault()), (0, None));
    assert!(stage.batch(0, Normal, &[ITEM], 0).is_ok());
}

#[test]
fn r4_a_refused_publish_changes_nothing() {
    let mut stage = stage(Partitions::single(3));
    let first = stage.publish(&NOTHING.tenant(1)).unwrap();
    let before = stage.values();
    let long = &[0; 13][..];
    let opcode = |item| PublishError::Opcode { item, opcode: 0xFFF0 }.into();
    let args = |item| PublishError::TooManyArgs { item, args: 13 }.into();
    let unknown: PublisherError = TenantError::Unknown { tenant: 29 }.into();
    let refusals: [(Result<_, PublisherError>, PublisherError); 8] = [
        (stage.publish(&Job::new(0xFFF0, &[])).map(drop), opcode(0)),
        (stage.publish(&Job::new(0xFFF0, long)).map(drop), args(0)),
        (stage.publish(&NOTHING.tenant(29)).map(drop), unknown),
        (
            stage.publish(&NOTHING.priority(High)).map(drop),
            PublisherError::NoPartition { priority: High },
        ),
        (stage.batch(0, Normal, &[ITEM, (0xFFF0, &[])], 0).map(drop), opcode(1)),
        (stage.batch(0, Normal, &[ITEM, (NOP, long)], 0).map(drop), args(1)),
        (stage.batch(29, Normal, &[], 0).map(drop), unknown),
        (stage.batch(0, Normal, &[ITEM; 2], 0).map(drop), full(3, 3, [1, 0, 0])),
    ];
    for (refused, expected) in refusals {
        assert_eq!(refused, Err(expected));
    }
    assert_eq!(stage.values(), before);
    assert_eq!([0, 1].map(|tenant| stage.in_flight(tenant)), [0, 1]);
    let next = Ticket { slot: 1, sequence: first.sequence + 1 };
    assert_eq!(stage.publish(&NOTHING), Ok(next), "no slot and no number was skipped");
}

#[test]
fn a_job_of_before_is_unknown_when_the_ring_is_adopted_and_its_slot_left_to_finish() {
    let mut stage = stage(Partitions::single(1));
    let ticket = stage.publish(&NOTHING).unwrap();
    stage.adopt();
    assert_eq!(stage.publish(&NOTHING), Err(full(1, 1, [1, 0, 0])));
    stage.place(0, DONE);
    assert_eq!(stage.outcome(ticket), Outcome::Unknown);
    assert_ne!(stage.publish(&NOTHING).unwrap().sequence, ticket.sequence);
}
