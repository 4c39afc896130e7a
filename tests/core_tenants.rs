//! Tenants, quotas, and rings that held work before their publisher came: ABI section 2 and
//! items 2 and 5 of section 5.

mod core_fixture;

use core_fixture::Stage;
use slipring_core::opcode::{self, BATCH_FENCE, NOP, PACKED_SLOT};
use slipring_core::packed::{Op, PackedError, Payload};
use slipring_core::partition::Partitions;
use slipring_core::publisher::PublisherError;
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::Priority::{Low, Normal};
use slipring_core::tenant::{Tenant, TenantError, TenantTable};

const NOTHING: Job<'static> = Job::new(NOP, &[]);
const ITEM: (u32, &[u32]) = (NOP, &[]);

/// Two tenants, of which tenant 1 has a quota.
fn with_quota(slots: u32, quota: u32) -> Stage {
    let mut tenants = TenantTable::open(2);
    tenants.set(1, Tenant { quota, ..Tenant::OPEN }).unwrap();
    Stage::new(Partitions::single(slots), tenants)
}

fn over_quota(in_flight: u32, asked: u32, quota: u32) -> PublisherError {
    PublisherError::Quota { tenant: 1, in_flight, asked, quota }
}

#[test]
fn there_are_29_tenants() {
    let tenants = TenantTable::open(u32::MAX);
    assert_eq!(tenants.check(28, NOP), Ok(&Tenant::OPEN));
    for tenant in [29, 32, 61, u32::MAX] {
        let unknown = TenantError::Unknown { tenant };
        assert_eq!(tenants.check(tenant, NOP), Err(unknown));
        assert_eq!(tenants.get(tenant), Err(unknown));
        assert_eq!(TenantTable::open(29).set(tenant, Tenant::OPEN), Err(unknown));
    }
}

#[test]
fn only_the_first_tenants_are_open() {
    let tenants = TenantTable::open(2);
    let open = [0, 1, 2, 28].map(|tenant| *tenants.get(tenant).unwrap() == Tenant::OPEN);
    assert_eq!(open, [true, true, false, false]);
}

#[test]
fn a_tenants_range_limits_its_user_opcodes_and_no_built_in_one() {
    let mut tenants = TenantTable::open(1);
    let (first, last) = (0x100, 0x1FF);
    let value = Tenant { first_opcode: first, last_opcode: last, ..Tenant::OPEN };
    tenants.set(4, value).unwrap();
    for opcode in [first, last].iter().chain(&opcode::BUILTIN) {
        assert_eq!(tenants.check(4, *opcode), Ok(&value), "{opcode:#x}");
    }
    for opcode in [8, first - 1, last + 1, 0x7FFF_FFFF] {
        let refused = TenantError::Opcode { tenant: 4, opcode, first, last };
        assert_eq!(tenants.check(4, opcode), Err(refused));
    }
}

#[test]
fn a_quota_is_how_many_slots_may_be_in_flight_at_once() {
    let mut stage = with_quota(8, 3);
    let tickets = [(); 3].map(|()| stage.publish(&NOTHING.tenant(1)).unwrap());
    assert_eq!(stage.publish(&NOTHING.tenant(1)), Err(over_quota(3, 1, 3)));
    for in_flight in [2, 4] {
        stage.place(tickets[0].slot, in_flight);
        assert_eq!(stage.publish(&NOTHING.tenant(1)), Err(over_quota(3, 1, 3)));
    }
    assert!(stage.publish(&NOTHING).is_ok(), "another tenant's jobs are its own");
}

#[test]
fn a_finished_slot_no_longer_counts_read_or_not() {
    for finished in [3, 7 | 9 << 8] {
        let mut stage = with_quota(8, 1);
        let ticket = stage.publish(&NOTHING.tenant(1)).unwrap();
        assert_eq!(stage.in_flight(1), 1);
        stage.place(ticket.slot, finished);
        assert!(stage.publish(&NOTHING.tenant(1)).is_ok(), "status {finished:#x}");
        assert_eq!(stage.in_flight(1), 1);
    }
}

#[test]
fn the_window_of_a_fence_does_not_count_against_the_quota() {
    let mut stage = with_quota(8, 1);
    let args = [u32::MAX, 0];
    assert!(stage.publish(&Job::new(BATCH_FENCE, &args).tenant(1)).is_ok());
    assert_eq!(stage.in_flight(1), 1);
}

#[test]
fn what_is_packed_in_a_slot_must_be_in_the_tenants_range_too() {
    let mut stage = with_quota(8, 8);
    let narrow = Tenant { first_opcode: 0x20, last_opcode: 0xFF, ..Tenant::OPEN };
    stage.publisher.set_tenant(1, narrow).unwrap();
    let packed = |opcode| {
        let ops: [Op<'_>; 2] = [(NOP as u8, &[]), (opcode, &[1])];
        Payload::pack(&ops).unwrap()
    };
    let refusal = |opcode| {
        let (first, last) = (0x20, 0xFF);
        PublisherError::Tenant(TenantError::Opcode { tenant: 1, opcode, first, last })
    };
    let before = stage.values();
    assert_eq!(stage.publish(&packed(0x1F).job().tenant(1)), Err(refusal(0x1F)));
    let words = *packed(8).words();
    let items: [(u32, &[u32]); 2] = [ITEM, (PACKED_SLOT, &words)];
    assert_eq!(stage.batch(1, Normal, &items, 0), Err(refusal(8)));
    assert_eq!(stage.values(), before);
    assert!(stage.publish(&packed(0x20).job().tenant(1)).is_ok());
    assert!(stage.publish(&packed(0x1F).job()).is_ok(), "tenant 0 may");
}

#[test]
fn a_packed_slot_that_does_not_parse_is_refused_before_it_faults() {
    let mut stage = with_quota(8, 8);
    let refusal = PublisherError::Packed(PackedError::TooManyOps { ops: 5 });
    assert_eq!(stage.publish(&Job::new(PACKED_SLOT, &[5])), Err(refusal));
    let item = WorkItem { opcode: PACKED_SLOT, input: 5, output: 0, param: 0 };
    assert_eq!(stage.items(0, Normal, &[item]), Err(refusal));
    assert_eq!(stage.in_flight(0), 0);
}

#[test]
fn an_adopted_fence_that_will_fault_hides_no_other_fences_window() {
    let mut stage = with_quota(10, 1);
    stage.ring().publish(5, &Job::new(BATCH_FENCE, &[3, 1])).unwrap();
    stage.ring().publish(7, &Job::new(BATCH_FENCE, &[5, 1]).tenant(30)).unwrap();
    stage.adopt();
    stage.place(7, 7 | 2 << 8);
    let published: Vec<u32> =
        std::iter::from_fn(|| stage.publish(&NOTHING).ok()).map(|ticket| ticket.slot).collect();
    assert_eq!(published, [0, 1, 6, 8, 9], "2, 3 and 4 are held, 5 and 7 are not read");
}

#[test]
fn a_batch_needs_quota_for_its_items_and_its_fence() {
    let mut stage = with_quota(8, 3);
    let refused = stage.batch(1, Normal, &[ITEM; 3], 0);
    assert_eq!(refused, Err(over_quota(0, 4, 3)));
    assert!(stage.batch(1, Normal, &[ITEM; 2], 0).is_ok());
    assert_eq!(stage.in_flight(1), 3);
}

#[test]
fn a_quota_of_0_stops_and_a_million_is_no_limit() {
    let mut stage = with_quota(8, 0);
    assert_eq!(stage.publish(&NOTHING.tenant(1)), Err(over_quota(0, 1, 0)));
    let limited = |quota| !Tenant { quota, ..Tenant::OPEN }.is_unlimited();
    let quotas = [0, 999_999, 1_000_000, 1_000_001, u32::MAX];
    assert_eq!(quotas.map(limited), [true, true, false, false, false]);
}

#[test]
fn a_quota_lowered_under_what_is_in_flight_stops_until_enough_has_finished() {
    let mut stage = with_quota(8, 3);
    let tickets = [(); 3].map(|()| stage.publish(&NOTHING.tenant(1)).unwrap());
    stage.publisher.set_tenant(1, Tenant { quota: 1, ..Tenant::OPEN }).unwrap();
    for (finished, in_flight) in [(0, 2), (1, 1)] {
        stage.place(tickets[finished].slot, 3);
        assert_eq!(stage.publish(&NOTHING.tenant(1)), Err(over_quota(in_flight, 1, 1)));
    }
    stage.place(tickets[2].slot, 3);
    assert!(stage.publish(&NOTHING.tenant(1)).is_ok());
}

#[test]
fn of_several_reasons_the_tenant_comes_first_then_the_job_the_level_the_quota_the_room() {
    let mut stage = with_quota(1, 0);
    stage.publish(&NOTHING).unwrap();
    let job = Job::new(0xFFF0, &[]).tenant(29).priority(Low);
    let kind = |error| match error {
        PublisherError::Tenant(_) => "tenant",
        PublisherError::Job(_) => "job",
        PublisherError::NoPartition { .. } => "level",
        PublisherError::Quota { .. } => "quota",
        PublisherError::Full { .. } => "room",
        _ => "another",
    };
    let known = job.tenant(1);
    let right = NOTHING.tenant(1).priority(job.priority);
    let there = NOTHING.tenant(1);
    let jobs = [job, known, right, there, NOTHING];
    let reasons = jobs.map(|job| kind(stage.publish(&job).unwrap_err()));
    assert_eq!(reasons, ["tenant", "job", "level", "quota", "room"]);
}

// A ring that held work before its publisher came: an adopted buffer, or a host begun anew.

#[test]
fn a_fault_of_an_adopted_ring_is_not_overwritten_before_it_was_read() {
    let mut stage = with_quota(1, 1);
    stage.place(0, 7 | 9 << 8);
    stage.adopt();
    let full = stage.publish(&NOTHING);
    assert!(matches!(full, Err(PublisherError::Full { unread_faults: 1, .. })), "{full:?}");
    assert_eq!(stage.next_fault().map(|fault| fault.code), Some(9));
    assert!(stage.publish(&NOTHING).is_ok());
}

#[test]
fn slots_in_flight_of_an_adopted_ring_count_against_the_quota() {
    let mut stage = with_quota(4, 1);
    stage.ring().publish(0, &NOTHING.tenant(1)).unwrap();
    stage.adopt();
    assert_eq!(stage.in_flight(1), 1);
    assert_eq!(stage.publish(&NOTHING.tenant(1)), Err(over_quota(1, 1, 1)));
}

#[test]
fn the_window_of_a_fence_of_an_adopted_ring_is_held() {
    let mut stage = with_quota(2, 1);
    stage.ring().publish_batch(0, 0, &[ITEM], 1).unwrap();
    stage.place(0, 3);
    stage.adopt();
    let full = stage.publish(&NOTHING);
    assert!(matches!(full, Err(PublisherError::Full { fenced: 1, .. })), "{full:?}");
    stage.place(1, 3);
    assert!(stage.publish(&Job::new(BATCH_FENCE, &[0, 0])).is_ok());
}

#[test]
fn a_slot_that_another_published_is_not_overwritten() {
    let mut stage = with_quota(2, 1);
    stage.ring().publish(0, &NOTHING).unwrap();
    assert_eq!(stage.publish(&NOTHING).unwrap().slot, 1);
}
