//! Contract E1: grid-wide sync points, as segments of one drain.

mod gpu;

use gpu::everywhere;
use slipring_core::layout::Geometry;
use slipring_core::partition::Partitions;
use slipring_core::publisher::Outcome;
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::{Priority, fault};
use slipring_core::twin::{Call, HANDLER_CONTINUES, HANDLER_OK};
use slipring_driver::kernel::KernelError;
use slipring_driver::{Driver, Handler, Kernel, LaneOrder, Readback};
use std::sync::atomic::AtomicU32;

const JOBS: u32 = 200;
/// Adds to observable 0 in segment 0; then copies what all have added to an observable of its own.
const SUM: &str = "
fn sum(job: Job) -> u32 {
    if segment() == 0u {
        observe_add(0u, arg(job, 0u));
        return HANDLER_CONTINUES;
    }
    observe(1u + arg(job, 1u), observable(0u));
    return HANDLER_OK;
}";

fn sum_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    if call.segment() == 0 {
        call.observe_add(0, call.arg(0));
        return HANDLER_CONTINUES;
    }
    call.observe(1 + call.arg(1), call.observable(0));
    HANDLER_OK
}

fn sum(segments: u32) -> Handler {
    let handler = Handler::wgsl(0x100, "sum", "sum.wgsl", SUM);
    handler.segments(segments).on_cpu(sum_on_cpu)
}

fn items() -> Vec<WorkItem> {
    (0..JOBS).map(|i| WorkItem { opcode: 0x100, input: i + 1, output: i, param: 0 }).collect()
}

#[test]
fn e1_every_job_sees_what_all_have_done_in_the_segment_before() {
    let ordinary = Kernel::builder().handler(sum(2)).build().unwrap();
    let fused = Kernel::fused(sum(2)).unwrap();
    let geometry = Geometry::of_slots(JOBS, JOBS + 1).unwrap();
    for (kernel, order) in [
        (&ordinary, LaneOrder::Parallel),
        (&ordinary, LaneOrder::Serial),
        (&fused, LaneOrder::Parallel),
        (&fused, LaneOrder::Serial),
    ] {
        let builder = Driver::builder(kernel.clone(), geometry).lane_order(order);
        everywhere(builder, |driver| {
            for round in 1..=3 {
                driver.publish_items(0, Priority::Normal, &items()).unwrap();
                let drained = driver.dispatch(&Readback::all()).unwrap();
                assert_eq!((drained.done, drained.faults), (JOBS, 0));
                if order == LaneOrder::Parallel {
                    assert_eq!((drained.launches, drained.sync_points), (2, 1), "one submission");
                }
                let control = driver.row().control;
                let total = round * JOBS * (JOBS + 1) / 2;
                let sums = (1..=JOBS).map(|i| control.observable(i).unwrap());
                assert!(sums.into_iter().all(|sum| sum == total));
                assert_eq!(control.done_count(), Ok(round * JOBS));
            }
        });
    }
}

#[test]
fn a_level_goes_through_its_segments_before_the_next_begins() {
    let kernel = Kernel::builder().handler(sum(2)).build().unwrap();
    let partitions = Partitions::from_sizes([2, 0, 2, 0, 0], 4).unwrap();
    let geometry = Geometry::of_slots(4, 8).unwrap();
    everywhere(Driver::builder(kernel, geometry).partitions(partitions), |driver| {
        for (value, index, priority) in [(1, 0, Priority::Normal), (10, 1, Priority::Critical)] {
            let args = [value, index];
            driver.publish(&Job::new(0x100, &args).priority(priority)).unwrap();
        }
        assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, 2);
        let control = driver.row().control;
        assert_eq!((control.observable(2), control.observable(1)), (Ok(10), Ok(11)));
    });
}

#[test]
fn a_job_that_wants_more_segments_than_there_are_faults() {
    let kernel = Kernel::builder().handler(sum(1)).build().unwrap();
    let geometry = Geometry::of_slots(4, 8).unwrap();
    everywhere(Driver::builder(kernel, geometry), |driver| {
        let ticket = driver.publish(&Job::new(0x100, &[1, 1])).unwrap();
        driver.dispatch(&Readback::all()).unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Fault(fault::RANGE));
    });
}

#[test]
fn segments_that_a_handler_may_not_have_are_refused_with_the_numbers() {
    for (opcode, segments, most) in [(0x100, 0, 8), (0x100, 9, 8), (0x20, 2, 1)] {
        let handler = Handler::wgsl(opcode, "sum", "sum.wgsl", SUM).segments(segments);
        let error = Kernel::builder().handler(handler).build().unwrap_err();
        let function = "sum".to_owned();
        assert_eq!(error, KernelError::Segments { opcode, function, segments, most });
    }
}
