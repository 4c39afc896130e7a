//! Handlers that ask the host for I/O, on the GPU and on the twin; the host serves by hand.

mod gpu;

use gpu::everywhere;
use slipring_core::io_queue::{Completion, Request, op};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::packed::Payload;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::{Priority, fault};
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::recovery::{Losses, Recovery, Stage};
use slipring_driver::{
    ArenaOptions, BackendChoice, Driver, DriverBuilder, Handler, Kernel, LaneOrder, Readback,
};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Arguments: a file, and an observable and a word of the workspace that are the job's own. Reads
/// twice, and tells how many bytes it was in all.
const TWICE: u32 = 0x100;
/// Arguments: an operation, source, destination, offset low and high, bytes. Asks once; then tells
/// the bytes in observable 0 and the first word of the arena in observable 1.
const ASK: u32 = 200;
/// Asks as [`ASK`] does, and does not wait.
const LEAVE: u32 = 0x101;
/// Ends with its argument.
const ANSWER: u32 = 0x102;

const SOURCE: &str = concat!(
    include_str!("io/ask_host.wgsl"),
    "
fn twice(job: Job) -> u32 {
    let own = arg(job, 1u);
    if !is_resumed(job) {
        return request_io(job, IO_READ, arg(job, 0u), own, 0u, 0u, 100u);
    }
    let before = workspace_load(own);
    if before == 0u {
        workspace_store(own, io_bytes(job));
        return request_io(job, IO_READ, arg(job, 0u), own, io_bytes(job), 1u, 50u);
    }
    observe_add(own, before + io_bytes(job));
    workspace_store(own, 0u);
    return HANDLER_OK;
}

fn ask(job: Job) -> u32 {
    if !is_resumed(job) { return ask_host(job); }
    observe(0u, io_bytes(job));
    observe(1u, arena_load(0u));
    return HANDLER_OK;
}

fn leave(job: Job) -> u32 {
    ask_host(job);
    return HANDLER_OK;
}

fn answer(job: Job) -> u32 {
    return arg(job, 0u);
}"
);

fn twice(call: &Call<'_, AtomicU32>) -> u32 {
    let own = call.arg(1);
    if !call.is_resumed() {
        return call.request_io(op::READ, call.arg(0), own, 0, 100);
    }
    let before = call.workspace_load(own);
    if before == 0 {
        call.workspace_store(own, call.io_bytes());
        let offset = 1 << 32 | u64::from(call.io_bytes());
        return call.request_io(op::READ, call.arg(0), own, offset, 50);
    }
    call.observe_add(own, before + call.io_bytes());
    call.workspace_store(own, 0);
    HANDLER_OK
}

fn ask_host(call: &Call<'_, AtomicU32>) -> u32 {
    let offset = u64::from(call.arg(4)) << 32 | u64::from(call.arg(3));
    call.request_io(call.arg(0), call.arg(1), call.arg(2), offset, call.arg(5))
}

fn ask(call: &Call<'_, AtomicU32>) -> u32 {
    if !call.is_resumed() {
        return ask_host(call);
    }
    call.observe(0, call.io_bytes());
    call.observe(1, call.arena_load(0));
    HANDLER_OK
}

fn leave(call: &Call<'_, AtomicU32>) -> u32 {
    ask_host(call);
    HANDLER_OK
}

fn handlers() -> [Handler; 4] {
    let wgsl = |opcode, function| Handler::wgsl(opcode, function, "requests.wgsl", SOURCE);
    [
        wgsl(TWICE, "twice").on_cpu(twice),
        wgsl(ASK, "ask").on_cpu(ask),
        wgsl(LEAVE, "leave").on_cpu(leave),
        wgsl(ANSWER, "answer").on_cpu(|call| call.arg(0)),
    ]
}

fn kernel() -> Kernel {
    let builder = handlers().into_iter().fold(Kernel::builder(), |all, one| all.handler(one));
    builder.build().unwrap()
}

/// A row of so many slots and IO slots, with an observable and a workspace word for each slot.
fn row(kernel: Kernel, slots: u32, io_slots: u32) -> DriverBuilder {
    let geometry = Geometry::new(slots, slots.max(8), 4, io_slots).unwrap();
    let builder = Driver::builder(kernel, geometry).workspace_words(slots as usize);
    builder.arena(ArenaOptions { chunks: 1, chunk_bytes: 4096 })
}

fn builder() -> DriverBuilder {
    row(kernel(), 8, 2)
}

fn drain(driver: &mut Driver) -> slipring_driver::Drained {
    driver.dispatch(&Readback::observables(0..2)).unwrap()
}

fn publish(driver: &mut Driver, opcode: u32, args: &[u32]) -> Ticket {
    driver.publish(&Job::new(opcode, args)).unwrap()
}

/// Serves all that is asked for, wholly.
fn serve(driver: &mut Driver) -> Vec<Request> {
    let requests = driver.claim_io();
    let ends = requests.iter().map(|request| (request.slot, ok(request.bytes)));
    driver.complete_io(&ends.collect::<Vec<_>>()).unwrap();
    requests.to_vec()
}

fn ok(bytes: u32) -> Completion {
    Completion::Ok { bytes }
}

fn claims(driver: &Driver) -> u32 {
    driver.row().control.level_claims(Priority::Normal).unwrap()
}

const READ: [u32; 6] = [op::READ, 7, 8, 9, 10, 11];

/// A hundred jobs share four IO slots: each reads its own file twice, and in that order.
#[test]
fn jobs_that_read_twice_get_what_they_have_asked_for_once_each() {
    const JOBS: u32 = 100;
    let fused = Kernel::fused(handlers().into_iter().next().unwrap()).unwrap();
    for (kernel, order) in [
        (kernel(), LaneOrder::Parallel),
        (kernel(), LaneOrder::Serial),
        (fused.clone(), LaneOrder::Parallel),
        (fused, LaneOrder::Serial),
    ] {
        everywhere(row(kernel, JOBS, 4).lane_order(order), |driver| {
            let item = |i| WorkItem { opcode: TWICE, input: 1000 + i, output: i, param: 0 };
            let items: Vec<_> = (0..JOBS).map(item).collect();
            driver.publish_items(0, Priority::Normal, &items).unwrap();
            let mut asked = vec![Vec::new(); JOBS as usize];
            let (mut done, mut drains) = (0, 0);
            while done < JOBS {
                let drained = driver.dispatch(&Readback::none()).unwrap();
                done += drained.done;
                assert_eq!(drained.faults, 0);
                assert_eq!(drained.waiting_io + drained.unclaimed, JOBS - done);
                for request in serve(driver) {
                    assert_eq!((request.source, request.op), (1000 + request.tag, op::READ));
                    assert_eq!(request.destination, request.tag);
                    asked[request.tag as usize].push((request.offset, request.bytes));
                }
                drains += 1;
                assert!(drains <= JOBS, "{done} of {JOBS} jobs done");
            }
            assert!(asked.iter().all(|asked| *asked == [(0, 100), (1 << 32 | 100, 50)]));
            driver.dispatch(&Readback::all()).unwrap();
            let control = driver.row().control;
            assert!((0..JOBS).all(|i| control.observable(i) == Ok(150)));
            // Each counts once, however often it has started anew.
            assert_eq!((control.done_count(), claims(driver)), (Ok(JOBS), JOBS));
        });
    }
}

#[test]
fn a_handler_reads_what_the_host_has_put_into_the_arena() {
    everywhere(builder(), |driver| {
        let ticket = publish(driver, ASK, &READ);
        let drained = drain(driver);
        assert_eq!((drained.done, drained.waiting_io), (0, 1));
        let request = driver.claim_io()[0];
        let (slot, tag, offset) = (0, ticket.slot, 10 << 32 | 9);
        let (op, source, destination, bytes) = (op::READ, 7, 8, 11);
        assert_eq!(request, Request { slot, op, source, destination, offset, bytes, tag });
        // It is not looked at before its I/O has ended.
        assert_eq!(drain(driver).looked_at, 0);
        driver.write_arena(0, &[77]).unwrap();
        driver.complete_io(&[(0, ok(6))]).unwrap();
        assert_eq!(drain(driver).done, 1);
        assert_eq!(driver.outcome(ticket), Outcome::Done);
        let control = driver.row().control;
        assert_eq!((control.observable(0), control.observable(1)), (Ok(6), Ok(77)));
    });
}

#[test]
fn a_request_that_fails_is_a_fault_and_frees_its_io_slot() {
    everywhere(builder(), |driver| {
        for _ in 0..3 {
            let ticket = publish(driver, ASK, &READ);
            drain(driver);
            let request = driver.claim_io()[0];
            driver.complete_io(&[(request.slot, Completion::Error { errno: 5 })]).unwrap();
            assert_eq!(drain(driver).faults, 1);
            assert_eq!(driver.outcome(ticket), Outcome::Fault(fault::IO));
        }
    });
}

#[test]
fn a_job_that_finds_the_queue_full_is_tried_again_in_the_next_drain() {
    everywhere(builder(), |driver| {
        let tickets = [0; 3].map(|_| publish(driver, ASK, &READ));
        let drained = drain(driver);
        assert_eq!((drained.waiting_io, drained.unclaimed), (2, 1));
        // It is looked at again, and in vain.
        let drained = drain(driver);
        assert_eq!((drained.looked_at, drained.waiting_io, drained.unclaimed), (1, 2, 1));
        assert_eq!(claims(driver), 2, "what was put back counts later");
        assert_eq!(serve(driver).len(), 2);
        let drained = drain(driver);
        assert_eq!((drained.looked_at, drained.done), (3, 2));
        // On the GPU the third may have come before an IO slot was free.
        drain(driver);
        assert_eq!(serve(driver).len(), 1);
        assert_eq!(drain(driver).done, 1);
        assert!(tickets.iter().all(|&ticket| driver.outcome(ticket) == Outcome::Done));
        assert_eq!(claims(driver), 3);
    });
}

#[test]
fn in_a_packed_slot_nothing_is_asked() {
    everywhere(builder(), |driver| {
        let nop: (u8, &[u32]) = (opcode::NOP as u8, &[]);
        let payload = Payload::pack(&[nop, (ASK as u8, &[1, 2, 3])]).unwrap();
        let ticket = driver.publish(&payload.job()).unwrap();
        assert_eq!(drain(driver).faults, 1);
        assert_eq!(driver.outcome(ticket), Outcome::Fault(fault::RANGE));
        assert!(driver.claim_io().is_empty());
        assert_eq!(driver.row().io_queue.status(0), Some(0));
    });
}

#[test]
fn an_answer_that_was_not_given_is_a_fault() {
    everywhere(builder(), |driver| {
        // One IO slot is in use.
        publish(driver, ASK, &READ);
        drain(driver);
        for code in [2, 256, 257, 256 + 64, u32::MAX] {
            let ticket = publish(driver, ANSWER, &[code]);
            assert_eq!(drain(driver).faults, 1);
            assert_eq!(driver.outcome(ticket), Outcome::Fault(fault::RANGE), "{code}");
        }
    });
}

#[test]
fn a_request_that_nobody_waits_for_is_served_and_its_failure_counted() {
    everywhere(builder(), |driver| {
        for round in 1..=3 {
            let ticket = publish(driver, LEAVE, &[op::WRITE, 7, 8, 9, 10, 11]);
            assert_eq!(drain(driver).done, 1);
            assert_eq!(driver.outcome(ticket), Outcome::Done);
            let request = driver.claim_io()[0];
            assert_eq!((request.op, request.slot, request.tag), (op::WRITE, 0, ticket.slot));
            driver.complete_io(&[(0, Completion::Error { errno: 28 })]).unwrap();
            assert_eq!(driver.prefetch_failures(), round);
        }
    });
}

#[test]
fn a_fence_waits_until_the_handler_has_finished() {
    everywhere(builder(), |driver| {
        let batch = driver.publish_batch(0, Priority::Normal, &[(TWICE, &[7, 2])], 9).unwrap();
        for _ in 0..2 {
            drain(driver);
            assert_eq!(driver.outcome(batch.fence), Outcome::Pending);
            assert_eq!(serve(driver).len(), 1);
        }
        assert_eq!(drain(driver).done, 2);
        assert_eq!(driver.outcome(batch.fence), Outcome::Done);
    });
}

#[test]
fn a_lost_drain_asks_and_goes_on_once() {
    let losses = Losses::default();
    let builder = row(kernel(), 4, 2).recovery(Recovery::default()).losses(losses.clone());
    everywhere(builder, |driver| {
        publish(driver, TWICE, &[7, 2]);
        for offset in [0, 1 << 32 | 100] {
            losses.lose_at(Stage::Finish);
            assert_eq!(drain(driver).recovered, 1);
            let requests = serve(driver);
            assert_eq!((requests.len(), requests[0].offset), (1, offset));
        }
        losses.lose_at(Stage::Finish);
        driver.dispatch(&Readback::all()).unwrap();
        assert_eq!(driver.row().control.observable(2), Ok(150));
    });
}

/// While a kernel stays on, the host serves through the row.
#[test]
fn a_kernel_that_stays_on_goes_on_as_soon_as_the_host_has_served() {
    const JOBS: u32 = 64;
    if gpu::is_skipped() {
        return;
    }
    let fused = Kernel::fused(handlers().into_iter().next().unwrap()).unwrap();
    for kernel in [kernel(), fused] {
        let builder = row(kernel, JOBS, 4).persistent(DEFAULT_SLICE);
        let mut driver = gpu::open(builder, BackendChoice::Mapped);
        let mut kernel = driver.persist().unwrap();
        let claimed = kernel.row().control.level_claims(Priority::Normal).unwrap();
        for round in 1..=10 {
            let item = |i| WorkItem { opcode: TWICE, input: 1000 + i, output: i, param: 0 };
            let items: Vec<_> = (0..JOBS).map(item).collect();
            kernel.publish_items(0, Priority::Normal, &items).unwrap();
            let (start, mut served) = (Instant::now(), 0);
            while served < 2 * JOBS {
                assert!(start.elapsed() < Duration::from_secs(20), "{served} requests served");
                let queue = kernel.row().io_queue;
                for request in queue.claim() {
                    assert_eq!(request.source, 1000 + request.destination);
                    queue.complete(&[(request.slot, ok(request.bytes))]).unwrap();
                    served += 1;
                }
            }
            kernel.wait_all(Duration::from_secs(20)).unwrap();
            let control = kernel.row().control;
            assert!((0..JOBS).all(|i| control.observable(i) == Ok(150 * round)));
            let claims = control.level_claims(Priority::Normal);
            assert_eq!((control.faults(), claims), (Ok(0), Ok(claimed + JOBS * round)));
            assert!((0..4).all(|slot| kernel.row().io_queue.status(slot) == Some(0)));
        }
        kernel.stop().unwrap();
    }
}
