//! What a chunk allocates: nothing, from the read to its being handed back.

mod counting;
mod gpu;
mod ingest;

use counting::allocated;
use ingest::{CHUNK_BYTES, CHUNKS, TempFile, pattern, sum_job, summing, sums_of_every};
use slipring_driver::input::{Caching, ChunkEnd, Ingest, Source};
use slipring_driver::{BackendChoice, Driver, Readback, Rung};

/// Chunks of a run, and how many of them come before the count begins.
const RUN: usize = 8000;
const WARM_UP: usize = 100;
/// Of every so many words of a chunk one is looked at, to be done sooner.
const STRIDE: usize = 61;

#[test]
fn thousands_of_chunks_allocate_nothing() {
    if gpu::is_skipped() {
        return;
    }
    let chunk = CHUNK_BYTES as usize;
    let bytes = pattern(1, RUN * chunk);
    let file = TempFile::new("allocations", &bytes);
    let sums: Vec<_> = bytes.chunks(chunk).map(|chunk| sums_of_every(STRIDE, chunk)).collect();
    for rung in [Rung::Pages, Rung::Threads] {
        // Without the validation layer, whose messages would count.
        let builder = summing(64).backend(BackendChoice::Mapped).first_rung(rung);
        let mut driver = builder.open().unwrap();
        for caching in [Caching::Buffered, Caching::Direct] {
            let source = || Source::file(&file.0).caching(caching);
            allocates_nothing(&mut driver, rung, source(), &sums);
        }
        let pipe = std::fs::File::open(&file.0).unwrap();
        allocates_nothing(&mut driver, rung, Source::stream("stream", pipe), &sums);
    }
}

fn allocates_nothing(driver: &mut Driver, rung: Rung, source: Source, sums: &[[u32; 2]]) {
    let mut ingest = Ingest::builder(driver).batch(4).open().unwrap();
    assert_eq!(ingest.path().rung, rung);
    let named = format!("{rung}: {source:?}");
    ingest.add(source, sum_job().args(&[STRIDE as u32])).unwrap();
    let readback = Readback::observables(0..2 * CHUNKS);
    let (mut chunks, mut before) = (0, 0);
    while chunks < RUN {
        ingest.wait(driver).unwrap();
        driver.dispatch(&readback).unwrap();
        while let Some(chunk) = ingest.next(driver) {
            assert!(matches!(chunk.end, ChunkEnd::Done));
            let sum = |i| driver.row().control.observable(2 * chunk.chunk + i).unwrap();
            let place = (chunk.offset / u64::from(CHUNK_BYTES)) as usize;
            assert_eq!([sum(0), sum(1)], sums[place]);
            chunks += 1;
        }
        if chunks < WARM_UP {
            before = allocated();
        }
    }
    let allocated = allocated() - before;
    assert_eq!(allocated, 0, "in {} chunks, {named}", RUN - WARM_UP);
}
