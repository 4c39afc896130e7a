//! Files through the arena.

mod gpu;
mod ingest;

use gpu::{everywhere, is_skipped, open};
use ingest::{CHUNK_BYTES, CHUNKS, Sources, TempFile, assert_in_order, assert_whole};
use ingest::{drain, pattern, run, sum_job, summing};
use slipring_core::layout::Geometry;
use slipring_driver::input::{Caching, ChunkEnd, Ingest, IngestError, Source};
use slipring_driver::{ArenaOptions, BackendChoice, Driver, Rung};

/// A file of one test on one backend.
fn temp(driver: &Driver, name: &str, bytes: &[u8]) -> TempFile {
    TempFile::new(&format!("{name}-{}-{}", driver.backend().backend, bytes.len()), bytes)
}

#[test]
fn every_byte_comes_once_whatever_the_length() {
    everywhere(summing(64), |driver| {
        let mut ingest = Ingest::builder(driver).open().unwrap();
        for (seed, bytes) in
            [1, 3, 4, 4095, 4096, 4097, 9 * 4096, 17 * 4096 + 1].into_iter().enumerate()
        {
            let bytes = pattern(seed as u32, bytes);
            let file = temp(driver, "length", &bytes);
            for caching in [Caching::Auto, Caching::Buffered, Caching::Direct] {
                let id = ingest.add(Source::file(&file.0).caching(caching), sum_job()).unwrap();
                assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
            }
        }
    });
}

#[test]
fn every_rung_delivers_every_byte() {
    if is_skipped() {
        return;
    }
    let bytes = pattern(1, 100_001);
    let file = TempFile::new("rungs", &bytes);
    for rung in [Rung::Pages, Rung::Mapped, Rung::Bounce, Rung::Plain, Rung::Threads] {
        let mut driver = open(summing(64).first_rung(rung), BackendChoice::Mapped);
        let mut ingest = Ingest::builder(&driver).open().unwrap();
        assert_eq!(ingest.path().rung, rung, "{}", ingest.path());
        assert_eq!(ingest.path().is_copied, rung == Rung::Bounce);
        assert_eq!(ingest.path().reason.is_empty(), rung == Rung::Pages, "{}", ingest.path());
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, &mut driver)[&id], &bytes, 0);
    }
}

#[test]
fn chunks_have_in_common_what_the_overlap_says() {
    everywhere(summing(64), |driver| {
        let mut ingest = Ingest::builder(driver).open().unwrap();
        for overlap in [4, 100, 2048, 4095] {
            // A last chunk that the one before has wholly does not come.
            for bytes in [1, 4096, 4097, 4096 + 2 * (4096 - overlap as usize), 9001] {
                let bytes = pattern(overlap, bytes);
                let file = temp(driver, "overlap", &bytes);
                let source = Source::file(&file.0).overlap_bytes(overlap);
                let id = ingest.add(source, sum_job()).unwrap();
                assert_whole(&run(&mut ingest, driver)[&id], &bytes, overlap as usize);
            }
        }
    });
}

#[test]
fn many_files_come_each_whole() {
    everywhere(summing(64), |driver| {
        let mut ingest = Ingest::builder(driver).sources(40).open().unwrap();
        let bytes: Vec<_> = (0..40).map(|i| pattern(i, 331 * i as usize)).collect();
        let files: Vec<_> = bytes.iter().map(|bytes| temp(driver, "many", bytes)).collect();
        let mut add = |file: &TempFile| ingest.add(Source::file(&file.0), sum_job()).unwrap();
        let ids: Vec<_> = files.iter().map(&mut add).collect();
        let all = run(&mut ingest, driver);
        let mut ends: Vec<_> = std::iter::from_fn(|| ingest.next_end()).collect();
        ends.sort_by_key(|end| end.source.0);
        for ((end, id), (bytes, file)) in ends.iter().zip(ids).zip(bytes.iter().zip(&files)) {
            assert_eq!((end.source, &*end.path), (id, &*file.0));
            let whole = bytes.len().div_ceil(CHUNK_BYTES as usize);
            assert_eq!((end.chunks, end.bytes), (whole as u64, bytes.len() as u64));
            // (The first one is empty, and has no chunk.)
            let chunks = all.get(&id);
            assert_eq!(chunks.is_none(), bytes.is_empty());
            chunks.into_iter().for_each(|chunks| assert_whole(chunks, bytes, 0));
        }
        assert_eq!(ends.len(), 40);
    });
}

#[test]
fn chunks_wait_for_room_in_the_ring() {
    everywhere(summing(1), |driver| {
        let bytes = pattern(2, 100_000);
        let file = temp(driver, "room", &bytes);
        let mut ingest = Ingest::builder(driver).batch(8).open().unwrap();
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
    });
}

#[test]
fn an_arena_of_one_chunk_does() {
    let arena = ArenaOptions { chunks: 1, chunk_bytes: CHUNK_BYTES };
    everywhere(summing(64).arena(arena), |driver| {
        let bytes = pattern(2, 50_000);
        let file = temp(driver, "one", &bytes);
        let mut ingest = Ingest::builder(driver).depth(4096).batch(100).open().unwrap();
        let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
        assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
        let stream = Source::stream("file", std::fs::File::open(&file.0).unwrap());
        let id = ingest.add(stream, sum_job()).unwrap();
        assert_in_order(&run(&mut ingest, driver)[&id], &bytes);
    });
}

#[test]
fn of_a_file_that_became_shorter_the_missing_chunks_are_named() {
    everywhere(summing(64), |driver| {
        let bytes = pattern(2, 20 * 4096);
        for caching in [Caching::Buffered, Caching::Direct] {
            let file = temp(driver, "shorter", &bytes);
            let mut ingest = Ingest::builder(driver).open().unwrap();
            let id = ingest.add(Source::file(&file.0).caching(caching), sum_job()).unwrap();
            let shorter = std::fs::OpenOptions::new().write(true).open(&file.0).unwrap();
            shorter.set_len(10 * 4096 + 100).unwrap();
            let mut chunks = run(&mut ingest, driver).remove(&id).unwrap();
            let missing = chunks.split_off(&(10 * 4096));
            assert_whole(&chunks, &bytes[..10 * 4096], 0);
            assert_eq!(missing.len(), 10);
            for (offset, chunk) in missing {
                let chunk = chunk.unwrap_err();
                let ChunkEnd::NotRead(error) = chunk.end else { panic!("{chunk:?}") };
                let first = offset.max(10 * 4096 + 100).min(offset + 100);
                assert_eq!((chunk.bytes, error.offset, error.errno), (0, first, None));
                let path = file.0.display();
                let why = "the file ends before the length that it gave when it was opened \
                           (files that never have theirs, as in /sys, are for Source::stream)";
                assert_eq!(error.to_string(), format!("{path} at byte {first}: {why}"));
            }
            let end = ingest.next_end().unwrap();
            assert_eq!((end.chunks, end.failed, end.bytes), (10, 10, 10 * 4096));
        }
    });
}

#[test]
fn each_row_has_input_of_its_own() {
    everywhere(summing(64), |driver| {
        let bytes = [pattern(1, 90_000), pattern(2, 70_000)];
        let files = [0, 1].map(|i| temp(driver, &format!("row-{i}"), &bytes[i]));
        let arena = ArenaOptions { chunks: 3, chunk_bytes: CHUNK_BYTES };
        let geometry = Geometry::of_slots(4, 2 * CHUNKS).unwrap();
        let mut other = driver.another_row(geometry).arena(arena).open().unwrap();
        let mut ingests = [&*driver, &other].map(|row| Ingest::builder(row).open().unwrap());
        let ids = [0, 1].map(|i| ingests[i].add(Source::file(&files[i].0), sum_job()).unwrap());
        let mut all = [Sources::new(), Sources::new()];
        while !ingests.iter().all(Ingest::is_idle) {
            for (i, row) in [&mut *driver, &mut other].into_iter().enumerate() {
                ingests[i].wait(row).unwrap();
                drain(&mut ingests[i], row, &mut all[i]);
            }
        }
        (0..2).for_each(|i| assert_whole(&all[i][&ids[i]], &bytes[i], 0));
        let error = ingests[0].poll(&mut other).unwrap_err();
        assert!(matches!(error, IngestError::OtherArena), "{error}");
        let error = ingests[1].wait(driver).unwrap_err();
        assert!(matches!(error, IngestError::OtherArena), "{error}");
    });
}

#[test]
fn what_an_ingest_has_left_is_zero_behind_the_bytes_of_the_next() {
    everywhere(summing(64), |driver| {
        let backend = driver.backend().backend;
        let full = TempFile::new(&format!("full-{backend}"), &vec![0xFF; 8 * 4096]);
        let short = TempFile::new(&format!("short-{backend}"), &[0xFF; 5]);
        for file in [&full, &short] {
            let mut ingest = Ingest::builder(driver).open().unwrap();
            let id = ingest.add(Source::file(&file.0), sum_job()).unwrap();
            let bytes = std::fs::read(&file.0).unwrap();
            assert_whole(&run(&mut ingest, driver)[&id], &bytes, 0);
        }
    });
}
