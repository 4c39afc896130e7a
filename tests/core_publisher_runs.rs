//! Random runs of a publisher over a ring that a kernel works on meanwhile, against a model:
//! nothing is lost, nothing overwritten, every number is exact. Contracts R4 and K2.

mod core_fixture;
mod core_publisher_model;

use core_fixture::cases;
use core_publisher_model::{How, Run, TENANTS};
use proptest::collection::vec;
use proptest::prelude::*;
use slipring_core::slot::Priority;
use slipring_core::tenant::Tenant;
use std::collections::HashSet;

#[derive(Clone, Debug)]
enum Step {
    Work {
        tenant: u32,
        priority: Priority,
    },
    Fence {
        tenant: u32,
        priority: Priority,
        window: u32,
    },
    /// Work, or fences of their own windows; as a batch, closed by a fence.
    Several {
        tenant: u32,
        priority: Priority,
        items: Vec<Option<u32>>,
        is_batch: bool,
    },
    /// The kernel changes the status of one slot, if it may.
    Kernel {
        slot: usize,
        status: u32,
    },
    Drain,
    /// Somebody zeroes the ring, if nothing is in flight.
    Reset,
    Outcome {
        ticket: usize,
    },
    NextFault,
    InFlight {
        tenant: u32,
    },
    Quota {
        tenant: u32,
        quota: u32,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let tenant = || 0..TENANTS;
    let priority =
        || prop_oneof![2 => Just(Priority::Normal), 1 => prop::sample::select(&Priority::ALL[..])];
    let status = prop_oneof![
        1 => Just(2), 4 => Just(3), 1 => Just(4 | 2 << 8), 2 => (1..256u32).prop_map(|c| 7 | c << 8)
    ];
    let item = prop_oneof![6 => Just(None), 1 => (0..8u32).prop_map(Some)];
    let window = prop_oneof![6 => 0..8u32, 1 => Just(u32::MAX)];
    prop_oneof![
        8 => (tenant(), priority()).prop_map(|(tenant, priority)| Step::Work { tenant, priority }),
        1 => (tenant(), priority(), window)
            .prop_map(|(tenant, priority, window)| Step::Fence { tenant, priority, window }),
        5 => (tenant(), priority(), vec(item, 0..4), any::<bool>()).prop_map(
            |(tenant, priority, items, is_batch)| Step::Several {
                tenant, priority, items, is_batch
            }
        ),
        8 => (0..16usize, status).prop_map(|(slot, status)| Step::Kernel { slot, status }),
        1 => Just(Step::Drain),
        1 => Just(Step::Reset),
        4 => any::<prop::sample::Index>().prop_map(|i| Step::Outcome { ticket: i.index(64) }),
        1 => Just(Step::NextFault),
        1 => tenant().prop_map(|tenant| Step::InFlight { tenant }),
        1 => (tenant(), prop_oneof![0..6u32, Just(1_000_000)])
            .prop_map(|(tenant, quota)| Step::Quota { tenant, quota }),
    ]
}

fn take(run: &mut Run, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Work { tenant, priority } => run.publish(*tenant, *priority, &[None], How::Alone)?,
        Step::Fence { tenant, priority, window } => {
            run.publish(*tenant, *priority, &[Some(*window)], How::Alone)?;
        }
        Step::Several { tenant, priority, items, is_batch: true } => {
            let closed = [&items[..], &[Some(items.len() as u32)]].concat();
            run.publish(*tenant, *priority, &closed, How::Fenced)?;
        }
        Step::Several { tenant, priority, items, is_batch: false } => {
            run.publish(*tenant, *priority, items, How::SideBySide)?;
        }
        Step::Kernel { slot, status } => {
            if *slot < run.slots.len() && run.may_finish(*slot) {
                run.stage.place(*slot as u32, *status);
            }
        }
        Step::Drain => run.drain()?,
        Step::Reset => {
            let is_idle = (0..run.slots.len()).all(|slot| !run.is_in_flight(slot));
            prop_assert_eq!(run.stage.ring().reset().is_ok(), is_idle);
        }
        Step::Outcome { ticket } => {
            // Late tickets are asked for most: the early ones are unknown by now.
            if let Some(ticket) = run.tickets.iter().rev().nth(*ticket).copied() {
                run.outcome(ticket)?;
            }
        }
        Step::NextFault => drop(run.next_fault()?),
        // Not after every step: the publisher may look late, and must still be right.
        Step::InFlight { tenant } => {
            prop_assert_eq!(run.stage.in_flight(*tenant), run.in_flight(*tenant));
        }
        Step::Quota { tenant, quota } => {
            let value = Tenant { quota: *quota, ..Tenant::OPEN };
            run.stage.publisher.set_tenant(*tenant, value).unwrap();
            run.quotas[*tenant as usize] = *quota;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn k2_r4_no_job_is_lost_or_overwritten_in_any_run(
        sizes in prop_oneof![
            (1..8u32).prop_map(|slots| [0, 0, slots, 0, 0]),
            any::<[bool; 5]>().prop_map(|sizes| sizes.map(u32::from)),
            [0..3u32, 0..3u32, 0..3u32, 0..3u32, 0..3u32],
        ],
        steps in vec(any_step(), 0..120),
    ) {
        let mut run = Run::new(sizes);
        for step in &steps {
            take(&mut run, step)?;
        }
        // What is in flight finishes, in slot order, which no fence forbids; then all is
        // accounted for, and every slot takes a job again.
        for slot in 0..run.slots.len() {
            if run.is_in_flight(slot) {
                run.stage.place(slot as u32, 3);
            }
        }
        for ticket in run.tickets.clone() {
            run.outcome(ticket)?;
        }
        prop_assert_eq!(run.next_fault()?, None);
        let sequences: HashSet<u32> = run.tickets.iter().map(|ticket| ticket.sequence).collect();
        prop_assert_eq!(sequences.len(), run.published as usize);
        for slot in 0..run.partitions.slots() {
            let priority = run.partitions.level_of(slot).unwrap();
            run.quotas = [1_000_000; TENANTS as usize];
            run.stage.publisher.set_tenant(0, Tenant::OPEN).unwrap();
            run.publish(0, priority, &[None], How::Alone)?;
        }
        prop_assert!((0..run.slots.len()).all(|slot| run.is_in_flight(slot)));
    }
}
