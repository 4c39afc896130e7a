//! Input while drains overlap, while a kernel stays on, while rows move and while devices are lost.

mod gpu;
mod ingest;

use gpu::everywhere;
use ingest::{
    CHUNK_BYTES, CHUNKS, Sources, TempFile, assert_whole, drain, pattern, run, sum_job, summing,
    take,
};
use slipring_core::layout::Geometry;
use slipring_driver::input::{Caching, ChunkEnd, Ingest, Source};
use slipring_driver::persistent::{DEFAULT_SLICE, PersistError};
use slipring_driver::recovery::{Losses, Stage};
use slipring_driver::storage::{Pages, words_for};
use slipring_driver::{BackendChoice, Driver, Readback, Recovery, Rung};
use std::time::Duration;

/// Bytes of a run, in which each chunk of the arena is used many times.
const BYTES: usize = 300 * CHUNK_BYTES as usize + 1;
const SLOTS: u32 = 4;
const GEOMETRY: Geometry = match Geometry::of_slots(SLOTS, 2 * CHUNKS) {
    Ok(geometry) => geometry,
    Err(_) => panic!("4 slots are few enough"),
};
static PAGES: Pages<{ words_for(GEOMETRY) }> = Pages::new();

const QUICK: Recovery = Recovery {
    attempts: 3,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    keep_workspace: true,
};

fn observables() -> Readback {
    Readback::observables(0..2 * CHUNKS)
}

/// A file, and an ingest that reads it.
fn reading(driver: &Driver, name: &str, bytes: &[u8]) -> (TempFile, Ingest) {
    let file = TempFile::new(&format!("{name}-{}", driver.backend().backend), bytes);
    let mut ingest = Ingest::builder(driver).open().unwrap();
    let source = Source::file(&file.0).caching(Caching::Buffered);
    ingest.add(source, sum_job()).unwrap();
    (file, ingest)
}

/// The only source's chunks are all of `bytes`.
fn assert_all(all: &Sources, bytes: &[u8]) {
    assert_eq!(all.len(), 1);
    all.values().for_each(|chunks| assert_whole(chunks, bytes, 0));
}

#[test]
fn drains_may_overlap_with_reads() {
    let bytes = pattern(1, BYTES);
    everywhere(summing(SLOTS).in_flight(2), |driver| {
        let (_file, mut ingest) = reading(driver, "overlapped", &bytes);
        let mut all = Sources::new();
        let mut overlapped = driver.overlapped(&observables()).unwrap();
        let mut earlier = None;
        while !ingest.is_idle() {
            ingest.wait(&mut overlapped).unwrap();
            let latest = overlapped.dispatch().unwrap();
            if let Some(earlier) = earlier.replace(latest) {
                overlapped.wait(earlier).unwrap();
            }
            while let Some(chunk) = ingest.next(&mut overlapped) {
                take(chunk, overlapped.row(), &mut all);
            }
        }
        assert_all(&all, &bytes);
    });
}

#[test]
fn a_kernel_that_stays_on_gets_each_chunk_without_a_dispatch() {
    if gpu::is_skipped() {
        return;
    }
    let bytes = pattern(2, BYTES);
    for rung in [Rung::Pages, Rung::Mapped, Rung::Threads] {
        let builder = summing(SLOTS).persistent(DEFAULT_SLICE).first_rung(rung);
        let mut driver = gpu::open(builder, BackendChoice::Mapped);
        let (_file, mut ingest) = reading(&driver, &format!("stays-{rung:?}"), &bytes);
        let mut all = Sources::new();
        let mut kernel = driver.persist().unwrap();
        while !ingest.is_idle() {
            ingest.wait(&mut kernel).unwrap();
            while let Some(chunk) = ingest.next(&mut kernel) {
                take(chunk, kernel.row(), &mut all);
            }
            std::thread::yield_now();
        }
        kernel.stop().unwrap();
        assert_all(&all, &bytes);
    }
}

#[test]
fn chunks_of_a_stay_that_lost_its_device_are_unknown_and_later_ones_are_right() {
    if gpu::is_skipped() {
        return;
    }
    let bytes = pattern(3, 4 * CHUNK_BYTES as usize);
    let losses = Losses::default();
    let builder = summing(64).persistent(DEFAULT_SLICE).recovery(QUICK).losses(losses.clone());
    let mut driver = gpu::open(builder, BackendChoice::Mapped);
    let (file, mut ingest) = reading(&driver, "lost-stay", &bytes);
    let mut kernel = driver.persist().unwrap();
    while ingest.wait(&mut kernel).unwrap() > 0 {}
    kernel.wait_all(Duration::from_secs(5)).unwrap();
    losses.lose_at(Stage::Stop);
    let error = kernel.stop().unwrap_err();
    assert!(matches!(error, PersistError::Lost { .. }), "{error}");
    let ends: Vec<_> = std::iter::from_fn(|| ingest.next(&mut *driver)).collect();
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(|chunk| matches!(chunk.end, ChunkEnd::Unknown)), "{ends:?}");
    assert!(ingest.is_idle());
    let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
    assert_whole(&run(&mut ingest, &mut driver)[&id], &bytes, 0);
}

#[test]
fn devices_lost_at_any_step_cost_no_chunk() {
    let bytes = pattern(4, BYTES);
    for rung in [Rung::Pages, Rung::Bounce, Rung::Threads] {
        let losses = Losses::default();
        let builder = summing(SLOTS).recovery(QUICK).losses(losses.clone()).first_rung(rung);
        gpu::on_gpu(builder, |driver| {
            let (_file, mut ingest) = reading(driver, &format!("lost-{rung:?}"), &bytes);
            let (mut all, mut lost) = (Sources::new(), 0);
            let stages = [Stage::Start, Stage::Submit, Stage::Finish];
            for turn in 0.. {
                if ingest.is_idle() {
                    break;
                }
                ingest.wait(driver).unwrap();
                if turn % 20 == 3 {
                    losses.lose_at(stages[turn / 20 % 3]);
                    lost += driver.dispatch(&observables()).unwrap().recovered;
                }
                drain(&mut ingest, driver, &mut all);
            }
            assert!(lost >= 3, "{lost} devices were lost");
            assert_all(&all, &bytes);
        });
    }
}

#[test]
fn a_row_may_move_while_chunks_wait_in_it() {
    let bytes = pattern(5, 60 * CHUNK_BYTES as usize);
    everywhere(summing(SLOTS), |driver| {
        let (_file, mut ingest) = reading(driver, "moves", &bytes);
        let mut all = Sources::new();
        let places = [Some(&PAGES.words()[..]), None];
        for place in places.iter().cycle() {
            if ingest.is_idle() {
                break;
            }
            ingest.wait(driver).unwrap();
            driver.rebind(*place).unwrap();
            drain(&mut ingest, driver, &mut all);
        }
        driver.rebind(None).unwrap();
        assert_all(&all, &bytes);
    });
}
