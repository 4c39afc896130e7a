//! A kernel that stays on: what is published runs without a dispatch, once, and whole.

mod gpu;

use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Outcome, Publisher};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::{Priority, State, fault};
use slipring_core::tenant::TenantTable;
use slipring_driver::open::OpenError;
use slipring_driver::persistent::{DEFAULT_SLICE, MAX_SLICE, PersistError};
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Handler, Kernel, Readback};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn builder(slots: u32) -> DriverBuilder {
    let kernel = Kernel::builder().build().unwrap();
    Driver::builder(kernel, Geometry::of_slots(slots, 64).unwrap()).persistent(DEFAULT_SLICE)
}

/// Runs `check` on a driver that can stay on, unless the GPU is to be skipped.
fn with(builder: DriverBuilder, check: impl FnOnce(&mut Driver)) {
    if !gpu::is_skipped() {
        check(&mut gpu::open(builder, BackendChoice::Mapped));
    }
}

#[test]
fn jobs_run_as_soon_as_they_are_published() {
    with(builder(16), jobs_run);
    // As on Vulkan 1.1.
    with(builder(16).fences(), jobs_run);
}

fn jobs_run(driver: &mut Driver) {
    let mut kernel = driver.persist().unwrap();
    // NOPs have shown that the kernel sees what the host writes.
    let before = kernel.row().control.done_count().unwrap();
    for value in 1..=100 {
        let ticket = kernel.publish(&Job::new(opcode::ATOMIC_ADD, &[value, 160])).unwrap();
        assert_eq!(kernel.wait(ticket, SECOND), Ok(Outcome::Done));
    }
    assert_eq!(kernel.row().control.observable(0), Ok(5050));
    let slices = kernel.stop().unwrap();
    assert!(slices.slices > 0, "{slices:?}");
    assert_eq!(driver.row().control.done_count(), Ok(before + 100));
}

#[test]
fn a_batch_is_fenced_and_a_fault_is_told() {
    with(builder(16), |driver| {
        let mut kernel = driver.persist().unwrap();
        for tag in 1..=20 {
            let add: (u32, &[u32]) = (opcode::ATOMIC_ADD, &[1, 162]);
            let batch = kernel.publish_batch(0, Priority::Normal, &[add; 5], tag).unwrap();
            assert_eq!(kernel.wait(batch.fence, SECOND), Ok(Outcome::Done));
            let control = kernel.row().control;
            assert_eq!((control.observable(0), control.epoch()), (Ok(tag), Ok(tag)));
            assert_eq!(control.observable(2), Ok(5 * tag), "the fence came after its window");
        }
        let ticket = kernel.publish(&Job::new(opcode::STORE_U32, &[1, u32::MAX])).unwrap();
        assert_eq!(kernel.wait(ticket, SECOND), Ok(Outcome::Fault(fault::RANGE)));
    });
}

#[test]
fn what_is_left_when_the_kernel_stops_runs_in_the_next_dispatch() {
    with(builder(16), |driver| {
        let mut kernel = driver.persist().unwrap();
        let paused =
            slipring_core::tenant::Tenant { mask: 0, ..slipring_core::tenant::Tenant::OPEN };
        // A fence whose window holds a slot that never ends: the fence itself.
        let waits = kernel.publish(&Job::new(opcode::LOAD_MISS, &[7])).unwrap();
        let fence = kernel.publish(&Job::new(opcode::BATCH_FENCE, &[1, 9])).unwrap();
        assert_eq!(kernel.wait(fence, SECOND / 20), Err(PersistError::Timeout { timeout_ms: 50 }));
        assert_eq!(kernel.row().ring.state(waits.slot), Some(State::WaitIo(0)));
        kernel.stop().unwrap();
        assert_eq!(driver.persist().map(drop), Err(PersistError::InFlight { slots: 2 }));

        let request = driver.claim_io()[0];
        let end = slipring_core::io_queue::Completion::Ok { bytes: request.bytes };
        driver.complete_io(&[(request.slot, end)]).unwrap();
        assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, 2);
        assert_eq!(driver.row().control.observable(0), Ok(9));
        driver.set_tenant(0, paused).unwrap();
    });
}

#[test]
fn a_kernel_that_was_stopped_can_be_started_again() {
    with(builder(64), |driver| {
        for round in 1..=5 {
            let mut kernel = driver.persist().unwrap();
            let ticket = kernel.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
            kernel.wait(ticket, SECOND).unwrap();
            println!("{:?}", kernel.stop().unwrap());
            assert_eq!(driver.row().control.observable(0), Ok(round));
            assert_eq!(driver.row().control.shutdown(), Ok(0));
        }
    });
}

#[test]
fn a_kernel_that_cannot_stay_says_why() {
    let twin = || builder(4).backend(BackendChoice::Twin).open().unwrap();
    let unavailable = twin().persist().map(drop).unwrap_err();
    assert!(unavailable.to_string().contains("twin"), "{unavailable}");
    for slice in [Duration::ZERO, MAX_SLICE + Duration::from_millis(1)] {
        let error = builder(4).persistent(slice).backend(BackendChoice::Twin).open().unwrap_err();
        assert_eq!(error, OpenError::Slice { slice_ms: slice.as_millis() as u64 });
    }
    let kernel = Kernel::builder().build().unwrap();
    let plain = Driver::builder(kernel, Geometry::of_slots(4, 4).unwrap());
    with(plain, |driver| {
        assert_eq!(driver.persist().map(drop), Err(PersistError::NotPrepared));
    });
    with(builder(4), |driver| {
        driver.set_shutdown(true);
        let error = driver.persist().map(drop).unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");
    });
}

#[test]
fn a_kernel_whose_guard_was_forgotten_is_not_started_twice_and_is_stopped_by_other_calls() {
    with(builder(4), |driver| {
        let mut kernel = driver.persist().unwrap();
        let paused = kernel.publish(&Job::new(opcode::LOAD_MISS, &[7])).unwrap();
        std::mem::forget(kernel);
        assert_eq!(driver.persist().map(drop), Err(PersistError::Twice));
        driver.set_observable(0, 9).unwrap();
        assert_eq!(driver.persist().map(drop), Err(PersistError::InFlight { slots: 1 }));
        let drained = driver.dispatch(&Readback::none()).unwrap();
        assert_eq!((drained.looked_at, drained.waiting_io), (1, 1));
        assert_eq!(driver.row().ring.state(paused.slot), Some(State::WaitIo(0)));
    });
}

/// Each job's opcode, tenant and arguments are one value's: a slot of which the kernel saw a part
/// before, and a part after, would fault.
const WHOLE: &str = "
fn whole(job: Job) -> u32 {
    let value = arg(job, 0u);
    for (var i = 1u; i < 12u; i++) {
        if arg(job, i) != value + i { return fault(200u); }
    }
    // Each value once: a sum of them would not tell two from none.
    if !observe_add(value % 64u, value) { return fault(201u); }
    return HANDLER_OK;
}";

/// Two threads publish, each to a partition of its own, with publishers of their own.
#[test]
fn k2_jobs_of_two_producers_are_neither_lost_nor_torn_nor_doubled() {
    let jobs: u32 = match std::env::var("SLIPRING_STRESS_JOBS") {
        Ok(jobs) => jobs.parse().expect("a number of jobs"),
        Err(_) => 100_000,
    };
    let handler = Handler::wgsl(0x100, "whole", "whole.wgsl", WHOLE).iterations(12);
    let kernel = Kernel::builder().handler(handler).build().unwrap();
    let partitions = Partitions::from_sizes([32, 32, 2, 0, 0], 66).unwrap();
    let builder = Driver::builder(kernel, Geometry::of_slots(66, 64).unwrap());
    with(builder.partitions(partitions).persistent(DEFAULT_SLICE), |driver| {
        let kernel = driver.persist().unwrap();
        let before = kernel.row().control.done_count().unwrap();
        let row = kernel.row();
        std::thread::scope(|scope| {
            for (index, level) in [Priority::Critical, Priority::High].into_iter().enumerate() {
                scope.spawn(move || produce(row.ring, partitions, level, index as u32, jobs / 2));
            }
        });
        let mut expected = [0u32; 64];
        (0..jobs / 2 * 2).for_each(|value| {
            let sum = &mut expected[value as usize % 64];
            *sum = sum.wrapping_add(value);
        });
        let observables = &row.control.words()[160..];
        let sums: Vec<u32> = observables.iter().map(|word| word.load(Relaxed)).collect();
        assert!(sums == expected, "jobs were lost or doubled");
        let control = row.control;
        assert_eq!((control.faults(), control.done_count()), (Ok(0), Ok(before + jobs / 2 * 2)));
        println!("{jobs} jobs, {:?}", kernel.stop().unwrap());
    });
}

fn produce(
    ring: slipring_core::ring::Ring<'_, std::sync::atomic::AtomicU32>,
    partitions: Partitions,
    level: Priority,
    first: u32,
    jobs: u32,
) {
    let ledger = vec![Entry::FREE; ring.slots() as usize];
    let mut publisher = Publisher::new(ring, ledger, partitions, TenantTable::open(1)).unwrap();
    let mut last = None;
    for index in 0..jobs {
        let value = 2 * index + first;
        let args: [u32; 12] = std::array::from_fn(|i| value.wrapping_add(i as u32));
        let job = Job::new(0x100, &args).priority(level);
        last = loop {
            match publisher.publish(ring, &job) {
                Ok(ticket) => break Some(ticket),
                Err(_) => std::thread::yield_now(),
            }
        };
    }
    let slots = partitions.range(level);
    while slots.clone().any(|slot| ring.state(slot).is_some_and(State::is_in_flight)) {
        std::thread::yield_now();
    }
    assert_eq!(publisher.next_fault(ring), None);
    assert_eq!(last.map(|ticket| publisher.outcome(ring, ticket)), Some(Outcome::Done));
}

#[test]
fn a_thousand_items_at_a_time_all_run() {
    with(builder(1024), |driver| {
        let mut kernel = driver.persist().unwrap();
        let item = WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 161, param: 0 };
        for round in 1..=5 {
            let window = kernel.publish_items(0, Priority::Normal, &[item; 1024]).unwrap();
            kernel.wait_all(10 * SECOND).unwrap();
            assert_eq!(kernel.row().control.observable(1), Ok(1024 * round));
            for ticket in window.tickets() {
                assert_eq!(kernel.outcome(ticket), Outcome::Done);
            }
        }
        // With a fault among them, which stays to be read.
        let bad = WorkItem { opcode: opcode::STORE_U32, input: 1, output: u32::MAX, param: 0 };
        kernel.publish_items(0, Priority::Normal, &[item, bad, item]).unwrap();
        kernel.wait_all(SECOND).unwrap();
        assert_eq!(kernel.next_fault().map(|fault| fault.code), Some(fault::RANGE));
        kernel.publish_items(0, Priority::Normal, &[item; 1024]).unwrap();
        kernel.wait_all(10 * SECOND).unwrap();
    });
}
