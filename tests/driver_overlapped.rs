//! Several dispatches in flight, and publishing meanwhile.

mod gpu;

use fastrand::Rng;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, PublisherError};
use slipring_core::ring::Job;
use slipring_driver::overlapped::DispatchTicket;
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::{
    BackendChoice, Drained, Driver, DriverBuilder, DriverError, Kernel, LaneOrder, OpenError,
    Overlapped, Readback, Recovery,
};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn builder(slots: u32) -> DriverBuilder {
    let geometry = Geometry::of_slots(slots, 8).unwrap();
    Driver::builder(Kernel::builder().build().unwrap(), geometry)
}

const ADD: Job<'static> = Job { args: &[1, 160], ..Job::new(opcode::ATOMIC_ADD, &[]) };

#[test]
fn publishing_goes_on_while_drains_are_in_flight() {
    gpu::everywhere(builder(64).in_flight(3), |driver| {
        let mut overlapped = driver.overlapped(&Readback::observables(0..1)).unwrap();
        let dispatches: Vec<_> = (1..=3)
            .map(|jobs| {
                let tickets: Vec<_> =
                    (0..jobs).map(|_| overlapped.publish(&ADD).unwrap()).collect();
                (jobs, tickets, overlapped.dispatch().unwrap())
            })
            .collect();
        // The last first: the others' results wait to be taken.
        for (jobs, tickets, dispatch) in dispatches.iter().rev() {
            let drained = overlapped.wait(*dispatch).unwrap();
            assert_eq!((drained.done, drained.looked_at, drained.rows), (*jobs, *jobs, 1));
            assert!(tickets.iter().all(|ticket| overlapped.outcome(*ticket) == Outcome::Done));
        }
        drop(overlapped);
        assert_eq!(driver.row().control.observable(0), Ok(6));
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().looked_at, 0);
    });
}

#[test]
fn what_a_drain_has_done_is_known_when_it_was_seen_to_end() {
    gpu::everywhere(builder(4).in_flight(2), |driver| {
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        let tickets: Vec<_> = (0..4).map(|_| overlapped.publish(&ADD).unwrap()).collect();
        let dispatch = overlapped.dispatch().unwrap();
        // However far the GPU is by now: no slot is free, and no job has ended.
        assert!(matches!(overlapped.publish(&ADD), Err(PublisherError::Full { in_flight: 4, .. })));
        assert_eq!(overlapped.outcome(tickets[0]), Outcome::Pending);
        let drained = loop {
            if let Some(drained) = overlapped.poll(dispatch).unwrap() {
                break drained;
            }
        };
        assert_eq!(drained.done, 4);
        assert_eq!(overlapped.outcome(tickets[0]), Outcome::Done);
        overlapped.publish(&ADD).unwrap();
        // Dropped with work that was not dispatched: the driver has it.
        drop(overlapped);
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().done, 1);
    });
}

#[test]
fn what_had_finished_before_is_known_and_its_slots_are_free() {
    gpu::everywhere(builder(4).in_flight(2), |driver| {
        let tickets: Vec<_> = (0..4).map(|_| driver.publish(&ADD).unwrap()).collect();
        driver.dispatch(&Readback::none()).unwrap();
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        assert_eq!(overlapped.outcome(tickets[3]), Outcome::Done);
        (0..4).for_each(|_| assert!(overlapped.publish(&ADD).is_ok()));
    });
}

#[test]
fn dispatches_beyond_the_limit_and_tickets_used_twice_are_refused() {
    gpu::everywhere(builder(64).in_flight(2), |driver| {
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        let first = overlapped.dispatch().unwrap();
        let second = overlapped.dispatch().unwrap();
        overlapped.publish(&ADD).unwrap();
        assert_eq!(overlapped.dispatch(), Err(DriverError::InFlight { most: 2 }));
        overlapped.wait(second).unwrap();
        assert_eq!(overlapped.wait(second), Err(DriverError::NoDispatch));
        // The first one takes a place until its results are taken; the second one's is free.
        let third = overlapped.dispatch().unwrap();
        assert_eq!(overlapped.dispatch(), Err(DriverError::InFlight { most: 2 }));
        assert_eq!(overlapped.wait(third).unwrap().done, 1);
        overlapped.wait(first).unwrap();
        assert_eq!(overlapped.poll(first), Err(DriverError::NoDispatch));
        let left = overlapped.dispatch().unwrap();
        drop(overlapped);
        let mut another = driver.overlapped(&Readback::none()).unwrap();
        let _its_own = another.dispatch().unwrap();
        assert_eq!(another.poll(left), Err(DriverError::NoDispatch));
    });
    for (in_flight, recovery, most) in
        [(0, None, 16), (17, None, 16), (2, Some(Recovery::default()), 1)]
    {
        let mut builder = builder(4).backend(BackendChoice::Twin).in_flight(in_flight);
        if let Some(recovery) = recovery {
            builder = builder.recovery(recovery);
        }
        let refused = builder.open().map(drop);
        assert_eq!(refused, Err(OpenError::InFlight { in_flight, most }));
    }
}

#[test]
fn tasks_wait_for_dispatches() {
    gpu::everywhere(builder(64).in_flight(2), |driver| {
        let mut overlapped = driver.overlapped(&Readback::observables(0..1)).unwrap();
        let sum = pollster::block_on(async {
            let mut done = 0;
            for _ in 0..200 {
                let jobs = [0, 1].map(|_| {
                    for _ in 0..10 {
                        overlapped.publish(&ADD).unwrap();
                    }
                    overlapped.dispatch().unwrap()
                });
                for dispatch in jobs {
                    done += overlapped.finished(dispatch).await.unwrap().done;
                }
            }
            done
        });
        assert_eq!(sum, 4000);
        assert_eq!(overlapped.row().control.observable(0), Ok(4000));
    });
}

/// As on a device of Vulkan 1.1, which has no timeline semaphores.
#[test]
fn fences_tell_when_drains_have_ended_as_well() {
    if gpu::is_skipped() {
        return;
    }
    let mut driver = gpu::open(builder(64).in_flight(16).fences(), BackendChoice::Mapped);
    let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
    // More than there are fences.
    for round in 0..20 {
        let dispatches = [(); 16].map(|()| {
            overlapped.publish(&ADD).unwrap();
            overlapped.dispatch().unwrap()
        });
        if round % 2 == 0 {
            overlapped.wait(dispatches[15]).unwrap();
        }
        for dispatch in dispatches.into_iter().take(15 + round % 2) {
            let drained = loop {
                if let Some(drained) = overlapped.poll(dispatch).unwrap() {
                    break drained;
                }
            };
            assert_eq!(drained.done, 1);
        }
    }
    drop(overlapped);
    assert_eq!(driver.row().control.observable(0), Ok(320));
    let other = driver.another_row(Geometry::of_slots(16, 8).unwrap()).open().unwrap();
    drop(other);
    assert_eq!(driver.dispatch(&Readback::none()).unwrap().looked_at, 0);
}

#[test]
fn a_guard_that_was_forgotten_does_no_harm() {
    gpu::everywhere(builder(64).in_flight(2), |driver| {
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        let lost = overlapped.publish(&ADD).unwrap();
        let _lost = overlapped.dispatch().unwrap();
        std::mem::forget(overlapped);
        driver.publish(&ADD).unwrap();
        // The late readback does not undo this.
        driver.set_observable(5, 99).unwrap();
        assert_eq!(driver.row().control.observable(5), Ok(99));
        assert_eq!(driver.dispatch(&Readback::observables(0..6)).unwrap().done, 1);
        assert_eq!(driver.outcome(lost), Outcome::Done);
        let control = driver.row().control;
        assert_eq!((control.observable(0), control.observable(5)), (Ok(2), Ok(99)));

        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        overlapped.publish(&ADD).unwrap();
        let _lost = overlapped.dispatch().unwrap();
        std::mem::forget(overlapped);
        driver.read_workspace(0, &mut [0]).unwrap();
        driver.dispatch(&Readback::observables(0..1)).unwrap();
        assert_eq!(driver.row().control.observable(0), Ok(3));
    });
}

/// Random runs that overlap end like the same runs on the twin that do not, word for word.
#[test]
fn overlapped_dispatches_end_as_if_each_were_waited_for() {
    for seed in 0..20 {
        // No slot is used twice, so that when a result is seen does not matter.
        let builder = builder(1024).lane_order(LaneOrder::Serial);
        let expected = run(seed, &mut builder.clone().backend(BackendChoice::Twin).open().unwrap());
        gpu::everywhere(builder.in_flight(4), |driver| {
            assert_eq!(run(seed, driver), expected, "seed {seed}");
        });
    }
}

fn run(seed: u64, driver: &mut Driver) -> ([Vec<u32>; 4], Vec<u32>) {
    let mut rng = Rng::with_seed(seed);
    let most = if driver.backend().backend == "twin" { 1 } else { 4 };
    let mut overlapped = driver.overlapped(&Readback::all()).unwrap();
    let (mut dispatches, mut done) = (VecDeque::new(), Vec::new());
    for _ in 0..30 {
        for _ in 0..rng.u32(0..20) {
            let (a, b) = (rng.u32(..4), 160 + rng.u32(..10));
            let _ = match rng.u8(..5) {
                0 => overlapped.publish(&Job::new(opcode::STORE_U32, &[a, b])),
                1 => overlapped.publish(&Job::new(opcode::ATOMIC_ADD, &[a, b])),
                2 => overlapped.publish(&Job::new(opcode::COMPARE_SWAP, &[a, a + 1, b])),
                3 => overlapped.publish(&Job::new(opcode::BATCH_FENCE, &[a, 9])),
                _ => overlapped.publish(&Job::new(opcode::PRINTF, &[a, b])),
            };
        }
        if dispatches.len() == most {
            done.push(overlapped.wait(dispatches.pop_front().unwrap()).unwrap().done);
        }
        dispatches.push_back(overlapped.dispatch().unwrap());
    }
    for dispatch in dispatches {
        done.push(overlapped.wait(dispatch).unwrap().done);
    }
    drop(overlapped);
    driver.dispatch(&Readback::all()).unwrap();
    let words = |buffer| {
        let words = driver.row().words(buffer).iter();
        words.map(|word| word.load(Ordering::Relaxed)).collect()
    };
    (Buffer::ALL.map(words), done)
}

#[test]
fn e7_a_drain_in_flight_outlives_its_device_and_so_does_what_was_published_meanwhile() {
    for stage in [Stage::Start, Stage::Submit, Stage::Finish] {
        let losses = Losses::default();
        let builder = builder(64).recovery(Recovery::default()).losses(losses.clone());
        gpu::everywhere(builder, |driver| {
            let mut overlapped = driver.overlapped(&Readback::observables(0..1)).unwrap();
            for round in 1..10 {
                let before = overlapped.publish(&ADD).unwrap();
                if round % 3 == 0 {
                    losses.lose_at(stage);
                }
                let dispatch = overlapped.dispatch().unwrap();
                let meanwhile = overlapped.publish(&ADD).unwrap();
                let drained = match overlapped.poll(dispatch).unwrap() {
                    Some(drained) => drained,
                    None => overlapped.wait(dispatch).unwrap(),
                };
                assert_eq!(drained.recovered, u32::from(round % 3 == 0));
                assert_eq!(overlapped.outcome(before), Outcome::Done);
                assert_eq!(overlapped.outcome(meanwhile), Outcome::Pending);
                // The one of the round before has run too.
                assert_eq!(overlapped.row().control.observable(0), Ok(2 * round - 1));
            }
        });
    }
}

/// Long work, in front of a row whose drains may not take long.
fn behind_long_work(
    recovery: Option<Recovery>,
    choice: BackendChoice,
    check: impl Fn(&mut Driver),
) {
    let mut busy = gpu::open(gpu::long_work(), choice);
    let row = busy.another_row(Geometry::of_slots(16, 8).unwrap());
    // With recovery, its second try has the cores to share with that work.
    let row = match recovery {
        None => row.timeout(Duration::from_millis(1)),
        Some(recovery) => row.timeout(Duration::from_millis(300)).recovery(recovery),
    };
    let mut row = gpu::Checked::from(row.open().unwrap());
    let mut long = busy.overlapped(&Readback::none()).unwrap();
    (0..gpu::LONG_SLOTS).for_each(|_| assert!(long.publish(&gpu::LONG_JOB).is_ok()));
    let _long = long.dispatch().unwrap();
    row.publish(&ADD).unwrap();
    check(&mut row);
}

#[test]
fn a_drain_that_takes_too_long_is_a_loss_to_those_who_poll_and_to_tasks() {
    if gpu::is_skipped() {
        return;
    }
    type Way = fn(&mut Overlapped<'_>, DispatchTicket) -> Result<Drained, DriverError>;
    let ways: [Way; 2] = [
        |overlapped, ticket| pollster::block_on(overlapped.finished(ticket)),
        |overlapped, ticket| loop {
            if let Some(drained) = overlapped.poll(ticket)? {
                return Ok(drained);
            }
            std::thread::yield_now();
        },
    ];
    for way in ways {
        behind_long_work(None, BackendChoice::Mapped, |row| {
            let is_cpu = row.backend().is_cpu;
            let mut overlapped = row.overlapped(&Readback::none()).unwrap();
            let ticket = overlapped.dispatch().unwrap();
            let result = way(&mut overlapped, ticket);
            match result {
                Err(DriverError::Backend(error)) => assert!(error.is_lost(), "{error}"),
                result => assert!(!is_cpu, "{result:?}"),
            }
        });
        behind_long_work(Some(Recovery::default()), BackendChoice::Mapped, |row| {
            let mut overlapped = row.overlapped(&Readback::observables(0..1)).unwrap();
            // On a busy machine the tries of one drain may all take too long; the next one goes on.
            let mut tries = 0..20;
            let drained = loop {
                let ticket = overlapped.dispatch().unwrap();
                match way(&mut overlapped, ticket) {
                    Ok(drained) => break drained,
                    Err(error) => assert!(tries.next().is_some(), "{error}"),
                }
            };
            assert_eq!(drained.done, 1);
            assert_eq!(overlapped.row().control.observable(0), Ok(1));
        });
    }
}
