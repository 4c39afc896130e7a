//! Links while drains overlap, while a kernel stays on, and while devices are lost.

mod gpu;
mod links;

use links::{Board, End, RUNGS, TIMEOUT, WORDS, assert_fates, builder, geometry, open};
use slipring_core::link::Fate;
use slipring_core::opcode;
use slipring_core::ring::Job;
use slipring_driver::input::Publish;
use slipring_driver::link::{Link, Links, Results, Wire};
use slipring_driver::persistent::{DEFAULT_SLICE, PersistError};
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::{BackendChoice, Driver, Readback, Recovery};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const QUICK: Recovery = Recovery {
    attempts: 3,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    keep_workspace: true,
};

/// Links for two boards.
fn two_links(driver: &Driver, rung: slipring_driver::Rung, slots: u32) -> (Links, Vec<Board>) {
    let (mut builder, mut boards) = (Links::builder(driver), Vec::new());
    for tenant in [1, 2] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let link = Link::new("board", Wire::stream(ours)).tenant(tenant);
        builder = builder.link(link.results(Results::observables(0, WORDS)));
        boards.push(Board::new(tenant, geometry(slots), theirs));
    }
    (open(builder, rung), boards)
}

/// Has boards run jobs in threads while `turn` is called, until all have ended.
fn run(boards: &mut [Board], jobs: u32, mut turn: impl FnMut()) {
    thread::scope(|scope| {
        let running: Vec<_> =
            boards.iter_mut().map(|board| scope.spawn(move || board.run(0..jobs))).collect();
        let start = Instant::now();
        while !running.iter().all(|board| board.is_finished()) {
            assert!(start.elapsed() < TIMEOUT);
            turn();
        }
    });
}

fn readback(driver: &Driver) -> Readback {
    Readback::observables(0..driver.row().geometry().observables())
}

/// What a loop does between two drains, whoever the host is.
fn turn(links: &mut Links, host: &mut impl Publish) {
    links.turn(host).unwrap();
    links.wait(host, Duration::from_millis(5)).unwrap();
}

#[test]
fn a_kernel_that_stays_on_runs_jobs_of_links_without_a_dispatch() {
    if gpu::is_skipped() {
        return;
    }
    for rung in RUNGS {
        let builder = builder(4, 3).persistent(DEFAULT_SLICE);
        let mut driver = gpu::open(builder, BackendChoice::Mapped);
        let (mut links, mut boards) = two_links(&driver, rung, 4);
        let mut kernel = driver.persist().unwrap();
        run(&mut boards, 1000, || turn(&mut links, &mut kernel));
        kernel.stop().unwrap();
        boards[0].assert_done(0..1000, 1);
        boards[1].assert_done(0..1000, 2);
    }
}

#[test]
fn what_others_have_left_in_the_ring_of_a_kernel_that_stays_on_is_in_nobodys_way() {
    if gpu::is_skipped() {
        return;
    }
    let builder = builder(4, 3).persistent(DEFAULT_SLICE);
    let mut driver = gpu::open(builder, BackendChoice::Mapped);
    let (mut links, mut boards) = two_links(&driver, RUNGS[0], 4);
    let mut kernel = driver.persist().unwrap();
    // Of every slot, a job has ended, and nobody has asked for it.
    for _ in 0..4 {
        kernel.publish(&Job::new(opcode::NOP, &[])).unwrap();
    }
    run(&mut boards, 100, || turn(&mut links, &mut kernel));
    boards[0].assert_done(0..100, 1);
}

#[test]
fn drains_may_overlap_with_links() {
    gpu::everywhere(builder(8, 3).in_flight(2), |driver| {
        for rung in RUNGS {
            let (mut links, mut boards) = two_links(driver, rung, 8);
            let mut overlapped = driver.overlapped(&readback(driver)).unwrap();
            let mut earlier = None;
            run(&mut boards, 300, || {
                links.turn(&mut overlapped).unwrap();
                let latest = overlapped.dispatch().unwrap();
                if let Some(earlier) = earlier.replace(latest) {
                    overlapped.wait(earlier).unwrap();
                }
                turn(&mut links, &mut overlapped);
            });
            boards[0].assert_done(0..300, 1);
            boards[1].assert_done(0..300, 2);
        }
    });
}

#[test]
fn devices_that_are_lost_in_drains_cost_no_job() {
    let losses = Losses::default();
    gpu::on_gpu(builder(8, 3).recovery(QUICK).losses(losses.clone()), |driver| {
        let (mut links, mut boards) = two_links(driver, RUNGS[0], 8);
        let (readback, stages) = (readback(driver), [Stage::Start, Stage::Submit, Stage::Finish]);
        let (mut drains, mut lost) = (0, 0);
        run(&mut boards[..1], 300, || {
            links.turn(driver).unwrap();
            if links.jobs() > 0 {
                drains += 1;
                if drains % 10 == 5 {
                    losses.lose_at(stages[drains / 10 % 3]);
                }
                lost += driver.dispatch(&readback).unwrap().recovered;
            }
            turn(&mut links, driver);
        });
        assert!(lost >= 3, "{lost} devices were lost");
        boards[0].assert_done(0..300, 1);
        assert_fates(driver, &boards[0].ends);
    });
}

#[test]
fn jobs_of_a_stay_that_lost_its_device_are_unknown_and_later_ones_go_on() {
    if gpu::is_skipped() {
        return;
    }
    let losses = Losses::default();
    let builder = builder(8, 3).persistent(DEFAULT_SLICE).recovery(QUICK).losses(losses.clone());
    let mut driver = gpu::open(builder, BackendChoice::Mapped);
    let (mut links, mut boards) = two_links(&driver, RUNGS[0], 8);
    let board = &mut boards[0];
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            board.until("it connects", |board| board.sender.is_connected());
            for number in 0..4 {
                assert!(board.publish_one(number));
            }
            board.until("they are unknown", |board| board.ends.len() == 4);
            // Nobody has looked at the last one; those before may have been answered.
            assert_eq!(board.ends[&3], (Fate::Unknown, vec![]));
            let is_told = |(fate, _): &End| matches!(fate, Fate::Unknown | Fate::Done);
            assert!(board.ends.values().all(is_told));
            board.ends.clear();
            board.run(4..100);
        });
        let mut kernel = driver.persist().unwrap();
        while links.counters(0).published < 4 {
            // Published, and lost before anyone has looked at them.
            links.turn(&mut kernel).unwrap();
        }
        losses.lose_at(Stage::Stop);
        let error = kernel.stop().unwrap_err();
        assert!(matches!(error, PersistError::Lost { .. }), "{error}");
        let readback = readback(&driver);
        while !running.is_finished() {
            links.turn(&mut *driver).unwrap();
            driver.dispatch(&readback).unwrap();
            turn(&mut links, &mut *driver);
        }
    });
    assert_eq!(boards[0].ends.len(), 96);
    assert!(boards[0].ends.values().all(|(fate, _)| *fate == Fate::Done));
}
