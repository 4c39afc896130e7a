//! What becomes of chunks once they have landed: their jobs, the ring's slots, who may have them
//! next, and what a wait waits for.

mod gpu;
mod ingest;

use gpu::{everywhere, is_skipped};
use ingest::{
    CHUNK_BYTES, CHUNKS, Sources, TempFile, assert_in_order, assert_whole, drain, pattern, run,
    sum_job, summing, sums, take,
};
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::ring::Job;
use slipring_core::slot::{Priority, fault};
use slipring_core::tenant::{Tenant, TenantTable};
use slipring_driver::input::{ChunkEnd, ChunkJob, Ingest, IngestError, Source};
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Readback, Rung};
use std::io::{PipeWriter, Write, pipe};
use std::time::{Duration, Instant};

const CHUNK: usize = CHUNK_BYTES as usize;
const SECOND: Duration = Duration::from_secs(1);
const ENGINES: [Rung; 2] = [Rung::Pages, Rung::Threads];

/// A file of one test on one backend.
fn temp(driver: &Driver, name: &str, bytes: &[u8]) -> TempFile {
    TempFile::new(&format!("{name}-{}", driver.backend().backend), bytes)
}

fn twin(builder: DriverBuilder, rung: Rung) -> Driver {
    builder.backend(BackendChoice::Twin).first_rung(rung).open().unwrap()
}

/// A stream, and who writes to it.
fn stream() -> (Source, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    (Source::stream("pipe", reader), writer)
}

#[test]
fn every_end_is_known_however_late_it_is_asked_for() {
    // The ring's slots are used again long before their chunks are handed back.
    everywhere(summing(3), |driver| {
        let bytes = pattern(1, 60 * CHUNK);
        let file = temp(driver, "late", &bytes);
        let mut ingest = Ingest::builder(driver).open().unwrap();
        let right = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        let faulty = ingest.add(Source::file(&file.0), ChunkJob::new(0x7777)).unwrap();
        let mut all = Sources::new();
        while !ingest.is_idle() {
            for _ in 0..3 {
                ingest.poll(driver).unwrap();
                driver.dispatch(&Readback::observables(0..2 * CHUNKS)).unwrap();
            }
            // The caller's own jobs are in the same ring.
            let _ = driver.publish(&Job::new(opcode::NOP, &[]));
            if let Some(chunk) = ingest.next(driver) {
                take(chunk, driver.row(), &mut all);
            }
        }
        assert_whole(&all[&right], &bytes, 0);
        assert_eq!(all[&faulty].len(), 60);
        for chunk in all[&faulty].values() {
            let end = &chunk.as_ref().unwrap_err().end;
            assert!(matches!(end, ChunkEnd::Fault(fault::OPCODE)), "{end:?}");
        }
    });
}

#[test]
fn who_waits_for_a_quota_or_a_level_lets_the_others_pass() {
    // Two critical slots; tenant 1 may have one slot in flight.
    let partitions = Partitions::from_sizes([2, 0, 6, 0, 0], 8).unwrap();
    let tenants = TenantTable::open(3);
    everywhere(summing(8).partitions(partitions).tenants(tenants), |driver| {
        driver.set_tenant(1, Tenant { quota: 1, ..Tenant::OPEN }).unwrap();
        // Paused: its jobs keep the critical slots.
        driver.set_tenant(2, Tenant { mask: 0, ..Tenant::OPEN }).unwrap();
        let held = Job { tenant: 2, priority: Priority::Critical, ..Job::new(opcode::NOP, &[]) };
        [held; 2].iter().for_each(|job| assert!(driver.publish(job).is_ok()));
        let bytes = [pattern(1, 2 * CHUNK), pattern(2, 2 * CHUNK), pattern(3, 30 * CHUNK)];
        let files = [0, 1, 2].map(|i| temp(driver, &format!("pass-{i}"), &bytes[i]));
        let mut ingest = Ingest::builder(driver).open().unwrap();
        let mut add = |i: usize, job| ingest.add(Source::file(&files[i].0), job).unwrap();
        let critical = add(0, sum_job().priority(Priority::Critical));
        let limited = add(1, sum_job().tenant(1));
        let free = add(2, sum_job());
        let mut all = Sources::new();
        let is_whole = |all: &Sources, id, chunks| all.get(&id).is_some_and(|c| c.len() == chunks);
        while !is_whole(&all, free, 30) || !is_whole(&all, limited, 2) {
            ingest.poll(driver).unwrap();
            assert!(driver.in_flight(1) <= 1);
            drain(&mut ingest, driver, &mut all);
        }
        assert!(!all.contains_key(&critical));
        driver.set_tenant(2, Tenant::OPEN).unwrap();
        while !ingest.is_idle() {
            ingest.poll(driver).unwrap();
            drain(&mut ingest, driver, &mut all);
        }
        let ids = [critical, limited, free];
        (0..3).for_each(|i| assert_whole(&all[&ids[i]], &bytes[i], 0));
    });
}

#[test]
fn another_driver_is_refused_and_changes_nothing() {
    let mut driver = twin(summing(8), Rung::Pages);
    let mut other = twin(summing(8), Rung::Pages);
    let bytes = pattern(1, 5 * CHUNK);
    let file = temp(&driver, "other", &bytes);
    let mut ingest = Ingest::builder(&driver).open().unwrap();
    let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
    assert_eq!(ingest.wait(&mut driver).unwrap(), 5);
    // Jobs of its own have the same tickets.
    [Job::new(opcode::NOP, &[]); 8].iter().for_each(|job| assert!(other.publish(job).is_ok()));
    other.dispatch(&Readback::all()).unwrap();
    assert!(ingest.next(&mut other).is_none());
    for refused in [ingest.poll(&mut other), ingest.wait(&mut other)] {
        assert!(matches!(refused, Err(IngestError::OtherArena)), "{refused:?}");
    }
    assert_whole(&run(&mut ingest, &mut driver)[&id], &bytes, 0);
}

#[test]
fn an_arena_has_one_reader_at_a_time_and_the_next_one_spares_unfinished_jobs() {
    everywhere(summing(64), |driver| {
        let bytes = [pattern(1, 8 * CHUNK), pattern(2, 20 * CHUNK)];
        let files = [0, 1].map(|i| temp(driver, &format!("reader-{i}"), &bytes[i]));
        let mut first = Ingest::builder(driver).open().unwrap();
        let refused = Ingest::builder(driver).open().unwrap_err();
        assert!(matches!(refused, IngestError::Taken), "{refused}");
        first.add(Source::file(&files[0].0), sum_job()).unwrap();
        let mut published = 0;
        while published < 8 {
            published += first.wait(driver).unwrap();
        }
        drop(first);
        for _ in 0..2 {
            // Nor does the next one after one that did nothing.
            drop(Ingest::builder(driver).open().unwrap());
        }
        let mut second = Ingest::builder(driver).open().unwrap();
        let id = second.add(Source::file(&files[1].0), sum_job()).unwrap();
        assert_eq!(second.wait(driver).unwrap(), 0, "no chunk is free yet");
        let drained = driver.dispatch(&Readback::observables(0..2 * CHUNKS)).unwrap();
        assert_eq!((drained.done, drained.faults), (8, 0));
        let observable = |index| driver.row().control.observable(index).unwrap();
        let mut found: Vec<_> =
            (0..8).map(|chunk| [2 * chunk, 2 * chunk + 1].map(observable)).collect();
        let mut expected: Vec<_> = bytes[0].chunks(CHUNK).map(sums).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_whole(&run(&mut second, driver)[&id], &bytes[1], 0);
    });
}

#[test]
fn a_source_that_is_cancelled_gives_its_chunks_back() {
    for rung in ENGINES {
        let mut driver = twin(summing(64), rung);
        let mut ingest = Ingest::builder(&driver).depth(4).open().unwrap();
        for seed in 0..20 {
            let bytes = pattern(seed, 40 * CHUNK);
            let file = temp(&driver, "cancelled", &bytes);
            let (source, mut writer) = stream();
            let silent = ingest.add(source, sum_job()).unwrap();
            let long = ingest.add(Source::file(&file.0), sum_job()).unwrap();
            let whole = ingest.add(Source::file(&file.0), sum_job()).unwrap();
            let mut all = Sources::new();
            for _ in 0..seed % 4 {
                ingest.poll(&mut driver).unwrap();
                drain(&mut ingest, &mut driver, &mut all);
            }
            assert_eq!([silent, long].map(|id| ingest.cancel(id)), [true; 2]);
            // Once more, if it has not ended yet.
            ingest.cancel(long);
            while !ingest.is_idle() {
                ingest.wait(&mut driver).unwrap();
                drain(&mut ingest, &mut driver, &mut all);
            }
            assert_eq!([silent, long].map(|id| ingest.cancel(id)), [false; 2]);
            assert_whole(&all[&whole], &bytes, 0);
            for (offset, chunk) in all.remove(&long).unwrap_or_default() {
                let start = offset as usize;
                let expected = (CHUNK_BYTES, sums(&bytes[start..start + CHUNK]));
                assert_eq!(chunk.unwrap(), expected, "what has come is right");
            }
            assert!(!all.contains_key(&silent));
            let mut ends: Vec<_> = std::iter::from_fn(|| ingest.next_end()).collect();
            ends.sort_by_key(|end| end.source.0);
            assert_eq!(
                ends.iter().map(|end| end.source).collect::<Vec<_>>(),
                [silent, long, whole]
            );
            // It is closed, if not at the very moment: the kernel may still be cancelling.
            let start = Instant::now();
            let broken = loop {
                match writer.write(b"anybody there?") {
                    Ok(_) => assert!(start.elapsed() < SECOND, "the stream is still open"),
                    Err(error) => break error,
                }
                std::thread::yield_now();
            };
            assert_eq!(broken.kind(), std::io::ErrorKind::BrokenPipe);
        }
        assert_eq!(driver.in_flight(0), 0);
    }
}

#[test]
fn a_silent_stream_does_not_keep_what_was_published_waiting() {
    for rung in ENGINES {
        let mut driver = twin(summing(64), rung);
        let mut ingest = Ingest::builder(&driver).depth(1).batch(CHUNKS).open().unwrap();
        let (silent, mut writer) = stream();
        let stream = ingest.add(silent, sum_job()).unwrap();
        // Fewer chunks than a batch; and more than are free beside the stream's.
        for chunks in [3, 30] {
            let bytes = pattern(chunks, chunks as usize * CHUNK);
            let file = temp(&driver, "batch", &bytes);
            let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
            let mut all = Sources::new();
            while ingest.next_end().is_none() {
                ingest.wait(&mut driver).unwrap();
                drain(&mut ingest, &mut driver, &mut all);
            }
            assert_whole(&all[&id], &bytes, 0);
        }
        let start = Instant::now();
        assert_eq!(ingest.wait_timeout(&mut driver, SECOND / 20).unwrap(), 0);
        assert!((SECOND / 20..SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
        writer.write_all(b"at last").unwrap();
        assert_eq!(ingest.wait(&mut driver).unwrap(), 1);
        drop(writer);
        assert_in_order(&run(&mut ingest, &mut driver)[&stream], b"at last");
    }
}

#[test]
fn reads_outlive_the_thread_that_has_started_them() {
    for rung in ENGINES {
        let mut driver = twin(summing(64), rung);
        let mut ingest = Ingest::builder(&driver).open().unwrap();
        let (source, mut writer) = stream();
        let id = ingest.add(source, sum_job()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| ingest.poll(&mut driver).unwrap());
        });
        // Until it is gone from the kernel too.
        std::thread::sleep(Duration::from_millis(50));
        let bytes = pattern(7, 3000);
        writer.write_all(&bytes).unwrap();
        drop(writer);
        assert_in_order(&run(&mut ingest, &mut driver)[&id], &bytes);
    }
}

#[test]
fn while_a_kernel_stays_on_a_wait_ends_when_there_is_something_to_do() {
    if is_skipped() {
        return;
    }
    // Fewer slots than chunks, and the other way round.
    for slots in [2, 64] {
        let builder = summing(slots).persistent(DEFAULT_SLICE);
        let mut driver = gpu::open(builder, BackendChoice::Mapped);
        let bytes = pattern(1, 2000 * CHUNK + 5);
        let file = temp(&driver, &format!("stays-{slots}"), &bytes);
        let mut ingest = Ingest::builder(&driver).open().unwrap();
        let (silent, mut writer) = stream();
        let mut kernel = driver.persist().unwrap();
        let file = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        let stream = ingest.add(silent, sum_job()).unwrap();
        let (mut all, mut waits, mut published, mut ends) = (Sources::new(), 0, 0, Vec::new());
        while !ingest.is_idle() {
            waits += 1;
            published += ingest.wait(&mut kernel).unwrap();
            while let Some(chunk) = ingest.next(&mut kernel) {
                take(chunk, kernel.row(), &mut all);
            }
            ends.extend(std::iter::from_fn(|| ingest.next_end()));
            if ends.len() == 1 && published == 2001 {
                // Only the stream is left.
                writer.write_all(b"and now it speaks").unwrap();
                writer = pipe().unwrap().1;
            }
        }
        assert_eq!(published, 2002);
        // Each wait has published something, or a chunk or a source was there to be handed back.
        assert!(waits <= 2 * 2002 + 2, "{waits} waits");
        assert_whole(&all[&file], &bytes, 0);
        assert_in_order(&all[&stream], b"and now it speaks");
        kernel.stop().unwrap();
    }
}
