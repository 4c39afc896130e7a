//! Random runs that lose their device at every step end like runs that lose none, word for word.

mod gpu;

use fastrand::Rng;
use slipring_core::io_queue::Completion;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::row::Row;
use slipring_core::slot::Priority;
use slipring_core::tenant::{Tenant, TenantTable};
use slipring_core::twin::HANDLER_OK;
use slipring_driver::persistent::{DEFAULT_SLICE, PersistError};
use slipring_driver::recovery::{Losses, Recovery, Stage};
use slipring_driver::{
    BackendChoice, BackendError, Driver, DriverBuilder, DriverError, Handler, Kernel, LaneOrder,
    OpenError, Readback,
};
use std::slice;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const STEPS: usize = 6;
const QUICK: Recovery = Recovery {
    attempts: 3,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    keep_workspace: true,
};

/// A handler that remembers in the workspace, word 0, all that it was called with.
const REMEMBER: u32 = 0x100;

fn kernel() -> Kernel {
    let source = "fn remember(job: Job) -> u32 {
        let memory = workspace_load(0u) * 31u + arg(job, 0u);
        workspace_store(0u, memory);
        observe(15u, memory);
        return HANDLER_OK;
    }";
    let handler = Handler::wgsl(REMEMBER, "remember", "remember.wgsl", source);
    let handler = handler.on_cpu(|call| {
        let memory = call.workspace_load(0).wrapping_mul(31).wrapping_add(call.arg(0));
        call.workspace_store(0, memory);
        call.observe(15, memory);
        HANDLER_OK
    });
    Kernel::builder().handler(handler).build().unwrap()
}

fn builder(losses: &Losses) -> DriverBuilder {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(kernel);
    Driver::builder(KERNEL.clone(), Geometry::of_slots(32, 16).unwrap())
        .lane_order(LaneOrder::Serial)
        .workspace_words(1024)
        .tenants(TenantTable::open(2))
        .recovery(QUICK)
        .losses(losses.clone())
}

/// Opens on a GPU with the validation layer on, or as the twin.
fn open(builder: DriverBuilder, choice: BackendChoice) -> gpu::Checked {
    match choice {
        BackendChoice::Twin => builder.backend(choice).open().unwrap().into(),
        gpu => gpu::open(builder, gpu),
    }
}

fn backends() -> &'static [BackendChoice] {
    match gpu::is_skipped() {
        true => &[BackendChoice::Twin],
        false => &[BackendChoice::Twin, BackendChoice::Mapped, BackendChoice::Portable],
    }
}

/// What the host can see in the end.
#[derive(Debug, PartialEq)]
struct End {
    buffers: [Vec<u32>; 4],
    workspace: Vec<u32>,
    outcomes: Vec<Outcome>,
    /// Per dispatch: done, faults, left unclaimed, waiting for I/O.
    drains: Vec<[u32; 4]>,
}

/// What a host does between two drains.
fn edit(driver: &mut Driver, rng: &mut Rng, tickets: &mut Vec<Ticket>) {
    for request in driver.claim_io() {
        if rng.bool() {
            driver.write_workspace(request.destination as usize, &[rng.u32(..); 16]).unwrap();
            let failed = Completion::Error { errno: 5 };
            let ended = if rng.u8(..4) == 0 { failed } else { Completion::Ok { bytes: 64 } };
            driver.complete_io(&[(request.slot, ended)]).unwrap();
        }
    }
    match rng.u8(..8) {
        0 => driver.clear_debug_log(),
        1 => driver.set_observable(rng.u32(..16), rng.u32(..)).unwrap(),
        2 => driver.set_shutdown(rng.bool()),
        3 => {
            let mask = if rng.bool() { 0 } else { u32::MAX };
            driver.set_tenant(1, Tenant { mask, ..Tenant::OPEN }).unwrap();
        }
        4 => driver.write_workspace(rng.usize(..1024), &[rng.u32(..)]).unwrap(),
        5 => {
            let items: [(u32, &[u32]); 2] =
                [(opcode::ATOMIC_ADD, &[1, 164]), (opcode::STORE_U32, &[9, 165])];
            let _ = driver.publish_batch(0, Priority::Normal, &items, rng.u32(..));
        }
        6 => {
            let _ = driver.next_fault();
        }
        _ => {}
    }
    for _ in 0..rng.usize(1..8) {
        let observable = 160 + rng.u32(..16);
        let args = [rng.u32(..8), observable, rng.u32(..8), 160];
        let miss = [rng.u32(..), 0, 0, 0, 64, 16 * rng.u32(..32)];
        let (opcode, args): (u32, &[u32]) = match rng.u8(..10) {
            0 => (opcode::STORE_U32, &args),
            1..=3 => (opcode::ATOMIC_ADD, &args),
            4 => (opcode::PRINTF, &args),
            5 => (opcode::LOAD_MISS, &miss),
            6 => (opcode::STORE_U32, &[1, u32::MAX]),
            // The others are unknown.
            _ => (REMEMBER + rng.u32(..3), &args),
        };
        let job = Job { tenant: rng.u32(..2), ..Job::new(opcode, args) };
        tickets.extend(driver.publish(&job).ok());
    }
}

/// A loss: at which step, in which call.
type Loss = (usize, Stage);

/// One run of a seed.
fn run(seed: u64, choice: BackendChoice, to_lose: &[Loss]) -> End {
    let losses = Losses::default();
    let mut driver = open(builder(&losses), choice);
    let (mut rng, mut tickets, mut drains) = (Rng::with_seed(seed), Vec::new(), Vec::new());
    let mut recovered = 0;
    for step in 0..STEPS {
        for &(_, stage) in to_lose.iter().filter(|(at, _)| *at == step) {
            losses.lose_at(stage);
            match stage {
                Stage::ReadWorkspace => driver.read_workspace(step, &mut [0; 8]).unwrap(),
                Stage::WriteWorkspace => driver.write_workspace(step, &[]).unwrap(),
                _ => {}
            }
        }
        edit(&mut driver, &mut rng, &mut tickets);
        let drained = driver.dispatch(&Readback::none().with_io_queue()).unwrap();
        drains.push([drained.done, drained.faults, drained.unclaimed, drained.waiting_io]);
        recovered += drained.recovered;
    }
    assert_eq!(recovered as usize, to_lose.len());
    driver.dispatch(&Readback::all()).unwrap();
    let mut workspace = vec![0; 1024];
    driver.read_workspace(0, &mut workspace).unwrap();
    let outcomes = tickets.iter().map(|&ticket| driver.outcome(ticket)).collect();
    let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
    let words = |buffer| driver.row().words(buffer).iter().map(load).collect();
    End { buffers: Buffer::ALL.map(words), workspace, outcomes, drains }
}

#[test]
fn e7_a_run_that_loses_its_device_ends_like_one_that_does_not() {
    let stages =
        [Stage::Start, Stage::Submit, Stage::Finish, Stage::WriteWorkspace, Stage::ReadWorkspace];
    let losses: Vec<Loss> = (0..STEPS).flat_map(|step| stages.map(|stage| (step, stage))).collect();
    for seed in 0..200 {
        let undisturbed = run(seed, BackendChoice::Twin, &[]);
        for loss in &losses {
            let end = run(seed, BackendChoice::Twin, slice::from_ref(loss));
            assert_eq!(end, undisturbed, "seed {seed}, lost at {loss:?}");
        }
    }
    // A GPU takes long to open: a run loses many.
    let at_drains = |first: usize| (0..STEPS).map(move |step| (step, stages[(first + step) % 3]));
    let many = [
        at_drains(0).collect::<Vec<Loss>>(),
        at_drains(1).chain([(1, Stage::WriteWorkspace), (4, Stage::ReadWorkspace)]).collect(),
    ];
    for &choice in &backends()[1..] {
        let undisturbed = run(0, BackendChoice::Twin, &[]);
        for to_lose in &many {
            assert_eq!(run(0, choice, to_lose), undisturbed, "{choice:?}, lost at {to_lose:?}");
        }
    }
}

#[test]
fn e7_a_second_loss_in_a_row_is_an_error_and_the_next_dispatch_recovers() {
    for &choice in backends() {
        let losses = Losses::default();
        let mut driver = open(builder(&losses), choice);
        let ticket = driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
        losses.lose_at(Stage::Finish);
        losses.lose_at(Stage::Finish);
        let lost = driver.dispatch(&Readback::none()).unwrap_err();
        assert!(matches!(lost, DriverError::Backend(BackendError::Lost { .. })), "{lost}");
        let drained = driver.dispatch(&Readback::all()).unwrap();
        assert_eq!((drained.done, drained.recovered), (1, 2));
        assert_eq!(driver.outcome(ticket), Outcome::Done);
        assert_eq!(driver.row().control.observable(0), Ok(1));
    }
}

#[test]
fn e7_a_device_that_does_not_open_again_is_an_error_and_is_tried_again() {
    for &choice in backends() {
        does_not_open(choice);
    }
}

fn does_not_open(choice: BackendChoice) {
    let losses = Losses::default();
    let mut driver = open(builder(&losses), choice);
    let ticket = driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
    losses.lose_at(Stage::Finish);
    (0..QUICK.attempts).for_each(|_| losses.lose_at(Stage::Open));
    let error = driver.dispatch(&Readback::none()).unwrap_err();
    assert!(matches!(error, DriverError::NotRecovered { attempts: 3, .. }), "{error}");
    // The row is the last drain's, and can be written.
    assert_eq!(driver.outcome(ticket), Outcome::Pending);
    driver.publish(&Job::new(opcode::ATOMIC_ADD, &[2, 160])).unwrap();
    (1..QUICK.attempts).for_each(|_| losses.lose_at(Stage::Open));
    assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, 2);
    assert_eq!(driver.row().control.observable(0), Ok(3));
    losses.lose_at(Stage::Open);
    assert!(matches!(builder(&losses).open(), Err(OpenError::Backend(BackendError::Lost { .. }))));
}

#[test]
fn e7_a_destroyed_device_is_replaced() {
    if gpu::is_skipped() {
        return;
    }
    let mut driver = open(builder(&Losses::default()), BackendChoice::Portable);
    driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
    driver.dispatch(&Readback::none()).unwrap();
    driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
    driver.gpu().unwrap().device().destroy();
    let drained = driver.dispatch(&Readback::observables(0..1)).unwrap();
    assert_eq!((drained.done, drained.recovered), (1, 1));
    assert_eq!(driver.row().control.observable(0), Ok(2));
}

#[test]
fn e7_a_device_that_is_too_slow_twice_is_an_error_and_the_row_is_the_last_drains() {
    if gpu::is_skipped() {
        return;
    }
    for choice in gpu::GPU {
        let builder = gpu::long_work().timeout(Duration::from_millis(1)).recovery(QUICK);
        let mut driver = gpu::open(builder, choice);
        let publish = |_| driver.publish(&gpu::LONG_JOB).unwrap();
        let tickets: Vec<_> = (0..gpu::LONG_SLOTS).map(publish).collect();
        let error = driver.dispatch(&Readback::none()).unwrap_err();
        assert_eq!(error, DriverError::Backend(BackendError::Timeout { timeout_ms: 1 }));
        assert!(driver.gpu().is_none());
        assert!(tickets.iter().all(|ticket| driver.outcome(*ticket) == Outcome::Pending));
        assert_eq!(driver.row().control.observable(0), Ok(0));
    }
}

/// The row and the workspace, as they are.
fn snapshot(row: Row<'_, AtomicU32>) -> [Vec<u32>; 4] {
    let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
    Buffer::ALL.map(|buffer| row.words(buffer).iter().map(load).collect())
}

/// What jobs that have run one after the other have added up and remembered.
fn apply(jobs: &mut Vec<(Ticket, u32)>, sum: &mut u32, memory: &mut u32) {
    for (_, value) in jobs.drain(..) {
        match value < 10 {
            true => *memory = memory.wrapping_mul(31).wrapping_add(value),
            false => *sum += value,
        }
    }
}

#[test]
fn e7_a_stay_that_loses_its_device_goes_back_to_its_checkpoint_and_says_which_jobs_are_uncertain() {
    if gpu::is_skipped() {
        return;
    }
    const SECOND: Duration = Duration::from_secs(1);
    let losses = Losses::default();
    let builder = builder(&losses).lane_order(LaneOrder::Parallel).persistent(DEFAULT_SLICE);
    let mut driver = open(builder, BackendChoice::Mapped);
    let (mut rng, mut sum, mut memory) = (Rng::with_seed(7), 0, 0_u32);
    for round in 0..30 {
        let before = driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
        sum += 1;
        let mut last = snapshot(driver.row());
        let mut kernel = driver.persist().unwrap();
        let (mut certain, mut uncertain) = (Vec::new(), Vec::new());
        let stage = [None, Some(Stage::Persist), Some(Stage::Stop)][round % 3];
        for _ in 0..rng.usize(1..8) {
            for _ in 0..rng.u32(1..40) {
                let value = rng.u32(..100);
                let args = [value, 160];
                // (The slots are few, and used again and again.)
                let opcode = if value < 10 { REMEMBER } else { opcode::ATOMIC_ADD };
                let ticket = kernel.publish(&Job::new(opcode, &args)).unwrap();
                assert_eq!(kernel.wait(ticket, SECOND), Ok(Outcome::Done));
                uncertain.push((ticket, value));
            }
            if rng.bool() {
                kernel.checkpoint(SECOND).unwrap();
                last = snapshot(kernel.row());
                certain.extend(uncertain.iter().map(|(ticket, _)| *ticket));
                apply(&mut uncertain, &mut sum, &mut memory);
            }
        }
        let jobs = uncertain.len() as u32;
        stage.into_iter().for_each(|stage| losses.lose_at(stage));
        let error = match stage {
            Some(Stage::Persist) => {
                let error = kernel.slices().err();
                drop(kernel);
                error
            }
            _ => kernel.stop().err(),
        };
        match error {
            None => {
                assert_eq!(stage, None);
                assert!(uncertain.iter().all(|(ticket, _)| !driver.is_uncertain(*ticket)));
                apply(&mut uncertain, &mut sum, &mut memory);
            }
            Some(PersistError::Lost { error, jobs: lost }) => {
                assert!(error.is_lost());
                // With the NOPs that each stay begins with, if there was no checkpoint.
                assert_eq!(lost > jobs, certain.is_empty(), "round {round}");
                assert!(lost >= jobs, "round {round}");
                assert_eq!(snapshot(driver.row()), last, "round {round}");
                assert!(uncertain.iter().all(|(ticket, _)| driver.is_uncertain(*ticket)));
                assert!(
                    uncertain.iter().all(|(ticket, _)| driver.outcome(*ticket) == Outcome::Unknown)
                );
            }
            Some(error) => panic!("{error}"),
        }
        assert!(certain.iter().chain([&before]).all(|ticket| !driver.is_uncertain(*ticket)));
        let mut word = [0];
        driver.read_workspace(0, &mut word).unwrap();
        assert_eq!(
            (driver.row().control.observable(0), word),
            (Ok(sum), [memory]),
            "round {round}"
        );
    }
}

/// A call of the user's that wgpu refuses.
fn provoke(device: &wgpu::Device) {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
    let (label, mapped_at_creation) = (Some("provocation"), false);
    let description = wgpu::BufferDescriptor { label, size: 4, usage, mapped_at_creation };
    let _ = device.create_buffer(&description);
}

/// What the mirror misses of a drain that has run, it cannot bring back.
#[test]
fn e7_a_refusal_after_a_drain_or_a_stay_is_a_loss() {
    if gpu::is_skipped() {
        return;
    }
    let builder = builder(&Losses::default());
    for choice in gpu::GPU {
        let mut driver = open(builder.clone(), choice);
        let device = driver.gpu().unwrap().device().clone();
        let ticket = driver.publish(&Job::new(REMEMBER, &[5])).unwrap();
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        let dispatch = overlapped.dispatch().unwrap();
        provoke(&device);
        let drained = overlapped.wait(dispatch).unwrap();
        assert_eq!((drained.done, drained.recovered), (1, 1));
        drop(overlapped);
        assert_eq!(driver.outcome(ticket), Outcome::Done);
        let mut word = [0];
        driver.read_workspace(0, &mut word).unwrap();
        assert_eq!(word, [5]);
    }
    let builder = builder.lane_order(LaneOrder::Parallel).persistent(DEFAULT_SLICE);
    let mut driver = open(builder, BackendChoice::Mapped);
    let device = driver.gpu().unwrap().device().clone();
    let mut kernel = driver.persist().unwrap();
    let ticket = kernel.publish(&Job::new(REMEMBER, &[5])).unwrap();
    kernel.wait(ticket, Duration::from_secs(1)).unwrap();
    provoke(&device);
    assert!(matches!(kernel.stop(), Err(PersistError::Lost { .. })));
    assert!(driver.is_uncertain(ticket));
    driver.dispatch(&Readback::none()).unwrap();
    let mut word = [1];
    driver.read_workspace(0, &mut word).unwrap();
    assert_eq!(word, [0]);
}

#[test]
fn the_workspace_is_what_the_host_has_written_if_it_is_not_kept() {
    for &choice in backends() {
        let losses = Losses::default();
        let forgetful = Recovery { keep_workspace: false, ..QUICK };
        let mut driver = open(builder(&losses).recovery(forgetful), choice);
        driver.write_workspace(1, &[7]).unwrap();
        driver.publish(&Job::new(REMEMBER, &[5])).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
        losses.lose_at(Stage::ReadWorkspace);
        let mut words = [1; 3];
        driver.read_workspace(0, &mut words).unwrap();
        assert_eq!(words, [0, 7, 0]);
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().recovered, 1);
    }
}
