//! The fused kernel: its own opcode as in the ordinary kernel, and no other. `programs` compares it
//! with its twin word for word.

mod gpu;

use gpu::everywhere;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::publisher::Outcome;
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::{Priority, fault};
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::kernel::LLVMPIPE_ITERATIONS;
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Driver, Handler, Kernel, LaneOrder, Readback};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const OWN: u32 = 0x100;
/// Adds its first argument to an observable as often as its third one says, and prints.
const ADD: &str = "
fn add(job: Job) -> u32 {
    for (var i = 0u; i < arg(job, 2u); i++) {
        if !observe_add(arg(job, 1u), arg(job, 0u)) { return fault(70u); }
    }
    debug_print(job, 1u, 2u, 3u);
    return HANDLER_OK;
}";

fn add_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    for _ in 0..call.arg(2) {
        if !call.observe_add(call.arg(1), call.arg(0)) {
            return call.fault(70);
        }
    }
    call.debug_print(1, 2, 3);
    HANDLER_OK
}

fn add(rounds: u32) -> Handler {
    let handler = Handler::wgsl(OWN, "add", "add.wgsl", ADD);
    handler.iterations(rounds + 1).on_cpu(add_on_cpu)
}

fn fused(rounds: u32) -> Kernel {
    Kernel::fused(add(rounds)).unwrap()
}

#[test]
fn a_handler_does_the_same_fused_as_in_the_ordinary_kernel() {
    let ordinary = Kernel::builder().handler(add(3)).build().unwrap();
    let results = RefCell::new(Vec::new());
    for kernel in [ordinary, fused(3)] {
        let partitions = Partitions::from_sizes([100, 0, 200, 0, 0], 300).unwrap();
        let geometry = Geometry::of_slots(300, 8).unwrap();
        let builder = Driver::builder(kernel, geometry).partitions(partitions);
        everywhere(builder.lane_order(LaneOrder::Serial), |driver| {
            for (priority, jobs) in [(Priority::Critical, 90), (Priority::Normal, 150)] {
                let item = |i| WorkItem { opcode: OWN, input: i, output: i % 9, param: i % 4 };
                let items: Vec<_> = (0..jobs).map(item).collect();
                driver.publish_items(0, priority, &items).unwrap();
            }
            driver.dispatch(&Readback::all()).unwrap();
            results.borrow_mut().push(Buffer::ALL.map(|buffer| {
                let words = driver.row().words(buffer).iter();
                words.map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>()
            }));
        });
    }
    let results = results.into_inner();
    assert!(results[0][0][160] > 0, "nothing ran");
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn other_opcodes_fault_and_nop_fences_and_shutdown_do_not() {
    let builder = Driver::builder(fused(1), Geometry::of_slots(64, 8).unwrap());
    everywhere(builder, |driver| {
        let runs = [opcode::NOP, opcode::BATCH_FENCE, opcode::SHUTDOWN];
        let others = opcode::BUILTIN.into_iter().filter(|opcode| !runs.contains(opcode));
        let others: Vec<_> = others.chain([8, 0xFF, 0x101, 0x7FFF_FFFF]).collect();
        let publish =
            |driver: &mut Driver, opcode| driver.publish(&Job::new(opcode, &[1, 0, 1])).unwrap();
        let faulting: Vec<_> = others.iter().map(|opcode| publish(driver, *opcode)).collect();
        let done = [OWN, opcode::NOP, opcode::BATCH_FENCE].map(|opcode| publish(driver, opcode));
        let drained = driver.dispatch(&Readback::all()).unwrap();

        assert_eq!((drained.done, drained.faults), (3, others.len() as u32));
        assert!(faulting.iter().all(|&t| driver.outcome(t) == Outcome::Fault(fault::OPCODE)));
        assert!(done.iter().all(|&ticket| driver.outcome(ticket) == Outcome::Done));
        assert_eq!((driver.row().control.epoch(), driver.claim_io().len()), (Ok(1), 0));

        let shutdown = publish(driver, opcode::SHUTDOWN);
        driver.dispatch(&Readback::all()).unwrap();
        let late = publish(driver, OWN);
        driver.dispatch(&Readback::all()).unwrap();
        let outcomes = [shutdown, late].map(|ticket| driver.outcome(ticket));
        assert_eq!(outcomes, [Outcome::Done, Outcome::Pending]);
    });
}

/// Fused, a handler has nearly all of llvmpipe's iterations, and a serial dispatch thousands of
/// slots: still none is cut short.
#[test]
fn a_fused_kernel_that_just_fits_llvmpipe_loses_no_iteration() {
    let limits = |rounds| fused(rounds).dispatch_limits(LLVMPIPE_ITERATIONS, 256);
    let long = (0..LLVMPIPE_ITERATIONS).rev().find(|&rounds| limits(rounds).is_ok()).unwrap();
    assert!(long > 65_000, "{long} rounds are too few");
    assert!(limits(2).unwrap().serial_slots > 500);
    for (order, rounds, slots) in [
        (LaneOrder::Parallel, long, 64),
        (LaneOrder::Serial, long, 3),
        (LaneOrder::Serial, 2, 2000),
    ] {
        let geometry = Geometry::of_slots(slots, 8).unwrap();
        let builder = Driver::builder(fused(rounds), geometry).lane_order(order);
        gpu::on_gpu(builder, |driver| {
            let item = WorkItem { opcode: OWN, input: 1, output: 5, param: rounds };
            driver.publish_items(0, Priority::Normal, &vec![item; slots as usize]).unwrap();
            driver.dispatch(&Readback::all()).unwrap();
            assert_eq!(driver.row().control.observable(5), Ok(slots * rounds));
        });
    }
}

#[test]
fn a_fused_kernel_stays_on() {
    if gpu::is_skipped() {
        return;
    }
    let builder = Driver::builder(fused(100), Geometry::of_slots(64, 8).unwrap());
    let mut driver = gpu::open(builder.persistent(DEFAULT_SLICE), BackendChoice::Mapped);
    let mut kernel = driver.persist().unwrap();
    let own: (u32, &[u32]) = (OWN, &[2, 3, 100]);
    for round in 1..=20 {
        let batch = kernel.publish_batch(0, Priority::Normal, &[own; 9], round).unwrap();
        assert_eq!(kernel.wait(batch.fence, Duration::from_secs(1)), Ok(Outcome::Done));
        assert_eq!(kernel.row().control.observable(3), Ok(round * 9 * 200));
    }
    let other = kernel.publish(&Job::new(opcode::LOAD_MISS, &[1])).unwrap();
    let outcome = kernel.wait(other, Duration::from_secs(1));
    assert_eq!(outcome, Ok(Outcome::Fault(fault::OPCODE)));
}
